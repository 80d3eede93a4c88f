"""A tun interface of a host: a link whose far end is this process, which reads and writes whole IP packets.

`add_tap` makes one of Ethernet, for another program. What the host sends by a tun interface is seen by a
packet socket, which has the kernel's own time of sending for each packet however late it is read; the
interface's descriptor is read to keep its queue short.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from xsocket_netns import kernel, netlink, stamps, threads
from xsocket_netns.errors import TunError
from xsocket_netns.host import Host, Interface

if TYPE_CHECKING:
    from pyroute2 import IPRoute  # type: ignore[import-untyped]

_DEVICE: Final = "/dev/net/tun"
_TUNSETIFF: Final = 0x400454CA  # linux/if_tun.h
_TUNSETPERSIST: Final = 0x400454CB
_IFF_TUN_WITHOUT_HEADER: Final = 0x0001 | 0x1000  # IFF_TUN, IFF_NO_PI
_IFF_TAP_WITHOUT_HEADER: Final = 0x0002 | 0x1000
_IFREQ: Final = struct.Struct("16sH22x")

_ETH_P_ALL: Final = 3  # linux/if_ether.h
_PACKET_OUTGOING: Final = 4  # linux/if_packet.h
_SO_RCVBUFFORCE: Final = 33  # asm-generic/socket.h
_BUFFER_OCTETS: Final = 8 << 20
_LARGEST: Final = 1 << 16
_QUEUE_PACKETS: Final = 1000


class Sent(NamedTuple):
    """A packet that the host sent: the instant, monotonic seconds, and its octets from the IP header on."""

    at: float
    packet: bytes


class Tun:
    """A tun interface in *host*, up and with its addresses usable; gone when closed.

    It has no link-local address and a plain queue, first in first out, which paces nothing. One thread at a
    time may use it.

    Args:
        host: Whose interface it is.
        name: Of the interface.
        mtu: In octets. Below 1280 Linux gives it no IPv6 (RFC 8200 section 5).
        addresses: Those of the host, with prefix lengths.

    Raises:
        TunError: There is no /dev/net/tun, or it is not to be used.
        NetlinkRefusedError: The kernel refused the MTU or an address.
    """

    def __init__(
        self, host: Host, name: str = "tun0", *, mtu: int = 1500, addresses: Sequence[str] = ()
    ) -> None:
        self._descriptor = _opened(host, name)
        try:
            index = host.run(socket.if_nametoindex, name)
            host.interfaces[name] = Interface(host.name, name, "", index)
            generated = f"net/ipv6/conf/{name}/addr_gen_mode"
            if host.run(Path("/proc/sys", generated).exists):
                host.sysctl(generated, 1)  # IN6_ADDR_GEN_MODE_NONE: nobody to be link-local with
            netlink.on(host.namespace, _set_up(index, mtu))
            if addresses:
                host.address(name, *addresses)
            self._seen = host.run(stamps.stamped, lambda: _packet_socket(name))
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Remove the interface. May be called twice."""
        self._seen.close()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def write(self, packet: bytes) -> None:
        """Let the host receive *packet*. It has dealt with it, and sent what it answers at once, on return.

        Raises:
            OSError: It is no IP packet (EINVAL), or the interface is down (EIO).
        """
        os.write(self._descriptor, packet)

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something for `sent` to return, for *timeout_s* at most; return whether."""
        return kernel.wait_readable(self._seen.fileno(), timeout_s)

    def sent(self) -> list[Sent]:
        """Return what the host has sent since the last call, oldest first, without waiting."""
        came: list[tuple[int, bytes]] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, ancillary, _, address = self._seen.recvmsg(_LARGEST, stamps.CONTROL_OCTETS)
                if address[2] == _PACKET_OUTGOING:
                    came.append((stamps.stamp_ns(ancillary), packet))
        with contextlib.suppress(OSError):  # EAGAIN at the end; EBADFD if the interface was removed
            while True:
                os.read(self._descriptor, _LARGEST)
        behind_ns = _monotonic_behind_ns() if came else 0
        return [Sent((stamp_ns - behind_ns) / 1e9, packet) for stamp_ns, packet in came]


def add_tap(host: Host, name: str = "tap0", *, mtu: int = 1500) -> Interface:
    """Make a tap interface in *host*, up and without addresses, for another program to take the far end of.

    That program opens /dev/net/tun in the host and attaches to *name* (TUNSETIFF); whole Ethernet frames go
    through it then. The interface stays as long as the host.

    Raises:
        TunError: There is no /dev/net/tun, or it is not to be used.
        NetlinkRefusedError: The kernel refused the MTU.
    """
    descriptor = _opened(host, name, _IFF_TAP_WITHOUT_HEADER)
    try:
        fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)
    finally:
        os.close(descriptor)
    index = host.run(socket.if_nametoindex, name)
    netlink.on(host.namespace, _set_up(index, mtu))
    host.interfaces[name] = made = Interface(host.name, name, "", index)
    return made


def _opened(host: Host, name: str, flags: int = _IFF_TUN_WITHOUT_HEADER) -> int:
    def attached() -> int:
        descriptor = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _TUNSETIFF, _IFREQ.pack(name.encode(), flags))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    try:
        with threads.uninterrupted():
            return host.run(attached)
    except OSError as error:
        raise TunError(f"cannot make the interface {name}: {error.strerror}") from error


def _set_up(index: int, mtu: int) -> Callable[[IPRoute], None]:
    def action(route: IPRoute) -> None:
        route.link("set", index=index, mtu=mtu, state="up")
        route.tc(
            "add", "pfifo", index, limit=_QUEUE_PACKETS
        )  # whatever the machine's default is: fq would pace TCP

    return action


def _packet_socket(name: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    try:
        made.setblocking(False)
        with contextlib.suppress(PermissionError):  # in a user namespace; 100 packets have room all the same
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_OCTETS)
        made.bind((name, _ETH_P_ALL))
    except BaseException:
        made.close()
        raise
    return made


def _monotonic_behind_ns() -> int:
    """Return what the monotonic clock lags behind that of time stamps, which somebody may set at any time.

    The best of three: the thread may lose the processor between two looks at clocks.
    """

    def look() -> tuple[int, int]:
        before, real, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        return after - before, real - (before + after) // 2

    return min(look() for _ in range(3))[1]
