"""The inferred states of an end that keeps no trace."""

from __future__ import annotations

import pytest

from xsocket import Segment
from xsocket.segment import ACK, FIN, PSH, RST, SYN
from xsocket.state import State
from xsocket_tools.inference import Inference

OURS, THEIRS = 1000, 5000  # initial sequence numbers: of the end that is watched, and of the other

# What the watched end sends ("> ") or is sent ("< "), by name.
SEGMENTS = {
    "> SYN": Segment(OURS, 0, SYN),
    "> SYN+ACK": Segment(OURS, THEIRS + 1, SYN | ACK),
    "> ACK": Segment(OURS + 1, THEIRS + 1, ACK),
    "> text": Segment(OURS + 1, THEIRS + 1, PSH | ACK, payload=b"hello"),
    "> FIN": Segment(OURS + 1, THEIRS + 1, FIN | ACK),
    "> ACK of FIN": Segment(OURS + 2, THEIRS + 2, ACK),
    "> RST": Segment(OURS + 1, 0, RST),
    "> SYN anew": Segment(OURS + 70_000, 0, SYN),
    "< SYN": Segment(THEIRS, 0, SYN),
    "< SYN+ACK": Segment(THEIRS, OURS + 1, SYN | ACK),
    "< SYN+ACK of another": Segment(THEIRS, OURS + 9, SYN | ACK),
    "< ACK": Segment(THEIRS + 1, OURS + 1, ACK),
    "< FIN": Segment(THEIRS + 1, OURS + 1, FIN | ACK),
    "< ACK of FIN": Segment(THEIRS + 1, OURS + 2, ACK),
    "< FIN+ACK of FIN": Segment(THEIRS + 1, OURS + 2, FIN | ACK),
    "< RST": Segment(THEIRS + 1, 0, RST),
    "< ACK of the future": Segment(THEIRS + 1, OURS + 9, ACK),
    "> RST for it": Segment(OURS + 9, 0, RST),
    "< RST elsewhere": Segment(THEIRS + 9, 0, RST),
    "< RST+ACK": Segment(0, OURS + 1, RST | ACK),
    "< RST+ACK of another": Segment(0, OURS + 9, RST | ACK),
}

OPENED = [("> SYN", State.SYN_SENT), ("< SYN+ACK", State.ESTABLISHED), ("> ACK", State.ESTABLISHED)]


@pytest.mark.parametrize(
    "story",
    [
        pytest.param([*OPENED, ("> text", State.ESTABLISHED)], id="active open"),
        pytest.param(
            [("< SYN", None), ("> SYN+ACK", State.SYN_RECEIVED), ("< ACK", State.ESTABLISHED)],
            id="passive open",
        ),
        pytest.param(
            [
                ("> SYN", State.SYN_SENT),
                ("< SYN", State.SYN_RECEIVED),
                ("> SYN+ACK", State.SYN_RECEIVED),
                ("< SYN+ACK", State.ESTABLISHED),
            ],
            id="simultaneous open",
        ),
        pytest.param(
            [
                ("< SYN", None),
                ("> SYN+ACK", State.SYN_RECEIVED),
                ("< ACK of the future", State.SYN_RECEIVED),
                ("> RST for it", State.SYN_RECEIVED),
                ("< ACK", State.ESTABLISHED),
                ("> RST", State.CLOSED),
            ],
            id="a wrong third segment, and its reset",
        ),
        pytest.param(
            [*OPENED, ("< RST elsewhere", State.ESTABLISHED), ("< RST", State.CLOSED)],
            id="a reset that is not for us, and one that is",
        ),
        pytest.param([("> SYN", State.SYN_SENT), ("> SYN", State.SYN_SENT)], id="the SYN again"),
        pytest.param([("> SYN", State.SYN_SENT), ("< RST+ACK", State.CLOSED)], id="refused"),
        pytest.param(
            [("> SYN", State.SYN_SENT), ("< RST+ACK of another", State.SYN_SENT)], id="a reset of another SYN"
        ),
        pytest.param(
            [("> SYN", State.SYN_SENT), ("< SYN+ACK of another", State.SYN_SENT), ("> RST", State.SYN_SENT)],
            id="an ACK of another SYN",
        ),
        pytest.param([("< SYN", None), ("> RST", State.CLOSED)], id="refuses"),
        pytest.param(
            [
                *OPENED,
                ("> FIN", State.FIN_WAIT_1),
                ("< ACK of FIN", State.FIN_WAIT_2),
                ("< FIN", State.TIME_WAIT),
                ("> ACK of FIN", State.TIME_WAIT),
            ],
            id="closes first",
        ),
        pytest.param(
            [*OPENED, ("> FIN", State.FIN_WAIT_1), ("< FIN+ACK of FIN", State.TIME_WAIT)],
            id="closes first, and one segment answers",
        ),
        pytest.param(
            [
                *OPENED,
                ("< FIN", State.CLOSE_WAIT),
                ("> FIN", State.LAST_ACK),
                ("> FIN", State.LAST_ACK),
                ("< ACK of FIN", State.CLOSED),
            ],
            id="closes second, and sends its FIN twice",
        ),
        pytest.param(
            [
                *OPENED,
                ("> FIN", State.FIN_WAIT_1),
                ("< FIN", State.CLOSING),
                ("< ACK of FIN", State.TIME_WAIT),
            ],
            id="both close at once",
        ),
        pytest.param([*OPENED, ("> RST", State.CLOSED)], id="aborts"),
        pytest.param([*OPENED, ("< RST", State.CLOSED)], id="is reset"),
        pytest.param(
            [*OPENED, ("> RST", State.CLOSED), ("> SYN anew", State.SYN_SENT)], id="opens the 4-tuple anew"
        ),
        pytest.param(
            [("> text", None), ("< ACK", None), ("> FIN", None)], id="nothing is known without a SYN"
        ),
    ],
)
def test_states_follow_the_segments(story: list[tuple[str, State | None]]) -> None:
    end = Inference()
    path = []
    for name, _ in story:
        take = end.sent if name.startswith(">") else end.received
        path.append((name, take(SEGMENTS[name])[1]))
    assert path == story


def test_a_passive_open_comes_from_listen() -> None:
    end = Inference()
    end.received(SEGMENTS["< SYN"])
    assert end.sent(SEGMENTS["> SYN+ACK"]) == (State.LISTEN, State.SYN_RECEIVED)
