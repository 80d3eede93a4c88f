"""What a kernel says of its own numbers is worth more than what was seen, and each says how it is known."""

from __future__ import annotations

import pytest

from xsocket.segment import ACK, SYN, Segment
from xsocket.state import State
from xsocket_tools.sockdiag import Told
from xsocket_tools.teaching.report import words
from xsocket_tools.teaching.story import Source, Variable
from xsocket_tools.teaching.variables import Onlooker, asked

INFO = {
    "tcpi_snd_wnd": 65_535,
    "tcpi_rcv_wnd": 64_240,
    "tcpi_snd_mss": 1448,
    "tcpi_snd_cwnd": 10,
    "tcpi_snd_ssthresh": 0x7FFF_FFFF,
    "tcpi_options": 0,
    "tcpi_rtt": 0,
    "tcpi_rto": 300_000,
}


@pytest.fixture
def onlooker() -> Onlooker:
    """Of a client that has sent ten octets."""
    made = Onlooker()
    made.sent(Segment(1000, 0, SYN))
    made.received(Segment(5000, 1001, SYN | ACK))
    made.sent(Segment(1001, 5001, ACK, payload=b"0123456789"))
    return made


def known(onlooker: Onlooker) -> dict[str, tuple[str, Source | None]]:
    told = Told(State.ESTABLISHED, tcp_info=INFO)
    return {each.name: (each.value, each.source) for each in asked(told, onlooker)}


def test_what_the_segments_tell_is_inferred(onlooker: Onlooker) -> None:
    found = known(onlooker)
    assert found["SND.NXT"] == ("11", Source.INFERRED)
    assert found["IRS"] == ("0", Source.INFERRED)
    assert found["SND.WND"] == ("65,535", None)


def test_what_the_kernel_tells_counts_for_more(onlooker: Onlooker) -> None:
    onlooker.told(1006, 1011)
    found = known(onlooker)
    assert found["SND.UNA"] == ("6", Source.TRACED)
    assert found["SND.NXT"] == ("11", Source.TRACED)


def test_what_moves_on_is_inferred_again(onlooker: Onlooker) -> None:
    onlooker.told(1001, 1011)
    onlooker.sent(Segment(1011, 5001, ACK, payload=b"more"))
    found = known(onlooker)
    assert found["SND.UNA"] == ("1", Source.TRACED)
    assert found["SND.NXT"] == ("15", Source.INFERRED)


def test_a_new_connection_knows_nothing_of_the_old_one(onlooker: Onlooker) -> None:
    onlooker.told(1001, 1011)
    onlooker.sent(Segment(9000, 0, SYN))
    assert known(onlooker)["SND.NXT"] == ("1", Source.INFERRED)


@pytest.mark.parametrize(
    ("segment", "has_sent"),
    [
        pytest.param(Segment(1000, 0, SYN), True, id="SYN"),
        pytest.param(Segment(4_000_000_000, 0, SYN), False, id="another SYN"),
        pytest.param(Segment(1001, 5001, ACK, payload=b"01234"), True, id="text"),
        pytest.param(Segment(1011, 5001, ACK, payload=b"more"), False, id="new text"),
        pytest.param(Segment(1001, 5001, ACK), False, id="nothing"),
    ],
)
def test_what_was_sent_before(onlooker: Onlooker, segment: Segment, *, has_sent: bool) -> None:
    assert onlooker.has_sent(segment) == has_sent


def test_nothing_was_sent_before_the_first_segment() -> None:
    assert not Onlooker().has_sent(Segment(4_000_000_000, 0, SYN))


def test_others_do_not_say_how_they_know(onlooker: Onlooker) -> None:
    onlooker.told(1001, 1011)
    assert {each.source for each in onlooker.variables()} == {None}


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        pytest.param(Variable("SND.UNA", "1", "1001"), words.Said("1", "1001"), id="asked"),
        pytest.param(
            Variable("SND.UNA", "1", "1001", source=Source.TRACED), words.Said("1", "1001"), id="traced"
        ),
        pytest.param(
            Variable("SND.UNA", "1", "1001", source=Source.INFERRED), words.Said("~1", "~1001"), id="inferred"
        ),
        pytest.param(
            Variable("RCV.WND", "9", source=Source.INFERRED), words.Said("~9"), id="inferred, no number"
        ),
    ],
)
def test_a_guess_has_a_mark(variable: Variable, said: words.Said) -> None:
    assert words.value(variable) == said
