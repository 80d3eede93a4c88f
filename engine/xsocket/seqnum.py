"""Sequence numbers: arithmetic and order on the circle of 2**32.

A sequence number is a plain ``int`` from 0 to 2**32 - 1, because the path of a packet makes dozens of them.
Order on a circle needs a name, so nothing in the engine compares two of them with ``<``: it calls these
functions (RFC 9293 section 3.4). `tests/architecture/test_sequence_numbers.py` holds the code to it.
"""

from typing import Final

MASK: Final = 0xFFFF_FFFF
HALF: Final = 0x8000_0000


def add(seq: int, count: int) -> int:
    """Return the number *count* places (octets) after *seq*; a negative count goes back."""
    return (seq + count) & MASK


def distance(start: int, end: int) -> int:
    """Return how many places forward lead from *start* to *end*: 0 to 2**32 - 1."""
    return (end - start) & MASK


def precedes(first: int, second: int) -> bool:
    """Return whether *second* is 1 to 2**31 - 1 places ahead of *first*: ``first < second`` in the RFC."""
    return 0 < (second - first) & MASK < HALF


def precedes_or_is(first: int, second: int) -> bool:
    """Return whether *second* is 0 to 2**31 - 1 places ahead of *first*: ``first =< second`` in the RFC."""
    return (second - first) & MASK < HALF


def in_window(seq: int, left: int, size: int) -> bool:
    """Return whether *seq* is one of the *size* numbers that begin at *left*; never, for an empty window."""
    return (seq - left) & MASK < size


def later(first: int, second: int) -> int:
    """Return whichever of two numbers less than half the circle apart stands further ahead."""
    return second if precedes(first, second) else first
