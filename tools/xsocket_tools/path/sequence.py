"""A middlebox that moves sequence numbers, and what every one that does has to put right."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.segment import Segment
from xsocket.seqnum import add
from xsocket.tcp.options import NOTHING, Sack, decode, encode, parse
from xsocket.wire.codec import TcpPacket
from xsocket.wire.icmp import IcmpPacket
from xsocket_tools.path.element import Middlebox
from xsocket_tools.path.parcel import Parcel, Towards, conversation
from xsocket_tools.path.quoted import read_quoted, with_quoted

_REMEMBERED = 4096


class _Offsets(NamedTuple):
    """What is added to the sequence numbers of what goes to the right, and to the left."""

    right: int
    left: int

    def of(self, towards: Towards) -> int:
        return self.right if towards is Towards.RIGHT else self.left


class RewriteSequence(Middlebox):
    """Moves the sequence numbers of each connection and direction, and the acknowledgments back.

    Firewalls do, to give unguessable initial sequence numbers to hosts that choose bad ones (RFC 6528 says
    what for, and has the hosts do it). Some forget that SACK blocks (RFC 2018 section 3) have sequence
    numbers, too: for the sender these lie outside its window, and selective acknowledgment does not work.

    It remembers nothing: the numbers follow from the seed and the 4-tuple.

    Args:
        seed: Of the numbers.
        sack: Whether SACK blocks are put right; boxes that are not, are the ones to test against.

    Counts: ``segments`` and ICMP ``errors`` that were changed, and SACK ``blocks`` put right.
    """

    COUNTED = ("segments", "blocks", "errors")

    def __init__(self, *, seed: int = 0, sack: bool = True) -> None:
        super().__init__()
        self._seed, self._sack = seed, sack
        self._offsets = lru_cache(_REMEMBERED)(self._draw)

    def _draw(self, key: FourTuple) -> _Offsets:
        digest = blake2b(f"{self._seed} {key}".encode(), digest_size=8).digest()
        return _Offsets(int.from_bytes(digest[:4]), int.from_bytes(digest[4:]))

    def _take_segment(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        del now
        towards, segment = parcel.towards, packet.segment
        offsets = self._offsets(conversation(towards, packet))
        there, back = offsets.of(towards), offsets.of(towards.opposite)
        changed = acknowledging(segment, -back)._replace(seq=add(segment.seq, there))
        if self._sack:
            changed = with_blocks_moved(changed, -back)
            self._counter["blocks"] += len(parse(segment.options).sack)
        self._count("segments")
        return (parcel.with_segment(changed),)

    def _take_error(self, now: float, parcel: Parcel, packet: IcmpPacket) -> Sequence[Parcel]:
        del now
        quoted = read_quoted(packet)
        if quoted is None:
            return (parcel,)
        towards = parcel.towards  # back to whom the segment came from
        key = quoted.four_tuple if towards is Towards.LEFT else quoted.four_tuple.reversed
        moved = add(quoted.seq, -self._offsets(key).of(towards.opposite))
        self._count("errors")
        return (Parcel(towards, with_quoted(packet, quoted._replace(seq=moved))),)


def acknowledging(segment: Segment, offset: int) -> Segment:
    """Return *segment* with *offset* added to what it acknowledges, if it does."""
    if segment.ack is None:
        return segment
    return segment._replace(acknowledgment=add(segment.acknowledgment, offset))


def with_blocks_moved(segment: Segment, offset: int) -> Segment:
    """Return *segment* with *offset* added to the edges of its SACK blocks."""
    parsed = parse(segment.options)
    if parsed is NOTHING or not parsed.sack:
        return segment
    moved = [
        Sack(tuple((add(left, offset), add(right, offset)) for left, right in option.blocks))
        if isinstance(option, Sack)
        else option
        for option in decode(segment.options)
    ]
    return segment._replace(options=encode(moved))
