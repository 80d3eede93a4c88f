"""Packets as a script writes them, to octets and back: the options, the damage, ICMP's names.

Numbers are taken as they are; `space.py` translates between a script's numbers and those on the wire.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from xsocket import FourTuple, Segment
from xsocket.segment import ACK, LETTERS
from xsocket.tcp import options as tcp_options
from xsocket.wire.checksum import internet_checksum
from xsocket.wire.codec import TcpPacket, decode, encode
from xsocket.wire.ethernet import IPV4, IPV6, Ethernet, build_ethernet
from xsocket.wire.icmp import IcmpPacket, build_icmp_message
from xsocket.wire.ip import TCP, Ipv4, Ipv6, build_ip, pseudo_header_sum
from xsocket_tools.scenarios.errors import ScriptUsageError, UnsupportedError
from xsocket_tools.scenarios.script import (
    ANYTHING,
    UNDAMAGED,
    AccEcnSpec,
    Damage,
    EndSpec,
    ExperimentalSpec,
    FastOpenSpec,
    IcmpSpec,
    IpFields,
    Md5Spec,
    MssSpec,
    NopSpec,
    Number,
    OptionSpec,
    RawSpec,
    SackPermittedSpec,
    SackSpec,
    TcpSpec,
    TimestampsSpec,
    WindowScaleSpec,
)

ETHERNET: Final = {
    version: build_ethernet(Ethernet(bytes(6), bytes(6)), ethertype)
    for version, ethertype in ((4, IPV4), (6, IPV6))
}
"""What the codec wants in front of an IP packet that has no frame."""
ETHERNET_OCTETS: Final = 14
MOST_OPTIONS: Final = tcp_options.MAX_OCTETS
TTL: Final = 255
"""Of the script's packets where it does not say, as in packetdrill: they come from next door."""

_BITS: Final = {letter: bit for bit, letter in LETTERS} | {".": ACK}
_MARKS: Final = {"noecn": 0, "ect1": 1, "ect0": 2, "ce": 3}
MARK_NAMES: Final = {value: name for name, value in _MARKS.items()}
_COUNTERS: Final = (("e0b", "ceb", "e1b"), ("e1b", "ceb", "e0b"))
_LONGEST_PACKET: Final = 0xFFFF
_QUOTED_TCP: Final = Struct("!HHIIHHHH")


def flag_bits(letters: str) -> int:
    """Return the header's bits for the letters of a `TcpSpec`."""
    bits = 0
    for letter in letters:
        bits |= _BITS[letter]
    return bits


def flag_letters(bits: int) -> str:
    """Return the letters in the order of a `TcpSpec`."""
    return "".join(letter for bit, letter in LETTERS if bits & bit) + ("." if bits & ACK else "")


# Options


def option_octets(options: tuple[OptionSpec, ...]) -> bytes:
    """Return *options* in order.

    Raises:
        ScriptUsageError: They do not fill whole words, or more than ten.
    """
    raw = b"".join(_octets_of(option) for option in options)
    if len(raw) % 4 and not any(isinstance(option, RawSpec | EndSpec) for option in options):
        raise ScriptUsageError(
            f"{len(raw)} octets of options do not fill words of four",
            remedy="Fill them up with nop or eol.",
        )
    raw = tcp_options.padded(raw)
    if len(raw) > MOST_OPTIONS:
        raise ScriptUsageError(
            f"{len(raw)} octets of options, and the header holds {MOST_OPTIONS}", remedy="Leave some out."
        )
    return raw


def _octets_of(option: OptionSpec) -> bytes:
    match option:
        case RawSpec(octets):
            return octets
        case ExperimentalSpec(experiment, data):
            body = experiment.to_bytes(4 if experiment > 0xFFFF else 2) + data
            return bytes((tcp_options.EXPERIMENTAL, 2 + len(body))) + body
        case _:
            return tcp_options.encode([_option_of(option)])


def _option_of(option: OptionSpec) -> tcp_options.Option:
    match option:
        case MssSpec(value):
            return tcp_options.MaximumSegmentSize(_known(value))
        case WindowScaleSpec(shift):
            return tcp_options.WindowScale(_known(shift))
        case SackPermittedSpec():
            return tcp_options.SackPermitted()
        case SackSpec(blocks):
            return tcp_options.Sack(blocks)
        case TimestampsSpec(value, echo):
            return tcp_options.Timestamps(_known(value), _known(echo))
        case NopSpec():
            return tcp_options.Nop()
        case EndSpec():
            return tcp_options.End()
        case FastOpenSpec(cookie, experimental):
            return tcp_options.FastOpen(cookie or b"", experimental)
        case Md5Spec(digest):
            return tcp_options.Md5Signature(digest or bytes(16))
        case AccEcnSpec(counters):
            names = tuple(name for name, _ in counters)
            order = 1 if names[:1] == ("e1b",) else 0
            return tcp_options.AccEcn(order, tuple(_known(value) & 0xFFFFFF for _, value in counters))
        case _:
            raise AssertionError(f"{option} has octets of its own")


