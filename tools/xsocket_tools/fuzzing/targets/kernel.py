"""The Linux kernel as a target: in a namespace of its own, on a veth whose other end the peers share.

A frame is dealt with on the processor that sends it, before the ping behind it; so step and answer take some
20 us. A fresh listener and fresh ports make each case a new one.

Linux has a listener, and with it a backlog, for each IP version, where the engine has one pool for both.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from xsocket.fourtuple import FourTuple
from xsocket.state import State
from xsocket.wire.link import Frame
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Host, Lab
from xsocket_netns.offload import disable_offload
from xsocket_tools.fuzzing.cast import HOSTS, PREFIX, STATION, TARGET
from xsocket_tools.fuzzing.deviations import LINUX, LINUX_HABITS
from xsocket_tools.fuzzing.frames import Stations
from xsocket_tools.fuzzing.targets.calls import UserCalls
from xsocket_tools.fuzzing.targets.fence import PINGING, FencedLink, Wire
from xsocket_tools.fuzzing.targets.kernel_rules import Sysctls, is_possible, kernel_rules
from xsocket_tools.fuzzing.targets.kernel_sockets import KernelSockets
from xsocket_tools.fuzzing.targets.peer_memory import PeerMemory
from xsocket_tools.fuzzing.targets.wired import Rules, WiredTarget
from xsocket_tools.sockdiag import SockDiag

INTERFACE: Final = "eth0"
_ADDRESSES: Final = [f"{TARGET[version]}/{PREFIX[version]}" for version in TARGET]
_PEERS: Final = [address for version in HOSTS for address in HOSTS[version]]
_IPV4: Final = b"\x08\x00"
_ICMP, _ICMPV6 = b"\x01", b"\x3a"


@contextmanager
def kernel_target() -> Iterator[KernelTarget]:
    """Make a lab with a kernel to put cases to, and remove it afterwards.

    Raises:
        LabError: The machine gives no namespace.
        CaptureError: It gives no packet socket.
        TargetError: The kernel does not take what every case needs.
    """
    with Lab() as lab, ExitStack() as made:
        asked, peers = lab.host("kernel"), lab.host("peers")
        peers.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # or that kernel talks, too
        cable = lab.link(asked, peers, addresses=(_ADDRESSES, []))
        asked.run(disable_offload, INTERFACE)
        station = STATION.hex(":")
        for address in (*_PEERS, *PINGING.values()):
            asked.neighbour(INTERFACE, address, station)
        wire = peers.run(KernelWire, INTERFACE)
        made.callback(wire.close)
        target = KernelTarget(asked, wire, bytes.fromhex(cable[asked.name].mac.replace(":", "")))
        made.callback(target.close)
        yield target


class KernelWire:
    """The peers' end of the veth; obeys `Wire`. Each frame that it sends has been dealt with on return.

    `PacketLink` sends many frames fast, and this one two.
    """

    def __init__(self, interface: str) -> None:
        self._link = PacketLink(interface, None)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # 0: receives nothing
        self._socket.bind((interface, 0))
        self.receive = self._link.receive
        self.fileno = self._link.fileno

    def send(self, frames: Sequence[bytes]) -> None:
        """See `Link.send`."""
        for frame in frames:
            self._socket.send(frame)

    def close(self) -> None:
        """Let go of both sockets."""
        self._link.close()
        self._socket.close()


class KernelTarget(WiredTarget):
    """The TCP of the kernel in *host*; see `Target`. It is made by `kernel_target`.

    Attributes:
        host: Whose kernel it is.

    Args:
        host: Its interface has the target's addresses, and knows the peers' station.
        wire: The other end of its cable.
        mac: The station address of its interface.

    Attributes:
        deviations, habits: What it may do otherwise than the rules have it.
    """

    name = "kernel"
    deviations = LINUX
    habits = LINUX_HABITS

    def __init__(self, host: Host, wire: Wire, mac: bytes) -> None:
        self.host = host
        stations = Stations(mac, STATION)
        self._has_heard_errors = self._has_opened_fast = False
        self._orphans: set[FourTuple] = set()
        self._set: Mapping[str, str] = {}
        with ExitStack() as made:
            self._sysctls = Sysctls(host)
            made.callback(self._sysctls.close)
            self._memory = PeerMemory(host, host.interface(INTERFACE).index, _PEERS)
            made.callback(self._memory.close)
            self._diag = SockDiag(host.namespace)
            made.callback(self._diag.close)
            made.callback(self._diag.destroy)  # a connection keeps its namespace
            self._sockets = KernelSockets(host, self._diag)
            made.callback(self._sockets.close)
            super().__init__(FencedLink(wire, stations), stations)
            self._everything = made.pop_all()

    def close(self) -> None:
        """See `Target.close`."""
        super().close()
        self._everything.close()

    def unsupported(self, rules: Rules) -> list[str]:
        """Return the names of those of *rules* by which this kernel cannot play."""
        return [
            name for name, value in rules if not is_possible(name, value) or self._sysctls.lack(name, value)
        ]

    def end_case(self) -> None:
        """See `WiredTarget.end_case`: abort what only the kernel has; let it forget what it has learnt."""
        self._sockets.drop()
        if self._orphans:
            self._diag.abort(self._orphans)
            self._orphans.clear()
        if self._has_heard_errors:
            self._memory.forget_paths()
        if self._has_opened_fast:
            self._memory.forget_cookies()
        self._has_heard_errors = self._has_opened_fast = False

    def begin_case(self) -> None:
        """See `WiredTarget.begin_case`."""
        linux = kernel_rules(self.rules)
        if self._set != linux.sysctls:
            self._sysctls.set(linux.sysctls)
            self._set = linux.sysctls
        self._sockets.prepare(self.four_tuples, linux)
        self._calls = UserCalls(self.four_tuples, self._sockets.open, self._sockets.claim)

    def four_tuple(self, peer: int) -> FourTuple:
        """See `Target.four_tuple`; only peers that somebody asks for are listened for."""
        self._sockets.listen(peer)
        return self.four_tuples[peer]

    def step(self, frame: bytes | None, now: float) -> Sequence[Frame]:
        """See `Target.step`."""
        if frame is not None and _is_icmp(frame):
            self._has_heard_errors = True
        frames = super().step(frame, now)
        self._sockets.note_arrivals()
        if self._sockets.has_rest and self._sockets.send_rest():
            return [*frames, *self.of_case(self.link.exchange())]
        return frames

    def make(self, peer: int, name: str, text: bytes, size: int) -> tuple[Any, str]:
        """See `WiredTarget.make`."""
        if name in ("close", "shutdown"):
            self._orphans.add(self.four_tuples[peer])
        elif name == "open" and text:
            self._has_opened_fast = True
        elif name == "send" and self._sockets.owes(peer):
            return None, BlockingIOError.__name__
        return self._calls.make(peer, name, text, size)

    def state(self, peer: int) -> State | None:
        """See `Target.state`: what sock_diag says."""
        return self._diag.state(self.four_tuples[peer])


def _is_icmp(frame: bytes) -> bool:
    return frame[23:24] == _ICMP if frame[12:14] == _IPV4 else frame[20:21] == _ICMPV6
