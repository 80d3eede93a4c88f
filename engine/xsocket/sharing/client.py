"""`PoolClient`: claims connections of an engine in another process; each comes as a socket of the kernel.

What is said is written once, as generators that yield whenever they have to wait; threads and asyncio wait in
their own ways.
"""

import os
import socket
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from errno import EMFILE
from math import ceil
from pathlib import Path
from select import POLLIN, poll
from time import monotonic, time
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar

from xsocket.errors import (
    ClaimTimeout,
    PoolAccessError,
    PoolClosed,
    PoolProtocolError,
    PoolUnreachableError,
    XsocketError,
)
from xsocket.fourtuple import FourTuple
from xsocket.pool import check_timeout, check_wanted
from xsocket.sharing import protocol
from xsocket.sharing.happening import Happening
from xsocket.waiting import Wanted

GRACE_S: Final = 0.5
"""How much longer than its timeout a claim waits for a server that says nothing at all."""
ANSWER_S: Final = 10.0
"""How long a question about the pool waits for its answer."""
_BACKLOG_FULL_S: Final = 0.01
"""When to try again to connect to a server that has not accepted those before."""
_LONGEST_POLL_MS: Final = 3_600_000
_DESCRIPTOR_OCTETS: Final = array("i").itemsize
_ROOM_FOR_DESCRIPTORS: Final = socket.CMSG_SPACE(_DESCRIPTOR_OCTETS)
_ACKNOWLEDGEMENT: Final = protocol.encode_request(protocol.Acknowledge())

T = TypeVar("T")


class _Wait(NamedTuple):
    """Until *fileno* polls readable (None: nothing does), for *seconds* at most (None: for ever)."""

    fileno: int | None
    seconds: float | None


Steps = Generator[_Wait, None, T]


