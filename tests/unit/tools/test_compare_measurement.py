"""What requests come to: who is lost, who is stranded, how long it took, who answered."""

from math import inf, isclose

import pytest

from support.comparison import answered, event, figures, lost
from xsocket_tools.compare.measurement import quantile, spread, survival, times
from xsocket_tools.compare.messages import (
    End,
    Order,
    Orders,
    Outcome,
    orders_as_text,
    orders_from,
    outcome_as_text,
    outcome_from,
)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        pytest.param(0.5, 2, id="the smallest that half do not exceed"),
        pytest.param(0.51, 3, id="a little more takes the next"),
        pytest.param(0.99, 4, id="of few the largest"),
        pytest.param(0.0, 1, id="at least one"),
    ],
)
def test_quantiles_are_values_that_occurred(part: float, value: int) -> None:
    assert quantile([1, 2, 3, 4], part) == value


def test_one_that_was_never_answered_takes_for_ever_but_is_not_the_longest() -> None:
    assert times([1.0, inf, 2.0]) == (2.0, inf, 2.0)


def test_nothing_has_no_quantiles() -> None:
    assert times([]) == (inf, inf, inf)


def test_times_count_from_the_syn_and_lateness_before_it() -> None:
    found = figures([answered(10, 4, planned_ns=7_000_000)])
    assert found.first_ms == (4, 4, 4)
    assert found.taken_ms == (2, 2, 2)
    assert found.late_ms == (3, 3, 3)


def test_what_the_odd_worker_answered_is_not_among_the_others() -> None:
    found = figures([answered(0, 100, worker=0), answered(1, 2, worker=1)])
    assert found.first_ms.longest == 100
    assert found.others_first_ms.longest == 2


def test_shares_are_of_what_was_answered() -> None:
    found = figures([answered(0, 1, 0), answered(1, 1, 1), answered(2, 1, 1), lost(3, End.SILENT)])
    assert found.shares == [1 / 3, 2 / 3]
    assert found.spread.max_over_min == 2
    assert isclose(found.spread.deviation, 1 / 6)


def test_a_worker_that_answered_nothing_makes_the_spread_infinite() -> None:
    assert spread([0.0, 1.0]) == (inf, 0.5)


def test_equal_shares_have_no_spread() -> None:
    assert spread([0.25] * 4) == (1, 0)


def test_lost_ones_are_counted_by_what_became_of_them() -> None:
    found = figures([answered(0, 1), lost(1, End.RESET), lost(2, End.RESET), lost(3, End.CLOSED)])
    assert (found.requests, found.done, found.lost, found.reset) == (4, 1, 3, 2)
    assert found.ends == {"reset": 2, "closed": 1}


def test_what_a_killed_worker_had_taken_is_lost_and_not_stranded() -> None:
    killed = event(5, 6, held=[2])
    found = figures([lost(1, End.RESET, port=2), lost(2, End.RESET, port=3), answered(3, 1)], killed)
    assert (found.lost, found.lost_taken, found.lost_unclaimed, found.stranded, found.held) == (2, 1, 1, 1, 1)


def test_without_an_answer_only_what_was_established_is_stranded() -> None:
    found = figures([lost(0, End.SILENT), lost(1, End.UNCONNECTED, established=False)])
    assert found.stranded == 1


def test_what_waits_for_a_stopped_worker_is_stranded() -> None:
    samples = [answered(10, 95, worker=0), answered(20, 1, worker=1)]
    assert figures(samples, event(5, 100)).stranded == 1


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(
            [answered(98, 4, worker=0), answered(90, 1, worker=1)], id="nobody was free since it came"
        ),
        pytest.param([answered(10, 20, worker=0), answered(50, 1, worker=1)], id="before it went on"),
        pytest.param([answered(10, 95, worker=1), answered(50, 1, worker=1)], id="another worker's"),
        pytest.param([answered(10, 95, worker=0, port=7), answered(50, 1, worker=1)], id="it had taken it"),
        pytest.param([answered(101, 1, worker=0), answered(50, 1, worker=1)], id="came afterwards"),
    ],
)
def test_what_only_waited_its_turn_is_not_stranded(samples: list[object]) -> None:
    assert figures(samples, event(5, 100, held=[7])).stranded == 0  # type: ignore[arg-type]


def test_those_are_counted_that_were_waiting_while_the_worker_was_stopped() -> None:
    before, across, during, after = answered(0, 1), answered(4, 3), answered(50, 1), answered(200, 1)
    never = lost(60, End.UNCONNECTED, established=False)
    assert figures([before, across, during, after, never], event(5, 100)).established_meanwhile == 2


def test_survival_goes_down_to_those_that_never_end() -> None:
    assert survival([1.0, 2.0, inf, 3.0]) == [(1.0, 0.75), (2.0, 0.5), (3.0, 0.25), (inf, 0.0)]


def test_survival_is_thinned_out_where_many_are_left() -> None:
    points = survival([float(each) for each in range(10_000)], points=50)
    assert len(points) <= 51
    assert points[-1] == (9999.0, 0.0)
    assert points == sorted(points)


def test_nothing_survives_of_nothing() -> None:
    assert survival([]) == []


def test_processes_understand_each_other() -> None:
    orders = Orders("10.0.0.2", 80, [0.0, 0.5], 3, 4.0, Order(17, 1, None))
    assert orders_from(orders_as_text(orders)) == orders
    outcome = Outcome([answered(0, 1), lost(1, End.RESET)], event(0, 1, held=[5]))
    assert outcome_from(outcome_as_text(outcome)) == outcome
