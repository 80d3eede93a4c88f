"""Trying mutants with cases of the fuzzer: each must be found by several seeds, whatever they begin with."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Final, NamedTuple

from xsocket_tools.fuzzing.findings import Finding, finding_of
from xsocket_tools.fuzzing.opening import opened
from xsocket_tools.fuzzing.playing import play
from xsocket_tools.mutants.mutant import Mutant, MutantError
from xsocket_tools.mutants.running import planted, told_by, tried

SEEDS: Final = (1, 2, 3)
LIMIT_S: Final = 60.0
GRACE_S: Final = 20.0
"""How much longer than its limit a trial may take to end: to begin, and for the last case."""
_TRIAL: Final = "xsocket_tools.mutants.fuzz_trial"


class Verdict(NamedTuple):
    """What became of a mutant with one seed.

    Attributes:
        seed: Which.
        how: ``violation`` if an oracle has told it; ``hang`` or ``crash`` if it stopped the engine; empty if
            it was not found.
        cases: How many it took, or how many there were.
        finding: What the oracle says; None where there is no such thing.
        reason: Why there is none, if the mutant was found nevertheless.
        seconds: How long it took.
    """

    seed: int
    how: str
    cases: int
    finding: Finding | None = None
    reason: str = ""
    seconds: float = 0.0

    @property
    def section(self) -> str:
        """The section of the rule that told, or what else did."""
        return self.finding.violation.rule.where if self.finding is not None else self.reason

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        violation = self.finding.violation if self.finding is not None else None
        return {
            "seed": self.seed,
            "killed": self.how or None,
            "cases": self.cases,
            "rule": str(violation.rule) if violation is not None else None,
            "got": violation.got if violation is not None else self.reason or None,
            "seconds": round(self.seconds, 2),
        }


class Result(NamedTuple):
    """A mutant, and what became of it with each seed."""

    mutant: Mutant
    verdicts: tuple[Verdict, ...]

    @property
    def survived(self) -> bool:
        """Whether a seed did not find it."""
        return not all(verdict.how for verdict in self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        mutant = self.mutant
        return {
            "name": mutant.name,
            "file": mutant.file,
            "rule": mutant.rule,
            "what": mutant.what,
            "killed": not self.survived,
            "seeds": [verdict.as_dict() for verdict in self.verdicts],
        }


def results(
    mutants: Sequence[Mutant],
    seeds: Sequence[int],
    *,
    limit_s: float,
    workers: int = 1,
    like_linux: bool = False,
) -> Generator[tuple[int, Result]]:
    """Try every mutant with every seed; yield the place of each in the list with its result, as they end.

    Args:
        mutants: What to try.
        seeds: Of the cases to try them with.
        limit_s: For how long with each seed, seconds.
        workers: How many at once.
        like_linux: Whether they may do what Linux is allowed to do otherwise.

    Raises:
        MutantError: A mutant cannot be put into the engine, the engine cannot be imported with it, or a case
            that is to have killed one finds something in the engine without a bug.
    """

    def attempted(mutant: Mutant, stopped: Event) -> Result:
        return attempt(mutant, seeds, limit_s=limit_s, stopped=stopped, like_linux=like_linux)

    return tried(mutants, attempted, workers)


def attempt(
    mutant: Mutant,
    seeds: Sequence[int],
    *,
    limit_s: float,
    stopped: Event | None = None,
    like_linux: bool = False,
) -> Result:
    """Try one mutant, with the seeds up to when it is *stopped*; see `results`."""
    verdicts = []
    with planted(mutant) as place:
        for seed in seeds:
            if stopped is not None and stopped.is_set():
                break
            verdicts.append(_try(place, mutant.name, seed, limit_s, like_linux))
    for verdict in verdicts:
        _check_that_the_bug_was_told(mutant, verdict)
    return Result(mutant, tuple(verdicts))


def _try(place: Path, name: str, seed: int, limit_s: float, like_linux: bool) -> Verdict:
    began = time.perf_counter()
    told = told_by(place, _TRIAL, str(seed), json.dumps([limit_s, like_linux]).encode(), limit_s + GRACE_S)
    seconds = time.perf_counter() - began
    if not told.lines:
        raise MutantError(f"{name} cannot be tried: {told.reason or 'nothing ran'}")
    last = told.lines[-1]
    if "how" in last:
        finding = finding_of(last["finding"]) if "finding" in last else None
        return Verdict(seed, last["how"], last["cases"], finding, "", seconds)
    if told.in_time:
        return Verdict(seed, "crash", last["cases"], None, told.reason, seconds)
    return Verdict(seed, "hang", last["cases"], None, f"it had not ended after {seconds:.0f} s", seconds)


def _check_that_the_bug_was_told(mutant: Mutant, verdict: Verdict) -> None:
    """Raise if the case that killed a mutant finds something in the engine that has no bug."""
    if verdict.finding is None:
        return
    with opened("engine") as engine:
        violation = play(verdict.finding.case, engine).violation
    if violation is not None:
        raise MutantError(
            f"the engine without a bug breaks a rule in the case that killed {mutant.name} with seed "
            f"{verdict.seed}: {violation.rule}",
            remedy=f"See `xsocket fuzz --seed {verdict.seed}`: where it finds nothing, it can tell mutants.",
        )
