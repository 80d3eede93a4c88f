"""`HostCalls`: the calls of a host's connections (`xsocket.connection.Calls`), live or in virtual time.

Who drives the host says how a call gets at it, how one waits, and what time it is; the calls are the same.
"""

import errno
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from xsocket.connection import Connection
from xsocket.errors import (
    BadAddressError,
    CannotHandOverError,
    HostUnreachableError,
    NetworkUnreachableError,
    NotKernelAddressError,
)
from xsocket.fourtuple import FourTuple, canonical_address
from xsocket.host import Host
from xsocket.info import Info
from xsocket.state import State
from xsocket.tcp.tcb import Tcb, snapshot

if TYPE_CHECKING:
    from socket import socket

EPHEMERAL_PORTS: Final = range(32_768, 61_000)
"""Local ports for active opens: Linux's ip_local_port_range."""
PORTS_BESIDE_KERNEL: Final = range(61_000, 65_536)
"""Those where the kernel has the address, too, and takes its own from the range above without asking."""

T = TypeVar("T")


class HostCalls(ABC):
    """The calls of a host's connections, and active opens.

    Args:
        lock: Held around what threads share: the host, and the list of who waits.
        randbelow: Gives a random number from 0 to below its argument, for local ports.

    Attributes:
        host: The host; set by whoever derives from this, before the first call.
    """

    host: Host

    def __init__(self, lock: AbstractContextManager[object], randbelow: Callable[[int], int]) -> None:
        self._lock = lock
        self._randbelow = randbelow
        self._waiting: dict[FourTuple, list[Callable[[], object]]] = {}

    # How the host is driven

    @abstractmethod
    def _call(self, call: Callable[[float], T]) -> T:
        """Run *call* with `now`, alone with the host; see to what it brings about."""

    @abstractmethod
    def _post(self, call: Callable[[float, Tcb], None], tcb: Tcb) -> None:
        """Let *call* run soon, or at once; never waits, so that a destructor may do it."""

    @abstractmethod
    def _now_for_waits(self) -> float:
        """Return the instant by which timeouts are measured, seconds."""

    @abstractmethod
    def _sleep_on(self, bell: threading.Lock, timeout: float | None) -> bool:
        """Wait until *bell* is released, *timeout* seconds at most; return whether it was."""

    @abstractmethod
    def wait_async(
        self, tcb: Tcb, attempt: Callable[[], T | None], timeout: float | None
    ) -> Awaitable[T | None]:
        """See `Calls.wait_async`."""

    @abstractmethod
    def _check_running(self) -> None:
        """Raise `EngineStateError` if no connection can be opened now."""

    def take_back(self, tcb: Tcb, made: "socket") -> bool:
        """See `Calls.take_back`."""
        self._check_running()
        kernel = self.host.kernel
        if kernel is None or not kernel.is_carried_by(tcb.four_tuple, made):
            raise ValueError(f"{made!r} is not what became of {tcb.four_tuple}")
        return self._call(lambda now: self.host.take_back(now, tcb, made))

    def _new_socket(self, version: int) -> "socket":
        """Return a new TCP socket of the kernel that the host shares addresses with."""
        raise AssertionError(f"no kernel has IPv{version} addresses of this host")

    # Opening

    def connect(
        self,
        remote: str,
        port: int,
        timeout: float | None,
        local: str | None,
        local_port: int | None,
        data: bytes | None,
    ) -> Connection:
        """Open a connection and wait until it is established; raises as `Engine.connect` does."""
        tcb = self.open(remote, port, local, local_port, data)
        try:
            opened = self.wait(tcb, lambda: self._has_opened(tcb), timeout)
        except BaseException:
            self._post(self.host.abort, tcb)
            raise
        if opened is None:
            self._post(self.host.abort, tcb)
            raise TimeoutError(
                errno.ETIMEDOUT, f"{tcb.four_tuple.remote_address} did not answer within {timeout} s"
            )
        return Connection(tcb, self)

    def open(
        self, remote: str, port: int, local: str | None, local_port: int | None, data: bytes | None
    ) -> Tcb:
        """Choose the 4-tuple and send the SYN; raises as `Engine.connect` does."""
        wmem = self.host.stack.config.wmem
        if data is not None and len(data) > wmem:
            raise OSError(errno.EMSGSIZE, f"{len(data)} octets of data, and the send buffer holds {wmem}")
        host, remote = self.host, canonical_address(remote)

        def call(now: float) -> Tcb:
            self._check_running()
            source = canonical_address(local) if local is not None else host.local_address_for(remote)
            if source not in host.ingress.addresses:
                raise BadAddressError(f"{source} is not one of the engine's addresses")
            candidates = (local_port,) if local_port is not None else self._ephemeral_ports()
            if local_port is not None and host.kernel is not None:
                host.kernel.check_port(source, local_port)
            chosen = host.free_port(now, source, remote, port, candidates)
            return host.connect(now, FourTuple(source, chosen, remote, port), data)

        return self._call(call)

    def fastopen_cookie(self, remote: str) -> bytes | None:
        """See `Engine.fastopen_cookie`."""
        host, remote = self.host, canonical_address(remote)
        local = host.local_address_for(remote)
        return self._call(lambda _now: host.stack.fastopen_cookie(local, remote))

    def _has_opened(self, tcb: Tcb) -> bool | None:
        """Whether the handshake is complete; None while it is under way; raises what ended it."""
        if tcb.established_at is not None:
            return True
        _raise_error(tcb)
        return None

    def _ephemeral_ports(self) -> Iterable[int]:
        """Every ephemeral port, from a random one on (RFC 6056 section 3.3.1)."""
        ports = EPHEMERAL_PORTS if self.host.kernel is None else PORTS_BESIDE_KERNEL
        first = self._randbelow(len(ports))
        yield from ports[first:]
        yield from ports[:first]

    # What a connection asks

    def receive(self, tcb: Tcb, most: int, *, peek: bool) -> bytes | None:
        """See `Calls.receive`."""
        if peek:
            return self._call(lambda _now: tcb.receiving.peek(most) if tcb.receiving else _end_of(tcb))
        return self._call(lambda now: self.host.receive_text(now, tcb, most) if tcb.unread else _end_of(tcb))

    def send(self, tcb: Tcb, text: memoryview) -> int | None:
        """See `Calls.send`."""

        def call(now: float) -> int | None:
            _raise_error(tcb)
            if not tcb.writable:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            return self.host.send(now, tcb, text) or None

        return self._call(call)

    def shutdown(self, tcb: Tcb) -> None:
        """See `Calls.shutdown`."""
        self._post(self.host.close, tcb)

    def nudge(self, tcb: Tcb) -> None:
        """See `Calls.nudge`."""
        self._post(lambda _now, tcb: self._ring(tcb.four_tuple), tcb)

    def release(self, tcb: Tcb, connection: Connection) -> None:
        """See `Calls.release`."""
        self.host.pool.let_go(connection)
        self._post(self._release, tcb)

    def _release(self, now: float, tcb: Tcb) -> None:
        self.host.release(now, tcb)
        self._ring(tcb.four_tuple)  # another thread's read would wait for ever

    def abort(self, tcb: Tcb, connection: Connection) -> None:
        """See `Calls.abort`."""
        self.host.pool.let_go(connection)
        self._post(self.host.abort, tcb)

    def abandon(self, tcb: Tcb) -> bool:
        """See `Calls.abandon`: a destructor may run while this very thread holds a lock."""
        self._post(self.host.release, tcb)
        return True

    def snapshot(self, tcb: Tcb) -> Info:
        """See `Calls.snapshot`."""
        return self._call(lambda _now: snapshot(tcb))

    def hand_over(self, tcb: Tcb) -> "socket | None":
        """See `Calls.hand_over`."""
        self._check_running()
        kernel = self.host.kernel
        if kernel is None:
            raise NotKernelAddressError(f"{tcb.four_tuple.local_address} is not an address of the kernel")
        kernel.check(tcb.four_tuple)
        if not _may_go(tcb):
            return None
        made = self._new_socket(tcb.four_tuple.family)

        def call(now: float) -> bool:
            if not _may_go(tcb):
                return False
            self.host.hand_over(now, tcb, made)
            return True

        try:
            gone = self._call(call)
        except BaseException:
            made.close()
            raise
        if not gone:
            made.close()
            return None
        return made

    def configure(self, tcb: Tcb, rules: Mapping[str, Any]) -> None:
        """See `Calls.configure`."""
        config = replace(tcb.config, **rules)
        self._call(lambda now: self.host.configure(now, tcb, config))

    # Waiting

    def wait(self, tcb: Tcb, attempt: Callable[[], T | None], timeout: float | None) -> T | None:
        """See `Calls.wait`."""
        result = attempt()
        if result is not None or timeout == 0:
            return result
        until = None if timeout is None else self._now_for_waits() + timeout
        while True:
            bell = threading.Lock()
            bell.acquire()
            self._watch(tcb.four_tuple, bell.release)
            try:
                result = attempt()
                if result is not None:
                    return result
                left = None if until is None else max(0.0, until - self._now_for_waits())
                if not self._sleep_on(bell, left):
                    return attempt()
            finally:
                self._unwatch(tcb.four_tuple, bell.release)

    def _watch(self, four_tuple: FourTuple, ring: Callable[[], object]) -> None:
        with self._lock:
            self._waiting.setdefault(four_tuple, []).append(ring)

    def _unwatch(self, four_tuple: FourTuple, ring: Callable[[], object]) -> None:
        with self._lock:
            bells = self._waiting.get(four_tuple)
            if bells is not None and ring in bells:
                bells.remove(ring)
                if not bells:
                    del self._waiting[four_tuple]

    def _ring(self, four_tuple: FourTuple) -> None:
        """Let whoever waits for a change of this connection look again."""
        bells = self._waiting.pop(four_tuple, None)
        if bells is not None:
            for ring in bells:
                ring()


