"""The system calls of scripts, made on the engine: listening admits a port, accepting claims from the pool.

The engine has no sockets; this gives it what a script expects of them. A call that has to wait raises
`NotYet`, and whoever drives the engine makes it again when something has happened. Where Linux and the engine
differ on purpose, the engine is left as it is, and the script shows it.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final, Protocol

from xsocket import (
    AddressInUseError,
    BadAddressError,
    BadConfigError,
    ClaimTimeout,
    Connection,
    ConnectionPool,
    FourTuple,
    Pattern,
    Segment,
    State,
    TcpConfig,
    Verdict,
)
from xsocket.admission import AdmissionPolicy
from xsocket.seqnum import distance
from xsocket_tools.scenarios import engine_options as options
from xsocket_tools.scenarios import symbols, tcpinfo
from xsocket_tools.scenarios.epoll import Epoll, Signs
from xsocket_tools.scenarios.errors import UnsupportedError
from xsocket_tools.scenarios.target import Address, Message, Sockets, os_error

_AF_INET: Final = 2
_SOL_IPV6: Final = 41
_NONBLOCK: Final = 0x800
_DONTWAIT, _PEEK, _WAITALL, _TRUNC, _FASTOPEN, _OOB, _ERRQUEUE = 0x40, 2, 0x100, 0x20, 0x20000000, 1, 0x2000
_POLLIN, _POLLOUT, _POLLERR, _POLLHUP, _POLLRDHUP, _POLLNVAL = 1, 4, 8, 0x10, 0x2000, 0x20
_POLLRDNORM, _POLLWRNORM = 0x40, 0x100
_FIRST_FD: Final = 3
_NO_BACKLOG: Final = 4096

_PEER_FINISHED: Final = frozenset(
    {State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT, State.CLOSED}
)
_OPENING: Final = frozenset({State.SYN_SENT, State.SYN_RECEIVED})


class NotYet(Exception):  # noqa: N818  # no error: the call goes on later
    """The call has to wait.

    Attributes:
        until: When it gives up waiting, seconds of the target's time; infinite for never.
    """

    def __init__(self, until: float = inf) -> None:
        super().__init__(until)
        self.until = until


class Node(Protocol):
    """What an `xsocket.Engine` and a host of a simulation have in common."""

    @property
    def pool(self) -> ConnectionPool[Connection]:
        """Where connections wait that peers have opened."""
        ...

    @property
    def config(self) -> TcpConfig:
        """The rules for connections that are opened now."""
        ...

    def open(
        self,
        remote_address: str,
        remote_port: int,
        *,
        local_address: str | None = None,
        local_port: int | None = None,
        data: bytes | None = None,
    ) -> Connection:
        """Send a SYN."""
        ...

    def connections(self) -> dict[FourTuple, State]:
        """Return the state of every connection."""
        ...

    def set_config(self, config: TcpConfig) -> None:
        """Let connections be opened by other rules."""
        ...

    def set_admission(self, admission: AdmissionPolicy) -> None:
        """Let another policy judge SYNs."""
        ...

    def fastopen_cookie(self, remote_address: str) -> bytes | None:
        """Return what a server gave for Fast Open."""
        ...


@dataclass(slots=True)
class _Socket:
    """One descriptor's socket."""

    family: int
    flags: int = 2  # O_RDWR
    bound: Address | None = None
    backlog: int | None = None
    connection: Connection | None = None
    opening: bool = False
    options: dict[options.Option, bytes] = field(default_factory=dict)
    unsent: bytes = b""
    sent: int = 0
    error: int = 0

    def taken_error(self) -> int:
        """Return what ended a connection that it has no more; it is told once."""
        taken, self.error = self.error, 0
        return taken

    @property
    def is_listening(self) -> bool:
        return self.backlog is not None


class _Listening:
    """Admits the ports that are listened on (`xsocket.AdmissionPolicy`), as many as the backlog holds."""

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self.backlogs: dict[int, int] = {}
        self._pool = pool

    def decide(self, four_tuple: FourTuple, segment: Segment) -> Verdict:
        """Return what becomes of *segment*: Linux ignores a SYN while more wait than the backlog."""
        backlog = self.backlogs.get(four_tuple.local_port)
        if backlog is None:
            return Verdict.REFUSE
        waiting = sum(1 for key in self._pool if key.local_port == four_tuple.local_port)
        return Verdict.IGNORE if segment.syn and waiting > backlog else Verdict.ADMIT


