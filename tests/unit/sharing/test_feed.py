"""Who watches is told what happens, in order, and how much of it was lost."""

import asyncio

from xsocket.connection import Connection
from xsocket.fourtuple import FourTuple
from xsocket.pattern import Pattern
from xsocket.pool import ConnectionPool
from xsocket.sharing.feed import CAPACITY, Feed
from xsocket.sharing.happening import Happening
from xsocket.sharing.policy import EVERYTHING

WEB = FourTuple("10.0.0.2", 80, "10.0.0.1", 40000)
MAIL = FourTuple("10.0.0.2", 25, "10.0.0.1", 40000)


def happening(four_tuple: FourTuple | None, name: str = "put") -> Happening:
    return Happening(1.0, name, four_tuple)


def test_watchers_see_what_they_may_claim() -> None:
    async def watch() -> None:
        feed = Feed(ConnectionPool[Connection]())
        with feed.watching(EVERYTHING) as everything, feed.watching(Pattern(local_port=80)) as web:
            for each in (WEB, MAIL, None):
                feed.put(happening(each))
            assert await everything.next(10) == (tuple(map(happening, (WEB, MAIL, None))), 0)
            assert await web.next(10) == ((happening(WEB),), 0)
        assert feed.missed == 0

    asyncio.run(watch())


def test_what_nobody_reads_is_lost_and_counted() -> None:
    async def watch() -> None:
        feed = Feed(ConnectionPool[Connection]())
        with feed.watching(EVERYTHING) as slow, feed.watching(EVERYTHING) as fast:
            for _ in range(2):
                for _ in range(CAPACITY):
                    feed.put(happening(WEB))
                told, missed = await fast.next(CAPACITY)
                assert (len(told), missed) == (CAPACITY, 0)
            told, missed = await slow.next(10)
            assert (len(told), missed) == (10, CAPACITY)
            assert (await slow.next(CAPACITY))[1] == 0
        assert feed.missed == CAPACITY

    asyncio.run(watch())


def test_what_comes_too_fast_for_the_loop_is_lost_and_counted() -> None:
    async def watch() -> None:
        feed = Feed(ConnectionPool[Connection]())
        with feed.watching(EVERYTHING) as watcher:
            for _ in range(CAPACITY + 5):
                feed.put(happening(WEB))
            told, missed = await watcher.next(CAPACITY)
            assert len(told) + missed == CAPACITY + 5

    asyncio.run(watch())


def test_the_pool_is_observed_only_while_somebody_watches() -> None:
    async def watch() -> list[str]:
        pool = ConnectionPool[Connection]()
        feed = Feed(pool)
        with feed.watching(EVERYTHING) as watcher:
            pool.close()
            told, _ = await watcher.next(10)
        feed.put(happening(WEB))
        return [each.event for each in told]

    assert asyncio.run(watch()) == ["closed"]
