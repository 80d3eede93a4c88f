"""What a peer knows of its connection from the wire alone: what the places of a case are relative to."""

from __future__ import annotations

from typing import Final

from xsocket.segment import ACK, RST, SYN, Segment
from xsocket.seqnum import MASK, add, distance, precedes
from xsocket_tools.fuzzing import options as grammar
from xsocket_tools.fuzzing.case import Place, Say

STRANGER: Final = 5_000_000
"""Stands for the target's initial sequence number until it has sent one."""
QUARTER, HALF = 1 << 30, 1 << 31

_PERIOD: Final = 251
_PEERS: Final = bytes((3 + 7 * at) % 256 for at in range(_PERIOD)) * 40
_TARGETS: Final = bytes((11 + 5 * at) % 256 for at in range(_PERIOD)) * 4_300


def peers_text(offset: int, size: int) -> bytes:
    """Return *size* octets of what a peer says, from octet *offset* of its stream on; 9,000 at most."""
    at = offset % _PERIOD
    return _PEERS[at : at + size]


def targets_text(offset: int, size: int) -> bytes:
    """Return *size* octets of what the target's user says, from octet *offset* of its stream on."""
    at = offset % _PERIOD
    return _TARGETS[at : at + size]


class View:
    """One peer's knowledge, which it gains by what it sends and what it hears.

    Args:
        isn: Its initial sequence number.

    Attributes:
        isn: The number of its SYN.
        nxt: What it would send next.
        last: The first number of what it sent last that takes any.
        target_isn: The number of the target's SYN.
        target_una: The oldest number of the target that it has not acknowledged.
        target_nxt: What the target would send next, as far as it knows.
        acked: Up to where the target has acknowledged.
        window: How much the target has offered to take from there on, octets.
        max_window: The largest window it has offered itself.
        ts_sent, ts_heard, cookie, other_cookie: See `options.Numbers`.
    """

    __slots__ = (
        *(
            "_offered",
            "_shift",
            "_syn",
            "acked",
            "cookie",
            "isn",
            "last",
            "max_window",
            "nxt",
            "other_cookie",
        ),
        *("target_isn", "target_nxt", "target_una", "ts_heard", "ts_sent", "window"),
    )

    def __init__(self, isn: int) -> None:
        self.isn = self.nxt = self.last = self._syn = isn
        self.target_isn = STRANGER
        self.target_una = self.target_nxt = STRANGER + 1
        self.acked, self.window, self.max_window = add(isn, 1), 65_535, 0
        self._offered: int | None = None
        self._shift = 0
        self.ts_sent: int | None = None
        self.ts_heard = 0
        self.cookie = self.other_cookie = b""

    def seq(self, place: Place, other: View | None = None) -> int:
        """Return the sequence number at *place*; see `case.SEQUENCES`."""
        name, offset = place
        if name == "next":
            number = self.nxt
        elif name == "old":
            number = self.nxt - 1
        elif name == "duplicate":
            number = self.last
        elif name == "left":
            number = self.acked
        elif name == "right":
            number = self.acked + self.window - 1
        elif name == "beyond":
            number = self.acked + self.window
        elif name == "start":
            number = self.isn
        elif name == "zero":
            number = 0
        elif name == "other":
            number = (other or self).nxt
        else:
            number = self.nxt + (QUARTER if name == "far" else HALF)
        return (number + offset) & MASK

    def ack(self, place: Place, other: View | None = None) -> int:
        """Return the acknowledgment number at *place*; see `case.ACKNOWLEDGMENTS`."""
        name, offset = place
        if name == "next":
            number = self.target_nxt
        elif name == "duplicate":
            number = self.target_una
        elif name == "old":
            number = self.target_una - 1
        elif name == "beyond":
            number = self.target_nxt + 1
        elif name == "left":
            number = self.target_una - self._tolerated
        elif name == "below":
            number = self.target_una - self._tolerated - 1
        elif name == "start":
            number = self.target_isn
        elif name == "zero":
            number = 0
        elif name == "other":
            number = (other or self).target_nxt
        else:
            number = self.target_nxt + (QUARTER if name == "far" else HALF)
        return (number + offset) & MASK

    @property
    def _tolerated(self) -> int:
        """MAX.SND.WND of RFC 5961 section 5, and no more than what was ever acknowledged."""
        return min(self.max_window, max(0, distance(self.target_isn, self.target_una) - 1))

    def say(self, operation: Say, now: float, other: View | None = None) -> Segment:
        """Return the segment that *operation* is, now; *other* is what the peer that spoke last knows."""
        seq = self.seq(operation.seq, other)
        raw = grammar.encode(operation.options, self, now) if operation.options else b""
        size = operation.text
        text = b""
        if size:
            syn = 1 if operation.flags & SYN else 0
            text = peers_text(distance(self.isn, add(seq, syn)) - 1 & MASK, size)
        ack = self.ack(operation.ack, other)
        return Segment(
            seq, ack, operation.flags, operation.window, raw, text, operation.urgent, operation.ecn
        )

    def said(self, segment: Segment, now_valid: bool) -> None:
        """Note what it has sent, and whether the target can have read it."""
        seq, flags = segment.seq, segment.flags
        length = segment.length
        if not now_valid or flags & RST:
            return
        if flags & SYN:
            self._syn = seq
            shift = grammar.read(segment.options).shift
            self._offered = None if shift is None else min(shift, 14)
            if self.nxt == seq:
                self.nxt = add(seq, length if flags & ACK else 1)
        elif seq == self.nxt and flags & ACK:
            self.nxt = add(seq, length)
        if length:
            self.last = seq
        if flags & ACK:
            window = segment.window << (0 if flags & SYN else self._offered or 0)
            self.max_window = max(self.max_window, window)
            ack = segment.acknowledgment
            if distance(self.target_una, ack) <= distance(self.target_una, self.target_nxt):
                self.target_una = ack
        elif flags & SYN:
            self.max_window = max(self.max_window, segment.window)

    def heard(self, segment: Segment) -> None:
        """Note what the target has sent."""
        flags = segment.flags
        if flags & RST:
            return
        found = grammar.read(segment.options)
        if found.ts is not None:
            self.ts_heard = found.ts[0]
        if flags & SYN:
            if found.cookie:
                self.cookie = found.cookie
            if segment.seq != self.target_isn:
                self.target_isn = self.target_una = segment.seq
                self.target_nxt = add(segment.seq, 1)
            if self._offered is not None:
                self._shift = min(found.shift, 14) if found.shift is not None else 0
            if flags & ACK and segment.acknowledgment == add(self._syn, 1):
                self.isn = self._syn
        end = add(segment.seq, segment.length)
        if precedes(self.target_nxt, end):
            self.target_nxt = end
        if flags & ACK:
            self.acked = self.nxt = segment.acknowledgment
            self.window = segment.window << (0 if flags & SYN else self._shift)
