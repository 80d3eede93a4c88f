"""A shard: a range of a seed's cases, played on one target. What comes out depends on nothing else.

In a process of its own it reads a shard from standard input and writes its result to standard output, both as
JSON: that is how local jobs and workers of a cluster run it.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Final, NamedTuple

from xsocket_tools.fuzzing.case import Case, as_dict, from_dict
from xsocket_tools.fuzzing.coverage import Triple
from xsocket_tools.fuzzing.findings import Finding, Signature, merged
from xsocket_tools.fuzzing.fitting import fits
from xsocket_tools.fuzzing.generation import Generator
from xsocket_tools.fuzzing.mutation import mutated
from xsocket_tools.fuzzing.opening import opened
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.isns import ISN_PER_SECOND, STAMPS_PER_SECOND, Start, StartStatistics
from xsocket_tools.fuzzing.oracle.shadow import Violation
from xsocket_tools.fuzzing.playing import Played, play
from xsocket_tools.fuzzing.results import Result
from xsocket_tools.fuzzing.shrinking import shrunk
from xsocket_tools.fuzzing.stopping import stopped_by_signals
from xsocket_tools.fuzzing.target import StalledError, Target
from xsocket_tools.fuzzing.watch import time_limit

UNAVAILABLE: Final = 3
"""The exit status of a process whose target cannot be had."""
MUTATED: Final = 0.2
"""Which share of the cases are variations of such that showed something new."""
MANY_CASES: Final = "many cases"
"""The stimulus of what no single case can show."""
MOST_REPLAYS: Final = 5
CASE_LIMIT_S: Final = 10.0
"""How long a case may take in virtual time, by the clock on the wall; most take a millisecond."""
MOST_CORPUS: Final = 2_000
"""How many cases are kept for what they were first to show."""


class Shard(NamedTuple):
    """What to play.

    Attributes:
        seed: Of the cases.
        first: The number of the first.
        cases: How many.
        target: On what, as ``--on`` has it.
        deadline: When to stop, whatever is left, seconds of Unix time; None for never.
        corpus: Cases of earlier campaigns, to be varied.
        known: The signatures of findings that are small already; their cases are but counted.
        shrink: Whether to make findings small.
        until_found: Whether to stop at the first finding.
        command: What starts a stack of somebody else's, for the target ``foreign``.
    """

    seed: int
    first: int
    cases: int
    target: str = "engine"
    deadline: float | None = None
    corpus: tuple[Case, ...] = ()
    known: frozenset[Signature] = frozenset()
    shrink: bool = True
    until_found: bool = False
    command: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        corpus = [as_dict(case) for case in self.corpus]
        return {**self._asdict(), "corpus": corpus, "known": sorted(self.known)}


def shard_of(plain: dict[str, Any]) -> Shard:
    """Return the shard that plain values describe."""
    corpus = tuple(from_dict(case) for case in plain["corpus"])
    known = frozenset(tuple(signature) for signature in plain["known"])
    return Shard(**{**plain, "corpus": corpus, "known": known})


def run(shard: Shard, target: Target, progress: Callable[[Result], object] | None = None) -> Result:
    """Play *shard* on *target*, which stays open.

    Args:
        shard: What to play.
        target: What to play it on.
        progress: Told about every quarter of a second how far it is.
    """
    runner = Runner(shard, target)
    runner.run(progress)
    return runner.result


class Runner:
    """Plays a shard, and has what came of it so far, however it ends.

    Args:
        shard: What to play.
        target: What to play it on; it stays open.
        stop: Asked before each case whether to end early; None for never.
    """

    def __init__(self, shard: Shard, target: Target, stop: Callable[[], bool] | None = None) -> None:
        self._shard, self._target, self._stop = shard, target, stop
        self._generator = Generator(shard.seed)
        self._corpus: list[Case] = list(shard.corpus)
        self._coverage: dict[Triple, Case] = {}
        self._rules: Counter[tuple[str, str]] = Counter()
        self._allowed: Counter[str] = Counter()
        self._findings: dict[Signature, Finding] = {}
        self._isns, self._stamps = StartStatistics(ISN_PER_SECOND), StartStatistics(STAMPS_PER_SECOND)
        self._cases = self._operations = self._stalled = self._unsteady = 0
        self._began = time.perf_counter()

    def run(self, progress: Callable[[Result], object] | None = None) -> None:
        """Play it to its end; see `run`."""
        shard, tell_at = self._shard, self._began
        for number in range(shard.first, shard.first + shard.cases):
            if self._is_over() or (shard.until_found and self._findings):
                break
            self._one(number)
            if progress is not None and time.perf_counter() >= tell_at:
                tell_at = time.perf_counter() + 0.25
                progress(self.result)

    @property
    def result(self) -> Result:
        """What came of it so far."""
        return Result(
            self._cases,
            self._operations,
            self._stalled,
            tuple(merged(self._findings.values())),
            self._coverage.copy(),
            self._rules.copy(),
            self._allowed.copy(),
            time.perf_counter() - self._began,
            self._unsteady,
        )

    def _is_over(self) -> bool:
        deadline = self._shard.deadline
        return (deadline is not None and time.time() >= deadline) or (self._stop is not None and self._stop())

    def _one(self, number: int) -> None:
        played = self._play(self._case(number))
        if played is None:
            self._stalled += 1
            return
        self._cases += 1
        self._operations += len(played.case.operations)
        for rule, count in played.rules.items():
            self._rules[rule.where, rule.text] += count
        self._allowed.update(played.allowed)
        self._cover(played)
        violation = played.violation or self._predictable(number, played)
        if violation is not None and self._is_steady(played.case, violation):
            self._note(number, played.case, violation)

    def _is_steady(self, case: Case, violation: Violation) -> bool:
        """Whether it is wrong again: in real time, what is wrong once may be the clock's doing."""
        if self._target.is_virtual or self._finds(case, violation.signature):
            return True
        self._unsteady += not self._is_over()
        return False

    def _cover(self, played: Played) -> None:
        case, covered, is_new = played.case, self._coverage, False
        for triple in played.coverage:
            known = covered.get(triple)
            is_new = is_new or known is None
            if known is None or len(case.operations) < len(known.operations):
                covered[triple] = case
        if is_new and len(self._corpus) < MOST_CORPUS:
            self._corpus.append(case)

    def _case(self, number: int) -> Case:
        """Return case *number*: a new one, or a variation of one that showed something new."""
        random = Random((self._shard.seed << 41) + number)
        if self._corpus and random.random() < MUTATED:
            return mutated(random, self._corpus, self._generator.case(number))
        return self._generator.case(number)

    def _play(self, case: Case) -> Played | None:
        case = fits(case, self._target)
        for _ in range(MOST_REPLAYS):
            try:
                with time_limit(CASE_LIMIT_S if self._target.is_virtual else None):
                    return play(case, self._target)
            except StalledError:
                continue
        return None

    def _predictable(self, number: int, played: Played) -> Violation | None:
        if not self._target.is_virtual:
            return None
        at = len(played.case.operations) - 1
        for rule, statistics, starts in (
            (rules.ISN, self._isns, played.isns),
            (rules.STAMP_ISN, self._stamps, played.stamps),
        ):
            wrong = statistics.add(Start(number, *each) for each in starts)
            if wrong:
                return Violation(rule, at, None, None, MANY_CASES, "numbers that nobody can tell", wrong)
        return None

    def _note(self, number: int, case: Case, violation: Violation) -> None:
        signature = violation.signature
        known = self._findings.get(signature)
        if known is not None:
            self._findings[signature] = known._replace(times=known.times + 1)
            return
        self._findings[signature] = Finding(case, violation, self._target.name, number)
        if self._shard.shrink and signature not in self._shard.known and violation.stimulus != MANY_CASES:
            case = shrunk(case, lambda smaller: self._finds(smaller, signature))
            again = self._play(case)
            if again is not None and again.violation is not None and again.violation.signature == signature:
                self._findings[signature] = Finding(again.case, again.violation, self._target.name, number)

    def _finds(self, case: Case, signature: Signature) -> bool:
        if self._is_over():
            return False
        played = self._play(case)
        return played is not None and played.violation is not None and played.violation.signature == signature


def main() -> int:
    """Do what the module says; SIGTERM ends it early, with what there is.

    Returns:
        The exit status: that of the error, which is then on standard output in the result's place, or 0.
    """
    shard = shard_of(json.load(sys.stdin))
    try:
        with stopped_by_signals() as stop, opened(shard.target, shard.command) as target:
            runner = Runner(shard, target, stop)
            runner.run()
    except Exception as error:
        if not hasattr(error, "remedy"):
            raise
        json.dump({"error": getattr(error, "message", str(error)), "remedy": error.remedy}, sys.stdout)
        return UNAVAILABLE
    json.dump(runner.result.as_dict(), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
