"""Whole frames to packets and back, by `struct`. Stateless: `ingress` decides whose frame it is.

`decode` reads any frame, one header after the other, and `encode` writes it again, byte for byte. What the
engine lives on takes a shorter way: `read_plain` reads nearly every segment that comes in, in one unpacking,
and `encode_segment` writes those that go out.
"""

from functools import lru_cache
from socket import inet_ntoa
from struct import Struct
from typing import Final, NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import Segment
from xsocket.wire.address import REMEMBERED, address_octets
from xsocket.wire.arp import ArpPacket, build_arp, read_arp
from xsocket.wire.checksum import checksum_is_valid, internet_checksum
from xsocket.wire.ethernet import ARP, IPV4, IPV6, Ethernet, build_ethernet, read_ethernet
from xsocket.wire.icmp import IcmpPacket, build_icmp, read_icmp
from xsocket.wire.ip import (
    ICMP,
    ICMPV6,
    TCP,
    WHOLE_WORDS,
    Ipv4,
    Ipv6,
    Payload,
    build_ip,
    pseudo_header_sum,
    read_ipv4,
    read_ipv6,
)

_PLAIN: Final = Struct("!12xHBBH2xHxB2x4s4sHHIIHH2xH")
_IPV4_TCP: Final = Struct("!BBHHHBBH4s4sHHIIHHHH")
_IPV6_TCP: Final = Struct("!IHBB16s16sHHIIHHHH")
_TCP_HEADER: Final = Struct("!HHIIHHHH")

_new = tuple.__new__
"""Makes a NamedTuple without the call through its Python-level constructor: half the time."""


class Arrival(NamedTuple):
    """A segment that came in, and all else that the stack wants to know of its frame.

    Attributes:
        four_tuple: Local is the destination, remote the source.
        segment: Its checksum has been verified, unless the frame said that it is not ready.
    """

    four_tuple: FourTuple
    segment: Segment


class TcpPacket(NamedTuple):
    """A frame that carries a TCP segment, whole: `encode` gives the frame back.

    Attributes:
        four_tuple: Local is the destination, remote the source.
        segment: Its checksum has been verified, unless the frame said that it is not ready.
        ethernet: The frame's header.
        ip: The packet's header; the ECN field is the segment's, whatever stands here.
        trailer: Ethernet padding as sent.
    """

    four_tuple: FourTuple
    segment: Segment
    ethernet: Ethernet
    ip: Ipv4 | Ipv6
    trailer: bytes = b""


Packet = TcpPacket | ArpPacket | IcmpPacket


def decode(data: bytes, checksum_ready: bool = True) -> Packet | DropReason:
    """Return what the frame *data* holds, or why it holds nothing for a host; never raises for any octets.

    Args:
        data: The frame without FCS.
        checksum_ready: False when the transport checksum is still to be computed by hardware: not verified
            then.
    """
    found = read_ethernet(data)
    if isinstance(found, DropReason):
        return found
    ethernet, ethertype, offset = found
    if ethertype == ARP:
        return read_arp(data, offset, ethernet)
    if ethertype not in (IPV4, IPV6):
        return DropReason.UNKNOWN_ETHERTYPE
    read = read_ipv4(data, offset) if ethertype == IPV4 else read_ipv6(data, offset)
    if isinstance(read, DropReason):
        return read
    ip, payload = read
    if payload.protocol == TCP:
        return _read_tcp(data, payload, ethernet, ip, checksum_ready)
    if payload.protocol == (ICMP if ethertype == IPV4 else ICMPV6):
        return read_icmp(data, payload, ethernet, ip, checksum_ready=checksum_ready)
    return DropReason.IP_UNKNOWN_PROTOCOL


def read_plain(data: bytes, checksum_ready: bool) -> Arrival | None:
    """Return the segment in an untagged IPv4 frame without IP options: nearly every frame is one.

    Args:
        data: The frame without FCS; whose it is, is not looked at.
        checksum_ready: As in `decode`.

    Returns:
        None for every other frame and for one that is damaged: `decode` says what it is.
    """
    if len(data) < 54:
        return None
    (
        ethertype, version_ihl, tos, total, fragment, protocol, source, destination,
        source_port, destination_port, seq, acknowledgment, offset_flags, window, urgent,
    ) = _PLAIN.unpack_from(data)  # fmt: skip
    text_at = 34 + (offset_flags >> 10 & 0x3C)
    end = 14 + total
    if (
        version_ihl != 0x45
        or ethertype != IPV4
        or protocol != TCP
        or fragment & 0x3FFF
        or not 54 <= text_at <= end <= len(data)
        or not source_port
        or not destination_port
        or int.from_bytes(data[14:34]) % 65_535  # never all zero: the version is there
    ):
        return None
    if checksum_ready:
        # Addresses and segment lie side by side: the pseudo-header lacks only protocol and length.
        value = int.from_bytes(data[26:end])
        if ((value << 8 if total & 1 else value) + TCP + total - 20) % 65_535:
            return None
    name = (inet_ntoa(destination), destination_port, inet_ntoa(source), source_port)
    options, text = data[54:text_at], data[text_at:end]
    values = (seq, acknowledgment, offset_flags & 0xFFF, window, options, text, urgent, tos & 3)
    return _new(Arrival, (_new(FourTuple, name), _new(Segment, values)))