class EngineSockets(Sockets):
    """Sockets on an engine.

    Args:
        node: The engine, or a host of a simulation.
        now: The target's time, seconds.

    Attributes:
        began: When the call that is under way began, seconds; set by whoever drives it.
    """

    def __init__(self, node: Node, now: Callable[[], float]) -> None:
        self._node = node
        self._now = now
        self._sockets: dict[int, _Socket] = {}
        self._epolls: dict[int, Epoll] = {}
        self._next = _FIRST_FD
        self._admission = _Listening(node.pool)
        self.began = 0.0
        node.set_admission(self._admission)

    # Descriptors

    def _new(self, entry: _Socket) -> int:
        fd, self._next = self._next, self._next + 1
        self._sockets[fd] = entry
        return fd

    def _of(self, fd: int) -> _Socket:
        entry = self._sockets.get(fd)
        if entry is None:
            raise os_error(errno.EBADF)
        return entry

    def _wait(
        self, entry: _Socket, flags: int = 0, *, option: options.Option = options.SO_RCVTIMEO
    ) -> NotYet | OSError:
        """Return what a call does that cannot go on: wait, or fail at once, or when its time is over."""
        if entry.flags & _NONBLOCK or flags & _DONTWAIT:
            return os_error(errno.EAGAIN)
        raw = entry.options.get(option)
        if raw is None:
            return NotYet()
        seconds, micros = struct.unpack_from("=qq", raw)
        until = self.began + seconds + micros / 1e6
        if not (seconds or micros):
            return NotYet()
        return os_error(errno.EAGAIN) if self._now() >= until else NotYet(until)

    def socket(self, family: int, kind: int, protocol: int) -> int:
        """See `Sockets.socket`."""
        del protocol
        return self._new(_Socket(family, flags=2 | kind & _NONBLOCK))

    def bind(self, fd: int, address: Address) -> None:
        """See `Sockets.bind`."""
        entry = self._of(fd)
        if entry.bound is not None:
            raise os_error(errno.EINVAL)
        address = _plain(address)
        taken = any(
            other.bound is not None and other.bound[1] == address[1] and other.is_listening
            for other in self._sockets.values()
        )
        if taken and not entry.options.get(options.SO_REUSEPORT):
            raise os_error(errno.EADDRINUSE)
        entry.bound = address

    def listen(self, fd: int, backlog: int) -> None:
        """See `Sockets.listen`: from now on SYNs for the port are admitted."""
        entry = self._of(fd)
        if entry.connection is not None:
            raise os_error(errno.EINVAL)
        if entry.bound is None:
            raise UnsupportedError("listen on a port that the kernel chooses")
        entry.backlog = _NO_BACKLOG if backlog < 0 else backlog
        self._admission.backlogs[entry.bound[1]] = entry.backlog
        self._apply_to_all(entry)

    def accept(self, fd: int, flags: int = 0) -> int:
        """See `Sockets.accept`: claims a connection to the port from the pool."""
        entry = self._of(fd)
        if not entry.is_listening:
            raise os_error(errno.EINVAL)
        assert entry.bound is not None
        try:
            connection = self._node.pool.claim(Pattern(local_port=entry.bound[1]), timeout=0)
        except ClaimTimeout:
            raise self._wait(entry) from None
        return self._adopt(connection, entry, flags)

    def claim(self, wanted: FourTuple | None) -> int:
        """See `Sockets.claim`."""
        try:
            connection = self._node.pool.claim(wanted, timeout=0)
        except ClaimTimeout:
            raise NotYet() from None
        return self._adopt(connection, None, 0)

    def _adopt(self, connection: Connection, listener: _Socket | None, flags: int) -> int:
        family = _AF_INET if listener is None else listener.family
        entry = _Socket(family, flags=2 | flags & _NONBLOCK, connection=connection)
        connection.settimeout(0)
        if listener is not None:
            entry.options = dict(listener.options)
            for which, value in listener.options.items():
                rules = options.rules_of(which, value, self._node.config)
                if rules:
                    connection.configure(**rules)
        return self._new(entry)

    # Opening

    def connect(self, fd: int, address: Address | None) -> None:
        """See `Sockets.connect`."""
        entry = self._of(fd)
        if address is None:
            self._dissolve(entry)
            return
        if entry.is_listening:
            raise os_error(errno.EISCONN)
        if entry.connection is None:
            self._open(entry, _plain(address), None)
            if entry.flags & _NONBLOCK:
                raise os_error(errno.EINPROGRESS)
        self._finish_opening(entry)

    def _open(self, entry: _Socket, address: Address, data: bytes | None) -> None:
        self._apply_to_all(entry)
        local, port = entry.bound or ("", 0)
        try:
            entry.connection = self._node.open(
                *address, local_address=local or None, local_port=port or None, data=data
            )
        except AddressInUseError:
            raise os_error(errno.EADDRNOTAVAIL) from None
        except BadAddressError as error:
            raise UnsupportedError(f"connect to such an address: {error.args[0]}") from None
        entry.connection.settimeout(0)
        entry.opening = True

    def _finish_opening(self, entry: _Socket) -> None:
        connection = entry.connection
        assert connection is not None
        if not entry.opening:
            raise os_error(errno.EISCONN)
        if connection.state is State.CLOSED or connection.info.error is not None:
            entry.connection, entry.opening = None, False
            raise self._taken_error(connection) or os_error(errno.ECONNABORTED)
        if connection.state in _OPENING:
            if entry.flags & _NONBLOCK:
                raise os_error(errno.EALREADY)
            waits = self._wait(entry, option=options.SO_SNDTIMEO)
            raise waits if isinstance(waits, NotYet) else os_error(errno.EINPROGRESS)
        entry.opening = False

    def _dissolve(self, entry: _Socket) -> None:
        if entry.is_listening:
            self._stop_listening(entry)
        if entry.connection is not None:
            entry.connection.abort()
        entry.connection, entry.opening = None, False

    def _taken_error(self, connection: Connection) -> OSError | None:
        """Return what ended a connection, which is told once."""
        try:
            connection.recv(1, peek=True)
        except BlockingIOError:
            return None
        except OSError as error:
            return error
        return None

    def _connected(self, entry: _Socket, missing: int) -> Connection:
        if entry.connection is None:
            raise os_error(entry.taken_error() or missing)
        return entry.connection

    # Text

    def send(self, fd: int, data: bytes, flags: int = 0, to: Address | None = None) -> int:
        """See `Sockets.send`."""
        entry = self._of(fd)
        if flags & _OOB:
            raise UnsupportedError("MSG_OOB: the engine sends no urgent text")
        if flags & _FASTOPEN and entry.connection is None:
            return self._send_fast(entry, data, to)
        connection = self._connected(entry, errno.EPIPE)
        if entry.opening and connection.state in _OPENING:
            raise self._wait(entry, flags, option=options.SO_SNDTIMEO)
        entry.opening = False
        if not data:
            connection.send(data)
            return 0
        if entry.unsent != data:
            entry.unsent, entry.sent = data, 0
        try:
            while entry.sent < len(data):
                entry.sent += connection.send(data[entry.sent :])
        except BlockingIOError:
            waits = self._wait(entry, flags, option=options.SO_SNDTIMEO)
            if isinstance(waits, NotYet) or not entry.sent:
                raise waits from None
        except OSError:
            if not entry.sent:
                entry.unsent = b""
                raise
        sent, entry.unsent, entry.sent = entry.sent, b"", 0
        return sent

    def _send_fast(self, entry: _Socket, data: bytes, to: Address | None) -> int:
        """Send text in the SYN where a cookie allows it (RFC 7413); if not, wait for the handshake."""
        if to is None:
            raise os_error(errno.EINVAL)
        address = _plain(to)
        config = self._node.config
        if not config.fastopen & 1:
            raise os_error(errno.EOPNOTSUPP)
        may = self._node.fastopen_cookie(address[0]) is not None or config.fastopen & 4
        self._open(entry, address, data if may else b"")
        if may:
            entry.opening = False
            return len(data)
        if entry.flags & _NONBLOCK:
            raise os_error(errno.EINPROGRESS)
        raise NotYet()

    def sendmsg(
        self,
        fd: int,
        data: bytes,
        ancillary: Sequence[tuple[int, int, bytes]],
        flags: int = 0,
        to: Address | None = None,
    ) -> int:
        """See `Sockets.sendmsg`."""
        if ancillary:
            raise UnsupportedError("control messages of sendmsg")
        return self.send(fd, data, flags, to)

    def recv(self, fd: int, size: int, flags: int = 0) -> bytes:
        """See `Sockets.recv`."""
        entry = self._of(fd)
        if flags & _ERRQUEUE:
            raise os_error(errno.EAGAIN)
        if flags & _OOB:
            raise UnsupportedError("MSG_OOB: the engine delivers urgent text with the rest")
        connection = self._connected(entry, errno.ENOTCONN)
        if entry.opening and connection.state is State.SYN_SENT:
            raise self._wait(entry, flags)
        waits_for_all = flags & _WAITALL and not entry.flags & _NONBLOCK
        if waits_for_all and connection.info.unread < size and connection.state not in _PEER_FINISHED:
            raise NotYet()
        try:
            return connection.recv(size, peek=bool(flags & _PEEK))
        except BlockingIOError:
            raise self._wait(entry, flags) from None

    def recvmsg(self, fd: int, size: int, control_size: int, flags: int = 0) -> Message:
        """See `Sockets.recvmsg`."""
        del control_size
        entry = self._of(fd)
        data = self.recv(fd, size, flags)
        ancillary: tuple[tuple[int, int, bytes], ...] = ()
        if entry.options.get(options.TCP_INQ, b"\0").strip(b"\0"):
            connection = self._connected(entry, errno.ENOTCONN)
            left = connection.info.unread or int(connection.state in _PEER_FINISHED)
            ancillary = ((*options.TCP_INQ, struct.pack("=i", left)),)
        return Message(data, ancillary, 0)

    # Ending

    def shutdown(self, fd: int, how: int) -> None:
        """See `Sockets.shutdown`."""
        entry = self._of(fd)
        if entry.is_listening:
            self._stop_listening(entry)
            return
        connection = self._connected(entry, errno.ENOTCONN)
        if entry.opening and connection.state is State.SYN_SENT:  # nothing to finish: Linux gives it up
            self._dissolve(entry)
            entry.error = errno.ECONNRESET
            return
        connection.shutdown(how)

    def close(self, fd: int) -> None:
        """See `Sockets.close`."""
        if self._epolls.pop(fd, None) is not None:
            return
        entry = self._of(fd)
        del self._sockets[fd]
        for epoll in self._epolls.values():
            epoll.forget(fd)
        if entry.is_listening:
            self._stop_listening(entry)
        connection = entry.connection
        if connection is None:
            return
        linger = entry.options.get(options.SO_LINGER, bytes(8))
        onoff, seconds = struct.unpack_from("=ii", linger)
        if onoff and not seconds:
            connection.abort()
        else:
            connection.close()

    def _stop_listening(self, entry: _Socket) -> None:
        """Refuse the port again, and reset what waits to be accepted."""
        assert entry.bound is not None
        port = entry.bound[1]
        self._admission.backlogs.pop(port, None)
        entry.backlog = None
        while True:
            try:
                self._node.pool.claim(Pattern(local_port=port), timeout=0).abort()
            except ClaimTimeout:
                return

    # Control

    def fcntl(self, fd: int, command: int, argument: int) -> int:
        """See `Sockets.fcntl`."""
        if fd in self._epolls:
            return 0
        entry = self._of(fd)
        if command == 3:
            return entry.flags
        if command == 4:
            entry.flags = 2 | argument & _NONBLOCK
            return 0
        raise UnsupportedError(f"fcntl command {command}")

    def ioctl(self, fd: int, request: int) -> int:
        """See `Sockets.ioctl`."""
        entry = self._of(fd)
        if entry.is_listening:
            raise os_error(errno.EINVAL)
        info = None if entry.connection is None else entry.connection.info
        if request == 0x541B:
            return 0 if info is None or info.state in _OPENING else info.unread
        if request == 0x5411:
            return 0 if info is None or info.state in _OPENING else info.unacknowledged
        if request == 0x894B:
            return 0 if info is None else info.unacknowledged - distance(info.snd_una, info.snd_nxt)
        raise UnsupportedError(f"ioctl request {request:#x}")

    def getsockopt(self, fd: int, level: int, name: int, size: int) -> bytes:
        """See `Sockets.getsockopt`."""
        entry, which = self._of(fd), (level, name)
        _check_level(entry, level, errno.EOPNOTSUPP)
        match which:
            case options.SO_ERROR:
                error = None if entry.connection is None else self._taken_error(entry.connection)
                number = entry.taken_error() if error is None else error.errno or 0
            case options.SO_TYPE:
                number = 1
            case options.SO_ACCEPTCONN:
                number = int(entry.is_listening)
            case options.TCP_MAXSEG:
                number = 536 if entry.connection is None else entry.connection.info.snd_mss
            case options.TCP_INFO:
                raise UnsupportedError("getsockopt TCP_INFO: use %{ } with its fields")
            case _ if options.is_known(which):
                return options.value_of(which, entry.options, self._node.config)[:size]
            case _:
                raise UnsupportedError(f"getsockopt {symbols.option_name(level, name)}")
        return struct.pack("=i", number)

    def setsockopt(self, fd: int, level: int, name: int, value: bytes) -> None:
        """See `Sockets.setsockopt`."""
        entry, which = self._of(fd), (level, name)
        _check_level(entry, level, errno.ENOPROTOOPT)
        if not options.is_known(which):
            raise UnsupportedError(f"setsockopt {symbols.option_name(level, name)}")
        if which == options.TCP_CONGESTION and value.rstrip(b"\0") not in (b"reno", b"newreno"):
            raise UnsupportedError(f"congestion control {value.rstrip(bytes(1)).decode(errors='replace')}")
        if not options.is_long_enough(which, value):
            raise os_error(errno.EINVAL)
        given = {**entry.options, which: value}
        config = self._node.config
        try:
            rules = options.rules_of(which, value, config)
            opening = options.opening_rules(given, config)
            if rules and entry.connection is not None:
                entry.connection.configure(**rules)
        except BadConfigError:
            raise os_error(errno.EINVAL) from None
        entry.options = given
        if entry.is_listening:
            self._node.set_config(opening)

    def _apply_to_all(self, entry: _Socket) -> None:
        """Let the engine open connections by the options of the socket that is going to."""
        if entry.options:
            self._node.set_config(options.opening_rules(entry.options, self._node.config))

    # Waiting for several

    def _ready(self, fd: int) -> int:
        """Return the events that are there, as poll names them."""
        entry = self._sockets.get(fd)
        if entry is None:
            return _POLLNVAL
        if entry.is_listening:
            assert entry.bound is not None
            waiting = any(key.local_port == entry.bound[1] for key in self._node.pool)
            return _POLLIN | _POLLRDNORM if waiting else 0
        if entry.connection is None:
            return _POLLOUT | _POLLHUP | (_POLLERR if entry.error else 0)
        info = entry.connection.info
        events = 0
        if info.error is not None:
            events |= _POLLERR
        if info.state is State.CLOSED:
            return events | _POLLIN | _POLLOUT | _POLLHUP | _POLLRDHUP
        if info.state in _OPENING and not (info.passive or (info.fast_open and info.fast_open.syn_data)):
            return events
        if info.unread or info.state in _PEER_FINISHED:
            events |= _POLLIN | _POLLRDNORM
        if info.state in _PEER_FINISHED:
            events |= _POLLRDHUP
        if info.unacknowledged * 3 < self._node.config.wmem * 2:
            events |= _POLLOUT | _POLLWRNORM
        return events

    def poll(self, entries: Sequence[tuple[int, int]], timeout_ms: int) -> list[int]:
        """See `Sockets.poll`."""
        always = _POLLERR | _POLLHUP | _POLLNVAL
        found = [self._ready(fd) & (wanted | always) for fd, wanted in entries]
        if any(found) or self._is_over(timeout_ms):
            return found
        raise NotYet(self._end(timeout_ms))

    def _end(self, timeout_ms: int) -> float:
        return inf if timeout_ms < 0 else self.began + timeout_ms / 1000

    def _is_over(self, timeout_ms: int) -> bool:
        return self._now() >= self._end(timeout_ms)

    def epoll_create(self) -> int:
        """See `Sockets.epoll_create`."""
        fd, self._next = self._next, self._next + 1
        self._epolls[fd] = Epoll(self._look)
        return fd

    def epoll_ctl(self, epfd: int, operation: int, fd: int, events: int, data: int) -> None:
        """See `Sockets.epoll_ctl`."""
        epoll = self._epoll(epfd)
        self._of(fd)
        epoll.control(operation, fd, events, data)

    def _epoll(self, epfd: int) -> Epoll:
        if epfd not in self._epolls:
            raise os_error(errno.EBADF)
        return self._epolls[epfd]

    def epoll_wait(self, epfd: int, most: int, timeout_ms: int) -> list[tuple[int, int]]:
        """See `Sockets.epoll_wait`."""
        found = self._epoll(epfd).ready(most)
        if found or self._is_over(timeout_ms):
            return found
        raise NotYet(self._end(timeout_ms))

    def _look(self, fd: int) -> tuple[int, Signs]:
        connection = self._of(fd).connection
        info = None if connection is None else connection.info
        return self._ready(fd), () if info is None else (info.rcv_nxt, info.snd_una)

    # What code sees

    def tcp_info(self, fd: int) -> Mapping[str, int]:
        """See `Sockets.tcp_info`: the fields of which the engine has the equivalent."""
        entry = self._of(fd)
        if entry.connection is None:
            return {"tcpi_state": 10 if entry.is_listening else 7, "tcpi_unacked": len(self._node.pool)}
        return tcpinfo.of_engine(entry.connection.info, self._node.config)


def _check_level(entry: _Socket, level: int, refusal: int) -> None:
    """Refuse options of IPv6 to a socket of IPv4."""
    if entry.family == _AF_INET and level == _SOL_IPV6:
        raise os_error(refusal)


def _plain(address: Address) -> Address:
    """Return an address without the prefix that maps IPv4 into IPv6."""
    host, port = address
    return host.removeprefix("::ffff:") if "." in host else host, port
