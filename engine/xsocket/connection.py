"""What a consumer holds: `Connection`, with the methods and exceptions of `socket.socket`.

Blocking and waking are the runtime's business, reached through `Calls`; the bytes are the TCB's.
"""

import errno
import io
import os
import warnings
from collections.abc import Awaitable, Callable, Mapping
from threading import TIMEOUT_MAX
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar

from xsocket.config import PER_CONNECTION
from xsocket.errors import BadConfigError, CannotHandOverError
from xsocket.fourtuple import FourTuple
from xsocket.info import Info
from xsocket.state import State
from xsocket.tcp.tcb import Tcb

if TYPE_CHECKING:
    from socket import socket

SHUT_RD: Final = 0
SHUT_WR: Final = 1
SHUT_RDWR: Final = 2

T = TypeVar("T")


class Calls(Protocol):
    """What a connection asks of the engine it lives in. Every method may be called by any thread."""

    def receive(self, tcb: Tcb, most: int, *, peek: bool) -> bytes | None:
        """Take (or look at) up to *most* octets; None when there is nothing yet, empty at the end."""
        ...

    def send(self, tcb: Tcb, text: memoryview) -> int | None:
        """Give text; return how many octets were taken, None when there is no room yet."""
        ...

    def shutdown(self, tcb: Tcb) -> None:
        """Finish sending."""
        ...

    def nudge(self, tcb: Tcb) -> None:
        """Let every call that waits for this connection look again."""
        ...

    def release(self, tcb: Tcb, connection: "Connection") -> None:
        """Finish sending, and nobody will read any more: *connection*, which had *tcb*, is of no use now."""
        ...

    def abort(self, tcb: Tcb, connection: "Connection") -> None:
        """Reset; as for `release`, nobody has *connection* any more."""
        ...

    def abandon(self, tcb: Tcb) -> bool:
        """Release later: for a destructor, which must not wait for a lock; say if it deserves a warning."""
        ...

    def snapshot(self, tcb: Tcb) -> Info:
        """Return the TCB's variables at one moment."""
        ...

    def hand_over(self, tcb: Tcb) -> "socket | None":
        """Let a kernel socket carry the connection on; None while it is not established yet."""
        ...

    def take_back(self, tcb: Tcb, made: "socket") -> bool:
        """Carry on what went to a kernel socket; False when that was read or written, or has ended."""
        ...

    def configure(self, tcb: Tcb, rules: Mapping[str, Any]) -> None:
        """Change rules for this connection; see `Connection.configure`."""
        ...

    def wait(self, tcb: Tcb, attempt: Callable[[], T | None], timeout: float | None) -> T | None:
        """Call *attempt* now and at each change until it gives something; None after *timeout* seconds."""
        ...

    def wait_async(
        self, tcb: Tcb, attempt: Callable[[], T | None], timeout: float | None
    ) -> Awaitable[T | None]:
        """The same for asyncio: suspends the task instead of the thread."""
        ...