def _may_go(tcb: Tcb) -> bool:
    """Whether a connection can go to the kernel; False while it is not established; raises if never."""
    if tcb.state in _HANDSHAKE:
        return False
    _raise_error(tcb)
    if tcb.signer is not None:
        raise CannotHandOverError("a key protects the connection, and the kernel does not have it")
    if tcb.state in _CAN_GO:
        return True
    if tcb.state is State.CLOSED:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
    raise CannotHandOverError(f"this end has finished sending: {tcb.state.value}")


def _end_of(tcb: Tcb) -> bytes | None:
    """What a read gives when there is no text: None to wait, or the stream's end; raises an error once."""
    if tcb.error is not BrokenPipeError:  # that came after the end, and is for writers
        _raise_error(tcb)
    return b"" if tcb.peer_finished else None


def _raise_error(tcb: Tcb) -> None:
    """Raise what ended the connection, once, as a socket's pending error is."""
    error, tcb.error = tcb.error, None
    if error is not None:
        number = ERRNO[error]
        raise error(number, os.strerror(number))


_HANDSHAKE: Final = frozenset({State.SYN_SENT, State.SYN_RECEIVED})
_CAN_GO: Final = frozenset({State.ESTABLISHED, State.CLOSE_WAIT})
"""What TCP_REPAIR can make, without a FIN of ours."""

ERRNO: Final[dict[type[OSError], int]] = {
    ConnectionRefusedError: errno.ECONNREFUSED,
    ConnectionResetError: errno.ECONNRESET,
    BrokenPipeError: errno.EPIPE,
    ConnectionAbortedError: errno.ECONNABORTED,
    TimeoutError: errno.ETIMEDOUT,
    HostUnreachableError: errno.EHOSTUNREACH,
    NetworkUnreachableError: errno.ENETUNREACH,
    PermissionError: errno.EACCES,
}
"""The error number that a socket's user would see."""
