"""Campaigns on a Dask cluster: the same is found on one worker and on four, of which one dies."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from xsocket_tools.fuzzing.campaign import Campaign, Plan, Record, play_here
from xsocket_tools.fuzzing.cluster import ClusterError, cluster_workers
from xsocket_tools.fuzzing.opening import opened
from xsocket_tools.fuzzing.results import Result
from xsocket_tools.fuzzing.shard import Shard
from xsocket_tools.fuzzing.workers import ShardFailedError, play_out

distributed = pytest.importorskip("distributed")

PLAN = Plan(seed=6, shard_cases=20)
CASES = 160


@contextmanager
def cluster(workers: int, **options: Any) -> Iterator[Any]:  # noqa: ANN401  # it has no types
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0", **options
    ) as found:
        yield found


def timeless(record: Record) -> Record:
    return record._replace(total=record.total._replace(seconds=0))


@pytest.fixture(scope="module")
def expected() -> Record:
    campaign = Campaign(Record(PLAN), CASES)
    with opened("engine") as target:
        play_here(campaign, target, lambda _: None, lambda: False)
    return timeless(campaign.record)


@pytest.fixture(scope="module")
def one_worker() -> Iterator[Any]:
    with cluster(1) as found:
        yield found


def test_the_same_is_found_on_one_worker(expected: Record, one_worker: Any) -> None:  # noqa: ANN401
    campaign = Campaign(Record(PLAN), CASES)
    with cluster_workers(one_worker.scheduler_address, "engine") as workers:
        play_out(campaign, workers, lambda _: None, lambda: False)
    assert timeless(campaign.record) == expected


def test_the_same_is_found_on_four_workers_of_which_one_dies(expected: Record) -> None:
    campaign, killed = Campaign(Record(PLAN), CASES), list[int]()
    with cluster(4) as four, cluster_workers(four.scheduler_address, "engine") as workers:

        def kill_one(_: Result) -> None:
            if not killed and campaign.record.total.cases:
                killed.append(next(iter(four.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

        play_out(campaign, workers, kill_one, lambda: False)
    assert killed
    assert timeless(campaign.record) == expected


def test_what_has_ended_counts_when_it_is_stopped(one_worker: Any) -> None:  # noqa: ANN401
    campaign = Campaign(Record(PLAN))
    with cluster_workers(one_worker.scheduler_address, "engine") as workers:
        play_out(campaign, workers, lambda _: None, lambda: campaign.record.total.cases >= 40)
    done = campaign.record.done
    assert campaign.record.total.cases == sum(end - first for first, end in done) >= 40


def test_a_shard_that_no_worker_can_play_is_an_error(one_worker: Any) -> None:  # noqa: ANN401
    with cluster_workers(one_worker.scheduler_address, "engine", retries=0) as workers:
        workers.start(Shard(1, 0, 1, "engine", deadline="never"))  # type: ignore[arg-type]
        while (ended := workers.next_ended(1)) is None:
            pass
    assert isinstance(ended.outcome, ShardFailedError)
    assert "TypeError" in ended.outcome.message


def test_workers_have_to_say_that_they_make_namespaces(one_worker: Any) -> None:  # noqa: ANN401
    with (
        pytest.raises(ClusterError, match="has the resource netns") as raised,
        cluster_workers(one_worker.scheduler_address, "kernel"),
    ):
        pass
    assert "--resources netns=1" in raised.value.remedy


def test_a_scheduler_without_workers_is_an_error() -> None:
    with (
        cluster(0) as none,
        pytest.raises(ClusterError, match="has no workers"),
        cluster_workers(none.scheduler_address, "engine"),
    ):
        pass


@pytest.mark.parametrize(
    "address",
    [pytest.param("tcp://127.0.0.1:1", id="nobody there"), pytest.param("nowhere::", id="no address")],
)
def test_where_no_scheduler_answers_is_an_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xsocket_tools.fuzzing.cluster.CONNECT_S", 0.2)
    with pytest.raises(ClusterError, match="no scheduler answers at"), cluster_workers(address, "engine"):
        pass


def test_without_distributed_it_says_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xsocket_tools.fuzzing.cluster.find_spec", lambda _: None)
    with pytest.raises(ClusterError) as raised, cluster_workers("tcp://127.0.0.1:1", "engine"):
        pass
    assert 'pip install "xsocket[campaign]"' in raised.value.remedy
