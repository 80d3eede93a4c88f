"""A whole comparison as one object of plain values, for JSON and for the report. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, Final, NamedTuple

from xsocket_tools.compare.designs import Design
from xsocket_tools.compare.measurement import Figures
from xsocket_tools.compare.parameters import Parameters
from xsocket_tools.compare.situations import Situation
from xsocket_tools.compare.trial import Trial
from xsocket_tools.compare.verdicts import Verdict, remarks, verdicts

VERSION: Final = 1
"""Of the object: another one when a name or a meaning changes, not when something is added."""

POOL_COUNTERS: Final = ("claim", "sent", "acknowledged", "returned", "reset", "late", "cpu_us")
"""Those of the pool that tell what became of connections on their way to workers, and what that took."""


class Machine(NamedTuple):
    """Where it was measured.

    Attributes:
        kernel: Release of Linux.
        cpus: How many this process may use.
        python: Version.
        xsocket: Version.
    """

    kernel: str
    cpus: int
    python: str
    xsocket: str


class Result(NamedTuple):
    """A whole comparison.

    Attributes:
        machine: Where.
        parameters: With what.
        trials: In the order in which they ran.
        notes: What was left out, and why.
    """

    machine: Machine
    parameters: Parameters
    trials: Sequence[Trial]
    notes: Sequence[str] = ()

    @property
    def figures(self) -> dict[tuple[Design, Situation], Figures]:
        """What each trial came to."""
        return {(trial.design, trial.situation): trial.figures for trial in self.trials}

    @property
    def verdicts(self) -> list[Verdict]:
        """What was expected, and what came of it."""
        return verdicts(self.figures)

    @property
    def remarks(self) -> list[str]:
        """What else there is to say."""
        return [
            *remarks(self.figures),
            *map(_repetition, filter(_was_repeated, self.trials)),
            *map(_given_on, filter(_has_given_on, self.trials)),
            *map(_cost, filter(_has_cost, self.trials)),
            *self.notes,
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold; what is infinite is None."""
        return {
            "version": VERSION,
            "machine": self.machine._asdict(),
            "parameters": self.parameters._asdict(),
            "trials": [
                {
                    "design": trial.design.value,
                    "situation": trial.situation.value,
                    "runs": trial.runs,
                    **_plain(trial.figures),
                    "pool": {name: trial.pool[name] for name in POOL_COUNTERS if trial.pool} or None,
                }
                for trial in self.trials
            ],
            "verdicts": [_plain(verdict) for verdict in self.verdicts],
            "remarks": self.remarks,
        }


def _was_repeated(trial: Trial) -> bool:
    return trial.runs > 1


def _repetition(trial: Trial) -> str:
    return f"{trial.design.title}, {trial.situation.title}: run {trial.runs} times, for the clients were late"


def _has_given_on(trial: Trial) -> bool:
    return trial.pool.get("returned", 0) > 0


def _given_on(trial: Trial) -> str:
    """Say what a worker was sent that had asked for a connection, and could not take it any more."""
    returned = trial.pool["returned"]
    what = f"{returned} sent to a worker that did not acknowledge, taken back, and given to another"
    return f"{trial.design.title}, {trial.situation.title}: {what}"


def _has_cost(trial: Trial) -> bool:
    return trial.situation is Situation.EVEN and trial.pool.get("acknowledged", 0) > 0


def _cost(trial: Trial) -> str:
    """Say what a connection takes the engine, from SYN to a worker that has it."""
    each_us = trial.pool["cpu_us"] / trial.pool["acknowledged"]
    return f"{trial.design.title}: the engine takes {each_us:.0f} us of processor time for each connection"


def _plain(values: Any) -> dict[str, Any]:  # noqa: ANN401  # any NamedTuple
    """Return a named tuple, and those in it, as dictionaries."""
    return {name: _plain_value(value) for name, value in values._asdict().items()}


def _plain_value(value: object) -> object:
    if hasattr(value, "_asdict"):
        return _plain(value)
    return None if value == inf else value
