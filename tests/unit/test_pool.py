"""The pool, one thread or one event loop at a time; test_pool_threads.py has the crowds."""

import asyncio
import gc
import signal
import sys
import threading
import tracemalloc
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest

from support.live import until
from xsocket.config import PoolPolicy
from xsocket.errors import AddressInUseError, AlreadyClaimedError, ClaimTimeout, PoolClosed
from xsocket.fourtuple import FourTuple
from xsocket.pattern import Pattern
from xsocket.pool import ConnectionPool, PoolEvent


class Held:
    """What a pool holds in these tests: a 4-tuple and nothing else."""

    def __init__(self, four_tuple: FourTuple) -> None:
        self.four_tuple = four_tuple

    def __repr__(self) -> str:
        return f"<Held {self.four_tuple}>"


Pool = ConnectionPool[Held]


def key(remote_port: int = 40_000, *, port: int = 80, remote: str = "10.0.0.1") -> FourTuple:
    return FourTuple("fd00::2" if ":" in remote else "10.0.0.2", port, remote, remote_port)


def held(remote_port: int = 40_000, *, port: int = 80, remote: str = "10.0.0.1") -> Held:
    return Held(key(remote_port, port=port, remote=remote))


def pool_of(*connections: Held, capacity: int = 65_536, policy: PoolPolicy = "ignore") -> Pool:
    pool = Pool(capacity, policy)
    for connection in connections:
        assert pool.put(connection) is None
    return pool


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 30))

    run.__name__ = test.__name__
    return run


async def place(pool: Pool, *wanted: FourTuple | Pattern | None) -> list[asyncio.Task[Held]]:
    """Place claims in this order, and return once they all wait."""
    tasks = []
    for each in wanted:
        tasks.append(asyncio.create_task(pool.claim_async(each)))
        await settle()
    return tasks


def claim_sync(pool: Pool, wanted: Any, timeout: float | None) -> Held:  # noqa: ANN401
    return pool.claim(wanted, timeout)


def claim_async(pool: Pool, wanted: Any, timeout: float | None) -> Held:  # noqa: ANN401
    return asyncio.run(pool.claim_async(wanted, timeout))


both_faces = pytest.mark.parametrize(
    "claim", [pytest.param(claim_sync, id="blocking"), pytest.param(claim_async, id="asyncio")]
)
Claim = Callable[[Pool, Any, float | None], Held]


# What a claim finds


@both_faces
@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        pytest.param(None, 0, id="whichever is next"),
        pytest.param(key(40_001), 1, id="exact"),
        pytest.param(key(40_003, port=443, remote="fd00::1"), 3, id="exact IPv6"),
        pytest.param(Pattern(), 0, id="open pattern"),
        pytest.param(Pattern(443), 2, id="local port"),
        pytest.param(Pattern("443-444"), 2, id="local ports"),
        pytest.param(Pattern(remote="10.0.0.9"), 2, id="remote address with one connection"),
        pytest.param(Pattern(remote="10.0.0.1"), 0, id="remote address with several"),
        pytest.param(Pattern(443, remote="fd00::1"), 3, id="local port and remote address"),
        pytest.param(Pattern(80, remote="fd00::/64"), 4, id="local port and remote network"),
        pytest.param(Pattern(remote_port=40_001), 1, id="remote port, which no index has"),
        pytest.param(Pattern(local="fd00::2"), 3, id="local address, which no index has"),
    ],
)
def test_a_claim_takes_the_oldest_that_matches(
    claim: Claim, wanted: FourTuple | Pattern | None, index: int
) -> None:
    connections = [
        held(40_000),
        held(40_001),
        held(40_002, port=443, remote="10.0.0.9"),
        held(40_003, port=443, remote="fd00::1"),
        held(40_004, port=80, remote="fd00::1"),
        held(40_005),
    ]
    pool = pool_of(*connections)
    assert claim(pool, wanted, 0) is connections[index]
    assert connections[index].four_tuple not in pool
    assert len(pool) == 5


@both_faces
@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(key(40_009), id="exact"),
        pytest.param(Pattern(81), id="local port nobody has"),
        pytest.param(Pattern(remote="10.0.0.9"), id="remote address nobody has"),
        pytest.param(
            Pattern(80, remote="10.0.0.9"), id="local port that is there, remote address that is not"
        ),
        pytest.param(Pattern(remote_port=1), id="no index"),
    ],
)
def test_polling_finds_nothing(claim: Claim, wanted: FourTuple | Pattern) -> None:
    pool = pool_of(held())
    with pytest.raises(ClaimTimeout, match="Raise the timeout"):
        claim(pool, wanted, 0)
    assert pool.statistics().timed_out == 1
    assert pool.statistics().waiting_claims == 0
    assert list(pool) == [key()]


