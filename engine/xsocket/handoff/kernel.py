"""`KernelTcp`: the kernel's TCP beside an engine that shares addresses with it.

What is the engine's and what the kernel's: the guard says it to the kernel, the ledger to the engine. Not
safe for threads: the runtime holds its lock around it, and lets the engine's own thread open and close it.
"""

import socket
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from errno import EACCES, EADDRNOTAVAIL, EPERM
from pathlib import Path
from typing import Final, NamedTuple

from xsocket.errors import AddressInUseError, CaptureError, HandoffError, NotKernelAddressError
from xsocket.fourtuple import FourTuple
from xsocket.handoff import repair
from xsocket.handoff.guard import Guard
from xsocket.handoff.image import Image
from xsocket.handoff.injection import Injector
from xsocket.handoff.ledger import Ledger
from xsocket.handoff.routes import is_local
from xsocket.handoff.sockdiag import SocketDiagnostics
from xsocket.ranges import PortSet
from xsocket.reasons import DropReason
from xsocket.segment import ACK, SYN
from xsocket.tcp.handover import Returned
from xsocket.wire.codec import Arrival
from xsocket.wire.shedding import MOST

_SO_COOKIE: Final = 57  # asm-generic/socket.h
_SO_NETNS_COOKIE: Final = 71
_LARGEST_WINDOW: Final = 1 << 30  # RFC 7323 section 2.3


class HandoffStatistics(NamedTuple):
    """What went between an engine and the kernel.

    Attributes:
        handed_over: Connections that went to the kernel.
        taken_back: How many of them came back untouched.
        failed: How often one did not go, and stayed.
        in_kernel: Handed-over connections whose socket lives.
        injected: Segments that came while a socket was being made, or before, and were given to it after.
        injection_failures: How many of them the kernel refused; their peers send them again.
        forgotten: Ended connections that made room in the ledger for others.
    """

    handed_over: int = 0
    taken_back: int = 0
    failed: int = 0
    in_kernel: int = 0
    injected: int = 0
    injection_failures: int = 0
    forgotten: int = 0


