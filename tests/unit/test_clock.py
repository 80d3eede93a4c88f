import pytest

from xsocket.clock import Clock, ManualClock, MonotonicClock


def test_a_manual_clock_moves_only_when_told_to() -> None:
    clock = ManualClock(start=5.0)
    assert clock.now() == 5.0
    assert clock.now() == 5.0
    clock.advance_to(6.5)
    assert clock.now() == 6.5


def test_a_manual_clock_begins_at_zero() -> None:
    assert ManualClock().now() == 0.0


def test_a_manual_clock_may_stand_still_but_not_go_back() -> None:
    clock = ManualClock(5.0)
    clock.advance_to(5.0)
    with pytest.raises(ValueError, match=r"from 5\.0 back to 4\.9"):
        clock.advance_to(4.9)
    assert clock.now() == 5.0


def test_the_monotonic_clock_never_goes_back() -> None:
    clock: Clock = MonotonicClock()
    instants = [clock.now() for _ in range(1000)]
    assert instants == sorted(instants)
