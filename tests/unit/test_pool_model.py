"""The pool against a model of it: two lists, searched from the front. Whatever is done, they agree."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from xsocket.config import PoolPolicy
from xsocket.errors import AlreadyClaimedError, ClaimTimeout
from xsocket.fourtuple import FourTuple
from xsocket.pattern import Pattern
from xsocket.pool import ConnectionPool

KEYS = [
    FourTuple("10.0.0.2", port, remote, remote_port)
    for port in (80, 81)
    for remote in ("10.0.0.1", "10.0.1.1")
    for remote_port in (1, 2)
]
WANTED = [
    None,
    *KEYS,
    Pattern(),
    Pattern(80),
    Pattern("80,81"),
    Pattern(81, "10.0.0.1"),
    Pattern(remote="10.0.1.1"),
    Pattern(80, "10.0.0.0/24"),
    Pattern(remote_port=2),
    Pattern(443),
]

Wanted = FourTuple | Pattern | None


class Held:
    def __init__(self, four_tuple: FourTuple) -> None:
        self.four_tuple = four_tuple


class Waiting:
    """A claim of the model: what it wants, and the task that waits for it."""

    def __init__(self, wanted: Wanted, task: asyncio.Task[Held]) -> None:
        self.wanted = wanted
        self.task = task


def fits(wanted: Wanted, key: FourTuple) -> bool:
    return wanted is None or wanted == key or (isinstance(wanted, Pattern) and wanted.matches(key))


class PoolAgainstModel(RuleBasedStateMachine):
    @initialize(capacity=st.integers(1, 4), policy=st.sampled_from(["refuse", "ignore", "evict"]))
    def make(self, capacity: int, policy: PoolPolicy) -> None:
        self.loop = asyncio.new_event_loop()
        self.capacity = capacity
        self.policy = policy
        self.pool: ConnectionPool[Held] = ConnectionPool(capacity, policy)
        self.shelf: list[Held] = []
        self.owned: list[Held] = []
        self.claims: list[Waiting] = []

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
        return self.loop.run_until_complete(work)

    async def settle(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    def served(self, connection: Held) -> bool:
        """Give *connection* to the model's first claim that it fits, and see that the pool did the same."""
        key = connection.four_tuple
        winner = next((claim for claim in self.claims if fits(claim.wanted, key)), None)
        if winner is None:
            return False
        self.run(self.settle())
        assert winner.task.result() is connection
        self.claims.remove(winner)
        for loser in [claim for claim in self.claims if claim.wanted == key]:
            assert isinstance(loser.task.exception(), AlreadyClaimedError)
            self.claims.remove(loser)
        self.owned.append(connection)
        return True

    @rule(key=st.sampled_from(KEYS))
    def put(self, key: FourTuple) -> None:
        if any(each.four_tuple == key for each in self.shelf + self.owned):
            return
        connection = Held(key)
        expected: Held | None = None
        wanted = any(fits(claim.wanted, key) for claim in self.claims)
        full = len(self.shelf) >= self.capacity and not wanted
        assert self.pool.has_room(key) == (not full or self.policy == "evict")
        if full:
            expected = self.shelf.pop(0) if self.policy == "evict" else connection
        assert self.pool.put(connection) is expected
        if not self.served(connection) and expected is not connection:
            self.shelf.append(connection)

    @rule(wanted=st.sampled_from(WANTED))
    def claim(self, wanted: Wanted) -> None:
        found = next((each for each in self.shelf if fits(wanted, each.four_tuple)), None)
        task = self.loop.create_task(self.pool.claim_async(wanted))
        self.run(self.settle())
        if found is not None:
            assert task.result() is found
            self.shelf.remove(found)
            self.owned.append(found)
        elif any(each.four_tuple == wanted for each in self.owned):
            assert isinstance(task.exception(), AlreadyClaimedError)
        else:
            self.claims.append(Waiting(wanted, task))

    @rule(wanted=st.sampled_from(WANTED))
    def poll(self, wanted: Wanted) -> None:
        found = next((each for each in self.shelf if fits(wanted, each.four_tuple)), None)
        if found is not None:
            assert self.pool.claim(wanted, timeout=0) is found
            self.shelf.remove(found)
            self.owned.append(found)
            return
        owned = any(each.four_tuple == wanted for each in self.owned)
        with pytest.raises(AlreadyClaimedError if owned else ClaimTimeout):
            self.pool.claim(wanted, timeout=0)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        claim.task.cancel()
        self.run(self.settle())
        self.claims.remove(claim)

    @precondition(lambda self: self.owned)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        connection = data.draw(st.sampled_from(self.owned))
        self.owned.remove(connection)
        assert self.pool.give_back(connection)
        if not self.served(connection):
            self.shelf.insert(0, connection)

    @rule(key=st.sampled_from(KEYS))
    def remove(self, key: FourTuple) -> None:
        waiting = next((each for each in self.shelf if each.four_tuple == key), None)
        assert self.pool.remove(key) is waiting
        self.shelf = [each for each in self.shelf if each is not waiting]
        self.owned = [each for each in self.owned if each.four_tuple != key]

    @invariant()
    def they_agree(self) -> None:
        assert list(self.pool) == [each.four_tuple for each in self.shelf]
        figures = self.pool.statistics()
        assert figures.waiting_claims == len(self.claims)
        assert figures.owned_connections == len(self.owned)
        left = (
            figures.claimed + figures.died + figures.evicted + figures.expired + figures.waiting_connections
        )
        assert figures.put + figures.given_back == left
        assert not any(claim.task.done() for claim in self.claims)

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        assert self.pool.close() == self.shelf
        tasks = [claim.task for claim in self.claims]
        self.run(self.settle())
        assert all(task.exception() is not None for task in tasks)
        self.loop.close()


TestPoolAgainstModel = PoolAgainstModel.TestCase
TestPoolAgainstModel.settings = settings(
    derandomize=True, database=None, deadline=None, max_examples=150, stateful_step_count=40
)
