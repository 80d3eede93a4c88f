"""A campaign of a fixed seed on the engine: no rule is broken, and the same seed gives the same cases."""

from collections.abc import Callable

from xsocket_tools.fuzzing.campaign import Campaign, Plan, Record, play_here
from xsocket_tools.fuzzing.generation import Generator
from xsocket_tools.fuzzing.summary import figures
from xsocket_tools.fuzzing.targets.engine import EngineTarget

CASES = 3_000
PLAN = Plan(seed=2026, shard_cases=500)
LEAST_PAIRS = 0.7
"""Which share of the pairs of a state and an event so few cases have to bring about."""


def played(cases: int) -> Record:
    campaign = Campaign(Record(PLAN), cases)
    play_here(campaign, EngineTarget(), lambda _: None, lambda: False)
    return campaign.record


def test_no_rule_is_broken(record_property: Callable[[str, object], None]) -> None:
    record = played(CASES)
    found = figures(record.total)
    record_property("fuzzed", f"{len(found.covered)} of {found.reachable} pairs, {found.hit} rules")
    assert [f"{each.violation}" for each in record.total.findings] == []
    assert (record.total.cases, record.total.stalled) == (CASES, 0)
    assert len(found.covered) >= LEAST_PAIRS * found.reachable


def test_the_same_seed_gives_the_same_cases() -> None:
    one, other = (played(300).total._replace(seconds=0) for _ in range(2))
    assert one == other


def test_a_case_is_the_same_whatever_came_before_it() -> None:
    one, other = Generator(PLAN.seed), Generator(PLAN.seed)
    for number in range(50):
        one.case(number)
    assert one.case(1234) == other.case(1234)
    assert one.case(1234) != Generator(PLAN.seed + 1).case(1234)
