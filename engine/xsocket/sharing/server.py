"""`PoolServer`: lets other processes claim from an engine's pool, over a Unix socket.

An event loop in a thread of its own: nothing in it waits for one client. What there is of one is a `Session`.
"""

import asyncio
import grp
import os
import resource
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from struct import Struct
from time import time
from types import TracebackType
from typing import Final, Self

from xsocket.connection import Connection
from xsocket.errors import (
    EngineStateError,
    PoolAccessError,
    PoolBusyError,
    PoolClosed,
    PoolSocketError,
    XsocketError,
)
from xsocket.fourtuple import FourTuple
from xsocket.pattern import Pattern
from xsocket.pool import ConnectionPool
from xsocket.runtime import Engine
from xsocket.sharing import protocol
from xsocket.sharing.feed import Feed
from xsocket.sharing.happening import LONGEST_REASON, Happening, ServerEvent, ServerStatistics
from xsocket.sharing.policy import ClaimPolicy, Peer
from xsocket.sharing.session import Session
from xsocket.sharing.socketfile import SocketFile

ACCEPTED_A_TURN: Final = 16
"""How many clients are accepted before those that are there have their turn."""
DESCRIPTORS_FOR_CONNECTIONS: Final = 8
"""The last of the process's descriptors, which no client gets."""
LOOK_AGAIN_S: Final = 0.5
"""How long clients wait when there was no descriptor, at most: another thread may have let go of one."""
LAST_ACKNOWLEDGEMENTS_S: Final = 1.0
"""How long a server that stops waits for clients to acknowledge what they were sent."""

_CREDENTIALS: Final = Struct("=iII")  # struct ucred
_SO_PEERGROUPS: Final = 59  # asm-generic/socket.h
_GROUPS_OCTETS: Final = 1024  # what Python reads of a socket option, at most
_GROUP: Final = Struct("=I")

Observer = Callable[[Happening], None]


