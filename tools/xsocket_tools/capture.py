"""A trace as a pcapng file: packet comments carry states and RFC rules. Scapy writes it; tshark reads it.

A checksum that the sender's kernel left to hardware is filled in: it was never wrong, only never made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from os import PathLike, fspath
from typing import NamedTuple, Self

from xsocket.reasons import DropReason
from xsocket.trace import Event, EventKind
from xsocket.wire.codec import decode, encode
from xsocket_tools.ladder import error_in_words
from xsocket_tools.steps import Step, cite, steps

INBOUND, OUTBOUND = 1, 2
"""Direction in the flags word of an enhanced packet block (draft-ietf-opsawg-pcapng section 4.3.1)."""

_ETHERNET = 1
_RAW = 101


class CapturedFrame(NamedTuple):
    """One packet block of the file."""

    at_ns: int
    frame: bytes
    direction: int
    comment: str


def captured_frames(events: Iterable[Event]) -> list[CapturedFrame]:
    """Return the frames of a trace in the order of time, each with its comment."""
    return sorted(_frames(steps(events)), key=lambda captured: captured.at_ns)


class CaptureFile:
    """A pcapng file that grows; to be used in a `with` block. Frames reach the disk as they are written.

    Times are rounded down to microseconds, which is what Scapy writes.

    Args:
        path: The file; what it held is gone.
        linktype: 1 for Ethernet frames, 101 for IP packets (draft-ietf-opsawg-pcaplinktype).

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, path: str | PathLike[str], linktype: int = _ETHERNET) -> None:
        from scapy.packet import Raw  # more than a second to import, and only captures need it
        from scapy.utils import PcapNgWriter

        self._raw = Raw
        self._writer = PcapNgWriter(fspath(path))
        self._writer.linktype = linktype
        self._writer.write_header(None)
        self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, captured: CapturedFrame) -> None:
        """Add a frame."""
        packet = self._raw(captured.frame)
        if captured.comment:
            packet.comment = captured.comment.encode()
        packet.direction = captured.direction
        seconds = Fraction(captured.at_ns, 10**9)  # a float would be off by a microsecond
        self._writer.write_packet(packet, sec=seconds)  # type: ignore[arg-type]
        self._writer.flush()


def write_capture(path: str | PathLike[str], events: Iterable[Event]) -> int:
    """Write *events* to the pcapng file *path*; return how many frames it holds.

    Times are rounded down to microseconds, which is what Scapy writes.

    Raises:
        OSError: The file cannot be written.
    """
    return write_frames(path, captured_frames(events))


def write_packets(path: str | PathLike[str], packets: Iterable[tuple[str, float, bytes]]) -> int:
    """Write IP packets, of which nothing else is known, to the pcapng file *path*; return how many they are.

    Args:
        path: The file.
        packets: Direction (``<`` in, ``>`` out), instant in seconds, and octets from the IP header on.

    Raises:
        OSError: The file cannot be written.
    """
    frames = [
        CapturedFrame(round(at * 10**9), octets, OUTBOUND if direction == ">" else INBOUND, "")
        for direction, at, octets in packets
    ]
    return write_frames(path, frames, _RAW)


def write_frames(path: str | PathLike[str], frames: list[CapturedFrame], linktype: int = _ETHERNET) -> int:
    """Write *frames* to the pcapng file *path*; return how many they are.

    Raises:
        OSError: The file cannot be written.
    """
    with CaptureFile(path, linktype) as file:
        for captured in frames:
            file.write(captured)
    return len(frames)


def _frames(grouped: Iterable[Step]) -> Iterator[CapturedFrame]:
    for step in grouped:
        event = step.event
        if event.frame is not None:
            direction = OUTBOUND if event.kind is EventKind.SENT else INBOUND
            yield CapturedFrame(
                event.at_ns, finished(event.frame, event.checksum_ready), direction, comment(step)
            )


def comment(step: Step) -> str:
    """Return what is known of a segment beyond its octets, in one line."""
    error = step.event.path_error
    parts = [] if error is None else [error_in_words(error)]
    if step.before is not None and step.after is not None:
        moved = step.before is not step.after
        parts.append(f"{step.before.value} -> {step.after.value}" if moved else step.before.value)
    if step.event.rule is not None:
        parts.append(f"sent by {cite(step.event.rule)}")
    parts += [
        f"{move.trigger.value} by {cite(move.rule)}" for move in step.moves if move.trigger and move.rule
    ]
    dropped = [*step.drops, step.event] if step.event.reason is not None else step.drops
    parts += [f"dropped, {event.reason.name}: {event.reason.value}" for event in dropped if event.reason]
    return "; ".join(parts)


def finished(frame: bytes, checksum_ready: bool) -> bytes:
    """Return *frame* with its checksum, where hardware was to fill it in and there is none."""
    if checksum_ready:
        return frame
    packet = decode(frame, checksum_ready=False)
    return frame if isinstance(packet, DropReason) else encode(packet)
