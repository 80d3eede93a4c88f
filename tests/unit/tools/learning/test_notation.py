"""Answers in words: each number by what it should be."""

import pytest

from xsocket.segment import ACK, FIN, PSH, RST, SYN, Segment
from xsocket.seqnum import add
from xsocket_tools.fuzzing.view import View
from xsocket_tools.learning.notation import in_words

ISN, ISS = 0xFFFF_FFC0, 7_000


def view() -> View:
    """Return what a peer knows after the handshake."""
    known = View(ISN)
    known.said(Segment(ISN, 0, SYN), True)
    known.heard(Segment(ISS, add(ISN, 1), SYN | ACK, 65_535))
    return known


NEXT, DUE = add(ISN, 1), add(ISS, 1)
ASKED = Segment(NEXT, DUE, ACK)
WITH_TEXT = Segment(NEXT, DUE, ACK, payload=b"x")
WITHOUT_ACK = Segment(NEXT, DUE, SYN)


@pytest.mark.parametrize(
    ("said", "heard", "words"),
    [
        (ASKED, Segment(DUE, NEXT, ACK), "A"),
        (WITH_TEXT, Segment(DUE, add(NEXT, 1), ACK), "A(+len)"),
        (ASKED, Segment(DUE, add(NEXT, 1), ACK), "A(rcv+1)"),
        (ASKED, Segment(ISS, NEXT, ACK), "A(nxt-1, rcv)"),
        (None, Segment(DUE, NEXT, FIN | ACK), "FA"),
        (None, Segment(DUE, NEXT, PSH | ACK, payload=b"hello"), "PA(text)"),
        (WITH_TEXT, Segment(DUE, add(NEXT, 1), FIN | PSH | ACK, payload=b"hello"), "FPA(+len, text)"),
        (None, Segment(ISS, 0, SYN), "S(iss)"),
        (WITHOUT_ACK, Segment(ISS, add(NEXT, 1), SYN | ACK), "SA(iss, +1)"),
        (ASKED, Segment(ISS, NEXT, SYN | ACK), "SA(iss, rcv)"),
        (ASKED, Segment(DUE, 0, RST), "R(seg.ack)"),
        (WITHOUT_ACK, Segment(0, add(NEXT, 1), RST | ACK), "RA(0, +len)"),
        (None, Segment(DUE, NEXT, RST | ACK), "RA(nxt, rcv)"),
        (None, Segment(DUE, 0, RST), "R(nxt)"),
        (ASKED, Segment(DUE, 0, 0), "none"),
    ],
    ids=str,
)
def test_words(said: Segment | None, heard: Segment, words: str) -> None:
    assert in_words(view(), said, heard) == words
