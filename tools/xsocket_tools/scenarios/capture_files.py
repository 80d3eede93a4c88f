"""Captures from files: pcap and pcapng to the IP packets in them. Scapy reads the blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from xsocket_tools.capture import OUTBOUND
from xsocket_tools.scenarios.conversations import Captured, RecordingError

_DIRECTION: Final = 0b11
"""Bits of the flags word of an enhanced packet block (draft-ietf-opsawg-pcapng section 4.3.1)."""

_IP_TYPES: Final = {b"\x08\x00", b"\x86\xdd"}
_TAG: Final = b"\x81\x00"
_ETHERNET: Final = 1
_RAW: Final = frozenset({12, 14, 101, 228, 229})
_COOKED: Final = {113: (14, 16), 276: (0, 20)}
"""Link types of Linux's "any" interface: where the protocol stands, and the octets in front of the packet."""


def captured_packets(path: Path) -> list[Captured]:
    """Return the IP packets of a pcap or pcapng file, in its order.

    Raises:
        RecordingError: It cannot be read, or its link type is not one of Ethernet, raw IP and Linux's own.
    """
    from scapy.error import Scapy_Exception  # a second to import, and few commands need it
    from scapy.utils import RawPcapReader

    make: Any = RawPcapReader  # takes open files too, whatever its types say; one of pcapng, if the file is
    try:
        with path.open("rb") as file, make(file) as reader:
            return list(_packets(reader, str(path)))
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}", remedy="Check the path.") from error
    except (Scapy_Exception, EOFError) as error:
        raise RecordingError(
            f"{path} is no capture: {error}", remedy="Give a pcap or pcapng file."
        ) from error


def _packets(reader: Any, name: str) -> Iterator[Captured]:  # noqa: ANN401  # Scapy tells no types
    nanoseconds = getattr(reader, "nano", False)
    for octets, metadata in reader:
        linktype = getattr(metadata, "linktype", None) or reader.linktype
        packet = _ip_packet(octets, linktype, name)
        if packet is None:
            continue
        if hasattr(metadata, "tsresol"):
            at_us = ((metadata.tshigh << 32) + metadata.tslow) * 1_000_000 // metadata.tsresol
            direction = metadata.direction & _DIRECTION if isinstance(metadata.direction, int) else 0
        else:
            at_us = metadata.sec * 1_000_000 + (metadata.usec // 1000 if nanoseconds else metadata.usec)
            direction = 0
        yield Captured(at_us, packet, direction == OUTBOUND if direction else None)


def _ip_packet(octets: bytes, linktype: int, name: str) -> bytes | None:
    """Return the IP packet in a frame; None for what is none."""
    if linktype in _RAW:
        return octets
    if linktype == _ETHERNET:
        at = 12
        while octets[at : at + 2] == _TAG:
            at += 4
        behind = at + 2
    elif linktype in _COOKED:
        at, behind = _COOKED[linktype]
    else:
        raise RecordingError(
            f"{name} has frames of link type {linktype}", remedy="Capture on an Ethernet or a tun interface."
        )
    return octets[behind:] if octets[at : at + 2] in _IP_TYPES else None
