"""`Session`: one client of a pool server, from its connection to its end. Runs in the server's event loop.

Reading is done by a callback, one message each, and never waits; a claim, a listing and a watch are tasks,
one at a time, which end when the client does. Whose a connection is that was sent to the client is decided
here, once: an acknowledgement in the channel's queue makes it the client's; after the channel was shut none
gets into the queue, and the client that tries gets an error.
"""

import asyncio
import os
import socket
from array import array
from collections.abc import Callable, Coroutine
from contextlib import suppress
from errno import EAGAIN, EMFILE, ENFILE, ENOBUFS, ENOMEM, ETOOMANYREFS
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from xsocket.connection import Connection
from xsocket.errors import (
    ClaimTimeout,
    PoolAccessError,
    PoolBusyError,
    PoolProtocolError,
    XsocketError,
)
from xsocket.fourtuple import FourTuple
from xsocket.handoff.disconnection import reset
from xsocket.pattern import Pattern
from xsocket.sharing import protocol
from xsocket.sharing.happening import ServerEvent
from xsocket.sharing.policy import EVERYTHING, Peer, narrowed

if TYPE_CHECKING:
    from xsocket.sharing.server import PoolServer

NONSENSE_A_MINUTE: Final = 10
"""How many malformed requests a client may send before it is disconnected."""
_MINUTE_S: Final = 60.0
_GLANCE: Final = 500
"""How many waiting connections are compared with what a client may see before others have their turn."""
_NOT_YET: Final = frozenset({None, EAGAIN})
"""What a wait for the end of the handshake ends with, when the time is over."""
_NO_DESCRIPTOR: Final = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM, ETOOMANYREFS})


_Rights = tuple[tuple[int, int, "array[int]"], ...]
"""Ancillary data of one message."""


class _Outstanding(NamedTuple):
    """A connection that was sent and not acknowledged yet, and the server's own copy of its socket."""

    connection: Connection
    made: socket.socket


