"""Frames of cases, written and read from the RFCs and without `xsocket.wire`, whose bugs they have to tell.

Written with what a twist asks for, and read with every checksum verified.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from struct import Struct, pack
from typing import Final, NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.segment import Segment

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
_TCP, _ICMP, _ICMPV6 = 6, 1, 58
_HEADER: Final = Struct("!HHIIHHHH")
_V4: Final = Struct("!BBHHHBBH4s4s")
_V6: Final = Struct("!IHBB16s16s")
_LIMITED_BROADCAST: Final = {4: "255.255.255.255", 6: "ff02::1"}
_MULTICAST: Final = {4: "224.0.0.5", 6: "ff02::5"}
_LOOPBACK: Final = {4: "127.0.0.1", 6: "::1"}
_EXTENSIONS: Final = {
    "ip options": (0, bytes((_TCP, 0, 1, 4, 0, 0, 0, 0))),
    "destination options": (60, bytes((_TCP, 1, 1, 12, *bytes(12)))),
    "unknown option": (60, bytes((_TCP, 0, 0x41, 4, 0, 0, 0, 0))),
}
"""IPv6 extension headers (RFC 8200 section 4): the number of each, and its octets."""


@lru_cache(maxsize=4096)
def octets_of(address: str) -> bytes:
    """Return the 4 or 16 octets of *address*."""
    return ip_address(address).packed


@lru_cache(maxsize=4096)
def _pair_sum(first: str, second: str) -> int:
    return int.from_bytes(octets_of(first)) + int.from_bytes(octets_of(second))


def _complement(total: int) -> int:
    """Return the checksum of words whose sum is *total* modulo 65,535 (RFC 1071)."""
    return 0xFFFF - total % 0xFFFF if total % 0xFFFF else 0xFFFF if total == 0 else 0


class Stations(NamedTuple):
    """Station addresses: the target's, and whose the frames are."""

    target: bytes
    ours: bytes


def segment_frame(stations: Stations, peer: FourTuple, segment: Segment, twist: str = "") -> bytes:
    """Return the frame of a segment that a peer sends.

    Args:
        stations: From whom to whom on the link.
        peer: Local is the peer, remote the target.
        segment: What it sends.
        twist: See `case.Say.twist`.
    """
    source, port, destination, remote_port = peer
    version = 6 if ":" in source else 4
    if twist:
        return _twisted(stations, version, peer, segment, twist)
    tcp = _tcp(source, destination, port, remote_port, segment)
    return _framed(stations, version, _ip(version, source, destination, segment.ecn, tcp))


