"""RFC 9293 section 3.4: order and arithmetic on the circle, around zero above all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xsocket.seqnum import HALF, MASK, add, distance, in_window, later, precedes, precedes_or_is

numbers = st.integers(0, MASK)
unhurried = settings(derandomize=True, database=None, deadline=None)


@pytest.mark.parametrize(
    ("seq", "count", "result"),
    [
        pytest.param(0, 0, 0, id="nothing"),
        pytest.param(5, 7, 12, id="forward"),
        pytest.param(5, -7, MASK - 1, id="back past zero"),
        pytest.param(MASK, 1, 0, id="forward past zero"),
        pytest.param(MASK, HALF, HALF - 1, id="half the circle"),
        pytest.param(1, MASK + 1, 1, id="once round"),
    ],
)
def test_add(seq: int, count: int, result: int) -> None:
    assert add(seq, count) == result


@pytest.mark.parametrize(
    ("start", "end", "places"),
    [
        pytest.param(7, 7, 0, id="equal"),
        pytest.param(5, 12, 7, id="ahead"),
        pytest.param(12, 5, MASK - 6, id="behind is almost once round"),
        pytest.param(MASK, 2, 3, id="across zero"),
    ],
)
def test_distance(start: int, end: int, places: int) -> None:
    assert distance(start, end) == places


@pytest.mark.parametrize(
    ("first", "second", "before"),
    [
        pytest.param(5, 6, True, id="next"),
        pytest.param(6, 5, False, id="previous"),
        pytest.param(MASK, 0, True, id="across zero"),
        pytest.param(0, MASK, False, id="back across zero"),
        pytest.param(0, HALF - 1, True, id="the furthest ahead"),
        pytest.param(0, HALF + 1, False, id="just beyond the opposite"),
        pytest.param(MASK - 10, HALF - 12, True, id="the furthest ahead, across zero"),
    ],
)
def test_precedes(first: int, second: int, before: bool) -> None:
    assert precedes(first, second) is before
    assert precedes_or_is(first, second) is before


def test_a_number_does_not_precede_itself() -> None:
    assert not precedes(7, 7)
    assert precedes_or_is(7, 7)


@pytest.mark.parametrize("seq", [0, 1, HALF, MASK])
def test_opposite_numbers_precede_each_other_in_no_direction(seq: int) -> None:
    opposite = add(seq, HALF)
    assert not precedes(seq, opposite)
    assert not precedes(opposite, seq)


@pytest.mark.parametrize(
    ("seq", "left", "size", "inside"),
    [
        pytest.param(100, 100, 1, True, id="the only one"),
        pytest.param(100, 100, 0, False, id="an empty window"),
        pytest.param(99, 100, 10, False, id="just left of it"),
        pytest.param(109, 100, 10, True, id="the last"),
        pytest.param(110, 100, 10, False, id="just right of it"),
        pytest.param(2, MASK - 1, 10, True, id="across zero, inside"),
        pytest.param(8, MASK - 1, 10, False, id="across zero, just right of it"),
        pytest.param(MASK, 0, 1 << 30, False, id="the largest window, just left of it"),
    ],
)
def test_in_window(seq: int, left: int, size: int, inside: bool) -> None:
    assert in_window(seq, left, size) is inside


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        pytest.param(5, 6, 6, id="the second"),
        pytest.param(6, 5, 6, id="the first"),
        pytest.param(7, 7, 7, id="equal"),
        pytest.param(MASK, 0, 0, id="the second, across zero"),
        pytest.param(0, MASK, 0, id="the first, across zero"),
    ],
)
def test_later(first: int, second: int, result: int) -> None:
    assert later(first, second) == result


@unhurried
@given(numbers, st.integers(-MASK, MASK))
def test_add_and_distance_undo_each_other(seq: int, count: int) -> None:
    assert distance(seq, add(seq, count)) == count & MASK


@unhurried
@given(numbers, numbers, numbers)
def test_order_does_not_depend_on_where_zero_is(first: int, second: int, turn: int) -> None:
    assert precedes(first, second) == precedes(add(first, turn), add(second, turn))


@unhurried
@given(numbers, st.integers(1, HALF - 1))
def test_of_two_one_precedes(seq: int, count: int) -> None:
    ahead = add(seq, count)
    assert precedes(seq, ahead)
    assert not precedes(ahead, seq)
    assert later(seq, ahead) == later(ahead, seq) == ahead
