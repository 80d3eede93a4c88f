"""A host in memory and the frames a peer would send it: no sockets, no namespaces, the test sets the time."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from xsocket.admission import Admission
from xsocket.config import TcpConfig
from xsocket.connection import Connection
from xsocket.fourtuple import FourTuple
from xsocket.host import Host
from xsocket.info import Info
from xsocket.pool import ConnectionPool
from xsocket.segment import Segment
from xsocket.tcp.tcb import Tcb, snapshot
from xsocket.trace import Trace
from xsocket.wire.arp import REPLY, REQUEST, ArpPacket
from xsocket.wire.codec import TcpPacket, decode, encode, encode_segment
from xsocket.wire.ethernet import Ethernet
from xsocket.wire.link import Frame

OURS: Final = "10.0.0.2"
THEIRS: Final = "10.0.0.1"
OUR_MAC: Final = bytes.fromhex("020000000002")
THEIR_MAC: Final = bytes.fromhex("020000000001")
PREFIX: Final = OUR_MAC + THEIR_MAC + b"\x08\x00"
"""What stands before an IPv4 packet from them to us."""

T = TypeVar("T")


class Station:
    """A host at 10.0.0.2, and 10.0.0.1 who talks to it."""

    def __init__(self, config: TcpConfig | None = None, trace: Trace | None = None) -> None:
        self.now = 0.0
        self.config = config or TcpConfig()
        self.pool: ConnectionPool[Connection] = ConnectionPool(
            self.config.pool_capacity, self.config.pool_policy
        )
        self.host = Host(
            mac=OUR_MAC,
            mtu=1500,
            addresses=[f"{OURS}/24"],
            gateways=[],
            config=self.config,
            admission=Admission(),
            pool=self.pool,
            calls=DirectCalls(self),
            secret=bytes(32),
            on_change=lambda _: None,
            trace=trace,
            wall_ns=lambda: int(self.now * 1e9),
        )

    def receive(self, *frames: bytes) -> list[bytes]:
        """Give *frames* to the host; return what it sends."""
        self.host.receive(self.now, [Frame(frame, int(self.now * 1e9)) for frame in frames])
        return self.host.take_frames()

    def introduce(self) -> None:
        """Let the host know where 10.0.0.1 is."""
        ethernet = Ethernet(OUR_MAC, THEIR_MAC)
        answers = self.receive(encode(ArpPacket(ethernet, REQUEST, THEIR_MAC, THEIRS, bytes(6), OURS)))
        packet = decode(answers[0])
        assert isinstance(packet, ArpPacket)
        assert packet.operation == REPLY

    def say(self, port: int, segment: Segment, to: int = 80) -> list[TcpPacket]:
        """Send one segment from *port*; return the segments that come back."""
        frame = encode_segment(PREFIX, FourTuple(THEIRS, port, OURS, to), segment)
        packets = [decode(answer) for answer in self.receive(frame)]
        return [packet for packet in packets if isinstance(packet, TcpPacket)]

    def advance(self, seconds: float) -> list[bytes]:
        """Let time pass, and every timer on the way fire; return what the host sends."""
        until = self.now + seconds
        sent: list[bytes] = []
        while self.host.deadline <= until:
            self.now = max(self.now, self.host.deadline)
            self.host.timers_fired(self.now)
            sent += self.host.take_frames()
        self.now = until
        return sent


class DirectCalls:
    """The calls of connections in one thread, where nothing ever waits (`xsocket.connection.Calls`)."""

    def __init__(self, station: Station) -> None:
        self._station = station

    def receive(self, tcb: Tcb, most: int, *, peek: bool) -> bytes | None:
        assert not peek
        return self._station.host.receive_text(self._station.now, tcb, most) or None

    def send(self, tcb: Tcb, text: memoryview) -> int | None:
        return self._station.host.send(self._station.now, tcb, text) or None

    def shutdown(self, tcb: Tcb) -> None:
        self._station.host.close(self._station.now, tcb)

    def nudge(self, tcb: Tcb) -> None:
        """Nobody waits."""

    def release(self, tcb: Tcb, connection: Connection) -> None:
        del connection
        self._station.host.release(self._station.now, tcb)

    def configure(self, tcb: Tcb, rules: Mapping[str, Any]) -> None:
        self._station.host.configure(self._station.now, tcb, replace(tcb.config, **rules))

    def abort(self, tcb: Tcb, connection: Connection) -> None:
        del connection
        self._station.host.abort(self._station.now, tcb)

    def abandon(self, tcb: Tcb) -> bool:
        self._station.host.release(self._station.now, tcb)
        return True

    def snapshot(self, tcb: Tcb) -> Info:
        return snapshot(tcb)

    def wait(self, tcb: Tcb, attempt: Callable[[], T | None], timeout: float | None) -> T | None:
        del tcb, timeout
        return attempt()

    async def wait_async(self, tcb: Tcb, attempt: Callable[[], T | None], timeout: float | None) -> T | None:
        del tcb, timeout
        return attempt()