def _read_tcp(
    data: bytes, payload: Payload, ethernet: Ethernet, ip: Ipv4 | Ipv6, checksum_ready: bool
) -> TcpPacket | DropReason:
    _, start, end = payload
    if end - start < 20:
        return DropReason.TCP_TOO_SHORT
    header = _TCP_HEADER.unpack_from(data, start)
    source_port, destination_port, seq, acknowledgment, offset_flags, window, _, urgent = header
    text_at = start + (offset_flags >> 10 & 0x3C)
    if not start + 20 <= text_at <= end:
        return DropReason.TCP_BAD_OFFSET
    if checksum_ready and not checksum_is_valid(data[start:end], pseudo_header_sum(ip, TCP, end - start)):
        return DropReason.TCP_BAD_CHECKSUM
    if not source_port or not destination_port:
        return DropReason.TCP_PORT_ZERO
    options, text = data[start + 20 : text_at], data[text_at:end]
    ecn = (ip.tos if isinstance(ip, Ipv4) else ip.traffic_class) & 3
    segment = Segment(seq, acknowledgment, offset_flags & 0xFFF, window, options, text, urgent, ecn)
    four_tuple = FourTuple.trusted(ip.destination, destination_port, ip.source, source_port)
    return TcpPacket(four_tuple, segment, ethernet, ip, data[end:])


def encode(packet: Packet) -> bytes:
    """Return the whole frame: the one *packet* was decoded from, if its checksums were as RFC 1071 says."""
    if isinstance(packet, ArpPacket):
        return build_arp(packet)
    if isinstance(packet, IcmpPacket):
        return build_icmp(packet)
    ip = _with_ecn(packet.ip, packet.segment.ecn)
    ethernet = build_ethernet(packet.ethernet, IPV4 if isinstance(ip, Ipv4) else IPV6)
    return ethernet + build_ip(ip, TCP, _build_tcp(packet)) + packet.trailer


def _with_ecn(ip: Ipv4 | Ipv6, ecn: int) -> Ipv4 | Ipv6:
    if isinstance(ip, Ipv4):
        return ip._replace(tos=ip.tos & ~3 | ecn)
    return ip._replace(traffic_class=ip.traffic_class & ~3 | ecn)


def _build_tcp(packet: TcpPacket) -> bytes:
    """Return the segment's octets for a packet whose remote end is the source."""
    segment, four_tuple = packet.segment, packet.four_tuple
    offset_flags = _offset_and_flags(segment)

    def packed(checksum: int) -> bytes:
        ports = (four_tuple.remote_port, four_tuple.local_port)
        numbers = (
            segment.seq,
            segment.acknowledgment,
            offset_flags,
            segment.window,
            checksum,
            segment.urgent,
        )
        return _TCP_HEADER.pack(*ports, *numbers) + segment.options + segment.payload

    octets = packed(0)
    return packed(internet_checksum(octets, pseudo_header_sum(packet.ip, TCP, len(octets))))


_WHOLE_WORDS_WANTED: Final = "TCP options are whole words, ten at most"


def _offset_and_flags(segment: Segment) -> int:
    options = segment.options
    assert len(options) in WHOLE_WORDS, _WHOLE_WORDS_WANTED
    return (5 + len(options) // 4) << 12 | segment.flags


@lru_cache(maxsize=REMEMBERED)
def _address_pair(local: str, remote: str) -> tuple[bytes, bytes, int]:
    """Return both addresses as octets and their part of both checksums, by sender."""
    source, destination = address_octets(local), address_octets(remote)
    # Whole numbers, not words, as everywhere here: the remainder modulo 65,535 is that of their words' sum.
    return source, destination, int.from_bytes(source) + int.from_bytes(destination)


def encode_segment(
    prefix: bytes, four_tuple: FourTuple, segment: Segment, ttl: int = 64, ident: int = 0, dscp: int = 0
) -> bytes:
    """Return a frame that carries *segment* from the local end of *four_tuple* to the remote one.

    Args:
        prefix: What stands before the IP header, as `Neighbours.frame_for` gives it; empty gives the IP
            packet.
        four_tuple: Local end (the sender), remote end.
        segment: Its options are whole words, 40 octets at most.
        ttl: Time to live, or hop limit.
        ident: IPv4 identification. With "don't fragment", which is always set, it may be constant (RFC 6864
            section 4.1).
        dscp: The other six bits of the octet that the segment's ECN field stands in (RFC 2474).
    """
    local, local_port, remote, remote_port = four_tuple
    seq, acknowledgment, flags, window, options, payload, urgent, ecn = segment
    tos = dscp << 2 | ecn
    length = len(options)
    assert length in WHOLE_WORDS, _WHOLE_WORDS_WANTED
    offset_flags = 0x5000 + (length << 10) | flags
    source, destination, addresses = _address_pair(local, remote)
    octets = 20 + length + len(payload)
    # Whole numbers, not words: what is a multiple of 16 bits further up has the same remainder.
    value = int.from_bytes(options) + addresses + TCP + octets
    value += local_port + remote_port + seq + acknowledgment + offset_flags + window + urgent
    if payload:
        value += int.from_bytes(payload) << (8 if octets & 1 else 0)
    tcp = (local_port, remote_port, seq, acknowledgment, offset_flags, window, -value % 65_535, urgent)
    if len(source) == 4:
        total = 20 + octets
        header = 0x8500 + tos + total + ident + (ttl << 8) + TCP + addresses  # 0x4500 and "don't fragment"
        ip = (0x45, tos, total, ident, 0x4000, ttl, TCP, -header % 65_535, source, destination)
        return prefix + _IPV4_TCP.pack(*ip, *tcp) + options + payload
    fixed = _IPV6_TCP.pack(6 << 28 | tos << 20, octets, TCP, ttl, source, destination, *tcp)
    return prefix + fixed + options + payload
