"""Campaigns: the same is found whoever plays the shards, and nothing is lost when they end early."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xsocket.tcp import guards
from xsocket_tools.fuzzing.campaign import MOST_AHEAD, Campaign, Plan, Record, play_here
from xsocket_tools.fuzzing.opening import opened
from xsocket_tools.fuzzing.results import Result
from xsocket_tools.fuzzing.shard import Shard, run
from xsocket_tools.fuzzing.stopping import stopped_by_signals
from xsocket_tools.fuzzing.targets.engine import EngineTarget
from xsocket_tools.fuzzing.workers import LocalWorkers, ShardFailedError, play_out
from xsocket_tools.mutants.mutant import Mutant
from xsocket_tools.mutants.running import planted

PLAN = Plan(seed=2, shard_cases=25)
CASES = 160
BUG = Mutant(
    "resets_answer_resets",
    "xsocket/tcp/guards.py",
    "RFC 9293 3.5.2",
    "A reset for no connection is answered by one.",
    "    return DropReason.RST_FOR_NOBODY if segment.flags & RST else None\n",
    "    return None\n",
)


def never() -> bool:
    return False


def ignore(_: object) -> None:
    pass


def timeless(record: Record) -> Record:
    return record._replace(total=record.total._replace(seconds=0))


def played_here(campaign: Campaign, stop: Callable[[], bool] = never) -> Record:
    with opened("engine") as target:
        play_here(campaign, target, ignore, stop)
    return timeless(campaign.record)


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every process that is started have an engine with a bug."""
    with planted(BUG) as place:
        monkeypatch.setenv("PYTHONPATH", str(place))
        yield


# Shards


def test_the_cases_are_cut_into_shards() -> None:
    record = played_here(Campaign(Record(PLAN), CASES))
    assert record.done == ((0, CASES),)
    assert record.total.cases == CASES


def test_a_campaign_goes_on_where_it_was() -> None:
    first = played_here(Campaign(Record(PLAN), 60))
    campaign = Campaign(first, 40)
    shards = []
    while (shard := campaign.next_shard()) is not None:
        shards.append((shard.first, shard.cases))
        assert set(shard.corpus) == set(first.total.corpus)
        campaign.take(shard, Result(cases=shard.cases))
    assert shards == [(60, 15), (75, 25)]
    assert campaign.record.done == ((0, 100),)


def test_gaps_are_filled_first() -> None:
    campaign = Campaign(Record(PLAN, ((10, 40), (60, 70))), 45)
    shards = []
    while (shard := campaign.next_shard()) is not None:
        shards.append((shard.first, shard.cases))
        campaign.take(shard, Result(cases=shard.cases))
    assert shards == [(0, 10), (40, 10), (50, 10), (70, 5), (75, 10)]
    assert campaign.record.done == ((0, 85),)


def test_nothing_is_played_after_the_deadline() -> None:
    assert Campaign(Record(PLAN), deadline=0.0).next_shard() is None


def test_a_shard_builds_on_the_first_half_of_those_before_it() -> None:
    campaign = Campaign(Record(PLAN))
    under_way = []
    while (shard := campaign.next_shard()) is not None and len(under_way) < 10:
        under_way.append(shard)
        if len(under_way) == 1:
            campaign.take(shard, run(shard, EngineTarget()))
    assert len(under_way) == 4, "the fifth builds on the second, which is not done"
    assert [bool(shard.corpus) for shard in under_way] == [False, False, True, True]


def test_so_many_can_be_under_way_and_no_more() -> None:
    campaign = Campaign(Record(PLAN))
    for _ in range(4 * MOST_AHEAD):
        shard = campaign.next_shard()
        assert shard is not None
        campaign.take(shard, Result(cases=shard.cases))
    under_way = 0
    while campaign.next_shard() is not None:
        under_way += 1
    assert under_way == MOST_AHEAD


def test_the_order_in_which_shards_end_makes_no_difference() -> None:
    target = EngineTarget()
    records = []
    for last in (0, -1):
        campaign, held = Campaign(Record(PLAN), CASES), list[Shard]()
        while True:
            while (shard := campaign.next_shard()) is not None:
                held.append(shard)
            if not held:
                break
            ended = held.pop(last)
            campaign.take(ended, run(ended, target))
        records.append(timeless(campaign.record))
    assert records[0] == records[1] == played_here(Campaign(Record(PLAN), CASES))