class Session:
    """What a pool server has of one client.

    Args:
        server: Whose client it is.
        channel: The connected socket; it does not block.
        peer: Who the client is.
        allowed: What it may claim.
        ended: Called once, when it is over.
    """

    def __init__(
        self,
        server: "PoolServer",
        channel: socket.socket,
        peer: Peer,
        allowed: Pattern,
        ended: "Callable[[Session], None]",
    ) -> None:
        self.peer = peer
        self.allowed = allowed
        self._server = server
        self._channel = channel
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._outstanding: _Outstanding | None = None
        self._too_late: asyncio.TimerHandle | None = None
        self._is_claiming = False
        self._nonsense = 0
        self._nonsense_since = monotonic()
        self._farewell: XsocketError | None = None
        self._closed = False
        self._loop.add_reader(channel, self._readable)

    # Life

    def close(self) -> None:
        """End it; what it was sent and has not acknowledged goes back. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._channel)
        if self._task is not None:
            self._task.cancel()
        self._settle()
        self._channel.close()
        self._ended(self)

    def dismiss(self, error: XsocketError) -> None:
        """End it with *error*, as soon as it has acknowledged what it was sent."""
        if self._outstanding is not None:
            self._farewell = error
            return
        with suppress(OSError):
            self._channel.send(_refusal(error))
        self.close()

    def expel(self, error: XsocketError) -> None:
        """Say why, as far as it reads that, and end it."""
        self._note(ServerEvent.EXPELLED, reason=_text_of(error))
        with suppress(OSError):
            self._channel.send(_refusal(error))
        self.close()

    def _note(
        self, event: ServerEvent, four_tuple: FourTuple | None = None, reason: str | None = None
    ) -> None:
        self._server.note(event, peer=self.peer, four_tuple=four_tuple, reason=reason)

    # Reading

    def _readable(self) -> None:
        """Read a message; behind an acknowledgement, the next claim, which has often come by then."""
        owed = self._outstanding is not None
        self._read()
        if owed and self._outstanding is None and not self._closed:
            self._read()

    def _read(self) -> None:
        try:
            octets, _, flags, _ = self._channel.recvmsg(protocol.MOST_OCTETS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # it left without reading all it was sent
            self.close()
            return
        if not octets:
            self.close()
        elif flags & socket.MSG_TRUNC:
            self._note(ServerEvent.OVERSIZED)
            self._tell(PoolProtocolError(f"a request is longer than {protocol.MOST_OCTETS} octets"))
            self.close()
        else:
            self._take(octets)

    def _take(self, octets: bytes) -> None:
        try:
            self._obey(protocol.parse_request(octets))
        except PoolProtocolError as error:
            self._refuse_nonsense(error)

    def _obey(self, request: protocol.Request) -> None:
        match request:
            case protocol.Acknowledge():
                self._take_acknowledgement()
            case protocol.Withdraw():
                self._withdraw()
            case protocol.Claim():
                self._check_idle()
                self._note(ServerEvent.CLAIM)
                if not self._serve_at_once(request):
                    self._is_claiming = True
                    self._begin(self._serve_claim, request).add_done_callback(self._claim_over)
            case protocol.List():
                self._begin(self._serve_list)
            case protocol.AskStatistics():
                self._begin(self._serve_statistics)
            case protocol.Watch():
                self._begin(self._serve_watch)

    def _check_idle(self) -> None:
        if self._task is not None or self._outstanding is not None:
            raise PoolProtocolError("one thing at a time: the last request is not done yet")

    def _begin(
        self, work: Callable[..., Coroutine[Any, Any, None]], *args: protocol.Claim
    ) -> "asyncio.Task[None]":
        self._check_idle()
        self._task = self._loop.create_task(self._do(work, *args))
        return self._task

    async def _do(self, work: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        try:
            await work(*args)
        except OSError:  # the client is gone, in the midst of an answer
            self._task = None
            self.close()
        finally:
            self._task = None

    def _refuse_nonsense(self, error: PoolProtocolError) -> None:
        self._note(ServerEvent.MALFORMED, reason=_text_of(error))
        now = monotonic()
        if now - self._nonsense_since > _MINUTE_S:
            self._nonsense, self._nonsense_since = 0, now
        self._nonsense += 1
        if self._nonsense > NONSENSE_A_MINUTE:
            self.expel(PoolProtocolError("too many malformed requests"))
        else:
            self._tell(error)

    # Answering

    def _tell(self, error: XsocketError) -> None:
        self._answer_at_once(_refusal(error))

    def _answer_at_once(self, octets: bytes) -> None:
        """Answer without waiting; a client that does not read is disconnected."""
        try:
            self._channel.send(octets)
        except BlockingIOError:
            self.expel(PoolProtocolError("the client does not read"))
        except OSError:
            self.close()

    async def _send(self, octets: bytes, rights: _Rights = ()) -> None:
        """Answer; wait while the client does not read. Raises an `OSError` when it is gone."""
        while True:
            try:
                self._channel.sendmsg((octets,), rights)
            except (BlockingIOError, InterruptedError):
                await self._writable()
            else:
                return

    async def _writable(self) -> None:
        writable = asyncio.Event()
        self._loop.add_writer(self._channel, writable.set)
        try:
            await writable.wait()
        finally:
            self._loop.remove_writer(self._channel)

    async def _refuse(self, error: XsocketError) -> None:
        await self._send(_refusal(error))

    # Claims

    def _serve_at_once(self, claim: protocol.Claim) -> bool:
        """Serve a claim for which a connection waits, without a task; return whether that went well.

        Where it does not, nothing has happened, and what comes next says why.
        """
        try:
            connection = self._server.pool.claim_waiting(narrowed(claim.wanted, self.allowed))
        except XsocketError:
            return False
        if connection is None:
            return False
        connection.settimeout(0)
        try:
            made = connection.to_kernel()
        except (OSError, XsocketError):
            self._server.put_back(connection)
            return False
        outstanding = self._owed(_Outstanding(connection, made))
        try:
            octets, rights = _gift(outstanding)
            self._channel.sendmsg((octets,), rights)
        except OSError:  # it does not read, or is gone
            self._task = self._loop.create_task(self._do(self._hand_out, outstanding))
        else:
            self._wait_for_acknowledgement()
        return True

    async def _serve_claim(self, claim: protocol.Claim) -> None:
        try:
            outstanding = await self._claimed(claim)
        except PoolAccessError as error:
            await self._fail(ServerEvent.FORBIDDEN, error)
        except ClaimTimeout as error:
            await self._fail(ServerEvent.TIMED_OUT, error)
        except _NotHandedOver as failure:
            await self._fail(ServerEvent.KEPT, failure.error)
        except XsocketError as error:
            await self._fail(ServerEvent.FAILED, error)
        else:
            await self._hand_out(self._owed(outstanding))

    def _claim_over(self, _task: "asyncio.Task[None]") -> None:
        """Note that a claim was cancelled; its task could not, if it was before it began."""
        if self._is_claiming:
            self._is_claiming = False
            self._note(ServerEvent.WITHDRAWN)

    async def _fail(self, event: ServerEvent, error: XsocketError) -> None:
        self._is_claiming = False
        self._note(event, reason=_text_of(error))
        await self._refuse(error)

    async def _claimed(self, claim: protocol.Claim) -> _Outstanding:
        """Claim, and let the kernel have it; a connection that dies in between does not count."""
        wanted = narrowed(claim.wanted, self.allowed)
        until = None if claim.timeout is None else monotonic() + claim.timeout
        left = claim.timeout
        while True:
            connection = await self._server.pool.claim_async(wanted, left)
            made = await self._handed_over(connection, left)
            if made is not None:
                return _Outstanding(connection, made)
            left = None if until is None else max(0.0, until - monotonic())

    async def _handed_over(self, connection: Connection, left: float | None) -> socket.socket | None:
        """Return the kernel's socket for a connection, None when that has died.

        One that has not seen its third segment yet (Fast Open) is waited for, *left* seconds at most.

        Raises:
            _NotHandedOver: The kernel did not take it; it is in the pool again.
            ClaimTimeout: There was not enough time; likewise.
        """
        connection.settimeout(left)
        try:
            return await connection.to_kernel_async()
        except OSError as error:
            if error.errno in _NOT_YET:
                self._server.put_back(connection)
                raise ClaimTimeout(f"{connection.four_tuple} is not established yet") from error
            if error.errno not in _NO_DESCRIPTOR:
                connection.abort()
                return None
            self._server.put_back(connection)
            raise _NotHandedOver(_busy(error)) from error
        except XsocketError as error:
            self._server.put_back(connection)
            raise _NotHandedOver(error) from error
        except BaseException:
            self._server.put_back(connection)
            raise

    async def _hand_out(self, outstanding: _Outstanding) -> None:
        try:
            await self._send(*_gift(outstanding))
        except OSError as error:
            if error.errno not in _NO_DESCRIPTOR:
                raise
            self._take_back()
            await self._refuse(_busy(error))
        else:
            self._wait_for_acknowledgement()

    def _owed(self, outstanding: _Outstanding) -> _Outstanding:
        """Note what is going to be sent; until it is acknowledged it can come back."""
        self._outstanding = outstanding
        self._is_claiming = False
        self._note(ServerEvent.SENT, outstanding.connection.four_tuple)
        return outstanding

    def _wait_for_acknowledgement(self) -> None:
        self._too_late = self._loop.call_later(self._server.acknowledge_s, self._is_late)

    # What becomes of a connection that was sent

    def _take_acknowledgement(self) -> None:
        outstanding = self._forget_outstanding()
        if outstanding is None:
            raise PoolProtocolError("there is nothing to acknowledge")
        outstanding.made.close()
        self._note(ServerEvent.ACKNOWLEDGED, outstanding.connection.four_tuple)
        if self._farewell is not None:
            self.dismiss(self._farewell)

    def _is_late(self) -> None:
        self._note(ServerEvent.LATE)
        self.close()

    def _withdraw(self) -> None:
        if self._task is None:
            self._withdrawn()
        else:
            self._task.add_done_callback(lambda _task: self._withdrawn())
            self._task.cancel()

    def _withdrawn(self) -> None:
        if self._closed:
            return
        self._task = None  # one that was cancelled before it began could not say so
        self._take_back()
        self._answer_at_once(protocol.encode_answer(protocol.Withdrawn()))

    def _settle(self) -> None:
        """Let a connection that was sent be the client's, or ours: for ever."""
        if self._outstanding is not None:
            with suppress(OSError):
                self._channel.shutdown(socket.SHUT_RD)
            with suppress(OSError):
                while octets := self._channel.recv(protocol.MOST_OCTETS):
                    if self._outstanding is not None and _acknowledges(octets):
                        self._take_acknowledgement()
        self._take_back()

    def _take_back(self) -> None:
        outstanding = self._forget_outstanding()
        if outstanding is None:
            return
        connection, made = outstanding
        four_tuple = connection.four_tuple
        if _is_whole_again(connection, made):
            self._server.put_back(connection)
            self._note(ServerEvent.RETURNED, four_tuple)
        else:
            reset(made)
            self._note(ServerEvent.RESET, four_tuple)

    def _forget_outstanding(self) -> _Outstanding | None:
        outstanding, self._outstanding = self._outstanding, None
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None
        return outstanding

    # Looking on

    async def _serve_list(self) -> None:
        found: list[FourTuple] = []
        for looked_at, four_tuple in enumerate(list(self._server.pool), 1):
            if self.allowed is EVERYTHING or self.allowed.matches(four_tuple):
                found.append(four_tuple)
            if len(found) == protocol.LISTED:
                await self._send(protocol.encode_answer(protocol.Listing(tuple(found), more=True)))
                found.clear()
            if looked_at % _GLANCE == 0:
                await asyncio.sleep(0)
        await self._send(protocol.encode_answer(protocol.Listing(tuple(found), more=False)))

    async def _serve_statistics(self) -> None:
        await self._send(protocol.encode_answer(self._server.statistics()))

    async def _serve_watch(self) -> None:
        with self._server.feed.watching(self.allowed) as watcher:
            await self._send(protocol.encode_answer(protocol.Events(())))  # from now on
            while True:
                happenings, missed = await watcher.next(protocol.TOLD)
                await self._send(protocol.encode_answer(protocol.Events(happenings, missed)))