class Connection:
    """An established connection with one owner.

    Made by the engine, claimed from its pool. Any thread may call any method; like a socket, it is meant for
    one reader and one writer at a time. Where a method shares its name with one of `socket.socket`, it takes
    and raises the same. Timeouts are seconds: None blocks, 0 never does.
    """

    __slots__ = (
        "__weakref__",
        "_calls",
        "_closed",
        "_files",
        "_read_shut",
        "_tcb",
        "_timeout",
        "_write_shut",
    )

    def __init__(self, tcb: Tcb, calls: Calls) -> None:
        self._tcb = tcb
        self._calls = calls
        self._timeout: float | None = None
        self._closed = self._read_shut = self._write_shut = False
        self._files = 0

    # What it is

    @property
    def four_tuple(self) -> FourTuple:
        """Local address and port, remote address and port."""
        return self._tcb.four_tuple

    @property
    def state(self) -> State:
        """The state of RFC 9293 it is in now."""
        return self._tcb.state

    @property
    def info(self) -> Info:
        """The variables of its TCB at this moment, by their RFC names."""
        return self._calls.snapshot(self._tcb)

    @property
    def closed(self) -> bool:
        """Whether this end has called `close` or `abort`."""
        return self._closed

    def getsockname(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return the local address as `socket.socket` writes it: a pair, or four values for IPv6."""
        self._check_open()
        key = self._tcb.four_tuple
        return _socket_address(key.local_address, key.local_port)

    def getpeername(self) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return the remote address as `socket.socket` writes it: a pair, or four values for IPv6."""
        self._check_open()
        key = self._tcb.four_tuple
        return _socket_address(key.remote_address, key.remote_port)

    def __repr__(self) -> str:
        return f"<xsocket.Connection {self.four_tuple} {'closed' if self._closed else self.state.value}>"

    def configure(self, **rules: Any) -> None:  # noqa: ANN401
        """Play by other rules from now on: fields of `TcpConfig`, for this connection alone.

        What `setsockopt` does for a socket: ``nodelay`` (TCP_NODELAY), ``keepalive`` and its times
        (SO_KEEPALIVE, TCP_KEEPIDLE, ...), ``user_timeout_s`` (TCP_USER_TIMEOUT) and the other rules named in
        `xsocket.config.PER_CONNECTION`.

        Raises:
            BadConfigError: A rule does not exist, belongs to the whole engine, or its value is out of range.
            OSError: EBADF after `close`.
        """
        self._check_open()
        foreign = sorted(rules.keys() - PER_CONNECTION)
        if foreign:
            raise BadConfigError(f"{', '.join(foreign)}: not a rule of one connection")
        self._calls.configure(self._tcb, rules)

    # To the kernel

    def to_kernel(self) -> "socket":
        """Let the kernel's TCP carry the connection on; return the socket, which has this one's timeout.

        The peer notices nothing: what it sends meanwhile, what it has sent before and nobody has read, and
        what it has not acknowledged yet, the socket has. From then on it is a socket as any other; it lives
        on when the engine stops. This object is closed then.

        Waits until the handshake is complete, as long as the timeout allows. Explicit congestion notification
        ends with the hand-over: TCP_REPAIR does not know it.

        Raises:
            HandoffError: The kernel refused; the connection is as it was.
            NotKernelAddressError: The local address is the engine's alone.
            CannotHandOverError: This end has finished sending, a key protects the connection, or a file made
                by `makefile` is open.
            TimeoutError: It was not established within the timeout.
            OSError: EBADF after `close`, ENOTCONN when the connection is gone, EMFILE without a descriptor to
                spare.
        """
        return self._handed_over(self._wait(self._giver()), self._timeout)

    async def to_kernel_async(self) -> "socket":
        """Like `to_kernel`, for asyncio; the socket does not block."""
        return self._handed_over(await self._wait_async(self._giver()), 0.0)

    def from_kernel(self, made: "socket") -> bool:
        """Undo `to_kernel` if no octet was read or written since; *made* is the socket that it returned.

        For who gives sockets away and hears that nobody took one: the connection can be given back to its
        pool then. Other processes that hold *made* have a dead socket from now on (ECONNABORTED).

        Returns:
            True: this connection is open again, and *made* is closed. False: the socket was read, written or
            shut down, or has ended; it is as it was.

        Raises:
            ValueError: *made* is not this connection's.
            EngineStateError: The engine has ended.
        """
        if not self._calls.take_back(self._tcb, made):
            return False
        self._closed = False
        made.close()
        return True

    def _giver(self) -> "Callable[[], socket | None]":
        def attempt() -> "socket | None":
            self._check_open()
            if self._files:
                raise CannotHandOverError("a file made by makefile is open")
            return self._calls.hand_over(self._tcb)

        return attempt

    def _handed_over(self, made: "socket", timeout: float | None) -> "socket":
        self._closed = True
        if timeout != made.gettimeout():  # to set it is a system call
            made.settimeout(timeout)
        return made

    # Timeouts

    def settimeout(self, value: float | None) -> None:
        """Let every later call wait up to *value* seconds; None for ever, 0 not at all.

        Raises:
            ValueError: *value* is negative, or not a number.
            OverflowError: *value* is more than `threading.TIMEOUT_MAX`, 292 years.
            OSError: EBADF after `close`.
        """
        self._check_open()
        if value is not None:
            if not value >= 0:  # so that NaN is refused, too
                raise ValueError("Timeout value out of range")
            if value > TIMEOUT_MAX:
                raise OverflowError("timeout is too large")
            value = float(value)
        self._timeout = value

    def gettimeout(self) -> float | None:
        """Return the timeout in seconds, None for blocking."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """``settimeout(None)`` if *flag*, else ``settimeout(0)``."""
        self.settimeout(None if flag else 0.0)

    def getblocking(self) -> bool:
        """Return whether calls may wait."""
        return self._timeout != 0

    # Reading

    def recv(self, bufsize: int, *, peek: bool = False) -> bytes:
        """Return what arrived, at most *bufsize* octets; empty when the peer has finished.

        Args:
            bufsize: The most to return, octets.
            peek: Leave the octets where they are (MSG_PEEK).

        Raises:
            ConnectionResetError: The peer reset the connection, and everything before that was read.
            TimeoutError: Nothing came within the timeout.
            BlockingIOError: Nothing is there and the timeout is 0.
            OSError: EBADF after `close`.
        """
        return self._wait(self._reader(bufsize, peek))

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0) -> int:
        """Like `recv`, into *buffer* (at most *nbytes* octets, 0 for its length); return how many came."""
        view = _room_in(buffer, nbytes)
        text = self.recv(len(view))
        view[: len(text)] = text
        return len(text)

    async def recv_async(self, bufsize: int) -> bytes:
        """Like `recv`, for asyncio; a cancelled call has taken nothing."""
        return await self._wait_async(self._reader(bufsize, False))

    async def recv_into_async(self, buffer: bytearray | memoryview, nbytes: int = 0) -> int:
        """Like `recv_into`, for asyncio."""
        view = _room_in(buffer, nbytes)
        text = await self.recv_async(len(view))
        view[: len(text)] = text
        return len(text)

    def _reader(self, bufsize: int, peek: bool) -> Callable[[], bytes | None]:
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        if bufsize == 0:
            return lambda: b""

        def attempt() -> bytes | None:
            self._check_open()
            text = self._calls.receive(self._tcb, bufsize, peek=peek)
            return b"" if text is None and self._read_shut else text

        return attempt

    # Writing

    def send(self, data: "bytes | bytearray | memoryview") -> int:
        """Give text to the send queue, as much as it holds; return how many octets that was, at least one.

        Raises:
            BrokenPipeError: This end has finished sending, or the connection is gone.
            ConnectionResetError: The peer reset the connection.
            TimeoutError: The queue stayed full for the timeout, or the peer no longer answers.
            BlockingIOError: The queue is full and the timeout is 0.
            OSError: EBADF after `close`.
        """
        return self._wait(self._writer(data))

    def sendall(self, data: "bytes | bytearray | memoryview") -> None:
        """Give all of *data* to the send queue; after an error nobody knows how much went.

        The timeout is that of the whole call.
        """
        self._wait(self._writer_of_all(data))

    async def send_async(self, data: "bytes | bytearray | memoryview") -> int:
        """Like `send`, for asyncio."""
        return await self._wait_async(self._writer(data))

    async def sendall_async(self, data: "bytes | bytearray | memoryview") -> None:
        """Like `sendall`, for asyncio."""
        await self._wait_async(self._writer_of_all(data))

    def _writer(self, data: "bytes | bytearray | memoryview") -> Callable[[], int | None]:
        view = memoryview(data).cast("B")
        return lambda: self._write(view)

    def _writer_of_all(self, data: "bytes | bytearray | memoryview") -> Callable[[], bool | None]:
        view = memoryview(data).cast("B")

        def attempt() -> bool | None:
            nonlocal view
            while (taken := self._write(view)) is not None:
                view = view[taken:]
                if not view:
                    return True
            return None

        return attempt

    def _write(self, view: memoryview) -> int | None:
        self._check_open()
        if not view:
            return 0
        if self._write_shut:  # the loop may not have come to it yet
            self._calls.send(self._tcb, view[:0])  # raises what else there is to tell
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        return self._calls.send(self._tcb, view)

    # Ending

    def shutdown(self, how: int) -> None:
        """Finish one direction or both (SHUT_RD, SHUT_WR, SHUT_RDWR of `socket`).

        What had arrived, and what arrives after SHUT_RD all the same, can still be read, as in Linux.

        Raises:
            OSError: EBADF after `close`, ENOTCONN when the connection is gone, EINVAL when *how* is none
                of the three.
        """
        self._check_open()
        if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if self._tcb.state in _GONE:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        if how in (SHUT_RD, SHUT_RDWR):
            self._read_shut = True
            self._calls.nudge(self._tcb)
        if how in (SHUT_WR, SHUT_RDWR):
            self._write_shut = True
            self._calls.shutdown(self._tcb)

    def close(self) -> None:
        """Give it up: what was sent goes out, then FIN. Unread text makes that a reset, as in Linux.

        Files made by `makefile` keep it open until they are closed. Closing twice is harmless.
        """
        if not self._closed:
            self._closed = True
            if not self._files:
                self._calls.release(self._tcb, self)

    def abort(self) -> None:
        """Reset the connection at once; text not yet acknowledged is lost. Harmless after `close`."""
        self._closed = True
        self._calls.abort(self._tcb, self)

    async def close_async(self) -> None:
        """Like `close`, for symmetry: nothing in it waits."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._closed and self._tcb.state is not State.CLOSED:
            matters = self._calls.abandon(self._tcb)  # first, for a warning may be an error
            if matters:
                warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)

    # Files

    def makefile(self, mode: str = "r", buffering: int | None = None, **text_options: Any) -> Any:  # noqa: ANN401
        """Return a file object over the connection, as `socket.socket.makefile` does.

        Args:
            mode: "r", "w" or both, with "b" for octets.
            buffering: Buffer size in octets; 0 for none (octets only), None for the usual.
            **text_options: ``encoding``, ``errors`` and ``newline`` for text.

        Raises:
            ValueError: The mode is not one of these, or text was asked for without a buffer.
        """
        if not set(mode) <= {"r", "w", "b"}:
            raise ValueError(f"invalid mode {mode!r} (only r, w, b allowed)")
        self._check_open()
        raw = _ConnectionFile(self, reading="r" in mode or "w" not in mode, writing="w" in mode)
        size = io.DEFAULT_BUFFER_SIZE if buffering is None or buffering < 0 else buffering
        if size == 0:
            if "b" not in mode:
                raise ValueError("unbuffered streams must be binary")
            return raw
        buffered: io.BufferedRWPair | io.BufferedReader | io.BufferedWriter
        if raw.readable() and raw.writable():
            buffered = io.BufferedRWPair(raw, raw, size)
        else:
            buffered = io.BufferedReader(raw, size) if raw.readable() else io.BufferedWriter(raw, size)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, **text_options)

    def _file_closed(self) -> None:
        self._files -= 1
        if self._closed and not self._files:
            self._calls.release(self._tcb, self)

    # Waiting

    def _wait(self, attempt: Callable[[], T | None]) -> T:
        result = self._calls.wait(self._tcb, attempt, self._timeout)
        return self._expired() if result is None else result

    async def _wait_async(self, attempt: Callable[[], T | None]) -> T:
        result = await self._calls.wait_async(self._tcb, attempt, self._timeout)
        return self._expired() if result is None else result

    def _expired(self) -> Any:  # noqa: ANN401
        if self._timeout == 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        raise TimeoutError("timed out")

    def _check_open(self) -> None:
        if self._closed and not self._files:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class _ConnectionFile(io.RawIOBase):
    """The raw file under `Connection.makefile`."""

    def __init__(self, connection: Connection, *, reading: bool, writing: bool) -> None:
        super().__init__()
        self._connection = connection
        self._reading, self._writing = reading, writing
        self._timed_out = False
        connection._files += 1

    def readable(self) -> bool:
        return self._reading

    def writable(self) -> bool:
        return self._writing

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401
        if self._timed_out:  # as in `socket.SocketIO`: a buffer above may have lost what it had read
            raise OSError("cannot read from timed out object")
        try:
            return self._connection.recv_into(buffer)
        except BlockingIOError:
            return None
        except TimeoutError:
            self._timed_out = True
            raise

    def write(self, data: Any) -> int | None:  # noqa: ANN401
        try:
            return self._connection.send(data)
        except BlockingIOError:
            return None

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._connection._file_closed()


_GONE: Final = frozenset({State.CLOSED, State.TIME_WAIT})
"""States of which a socket's user sees only that it is not connected any more."""


def _room_in(buffer: bytearray | memoryview, nbytes: int) -> memoryview:
    """Return the part of *buffer* to read into."""
    view = memoryview(buffer).cast("B")
    if nbytes < 0:
        raise ValueError("negative buffersize in recv_into")
    if nbytes > len(view):
        raise ValueError("buffer too small for requested bytes")
    return view[: nbytes or None]


def _socket_address(address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    return (address, port, 0, 0) if ":" in address else (address, port)
