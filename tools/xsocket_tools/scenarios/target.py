"""What a target of scripts can do: `Target`, its `Sockets`, and the values that pass between it and a run.

Packets are whole IP packets as octets. Instants are seconds since the target was started.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from xsocket_tools.scenarios.errors import UnsupportedError

if TYPE_CHECKING:
    from types import TracebackType

    from xsocket import Event, FourTuple, State


BUFFERS: Final = {
    "net.ipv4.tcp_rmem": "4096 131072 6291456",
    "net.ipv4.tcp_wmem": "4096 16384 4194304",
}
"""Buffer sizes that every target begins with: Linux's own where memory is plenty. Windows depend on them."""


class Sniffed(NamedTuple):
    """A packet that the target sent: when, and its octets from the IP header on."""

    at: float
    packet: bytes


def os_error(number: int) -> OSError:
    """Return the error of a system call that has this number; OSError makes of it what it is in Python."""
    return OSError(number, os.strerror(number))


class Returned(NamedTuple):
    """What became of a system call.

    Attributes:
        at: When it returned.
        value: What the work of the call returned; None if it failed.
        error: What it failed with; None if it did not.
    """

    at: float
    value: Any = None
    error: OSError | None = None


class Message(NamedTuple):
    """What recvmsg gives: text, control messages as (level, type, data), and flags."""

    data: bytes
    ancillary: tuple[tuple[int, int, bytes], ...] = ()
    flags: int = 0


Address = tuple[str, int]
"""IP address and port of a socket address."""


class Sockets(ABC):
    """The system calls of a target, with descriptors and constants of Linux's numbers.

    Every method may raise `OSError` with its errno, as the call would fail, and `UnsupportedError`. Whether a
    call waits is for the descriptor's O_NONBLOCK to say.
    """

    @abstractmethod
    def socket(self, family: int, kind: int, protocol: int) -> int:
        """Make a socket and return its descriptor."""

    @abstractmethod
    def bind(self, fd: int, address: Address) -> None:
        """Give a socket its local address."""

    @abstractmethod
    def listen(self, fd: int, backlog: int) -> None:
        """Let connections come in."""

    @abstractmethod
    def accept(self, fd: int, flags: int = 0) -> int:
        """Return the descriptor of the next connection; *flags* are those of accept4."""

    @abstractmethod
    def connect(self, fd: int, address: Address | None) -> None:
        """Open a connection, or with None (AF_UNSPEC) dissolve it."""

    @abstractmethod
    def send(self, fd: int, data: bytes, flags: int = 0, to: Address | None = None) -> int:
        """Send text: write, send, and sendto with *to*, which may be MSG_FASTOPEN; return how many octets."""

    @abstractmethod
    def sendmsg(
        self,
        fd: int,
        data: bytes,
        ancillary: Sequence[tuple[int, int, bytes]],
        flags: int = 0,
        to: Address | None = None,
    ) -> int:
        """Send text with control messages."""

    @abstractmethod
    def recv(self, fd: int, size: int, flags: int = 0) -> bytes:
        """Receive text: read, recv, recvfrom."""

    @abstractmethod
    def recvmsg(self, fd: int, size: int, control_size: int, flags: int = 0) -> Message:
        """Receive text with control messages."""

    @abstractmethod
    def shutdown(self, fd: int, how: int) -> None:
        """Finish one direction or both."""

    @abstractmethod
    def close(self, fd: int) -> None:
        """Give a descriptor up."""

    @abstractmethod
    def fcntl(self, fd: int, command: int, argument: int) -> int:
        """F_GETFL, F_SETFL and the like."""

    @abstractmethod
    def ioctl(self, fd: int, request: int) -> int:
        """Return what a request such as SIOCINQ writes."""

    @abstractmethod
    def getsockopt(self, fd: int, level: int, name: int, size: int) -> bytes:
        """Return an option's octets, *size* at most."""

    @abstractmethod
    def setsockopt(self, fd: int, level: int, name: int, value: bytes) -> None:
        """Set an option."""

    @abstractmethod
    def poll(self, entries: Sequence[tuple[int, int]], timeout_ms: int) -> list[int]:
        """Return the events that are there for each of *entries*, descriptor and wanted events."""

    @abstractmethod
    def epoll_create(self) -> int:
        """Make an epoll descriptor."""

    @abstractmethod
    def epoll_ctl(self, epfd: int, operation: int, fd: int, events: int, data: int) -> None:
        """Add, change or remove what is waited for."""

    @abstractmethod
    def epoll_wait(self, epfd: int, most: int, timeout_ms: int) -> list[tuple[int, int]]:
        """Return events and data of what is there."""

    @abstractmethod
    def tcp_info(self, fd: int) -> Mapping[str, int]:
        """Return TCP_INFO, its fields by their names in linux/tcp.h (``tcpi_state`` and so on)."""

    def claim(self, wanted: FourTuple | None) -> int:
        """Claim a connection from the pool and return a descriptor of it. The engine only."""
        del wanted
        raise UnsupportedError("claim: Linux has no pool")


class Target(ABC):
    """One target, for one run of one script. A context manager: everything is gone after its block.

    Attributes:
        name: ``sim``, ``wire`` or ``kernel``.
        sockets: Its system calls.
        exact_us: How far from its time an event may come where the script says nothing, microseconds.
    """

    name: str
    sockets: Sockets
    exact_us: int

    @abstractmethod
    def __enter__(self) -> Self:
        """Make everything it takes; time does not run yet."""

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove everything."""

    @abstractmethod
    def start(self) -> None:
        """Let time begin at 0."""

    @abstractmethod
    def now(self) -> float:
        """Return the instant it is."""

    @abstractmethod
    def wait_until(self, instant: float) -> None:
        """Let time pass; what the target sends meanwhile is kept for `next_packet`."""

    @abstractmethod
    def next_packet(self, until: float) -> Sniffed | None:
        """Return the next packet that the target sent, oldest first; wait for one until *until* at most.

        Each is returned once. Packets that are neither TCP nor ICMP errors are left out: neighbour discovery,
        multicast listener reports.
        """

    @abstractmethod
    def inject(self, packet: bytes) -> None:
        """Let an IP packet reach the target at once."""

    @abstractmethod
    def call(self, work: Callable[[], Any]) -> Callable[[float], Returned | None]:
        """Begin a system call: *work* makes it, through `sockets`, and may have to wait.

        Returns:
            What asks for the outcome: it waits until the instant it is given, and returns None if the call
            has not returned by then. One call at a time is under way.
        """

    @abstractmethod
    def command(self, text: str, directory: str, environment: Mapping[str, str]) -> None:
        """Run a command; *directory* is where the script lies.

        Raises:
            CommandError: It failed.
            UnsupportedError: This target does not run such a command.
        """

    @abstractmethod
    def sysctl(self, name: str, value: str) -> None:
        """Set ``net.ipv4.tcp_timestamps`` and the like, for this target alone."""

    @abstractmethod
    def state(self, four_tuple: FourTuple) -> State | None:
        """Return the state of a connection (local end first), None if there is none."""

    @abstractmethod
    def waiting(self) -> int:
        """Return how many connections are established and unclaimed, or not accepted."""

    def events(self) -> Sequence[Event]:
        """Return the trace; empty where the target keeps none."""
        return ()
