"""A Linux kernel as a target: raw frames from an address that its kernel does not own.

An ICMP echo after each step is the fence: what the kernel sends before the echo's reply is its answer, and
there is no silence to wait for.
"""

import errno
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, SYN, Segment
from xsocket.state import State
from xsocket.wire.codec import TcpPacket, decode, encode_segment
from xsocket.wire.ethernet import IPV4, Ethernet, build_ethernet
from xsocket.wire.icmp import ECHO_REPLY, ECHO_REQUEST, IcmpPacket, build_icmp
from xsocket.wire.ip import Ipv4
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Host, Lab
from xsocket_tools.grid.cells import LostStepError
from xsocket_tools.sockdiag import SockDiag

KERNEL: Final = "10.0.0.1"
PEER: Final = "10.0.0.2"
INTERFACE: Final = "eth0"
_LISTENING: Final = 80
_CLOSED: Final = 81
_FIRST_PEER_PORT: Final = 2000
_PATIENCE_S: Final = 5.0
_BACKLOG: Final = 4096
"""Cells leave half-open connections behind; there is room for all of them."""

SYSCTLS: Final[dict[str, int | str]] = {
    "tcp_timestamps": 0,
    "tcp_sack": 0,
    "tcp_window_scaling": 0,
    "tcp_ecn": 0,
    "tcp_fastopen": 0,
    "tcp_syncookies": 0,
    "tcp_invalid_ratelimit": 0,
    "tcp_challenge_ack_limit": 0x7FFFFFFF,
    "tcp_rmem": "4096 65535 65535",
    "tcp_tw_reuse": 0,
    "tcp_rfc1337": 0,
    "tcp_early_retrans": 0,
    "tcp_no_metrics_save": 1,
    "tcp_congestion_control": "reno",
    "tcp_max_syn_backlog": 1 << 16,
    "icmp_ratelimit": 0,
    "icmp_echo_ignore_all": 0,
}
"""No options, and no limit on answers, as in the engine's cells; nothing is paced or hastily sent again."""


@contextmanager
def kernel_target(sysctls: Mapping[str, int | str] = SYSCTLS) -> Iterator["KernelTarget"]:
    """Make a lab with a kernel to ask, whose *sysctls* are below ``net.ipv4``, and remove it afterwards."""
    with Lab() as lab:
        asked, peer = lab.host("kernel"), lab.host("peer")
        cable = lab.link(asked, peer, addresses=([f"{KERNEL}/24"], []))
        asked.neighbour(INTERFACE, PEER, cable[peer.name].mac)  # it never asks
        asked.route(f"{PEER}/32", interface=INTERFACE, quickack=True)  # it delays no acknowledgment
        for name, value in sysctls.items():
            asked.sysctl(f"net.ipv4.{name}", value)
        link = peer.run(PacketLink, INTERFACE, [PEER])
        target = KernelTarget(asked, link)
        try:
            yield target
        finally:
            target.close()


class KernelTarget:
    """The TCP of the kernel in *host*, seen through *link* from the other end of its cable."""

    def __init__(self, host: Host, link: PacketLink) -> None:
        self._host = host
        self._link = link
        self._poll = select.poll()
        self._poll.register(link.fileno(), select.POLLIN)
        self._ethernet = Ethernet(bytes.fromhex(host.interfaces[INTERFACE].mac.replace(":", "")), link.mac)
        self._prefix = build_ethernet(self._ethernet, IPV4)
        self._fences = 0
        self._peer_port = _FIRST_PEER_PORT
        self._listener = host.run(socket.create_server, (KERNEL, _LISTENING), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._diag = SockDiag(host.namespace)
        self._socket: socket.socket | None = None
        self._ours = FourTuple(PEER, _FIRST_PEER_PORT, KERNEL, _LISTENING)

    def close(self) -> None:
        """Let go of every socket."""
        self._drop_socket()
        self._listener.close()
        self._diag.close()
        self._link.close()

    # The target

    def begin(self, state: State) -> None:
        """See `Target.begin`."""
        self._drop_socket()
        self._fence()
        self._peer_port += 1
        port = _CLOSED if state in (State.CLOSED, State.SYN_SENT) else _LISTENING
        self._ours = FourTuple(PEER, self._peer_port, KERNEL, port)

    def inject(self, segment: Segment) -> list[Segment]:
        """See `Target.inject`."""
        self._link.send([encode_segment(self._prefix, self._ours, segment)])
        # A SYN without ACK answers nothing: it is one of the kernel's own, sent again.
        return [each for each in self._fence() if each.flags & (SYN | ACK) != SYN]

    def connect(self) -> list[Segment]:
        """See `Target.connect`."""
        self._socket = self._host.run(socket.socket)
        self._socket.setblocking(False)
        self._socket.bind((KERNEL, 0))
        self._ours = FourTuple(PEER, self._peer_port, KERNEL, self._socket.getsockname()[1])
        if self._socket.connect_ex((PEER, self._peer_port)) != errno.EINPROGRESS:
            raise LostStepError("the kernel did not open a connection")
        return self._fence()

    def shut_down(self) -> list[Segment]:
        """See `Target.shut_down`; the socket is kept, for an orphan is another matter."""
        self.socket().shutdown(socket.SHUT_WR)
        return self._fence()

    def socket(self) -> socket.socket:
        """Return the kernel's socket of the connection.

        Raises:
            LostStepError: It has not been established.
        """
        if self._socket is None:
            try:
                self._socket, _ = self._listener.accept()
            except BlockingIOError:
                raise LostStepError("the kernel has no connection to accept") from None
        return self._socket

    def state(self) -> State | None:
        """See `Target.state`: what sock_diag says."""
        return self._diag.state(self._ours.reversed)

    # Frames

    def _fence(self) -> list[Segment]:
        """Ping the kernel; return the segments of this connection that came before the reply."""
        self._fences = (self._fences + 1) & 0xFFFF
        body = self._fences.to_bytes(4, "big")
        self._link.send([build_icmp(IcmpPacket(self._ethernet, Ipv4(PEER, KERNEL), ECHO_REQUEST, 0, body))])
        came: list[Segment] = []
        until = time.monotonic() + _PATIENCE_S
        while (left := until - time.monotonic()) > 0:
            self._poll.poll(left * 1000)
            for frame in self._link.receive():
                packet = decode(frame.data, frame.checksum_ready)
                if isinstance(packet, TcpPacket) and packet.four_tuple == self._ours:
                    came.append(packet.segment)
                if isinstance(packet, IcmpPacket) and packet.type == ECHO_REPLY and packet.body == body:
                    return came
        raise LostStepError("the kernel answered no ping")

    def _drop_socket(self) -> None:
        """Reset what the last cell left, and what it left to be accepted."""
        left = [] if self._socket is None else [self._socket]
        self._socket = None
        while True:
            try:
                left.append(self._listener.accept()[0])
            except OSError:
                break
        for each in left:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()
