"""The real Link: an AF_PACKET socket on one interface of the current network namespace.

Bound to all protocols: a socket bound to one alone loses frames to rules at netdev ingress and on bridges.
The filter stands before the socket is bound, so no stray frame ever gets in.
"""

import ctypes
import fcntl
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from errno import EAGAIN, ENETDOWN, ENOBUFS, ENODEV, ENXIO
from struct import pack, unpack_from
from typing import Final, NamedTuple

from xsocket.errors import CaptureError, LinkDownError, NoSuchInterfaceError
from xsocket.fourtuple import FourTuple, canonical_address
from xsocket.wire.address import address_octets
from xsocket.wire.bpf import Instruction, pack_filter
from xsocket.wire.ethernet import HEADER_OCTETS, TAG_OCTETS, VLAN, multicast_mac
from xsocket.wire.filter import build_filter
from xsocket.wire.link import Frame, LinkStatistics
from xsocket.wire.nd import solicited_node
from xsocket.wire.receive_ring import SOL_PACKET, ReceiveRing
from xsocket.wire.sendmmsg import BATCH, BatchSender

DEFAULT_SLOTS: Final = 4096
DEFAULT_BUFFER_OCTETS: Final = 16 << 20

_ETH_P_ALL: Final = 0x0003
_ARPHRD_ETHER: Final = 1
_SIOCGIFNAME: Final = 0x8910
_SIOCGIFMTU: Final = 0x8921
_SIOCGIFHWADDR: Final = 0x8927
_SIOCGIFINDEX: Final = 0x8933
_SO_ATTACH_FILTER: Final = 26
_SO_RCVBUFFORCE: Final = 33
_PACKET_ADD_MEMBERSHIP: Final = 1
_PACKET_STATISTICS: Final = 6
_PACKET_IGNORE_OUTGOING: Final = 23
_PACKET_MR_MULTICAST: Final = 0
_IFNAMSIZ: Final = 16

SEND_PATIENCE_MS: Final = 1
SEND_RETRIES: Final = 3


class _Interface(NamedTuple):
    number: int
    mac: bytes
    mtu: int


class PacketLink:
    """Frames of one interface; obeys the `Link` protocol.

    Args:
        interface: Its name in the current network namespace.
        addresses: Our own addresses; a prefix length behind one is ignored. Only what concerns them gets
            through the kernel's filter. None lets every frame through.
        slots: Frames that the receive ring holds; fewer when the kernel has not the memory.
        buffer_octets: For frames too large for a slot of the ring (segments that a local kernel has not cut
            yet).

    Raises:
        CaptureError: The kernel gives no packet socket, mostly for want of CAP_NET_RAW.
        NoSuchInterfaceError: There is no such interface, or it is not an Ethernet.
        BadAddressError: An address is not one.
    """

    def __init__(
        self,
        interface: str,
        addresses: Sequence[str] | None,
        *,
        slots: int = DEFAULT_SLOTS,
        buffer_octets: int = DEFAULT_BUFFER_OCTETS,
    ) -> None:
        own = None if addresses is None else [canonical_address(text.partition("/")[0]) for text in addresses]
        self._name = interface
        self._socket = _open_socket()
        self._own = own
        self._closed = self._is_down = False
        try:
            self._interface = _inspect(self._socket, interface)
            _set_receive_buffer(self._socket, buffer_octets)
            if own is not None:
                _attach_filter(self._socket, build_filter(own))
            self._ring = ReceiveRing(self._socket, slots)
            self._ring.skip_outgoing = not _ignore_outgoing(self._socket)
            self._socket.bind((interface, _ETH_P_ALL))
            _join_groups(self._socket, self._interface.number, own or ())
            self._sender = BatchSender(self._socket.fileno(), self.mtu + HEADER_OCTETS + TAG_OCTETS)
        except OSError as error:
            self._socket.close()
            raise CaptureError(f"no packet socket on {interface!r}: {error.strerror}") from error
        except BaseException:
            self._socket.close()
            raise
        self._received = self._sent = self._failures = self._dropped = 0

    @property
    def mac(self) -> bytes:
        """The interface's station address, six octets."""
        return self._interface.mac

    @property
    def mtu(self) -> int:
        """The interface's MTU when it was opened, in octets."""
        return self._interface.mtu

    @property
    def closed(self) -> bool:
        """Whether `close` was called, or the interface is gone for good."""
        return self._closed

    def receive(self) -> list[Frame]:
        """Return all frames that are ready, oldest first; never block.

        Raises:
            LinkDownError: The interface was set down. Said once; frames come again when it is up. If it is
                removed then, the descriptor does not say so: only the next call does.
            NoSuchInterfaceError: The interface was removed. The Link is closed then.
        """
        if self._closed:
            return []
        frames = self._ring.read()
        if frames:
            self._received += len(frames)
            self._is_down = False
        else:
            self._check_interface()
        return frames

    def _check_interface(self) -> None:
        """Fetch the socket's pending error, or it would poll as ready for ever.

        Linux sets an interface down before it removes it, and reports no second error. Who asks between the
        two still finds it.
        """
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not error and not self._is_down:
            return
        try:
            fcntl.ioctl(self._socket, _SIOCGIFNAME, pack("16si20x", b"", self._interface.number))
        except OSError as gone:
            self.close()
            raise NoSuchInterfaceError(f"interface {self._name!r} was removed") from gone
        self._is_down = True
        if error:
            raise LinkDownError(f"interface {self._name!r} is down")

    def send(self, frames: Sequence[bytes]) -> None:
        """Send *frames* in order; what cannot be sent is counted. One thread at a time."""
        fitting = [frame for frame in frames if self._fits(frame)]
        self._failures += len(frames) - len(fitting)
        done = 0
        while done < len(fitting):
            if self._closed:
                self._failures += len(fitting) - done
                return
            batch = fitting[done : done + BATCH]
            done += self._send_batch(batch)

    def _fits(self, frame: bytes) -> bool:
        length = len(frame) - HEADER_OCTETS
        if length <= self._interface.mtu:
            return length >= 0
        tagged = frame[12:14] == VLAN.to_bytes(2)
        return tagged and length <= self._interface.mtu + TAG_OCTETS

    def _send_batch(self, batch: Sequence[bytes]) -> int:
        """Send what can be sent of *batch*; return how many frames are done with, one way or the other."""
        for _ in range(SEND_RETRIES):
            sent, error = self._sender.send(batch)
            self._sent += sent
            if not error:
                return sent
            if error not in (EAGAIN, ENOBUFS):
                break
            _wait_for_room(self._socket)
        # A full queue and one bad frame cost this frame; a dead interface costs them all.
        lost = len(batch) if error in (ENETDOWN, ENXIO, ENODEV) else 1
        self._failures += lost
        return lost

    def shed(self, connections: Sequence[FourTuple]) -> None:
        """Let the kernel's filter leave out what comes for *connections*, SYNs excepted.

        `xsocket.wire.shedding.MOST` at most. Where the filter has no room beside our addresses, and where
        every frame was asked for, none is left out.
        """
        if self._own is not None and not self._closed:
            with suppress(OSError):  # E2BIG, ENOMEM: it stays as it was
                _attach_filter(self._socket, build_filter(self._own, connections))

    def fileno(self) -> int:
        """Return the socket's descriptor; -1 once closed."""
        return self._socket.fileno()

    def statistics(self) -> LinkStatistics:
        """Return the counters so far. One thread at a time: the kernel's counter starts again when read."""
        if not self._closed:
            counters = self._socket.getsockopt(SOL_PACKET, _PACKET_STATISTICS, 8)
            self._dropped += unpack_from("II", counters)[1]
        return LinkStatistics(self._received, self._sent, self._dropped, self._ring.truncated, self._failures)

    def close(self) -> None:
        """Unmap the ring and close the socket; safe to call twice."""
        if self._closed:
            return
        self.statistics()
        self._closed = True
        self._ring.close()
        self._socket.close()


