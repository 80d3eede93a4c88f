"""The TCP connections that a capture holds: packets sorted by whose they are, one of them chosen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, Literal, NamedTuple

from xsocket import FourTuple, Segment
from xsocket.reasons import DropReason
from xsocket.segment import ACK, FIN, RST, SYN
from xsocket.seqnum import MASK
from xsocket.wire.codec import TcpPacket, decode
from xsocket.wire.icmp import IcmpPacket, path_error
from xsocket_tools.scenarios.errors import ScriptError
from xsocket_tools.scenarios.packets import ETHERNET

Side = Literal["server", "client"]

TOGETHER_US: Final = 1_000
"""How far apart segments may be that came together."""


class RecordingError(ScriptError):
    """There is nothing in a capture to make a script of, or more than one thing."""

    remedy = "`xsocket record --help` says what can be recorded."


class Captured(NamedTuple):
    """One packet of a capture.

    Attributes:
        at_us: Microseconds since some instant.
        octets: From the IP header on.
        outbound: Whether the host where it was captured sent it; None where that is not known.
    """

    at_us: int
    octets: bytes
    outbound: bool | None = None


class End(NamedTuple):
    """One end of a connection."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Carried(NamedTuple):
    """One packet of a connection: a segment, or an ICMP error about one.

    Attributes:
        at_us: As in `Captured`.
        source: Whose segment it is, or who is told of the error (the other end's network sent it).
        packet: The packet; checksums may be missing, since hardware fills them in.
        outbound: As in `Captured`.
    """

    at_us: int
    source: End
    packet: TcpPacket | IcmpPacket
    outbound: bool | None


@dataclass
class Conversation:
    """One TCP connection of a capture.

    Attributes:
        client: The end that sent the first packet.
        server: The other.
        packets: In the order of the capture.
    """

    client: End
    server: End
    packets: list[Carried] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.client} > {self.server}, {len(self.packets)} packets"

    @property
    def version(self) -> Literal[4, 6]:
        """IP version."""
        return 6 if ":" in self.client.address else 4

    @property
    def has_beginning(self) -> bool:
        """Whether the capture has the connection's first segment."""
        first = self.packets[0].packet
        return isinstance(first, TcpPacket) and first.segment.flags & (SYN | ACK) == SYN

    def other(self, end: End) -> End:
        """Return the other end."""
        return self.client if end == self.server else self.server

    def segments(self, end: End) -> Iterator[Segment]:
        """Yield the segments that *end* sent."""
        for carried in self.packets:
            if isinstance(carried.packet, TcpPacket) and carried.source == end:
                yield carried.packet.segment


def conversations(captured: Iterable[Captured]) -> list[Conversation]:
    """Return the TCP connections in the order in which they begin; other packets are passed over.

    Ports that are used again make a new connection.
    """
    found: list[Conversation] = []
    current: dict[frozenset[End], Conversation] = {}
    for each in captured:
        carried = _carried(each)
        if carried is None:
            continue
        ends = _ends(carried.packet)
        conversation = current.get(frozenset(ends))
        if conversation is None or _begins_again(conversation, carried):
            if isinstance(carried.packet, IcmpPacket):
                continue
            conversation = current[frozenset(ends)] = Conversation(*ends)
            found.append(conversation)
        conversation.packets.append(carried)
    return found


def _carried(captured: Captured) -> Carried | None:
    version = 6 if captured.octets[:1] and captured.octets[0] >> 4 == 6 else 4
    packet = decode(ETHERNET[version] + captured.octets, checksum_ready=False)
    if not isinstance(packet, TcpPacket | IcmpPacket):
        return None
    if isinstance(packet, IcmpPacket) and (not packet.is_error or isinstance(path_error(packet), DropReason)):
        return None
    return Carried(captured.at_us, _ends(packet)[0], packet, captured.outbound)


def _ends(packet: TcpPacket | IcmpPacket) -> tuple[End, End]:
    """Return source and destination of a segment; of an error, those of the segment that it is about."""
    if isinstance(packet, TcpPacket):
        return _pair(packet.four_tuple.reversed)
    error = path_error(packet)
    assert not isinstance(error, DropReason), "what cannot be read is left out"
    return _pair(error.four_tuple)


def _pair(four_tuple: FourTuple) -> tuple[End, End]:
    local, local_port, remote, remote_port = four_tuple
    return End(local, local_port), End(remote, remote_port)


def _begins_again(conversation: Conversation, carried: Carried) -> bool:
    if not isinstance(carried.packet, TcpPacket) or carried.packet.segment.flags & (SYN | ACK) != SYN:
        return False
    before = [each.packet.segment for each in conversation.packets if isinstance(each.packet, TcpPacket)]
    ended = any(segment.flags & (RST | FIN) for segment in before)
    return ended and all(carried.packet.segment.seq != segment.seq for segment in before if segment.syn)


