"""The timeline: everything at its instant, in order, and nothing in between."""

from functools import partial

import pytest

from xsocket.errors import SimulationStalled, SimulationStateError
from xsocket.simulation.timeline import Timeline


def timeline_of(*instants: float) -> tuple[Timeline, list[tuple[float, int]]]:
    """Return a timeline on which the nth call notes when it came, and n."""
    timeline, seen = Timeline(), []
    for number, instant in enumerate(instants):
        timeline.at(instant, partial(lambda number: seen.append((timeline.now(), number)), number))
    return timeline, seen


def test_things_happen_in_the_order_of_their_instants() -> None:
    timeline, seen = timeline_of(2.0, 0.5, 1.0)
    timeline.run(None)
    assert seen == [(0.5, 1), (1.0, 2), (2.0, 0)]


def test_things_of_one_instant_happen_in_the_order_in_which_they_were_put_there() -> None:
    timeline, seen = timeline_of(1.0, 1.0, 1.0)
    timeline.run(None)
    assert seen == [(1.0, 0), (1.0, 1), (1.0, 2)]


def test_a_run_ends_at_its_end_and_leaves_what_comes_later() -> None:
    timeline, seen = timeline_of(1.0, 3.0)
    timeline.run(2.0)
    assert (timeline.now(), seen) == (2.0, [(1.0, 0)])
    timeline.run(1.0)
    assert (timeline.now(), seen) == (3.0, [(1.0, 0), (3.0, 1)])


def test_a_step_is_one_thing() -> None:
    timeline, seen = timeline_of(1.0, 1.0)
    assert timeline.step()
    assert seen == [(1.0, 0)]
    assert timeline.step()
    assert not timeline.step()


def test_a_wait_ends_as_soon_as_its_predicate_holds() -> None:
    timeline, seen = timeline_of(1.0, 2.0, 3.0)
    assert timeline.run_until(lambda: len(seen) == 2, timeout_s=10.0)
    assert timeline.now() == 2.0


def test_a_wait_ends_at_its_timeout() -> None:
    timeline, seen = timeline_of(1.0, 20.0)
    assert not timeline.run_until(lambda: len(seen) == 2, timeout_s=10.0)
    assert (timeline.now(), seen) == (10.0, [(1.0, 0)])


def test_a_wait_for_what_never_comes_is_an_error() -> None:
    timeline, seen = timeline_of(1.0)
    with pytest.raises(SimulationStalled, match=r"nothing happens after 1\.0"):
        timeline.run_until(lambda: len(seen) == 2, None)


def test_a_call_may_run_the_timeline_further_than_the_run_it_happens_in() -> None:
    timeline, seen = timeline_of(5.0)
    timeline.at(1.0, partial(timeline.run, 6.0))
    timeline.run(2.0)
    assert (timeline.now(), seen) == (7.0, [(5.0, 0)])


def test_time_does_not_pass_while_something_works() -> None:
    timeline, seen = timeline_of(1.0)
    timeline.begin()
    for attempt in (timeline.step, timeline.begin):
        with pytest.raises(SimulationStateError):
            attempt()
    timeline.end()
    assert timeline.step()
    assert seen == [(1.0, 0)]
