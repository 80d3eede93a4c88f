"""The congestion window: RFC 5681, 6582, 6928. What is lost is the retransmission queue's business."""

import pytest

from xsocket.tcp.congestion import NewReno

MSS = 1000


def test_the_initial_window() -> None:
    """RFC 6928 section 2."""
    assert NewReno(MSS, 10).cwnd == 10 * MSS


def test_slow_start_doubles_each_round_trip() -> None:
    window = NewReno(MSS, 10)
    for number in range(10):
        window.acknowledged(MSS, (number + 1) * MSS)
    assert window.cwnd == 20 * MSS


def test_avoidance_grows_by_one_segment_each_round_trip() -> None:
    window = NewReno(MSS, 10)
    window.ssthresh = 10 * MSS
    for number in range(10):
        window.acknowledged(MSS, (number + 1) * MSS)
    assert 10.9 * MSS <= window.cwnd <= 11 * MSS


def test_a_loss_halves_the_window() -> None:
    window = NewReno(MSS, 10)
    window.lost(10 * MSS, 10 * MSS)
    assert window.ssthresh == 5 * MSS
    assert window.recover == 10 * MSS


@pytest.mark.parametrize("flight", [0, 1, 3], ids=str)
def test_no_less_than_two_segments(flight: int) -> None:
    window = NewReno(MSS, 10)
    window.lost(flight * MSS, 10 * MSS)
    assert window.ssthresh == 2 * MSS


def test_a_second_loss_in_the_same_window_costs_nothing() -> None:
    window = NewReno(MSS, 10)
    window.lost(10 * MSS, 10 * MSS)
    window.lost(10 * MSS, 12 * MSS)
    assert (window.ssthresh, window.recover) == (5 * MSS, 10 * MSS)


@pytest.mark.parametrize(
    ("ack", "over"), [(9 * MSS, False), (10 * MSS, True), (11 * MSS, True)], ids=["partial", "full", "more"]
)
def test_recovery_ends_with_a_full_acknowledgment(ack: int, over: bool) -> None:
    """RFC 6582 section 3.2 step 3."""
    window = NewReno(MSS, 10)
    window.lost(10 * MSS, 10 * MSS)
    window.acknowledged(MSS, ack)
    assert (window.recover is None) is over


def test_a_timeout_leaves_one_segment() -> None:
    """RFC 5681 section 3.1."""
    window = NewReno(MSS, 10)
    window.timed_out(8 * MSS, 10 * MSS, first=True)
    assert (window.cwnd, window.ssthresh, window.duplicates) == (MSS, 4 * MSS, 0)


def test_a_second_timeout_for_the_same_text_keeps_the_threshold() -> None:
    window = NewReno(MSS, 10)
    window.timed_out(8 * MSS, 10 * MSS, first=True)
    window.timed_out(MSS, 10 * MSS, first=False)
    assert window.ssthresh == 4 * MSS


def test_after_a_timeout_slow_start_leads_back_to_the_threshold() -> None:
    window = NewReno(MSS, 10)
    window.timed_out(8 * MSS, 10 * MSS, first=True)
    for number in range(1, 4):
        window.acknowledged(MSS, number * MSS)
    assert window.cwnd == 4 * MSS


def test_something_new_forgets_the_duplicates() -> None:
    window = NewReno(MSS, 10)
    window.duplicates = 2
    window.acknowledged(MSS, MSS)
    assert window.duplicates == 0


def test_it_shows_what_it_knows() -> None:
    assert repr(NewReno(MSS, 10)).startswith("NewReno(cwnd=10000")
