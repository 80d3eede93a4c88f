"""Whole frames to packets and back, by `struct`. Stateless: `ingress` decides whose frame it is.

Two ways lead through it. `decode` reads an untagged IPv4 segment without IP options, which is nearly every
frame, in one unpacking; all else takes the general way, one header after the other. `encode_segment` writes
what the engine sends; `encode` writes anything that can be decoded, byte for byte.
"""

from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import Segment
from xsocket.wire.address import address_octets, address_text
from xsocket.wire.arp import ArpPacket, build_arp, read_arp
from xsocket.wire.checksum import checksum_is_valid, internet_checksum, remainder
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

_ETHERNET_IPV4_TCP: Final = Struct("!6s6sHBBHHHBBH4s4sHHIIHHHH")
_IPV4_TCP: Final = Struct("!BBHHHBBH4s4sHHIIHHHH")
_IPV6_TCP: Final = Struct("!IHBB16s16sHHIIHHHH")
_TCP_HEADER: Final = Struct("!HHIIHHHH")

_new = tuple.__new__
"""Makes a NamedTuple without the call through its Python-level constructor: half the time."""


class TcpPacket(NamedTuple):
    """A frame that carries a TCP segment, whole: `encode` gives the frame back.

    Attributes:
        four_tuple: Local is the destination, remote the source.
        segment: Its checksum has been verified, unless the frame said that it is not ready.
        ethernet: The frame's header.
        ip: The packet's header.
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
    if len(data) < 54:
        return _decode_general(data, checksum_ready)
    (
        destination_mac, source_mac, ethertype, version_ihl, tos, total, ident, fragment, ttl, protocol, _,
        source, destination, source_port, destination_port, seq, acknowledgment, offset_flags, window, _,
        urgent,
    ) = _ETHERNET_IPV4_TCP.unpack_from(data)  # fmt: skip
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
    ):
        return _decode_general(data, checksum_ready)
    if int.from_bytes(data[14:34]) % 65_535:  # never all zero: the version is there
        return DropReason.IP_BAD_CHECKSUM
    if checksum_ready:
        # Addresses and segment lie side by side: the pseudo-header lacks only protocol and length.
        value = int.from_bytes(data[26:end])
        if ((value << 8 if total & 1 else value) + TCP + total - 20) % 65_535:
            return DropReason.TCP_BAD_CHECKSUM
    remote, local = address_text(source), address_text(destination)
    return _new(
        TcpPacket,
        (
            _new(FourTuple, (local, destination_port, remote, source_port)),
            _new(
                Segment,
                (
                    seq,
                    acknowledgment,
                    offset_flags & 0xFFF,
                    window,
                    data[54:text_at],
                    data[text_at:end],
                    urgent,
                ),
            ),
            _new(Ethernet, (destination_mac, source_mac, None)),
            _new(Ipv4, (remote, local, ttl, tos, ident, fragment >> 13, b"")),
            data[end:],
        ),
    )


def _decode_general(data: bytes, checksum_ready: bool) -> Packet | DropReason:
    """Decode one header after the other."""
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
    segment = Segment(seq, acknowledgment, offset_flags & 0xFFF, window, options, text, urgent)
    four_tuple = FourTuple.trusted(ip.destination, destination_port, ip.source, source_port)
    return TcpPacket(four_tuple, segment, ethernet, ip, data[end:])


def encode(packet: Packet) -> bytes:
    """Return the whole frame: the one *packet* was decoded from, if its checksums were as RFC 1071 says."""
    if isinstance(packet, ArpPacket):
        return build_arp(packet)
    if isinstance(packet, IcmpPacket):
        return build_icmp(packet)
    ip = packet.ip
    ethernet = build_ethernet(packet.ethernet, IPV4 if isinstance(ip, Ipv4) else IPV6)
    return ethernet + build_ip(ip, TCP, _build_tcp(packet)) + packet.trailer


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


def _offset_and_flags(segment: Segment) -> int:
    options = segment.options
    assert len(options) in WHOLE_WORDS, "TCP options are whole words, ten at most"
    return (5 + len(options) // 4) << 12 | segment.flags


@lru_cache(maxsize=65_536)
def _address_pair(local: str, remote: str) -> tuple[bytes, bytes, int]:
    """Return both addresses as octets and their part of both checksums, by sender."""
    source, destination = address_octets(local), address_octets(remote)
    return source, destination, remainder(source + destination)


def encode_segment(
    prefix: bytes, four_tuple: FourTuple, segment: Segment, ttl: int = 64, ident: int = 0, tos: int = 0
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
        tos: DSCP and ECN.
    """
    local, local_port, remote, remote_port = four_tuple
    seq, acknowledgment, _, window, options, payload, urgent = segment
    offset_flags = _offset_and_flags(segment)
    source, destination, addresses = _address_pair(local, remote)
    octets = 20 + len(options) + len(payload)
    value = int.from_bytes(payload)
    # Whole numbers, not words: what is a multiple of 16 bits further up has the same remainder.
    value = (value << 8 if octets & 1 else value) + int.from_bytes(options) + addresses + TCP + octets
    value += local_port + remote_port + seq + acknowledgment + offset_flags + window + urgent
    ports_and_numbers = (
        local_port,
        remote_port,
        seq,
        acknowledgment,
        offset_flags,
        window,
        -value % 65_535,
        urgent,
    )
    if len(source) == 4:
        total = 20 + octets
        header = 0x4500 + tos + total + ident + 0x4000 + (ttl << 8) + TCP + addresses
        ip = (0x45, tos, total, ident, 0x4000, ttl, TCP, -header % 65_535, source, destination)
        return prefix + _IPV4_TCP.pack(*ip, *ports_and_numbers) + options + payload
    first_word = 6 << 28 | tos << 20
    fixed = _IPV6_TCP.pack(first_word, octets, TCP, ttl, source, destination, *ports_and_numbers)
    return prefix + fixed + options + payload
