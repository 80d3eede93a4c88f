"""What travels on a path: a frame and which way it goes, read at most once on the whole way."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import Segment
from xsocket.wire.codec import Packet, TcpPacket, decode, encode
from xsocket.wire.ethernet import Ethernet
from xsocket.wire.ip import Ipv4, Ipv6


class Towards(Enum):
    """Which end of the path a frame is on its way to."""

    LEFT = "left"
    RIGHT = "right"

    @property
    def opposite(self) -> Towards:
        """The way back."""
        return Towards.LEFT if self is Towards.RIGHT else Towards.RIGHT


class Seen(NamedTuple):
    """A TCP segment on the path, as a predicate sees it.

    Attributes:
        at: When, seconds of whichever clock drives the path.
        towards: Which way it goes.
        four_tuple: The connection as the sender names it: its own end first.
        segment: The segment; ``segment.letters`` spells its flags as tcpdump does, such as ``"S."``.
        frame: Its frame, octets.
    """

    at: float
    towards: Towards
    four_tuple: FourTuple
    segment: Segment
    frame: bytes


Predicate = Callable[[Seen], object]
"""Whether a segment is meant: anything true or false."""


class Parcel:
    """One frame under way. Never changed: an element hands on the one it got, or makes another.

    Args:
        towards: Which way it goes.
        content: Its frame, octets; or what the frame holds, and then its checksums will be right.

    Attributes:
        towards: Which way it goes.
    """

    __slots__ = ("_frame", "_packet", "towards")

    def __init__(self, towards: Towards, content: bytes | Packet) -> None:
        self.towards = towards
        self._frame: bytes | None = None
        self._packet: Packet | DropReason | None = None
        if isinstance(content, bytes):
            self._frame = content
        else:
            self._packet = content

    @property
    def frame(self) -> bytes:
        """The whole frame."""
        if self._frame is None:
            assert self._packet is not None
            assert not isinstance(self._packet, DropReason)
            self._frame = encode(self._packet)
        return self._frame

    @property
    def packet(self) -> Packet | DropReason:
        """What the frame holds, or why it holds nothing that a middlebox looks into."""
        if self._packet is None:
            assert self._frame is not None
            self._packet = decode(self._frame)
        return self._packet

    @property
    def tcp(self) -> TcpPacket | None:
        """What it holds, if that is an undamaged TCP segment."""
        packet = self.packet
        return packet if isinstance(packet, TcpPacket) else None

    def with_segment(self, segment: Segment) -> Parcel:
        """Return the same parcel, which holds TCP, with another segment."""
        packet = self.tcp
        assert packet is not None
        return Parcel(self.towards, packet._replace(segment=segment, trailer=b""))

    def answered_by(self, segment: Segment) -> Parcel:
        """Return *segment* on the way back, as if from whom this parcel, which holds TCP, is for."""
        packet = self.tcp
        assert packet is not None
        ip, ethernet = packet.ip, packet.ethernet
        header = Ipv4 if isinstance(ip, Ipv4) else Ipv6
        answer = TcpPacket(
            packet.four_tuple.reversed,
            segment,
            Ethernet(ethernet.source, ethernet.destination, ethernet.tag),
            header(ip.destination, ip.source),
        )
        return Parcel(self.towards.opposite, answer)

    def seen(self, now: float) -> Seen | None:
        """Return what a predicate is asked about; None if it is no TCP segment."""
        packet = self.tcp
        if packet is None:
            return None
        return Seen(now, self.towards, packet.four_tuple.reversed, packet.segment, self.frame)

    def __repr__(self) -> str:
        packet = self.packet
        if isinstance(packet, TcpPacket):
            segment = packet.segment
            what = f"{segment.letters} seq {segment.seq} ack {segment.ack} {packet.four_tuple.reversed}"
        else:
            what = packet.name if isinstance(packet, DropReason) else type(packet).__name__
        return f"<Parcel to the {self.towards.value}: {what}>"


def conversation(towards: Towards, packet: TcpPacket) -> FourTuple:
    """Return the connection as the left end names it, whichever way *packet* goes."""
    return packet.four_tuple.reversed if towards is Towards.RIGHT else packet.four_tuple