# Ends


def test_what_was_played_up_to_a_stop_counts_and_the_rest_is_played_later() -> None:
    asked = iter([False] * 41 + [True] * 10)
    campaign = Campaign(Record(PLAN), CASES)
    first = played_here(campaign, lambda: next(asked))
    assert 25 < first.total.cases < 50
    assert first.done == ((0, first.total.cases),)
    rest = played_here(Campaign(first, CASES - first.total.cases))
    assert rest.done == ((0, CASES),)
    assert rest.total.cases == CASES
    assert rest.total.operations > first.total.operations


class Breaking(EngineTarget):
    """Takes thirty cases."""

    begun = -1  # making it begins one

    def begin(self, rules: tuple[tuple[str, object], ...], seed: int) -> None:
        super().begin(rules, seed)
        self.begun += 1
        if self.begun > 30:
            raise LookupError


def test_an_error_of_the_target_keeps_what_was_played() -> None:
    campaign = Campaign(Record(PLAN), CASES)
    with pytest.raises(LookupError):
        play_here(campaign, Breaking(), ignore, never)
    assert campaign.record.total.cases == 30
    assert campaign.record.done == ((0, 30),)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_the_case_and_the_next_one_at_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    told = []

    def tell(result: Result) -> None:
        told.append(result)
        signal.raise_signal(number)

    campaign = Campaign(Record(PLAN), CASES)
    with stopped_by_signals() as stop, opened("engine") as target:
        play_here(campaign, target, tell, stop)
        assert signal.getsignal(number) is before
    assert stop.signal is number
    assert campaign.record.total.cases == 1
    assert signal.getsignal(number) is before


def test_findings_are_merged_over_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "in_closed", lambda _: None)
    total = played_here(Campaign(Record(PLAN), CASES)).total
    slugs = [finding.slug for finding in total.findings]
    assert slugs
    assert len(set(slugs)) == len(slugs)
    assert all(len(finding.case.operations) <= 2 for finding in total.findings)


# Processes


def played_by(jobs: int) -> Record:
    campaign = Campaign(Record(PLAN), CASES)
    play_out(campaign, LocalWorkers(jobs), ignore, never)
    return timeless(campaign.record)


@pytest.mark.usefixtures("bug")
def test_the_same_is_found_by_one_and_by_several_processes() -> None:
    one = played_by(1)
    assert one.total.findings
    assert played_by(2) == one


def test_the_same_is_found_here_and_in_processes() -> None:
    assert played_by(2) == played_here(Campaign(Record(PLAN), CASES))


def catches(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def test_processes_that_are_stopped_tell_what_they_have_played() -> None:
    campaign = Campaign(Record(PLAN._replace(shard_cases=1_000_000)))
    shard = campaign.next_shard()
    assert shard is not None
    workers = LocalWorkers(1)
    workers.start(shard)
    while not workers.pids:
        assert workers.next_ended(0.01) is None
    while not catches(workers.pids[0], signal.SIGTERM):
        assert workers.next_ended(0.01) is None
    ended = list(workers.stop())
    assert [each.shard for each in ended] == [shard]
    assert isinstance(ended[0].outcome, Result)


class KillsTheFirst(LocalWorkers):
    """Kills the first process as soon as there is one."""

    killed: int | None = None

    def _note(self, shard: Shard, process: subprocess.Popen[str]) -> None:
        super()._note(shard, process)
        if self.killed is None:
            self.killed = process.pid
            process.kill()


def test_a_process_that_is_killed_is_started_again() -> None:
    campaign, workers = Campaign(Record(PLAN), CASES), KillsTheFirst(1)
    play_out(campaign, workers, ignore, never)
    assert workers.killed is not None
    assert timeless(campaign.record) == played_here(Campaign(Record(PLAN), CASES))


def test_a_shard_that_no_process_can_play_is_an_error() -> None:
    campaign = Campaign(Record(PLAN._replace(target="foreign")), CASES)
    with pytest.raises(ShardFailedError) as raised:
        play_out(campaign, LocalWorkers(2), ignore, never)
    assert raised.value.exit_status == 3