@both_faces
def test_polling_an_empty_pool(claim: Claim) -> None:
    with pytest.raises(ClaimTimeout, match="no connection waits"):
        claim(Pool(), None, 0)


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(None, id="whichever is next"),
        pytest.param(Pattern(80), id="local port"),
        pytest.param(Pattern(remote="10.0.0.1"), id="remote address"),
        pytest.param(Pattern(local="10.0.0.0/8"), id="no index"),
    ],
)
def test_claims_empty_the_pool_oldest_first(wanted: Pattern | None) -> None:
    connections = [held(port) for port in range(40_000, 40_100)]
    pool = pool_of(*connections)
    assert [pool.claim(wanted, 0) for _ in connections] == connections
    assert len(pool) == 0


def test_a_pattern_finds_the_last_of_a_long_row() -> None:
    wanted = held(50_000)
    pool = pool_of(*(held(port) for port in range(40_000, 42_000)), wanted)
    assert pool.claim(Pattern(remote_port=50_000), timeout=0) is wanted
    assert pool.statistics().waiting_claims == 0


def test_a_pattern_that_matches_none_of_a_long_row() -> None:
    pool = pool_of(*(held(port) for port in range(40_000, 42_000)))
    with pytest.raises(ClaimTimeout):
        pool.claim(Pattern(remote_port=50_000), timeout=0)
    assert len(pool) == 2000
    assert pool.statistics().waiting_claims == 0


@asynchronous
async def test_a_pattern_that_matched_none_of_a_long_row_waits() -> None:
    pool = pool_of(*(held(port) for port in range(40_000, 42_000)))
    (claim,) = await place(pool, Pattern(remote_port=50_000))
    connection = held(50_000)
    pool.put(connection)
    assert await claim is connection


class Meddling(Pattern):
    """A pattern that meddles with the pool as it is compared with one connection."""

    def matches(self, four_tuple: FourTuple) -> bool:
        if four_tuple == meddled:
            meddle.pop()()
        return Pattern.matches(self, four_tuple)


meddled = key(50_000)
meddle: list[Callable[[], object]] = []


def test_a_claim_served_while_it_looks_through_a_long_row_takes_no_second() -> None:
    pool, sooner = pool_of(*(held(port) for port in range(40_000, 42_000)), held(50_000)), held(50_001)
    meddle.append(lambda: pool.put(sooner))
    assert pool.claim(Meddling(remote_port="50000-50001"), timeout=0) is sooner
    assert meddled in pool
    assert pool.statistics().claimed == 1


def test_a_claim_that_looks_through_a_long_row_takes_nothing_that_another_took_first() -> None:
    pool = pool_of(*(held(port) for port in range(40_000, 42_000)), held(50_000))
    meddle.append(lambda: pool.claim(meddled, 0))
    with pytest.raises(ClaimTimeout):
        pool.claim(Meddling(remote_port=50_000), timeout=0)
    assert pool.statistics().claimed == 1


# Arguments


@both_faces
def test_a_negative_timeout_is_an_error_as_in_the_standard_library(claim: Claim) -> None:
    with pytest.raises(ValueError, match="non-negative"):
        claim(pool_of(held()), None, -1)


@both_faces
@pytest.mark.parametrize("wanted", [("10.0.0.2", 80, "10.0.0.1", 40_000), "10.0.0.1", 80], ids=repr)
def test_a_claim_of_something_else_is_an_error(claim: Claim, wanted: Any) -> None:  # noqa: ANN401
    with pytest.raises(TypeError, match="FourTuple, Pattern or None"):
        claim(pool_of(held()), wanted, 0)


@both_faces
def test_a_timeout_ends_the_wait(claim: Claim) -> None:
    pool = Pool()
    with pytest.raises(TimeoutError, match=r"nothing that matches .*40000 came in 0\.001 s"):
        claim(pool, key(), 0.001)
    assert pool.statistics().waiting_claims == 0
    connection = held()
    pool.put(connection)
    assert pool.claim(timeout=0) is connection


@both_faces
def test_the_engine_is_told_when_a_claim_begins_to_wait(claim: Claim) -> None:
    pool = pool_of(held())
    waited: list[bool] = []
    pool.call_when_claim_waits(lambda: waited.append(pool.statistics().waiting_claims == 1))
    claim(pool, None, None)
    assert (waited, pool.has_waiting_claims) == ([], False)
    pool.call_when_claim_waits(lambda: (waited.append(pool.has_waiting_claims), pool.put(held(40_001))))
    assert claim(pool, None, 30).four_tuple == key(40_001)
    assert (waited, pool.has_waiting_claims) == ([True], False)


# Who gets it