def _known(value: Number) -> int:
    assert value is not ANYTHING, "a script that is read has no wildcard in an inbound packet"
    return value


def option_specs(raw: bytes) -> tuple[OptionSpec, ...]:
    """Return options as a script would write them."""
    return tuple(_spec_of(option) for option in tcp_options.decode(raw))


def _spec_of(option: tcp_options.Option) -> OptionSpec:
    match option:
        case tcp_options.MaximumSegmentSize(value):
            return MssSpec(value)
        case tcp_options.WindowScale(shift):
            return WindowScaleSpec(shift)
        case tcp_options.SackPermitted():
            return SackPermittedSpec()
        case tcp_options.Sack(blocks):
            return SackSpec(blocks)
        case tcp_options.Timestamps(value, echo):
            return TimestampsSpec(value, echo)
        case tcp_options.Nop():
            return NopSpec()
        case tcp_options.End():
            return EndSpec()
        case tcp_options.FastOpen(cookie, experimental):
            return FastOpenSpec(cookie, experimental)
        case tcp_options.Md5Signature(digest):
            return Md5Spec(digest)
        case tcp_options.AccEcn(order, counters, b""):
            return AccEcnSpec(tuple(zip(_COUNTERS[order], counters, strict=False)))
        case tcp_options.Unknown(tcp_options.EXPERIMENTAL, data) if len(data) >= 2:
            return ExperimentalSpec(int.from_bytes(data[:2]), data[2:])
        case _:
            return RawSpec(tcp_options.encode([option]))


# Segments


class Live(NamedTuple):
    """A segment on the wire: its connection with the target's end first, its header, its IP header."""

    four_tuple: FourTuple
    segment: Segment
    ip: Ipv4 | Ipv6


def text_of(spec: TcpSpec) -> bytes:
    """Return the text of an inbound segment: letters that show where they belong, if the script has none."""
    if spec.payload is not None:
        return spec.payload
    start = 0 if spec.seq is ANYTHING else spec.seq
    return bytes(ord("a") + (start + at) % 26 for at in range(spec.length))


def build(live: Live, damage: Damage = UNDAMAGED) -> bytes:
    """Return the IP packet of an inbound segment.

    Raises:
        ScriptUsageError: It is longer than IP allows.
    """
    four_tuple, segment, ip = live
    octets = len(segment.options) + len(segment.payload) + (40 if isinstance(ip, Ipv4) else 20)
    if octets > _LONGEST_PACKET:
        raise ScriptUsageError(f"IP has no length for {octets} octets", remedy="Give the packet less text.")
    # The codec's 4-tuple is that of who receives: the target.
    packet = encode(TcpPacket(four_tuple, segment, Ethernet(bytes(6), bytes(6)), ip))[ETHERNET_OCTETS:]
    return packet if damage == UNDAMAGED else _damaged(packet, ip, damage)


def _damaged(packet: bytes, ip: Ipv4 | Ipv6, damage: Damage) -> bytes:
    start = 20 + len(ip.options) if isinstance(ip, Ipv4) else 40 + len(ip.extensions)
    octets = bytearray(packet)
    if damage.offset is not None:
        octets[start + 12] = octets[start + 12] & 0x0F | (damage.offset & 0xF) << 4
    octets[start + 16 : start + 18] = bytes(2)
    segment = bytes(octets[start:])
    checksum = internet_checksum(segment, pseudo_header_sum(ip, TCP, len(segment)))
    if damage.checksum:
        checksum ^= 0xFFFF if checksum not in (0, 0xFFFF) else 0x0F0F
    octets[start + 16 : start + 18] = checksum.to_bytes(2)
    if damage.length is not None:
        at = 2 if isinstance(ip, Ipv4) else 4
        length = max(0, int.from_bytes(octets[at : at + 2]) + damage.length) & 0xFFFF
        octets[at : at + 2] = length.to_bytes(2)
    if isinstance(ip, Ipv4):
        octets[10:12] = bytes(2)
        octets[10:12] = internet_checksum(bytes(octets[:start])).to_bytes(2)
    return bytes(octets)


