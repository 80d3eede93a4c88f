"""A firewall that forgets, and resets that nobody sent."""

from collections.abc import Callable

import pytest

from support.paths import KEY, LEFT, RIGHT, framed, held_by, key_of, left, right, segment, through
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, RST, Segment
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.parcel import Parcel, Towards
from xsocket_tools.path.resets import ForgetfulFirewall, InjectReset, Stranger
from xsocket_tools.path.table import WhenFull

SYN, SYN_ACK = segment("S", 10), segment("S.", 20, 11)
DATA = segment("P.", 11, 21, payload=b"hello")


def opened(firewall: ForgetfulFirewall, now: float = 0.0) -> ForgetfulFirewall:
    through(firewall, right(SYN), now)
    through(firewall, left(SYN_ACK), now)
    return firewall


def test_it_lets_through_what_a_syn_has_opened() -> None:
    firewall = opened(ForgetfulFirewall(60))
    assert through(firewall, right(DATA), 59.0) == DATA
    assert through(firewall, left(segment(".", 21, 16)), 118.0)
    assert firewall.counts()["strangers"] == 0


def test_it_forgets_what_is_idle_and_drops_it() -> None:
    firewall = opened(ForgetfulFirewall(60))
    assert firewall.take(60.0, right(DATA)) == ()
    assert firewall.counts() == {
        **{"opened": 1, "strangers": 1},
        **{"entries": 0, "expired": 1, "evicted": 0, "refused": 0},
    }


@pytest.mark.parametrize(
    ("stranger", "answer"),
    [
        pytest.param(DATA, Segment(21, 0, RST), id="acknowledges"),
        pytest.param(segment("F", 11), Segment(0, 12, RST | ACK), id="does-not"),
    ],
)
def test_or_resets_it_as_if_from_the_other_end(stranger: Segment, answer: Segment) -> None:
    firewall = opened(ForgetfulFirewall(60, strangers=Stranger.RESET))
    (reset,) = firewall.take(60.0, right(stranger))
    assert (reset.towards, held_by(reset), key_of(reset)) == (LEFT, answer, KEY.reversed)
    assert reset.frame[:12] == framed(LEFT, answer)[:12]


def test_no_reset_answers_a_reset() -> None:
    assert ForgetfulFirewall(60, strangers=Stranger.RESET).take(0.0, left(segment("R", 5))) == ()


def test_a_reset_closes_the_connection_for_it() -> None:
    firewall = opened(ForgetfulFirewall(60))
    through(firewall, right(segment("R", 11)))
    assert firewall.take(0.0, right(DATA)) == ()


def test_connections_are_opened_from_the_inside() -> None:
    firewall = ForgetfulFirewall(60, opens=RIGHT)
    assert firewall.take(0.0, left(SYN)) == ()
    assert len(firewall.take(0.0, right(SYN))) == 1


@pytest.mark.parametrize(
    ("when_full", "passing"),
    [(WhenFull.REFUSE, [True, False, True]), (WhenFull.EVICT, [True, True, False])],
    ids=["refuse", "evict"],
)
def test_it_knows_only_so_many(when_full: WhenFull, passing: list[bool]) -> None:
    firewall = ForgetfulFirewall(60, limit=1, when_full=when_full)
    other = FourTuple("10.0.0.1", 40_001, "10.0.0.2", 80)
    parcels = [right(SYN), right(SYN, other), right(DATA)]
    assert [len(firewall.take(0.0, each)) == 1 for each in parcels] == passing


@pytest.mark.parametrize("make", [lambda: ForgetfulFirewall(0), lambda: ForgetfulFirewall(1, limit=0)])
def test_values_out_of_range_are_refused(make: Callable[[], ForgetfulFirewall]) -> None:
    with pytest.raises(BadElementError):
        make()


def resets(element: InjectReset, parcel: Parcel) -> list[tuple[Towards, Segment]]:
    """Return what leaves *element* beside the parcel itself, which comes first."""
    first, *forged = element.take(0.0, parcel)
    assert first is parcel
    return [(each.towards, held_by(each)) for each in forged]


@pytest.mark.parametrize(
    ("parcel", "forged"),
    [
        pytest.param(right(SYN), [(RIGHT, Segment(11, 0, RST)), (LEFT, Segment(0, 11, RST | ACK))], id="syn"),
        pytest.param(
            left(SYN_ACK), [(LEFT, Segment(21, 11, RST | ACK)), (RIGHT, Segment(11, 0, RST))], id="syn-ack"
        ),
        pytest.param(
            right(DATA), [(RIGHT, Segment(16, 21, RST | ACK)), (LEFT, Segment(21, 0, RST))], id="data"
        ),
    ],
)
def test_resets_are_exact(parcel: Parcel, forged: list[tuple[Towards, Segment]]) -> None:
    assert resets(InjectReset("any"), parcel) == forged


def test_one_end_may_get_it_alone() -> None:
    assert [end for end, _ in resets(InjectReset("any", to=LEFT), right(DATA))] == [LEFT]
    assert [end for end, _ in resets(InjectReset("any", to=RIGHT), right(DATA))] == [RIGHT]


def test_a_swallowed_segment_leaves_its_place_to_the_reset() -> None:
    out = InjectReset("data", to=RIGHT, swallow=True).take(0.0, right(DATA))
    assert [held_by(each) for each in out] == [Segment(11, 21, RST | ACK)]


def test_the_first_is_meant_unless_it_is_said_otherwise() -> None:
    element = InjectReset("S.")
    assert len(element.take(0.0, right(SYN))) == 1
    assert len(element.take(0.0, left(SYN_ACK))) == 3
    assert len(element.take(0.0, left(SYN_ACK))) == 1
    assert element.counts() == {"forged": 2}
