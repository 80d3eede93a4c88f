"""The outcomes of a whole `xsocket run`, counted: what its exit status is, and all of it as plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from xsocket_tools.scenarios.errors import BROKEN_STATUS, UNSUPPORTED_STATUS, ScriptSyntaxError
from xsocket_tools.scenarios.outcome import Outcome, Status
from xsocket_tools.scenarios.plan import Job

BAD: Final = (Status.FAILED, Status.XPASSED, Status.ERROR)
"""What a run may end with that is a failure."""

_KEYS: Final = {
    "passed": Status.PASSED,
    "failed": Status.FAILED,
    "xfailed": Status.XFAILED,
    "xpassed": Status.XPASSED,
    "skipped": Status.SKIPPED,
    "unsupported": Status.UNSUPPORTED,
    "errors": Status.ERROR,
}


@dataclass(slots=True)
class Results:
    """What became of all runs, in the order of the plan.

    Attributes:
        planned: How many runs there were to be.
        broken: Files that are no scripts, and why.
        runs: Those that were done.
        seconds: How long all of it took, of real time.
    """

    planned: int
    broken: Mapping[Path, ScriptSyntaxError]
    runs: list[tuple[Job, Outcome]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """Of the runs that were done."""
        return [outcome for _, outcome in self.runs]

    @property
    def exit_status(self) -> int:
        """The worst of it: 1 for a failure, 3 for a script that cannot be read, 4 for an unsupported one."""
        counts = self.counts
        if any(counts[status] for status in BAD):
            return 1
        if self.broken:
            return BROKEN_STATUS
        return UNSUPPORTED_STATUS if counts[Status.UNSUPPORTED] else 0

    @property
    def counts(self) -> Counter[Status]:
        """How many runs ended how."""
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def scripts(self) -> int:
        """How many scripts were run."""
        return len({outcome.script.name for outcome in self.outcomes})

    @property
    def reruns(self) -> int:
        """How often a run was done again because the machine had been too slow for its times."""
        return sum(outcome.runs - 1 for outcome in self.outcomes)

    def in_words(self) -> str:
        """Return the counts in one line, what is zero left out."""
        counts = self.counts
        parts = [f"{counts[status]} {name}" for name, status in _KEYS.items() if counts[status]]
        if self.broken:
            parts.append(f"{len(self.broken)} unreadable")
        if self.planned > len(self.runs):
            parts.append(f"{self.planned - len(self.runs)} not run")
        again = f" ({_counted(self.reruns, 'rerun')})" if self.reruns else ""
        runs = f"{_counted(len(self.runs), 'run')} of {_counted(self.scripts, 'script')}"
        return f"{runs} in {self.seconds:.2f} s{again}: {', '.join(parts) or 'nothing to run'}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold."""
        counts = self.counts
        return {
            "scripts": self.scripts,
            "runs": len(self.runs),
            **{name: counts[status] for name, status in _KEYS.items()},
            "not_run": self.planned - len(self.runs),
            "seconds": round(self.seconds, 6),
            "median_s": self._medians(),
            "reruns": self.reruns,
            "unreadable": [
                {"script": str(path), "line": error.line, "column": error.column, "message": error.message}
                for path, error in self.broken.items()
            ],
            "outcomes": [_as_dict(job, outcome) for job, outcome in self.runs],
        }

    def _medians(self) -> dict[str, float]:
        """Return for each target how long a run takes that was not skipped, seconds of real time."""
        idle = (Status.SKIPPED, Status.UNSUPPORTED)
        durations: dict[str, list[float]] = {}
        for outcome in self.outcomes:
            if outcome.status not in idle:
                durations.setdefault(outcome.target, []).append(outcome.duration_s)
        return {target: round(median(each), 6) for target, each in durations.items()}


def _as_dict(job: Job, outcome: Outcome) -> dict[str, Any]:
    plain = outcome.as_dict()
    if job.number:
        plain["repetition"] = job.number
    if job.capture is not None and job.capture.exists():
        plain["capture"] = str(job.capture)
    return plain


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
