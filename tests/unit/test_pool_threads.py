"""The pool in a crowd: every connection is claimed exactly once and none is lost, whoever runs when."""

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from support.live import until
from xsocket.errors import AlreadyClaimedError, ClaimTimeout, PoolClosed
from xsocket.fourtuple import FourTuple
from xsocket.pattern import Pattern
from xsocket.pool import ConnectionPool

CONSUMERS = 64
CONNECTIONS = 20_000


class Held:
    def __init__(self, four_tuple: FourTuple) -> None:
        self.four_tuple = four_tuple


Pool = ConnectionPool[Held]


@pytest.fixture(autouse=True)
def _threads_that_switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def connections(count: int) -> list[Held]:
    """Return connections on eight local ports, from many remote addresses."""
    return [
        Held(FourTuple.trusted("10.0.0.2", 80 + number % 8, f"10.1.{number % 250}.1", 1 + number))
        for number in range(count)
    ]


def claim_each(pool: Pool, keys: list[FourTuple]) -> list[Held]:
    """Claim each of *keys* that nobody else gets."""
    got = []
    for key in keys:
        try:
            got.append(pool.claim(key, timeout=60))
        except AlreadyClaimedError:
            continue
    return got


def claim_until_closed(pool: Pool, wanted: Pattern | None) -> list[Held]:
    got = []
    while True:
        try:
            got.append(pool.claim(wanted, timeout=60))
        except PoolClosed:
            return got


@pytest.mark.parametrize("seed", range(3))
def test_64_threads_claim_20000_connections_by_mixed_keys(seed: int) -> None:
    everything = connections(CONNECTIONS)
    random = Random(seed)
    pool = Pool()
    exact = random.sample([each.four_tuple for each in everything], 32 * 200)
    patterns = [Pattern(80), Pattern("81-83"), Pattern(84, "10.1.0.0/17"), Pattern(remote="10.1.7.1")]
    with ThreadPoolExecutor(CONSUMERS + 4) as threads:
        exact_claims = [threads.submit(claim_each, pool, exact[start::32]) for start in range(32)]
        claims = [threads.submit(claim_until_closed, pool, patterns[number % 4]) for number in range(16)]
        claims += [threads.submit(claim_until_closed, pool, None) for _ in range(16)]
        until(lambda: pool.statistics().waiting_claims == CONSUMERS)
        random.shuffle(everything)
        puts = [
            threads.submit(lambda part: [pool.put(each) for each in part], everything[start::4])
            for start in range(4)
        ]
        assert [set(put.result(timeout=120)) for put in puts] == [{None}] * 4
        got = [connection for claim in exact_claims for connection in claim.result(timeout=120)]
        until(lambda: pool.statistics().claimed == CONNECTIONS)
        assert pool.close() == []
        got += [connection for claim in claims for connection in claim.result(timeout=120)]
    assert len(got) == CONNECTIONS
    assert set(got) == set(everything)
    figures = pool.statistics()
    assert (figures.put, figures.claimed, figures.waiting_claims) == (CONNECTIONS, CONNECTIONS, 0)


@pytest.mark.parametrize("seed", range(2))
def test_claims_that_time_out_lose_nothing(seed: int) -> None:
    everything = connections(2000)
    pool = Pool()

    def consume(number: int) -> list[Held]:
        random = Random(f"{seed} {number}")
        got = []
        while True:
            wanted = random.choice([None, Pattern(80 + number % 8), random.choice(everything).four_tuple])
            try:
                got.append(pool.claim(wanted, timeout=random.choice([0, 1e-6, 1e-4])))
            except (ClaimTimeout, AlreadyClaimedError):
                continue
            except PoolClosed:
                return got

    with ThreadPoolExecutor(18) as threads:
        claims = [threads.submit(consume, number) for number in range(16)]
        puts = [
            threads.submit(lambda part: [pool.put(each) for each in part], everything[start::2])
            for start in (0, 1)
        ]
        for put in puts:
            put.result(timeout=120)
        until(lambda: pool.statistics().claimed == len(everything))
        pool.close()
        got = [connection for claim in claims for connection in claim.result(timeout=120)]
    assert Counter(got) == Counter(everything)


@pytest.mark.parametrize("seed", range(2))
def test_tasks_that_are_cancelled_lose_nothing(seed: int) -> None:
    everything = connections(2000)
    pool = Pool()
    all_put = threading.Event()

    async def consume(random: Random) -> list[Held]:
        got: list[Held] = []
        waiting: list[asyncio.Task[Held]] = []
        while not all_put.is_set():
            wanted = random.choice([None, Pattern(random.randrange(80, 88)), Pattern("80-83")])
            waiting.append(asyncio.create_task(pool.claim_async(wanted, random.choice([None, 1e-4]))))
            await asyncio.sleep(0)
            for task in random.sample(waiting, len(waiting) // 2):
                task.cancel()
            got += results(waiting)
            waiting = [task for task in waiting if not task.done()]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return got + results(waiting)

    with ThreadPoolExecutor(4) as threads:
        claims = [
            threads.submit(lambda n: asyncio.run(consume(Random(f"{seed} {n}"))), number)
            for number in range(4)
        ]
        for connection in everything:
            assert pool.put(connection) is None
        all_put.set()
        got = [connection for claim in claims for connection in claim.result(timeout=120)]
    assert pool.statistics().waiting_claims == 0
    assert Counter(got + pool.close()) == Counter(everything)


def results(tasks: list[asyncio.Task[Held]]) -> list[Held]:
    """Return what the claims that succeeded got."""
    ended = [task for task in tasks if task.done() and not task.cancelled()]
    return [task.result() for task in ended if task.exception() is None]


def test_threads_that_wait_are_woken_one_for_each_connection() -> None:
    pool = Pool()
    everything = connections(CONSUMERS)
    with ThreadPoolExecutor(CONSUMERS) as threads:
        claims = [threads.submit(pool.claim, None, 60) for _ in range(CONSUMERS)]
        until(lambda: pool.statistics().waiting_claims == CONSUMERS)
        pool.put(everything[0])
        assert pool.statistics().waiting_claims == CONSUMERS - 1
        until(lambda: sum(claim.done() for claim in claims) == 1)
        for connection in everything[1:]:
            pool.put(connection)
        got = [claim.result(timeout=60) for claim in claims]
    assert set(got) == set(everything)
