"""ICMP (RFC 792) and ICMPv6 (RFC 4443) messages: checksum, type, code and the octets behind them.

Errors keep the packet they quote. Neighbour discovery has a file of its own.
"""

from struct import Struct
from typing import Final, NamedTuple

from xsocket.errors import HostUnreachableError, NetworkUnreachableError
from xsocket.fourtuple import FourTuple
from xsocket.patherror import PathError
from xsocket.reasons import DropReason
from xsocket.wire.address import address_text
from xsocket.wire.checksum import checksum_is_valid, internet_checksum
from xsocket.wire.ethernet import IPV4, IPV6, Ethernet, build_ethernet
from xsocket.wire.ip import ICMP, ICMPV6, TCP, Ipv4, Ipv6, Payload, build_ip, pseudo_header_sum

ECHO_REPLY: Final = 0
DESTINATION_UNREACHABLE: Final = 3
ECHO_REQUEST: Final = 8
FRAGMENTATION_NEEDED: Final = 4
"""Code of "destination unreachable" (RFC 1191 section 4)."""
TIME_EXCEEDED: Final = 11
PARAMETER_PROBLEM: Final = 12

V6_DESTINATION_UNREACHABLE: Final = 1
V6_PACKET_TOO_BIG: Final = 2
V6_TIME_EXCEEDED: Final = 3
V6_PARAMETER_PROBLEM: Final = 4
V6_ECHO_REQUEST: Final = 128
V6_ECHO_REPLY: Final = 129

ERRORS: Final = frozenset({DESTINATION_UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM})
V6_ERRORS: Final = frozenset(
    {V6_DESTINATION_UNREACHABLE, V6_PACKET_TOO_BIG, V6_TIME_EXCEEDED, V6_PARAMETER_PROBLEM}
)

_HEADER: Final = Struct("!BBH")
_TCP_START: Final = Struct("!HHI")
_REST_OCTETS: Final = 4
"""Between the checksum and what an error quotes: unused, a pointer, or the next hop's MTU."""


class IcmpPacket(NamedTuple):
    """One ICMP or ICMPv6 message; which of the two, the type of `ip` says.

    Attributes:
        ethernet: The frame's header.
        ip: The packet's header.
        type: The message's type.
        code: The message's code.
        body: Everything behind the checksum: for an echo its identifier, sequence number and data; for an
            error four octets and the packet it quotes.
        trailer: Ethernet padding as sent.
    """

    ethernet: Ethernet
    ip: Ipv4 | Ipv6
    type: int
    code: int
    body: bytes = b""
    trailer: bytes = b""

    @property
    def is_echo_request(self) -> bool:
        """Whether it wants an echo reply (RFC 792, RFC 4443 section 4.1)."""
        wanted = ECHO_REQUEST if isinstance(self.ip, Ipv4) else V6_ECHO_REQUEST
        return self.type == wanted and self.code == 0 and len(self.body) >= _REST_OCTETS

    @property
    def is_error(self) -> bool:
        """Whether it reports an error about a packet that it quotes."""
        return self.type in (ERRORS if isinstance(self.ip, Ipv4) else V6_ERRORS)

    @property
    def next_hop_mtu(self) -> int:
        """What "packet too big" (RFC 4443 section 3.2) or "fragmentation needed" (RFC 1191) says."""
        rest = int.from_bytes(self.body[:_REST_OCTETS])
        return rest & 0xFFFF if isinstance(self.ip, Ipv4) else rest

    @property
    def quoted(self) -> bytes:
        """The start of the packet that an error is about, from its IP header on."""
        return self.body[_REST_OCTETS:]


class _Meaning(NamedTuple):
    """What an error tells a connection's user, and whether it is for good (RFC 1122 section 4.2.3.9)."""

    error: type[OSError]
    hard: bool


_NETWORK_GONE: Final = _Meaning(NetworkUnreachableError, hard=False)
_HOST_GONE: Final = _Meaning(HostUnreachableError, hard=False)
_NOBODY_THERE: Final = _Meaning(ConnectionRefusedError, hard=True)
_PROHIBITED: Final = _Meaning(HostUnreachableError, hard=True)
_V6_PROHIBITED: Final = _Meaning(PermissionError, hard=True)