def _tcp(source: str, destination: str, port: int, remote_port: int, segment: Segment) -> bytes:
    seq, ack, flags, window, options, text, urgent, _ = segment
    offset = (5 + len(options) // 4) << 12 | flags
    size = 20 + len(options) + len(text)
    total = _pair_sum(source, destination) + _TCP + size + port + remote_port + seq + ack + offset
    total += window + urgent + int.from_bytes(options)
    if text:
        total += int.from_bytes(text) << 8 * (size & 1)
    header = _HEADER.pack(port, remote_port, seq, ack, offset, window, _complement(total), urgent)
    return header + options + text


def _ip(
    version: int, source: str, destination: str, tos: int, payload: bytes, protocol: int = _TCP, ttl: int = 64
) -> bytes:
    if version == 6:
        head = _V6.pack(
            6 << 28 | tos << 20, len(payload), protocol, ttl, octets_of(source), octets_of(destination)
        )
        return head + payload
    total = 20 + len(payload)
    fixed = 0x4500 + tos + total + 0x4000 + (ttl << 8) + protocol + _pair_sum(source, destination)
    check = _complement(fixed)
    head = _V4.pack(
        0x45, tos, total, 0, 0x4000, ttl, protocol, check, octets_of(source), octets_of(destination)
    )
    return head + payload


def _framed(stations: Stations, version: int, packet: bytes) -> bytes:
    return stations.target + stations.ours + (b"\x08\x00" if version == 4 else b"\x86\xdd") + packet


def _twisted(stations: Stations, version: int, peer: FourTuple, segment: Segment, twist: str) -> bytes:
    source, port, destination, remote_port = peer
    if twist == "from multicast":
        source = _MULTICAST[version]
    elif twist == "from target":
        source = destination
    elif twist == "from loopback":
        source = _LOOPBACK[version]
    elif twist == "to broadcast":
        destination = _LIMITED_BROADCAST[version]
    elif twist == "port zero":
        port = 0
    if twist == "reserved":
        segment = segment._replace(flags=segment.flags | 0x200)
    tcp = bytearray(_tcp(source, destination, port, remote_port, segment))
    tos = segment.ecn | (0xB8 if twist == "tos" else 0)
    _damage_tcp(tcp, twist, _pair_sum(source, destination))
    if version == 6 and twist in _EXTENSIONS:
        kind, extension = _EXTENSIONS[twist]
        packet = bytearray(_ip(6, source, destination, tos, extension + bytes(tcp), protocol=kind))
    else:
        ttl = 1 if twist == "ttl 1" else 64
        packet = bytearray(_ip(version, source, destination, tos, bytes(tcp), ttl=ttl))
    packet = _damage_ip(packet, version, twist)
    return _framed(stations, version, bytes(packet)) + (bytes(6) if twist == "trailer" else b"")


def _damage_tcp(tcp: bytearray, twist: str, pair: int) -> None:
    if twist == "checksum":
        tcp[16] ^= 0x40
    elif twist == "zero checksum":
        tcp[16:18] = b"\x00\x00" if tcp[16:18] != b"\x00\x00" else b"\x12\x34"
    elif twist == "truncated":
        del tcp[12:]
    elif twist in ("offset 4", "offset past the end"):
        tcp[12] = (0x40 if twist == "offset 4" else 0xF0) | tcp[12] & 0x0F
        del tcp[59:]  # less than the fifteen words that it may claim
        tcp[16:18] = b"\x00\x00"
        total = pair + _TCP + len(tcp) + (int.from_bytes(tcp) << 8 * (len(tcp) & 1))
        tcp[16:18] = _complement(total).to_bytes(2)


def _damage_ip(packet: bytearray, version: int, twist: str) -> bytearray:
    if version == 4:
        return _damage_v4(packet, twist)
    if twist == "ip length long":
        packet[4:6] = (int.from_bytes(packet[4:6]) + 100).to_bytes(2)
    elif twist == "ip length short":
        packet[4:6] = (12).to_bytes(2)
    elif twist == "version":
        packet[0] = 0x40 | packet[0] & 0x0F
    elif twist == "fragment":
        body = pack("!BBHI", _TCP, 0, 1, 7) + packet[40:]
        packet[4:6], packet[6] = len(body).to_bytes(2), 44
        packet = packet[:40] + body
    elif twist == "header length":
        packet[6] = 0
        packet[40:] = bytes((_TCP, 200)) + packet[42:]
    return packet


def _damage_v4(packet: bytearray, twist: str) -> bytearray:
    if twist == "ip options":
        packet[0] = 0x46
        packet[20:20] = b"\x01\x01\x01\x00"
        packet[2:4] = len(packet).to_bytes(2)
    elif twist == "ip length long":
        packet[2:4] = (len(packet) + 100).to_bytes(2)
    elif twist == "ip length short":
        packet[2:4] = (32).to_bytes(2)
    elif twist == "version":
        packet[0] = 0x65
    elif twist == "fragment":
        packet[6:8] = b"\x20\x00"
    elif twist == "header length":
        packet[0] = 0x44
    elif twist.startswith("flip "):
        at = int(twist[5:]) % (len(packet) * 8)
        packet[at // 8] ^= 0x80 >> at % 8
    else:
        if twist == "ip checksum":
            packet[10] ^= 0x40
        return packet
    size = (packet[0] & 0x0F) * 4
    if 20 <= size <= len(packet):
        packet[10:12] = b"\x00\x00"
        packet[10:12] = _complement(int.from_bytes(packet[:size])).to_bytes(2)
    return packet


# Errors of routers


def icmp_frame(
    stations: Stations,
    router: str,
    target: str,
    code: tuple[int, int],
    rest: int,
    quoted: bytes,
) -> bytes:
    """Return the frame of an ICMP error.

    Args:
        stations: From whom to whom on the link.
        router: Who says it.
        target: Whom it is for.
        code: Type and code.
        rest: The second word of the header, such as the MTU.
        quoted: The packet that it is about, as much of it as it says.
    """
    version = 6 if ":" in target else 4
    body = pack("!BBHI", *code, 0, rest) + quoted
    total = int.from_bytes(body) << 8 * (len(body) & 1)
    if version == 6:
        total += _pair_sum(router, target) + _ICMPV6 + len(body)
    body = body[:2] + _complement(total).to_bytes(2) + body[4:]
    protocol = _ICMP if version == 4 else _ICMPV6
    return _framed(stations, version, _ip(version, router, target, 0, body, protocol))


QUOTED_OCTETS: Final = 1500
"""How long the packet was that an error is about, as its header says."""


def quoted_packet(sender: FourTuple, seq: int, size: int) -> bytes:
    """Return the beginning of a packet that *sender* (local end) sent: IP header and *size* octets of TCP."""
    source, port, destination, remote_port = sender
    version = 6 if ":" in source else 4
    tcp = _tcp(source, destination, port, remote_port, Segment(seq, 0, 0x10))
    whole = tcp + bytes(QUOTED_OCTETS - len(tcp) - (20 if version == 4 else 40))
    return _ip(version, source, destination, 0, whole)[: (20 if version == 4 else 40) + size]


# Neighbours


def introduction(stations: Stations, peer: str, target: str) -> bytes:
    """Return a frame that makes the target know the station of *peer*: an ARP request, or a solicitation."""
    if ":" not in peer:
        body = pack(
            "!HHBBH6s4s6s4s", 1, IPV4, 6, 4, 1, stations.ours, octets_of(peer), bytes(6), octets_of(target)
        )
        return stations.target + stations.ours + b"\x08\x06" + body
    body = pack("!BBHI16sBB6s", 135, 0, 0, 0, octets_of(target), 1, 1, stations.ours)
    total = int.from_bytes(body) + _pair_sum(peer, target) + _ICMPV6 + len(body)
    body = body[:2] + _complement(total).to_bytes(2) + body[4:]
    return _framed(stations, 6, _ip(6, peer, target, 0, body, _ICMPV6, ttl=255))


# What the target sends


class Heard(NamedTuple):
    """A TCP segment that a target sent.

    Attributes:
        four_tuple: Local is the sender.
        segment: What it says.
        ttl: Time to live, or hop limit.
    """

    four_tuple: FourTuple
    segment: Segment
    ttl: int


@lru_cache(maxsize=4096)
def address_of(octets: bytes) -> str:
    """Return the address that 4 or 16 *octets* are."""
    return str(ip_address(octets))


def read(frame: bytes) -> Heard | str | None:
    """Return the TCP segment in *frame*; None for what is not TCP, and for what is wrong with it a phrase."""
    kind = frame[12:14]
    if kind == b"\x08\x00":
        return _read_v4(frame)
    return _read_v6(frame) if kind == b"\x86\xdd" else None


def _read_v4(frame: bytes) -> Heard | str | None:
    if len(frame) < 34:
        return "an IPv4 packet shorter than its header"
    first, tos, total, _, fragment, ttl, protocol, _, source, destination = _V4.unpack_from(frame, 14)
    if protocol != _TCP:
        return None
    size = (first & 0x0F) * 4
    if first >> 4 != 4 or size < 20 or total < size or 14 + total > len(frame):
        return "an IPv4 header whose lengths do not fit"
    if int.from_bytes(frame[14 : 14 + size]) % 0xFFFF:
        return "a wrong IPv4 checksum"
    if fragment & 0x3FFF:
        return "a fragment"
    return _read_tcp(frame[14 + size : 14 + total], source, destination, tos & 3, ttl)


def _read_v6(frame: bytes) -> Heard | str | None:
    if len(frame) < 54:
        return "an IPv6 packet shorter than its header"
    first, length, protocol, ttl, source, destination = _V6.unpack_from(frame, 14)
    if protocol != _TCP:
        return None
    if first >> 28 != 6 or 54 + length > len(frame):
        return "an IPv6 header whose lengths do not fit"
    return _read_tcp(frame[54 : 54 + length], source, destination, first >> 20 & 3, ttl)


def _read_tcp(tcp: bytes, source: bytes, destination: bytes, ecn: int, ttl: int) -> Heard | str:
    if len(tcp) < 20:
        return "a TCP segment shorter than its header"
    port, remote_port, seq, ack, offset, window, _, urgent = _HEADER.unpack_from(tcp)
    text_at = offset >> 10 & 0x3C
    if not 20 <= text_at <= len(tcp):
        return "a wrong TCP data offset"
    total = int.from_bytes(tcp) << 8 * (len(tcp) & 1)
    total += int.from_bytes(source) + int.from_bytes(destination) + _TCP + len(tcp)
    if total % 0xFFFF:
        return "a wrong TCP checksum"
    four_tuple = FourTuple.trusted(address_of(source), port, address_of(destination), remote_port)
    segment = Segment(seq, ack, offset & 0xFFF, window, tcp[20:text_at], tcp[text_at:], urgent, ecn)
    return Heard(four_tuple, segment, ttl)
