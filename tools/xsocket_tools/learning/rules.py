"""Which rule a letter is about in a state: that of a known difference of Linux, or the step of RFC 9293."""

from __future__ import annotations

from typing import Final, NamedTuple

from xsocket.segment import ACK, FIN, RST, SYN, URG
from xsocket.state import State
from xsocket_tools.fuzzing.case import Call, Place, Say
from xsocket_tools.grid.cells import Cell
from xsocket_tools.grid.differences import Difference, explained_by
from xsocket_tools.learning.alphabet import Letter
from xsocket_tools.learning.machine import Move, state_of
from xsocket_tools.learning.notation import SILENCE
from xsocket_tools.steps import cite

_CALLS: Final = {
    "open": "3.10.1",
    "claim": "3.10.1",
    "send": "3.10.2",
    "receive": "3.10.3",
    "shutdown": "3.10.4",
    "close": "3.10.4",
    "abort": "3.10.5",
}
"""The call of RFC 9293 that each of ours is; to claim is to have the OPEN return."""
_UNSYNCHRONIZED: Final = {
    State.CLOSED: "3.10.7.1",
    State.LISTEN: "3.10.7.2",
    State.SYN_SENT: "3.10.7.3",
}
_STEPS: Final = {State.LISTEN: (RST, ACK, SYN), State.SYN_SENT: (ACK, RST, SYN)}
"""What LISTEN and SYN-SENT look at, in order."""
_WORDS: Final = {
    State.LISTEN: {RST: "first", ACK: "second", SYN: "third", 0: "fourth"},
    State.SYN_SENT: {ACK: "first", RST: "second", SYN: "fourth", 0: "fifth"},
}


class Rule(NamedTuple):
    """Where it is said what is right.

    Attributes:
        section: As the engine cites it, such as ``RFC 9293 3.10.7.4 second``.
        why: For a known difference of Linux what it is about, in a few words; empty otherwise.
    """

    section: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.section}: {self.why}" if self.why else self.section


def rule_of(state: str, letter: Letter, linux: Move | None) -> Rule:
    """Return the rule for *letter* in *state*.

    Args:
        state: A state's name in a machine.
        letter: What happens there.
        linux: What Linux does, if one of two machines is Linux: a known difference may be the reason.
    """
    where = State(state_of(state))
    if isinstance(letter, Call):
        return Rule(cite(_CALLS[letter.name]))
    known = None if linux is None else _known(where, letter, linux)
    if known is not None:
        return Rule(cite(known.rule), known.name)
    return Rule(cite(_section(where, letter)))


def _section(state: State, letter: Say) -> str:
    """Return the step of section 3.10.7 that decides about the segment, as far as flags and places tell."""
    if state in _UNSYNCHRONIZED:
        words = _WORDS.get(state)
        decides = next((bit for bit in _STEPS.get(state, ()) if letter.flags & bit), 0)
        return _UNSYNCHRONIZED[state] + (f" {words[decides]}" if words else "")
    return f"3.10.7.4 {_step(letter)}"


def _step(letter: Say) -> str:
    flags, seq = letter.flags, _sequence(letter.seq)
    if flags & RST:
        return {"next": "second, 2)", "in window": "second, 3)"}.get(seq, "second, 1)")
    if seq in ("old", "out of window"):
        return "first"
    if flags & SYN:
        return "fourth"
    if not flags & ACK or _acknowledgment(letter.ack) != "good":
        return "fifth"
    if flags & FIN:
        return "eighth"
    if letter.text:
        return "seventh"
    return "sixth" if flags & URG else "fifth"


def _known(state: State, letter: Say, linux: Move) -> Difference | None:
    """Return the known difference of Linux that covers the letter as a cell, and has Linux do *linux*."""
    cell = Cell(state, _segment(letter), _sequence(letter.seq), _acknowledgment(letter.ack))
    known = explained_by(cell)
    if known is None:
        return None
    replies, after = known.linux(cell)
    ended = (State.CLOSED, State.LISTEN)
    reached = State(state_of(linux.to))
    is_there = reached is after or (reached in ended and after in ended)
    return known if is_there and bool(replies) == (linux.output != SILENCE) else None


def _segment(letter: Say) -> str:
    """Return the kind of segment, of the grid's, that the letter is: what is looked at first decides."""
    flags = letter.flags
    if flags & RST:
        return "RST+ACK" if flags & ACK else "RST"
    if flags & SYN:
        return "SYN+ACK" if flags & ACK else "SYN+FIN" if flags & FIN else "SYN"
    if not flags & ACK:
        return "no flags"
    return "FIN+ACK" if flags & FIN else "ACK+data" if letter.text else "ACK"


def _sequence(place: Place) -> str:
    """Return where the grid has the sequence number; ``next`` and ``left`` are the same for a learner."""
    name, offset = place
    if name in ("next", "left"):
        if offset == 0:
            return "next"
        if offset < 0:
            return "old"
    inside = (name in ("next", "left") and offset < 1 << 16) or (name == "right" and offset <= 0)
    return "in window" if inside else "old" if name in ("old", "duplicate", "start") else "out of window"


def _acknowledgment(place: Place) -> str:
    """Return where the grid has the acknowledgment number."""
    if place == Place("next"):
        return "good"
    old = place.name in ("old", "below", "left", "start", "wrapped", "duplicate") or place.offset < 0
    return "old" if old else "future"