def ip_header(source: str, destination: str, fields: IpFields) -> Ipv4 | Ipv6:
    """Return the IP header of an inbound packet."""
    tos = (fields.tos or 0) | _MARKS.get(fields.ecn or "", 0)
    ttl = TTL if fields.ttl is None else fields.ttl
    if ":" in source:
        return Ipv6(source, destination, ttl, tos, fields.flow_label or 0)
    return Ipv4(source, destination, ttl, tos)


def mark_of(fields: IpFields) -> int:
    """Return the two bits of ECN of an inbound packet."""
    return (fields.tos or 0) & 3 | _MARKS.get(fields.ecn or "", 0)


def parse(packet: bytes) -> Live | IcmpPacket | None:
    """Return what an IP packet that the target sent holds; None for what is neither TCP nor ICMP.

    The 4-tuple of a segment has the target's end first.
    """
    version = 6 if packet[:1] and packet[0] >> 4 == 6 else 4
    decoded = decode(ETHERNET[version] + packet)
    if isinstance(decoded, TcpPacket):
        return Live(decoded.four_tuple.reversed, decoded.segment, decoded.ip)
    return decoded if isinstance(decoded, IcmpPacket) else None


# ICMP

_V4_TYPES: Final = {
    "unreachable": 3,
    "echo_reply": 0,
    "source_quench": 4,
    "redirect": 5,
    "echo_request": 8,
    "time_exceeded": 11,
    "parameter_problem": 12,
}
_V4_CODES: Final = {
    "": 0, "net_unreachable": 0, "host_unreachable": 1, "protocol_unreachable": 2, "port_unreachable": 3,
    "frag_needed": 4, "source_route_failed": 5, "net_unknown": 6, "host_unknown": 7,
    "source_host_isolated": 8, "net_prohibited": 9, "host_prohibited": 10, "net_unreachable_for_tos": 11,
    "host_unreachable_for_tos": 12, "packet_filtered": 13, "precedence_violation": 14,
    "precedence_cutoff": 15,
}  # fmt: skip
_V6_TYPES: Final = {
    "unreachable": 1,
    "packet_too_big": 2,
    "time_exceeded": 3,
    "parameter_problem": 4,
    "echo_request": 128,
    "echo_reply": 129,
}
_V6_CODES: Final = {
    "": 0, "no_route": 0, "net_unreachable": 0, "admin_prohibited": 1, "not_neighbour": 2, "beyond_scope": 2,
    "address_unreachable": 3, "host_unreachable": 3, "port_unreachable": 4,
}  # fmt: skip


def build_icmp(spec: IcmpSpec, target: FourTuple, seq: int) -> bytes:
    """Return the IP packet of an ICMP error about a segment that the target sent.

    Args:
        spec: What the script says.
        target: The connection, the target's end first.
        seq: Sequence number of the segment, as on the wire.

    Raises:
        UnsupportedError: There is no such type or code, or the message has an identifier.
    """
    if spec.echo_id is not None:
        raise UnsupportedError("the identifier of an ICMP message")
    v4 = target.family == 4
    types, codes = (_V4_TYPES, _V4_CODES) if v4 else (_V6_TYPES, _V6_CODES)
    kind, code = types.get(spec.type), codes.get(spec.code)
    if kind is None or code is None:
        raise UnsupportedError(f"icmp {spec.type} {spec.code}".rstrip() + f" of IPv{4 if v4 else 6}")
    rest = (spec.mtu or 0).to_bytes(4)
    quoted = _quoted(target, seq, spec.length)
    ip = ip_header(target.remote_address, target.local_address, spec.ip)
    return build_icmp_message(ip, kind, code, rest + quoted)


def _quoted(target: FourTuple, seq: int, length: int) -> bytes:
    """Return the start of a segment that the target sent, as an error quotes it."""
    header = ip_header(target.local_address, target.remote_address, IpFields())
    tcp = _QUOTED_TCP.pack(target.local_port, target.remote_port, seq, 0, 0x5010, 0, 0, 0)
    return build_ip(header, TCP, tcp + bytes(length))[: (20 if target.family == 4 else 40) + len(tcp)]


def icmp_name(packet: IcmpPacket) -> tuple[str, str]:
    """Return type and code as the language names them; numbers where it has no name."""
    v4 = isinstance(packet.ip, Ipv4)
    types, codes = (_V4_TYPES, _V4_CODES) if v4 else (_V6_TYPES, _V6_CODES)
    kind = next((name for name, value in types.items() if value == packet.type), str(packet.type))
    code = next((name for name, value in codes.items() if value == packet.code and name), str(packet.code))
    return kind, code
