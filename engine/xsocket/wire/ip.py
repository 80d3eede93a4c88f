"""IPv4 (RFC 791) and IPv6 (RFC 8200) headers: read, checked, built. No reassembly and no forwarding.

Nothing here looks at whose address it is; `xsocket.wire.ingress` does.
"""

from struct import Struct
from typing import Final, NamedTuple

from xsocket.reasons import DropReason
from xsocket.wire.address import address_octets, address_text
from xsocket.wire.checksum import checksum_is_valid, internet_checksum

ICMP: Final = 1
TCP: Final = 6
ICMPV6: Final = 58

HOP_BY_HOP: Final = 0
ROUTING: Final = 43
FRAGMENT: Final = 44
DESTINATION_OPTIONS: Final = 60

MAX_EXTENSION_HEADERS: Final = 8
"""RFC 8504 section 5.3 lets a host limit the chain; nobody sane sends more."""

DONT_FRAGMENT: Final = 0b010

WHOLE_WORDS: Final = range(0, 41, 4)
"""Lengths that the options of IPv4 and of TCP can have, in octets."""

MAX_TOTAL_LENGTH: Final = 65_535

_V4: Final = Struct("!BBHHHBBH4s4s")
_V6: Final = Struct("!IHBB16s16s")


class Ipv4(NamedTuple):
    """An IPv4 header (RFC 791 section 3.1) without the fields that follow from the packet.

    Attributes:
        source: Canonical text.
        destination: Canonical text.
        ttl: 0 to 255.
        tos: The octet of DSCP (RFC 2474) and ECN (RFC 3168).
        ident: Identification, 0 to 65,535.
        flags: Three bits: reserved (4), don't fragment (2), more fragments (1).
        options: As sent, padding included; a multiple of four octets, 40 at most.
    """

    source: str
    destination: str
    ttl: int = 64
    tos: int = 0
    ident: int = 0
    flags: int = DONT_FRAGMENT
    options: bytes = b""


class Ipv6(NamedTuple):
    """An IPv6 header (RFC 8200 section 3) and its extension headers.

    Attributes:
        source: Canonical text.
        destination: Canonical text.
        hop_limit: 0 to 255.
        traffic_class: The octet of DSCP and ECN.
        flow_label: 20 bits (RFC 6437).
        extensions: The extension headers as sent, one after the other.
        next_header: The type of the first of them; None without any.
    """

    source: str
    destination: str
    hop_limit: int = 64
    traffic_class: int = 0
    flow_label: int = 0
    extensions: bytes = b""
    next_header: int | None = None


class Payload(NamedTuple):
    """Where in a frame the transport's octets lie: their protocol, first octet and end."""

    protocol: int
    start: int
    end: int


def read_ipv4(data: bytes, offset: int) -> tuple[Ipv4, Payload] | DropReason:
    """Read the header at *offset*; octets behind the total length are Ethernet padding and are left alone."""
    available = len(data) - offset
    if available < 20:
        return DropReason.IP_BAD_LENGTH
    (version_ihl, tos, total, ident, fragment, ttl, protocol, _, source, destination) = _V4.unpack_from(
        data, offset
    )
    if version_ihl >> 4 != 4:
        return DropReason.IP_BAD_VERSION
    header_octets = (version_ihl & 0xF) * 4
    if total == 0 and available > MAX_TOTAL_LENGTH:
        total = available  # a local kernel's offload larger than the field can say (Linux "BIG TCP")
    if header_octets < 20 or not header_octets <= total <= available:
        return DropReason.IP_BAD_LENGTH
    if not checksum_is_valid(data[offset : offset + header_octets]):
        return DropReason.IP_BAD_CHECKSUM
    if fragment & 0x3FFF:  # more fragments, or not the first
        return DropReason.IP_FRAGMENT
    start = offset + header_octets
    options = data[offset + 20 : start]
    header = Ipv4(address_text(source), address_text(destination), ttl, tos, ident, fragment >> 13, options)
    return header, Payload(protocol, start, offset + total)


