"""The Ethernet header (IEEE 802.3) with at most one 802.1Q tag."""

from struct import Struct
from typing import Final, NamedTuple

from xsocket.reasons import DropReason

IPV4: Final = 0x0800
ARP: Final = 0x0806
VLAN: Final = 0x8100
IPV6: Final = 0x86DD

HEADER_OCTETS: Final = 14
TAG_OCTETS: Final = 4
BROADCAST: Final = b"\xff" * 6
VLAN_ID: Final = 0x0FFF
"""The bits of a tag that name the VLAN (IEEE 802.1Q section 9.6); 0 means priority only."""

_HEADER: Final = Struct("!6s6sH")
_TAGGED: Final = Struct("!6s6sHHH")


class Ethernet(NamedTuple):
    """Where a frame goes and where it comes from; what it carries is the type of the packet that holds this.

    Attributes:
        destination: Station or group address, six octets.
        source: Station address, six octets.
        tag: Tag control information of an 802.1Q tag: priority, DEI and VLAN identifier; None without a tag.
    """

    destination: bytes
    source: bytes
    tag: int | None = None


def read_ethernet(data: bytes) -> tuple[Ethernet, int, int] | DropReason:
    """Return the header, the type of what follows and where it starts."""
    if len(data) < HEADER_OCTETS:
        return DropReason.FRAME_TOO_SHORT
    destination, source, ethertype = _HEADER.unpack_from(data)
    if ethertype != VLAN:
        return Ethernet(destination, source), ethertype, HEADER_OCTETS
    if len(data) < HEADER_OCTETS + TAG_OCTETS:
        return DropReason.FRAME_TOO_SHORT
    _, _, _, tag, ethertype = _TAGGED.unpack_from(data)
    return Ethernet(destination, source, tag), ethertype, HEADER_OCTETS + TAG_OCTETS


def build_ethernet(header: Ethernet, ethertype: int) -> bytes:
    """Return *header* as octets, ready to stand before a packet of type *ethertype*."""
    if header.tag is None:
        return _HEADER.pack(header.destination, header.source, ethertype)
    return _TAGGED.pack(header.destination, header.source, VLAN, header.tag, ethertype)


def is_group(mac: bytes) -> bool:
    """Whether *mac* is a multicast or the broadcast address (IEEE 802 section 8.2.2, the I/G bit)."""
    return mac[0] & 1 == 1


def multicast_mac(group: bytes) -> bytes:
    """Return the station group of an IPv6 multicast address of sixteen octets (RFC 2464 section 7)."""
    return b"\x33\x33" + group[12:]