class PoolClient:
    """Claims from the pool server at *path*.

    Threads and tasks may share one: each claim under way has a channel to the server of its own, which is
    kept for the next. After a fork the child makes its own.

    Args:
        path: Of the server's Unix socket.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path)
        self._idle: deque[_Channel] = deque()
        self._open: set[_Channel] = set()
        self._pid = os.getpid()
        self._closed = self._was_served = False

    # Claims

    def claim(self, wanted: Wanted = None, timeout: float | None = None) -> socket.socket:
        """Return the socket of a connection that has no other owner, from now on the caller's; it blocks.

        The arguments are those of `ConnectionPool.claim`, and so is the order among claims, whosever they
        are. Where the server allows only some connections, an open claim is for one of those. A claim that
        ends by an exception, Ctrl-C included, leaves its connection to others.

        Raises:
            ClaimTimeout: Nothing that matches was there in time. Half a second later than that, when the
                server does not say so itself.
            AlreadyClaimedError: As in `ConnectionPool.claim`.
            PoolClosed: The pool was closed, the server has stopped, or this client was closed.
            PoolUnreachableError: Nobody listens at the path, and nobody did before.
            PoolAccessError: The server does not let this user in, or not claim that.
            PoolBusyError: The server has too many clients, or no descriptor for the connection.
            HandoffError, NotKernelAddressError, CannotHandOverError: The connection cannot go to the kernel;
                it is still in the pool.
            OSError: EMFILE: this process has no descriptor to spare; the connection is still in the pool.
            ValueError: *timeout* is negative.
            TypeError: *wanted* is nothing that can be claimed.
        """
        made = _in_thread(self._claim(wanted, timeout))
        made.setblocking(True)
        return made

    async def claim_async(self, wanted: Wanted = None, timeout: float | None = None) -> socket.socket:
        """Like `claim`, for asyncio; the socket does not block. Cancellation loses no connection."""
        made = await _in_task(self._claim(wanted, timeout))
        made.setblocking(False)
        return made

    def _claim(self, wanted: Wanted, timeout: float | None) -> Steps[socket.socket]:
        check_wanted(wanted)
        check_timeout(timeout)
        until = None if timeout is None else monotonic() + timeout
        left = timeout
        while True:
            answer, channel = yield from self._ask(
                protocol.Claim(wanted, left), self._patience(None if left is None else left + GRACE_S)
            )
            try:
                made = channel.socket_of(_expected(answer, protocol.Given))
                if channel.acknowledge():
                    return made
                # Nobody heard of us in time; we were stopped, perhaps. The connection is another's now.
                made.close()
            finally:
                self._keep(channel)
            left = None if until is None else max(0.0, until - monotonic())

    # Looking on

    def statistics(self) -> protocol.Statistics:
        """Return what pool and server have counted; raises as `claim` does."""
        with self._asking(protocol.AskStatistics()) as (answer, _):
            return _expected(answer, protocol.Statistics)

    def watch(self) -> "Watch":
        """Return an iterator of what happens from now on, as far as it concerns what this user may claim."""
        answer, channel = _in_thread(self._ask(protocol.Watch(), self._patience(ANSWER_S)))
        try:
            _expected(answer, protocol.Events)
        except BaseException:
            self._drop(channel)
            raise
        return Watch(channel, self._drop, self._patience(None))

    def list(self) -> tuple[FourTuple, ...]:
        """Return what waits in the pool and this user may claim, oldest first; raises as `claim` does."""
        found: tuple[FourTuple, ...] = ()
        with self._asking(protocol.List()) as (answer, channel):
            while (listing := _expected(answer, protocol.Listing)).more:
                found += listing.four_tuples
                answer = _in_thread(channel.answer(self._patience(ANSWER_S)))
            return found + listing.four_tuples

    # Life

    def close(self) -> None:
        """End it: what waits in other threads raises `PoolClosed`. Claimed sockets are as they were."""
        self._closed = True
        while self._idle:
            self._drop(self._idle.pop())
        for channel in tuple(self._open):
            channel.interrupt()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<xsocket.PoolClient of {self.path}{': closed' if self._closed else ''}>"

    # Channels

    def _patience(self, seconds: float | None) -> "_Patience":
        return _Patience(seconds, f"the pool server at {self.path} says nothing")

    @contextmanager
    def _asking(self, request: protocol.Request) -> Iterator[tuple[protocol.Answer, "_Channel"]]:
        answer, channel = _in_thread(self._ask(request, self._patience(ANSWER_S)))
        try:
            yield answer, channel
        except XsocketError:
            self._keep(channel)
            raise
        except BaseException:
            self._drop(channel)
            raise
        self._keep(channel)

    def _ask(
        self, request: protocol.Request, patience: "_Patience"
    ) -> Steps[tuple[protocol.Answer, "_Channel"]]:
        """Put a question; return the first answer, and the channel, for the caller to keep or to drop."""
        octets = protocol.encode_request(request)
        kept = self._kept()
        if kept is not None:
            answer = yield from self._ask_again(kept, octets, patience)
            if answer is not None:
                return answer, kept
        try:
            channel = yield from self._connected(patience)
        except PoolUnreachableError as error:
            if self._was_served:
                raise PoolClosed(f"the pool server at {self.path} is gone") from error
            raise
        channel.send(octets)  # should that fail, the server may have said why
        answer = yield from self._answer_on(channel, patience)
        self._was_served = True
        return answer, channel

    def _ask_again(
        self, kept: "_Channel", octets: bytes, patience: "_Patience"
    ) -> Steps[protocol.Answer | None]:
        """Ask on a channel that was used before; return None if its server has ended, or was tired of it."""
        if not kept.send(octets):
            self._drop(kept)
            return None
        try:
            return (yield from self._answer_on(kept, patience))
        except PoolClosed:
            if self._closed:
                raise
            return None

    def _answer_on(self, channel: "_Channel", patience: "_Patience") -> Steps[protocol.Answer]:
        try:
            return (yield from channel.answer(patience))
        except BaseException:
            self._drop(channel)
            raise

    def _kept(self) -> "_Channel | None":
        if self._pid != os.getpid():
            self._leave_to_parent()
        if self._closed:
            raise PoolClosed("this client was closed")
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _leave_to_parent(self) -> None:
        """Close our copies of what a fork has copied."""
        self._pid = os.getpid()
        self._idle.clear()
        while self._open:
            self._open.pop().close()

    def _keep(self, channel: "_Channel") -> None:
        if self._closed or channel.is_gone:
            self._drop(channel)
        else:
            self._idle.append(channel)

    def _drop(self, channel: "_Channel") -> None:
        self._open.discard(channel)
        channel.close()

    def _connected(self, patience: "_Patience") -> Steps["_Channel"]:
        kind = socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        channel = _Channel(socket.socket(socket.AF_UNIX, kind), self.path)
        self._open.add(channel)
        try:
            while not channel.connect():
                yield _Wait(None, min(_BACKLOG_FULL_S, patience.left() or _BACKLOG_FULL_S))
        except BaseException:
            self._drop(channel)
            raise
        return channel


class Watch(Iterator[Happening]):
    """What happens at a pool server, from `PoolClient.watch`; ends with `PoolClosed` when the server does.

    Where the server could not tell everything, for this was not read, there is a happening ``missed``, with
    the number as its reason.
    """

    def __init__(
        self, channel: "_Channel", drop: "Callable[[_Channel], None]", patience: "_Patience"
    ) -> None:
        self._channel = channel
        self._drop = drop
        self._patience = patience
        self._told: deque[Happening] = deque()

    def __next__(self) -> Happening:
        while not self._told:
            events = _expected(_in_thread(self._channel.answer(self._patience)), protocol.Events)
            if events.missed:
                self._told.append(Happening(time(), "missed", reason=str(events.missed)))
            self._told.extend(events.happenings)
        return self._told.popleft()

    def close(self) -> None:
        """Watch no longer. Safe to call twice."""
        self._drop(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Channel:
    """One connection to a server, and the descriptors that came with the last answer."""

    def __init__(self, connection: socket.socket, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._descriptors: list[int] = []
        self.is_gone = False

    def connect(self) -> bool:
        """Try it; return whether it worked, False when the server has yet to accept others.

        Raises:
            PoolUnreachableError: Nobody listens.
            PoolAccessError: The file's permissions do not allow it.
        """
        try:
            self._connection.connect(os.fspath(self._path))
        except BlockingIOError:
            return False
        except PermissionError as error:
            raise PoolAccessError(f"{self._path} may not be used: {error.strerror}") from error
        except OSError as error:
            raise PoolUnreachableError(f"no pool server at {self._path}: {error.strerror}") from error
        return True

    def send(self, octets: bytes) -> bool:
        """Send a request; return False when the server is gone."""
        try:
            self._connection.send(octets)
        except OSError:
            self.is_gone = True
        return not self.is_gone

    def acknowledge(self) -> bool:
        """Say that a connection has come; return whether it is ours now."""
        return self.send(_ACKNOWLEDGEMENT)

    def answer(self, patience: "_Patience") -> Steps[protocol.Answer]:
        """Wait for the next answer.

        Raises:
            PoolClosed: The server is gone.
            ClaimTimeout: It takes longer than *patience* allows.
        """
        try:
            while True:
                yield _Wait(self._connection.fileno(), patience.left())
                octets = self._receive()
                if octets is not None:
                    return protocol.parse_answer(octets)
        except BaseException:
            self.is_gone = True  # the answer may come yet, and is not one to the next question
            raise

    def _receive(self) -> bytes | None:
        self._close_descriptors()
        try:
            octets, ancillary, _, _ = self._connection.recvmsg(
                protocol.MOST_OCTETS + 1, _ROOM_FOR_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except ConnectionResetError:  # it left without reading what we sent; its last words come after that
            return self._receive()
        except OSError as error:
            raise PoolClosed(f"the pool server at {self._path} is gone: {error.strerror}") from error
        for level, kind, rights in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                whole = len(rights) - len(rights) % _DESCRIPTOR_OCTETS
                self._descriptors.extend(array("i", rights[:whole]))
        if not octets:
            raise PoolClosed(f"the pool server at {self._path} is gone")
        return octets

    def socket_of(self, given: protocol.Given) -> socket.socket:
        """Return the socket that came with the last answer.

        Raises:
            OSError: EMFILE: none did, for this process has no descriptor to spare.
        """
        if not self._descriptors:
            self.is_gone = True  # so that the server takes it back
            raise OSError(EMFILE, f"{os.strerror(EMFILE)}: {given.four_tuple}")
        family = socket.AF_INET if given.four_tuple.family == 4 else socket.AF_INET6
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, self._descriptors.pop())

    def interrupt(self) -> None:
        """Let whoever waits for an answer hear that there is none; from any thread."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it, and what came and was not taken. Safe to call twice."""
        self._close_descriptors()
        self._connection.close()

    def _close_descriptors(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())