class KernelTcp:
    """The kernel's TCP, as far as it concerns one engine.

    Args:
        addresses: The engine's addresses that are the kernel's, too; canonical, without prefix lengths.
        ports: The local ports that are the engine's.

    Attributes:
        handed_over: How many connections went to the kernel so far.
        rmem_max: The most octets that a receive buffer may become, as Linux counts for its shift counts.
    """

    def __init__(self, addresses: Iterable[str], ports: PortSet) -> None:
        self.rmem_max: Final = _largest_receive_buffer()
        self.addresses: Final = frozenset(addresses)
        self.ports = ports
        self.handed_over = self._taken_back = self._failed = 0

    def open(self) -> None:
        """Install the guard; what belongs to a network namespace is that of the calling thread.

        Raises:
            GuardError: The kernel refused the guard.
            CaptureError: It refused a raw socket, or another.
        """
        with ExitStack() as opened:
            self._guard = Guard(sorted(self.addresses), self.ports)
            opened.callback(self._guard.close)
            try:
                with repair.new_socket(4) as probe:
                    self._namespace = _namespace_of(probe)
                self._diagnostics = SocketDiagnostics()
                opened.callback(self._diagnostics.close)
                self._injector = Injector()
                opened.callback(self._injector.close)
                self._ledger = Ledger(self._diagnostics.state, MOST)
                self._remember_others()
            except OSError as error:
                raise CaptureError(f"no socket to look after connections: {error.strerror}") from error
            self._opened = opened.pop_all()

    def _remember_others(self) -> None:
        """Leave alone what the kernel has already: an engine before this one may have handed it over."""
        for four_tuple, cookie in self._diagnostics.connected():
            is_ours = four_tuple.local_address in self.addresses and four_tuple.local_port in self.ports
            if is_ours and four_tuple not in self._ledger:
                self._ledger.add(four_tuple, cookie, at_ns=0)

    def close(self) -> None:
        """Remove the guard. Connections that were handed over live on."""
        self._opened.close()

    def cover(self, ports: PortSet) -> None:
        """Let the engine have *ports*, too.

        Raises:
            GuardError: The kernel refused.
        """
        self._guard.cover(ports)
        self.ports = self._guard.ports
        self._remember_others()

    # What comes in

    def takes(self, arrival: Arrival, at_ns: int) -> DropReason | None:
        """Return why a segment that came at *at_ns* is not the engine's, None if it is.

        A segment that came before the connection's socket could get it is given to it.
        """
        four_tuple, segment = arrival
        if four_tuple.local_address not in self.addresses:
            return None
        if four_tuple.local_port not in self.ports:
            return DropReason.PORT_IS_KERNELS
        if not self._ledger.takes(four_tuple, at_ns, opens=segment.flags & (SYN | ACK) == SYN):
            return None
        if self._ledger.missed(four_tuple, at_ns):
            self._injector.inject(four_tuple, segment)
        return DropReason.HANDED_OVER

    def take_busy(self) -> list[FourTuple] | None:
        """Return the connections that the engine need not see, None if they are those of the last call."""
        return self._ledger.take_busy()

    def fileno(self) -> int:
        """Return a descriptor that polls readable when `collect` has something to do."""
        return self._diagnostics.fileno()

    def collect(self, now: float) -> list[FourTuple]:
        """Return the handed-over connections whose socket has ended since the last call."""
        news, missing = self._diagnostics.ended()
        if not (news or missing):
            return []
        if missing:
            news += self._ledger.review()
        now_ns = time.time_ns()
        ended = (self._ledger.end(cookie, now, now_ns) for cookie in news)
        return [four_tuple for four_tuple in ended if four_tuple is not None]

    @property
    def deadline(self) -> float:
        """When `timers_fired` wants to be called; infinite for never."""
        return self._ledger.deadline

    def timers_fired(self, now: float) -> None:
        """Forget what the kernel has forgotten."""
        self._ledger.look_again(now)

    def has(self, four_tuple: FourTuple) -> bool:
        """Return whether the kernel has this connection, so that it cannot be opened."""
        return self._ledger.has(four_tuple)

    # Handing over

    def check(self, four_tuple: FourTuple) -> None:
        """Raise `NotKernelAddressError` if no kernel socket can have a connection of this name."""
        if four_tuple.local_address not in self.addresses:
            raise NotKernelAddressError(f"{four_tuple.local_address} is not an address of the kernel")

    def check_port(self, address: str, port: int) -> None:
        """Raise `AddressInUseError` if *port* of *address* is the kernel's."""
        if address in self.addresses and port not in self.ports:
            raise AddressInUseError(f"port {port} of {address} is the kernel's; the engine has {self.ports}")

    def can_use(self, made: socket.socket) -> bool:
        """Whether *made*, which the calling thread has just made, is of the engine's network namespace."""
        return _namespace_of(made) == self._namespace

    def take(self, image: Image, made: socket.socket) -> None:
        """Make *made*, a new socket of the engine's namespace, the connection that *image* shows.

        Raises:
            HandoffError: The kernel refused. *made* is of no use any more; closing it sends nothing.
        """
        try:
            repair.restore(made, image)
            repair.start(made, image)
            repair.reveal(made, image.four_tuple.family)
        except OSError as error:
            self._failed += 1
            raise HandoffError(f"{image.four_tuple}: {_why(error)}") from error
        at_ns = time.time_ns()
        self._ledger.add(image.four_tuple, _cookie(made), at_ns)
        for segment in image.missed:
            self._injector.inject(image.four_tuple, segment)
        self.handed_over += 1

    def is_carried_by(self, four_tuple: FourTuple, made: socket.socket) -> bool:
        """Return whether *made* is what became of this connection."""
        return self._ledger.cookie(four_tuple) == _cookie(made)

    def take_back(
        self, four_tuple: FourTuple, made: socket.socket, end_of_text: int, first_unread: int
    ) -> Returned | None:
        """Let the engine have a connection again; see `xsocket.handoff.repair.withdraw`.

        Raises:
            HandoffError: The kernel refused; the socket goes on.
        """
        try:
            returned = repair.withdraw(made, four_tuple.family, end_of_text, first_unread)
        except OSError as error:
            raise HandoffError(f"{four_tuple}: {_why(error)}") from error
        if returned is not None:
            self._ledger.remove(four_tuple)
            self._taken_back += 1
        return returned

    def statistics(self) -> HandoffStatistics:
        """Return the counters so far."""
        return HandoffStatistics(
            self.handed_over,
            self._taken_back,
            self._failed,
            len(self._ledger),
            self._injector.sent,
            self._injector.failures,
            self._ledger.forgotten,
        )


_WHY: Final = {
    EPERM: "TCP_REPAIR takes CAP_NET_ADMIN",
    EACCES: "a port below ip_unprivileged_port_start takes CAP_NET_BIND_SERVICE",
    EADDRNOTAVAIL: "the kernel has lost the local address, or has this connection already",
}


def _why(error: OSError) -> str:
    return _WHY.get(error.errno or 0, str(error.strerror))


def _cookie(made: socket.socket) -> int:
    """Return the number that tells a socket from every other, those before it included."""
    return int.from_bytes(made.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder)


def _namespace_of(made: socket.socket) -> bytes:
    """Return what tells the network namespace of a socket, which the calling thread has just made."""
    try:
        return made.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    except OSError:  # before Linux 5.14
        found = Path("/proc/thread-self/ns/net").stat()
        return f"{found.st_dev} {found.st_ino}".encode()


def _largest_receive_buffer() -> int:
    """Return what tcp_select_initial_window() of Linux takes for it, octets; 0 if nobody says."""
    largest = 0
    for name in ("ipv4/tcp_rmem", "core/rmem_max"):
        with suppress(OSError):  # the latter is not in every namespace
            largest = max(largest, int(Path("/proc/sys/net", name).read_text().split()[-1]))
    return min(largest, _LARGEST_WINDOW)


def kernel_addresses(addresses: Iterable[str]) -> list[str]:
    """Return those of *addresses* that the kernel has in the calling thread's network namespace."""
    return [address for address in addresses if is_local(address)]
