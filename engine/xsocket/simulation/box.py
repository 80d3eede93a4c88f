"""What can be put between the two hosts of a simulated link, such as a middlebox, and how time drives it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import NamedTuple, Protocol

from xsocket.simulation.timeline import Timeline


class Leaving(NamedTuple):
    """A frame that leaves a box: whether on to the link's second host or to its first, and its octets."""

    to_second: bool
    frame: bytes


class Box(Protocol):
    """Something that frames pass between two hosts. It may keep, change, lose, answer or invent some.

    `xsocket_tools.path.Chain` makes one of the elements of a lab's path: see its `boxed`.
    """

    @property
    def deadline(self) -> float:
        """When it wants `wake` to be called next, virtual seconds; infinite for never."""
        ...

    def take(self, now: float, to_second: bool, frame: bytes) -> Iterable[Leaving]:
        """Return what leaves it when *frame* comes in."""
        ...

    def wake(self, now: float) -> Iterable[Leaving]:
        """Return what leaves it because *now* has come."""
        ...


class Driver:
    """Gives a box the frames and the time of a simulation.

    Args:
        timeline: The simulation's.
        box: What it drives.
        deliver: Takes what leaves the box, at its instant.
    """

    def __init__(self, timeline: Timeline, box: Box, deliver: Callable[[Leaving], None]) -> None:
        self._timeline, self._box, self._deliver = timeline, box, deliver
        self._woken_at = inf

    def take(self, to_second: bool, frame: bytes) -> None:
        """Put *frame* into the box, now."""
        self._let_go(self._box.take(self._timeline.now(), to_second, frame))

    def _wake(self) -> None:
        self._woken_at = inf
        now = self._timeline.now()
        self._let_go(self._box.wake(now) if self._box.deadline <= now else ())

    def _let_go(self, leaving: Iterable[Leaving]) -> None:
        for each in leaving:
            self._deliver(each)
        deadline = self._box.deadline
        if deadline < self._woken_at:
            self._woken_at = deadline
            self._timeline.at(max(deadline, self._timeline.now()), self._wake)
