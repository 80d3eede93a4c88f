"""Answers to a target that asks for its peers' station address: every address but its own is theirs."""

from __future__ import annotations

from struct import pack
from typing import Final

from xsocket_tools.fuzzing.cast import TARGET
from xsocket_tools.fuzzing.frames import ARP, IPV4, IPV6, Stations, address_of, icmp_frame, octets_of

_TYPES: Final = {ARP.to_bytes(2): 4, IPV6.to_bytes(2): 6}
_REQUEST, _REPLY = 1, 2
_ICMPV6: Final = 58
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOLICITED_AND_OVERRIDE: Final = 0x6000_0000
_TARGET_LINK_LAYER: Final = b"\x02\x01"
_HOP_LIMIT_AT: Final = 21
_UNSPECIFIED: Final = bytes(16)


def neighbours_answer(stations: Stations, frame: bytes) -> bytes | None:
    """Return the answer to an ARP request (RFC 826) or a neighbour solicitation (RFC 4861 section 4.3).

    None for any other frame, and for a target that asks for an address of its own, or tells everybody of one.
    """
    version = _TYPES.get(frame[12:14])
    if version is None:
        return None
    return _arp_reply(stations, frame) if version == 4 else _advertisement(stations, frame)


def _arp_reply(stations: Stations, frame: bytes) -> bytes | None:
    sender, sought = frame[28:32], frame[38:42]
    if (
        len(frame) < 42
        or frame[20:22] != _REQUEST.to_bytes(2)
        or sender == sought
        or sought == octets_of(TARGET[4])
    ):
        return None
    asker = frame[22:28]
    body = pack("!HHBBH6s4s6s4s", 1, IPV4, 6, 4, _REPLY, stations.ours, sought, asker, sender)
    return asker + stations.ours + ARP.to_bytes(2) + body


def _advertisement(stations: Stations, frame: bytes) -> bytes | None:
    if len(frame) < 78 or frame[20] != _ICMPV6 or frame[54] != _SOLICITATION:
        return None
    asker, sought = frame[22:38], frame[62:78]
    if asker == _UNSPECIFIED or sought == octets_of(TARGET[6]):
        return None
    body = sought + _TARGET_LINK_LAYER + stations.ours
    answer = icmp_frame(
        Stations(frame[6:12], stations.ours),
        address_of(sought),
        address_of(asker),
        (_ADVERTISEMENT, 0),
        _SOLICITED_AND_OVERRIDE,
        body,
    )
    return answer[:_HOP_LIMIT_AT] + b"\xff" + answer[_HOP_LIMIT_AT + 1 :]  # RFC 4861 section 7.1.2