@pytest.mark.parametrize(
    ("claims", "winner"),
    [
        pytest.param([key(), None, Pattern(80)], 0, id="exact first"),
        pytest.param([None, key(), Pattern(80)], 0, id="whichever first"),
        pytest.param([Pattern(80), key(), None], 0, id="pattern by port first"),
        pytest.param([Pattern("1-100"), Pattern(80), key(), None], 0, id="pattern of no single port first"),
        pytest.param([Pattern(443), key(1), Pattern(80)], 2, id="those before do not match"),
        pytest.param(
            [Pattern(80, "10.9.0.0/16"), Pattern("1-79"), None], 2, id="patterns before do not match"
        ),
        pytest.param(
            [Pattern(443), Pattern(80), Pattern(remote="10.0.0.1"), None], 1, id="patterns before any"
        ),
        pytest.param([None, None, None], 0, id="the first of equals"),
        pytest.param([Pattern(80), Pattern(80)], 0, id="the first of equal patterns"),
    ],
)
def test_a_connection_goes_to_the_earliest_claim_that_matches(
    claims: list[FourTuple | Pattern | None], winner: int
) -> None:
    @asynchronous
    async def scene() -> None:
        pool, connection = Pool(), held()
        tasks = await place(pool, *claims)
        assert pool.put(connection) is None
        await settle()
        assert tasks[winner].result() is connection
        others = [task for task in tasks if task is not tasks[winner] and not task.done()]
        assert pool.statistics().waiting_claims == len(others)
        assert len(pool) == 0
        pool.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    scene()


@asynchronous
async def test_equal_claims_are_served_in_the_order_of_their_arrival() -> None:
    pool = Pool()
    claims = await place(pool, *[Pattern(80), None] * 10)
    connections = [held(port) for port in range(40_000, 40_020)]
    for connection in connections:
        pool.put(connection)
    assert await asyncio.gather(*claims) == connections


@asynchronous
async def test_an_exact_claim_waits_before_the_handshake_begins() -> None:
    pool, connection = Pool(), held(40_001)
    (claim,) = await place(pool, key(40_001))
    pool.put(held(40_000))
    await settle()
    assert not claim.done()
    pool.put(connection)
    assert await claim is connection
    assert list(pool) == [key(40_000)]


@asynchronous
async def test_an_exact_claim_that_loses_to_an_earlier_one_is_told() -> None:
    pool, connection = Pool(), held()
    wildcard, *exact = await place(pool, None, key(), key())
    pool.put(connection)
    assert await wildcard is connection
    for claim in exact:
        with pytest.raises(AlreadyClaimedError, match="went to another claim"):
            await claim
    assert pool.statistics().claimed == 1


# Owners


@both_faces
@pytest.mark.parametrize("timeout", [None, 0, 5.0])
def test_an_exact_claim_of_what_has_an_owner_does_not_wait(claim: Claim, timeout: float | None) -> None:
    pool = pool_of(held())
    pool.claim(key(), 0)
    with pytest.raises(AlreadyClaimedError, match="has an owner"):
        claim(pool, key(), timeout)
    assert pool.statistics().claimed == 1


def test_a_pattern_claim_waits_though_what_it_matches_has_an_owner() -> None:
    pool = pool_of(held())
    pool.claim(key(), 0)
    with pytest.raises(ClaimTimeout):
        pool.claim(Pattern(80), 0)


def test_the_4_tuple_may_be_claimed_again_once_its_owner_let_go() -> None:
    pool = pool_of(held())
    pool.claim(key(), 0)
    assert pool.remove(key()) is None
    with pytest.raises(ClaimTimeout):
        pool.claim(key(), 0)
    successor = held()
    pool.put(successor)
    assert pool.claim(key(), 0) is successor


def test_to_let_go_of_a_connection_does_nothing_to_its_successor_that_waits() -> None:
    """A client comes back with the same port while its first connection is still in somebody's hands."""
    first, successor = held(), held()
    pool = pool_of(first)
    pool.claim(timeout=0)
    pool.remove(key())
    pool.put(successor)
    pool.let_go(first)
    assert pool.claim(key(), 0) is successor


def test_to_let_go_of_a_connection_does_nothing_to_its_successor_that_was_claimed() -> None:
    first, successor = held(), held()
    pool = pool_of(first)
    pool.claim(timeout=0)
    pool.remove(key())
    pool.put(successor)
    pool.claim(key(), 0)
    pool.let_go(first)
    with pytest.raises(AlreadyClaimedError):
        pool.claim(key(), 0)
    assert pool.give_back(successor)


def test_nobody_gets_a_connection_that_was_given_back_and_let_go_of() -> None:
    first = held()
    pool = pool_of(first)
    pool.claim(timeout=0)
    pool.give_back(first)
    pool.let_go(first)
    with pytest.raises(ClaimTimeout):
        pool.claim(timeout=0)


