"""`AcceptQueues`: what waits at the listeners of Linux: one for each IP version, and one limit for each."""

from __future__ import annotations


class AcceptQueues:
    """The queues, oldest first. A connection that has been reset waits on, until somebody takes it.

    Args:
        limit: How many may wait at a listener.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._places: dict[int, list[int]] = {4: [], 6: []}
        self._last = 0

    def add(self, version: int) -> int:
        """Let one more wait, and return its place; each is greater than all before."""
        self._last += 1
        self._places[version].append(self._last)
        return self._last

    def is_full(self, version: int) -> bool:
        """Whether no more may wait."""
        return len(self._places[version]) >= self.limit

    def holds(self, version: int, place: int) -> bool:
        """Whether what has *place* is still to be accepted."""
        return place in self._places[version]

    def take(self, version: int, place: int) -> None:
        """Take what has *place*, and whatever waits before it; all, where it does not wait at all (0).

        What has been taken along with another before is in hand already, and is no longer here.
        """
        places = self._places[version]
        if not place:
            places.clear()
        elif place in places:
            del places[: places.index(place) + 1]

    def take_oldest(self, place: int) -> None:
        """Take what has *place*, the oldest that is alive, and what waits before it; all for 0."""
        for places in self._places.values():
            places[:] = [each for each in places if place and each > place]
