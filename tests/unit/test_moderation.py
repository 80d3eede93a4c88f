"""When frames gather before a turn of the loop."""

from xsocket.moderation import LEAST_PER_SECOND, WINDOW_S, Moderation


def test_nothing_gathers_at_first() -> None:
    assert not Moderation().is_due(100.0, 0)


def test_many_hand_overs_are_reason_enough() -> None:
    moderation = Moderation()
    moderation.is_due(100.0, 0)
    assert moderation.is_due(100.0 + WINDOW_S, round(LEAST_PER_SECOND * WINDOW_S) + 1)


def test_fewer_are_none() -> None:
    moderation = Moderation()
    moderation.is_due(100.0, 0)
    assert not moderation.is_due(100.0 + WINDOW_S, round(LEAST_PER_SECOND * WINDOW_S) - 1)


def test_a_judgement_stands_until_the_next_window() -> None:
    moderation = Moderation()
    moderation.is_due(100.0, 0)
    moderation.is_due(100.0 + WINDOW_S, 1000)
    assert moderation.is_due(100.0 + 1.5 * WINDOW_S, 1000)
    assert not moderation.is_due(100.0 + 2.5 * WINDOW_S, 1000)


def test_what_comes_after_a_rest_does_not_wait_for_what_was_before() -> None:
    moderation = Moderation()
    moderation.is_due(100.0, 0)
    moderation.is_due(100.0 + WINDOW_S, 1000)
    assert not moderation.is_due(200.0, 1001)