def test_a_successor_is_claimed_even_if_nobody_said_that_the_first_died() -> None:
    first, successor = held(), held()
    pool = pool_of(first)
    pool.claim(timeout=0)
    pool.put(successor)
    assert not pool.give_back(first)
    assert pool.claim(key(), 0) is successor


def test_two_of_one_4_tuple_cannot_wait() -> None:
    pool = pool_of(held())
    with pytest.raises(AddressInUseError, match="waits in the pool already"):
        pool.put(held())
    assert len(pool) == 1


# Giving back


def test_what_is_given_back_is_the_next() -> None:
    connections = [held(port) for port in range(40_000, 40_003)]
    pool = pool_of(*connections)
    connection = pool.claim(timeout=0)
    assert pool.give_back(connection)
    assert list(pool) == [each.four_tuple for each in connections]
    assert pool.claim(Pattern(80), 0) is connection


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(Pattern(80), id="by port"),
        pytest.param(Pattern(remote="10.0.0.1"), id="by remote address"),
    ],
)
def test_what_is_given_back_is_the_next_in_each_index(wanted: Pattern) -> None:
    connections = [held(port) for port in range(40_000, 40_003)]
    others = [held(port, port=443, remote="10.0.0.9") for port in range(40_000, 40_005)]
    pool = pool_of(*others, *connections)
    pool.give_back(pool.claim(key(40_002), 0))
    assert pool.claim(wanted, 0) is connections[2]
    assert pool.claim(wanted, 0) is connections[0]


@asynchronous
async def test_what_is_given_back_goes_to_a_claim_that_waits() -> None:
    connection = held()
    pool = pool_of(connection)
    pool.claim(timeout=0)
    (claim,) = await place(pool, Pattern(80))
    assert pool.give_back(connection)
    assert await claim is connection


def test_a_dead_connection_cannot_be_given_back() -> None:
    connection = held()
    pool = pool_of(connection)
    pool.claim(timeout=0)
    pool.remove(key())
    assert not pool.give_back(connection)
    assert len(pool) == 0


def test_a_dead_connection_cannot_be_given_back_in_the_name_of_its_successor() -> None:
    connection, successor = held(), held()
    pool = pool_of(connection)
    pool.claim(timeout=0)
    pool.remove(key())
    pool.put(successor)
    pool.claim(timeout=0)
    assert not pool.give_back(connection)
    assert pool.give_back(successor)


def test_what_was_never_claimed_cannot_be_given_back() -> None:
    connection = held()
    pool = pool_of(connection)
    assert not pool.give_back(connection)
    assert not pool.give_back(held(40_001))
    assert len(pool) == 1


# Death


@pytest.mark.parametrize(
    "wanted",
    [None, key(40_000), Pattern(80), Pattern(remote="10.0.0.1"), Pattern(remote_port=40_000)],
    ids=repr,
)
def test_nobody_gets_a_dead_connection(wanted: FourTuple | Pattern | None) -> None:
    connection = held()
    pool = pool_of(connection)
    assert pool.remove(key()) is connection
    with pytest.raises(ClaimTimeout):
        pool.claim(wanted, 0)
    assert pool.statistics().died == 1


def test_to_remove_what_is_not_there_does_no_harm() -> None:
    pool = Pool()
    assert pool.remove(key()) is None
    assert pool.statistics().died == 0


# A claim that ends before it collects


@asynchronous
async def test_a_cancelled_claim_waits_no_more() -> None:
    pool, connection = Pool(), held()
    first, second = await place(pool, None, None)
    first.cancel()
    await settle()
    pool.put(connection)
    assert await second is connection
    assert first.cancelled()


@asynchronous
async def test_a_claim_cancelled_after_it_was_served_passes_the_connection_on() -> None:
    pool, connection = Pool(), held()
    first, other, second = await place(pool, None, Pattern(443), Pattern(80))
    pool.put(connection)
    first.cancel()
    assert await second is connection
    assert first.cancelled()
    other.cancel()
    assert pool.statistics().given_back == 1


@asynchronous
async def test_a_claim_cancelled_after_it_was_served_leaves_the_connection_first_in_the_pool() -> None:
    pool, connection, later = Pool(), held(), held(40_001)
    (claim,) = await place(pool, None)
    pool.put(connection)
    pool.put(later)
    claim.cancel()
    await settle()
    assert claim.cancelled()
    assert list(pool) == [connection.four_tuple, later.four_tuple]


@asynchronous
async def test_a_connection_that_died_between_serving_and_cancellation_does_not_come_back() -> None:
    pool = Pool()
    (claim,) = await place(pool, None)
    pool.put(held())
    pool.remove(key())
    claim.cancel()
    await settle()
    assert len(pool) == 0


@asynchronous
async def test_a_claim_served_as_its_time_runs_out_has_its_connection() -> None:
    pool, connection = Pool(), held()
    claim = asyncio.create_task(pool.claim_async(timeout=1e-9))
    await asyncio.sleep(0)  # the claim waits; its timer has run out and is looked at in the next round
    pool.put(connection)
    assert await claim is connection
    assert pool.statistics().timed_out == 0


