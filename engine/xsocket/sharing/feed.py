"""`Feed`: tells what happens in a pool and at its server to those who watch. Never waits for any of them."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import time
from typing import Final

from xsocket.connection import Connection
from xsocket.fourtuple import FourTuple
from xsocket.pattern import Pattern
from xsocket.pool import ConnectionPool, PoolEvent
from xsocket.sharing.happening import Happening
from xsocket.sharing.policy import EVERYTHING

CAPACITY: Final = 4096
"""How many events wait for a watcher, or to be spread among them; what comes then is missed."""


class Watcher:
    """One who watches. Used in the event loop alone."""

    def __init__(self, allowed: Pattern) -> None:
        self._allowed = allowed
        self._waiting: deque[Happening] = deque()
        self._missed = 0
        self._changed = asyncio.Event()

    def tell(self, happening: Happening) -> bool:
        """Take one, if it may be seen; return whether it had to be missed."""
        if not self._sees(happening.four_tuple):
            return False
        if len(self._waiting) >= CAPACITY:
            self.miss(1)
            return True
        self._waiting.append(happening)
        self._changed.set()
        return False

    def _sees(self, four_tuple: FourTuple | None) -> bool:
        if self._allowed == EVERYTHING:
            return True
        return four_tuple is not None and self._allowed.matches(four_tuple)

    def miss(self, count: int) -> None:
        """Take note of events that will not be told."""
        self._missed += count
        self._changed.set()

    async def next(self, most: int) -> tuple[tuple[Happening, ...], int]:
        """Return up to *most* events, as soon as there are some, and how many were missed before."""
        await self._changed.wait()
        told = tuple(self._waiting.popleft() for _ in range(min(most, len(self._waiting))))
        missed, self._missed = self._missed, 0
        if not self._waiting:
            self._changed.clear()
        return told, missed


class Feed:
    """The watchers of one server.

    The pool is observed only while somebody watches.
    """

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._watchers: set[Watcher] = set()
        self._arrived: deque[Happening] = deque()
        self._overflow = 0
        self._rung = False
        self.missed = 0

    def __len__(self) -> int:
        return len(self._watchers)

    @contextmanager
    def watching(self, allowed: Pattern) -> Iterator[Watcher]:
        """Watch what *allowed* matches; what concerns no connection is for those who may claim all."""
        watcher = Watcher(allowed)
        if not self._watchers:
            self._pool.add_observer(self._pool_event)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                self._pool.remove_observer(self._pool_event)

    def put(self, happening: Happening) -> None:
        """Tell *happening*; from any thread, with any lock held."""
        if not self._watchers:
            return
        if len(self._arrived) >= CAPACITY:
            self._overflow += 1
            return
        self._arrived.append(happening)
        if not self._rung:
            self._rung = True
            self._loop.call_soon_threadsafe(self._spread)

    def _pool_event(self, event: PoolEvent, four_tuple: FourTuple | None) -> None:
        self.put(Happening(time(), event.name.lower(), four_tuple))

    def _spread(self) -> None:
        self._rung = False
        overflow, self._overflow = self._overflow, 0
        for _ in range(len(self._arrived)):
            happening = self._arrived.popleft()
            for watcher in self._watchers:
                self.missed += watcher.tell(happening)
        if overflow:
            self.missed += overflow
            for watcher in self._watchers:
                watcher.miss(overflow)
