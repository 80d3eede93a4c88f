"""`Counterpart`: the script's station on a link with an engine. It answers for every address there is.

Frames of the engine go in; ARP and neighbour discovery are answered, IP packets come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from xsocket.reasons import DropReason
from xsocket.wire.address import address_text
from xsocket.wire.arp import REPLY, REQUEST, ArpPacket
from xsocket.wire.codec import TcpPacket, decode, encode
from xsocket.wire.ethernet import IPV4, IPV6, Ethernet, build_ethernet
from xsocket.wire.icmp import (
    ECHO_REPLY,
    ECHO_REQUEST,
    V6_ECHO_REPLY,
    V6_ECHO_REQUEST,
    IcmpPacket,
    build_icmp,
)
from xsocket.wire.ip import Ipv4, Ipv6
from xsocket.wire.link import Frame
from xsocket_tools.scenarios.packets import ETHERNET_OCTETS

MAC: Final = b"\x02\x00\x00\x00\x00\xfe"
_SOLICITATION, _ADVERTISEMENT = 135, 136
_IP: Final = (IPV4.to_bytes(2), IPV6.to_bytes(2))
_TARGET_LINK_LAYER: Final = b"\x02\x01"
_SOLICITED_AND_OVERRIDE: Final = b"\x60\x00\x00\x00"


class Counterpart:
    """A station with every address but the engine's.

    Args:
        engine_mac: The engine's station address.
        addresses: The engine's own, canonical.
        mac: Its own station address.

    Attributes:
        fences: How many of its pings the engine has answered, in order: what it was sent before each, it has
            dealt with.
    """

    def __init__(self, engine_mac: bytes, addresses: Iterable[str], mac: bytes = MAC) -> None:
        self.fences = 0
        self._addresses = frozenset(addresses)
        self._engine_mac = engine_mac
        self._mac = mac
        self._prefixes = {
            version: build_ethernet(Ethernet(engine_mac, mac), ethertype)
            for version, ethertype in ((4, IPV4), (6, IPV6))
        }

    def frame(self, packet: bytes) -> bytes:
        """Return the frame that carries an IP packet to the engine."""
        return self._prefixes[6 if packet[:1] and packet[0] >> 4 == 6 else 4] + packet

    def fence(self, number: int, ours: str, theirs: str) -> bytes:
        """Return the frame of the ping *number*, from *ours* to the engine's address *theirs*."""
        body = number.to_bytes(4)
        ip, kind = (
            (Ipv6(ours, theirs), V6_ECHO_REQUEST) if ":" in ours else (Ipv4(ours, theirs), ECHO_REQUEST)
        )
        return build_icmp(IcmpPacket(Ethernet(self._engine_mac, self._mac), ip, kind, 0, body))

    def read(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, bytes | None]]:
        """Yield each frame that matters with its answer; None for an IP packet, which is the script's."""
        for frame in frames:
            packet = decode(frame.data, frame.checksum_ready)
            match packet:
                case TcpPacket():
                    yield frame, None
                case ArpPacket() if packet.operation == REQUEST:
                    answer = self._arp(packet)
                    if answer is not None:
                        yield frame, answer
                case IcmpPacket() if packet.is_error:
                    yield frame, None
                case IcmpPacket() if packet.type in (ECHO_REPLY, V6_ECHO_REPLY):
                    self.fences = int.from_bytes(packet.body[:4])
                case IcmpPacket() if packet.type == _SOLICITATION:
                    answer = self._neighbour(packet)
                    if answer is not None:
                        yield frame, answer
                case DropReason() if frame.data[12:14] in _IP:
                    yield frame, None  # broken, which is for the script to see
                case _:
                    pass

    def _arp(self, request: ArpPacket) -> bytes | None:
        if request.target_address in self._addresses:  # it announces its own
            return None
        ethernet = Ethernet(self._engine_mac, self._mac)
        reply = ArpPacket(
            ethernet, REPLY, self._mac, request.target_address, request.sender_mac, request.sender_address
        )
        return encode(reply)

    def _neighbour(self, solicitation: IcmpPacket) -> bytes | None:
        wanted = address_text(solicitation.body[4:20])
        if wanted in self._addresses or solicitation.ip.source == "::":
            return None
        body = _SOLICITED_AND_OVERRIDE + solicitation.body[4:20] + _TARGET_LINK_LAYER + self._mac
        ip = Ipv6(wanted, solicitation.ip.source, hop_limit=255)
        return build_icmp(IcmpPacket(Ethernet(self._engine_mac, self._mac), ip, _ADVERTISEMENT, 0, body))


def packet_of(frame: Frame) -> bytes:
    """Return the IP packet in a frame, without Ethernet's padding."""
    packet = frame.data[ETHERNET_OCTETS:]
    if packet[:1] and packet[0] >> 4 == 4 and len(packet) >= 4:
        return packet[: int.from_bytes(packet[2:4]) or None]
    return packet