def _open_socket() -> socket.socket:
    try:
        return socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0
        )  # 0: receives nothing yet
    except OSError as error:
        raise CaptureError(f"no packet socket: {error.strerror}") from error


def _inspect(packet_socket: socket.socket, interface: str) -> _Interface:
    """Ask for index, station address and MTU (netdevice(7))."""
    name = interface.encode()
    if not 0 < len(name) < _IFNAMSIZ:
        raise NoSuchInterfaceError(f"{interface!r} is no name of an interface")
    request = pack("16s24x", name)
    try:
        index, kind, mtu = (
            fcntl.ioctl(packet_socket, code, request) for code in (_SIOCGIFINDEX, _SIOCGIFHWADDR, _SIOCGIFMTU)
        )
    except OSError as error:
        raise NoSuchInterfaceError(f"no interface {interface!r} in this network namespace") from error
    hardware, mac = unpack_from("H6s", kind, _IFNAMSIZ)
    if hardware != _ARPHRD_ETHER:
        raise NoSuchInterfaceError(f"interface {interface!r} is not an Ethernet")
    return _Interface(unpack_from("i", index, _IFNAMSIZ)[0], mac, unpack_from("i", mtu, _IFNAMSIZ)[0])


def _set_receive_buffer(packet_socket: socket.socket, octets: int) -> None:
    try:
        packet_socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, octets)
    except PermissionError:  # needs CAP_NET_ADMIN over the whole machine
        packet_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)


def _attach_filter(packet_socket: socket.socket, instructions: Sequence[Instruction]) -> None:
    program = pack_filter(instructions)
    octets = ctypes.create_string_buffer(program, len(program))
    sock_fprog = pack("HP", len(program) // 8, ctypes.addressof(octets))
    packet_socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, sock_fprog)


def _ignore_outgoing(packet_socket: socket.socket) -> bool:
    """Ask the kernel not to show us what this machine sends; False when it cannot (Linux before 4.20)."""
    try:
        packet_socket.setsockopt(SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    except OSError:
        return False
    return True


def _join_groups(packet_socket: socket.socket, index: int, addresses: Sequence[str]) -> None:
    """Have the hardware let our solicited-node groups through (RFC 4861 section 7.2.1)."""
    for address in addresses:
        if ":" in address:
            mac = multicast_mac(address_octets(solicited_node(address)))
            request = pack("iHH8s", index, _PACKET_MR_MULTICAST, len(mac), mac)
            packet_socket.setsockopt(SOL_PACKET, _PACKET_ADD_MEMBERSHIP, request)


def _wait_for_room(packet_socket: socket.socket) -> None:
    poller = select.poll()
    poller.register(packet_socket, select.POLLOUT)
    poller.poll(SEND_PATIENCE_MS)
