"""A segment's octets as a digest covers them: pseudo-header, and fixed header without its checksum."""

from functools import lru_cache
from ipaddress import ip_address
from struct import Struct
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.segment import Segment

_PROTOCOL: Final = 6
_FIXED: Final = Struct("!HHIIHHHH")
_V4_TAIL: Final = Struct("!xBH")
_V6_TAIL: Final = Struct("!IxxxB")


def pseudo_header(sender: FourTuple, segment: Segment) -> bytes:
    """Return the pseudo-header of *segment*: RFC 9293 section 3.1, RFC 8200 section 8.1.

    Args:
        sender: The connection as the end names it that sends the segment.
        segment: With all the options it has on the wire: the length counts them.
    """
    addresses = packed(sender.local_address) + packed(sender.remote_address)
    length = 20 + len(segment.options) + len(segment.payload)
    tail = _V4_TAIL.pack(_PROTOCOL, length) if len(addresses) == 8 else _V6_TAIL.pack(length, _PROTOCOL)
    return addresses + tail


def fixed_header(sender: FourTuple, segment: Segment) -> bytes:
    """Return the header up to its options, with a checksum of zero; the data offset counts the options."""
    return _FIXED.pack(
        sender.local_port,
        sender.remote_port,
        segment.seq,
        segment.acknowledgment,
        (5 + len(segment.options) // 4) << 12 | segment.flags,
        segment.window,
        0,
        segment.urgent,
    )


@lru_cache(maxsize=4096)
def packed(address: str) -> bytes:
    """Return the four or sixteen octets of a canonical address."""
    return ip_address(address).packed
