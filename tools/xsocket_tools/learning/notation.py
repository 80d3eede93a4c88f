"""What a target answers, in few words: flags, and numbers by what they should be.

``A`` is a bare acknowledgment of what had been acknowledged before; ``A(+len)`` also acknowledges the
segment that it answers. ``SA(iss, +1)`` is the answer to a SYN, ``R(seg.ack)`` and ``RA(0, +len)`` are the
resets of RFC 9293 section 3.5.2. A number that is none of these shows as its distance from the one that was
due, such as ``A(nxt-1, rcv)``. A dash is silence.
"""

from __future__ import annotations

from typing import Final

from xsocket.segment import ACK, FIN, PSH, RST, SYN, URG, Segment
from xsocket.seqnum import add, distance
from xsocket_tools.fuzzing.view import View

SILENCE: Final = "-"
REFUSED: Final = "refused"

_LETTERS: Final = ((SYN, "S"), (FIN, "F"), (RST, "R"), (PSH, "P"), (URG, "U"), (ACK, "A"))


def in_words(view: View, said: Segment | None, heard: Segment) -> str:
    """Return what the target sent.

    Args:
        view: What the peer knew before it.
        said: The segment that it answers; None if its user made a call.
        heard: What it sent.
    """
    letters = "".join(letter for bit, letter in _LETTERS if heard.flags & bit) or "none"
    seq = _sequence(view, said, heard)
    ack = None if heard.ack is None else _acknowledgment(view, said, heard, heard.ack)
    if heard.flags & (SYN | RST) or seq != "nxt":
        words = [seq] + ([] if ack is None else [ack])
    else:
        words = [] if ack is None or ack == "rcv" else [ack]
    if heard.payload:
        words.append("text")
    return f"{letters}({', '.join(words)})" if words else letters


def _sequence(view: View, said: Segment | None, heard: Segment) -> str:
    if heard.flags & SYN:
        return "iss"
    if heard.flags & RST:
        if said is not None and said.ack == heard.seq and heard.ack is None:
            return "seg.ack"
        if heard.seq == 0:
            return "0"
    return _from("nxt", view.target_nxt, heard.seq)


def _acknowledgment(view: View, said: Segment | None, heard: Segment, ack: int) -> str:
    if said is not None:
        if heard.flags & SYN and said.flags & SYN and ack == add(said.seq, 1):
            return "+1"
        if heard.flags & RST and ack == add(said.seq, said.length):
            return "+len"
    if ack == view.acked:
        return "rcv"
    if said is not None and ack == add(said.seq, said.length):
        return "+len"
    return _from("rcv", view.acked, ack)


def _from(name: str, due: int, number: int) -> str:
    ahead = distance(due, number)
    off = ahead if ahead < 1 << 31 else ahead - (1 << 32)
    return f"{name}{off:+d}" if off else name
