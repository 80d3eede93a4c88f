"""A campaign: the cases of a seed from 0 on, cut into shards, whoever plays them and in whatever order.

What a shard builds on, beside the seed, is what certain shards before it have shown. Which ones follows from
its place alone, so that with a number of cases the outcome is the same on one worker and on many.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from xsocket_tools.fuzzing.case import Case
from xsocket_tools.fuzzing.findings import Signature
from xsocket_tools.fuzzing.results import Coverage, Result, covered_by, together
from xsocket_tools.fuzzing.shard import Runner, Shard
from xsocket_tools.fuzzing.target import Target

SHARD_CASES: Final = 2_000
"""How many cases a shard has: a few seconds of the engine in this process."""
MOST_AHEAD: Final = 64
"""How many shards can be under way at once, and so on how many processors a campaign is quicker."""

Range = tuple[int, int]
"""Numbers of cases: the first, and the one after the last."""
Tell = Callable[[Result], object]


class Plan(NamedTuple):
    """What a campaign is of; it stays so when it is resumed.

    Attributes:
        seed: Of the cases.
        target: On what, as ``--on`` has it.
        command: What starts it, for the target ``foreign``.
        shard_cases: How many cases a shard has.
    """

    seed: int = 1
    target: str = "engine"
    command: str = ""
    shard_cases: int = SHARD_CASES


class Record(NamedTuple):
    """How far a campaign is.

    Attributes:
        plan: Of what it is.
        done: Which cases were played, in order.
        total: What came of them; its ``seconds`` are those of the campaign, on the clock on the wall.
        extra: Cases that somebody has added to the corpus.
    """

    plan: Plan
    done: tuple[Range, ...] = ()
    total: Result = Result()
    extra: tuple[Case, ...] = ()


class Campaign:
    """Hands out shards, and takes in what came of them.

    Args:
        before: How far it is already.
        cases: How many more to play at most; None for any number.
        deadline: When to stop, seconds of Unix time; None for never.
    """

    def __init__(self, before: Record, cases: int | None = None, deadline: float | None = None) -> None:
        self._before = before
        self._began = time.monotonic()
        self._deadline = deadline
        self._pieces = _pieces(before.done, before.plan.shard_cases, sys.maxsize if cases is None else cases)
        self._piece = next(self._pieces, None)
        self._places: dict[int, int] = {}
        self._handed_out = 0
        self._done, self._total = before.done, before.total
        self._shown: dict[int, tuple[Coverage, frozenset[Signature]]] = {}
        self._built_on = 0
        self._coverage = before.total.coverage
        self._known = frozenset(finding.signature for finding in before.total.findings)

    @property
    def record(self) -> Record:
        """How far it is."""
        seconds = self._before.total.seconds + time.monotonic() - self._began
        return self._before._replace(done=self._done, total=self._total._replace(seconds=seconds))

    def next_shard(self) -> Shard | None:
        """Return what to play next; None if there is nothing, or if that builds on what is not done yet."""
        if self._piece is None or (self._deadline is not None and time.time() >= self._deadline):
            return None
        wanted = max(self._handed_out // 2, self._handed_out - MOST_AHEAD + 1)
        if any(place not in self._shown for place in range(self._built_on, wanted)):
            return None
        self._build_on(range(self._built_on, wanted))
        first, end = self._piece
        plan = self._before.plan
        shard = Shard(
            plan.seed,
            first,
            end - first,
            plan.target,
            self._deadline,
            (*Result(coverage=self._coverage).corpus, *self._before.extra),
            self._known,
            command=plan.command,
        )
        self._places[first] = self._handed_out
        self._handed_out += 1
        self._piece = next(self._pieces, None)
        return shard

    def _build_on(self, places: Iterable[int]) -> None:
        for place in places:
            coverage, signatures = self._shown.pop(place)
            self._coverage = covered_by((self._coverage, coverage))
            self._known |= signatures
            self._built_on = place + 1

    def take(self, shard: Shard, result: Result) -> None:
        """Take in what came of *shard*, to its end or up to where it was interrupted."""
        place = self._places.pop(shard.first)
        self._shown[place] = result.coverage, frozenset(each.signature for each in result.findings)
        done = _joined([*self._done, (shard.first, shard.first + result.cases + result.stalled)])
        self._done, self._total = done, together([self._total, result])


def play_here(campaign: Campaign, target: Target, tell: Tell, stop: Callable[[], bool]) -> None:
    """Play the shards of *campaign* in this process.

    Args:
        campaign: What to play.
        target: What to play it on.
        tell: Called again and again with what has come of the shard that is being played.
        stop: Says whether to end early.
    """
    while not stop() and (shard := campaign.next_shard()) is not None:
        runner = Runner(shard, target, stop)
        try:
            runner.run(tell)
        finally:
            campaign.take(shard, runner.result)


def _pieces(done: Iterable[Range], size: int, most: int) -> Iterator[Range]:
    """Yield what is not *done*, *most* cases in all, cut at the multiples of *size*."""
    at = 0
    for start, end in (*done, (sys.maxsize, sys.maxsize)):
        while at < start and most > 0:
            stop = min(start, (at // size + 1) * size, at + most)
            yield at, stop
            most -= stop - at
            at = stop
        at = end


def _joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    joined: list[Range] = []
    for start, end in sorted(ranges):
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        elif start < end:
            joined.append((start, end))
    return tuple(joined)