class PoolServer:
    """Lets other processes claim connections of *engine*, which get each as a socket of the kernel.

    The engine's addresses have to be the kernel's, too; see `Engine`. Who may connect is up to the file's
    permissions and then to the policy; the kernel says who a client is.

    A connection goes to a client in three steps: it is claimed, sent, and acknowledged. A client that ends
    while it waits loses nothing. One that ends before it has acknowledged, or does not within
    *acknowledge_s*, has nothing: the connection goes back into the pool, or, if it was used, is reset.

    Args:
        engine: Whose pool it is; it may be started later.
        path: Of the Unix socket. What a dead server has left there is replaced.
        mode: Permissions of the file.
        group: Its group, by name or number; that of the process without it.
        policy: Who may claim what. Without one: root, the server's own user and members of *group*,
            everything.
        acknowledge_s: How long a client may take to say that a connection has come.
        max_clients: How many may be connected at once.
        max_clients_per_user: How many of one user.
        observer: Told of everything that happens, in the server's thread: it must be quick, and not raise.

    Raises:
        PoolSocketError: There is no such group.
    """

    def __init__(
        self,
        engine: Engine,
        path: str | os.PathLike[str],
        *,
        mode: int = 0o600,
        group: str | int | None = None,
        policy: ClaimPolicy | None = None,
        acknowledge_s: float = 5.0,
        max_clients: int = 1024,
        max_clients_per_user: int = 512,
        observer: Observer | None = None,
    ) -> None:
        self.path: Final = Path(path)
        self.acknowledge_s: Final = acknowledge_s
        self.pool: Final[ConnectionPool[Connection]] = engine.pool
        self._engine = engine
        self._mode = mode
        self._gid = _number_of(group)
        self._policy = self._default_policy() if policy is None else policy
        self._max_clients = max_clients
        self._max_clients_per_user = max_clients_per_user
        self._observer = observer
        self._counts = dict.fromkeys(ServerEvent, 0)
        self._sessions: set[Session] = set()
        self._users: Counter[int] = Counter()
        self._resume: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False

    def _default_policy(self) -> ClaimPolicy:
        return ClaimPolicy(groups={} if self._gid is None else {self._gid: None})

    # Life

    def start(self) -> None:
        """Make the socket and start the thread.

        Raises:
            EngineStateError: It was started before.
            PoolSocketError: The socket cannot be made; another server may have it.
        """
        if self._thread is not None:
            raise EngineStateError("the pool server was started before")
        self._file = SocketFile(self.path, mode=self._mode, gid=self._gid, backlog=self._max_clients)
        ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(ready)), name="xsocket-pool-server", daemon=True
        )
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """Disconnect the clients and remove the socket. Safe to call twice.

        Claims that wait end with `PoolClosed`. What was sent, and is acknowledged within a second, is theirs.
        """
        if self._thread is None or self._stopped:
            return
        self._stopped = True
        with suppress(RuntimeError):  # the loop has ended, by an error of its own
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def set_policy(self, policy: ClaimPolicy | None) -> None:
        """Let *policy* judge from now on, from any thread; clients for whom it differs have to leave."""
        self._policy = self._default_policy() if policy is None else policy
        if self._thread is not None and not self._stopped:
            self._loop.call_soon_threadsafe(self._review)

    def statistics(self) -> protocol.Statistics:
        """Return every counter as it is now; any thread may call this.

        Raises:
            EngineStateError: The engine was not started.
        """
        engine = self._engine.statistics()
        return protocol.Statistics(engine.pool, self._counters(), engine.handoff)

    def _counters(self) -> ServerStatistics:
        counts = self._counts.copy()
        named = {event.name.lower(): counts[event] for event in ServerEvent}
        claims_over = ("forbidden", "timed_out", "failed", "withdrawn", "kept", "sent")
        return ServerStatistics(
            **named,
            clients=len(self._sessions),
            waiting_claims=named["claim"] - sum(named[each] for each in claims_over),
            unacknowledged=named["sent"] - named["acknowledged"] - named["returned"] - named["reset"],
            watchers=0 if self._thread is None else len(self.feed),
            missed=0 if self._thread is None else self.feed.missed,
        )

    def __repr__(self) -> str:
        state = "new" if self._thread is None else "stopped" if self._stopped else "running"
        return f"<xsocket.PoolServer at {self.path}: {state}>"

    # The server's thread

    async def _run(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping, self._somebody_left = asyncio.Event(), asyncio.Event()
        self.feed = Feed(self.pool)
        self._for_connections = _most_descriptors() - DESCRIPTORS_FOR_CONNECTIONS
        self._accept_again()
        ready.set()
        try:
            await self._stopping.wait()
        finally:
            self._stop_accepting()
            self._file.remove()
            await self._part()

    async def _part(self) -> None:
        """End the sessions, at once or when they have acknowledged what they were sent."""
        for session in list(self._sessions):
            session.dismiss(PoolClosed("the pool server stops"))
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_ACKNOWLEDGEMENTS_S):
                while self._sessions:
                    self._somebody_left.clear()
                    await self._somebody_left.wait()
        for session in list(self._sessions):
            session.close()

    def note(
        self,
        event: ServerEvent,
        *,
        peer: Peer | None = None,
        four_tuple: FourTuple | None = None,
        reason: str | None = None,
    ) -> None:
        """Count *event*, and tell those who want to know."""
        self._counts[event] += 1
        if self._observer is None and not self.feed:
            return
        uid, pid = (None, None) if peer is None else (peer.uid, peer.pid)
        why = None if reason is None else ascii(reason)[1:-1][:LONGEST_REASON]
        happening = Happening(time(), event.name.lower(), four_tuple, uid, pid, why)
        if self._observer is not None:
            self._observer(happening)
        self.feed.put(happening)

    def put_back(self, connection: Connection) -> None:
        """Return a connection that no client got to the pool; end it if the pool is closed."""
        connection.settimeout(None)  # as it was
        if not self.pool.give_back(connection):
            connection.abort()

    # Clients

    def _accept(self) -> None:
        for _ in range(ACCEPTED_A_TURN):
            try:
                channel, _ = self._file.listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self.note(ServerEvent.ACCEPT_PAUSED, reason=os.strerror(error.errno or 0))
                self._pause()
                return
            channel.setblocking(False)
            self._admit(channel)

    def _admit(self, channel: socket.socket) -> None:
        peer = _peer_of(channel)
        allowed = self._policy.allowed(peer, os.geteuid())
        refusal = self._refusal(channel, peer, allowed)
        if allowed is None or refusal is not None:
            assert refusal is not None
            event, error = refusal
            self.note(event, peer=peer)
            with suppress(OSError):
                channel.send(protocol.encode_answer(protocol.Refused.because(error)))
            channel.close()
            return
        self._users[peer.uid] += 1
        self._sessions.add(Session(self, channel, peer, allowed, self._left))
        self.note(ServerEvent.CONNECTED, peer=peer)

    def _refusal(
        self, channel: socket.socket, peer: Peer, allowed: Pattern | None
    ) -> tuple[ServerEvent, XsocketError] | None:
        """Return why a client may not stay, None if it may."""
        if allowed is None:
            return ServerEvent.REFUSED_USER, PoolAccessError(f"user {peer.uid} may claim nothing here")
        if len(self._sessions) >= self._max_clients or self._users[peer.uid] >= self._max_clients_per_user:
            return ServerEvent.REFUSED_LIMIT, PoolBusyError("too many clients are connected")
        if channel.fileno() >= self._for_connections:
            return ServerEvent.REFUSED_DESCRIPTOR, PoolBusyError("the server has no descriptors to spare")
        return None

    def _left(self, session: Session) -> None:
        self._sessions.discard(session)
        self._users[session.peer.uid] -= 1
        if not self._users[session.peer.uid]:
            del self._users[session.peer.uid]
        self.note(ServerEvent.LEFT, peer=session.peer)
        self._somebody_left.set()
        if self._resume is not None:
            self._accept_again()

    def _review(self) -> None:
        for session in list(self._sessions):
            allowed = self._policy.allowed(session.peer, os.geteuid())
            if allowed != session.allowed:
                session.expel(PoolAccessError("what you may claim has changed"))

    # Accepting

    def _pause(self) -> None:
        """Without a descriptor the listener would poll readable without end."""
        self._stop_accepting()
        self._resume = self._loop.call_later(LOOK_AGAIN_S, self._accept_again)

    def _accept_again(self) -> None:
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        self._loop.add_reader(self._file.listener, self._accept)

    def _stop_accepting(self) -> None:
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        self._loop.remove_reader(self._file.listener)


def _peer_of(channel: socket.socket) -> Peer:
    credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(credentials)
    supplementary = b""
    with suppress(OSError):  # before Linux 4.13, or more of them than Python reads
        supplementary = channel.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_OCTETS)
    return Peer(pid, uid, (gid, *(group for (group,) in _GROUP.iter_unpack(supplementary))))


def _most_descriptors() -> int:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if most == resource.RLIM_INFINITY else most


def _number_of(group: str | int | None) -> int | None:
    if group is None or isinstance(group, int):
        return group
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise PoolSocketError(f"there is no group {group}") from error
