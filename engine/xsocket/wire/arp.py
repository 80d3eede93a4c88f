"""ARP for IPv4 over Ethernet (RFC 826): the packet as a value, read and built."""

from struct import Struct
from typing import Final, NamedTuple

from xsocket.reasons import DropReason
from xsocket.wire.address import address_octets, address_text
from xsocket.wire.ethernet import ARP, IPV4, Ethernet, build_ethernet, is_group

REQUEST: Final = 1
REPLY: Final = 2
NO_MAC: Final = bytes(6)

_PACKET: Final = Struct("!HHBBH6s4s6s4s")
_ETHERNET_FOR_IPV4: Final = (1, IPV4, 6, 4)


class ArpPacket(NamedTuple):
    """One ARP request or reply. Addresses are canonical text, station addresses six octets.

    `trailer` is what pads the frame to Ethernet's least length, as sent.
    """

    ethernet: Ethernet
    operation: int
    sender_mac: bytes
    sender_address: str
    target_mac: bytes
    target_address: str
    trailer: bytes = b""

    @property
    def is_probe(self) -> bool:
        """Whether it asks if anybody uses an address (RFC 5227 section 2.1.1), telling nothing."""
        return self.sender_address == "0.0.0.0"  # noqa: S104  # nothing is bound to it

    @property
    def is_announcement(self) -> bool:
        """Whether it announces its sender to everybody (RFC 5227 section 3)."""
        return self.sender_address == self.target_address


def read_arp(data: bytes, offset: int, ethernet: Ethernet) -> ArpPacket | DropReason:
    """Read the packet at *offset*."""
    if len(data) - offset < _PACKET.size:
        return DropReason.ARP_MALFORMED
    *kind, operation, sender_mac, sender, target_mac, target = _PACKET.unpack_from(data, offset)
    if tuple(kind) != _ETHERNET_FOR_IPV4 or operation not in (REQUEST, REPLY) or is_group(sender_mac):
        return DropReason.ARP_MALFORMED
    trailer = data[offset + _PACKET.size :]
    return ArpPacket(
        ethernet, operation, sender_mac, address_text(sender), target_mac, address_text(target), trailer
    )


def build_arp(packet: ArpPacket) -> bytes:
    """Return the whole frame."""
    body = _PACKET.pack(
        *_ETHERNET_FOR_IPV4,
        packet.operation,
        packet.sender_mac,
        address_octets(packet.sender_address),
        packet.target_mac,
        address_octets(packet.target_address),
    )
    return build_ethernet(packet.ethernet, ARP) + body + packet.trailer