class _NotHandedOver(Exception):  # noqa: N818  # it never leaves this file
    """The kernel did not take a connection, which stays in the pool."""

    def __init__(self, error: XsocketError) -> None:
        super().__init__(error)
        self.error = error


def _gift(outstanding: _Outstanding) -> tuple[bytes, _Rights]:
    """Return the message that gives a connection away, and its descriptor."""
    answer = protocol.encode_answer(protocol.Given(outstanding.connection.four_tuple))
    descriptor = array("i", [outstanding.made.fileno()])
    return answer, ((socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor),)


def _acknowledges(octets: bytes) -> bool:
    try:
        return isinstance(protocol.parse_request(octets), protocol.Acknowledge)
    except PoolProtocolError:
        return False


def _is_whole_again(connection: Connection, made: socket.socket) -> bool:
    try:
        return connection.from_kernel(made)
    except (XsocketError, OSError):  # the engine has ended, or the kernel refused
        return False


def _refusal(error: XsocketError) -> bytes:
    return protocol.encode_answer(protocol.Refused.because(error))


def _text_of(error: XsocketError) -> str:
    return str(error.args[0])


def _busy(error: OSError) -> PoolBusyError:
    return PoolBusyError(f"no descriptor for the connection: {os.strerror(error.errno or 0)}")