@asynchronous
async def test_an_outer_timeout_loses_nothing() -> None:
    pool, connection = Pool(), held()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await pool.claim_async()
    pool.put(connection)
    assert pool.claim(timeout=0) is connection


def started(claim: Coroutine[Any, Any, Held]) -> asyncio.AbstractEventLoop:
    """Run *claim* until it waits; return the event loop it waits in, which runs no more."""

    async def start() -> None:
        claim.send(None)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(start())
    return loop


def test_a_claim_whose_event_loop_is_closed_passes_the_connection_on() -> None:
    pool, connection = Pool(), held()
    claims = [pool.claim_async() for _ in range(3)]
    for claim in claims:
        started(claim).close()
    assert pool.statistics().waiting_claims == 3
    pool.put(connection)
    assert pool.statistics().waiting_claims == 0
    assert pool.claim(timeout=0) is connection
    for claim in claims:
        claim.close()
    assert len(pool) == 0


def test_a_claim_whose_coroutine_is_thrown_away_waits_no_more() -> None:
    pool = Pool()
    claim = pool.claim_async()
    loop = started(claim)
    assert pool.statistics().waiting_claims == 1
    del claim
    gc.collect()
    assert pool.statistics().waiting_claims == 0
    loop.close()


def test_a_coroutine_thrown_away_within_a_method_of_the_pool_does_not_block_it() -> None:
    # The garbage collector may do this anywhere; here the observer does, which runs under the lock.
    doomed: list[Coroutine[Any, Any, Held]] = []
    pool = Pool(observer=lambda _event, _four_tuple: doomed.clear())
    doomed.append(pool.claim_async(Pattern(443)))
    loop = started(doomed[0])
    pool.put(held())
    assert not doomed
    assert len(pool) == 1
    loop.close()


@pytest.fixture
def interrupting() -> Any:  # noqa: ANN401
    """Run a function in the main thread, where it waits, then interrupt it as Ctrl-C does."""
    before = signal.getsignal(signal.SIGUSR1)

    def arrange(pool: Pool, act: Callable[[], object]) -> threading.Thread:
        handled = threading.Event()

        def handler(_signal: int, _frame: FrameType | None) -> None:
            if not handled.is_set():
                handled.set()
                act()
                raise KeyboardInterrupt

        def interrupt() -> None:
            until(lambda: pool.statistics().waiting_claims == 1)
            while not handled.is_set():  # one that comes just before a lock blocks does not end its wait
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
                handled.wait(0.01)

        signal.signal(signal.SIGUSR1, handler)
        thread = threading.Thread(target=interrupt)
        thread.start()
        return thread

    yield arrange
    signal.signal(signal.SIGUSR1, before)


def test_ctrl_c_ends_a_claim(interrupting: Callable[..., threading.Thread]) -> None:
    pool, connection = Pool(), held()
    thread = interrupting(pool, lambda: None)
    with pytest.raises(KeyboardInterrupt):
        pool.claim()
    thread.join()
    pool.put(connection)
    assert pool.claim(timeout=0) is connection


def test_ctrl_c_after_a_claim_was_served_leaves_the_connection_in_the_pool(
    interrupting: Callable[..., threading.Thread],
) -> None:
    pool, connection = Pool(), held()
    thread = interrupting(pool, lambda: pool.put(connection))
    with pytest.raises(KeyboardInterrupt):
        pool.claim()
    thread.join()
    assert pool.claim(timeout=0) is connection
    assert pool.statistics().given_back == 1


# Closing


@asynchronous
async def test_closing_wakes_every_claim_and_returns_what_was_left() -> None:
    connections = [held(port, port=443) for port in range(40_000, 40_003)]
    pool = pool_of(*connections)
    claims = await place(pool, key(1), Pattern(80), Pattern(remote="10.9.0.0/16"))
    assert pool.close() == connections
    for claim in claims:
        with pytest.raises(PoolClosed, match="during the wait"):
            await claim
    assert len(pool) == 0


def test_closing_wakes_blocked_threads() -> None:
    pool = Pool()
    with ThreadPoolExecutor(4) as threads:
        claims = [threads.submit(pool.claim, wanted) for wanted in (None, key(), Pattern(80))]
        count = threads.submit(pool.wait_for, 1)
        until(lambda: pool.statistics().waiting_claims == 3)
        assert pool.close() == []
        errors = [*(claim.exception(timeout=30) for claim in claims), count.exception(timeout=30)]
    assert {type(error) for error in errors} == {PoolClosed}


