"""The congestion window: RFC 5681, 6582, 6928. What is lost is the retransmission queue's business."""

import pytest

from xsocket.tcp.congestion import NewReno, initial_window

MSS = 1000


@pytest.mark.parametrize(
    ("mss", "segments", "octets"),
    [
        (1000, 10, 10_000), (1460, 10, 14_600), (1461, 10, 14_600), (4000, 10, 14_600), (8940, 10, 17_880),
        (1460, 1, 1460), (8940, 1, 8940), (536, 3, 1608),
    ],
)  # fmt: skip
def test_the_initial_window(mss: int, segments: int, octets: int) -> None:
    """RFC 6928 section 2: min(10*MSS, max(2*MSS, 14600))."""
    assert initial_window(mss, segments) == octets
    assert NewReno(mss, segments).cwnd == octets


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


def test_no_acknowledgment_widens_the_window_by_more_than_a_segment_in_avoidance() -> None:
    """RFC 5681 section 3.1: the one that ends recovery may be of far more than a window."""
    window = NewReno(MSS, 10)
    window.lost(10 * MSS, 10 * MSS)
    window.acknowledged(30 * MSS, 30 * MSS)
    assert window.cwnd == 5 * MSS + MSS


def test_the_restart_window_is_no_larger_than_the_window() -> None:
    """RFC 5681 section 4.1: min(IW, cwnd)."""
    window = NewReno(MSS, 10)
    window.acknowledged(10 * MSS, 10 * MSS)
    window.restart()
    assert window.cwnd == 10 * MSS
    window.lost(10 * MSS, 20 * MSS)
    window.restart()
    assert window.cwnd == 5 * MSS


def test_smaller_segments_leave_as_many_of_them() -> None:
    window = NewReno(MSS, 10)
    window.fit(400)
    assert (window.mss, window.cwnd) == (400, 4000)


def test_what_was_sent_after_the_window_was_lowered_lowers_it_again() -> None:
    """RFC 5681 section 4.3."""
    window = NewReno(MSS, 10)
    assert window.lost(10 * MSS, 10 * MSS, place=3, next_place=10)
    assert not window.lost(10 * MSS, 10 * MSS, place=9, next_place=12)
    assert window.lost(10 * MSS, 12 * MSS, place=10, next_place=13)
    assert (window.ssthresh, window.recover) == (5 * MSS // 2, 12 * MSS)


def test_after_a_timeout_no_loss_lowers_it_again_before_all_is_acknowledged() -> None:
    """RFC 6675 section 5.1."""
    window = NewReno(MSS, 10)
    window.timed_out(10 * MSS, 10 * MSS, first=True)
    assert not window.lost(10 * MSS, 10 * MSS, place=99, next_place=100)
    assert window.cwnd == MSS


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