def build_ipv4(header: Ipv4, protocol: int, payload: bytes) -> bytes:
    """Return a whole IPv4 packet, checksum computed."""
    options = header.options
    assert len(options) in WHOLE_WORDS, "IPv4 options are whole words, ten at most"
    octets = 20 + len(options)
    source, destination = address_octets(header.source), address_octets(header.destination)

    def packed(checksum: int) -> bytes:
        fields = (0x40 | octets // 4, header.tos, octets + len(payload), header.ident, header.flags << 13)
        return _V4.pack(*fields, header.ttl, protocol, checksum, source, destination) + options

    return packed(internet_checksum(packed(0))) + payload


def read_ipv6(data: bytes, offset: int) -> tuple[Ipv6, Payload] | DropReason:
    """Read the header at *offset* and skip its extension headers."""
    available = len(data) - offset - 40
    if available < 0:
        return DropReason.IP_BAD_LENGTH
    first_word, length, next_header, hop_limit, source, destination = _V6.unpack_from(data, offset)
    if first_word >> 28 != 6:
        return DropReason.IP_BAD_VERSION
    if length == 0 and available > MAX_TOTAL_LENGTH:
        length = available  # as in read_ipv4
    if length > available:
        return DropReason.IP_BAD_LENGTH
    start = offset + 40
    found = _skip_extensions(data, next_header, start, start + length)
    if isinstance(found, DropReason):
        return found
    first_extension = None if found.start == start else next_header
    header = Ipv6(
        address_text(source),
        address_text(destination),
        hop_limit,
        first_word >> 20 & 0xFF,
        first_word & 0xFFFFF,
        data[start : found.start],
        first_extension,
    )
    return header, found


def _skip_extensions(data: bytes, next_header: int, start: int, end: int) -> Payload | DropReason:
    """Walk the chain (RFC 8200 section 4) from *start* to the transport header."""
    first = start
    for _ in range(MAX_EXTENSION_HEADERS + 1):
        if next_header == FRAGMENT:
            return DropReason.IP_FRAGMENT
        if next_header not in (HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS):
            return Payload(next_header, start, end)
        if start + 8 > end or (next_header == HOP_BY_HOP and start != first):
            return DropReason.IP_BAD_EXTENSION
        octets = 8 * (data[start + 1] + 1)
        if start + octets > end or not _extension_is_harmless(next_header, data[start : start + octets]):
            return DropReason.IP_BAD_EXTENSION
        next_header = data[start]
        start += octets
    return DropReason.IP_BAD_EXTENSION


def _extension_is_harmless(kind: int, header: bytes) -> bool:
    if kind == ROUTING:
        return header[3] == 0  # segments left: we are a host, not a waypoint (RFC 8200 section 4.4, RFC 5095)
    return _options_may_be_skipped(header)


def _options_may_be_skipped(header: bytes) -> bool:
    """Whether every option is padding or says "skip over if unknown" (RFC 8200 section 4.2)."""
    at = 2
    while at < len(header):
        kind = header[at]
        if kind == 0:  # Pad1, the only option without a length
            at += 1
            continue
        if kind >> 6 or at + 1 >= len(header):
            return False
        at += 2 + header[at + 1]
    return at == len(header)


def build_ipv6(header: Ipv6, protocol: int, payload: bytes) -> bytes:
    """Return a whole IPv6 packet; the last of its extension headers must name *protocol*."""
    next_header = protocol if header.next_header is None else header.next_header
    first_word = 6 << 28 | header.traffic_class << 20 | header.flow_label
    source, destination = address_octets(header.source), address_octets(header.destination)
    length = len(header.extensions) + len(payload)
    fixed = _V6.pack(first_word, length, next_header, header.hop_limit, source, destination)
    return fixed + header.extensions + payload


def build_ip(header: Ipv4 | Ipv6, protocol: int, payload: bytes) -> bytes:
    """Return a whole packet of either version."""
    if isinstance(header, Ipv4):
        return build_ipv4(header, protocol, payload)
    return build_ipv6(header, protocol, payload)


def pseudo_header_sum(header: Ipv4 | Ipv6, protocol: int, length: int) -> int:
    """Return what the pseudo-header adds to a checksum (RFC 9293 section 3.1, RFC 8200 section 8.1)."""
    addresses = address_octets(header.source) + address_octets(header.destination)
    return int.from_bytes(addresses) + protocol + length
