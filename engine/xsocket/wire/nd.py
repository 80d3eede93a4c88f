"""IPv6 neighbour discovery (RFC 4861 sections 4.3, 4.4, 7.1): solicitations and advertisements as values.

Router discovery and redirects are not here: this host has static addresses and a static gateway.
"""

from typing import Final, NamedTuple

from xsocket.reasons import DropReason
from xsocket.wire.address import address_octets, address_text
from xsocket.wire.ethernet import Ethernet, is_group
from xsocket.wire.icmp import IcmpPacket, build_icmp_message
from xsocket.wire.ip import Ipv6

SOLICITATION: Final = 135
ADVERTISEMENT: Final = 136

HOP_LIMIT: Final = 255
"""Only a neighbour can deliver it undiminished (RFC 4861 section 7.1)."""

ALL_NODES: Final = "ff02::1"
UNSPECIFIED: Final = "::"

_SOURCE_LINK_LAYER: Final = 1
_TARGET_LINK_LAYER: Final = 2
_SOLICITED: Final = 0x40
_OVERRIDE: Final = 0x20
_FIXED_OCTETS: Final = 20
"""The flags or reserved word, and the target."""


class NdPacket(NamedTuple):
    """One neighbour solicitation or advertisement that has passed the checks of RFC 4861 section 7.1.

    Attributes:
        ethernet: The frame's header.
        source: Who sends it; ``::`` probes whether an address is taken (RFC 4862 section 5.4).
        destination: An address of ours, a solicited-node group or all nodes.
        is_solicitation: Whether it asks; else it tells.
        target: The address it is about.
        mac: The link-layer option that matters: the source's in a solicitation, the target's in an
            advertisement.
        solicited: Advertisement: it answers a solicitation of ours.
        override: Advertisement: its link-layer address replaces what is known.
    """

    ethernet: Ethernet
    source: str
    destination: str
    is_solicitation: bool
    target: str
    mac: bytes | None = None
    solicited: bool = False
    override: bool = False

    @property
    def is_probe(self) -> bool:
        """Whether it asks if anybody uses the target, so says nothing of its sender."""
        return self.is_solicitation and self.source == UNSPECIFIED


def solicited_node(address: str) -> str:
    """Return the group that listens for solicitations of *address* (RFC 4291 section 2.7.1)."""
    return address_text(address_octets("ff02::1:ff00:0")[:13] + address_octets(address)[13:])


def read_nd(packet: IcmpPacket) -> NdPacket | DropReason:
    """Read a message of type `SOLICITATION` or `ADVERTISEMENT`."""
    ip, body = packet.ip, packet.body
    if not isinstance(ip, Ipv6) or ip.hop_limit != HOP_LIMIT or packet.code != 0 or len(body) < _FIXED_OCTETS:
        return DropReason.ND_MALFORMED
    options = _link_layer_options(body[_FIXED_OCTETS:])
    target = body[4:_FIXED_OCTETS]
    if options is None or target[0] == 0xFF:
        return DropReason.ND_MALFORMED
    is_solicitation = packet.type == SOLICITATION
    found = NdPacket(
        packet.ethernet,
        ip.source,
        ip.destination,
        is_solicitation,
        address_text(target),
        options.get(_SOURCE_LINK_LAYER if is_solicitation else _TARGET_LINK_LAYER),
        not is_solicitation and body[0] & _SOLICITED != 0,
        not is_solicitation and body[0] & _OVERRIDE != 0,
    )
    return found if _is_consistent(found) else DropReason.ND_MALFORMED


def _is_consistent(packet: NdPacket) -> bool:
    """Check what RFC 4861 sections 7.1.1 and 7.1.2 ask of the fields together."""
    if packet.mac is not None and is_group(packet.mac):
        return False
    if packet.is_probe:
        return packet.destination == solicited_node(packet.target) and packet.mac is None
    return not (packet.solicited and packet.destination.startswith("ff0"))


def _link_layer_options(octets: bytes) -> dict[int, bytes] | None:
    """Return the Ethernet addresses by option type; None when an option's length is wrong."""
    found: dict[int, bytes] = {}
    while octets:
        if len(octets) < 8 or octets[1] == 0 or len(octets) < octets[1] * 8:
            return None
        if octets[0] in (_SOURCE_LINK_LAYER, _TARGET_LINK_LAYER) and octets[1] == 1:
            found.setdefault(octets[0], octets[2:8])
        octets = octets[octets[1] * 8 :]
    return found


def build_solicitation(mac: bytes, source: str, destination: str, target: str) -> bytes:
    """Return the IPv6 packet that asks *destination* (the target or its group) where *target* is."""
    body = bytes(4) + address_octets(target) + bytes((_SOURCE_LINK_LAYER, 1)) + mac
    return build_icmp_message(Ipv6(source, destination, HOP_LIMIT), SOLICITATION, 0, body)


def build_advertisement(mac: bytes, target: str, destination: str, *, solicited: bool) -> bytes:
    """Return the IPv6 packet that tells *destination* our station address; it overrides what was known."""
    flags = (_SOLICITED if solicited else 0) | _OVERRIDE
    body = bytes((flags, 0, 0, 0)) + address_octets(target) + bytes((_TARGET_LINK_LAYER, 1)) + mac
    return build_icmp_message(Ipv6(target, destination, HOP_LIMIT), ADVERTISEMENT, 0, body)
