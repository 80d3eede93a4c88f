"""What a middlebox remembers of connections: bounded, and each entry only for as long as it is used."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import Generic, TypeVar

from xsocket_tools.path.errors import BadElementError

K = TypeVar("K")
V = TypeVar("V")

LIMIT = 4096
"""Entries of a table that was given no other limit."""


class WhenFull(Enum):
    """What becomes of a new entry when there is no room for it."""

    REFUSE = "refuse"  # it is not made
    EVICT = "evict"  # it takes the place of the one that has been idle for longest


class Table(Generic[K, V]):
    """Entries in the order of their last use.

    Args:
        limit: How many there may be.
        idle_s: For how many seconds one stays without being used.
        when_full: What becomes of a new one when there are so many.
        lost: Called with the key and the value of each entry that expired or was evicted.

    Raises:
        BadElementError: The limit or the time is not positive.
    """

    def __init__(
        self,
        limit: int = LIMIT,
        idle_s: float = inf,
        when_full: WhenFull = WhenFull.REFUSE,
        lost: Callable[[K, V], object] = lambda _key, _value: None,
    ) -> None:
        if limit < 1 or not idle_s > 0:
            raise BadElementError(f"a table of {limit} entries that are kept for {idle_s} s is none")
        self._limit, self._idle_s, self._when_full, self._lost = limit, idle_s, when_full, lost
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._expired = self._evicted = self._refused = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, now: float, key: K) -> V | None:
        """Return the value of *key*, which counts as used, or None."""
        self.expire(now)
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries[key] = (now, found[1])
        self._entries.move_to_end(key)
        return found[1]

    def put(self, now: float, key: K, value: V) -> bool:
        """Remember *value* as that of *key*; return whether there was room."""
        self.expire(now)
        if key not in self._entries and len(self._entries) >= self._limit:
            if self._when_full is WhenFull.REFUSE:
                self._refused += 1
                return False
            self._evicted += 1
            self._forget_oldest()
        self._entries[key] = (now, value)
        self._entries.move_to_end(key)
        return True

    def discard(self, key: K) -> None:
        """Forget *key*, if it is there."""
        self._entries.pop(key, None)

    def expire(self, now: float) -> None:
        """Forget what has not been used for too long."""
        while self._entries and next(iter(self._entries.values()))[0] + self._idle_s <= now:
            self._expired += 1
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        key, (_, value) = self._entries.popitem(last=False)
        self._lost(key, value)

    def counts(self) -> dict[str, int]:
        """Return how many entries there are, and how many expired, were evicted and were refused so far."""
        return {
            "entries": len(self._entries),
            "expired": self._expired,
            "evicted": self._evicted,
            "refused": self._refused,
        }