@both_faces
@pytest.mark.parametrize("timeout", [None, 0, 1.0])
def test_a_closed_pool_has_nothing_to_claim(claim: Claim, timeout: float | None) -> None:
    pool = pool_of(held())
    pool.close()
    assert pool.closed
    with pytest.raises(PoolClosed, match="is closed"):
        claim(pool, None, timeout)
    with pytest.raises(PoolClosed):
        pool.wait_for(0)


def test_what_comes_to_a_closed_pool_stays_with_the_caller() -> None:
    claimed, late = held(), held(40_001)
    pool = pool_of(claimed)
    pool.claim(timeout=0)
    pool.close()
    assert pool.put(late) is late
    assert not pool.has_room(late.four_tuple)
    assert not pool.give_back(claimed)
    assert pool.remove(claimed.four_tuple) is None
    assert pool.close() == []


@asynchronous
async def test_a_claim_served_before_the_pool_closed_has_its_connection() -> None:
    pool, connection = Pool(), held()
    (claim,) = await place(pool, None)
    pool.put(connection)
    assert pool.close() == []
    assert await claim is connection


# Capacity


@pytest.mark.parametrize(
    ("policy", "room", "counter"),
    [
        pytest.param("refuse", False, "refused", id="refuse"),
        pytest.param("ignore", False, "ignored", id="ignore"),
        pytest.param("evict", True, None, id="evict"),
    ],
)
def test_a_full_pool_has_room_as_its_policy_says(policy: PoolPolicy, room: bool, counter: str | None) -> None:
    pool = pool_of(held(40_000), capacity=2, policy=policy)
    assert pool.has_room(key(40_001))
    pool.put(held(40_001))
    assert pool.has_room(key(40_002)) is room
    counted = pool.statistics()._asdict()
    assert {name for name in ("refused", "ignored", "evicted") if counted[name]} == (
        {counter} if counter else set()
    )


@asynchronous
async def test_a_full_pool_has_room_for_what_is_waited_for() -> None:
    pool = pool_of(held(40_000), capacity=1)
    (claim,) = await place(pool, key(40_001))
    assert pool.has_room(key(40_001))
    assert not pool.has_room(key(40_002))
    connection = held(40_001)
    assert pool.put(connection) is None
    assert await claim is connection


@pytest.mark.parametrize("policy", ["refuse", "ignore"])
def test_a_full_pool_leaves_a_connection_that_comes_all_the_same_to_the_caller(policy: PoolPolicy) -> None:
    pool, connection = pool_of(held(40_000), capacity=1, policy=policy), held(40_001)
    assert pool.put(connection) is connection
    assert list(pool) == [key(40_000)]
    assert pool.statistics().refused == 1
    assert pool.statistics().put == 1


def test_eviction_takes_the_oldest() -> None:
    connections = [held(port) for port in range(40_000, 40_003)]
    pool = pool_of(*connections[:2], capacity=2, policy="evict")
    assert pool.put(connections[2]) is connections[0]
    assert list(pool) == [key(40_001), key(40_002)]
    assert pool.statistics().evicted == 1


# Looking on


def test_waiting_for_a_count() -> None:
    pool = pool_of(held(40_000))
    assert pool.wait_for(0) == 1
    assert pool.wait_for(1, timeout=0) == 1
    with ThreadPoolExecutor(2) as threads:
        two = threads.submit(pool.wait_for, 2)
        three = threads.submit(pool.wait_for, 3)
        pool.put(held(40_001))
        assert two.result(timeout=30) == 2
        pool.put(held(40_002))
        assert three.result(timeout=30) == 3


def test_waiting_for_a_count_in_vain() -> None:
    pool = pool_of(held())
    with pytest.raises(ClaimTimeout, match=r"1 of 2 connections wait after 0\.001 s"):
        pool.wait_for(2, timeout=0.001)
    with pytest.raises(ValueError, match="non-negative"):
        pool.wait_for(2, timeout=-1)


def test_the_pool_as_a_container() -> None:
    pool = pool_of(held(40_000), held(40_001))
    assert len(pool) == 2
    assert key(40_000) in pool
    assert key(40_002) not in pool
    assert "something else" not in pool
    assert bool(Pool())


def test_iteration_is_a_snapshot_oldest_first() -> None:
    pool = pool_of(held(40_000), held(40_001))
    seen = iter(pool)
    assert next(seen) == key(40_000)
    pool.put(held(40_002))
    pool.claim(key(40_001), 0)
    assert list(seen) == [key(40_001)]


