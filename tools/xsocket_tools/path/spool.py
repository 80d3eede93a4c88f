"""Frames between two processes: what `recording` writes to its pipe and `recorder` reads from it.

Each record has the number of its file, the direction, Unix time in nanoseconds, the frame's length, the
frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO, Final

from xsocket_tools.capture import CapturedFrame

_HEAD: Final = Struct("!BBQI")


def pack(number: int, direction: int, at_ns: int, frame: bytes) -> bytes:
    """Return a record for file *number*."""
    return _HEAD.pack(number, direction, at_ns, len(frame)) + frame


def records(source: BinaryIO) -> Iterator[tuple[int, CapturedFrame]]:
    """Yield the number of the file and the frame of each record; one that was cut ends them."""
    while len(head := source.read(_HEAD.size)) == _HEAD.size:
        number, direction, at_ns, octets = _HEAD.unpack(head)
        frame = source.read(octets)
        if len(frame) < octets:
            return
        yield number, CapturedFrame(at_ns, frame, direction, "")
