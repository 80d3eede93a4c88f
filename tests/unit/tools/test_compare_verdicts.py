"""What is said of the figures follows from the figures."""

from support.comparison import answered, event, figures, lost
from xsocket_tools.compare.designs import Design
from xsocket_tools.compare.measurement import Figures
from xsocket_tools.compare.messages import End
from xsocket_tools.compare.situations import Situation
from xsocket_tools.compare.verdicts import Verdict, remarks, verdicts

CLEAN = figures([answered(0, 1), answered(10, 1)], event(5, 100))
STRANDED = figures([answered(10, 95, worker=0), answered(20, 1), answered(30, 1)], event(5, 100))
LOST = figures([lost(1, End.RESET), answered(2, 1)], event(5, 6))
LOST_TAKEN = figures([lost(1, End.RESET), answered(2, 1)], event(5, 6, held=[2]))


def test_nothing_is_judged_without_figures() -> None:
    assert verdicts({}) == []
    assert remarks({}) == []


def holds(design: Design, situation: Situation, found: Figures) -> bool:
    (verdict,) = verdicts({(design, situation): found})
    return verdict.holds


def test_the_pool_may_strand_nothing() -> None:
    assert holds(Design.POOL, Situation.STOPPED, CLEAN)
    assert not holds(Design.POOL, Situation.STOPPED, STRANDED)


def test_the_pool_may_lose_what_the_killed_worker_had_taken_and_no_more() -> None:
    assert holds(Design.POOL, Situation.KILLED, LOST_TAKEN)
    assert not holds(Design.POOL, Situation.KILLED, LOST)


def test_it_is_refuted_that_reuseport_strands_its_share_when_it_does_not() -> None:
    assert holds(Design.REUSEPORT, Situation.STOPPED, STRANDED)
    assert not holds(Design.REUSEPORT, Situation.STOPPED, CLEAN)


def test_the_figures_are_said() -> None:
    (verdict,) = verdicts({(Design.REUSEPORT, Situation.STOPPED): STRANDED})
    assert verdict.figures == (
        "1 stranded; lost: 0 that nobody had taken, 0 that the worker had taken;"
        " one worker's share would be 2 of 3"
    )


def slow_beside_even(slow_ms: float, others_ms: float = 12) -> list[Verdict]:
    even = figures([answered(each, 10) for each in range(100)])
    others = [answered(each, others_ms) for each in range(1, 50)]
    slow = figures([answered(0, slow_ms, worker=0), *others])
    return verdicts({(Design.POOL, Situation.EVEN): even, (Design.POOL, Situation.SLOW): slow})


def test_a_slow_worker_may_cost_the_pool_half_as_much_again() -> None:
    assert slow_beside_even(15)[0].holds
    assert not slow_beside_even(16)[0].holds


def test_it_is_said_how_much_of_it_is_the_slow_workers_own() -> None:
    whole, others = slow_beside_even(100)
    assert (
        whole.figures == "100.0 ms and 10.0 ms, 10.00 times; 2.00% of the answers are the slow worker's own"
    )
    assert others.figures == "12.0 ms and 10.0 ms, 1.20 times"
    assert others.holds


def test_what_the_others_answer_is_judged_for_itself() -> None:
    _, others = slow_beside_even(17, others_ms=16)
    assert not others.holds


def test_a_slow_worker_is_not_judged_without_even_load() -> None:
    assert verdicts({(Design.POOL, Situation.SLOW): CLEAN}) == []


def test_an_answer_that_never_came_is_not_within_any_bound() -> None:
    never = figures([lost(0, End.SILENT)])
    found = verdicts({(Design.POOL, Situation.EVEN): CLEAN, (Design.POOL, Situation.SLOW): never})
    assert [verdict.holds for verdict in found] == [False, False]
    assert found[0].figures.startswith("never and 1.0 ms;")


def test_it_is_said_when_a_shared_listener_strands_nothing_either() -> None:
    (clean,) = remarks({(Design.SHARED, Situation.KILLED): LOST_TAKEN})
    assert clean.endswith("it strands nothing either")
    (stranded,) = remarks({(Design.SHARED, Situation.STOPPED): STRANDED})
    assert stranded.endswith("0 that the worker had taken")


def test_it_is_said_when_even_load_was_too_much() -> None:
    (remark,) = remarks({(Design.POOL, Situation.EVEN): figures([lost(0, End.SILENT), answered(1, 1)])})
    assert remark == "Xsocket pool did not bear even load: 1 of 2 lost"


def test_it_is_said_when_the_clients_were_late() -> None:
    (remark,) = remarks({(Design.POOL, Situation.EVEN): figures([answered(50, 1, planned_ns=0)])})
    assert "the clients were 50 ms late" in remark