@asynchronous
async def test_statistics_and_repr_count_everything() -> None:
    pool = pool_of(*(held(port) for port in range(40_000, 40_006)), capacity=6)
    pool.claim(timeout=0)
    pool.give_back(pool.claim(timeout=0))
    pool.remove(key(40_005))
    with pytest.raises(ClaimTimeout):
        pool.claim(Pattern(443), 0)
    (claim,) = await place(pool, Pattern(443))
    assert pool.statistics() == (6, 2, 1, 1, 0, 0, 0, 0, 1, 1, 4, 1, 1, 6)
    assert pool.statistics().high_water == 6
    assert repr(pool) == "<ConnectionPool: 4 of 6 connections wait, 1 are claimed, 1 claims wait>"
    pool.close()
    with pytest.raises(PoolClosed):
        await claim
    assert repr(pool).startswith("<ConnectionPool closed: 0 of 6")


def test_an_observer_sees_events_in_their_order() -> None:
    seen: list[tuple[PoolEvent, FourTuple | None]] = []
    pool = Pool(1, "evict", observer=lambda event, four_tuple: seen.append((event, four_tuple)))
    one, two, three = held(40_001), held(40_002), held(40_003)
    pool.put(one)
    pool.put(two)
    pool.give_back(pool.claim(timeout=0))
    pool.remove(two.four_tuple)
    pool.put(three)
    with pytest.raises(ClaimTimeout):
        pool.claim(key(1), 0)
    pool.close()
    assert seen == [
        (PoolEvent.PUT, one.four_tuple),
        (PoolEvent.EVICTED, one.four_tuple),
        (PoolEvent.PUT, two.four_tuple),
        (PoolEvent.CLAIMED, two.four_tuple),
        (PoolEvent.GIVEN_BACK, two.four_tuple),
        (PoolEvent.DIED, two.four_tuple),
        (PoolEvent.PUT, three.four_tuple),
        (PoolEvent.TIMED_OUT, None),
        (PoolEvent.CLOSED, None),
    ]


def test_an_observer_sees_which_claims_wait_and_for_how_long() -> None:
    seen: list[tuple[PoolEvent, FourTuple | None]] = []
    pool = Pool(observer=lambda event, four_tuple: seen.append((event, four_tuple)))
    exact = threading.Thread(target=lambda: pool.claim(key(40_001), 5.0))
    exact.start()
    until(lambda: pool.has_waiting_claims)
    pool.put(held(40_001))
    exact.join()
    with pytest.raises(ClaimTimeout):
        pool.claim(Pattern(), 0.001)
    assert seen == [
        (PoolEvent.CLAIM_WAITS, key(40_001)),
        (PoolEvent.PUT, key(40_001)),
        (PoolEvent.CLAIM_ENDS, key(40_001)),
        (PoolEvent.CLAIMED, key(40_001)),
        (PoolEvent.CLAIM_WAITS, None),
        (PoolEvent.CLAIM_ENDS, None),
        (PoolEvent.TIMED_OUT, None),
    ]
    assert (pool.statistics().claims_waited, pool.statistics().waiting_claims) == (2, 0)


@asynchronous
async def test_a_claim_that_is_cancelled_waits_no_longer() -> None:
    seen: list[PoolEvent] = []
    pool = Pool(observer=lambda event, _four_tuple: seen.append(event))
    (claim,) = await place(pool, None)
    claim.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claim
    assert seen == [PoolEvent.CLAIM_WAITS, PoolEvent.CLAIM_ENDS]


def test_an_observer_may_come_and_go() -> None:
    first: list[PoolEvent] = []
    second: list[PoolEvent] = []

    def observer(event: PoolEvent, four_tuple: FourTuple | None) -> None:
        del four_tuple
        second.append(event)

    pool = Pool(observer=lambda event, _four_tuple: first.append(event))
    pool.put(held(40_001))
    pool.add_observer(observer)
    pool.claim(timeout=0)
    pool.remove_observer(observer)
    pool.close()
    assert first == [PoolEvent.PUT, PoolEvent.CLAIMED, PoolEvent.CLOSED]
    assert second == [PoolEvent.CLAIMED]


@pytest.mark.parametrize(
    ("policy", "event"),
    [
        pytest.param("refuse", PoolEvent.REFUSED, id="refuse"),
        pytest.param("ignore", PoolEvent.IGNORED, id="ignore"),
    ],
)
def test_an_observer_sees_what_had_no_room(policy: PoolPolicy, event: PoolEvent) -> None:
    seen: list[tuple[PoolEvent, FourTuple | None]] = []
    pool = Pool(1, policy, observer=lambda event, four_tuple: seen.append((event, four_tuple)))
    pool.put(held(40_000))
    pool.has_room(key(40_001))
    assert seen[-1] == (event, key(40_001))


# What it costs, counted in lines of Python, which no machine's load can change


