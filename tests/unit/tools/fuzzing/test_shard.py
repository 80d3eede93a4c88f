"""Shards: what comes of one depends on nothing but the shard, in this process and in another."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from xsocket.tcp import guards
from xsocket.wire.link import Frame
from xsocket_tools.fuzzing.case import Case, Tick
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.results import Result, covered_by, result_of, together
from xsocket_tools.fuzzing.shard import Runner, Shard, run, shard_of
from xsocket_tools.fuzzing.target import StalledError
from xsocket_tools.fuzzing.targets.engine import EngineTarget

SHARD = Shard(3, 100, 60)


@pytest.fixture
def target() -> Iterator[EngineTarget]:
    target = EngineTarget()
    yield target
    target.close()


@pytest.fixture
def _resets_answer_resets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "in_closed", lambda _: None)


def timeless(result: Result) -> Result:
    return result._replace(seconds=0)


def printed_by(text: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xsocket_tools.fuzzing.shard"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_a_shard_is_the_same_after_it_was_written() -> None:
    shard = SHARD._replace(corpus=(Case((Tick(1.0),)),), known=frozenset({("a", "b", "c")}), deadline=1.5)
    assert shard_of(json.loads(json.dumps(shard.as_dict()))) == shard


def test_the_same_comes_of_it_in_another_process(target: EngineTarget) -> None:
    here = run(SHARD, target)
    there = printed_by(json.dumps(SHARD.as_dict()))
    assert (there.returncode, there.stderr) == (0, "")
    assert timeless(result_of(json.loads(there.stdout))) == timeless(here)
    assert here.cases == 60
    assert here.operations > 60


def test_what_was_played_before_makes_no_difference(target: EngineTarget) -> None:
    run(SHARD._replace(seed=9), target)
    assert timeless(run(SHARD, target)) == timeless(run(SHARD, EngineTarget()))


def test_a_target_that_cannot_be_had_is_told_in_the_results_place() -> None:
    ended = printed_by(json.dumps(SHARD._replace(target="foreign", command="").as_dict()))
    assert ended.returncode == 3
    assert set(json.loads(ended.stdout)) == {"error", "remedy"}


def test_each_thing_that_was_seen_has_the_smallest_case_that_showed_it(target: EngineTarget) -> None:
    result = run(SHARD, target)
    other = run(SHARD._replace(first=0), target)
    merged = together([result, other])
    for triple, case in merged.coverage.items():
        sizes = [len(each.coverage[triple].operations) for each in (result, other) if triple in each.coverage]
        assert len(case.operations) == min(sizes)
    assert set(merged.corpus) == set(merged.coverage.values())


def test_results_are_merged_in_any_order(target: EngineTarget) -> None:
    one, two, three = (run(SHARD._replace(first=first, cases=20), target) for first in (0, 20, 40))
    assert timeless(together([one, two, three])) == timeless(together([three, together([two, one])]))
    assert covered_by([one.coverage, one.coverage]) == one.coverage
    assert together([]) == Result()


def test_it_stops_when_it_is_told_to(target: EngineTarget) -> None:
    asked = iter([False] * 10 + [True])
    runner = Runner(SHARD, target, lambda: next(asked))
    runner.run()
    assert runner.result.cases == 10


def test_it_stops_at_its_deadline(target: EngineTarget) -> None:
    assert run(SHARD._replace(deadline=0.0), target).cases == 0


def test_it_says_how_far_it_is(target: EngineTarget) -> None:
    told: list[Result] = []
    run(SHARD, target, told.append)
    assert told
    assert told[0].cases == 1


@pytest.mark.usefixtures("_resets_answer_resets")
def test_a_finding_is_small_and_counted(target: EngineTarget) -> None:
    result = run(SHARD, target)
    assert result.findings
    assert all(len(finding.case.operations) <= 2 for finding in result.findings)
    assert all(SHARD.first <= finding.number < SHARD.first + SHARD.cases for finding in result.findings)
    assert sum(finding.times for finding in result.findings) > 1


@pytest.mark.usefixtures("_resets_answer_resets")
def test_findings_that_are_known_are_counted_and_stay_as_they_are(target: EngineTarget) -> None:
    small = run(SHARD, target)
    known = frozenset(finding.signature for finding in small.findings)
    large = run(SHARD._replace(known=known), target)
    assert [each.times for each in large.findings] == [each.times for each in small.findings]
    pairs = zip(small.findings, large.findings, strict=True)
    assert all(len(one.case.operations) <= len(other.case.operations) for one, other in pairs)
    assert timeless(large) == timeless(run(SHARD._replace(shrink=False), target))
    assert together([large, small]).findings[0].case == small.findings[0].case


@pytest.mark.usefixtures("_resets_answer_resets")
def test_the_first_finding_may_end_it(target: EngineTarget) -> None:
    result = run(SHARD._replace(cases=10_000, until_found=True, shrink=False), target)
    (finding,) = result.findings
    assert finding.number == SHARD.first + result.cases - 1


def test_what_raises_is_a_finding(target: EngineTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(guards, "in_closed", broken)
    found = {finding.violation.rule for finding in run(SHARD, target).findings}
    assert rules.NEVER_RAISES in found


class Stalling(EngineTarget):
    """Never answers."""

    def step(self, frame: bytes | None, now: float) -> Sequence[Frame]:
        raise StalledError(f"no answer to {frame!r} at {now}")


def test_a_target_that_does_not_answer_costs_the_case() -> None:
    result = run(SHARD, Stalling())
    assert result.cases + result.stalled == SHARD.cases
    assert result.stalled > SHARD.cases // 2


class Hasty(EngineTarget):
    """In real time, as it seems; every other case it does not hear the first frame."""

    is_virtual = False
    begun = 0
    is_deaf = False

    def begin(self, rules: tuple[tuple[str, object], ...], seed: int) -> None:
        super().begin(rules, seed)
        self.begun += 1
        self.is_deaf = self.begun % 2 == 1

    def step(self, frame: bytes | None, now: float) -> Sequence[Frame]:
        if frame is not None and self.is_deaf:
            self.is_deaf = False
            frame = None
        return super().step(frame, now)


def test_what_is_wrong_once_and_not_again_is_no_finding() -> None:
    result = run(SHARD, Hasty())
    assert result.unsteady > 0
    assert result.findings == ()
    assert together([result, result]).unsteady == 2 * result.unsteady