# Which one, and which end


def chosen(
    found: Sequence[Conversation], *, number: int | None = None, end: End | None = None
) -> Conversation:
    """Return the connection to record.

    Args:
        found: Those of a capture.
        number: Which one, counted from 1; None where there is only one.
        end: One end of it.

    Raises:
        RecordingError: There is none, or more than one and none is chosen, or its beginning is missing.
    """
    whole = [each for each in found if end is None or end in (each.client, each.server)]
    if not whole:
        about = "" if end is None else f" with the end {end}"
        raise RecordingError(f"there is no TCP connection{about} in this capture", remedy=_these(found))
    if number is None and len(whole) > 1:
        whole = [each for each in whole if each.has_beginning] or whole
    if number is None and len(whole) > 1:
        raise RecordingError(f"there are {len(whole)} TCP connections", remedy=_these(found))
    if number is not None and not 1 <= number <= len(found):
        raise RecordingError(f"there is no connection number {number}", remedy=_these(found))
    conversation = whole[0] if number is None else found[number - 1]
    if not conversation.has_beginning:
        raise RecordingError(
            f"the beginning of {conversation} is missing", remedy="Capture from before its first SYN."
        )
    return conversation


def with_fins_joined(conversation: Conversation, local: End) -> Conversation:
    """Return a connection in which a FIN is one segment with the text that came with it.

    Two segments that come together may be acknowledged together, by an engine that takes all frames that are
    there, and by Linux, which may have them as one (GRO). Sent one by one they need not be.

    Args:
        conversation: The connection.
        local: The end that acknowledges.
    """
    joined: list[Carried] = []
    for at, carried in enumerate(conversation.packets):
        text = joined[-1] if joined else None
        if text is not None and local not in (text.source, carried.source) and _is_fin_of(text, carried):
            later = islice(conversation.packets, at + 1, None)
            answer = next((each.packet for each in later if each.source == local), None)
            if isinstance(answer, TcpPacket) and _acknowledges(answer.segment, carried):
                joined[-1] = carried._replace(packet=_as_one(text.packet, carried.packet))
                continue
        joined.append(carried)
    return replace(conversation, packets=joined)


def _is_fin_of(text: Carried, fin: Carried) -> bool:
    """Whether *fin* came right behind *text*."""
    if not isinstance(text.packet, TcpPacket) or not isinstance(fin.packet, TcpPacket):
        return False
    first, last = text.packet.segment, fin.packet.segment
    return (
        fin.at_us - text.at_us <= TOGETHER_US
        and first.flags & (SYN | FIN | RST) == 0 < len(first.payload)
        and last.flags & (SYN | FIN | RST) == FIN
        and last.seq == (first.seq + len(first.payload)) & MASK
        and last.acknowledgment == first.acknowledgment
    )


def _acknowledges(answer: Segment, carried: Carried) -> bool:
    """Whether *answer* acknowledges all of a segment."""
    assert isinstance(carried.packet, TcpPacket)
    segment = carried.packet.segment
    return answer.acknowledgment == (segment.seq + segment.length) & MASK


def _as_one(text: TcpPacket | IcmpPacket, fin: TcpPacket | IcmpPacket) -> TcpPacket:
    assert isinstance(text, TcpPacket)
    assert isinstance(fin, TcpPacket)
    first, last = text.segment, fin.segment
    payload = first.payload + last.payload
    return fin._replace(segment=last._replace(seq=first.seq, flags=first.flags | last.flags, payload=payload))


def _these(found: Sequence[Conversation]) -> str:
    if not found:
        return "Capture on an interface that the connection goes through."
    flows = "".join(f"\n  --flow {number}: {each}" for number, each in enumerate(found, 1))
    return f"Choose one:{flows}"


def local_end(conversation: Conversation, *, side: Side | None = None, end: End | None = None) -> End:
    """Return the end that is to be tested.

    Args:
        conversation: The connection.
        side: Whether it is the server's end or the client's.
        end: The end itself.

    Returns:
        The chosen one; where none is chosen the end on whose host the packets were captured, if the capture
        says so, and else the server's.

    Raises:
        RecordingError: *end* is neither end.
    """
    if end is not None:
        if end not in (conversation.client, conversation.server):
            raise RecordingError(f"{end} is no end of {conversation}", remedy="Name one of the two.")
        return end
    if side is not None:
        return conversation.client if side == "client" else conversation.server
    senders = {
        each.source for each in conversation.packets if each.outbound and isinstance(each.packet, TcpPacket)
    }
    return senders.pop() if len(senders) == 1 else conversation.server