class _Patience:
    """How long to wait for a server, seconds from now; None for ever."""

    def __init__(self, seconds: float | None, complaint: str) -> None:
        self._until = None if seconds is None else monotonic() + seconds
        self._complaint = complaint

    def left(self) -> float | None:
        """Return the seconds that are left, None for no end; raises `ClaimTimeout` when there are none."""
        if self._until is None:
            return None
        left = self._until - monotonic()
        if left <= 0:
            raise ClaimTimeout(self._complaint)
        return left


def _expected(answer: protocol.Answer, kind: type[T]) -> T:
    """Return *answer*, which has to be a *kind*; raise the error that it tells."""
    if isinstance(answer, kind):
        return answer
    if isinstance(answer, protocol.Refused):
        raise answer.error()
    raise PoolProtocolError(f"the server answered with {type(answer).__name__}, out of place")


# Waiting


def _in_thread(steps: Steps[T]) -> T:
    try:
        wait = next(steps)
        while True:
            readable = poll()
            if wait.fileno is not None:
                readable.register(wait.fileno, POLLIN)
            readable.poll(None if wait.seconds is None else min(ceil(wait.seconds * 1000), _LONGEST_POLL_MS))
            wait = steps.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        steps.close()


async def _in_task(steps: Steps[T]) -> T:
    try:
        wait = next(steps)
        while True:
            await _wait_async(wait)
            wait = steps.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        steps.close()


async def _wait_async(wait: _Wait) -> None:
    import asyncio  # 50 ms to import, and whoever comes here has paid for it

    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not over.done():
            over.set_result(None)

    alarm = None if wait.seconds is None else loop.call_later(wait.seconds, settle)
    if wait.fileno is not None:
        loop.add_reader(wait.fileno, settle)
    try:
        await over
    finally:
        if wait.fileno is not None:
            loop.remove_reader(wait.fileno)
        if alarm is not None:
            alarm.cancel()
