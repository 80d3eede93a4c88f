"""Which received frames are for this host: the checks that need to know our own addresses.

Pure: it keeps no sockets and reads no clock. It judges frames; `Neighbours` and the stack act on them.
"""

from collections.abc import Iterable
from typing import Final

from xsocket.reasons import DropReason
from xsocket.wire.address import IPV4_MAPPED, REMEMBERED, address_octets, parse_interfaces
from xsocket.wire.arp import ArpPacket
from xsocket.wire.codec import Arrival, Packet, TcpPacket, decode, read_plain
from xsocket.wire.ethernet import BROADCAST, VLAN_ID, Ethernet, is_group, multicast_mac
from xsocket.wire.icmp import IcmpPacket
from xsocket.wire.ip import Ipv4
from xsocket.wire.link import Frame
from xsocket.wire.nd import (
    ADVERTISEMENT,
    ALL_NODES,
    SOLICITATION,
    UNSPECIFIED,
    NdPacket,
    read_nd,
    solicited_node,
)

LIMITED_BROADCAST: Final = "255.255.255.255"

Classified = Arrival | ArpPacket | NdPacket | IcmpPacket


class Ingress:
    """Turns frames into packets for this host, or into the reason why they are not.

    Args:
        mac: Our station address.
        addresses: Our own, with prefix lengths, such as ``10.0.0.2/24`` and ``fd00::2/64``.

    Raises:
        BadAddressError: An address is not one.
    """

    def __init__(self, mac: bytes, addresses: Iterable[str]) -> None:
        interfaces = parse_interfaces(addresses)
        self._mac = mac
        self._own = frozenset(str(interface.ip) for interface in interfaces)
        self._broadcasts = frozenset(
            {LIMITED_BROADCAST}
            | {
                str(interface.network.broadcast_address)
                for interface in interfaces
                if interface.version == 4 and interface.network.prefixlen < 31  # RFC 3021: /31 has none
            }
        )
        # As octets, for frames that `read_plain` can read.
        self._own_v4 = {address_octets(address) for address in self._own if ":" not in address}
        self._no_sources = self._own_v4 | {address_octets(address) for address in self._broadcasts}
        groups = {solicited_node(address) for address in self._own if ":" in address} | {ALL_NODES}
        self._nd_destinations = self._own | groups
        self._macs = {mac, BROADCAST} | {multicast_mac(address_octets(group)) for group in groups}
        self._good_sources: set[str] = set()

    @property
    def mac(self) -> bytes:
        """Our station address."""
        return self._mac

    @property
    def addresses(self) -> frozenset[str]:
        """Our own addresses, canonical, without prefix lengths."""
        return self._own

    def classify(self, frame: Frame) -> Classified | DropReason:
        """Return the packet in *frame* if it is for this host, else why not; never raises for any octets."""
        data = frame.data
        if data[:6] == self._mac and data[30:34] in self._own_v4 and self._is_plain_source(data[26:30]):
            arrival = read_plain(data, frame.checksum_ready)
            if arrival is not None:
                return arrival
        packet = decode(data, frame.checksum_ready)
        if isinstance(packet, TcpPacket):
            return self._tcp_fault(packet) or Arrival(packet.four_tuple, packet.segment)
        if isinstance(packet, DropReason):
            return packet
        return self._classify_control(packet)

    def _is_plain_source(self, octets: bytes) -> bool:
        """Whether nothing speaks against an IPv4 source; a flood brings a new one with every frame."""
        first = octets[0]
        return 0 < first < 224 and first != 127 and octets not in self._no_sources

    def _tcp_fault(self, packet: TcpPacket) -> DropReason | None:
        """Why the segment is not for us: RFC 9293 section 3.9.2.3 and RFC 1122 section 3.2.1.3."""
        reason = self._ethernet_fault(packet.ethernet)
        if reason is not None:
            return reason
        local = packet.four_tuple.local_address
        if local not in self._own:
            grouped = _is_multicast(local) or local in self._broadcasts
            return DropReason.DESTINATION_IS_MULTICAST if grouped else DropReason.IP_NOT_OUR_ADDRESS
        if packet.ethernet.destination != self._mac:  # RFC 1122 section 3.3.6
            return DropReason.DESTINATION_IS_MULTICAST
        return self._source_fault(packet.ip.source)

    def _ethernet_fault(self, ethernet: Ethernet) -> DropReason | None:
        if ethernet.destination not in self._macs:
            return DropReason.NOT_OUR_MAC
        if ethernet.tag is not None and ethernet.tag & VLAN_ID:
            return DropReason.OTHER_VLAN
        return None

    def _source_fault(self, source: str) -> DropReason | None:
        if source in self._good_sources:
            return None
        reason = self._judge_source(source)
        if reason is None:
            if len(self._good_sources) >= REMEMBERED:
                self._good_sources.clear()
            self._good_sources.add(source)
        return reason

    def _judge_source(self, source: str) -> DropReason | None:
        if source in self._own:
            return DropReason.SOURCE_IS_OURS
        if source in self._broadcasts:
            return DropReason.SOURCE_IS_BROADCAST
        if _is_multicast(source):
            return DropReason.SOURCE_IS_MULTICAST
        if source.startswith(("0.", "127.")) or source in (UNSPECIFIED, "::1"):
            return DropReason.SOURCE_IS_UNSPECIFIED
        return DropReason.SOURCE_IS_IPV4_MAPPED if _is_ipv4_mapped(source) else None

    def _classify_control(self, packet: Packet) -> Classified | DropReason:
        reason = self._ethernet_fault(packet.ethernet)
        if reason is not None:
            return reason
        if isinstance(packet, ArpPacket):
            for_us = packet.target_address in self._own or packet.is_announcement
            return packet if for_us else DropReason.ARP_NOT_FOR_US
        assert isinstance(packet, IcmpPacket)
        if not isinstance(packet.ip, Ipv4) and packet.type in (SOLICITATION, ADVERTISEMENT):
            return self._classify_nd(packet)
        return self._icmp_fault(packet) or packet

    def _classify_nd(self, packet: IcmpPacket) -> NdPacket | DropReason:
        found = read_nd(packet)
        if isinstance(found, DropReason):
            return found
        if found.destination not in self._nd_destinations:
            return DropReason.IP_NOT_OUR_ADDRESS
        if found.is_solicitation and found.target not in self._own:
            return DropReason.ND_NOT_FOR_US
        if found.is_probe:
            return found
        return self._source_fault(found.source) or found

    def _icmp_fault(self, packet: IcmpPacket) -> DropReason | None:
        if packet.ip.destination not in self._own or is_group(packet.ethernet.destination):
            return DropReason.IP_NOT_OUR_ADDRESS
        if not packet.is_echo_request and not packet.is_error:
            return DropReason.ICMP_IGNORED
        return self._source_fault(packet.ip.source)


def _is_multicast(address: str) -> bool:
    """Whether a canonical address is in 224.0.0.0/4 or ff00::/8."""
    if ":" in address:
        return address.startswith("ff") and address.find(":") == 4
    return 224 <= int(address.partition(".")[0]) < 240


def _is_ipv4_mapped(address: str) -> bool:
    """Whether it is in ::ffff:0:0/96, which must not be on any wire (Linux drops it too)."""
    return address.startswith("::") and address_octets(address).startswith(IPV4_MAPPED)
