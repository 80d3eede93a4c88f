"""Explicit congestion notification of RFC 3168, over a shadow: the receiver's echo. Nothing of RFC 9768."""

from __future__ import annotations

from typing import Final

from xsocket.segment import ACK, AE, CWR, ECE, Segment
from xsocket_tools.fuzzing.oracle.habits import Habit
from xsocket_tools.fuzzing.oracle.shadow import MASK, Shadow, ahead, length_of

MARKED: Final = 3
"""The codepoint CE (RFC 3168 section 5)."""
_CLASSIC: Final = (1, 2)
"""The modes of tcp_ecn that know RFC 3168 alone."""
_ASKS: Final = 1
"""The one of them in which our SYNs ask for it."""


def is_agreed(shadow: Shadow, syn: Segment) -> bool | None:
    """Whether the peer's SYN agrees on ECN as RFC 3168 section 6.1.1 has it; None if nobody can tell."""
    mode, flags = shadow.config.ecn, syn.flags
    if not mode:
        return False
    if mode not in _CLASSIC or flags & AE:
        return None
    if syn.ecn and shadow.passive and Habit.CAPABLE_SYN_IS_REFUSED in shadow.habits:
        return False
    if not flags & ACK:  # also where two SYNs cross: each end does as a server would
        has_asked = shadow.passive or mode == _ASKS or Habit.SYN_IS_REPEATED not in shadow.habits
        return flags & (ECE | CWR) == ECE | CWR and has_asked
    if shadow.open_rtx:
        return None  # a SYN that goes again may ask for less
    if flags & CWR and mode == _ASKS and Habit.CWR_IS_ACCURATE in shadow.habits:
        return None
    return mode == _ASKS and flags & (ECE | CWR) == ECE


def note_mark(shadow: Shadow, segment: Segment) -> bool:
    """Take in an acceptable segment with text: CWR ends the echo, and a mark begins it (section 6.1.3).

    What is all old does not count (section 6.1.5).

    Returns:
        Whether it has to be acknowledged at once.
    """
    if not shadow.ecn or not segment.payload:
        return False
    if ahead((segment.seq + length_of(segment)) & MASK, shadow.rcv_nxt) >= 0:
        return False
    before = shadow.echoes_mark
    if segment.flags & CWR:
        shadow.echoes_mark = False
    if segment.ecn == MARKED:
        shadow.echoes_mark = True
    return bool(segment.flags & CWR) or before is not shadow.echoes_mark