def lines_run(call: Callable[[], object]) -> int:
    """Return how many lines of the pool and of what it is made of *call* runs."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401
        nonlocal count
        if frame.f_globals["__name__"] not in ("xsocket.pool", "xsocket.waiting", "xsocket.pattern"):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def crowded(connections: int) -> Pool:
    return pool_of(
        *(held(port, remote=f"10.1.{port >> 8}.{port & 255}") for port in range(1, connections + 1))
    )


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda pool: pool.put(held(50_000)), id="put"),
        pytest.param(lambda pool: pool.claim(key(7, remote="10.1.0.7"), 0), id="exact claim"),
        pytest.param(lambda pool: pool.claim(timeout=0), id="claim of whichever is next"),
        pytest.param(lambda pool: pool.claim(Pattern(80), 0), id="claim by local port"),
        pytest.param(lambda pool: pool.claim(Pattern(remote="10.1.0.7"), 0), id="claim by remote address"),
        pytest.param(lambda pool: pool.remove(key(7, remote="10.1.0.7")), id="remove"),
        pytest.param(lambda pool: pool.has_room(key(50_000)), id="has_room"),
    ],
)
def test_a_call_costs_the_same_however_full_the_pool(call: Callable[[Pool], object]) -> None:
    small, large = crowded(10), crowded(10_000)
    assert lines_run(lambda: call(small)) == lines_run(lambda: call(large))


@pytest.mark.parametrize(
    ("wanted", "unwanted"),
    [
        pytest.param(lambda number: key(number + 1), key(50_000), id="exact claims"),
        pytest.param(lambda number: Pattern(number + 1000), key(50_000), id="patterns of other ports"),
        pytest.param(lambda _: Pattern(80, "10.9.0.0/16"), key(50_000), id="equal patterns"),
    ],
)
def test_put_costs_the_same_however_many_claims_wait(
    wanted: Callable[[int], FourTuple | Pattern], unwanted: FourTuple
) -> None:
    async def cost(claims: int) -> int:
        pool = Pool()
        tasks = [asyncio.create_task(pool.claim_async(wanted(number))) for number in range(claims)]
        await settle()
        assert pool.statistics().waiting_claims == claims
        lines = lines_run(lambda: pool.put(Held(unwanted)))
        pool.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        return lines

    assert asyncio.run(cost(3)) == asyncio.run(cost(3000))


def test_nothing_is_kept_of_connections_that_left() -> None:
    def come_and_go(start: int) -> None:
        for number in range(start, start + 1000):
            remote = f"10.2.{number >> 8}.{number & 255}"
            pair = [Held(FourTuple.trusted("10.0.0.2", number, remote, port)) for port in (1, 2)]
            for connection in pair:
                pool.put(connection)
            for connection in pair:
                pool.claim(connection.four_tuple, 0)
                pool.remove(connection.four_tuple)

    pool = Pool()
    tracemalloc.start()
    try:
        come_and_go(1)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        come_and_go(10_001)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 50 * 1000  # 50 octets for each remote address would be a leak


# Waiting for too long


def test_what_nobody_claims_expires_oldest_first() -> None:
    pool = pool_of(held(40_000), held(40_001))
    assert pool.expire(0.0, 60.0) == []
    pool.put(held(40_002))
    assert pool.expire(30.0, 60.0) == []
    assert pool.expire(59.9, 60.0) == []
    assert [each.four_tuple for each in pool.expire(60.0, 60.0)] == [key(40_000), key(40_001)]
    assert list(pool) == [key(40_002)]
    assert [each.four_tuple for each in pool.expire(90.0, 60.0)] == [key(40_002)]
    assert pool.statistics().expired == 3
    assert len(pool) == 0


def test_what_was_claimed_does_not_expire() -> None:
    pool = pool_of(held(40_000))
    pool.expire(0.0, 60.0)
    claimed = pool.claim(timeout=0)
    assert pool.expire(1000.0, 60.0) == []
    assert pool.give_back(claimed)
    assert pool.expire(1001.0, 60.0) == [], "its time begins anew"
    assert pool.expire(1061.0, 60.0) == [claimed]


def test_what_came_back_does_not_hide_what_is_older() -> None:
    """It stands first among those that wait, and is the last to expire."""
    pool = pool_of(held(40_000), held(40_001))
    pool.expire(0.0, 60.0)
    pool.give_back(pool.claim(key(40_000), 0))
    pool.expire(30.0, 60.0)
    assert [each.four_tuple for each in pool.expire(60.0, 60.0)] == [key(40_001)]
    assert [each.four_tuple for each in pool.expire(90.0, 60.0)] == [key(40_000)]


def test_a_connection_that_died_does_not_expire() -> None:
    pool = pool_of(held(40_000))
    pool.expire(0.0, 60.0)
    pool.remove(key(40_000))
    assert pool.expire(60.0, 60.0) == []
    assert pool.statistics().expired == 0


def test_a_claim_does_not_get_what_has_expired() -> None:
    pool = pool_of(held(40_000))
    pool.expire(0.0, 60.0)
    pool.expire(60.0, 60.0)
    with pytest.raises(ClaimTimeout):
        pool.claim(key(40_000), 0)
