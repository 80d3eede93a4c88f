"""The TCP segment that an ICMP error quotes: read, and put right by boxes that have changed it on its way.

RFC 5508 asks a NAT to (REQ-4); whoever gets an error about a segment that it never sent ignores it (RFC
5927 section 4).
"""

from __future__ import annotations

from typing import NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.patherror import PathError
from xsocket.wire.address import address_octets
from xsocket.wire.checksum import internet_checksum
from xsocket.wire.icmp import IcmpPacket, path_error
from xsocket.wire.ip import Ipv4

_REST_OCTETS = 4
"""What stands before the packet that is quoted: see `IcmpPacket.body`."""


class Quoted(NamedTuple):
    """What is known of the segment: its connection as its sender names it, and its sequence number."""

    four_tuple: FourTuple
    seq: int


def read_quoted(packet: IcmpPacket) -> Quoted | None:
    """Return the segment that an error is about; None if it is about something else, or unreadable."""
    found = path_error(packet)
    return Quoted(found.four_tuple, found.seq) if isinstance(found, PathError) else None


def with_quoted(packet: IcmpPacket, quoted: Quoted) -> IcmpPacket:
    """Return *packet*, of which `read_quoted` found something, as an error about *quoted*."""
    octets = bytearray(packet.quoted)
    is_v4 = isinstance(packet.ip, Ipv4)
    start = (octets[0] & 0xF) * 4 if is_v4 else 40
    ours, our_port, theirs, their_port = quoted.four_tuple
    addresses = address_octets(ours) + address_octets(theirs)
    at = 12 if is_v4 else 8
    octets[at : at + len(addresses)] = addresses
    octets[start : start + 8] = our_port.to_bytes(2) + their_port.to_bytes(2) + quoted.seq.to_bytes(4)
    if is_v4:
        octets[10:12] = bytes(2)
        octets[10:12] = internet_checksum(bytes(octets[:start])).to_bytes(2)
    return packet._replace(body=packet.body[:_REST_OCTETS] + bytes(octets))