_MEANINGS: Final = {
    # RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1
    (4, DESTINATION_UNREACHABLE, 0): _NETWORK_GONE,
    (4, DESTINATION_UNREACHABLE, 1): _HOST_GONE,
    (4, DESTINATION_UNREACHABLE, 2): _NOBODY_THERE,
    (4, DESTINATION_UNREACHABLE, 3): _NOBODY_THERE,
    (4, DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED): _Meaning(OSError, hard=False),
    (4, DESTINATION_UNREACHABLE, 5): _HOST_GONE,
    (4, DESTINATION_UNREACHABLE, 6): _Meaning(NetworkUnreachableError, hard=True),
    (4, DESTINATION_UNREACHABLE, 7): _PROHIBITED,
    (4, DESTINATION_UNREACHABLE, 8): _PROHIBITED,
    (4, DESTINATION_UNREACHABLE, 9): _Meaning(NetworkUnreachableError, hard=True),
    (4, DESTINATION_UNREACHABLE, 10): _PROHIBITED,
    (4, DESTINATION_UNREACHABLE, 11): _NETWORK_GONE,
    (4, DESTINATION_UNREACHABLE, 12): _HOST_GONE,
    (4, DESTINATION_UNREACHABLE, 13): _PROHIBITED,
    (4, DESTINATION_UNREACHABLE, 14): _PROHIBITED,
    (4, DESTINATION_UNREACHABLE, 15): _PROHIBITED,
    # RFC 4443 section 3.1
    (6, V6_DESTINATION_UNREACHABLE, 0): _NETWORK_GONE,
    (6, V6_DESTINATION_UNREACHABLE, 1): _V6_PROHIBITED,
    (6, V6_DESTINATION_UNREACHABLE, 2): _HOST_GONE,
    (6, V6_DESTINATION_UNREACHABLE, 3): _HOST_GONE,
    (6, V6_DESTINATION_UNREACHABLE, 4): _NOBODY_THERE,
    (6, V6_DESTINATION_UNREACHABLE, 5): _V6_PROHIBITED,
    (6, V6_DESTINATION_UNREACHABLE, 6): _V6_PROHIBITED,
}

_PLATEAUS: Final = (68, 296, 508, 1006, 1492, 2002, 4352, 8166, 17_914, 32_000, 65_535)
"""RFC 1191 section 7: the MTUs to try in turn where a router of before 1990 does not say its own."""


def read_icmp(
    data: bytes, payload: Payload, ethernet: Ethernet, ip: Ipv4 | Ipv6, *, checksum_ready: bool
) -> IcmpPacket | DropReason:
    """Read the message that lies at *payload* in the frame *data*."""
    message = data[payload.start : payload.end]
    if len(message) < _HEADER.size:
        return DropReason.ICMP_MALFORMED
    pseudo_header = 0 if isinstance(ip, Ipv4) else pseudo_header_sum(ip, ICMPV6, len(message))
    if checksum_ready and not checksum_is_valid(message, pseudo_header):
        return DropReason.ICMP_BAD_CHECKSUM
    return IcmpPacket(ethernet, ip, message[0], message[1], message[_HEADER.size :], data[payload.end :])


def build_icmp_message(ip: Ipv4 | Ipv6, kind: int, code: int, body: bytes) -> bytes:
    """Return the IP packet that carries the message, checksums computed."""
    is_v4 = isinstance(ip, Ipv4)
    pseudo_header = 0 if is_v4 else pseudo_header_sum(ip, ICMPV6, _HEADER.size + len(body))
    checksum = internet_checksum(_HEADER.pack(kind, code, 0) + body, pseudo_header)
    return build_ip(ip, ICMP if is_v4 else ICMPV6, _HEADER.pack(kind, code, checksum) + body)


def build_icmp(packet: IcmpPacket) -> bytes:
    """Return the whole frame."""
    ethernet = build_ethernet(packet.ethernet, IPV4 if isinstance(packet.ip, Ipv4) else IPV6)
    return ethernet + build_icmp_message(packet.ip, packet.type, packet.code, packet.body) + packet.trailer


def path_error(packet: IcmpPacket) -> PathError | DropReason:
    """Return what an error says about which of our segments (RFC 5927 section 3)."""
    quoted = packet.quoted
    if isinstance(packet.ip, Ipv4):
        start, protocol_at, addresses_at, size = (quoted[0] & 0xF) * 4 if quoted else 0, 9, 12, 4
    else:
        start, protocol_at, addresses_at, size = 40, 6, 8, 16  # extension headers: we never send any
    if start < addresses_at + 2 * size or len(quoted) < start + 8:
        return DropReason.ICMP_MALFORMED
    if quoted[protocol_at] != TCP:
        return DropReason.ICMP_NO_CONNECTION
    ours, theirs = (address_text(quoted[at : at + size]) for at in (addresses_at, addresses_at + size))
    our_port, their_port, seq = _TCP_START.unpack_from(quoted, start)
    four_tuple = FourTuple.trusted(ours, our_port, theirs, their_port)
    version = 4 if isinstance(packet.ip, Ipv4) else 6
    if version == 6 and packet.type == V6_PACKET_TOO_BIG:
        return PathError(four_tuple, seq, OSError, hard=False, mtu=packet.next_hop_mtu)
    soft = _HOST_GONE  # time exceeded, parameter problem
    unreachable = packet.type == (DESTINATION_UNREACHABLE if version == 4 else V6_DESTINATION_UNREACHABLE)
    meaning = _MEANINGS.get((version, packet.type, packet.code)) if unreachable else soft
    if meaning is None:
        return DropReason.ICMP_IGNORED
    mtu = None
    if version == 4 and (packet.type, packet.code) == (DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED):
        mtu = packet.next_hop_mtu or _next_plateau(int.from_bytes(quoted[2:4]))
    return PathError(four_tuple, seq, meaning.error, meaning.hard, mtu)


def _next_plateau(total: int) -> int:
    """Return the largest plateau below *total* octets, the size of the packet that was too big."""
    return max((plateau for plateau in _PLATEAUS if plateau < total), default=_PLATEAUS[0])
