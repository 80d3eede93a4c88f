"""A case is played again, on several targets, and what they do is compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from xsocket_tools.fuzzing.case import Case, CaseError, from_dict, letters_of
from xsocket_tools.fuzzing.directory import text_of
from xsocket_tools.fuzzing.findings import Finding
from xsocket_tools.fuzzing.fitting import fits
from xsocket_tools.fuzzing.oracle.shadow import Violation
from xsocket_tools.fuzzing.playing import Played, Step, play
from xsocket_tools.fuzzing.shard import MANY_CASES, MOST_REPLAYS
from xsocket_tools.fuzzing.target import StalledError, Target

_OF_THE_CASE: Final = frozenset({"version", "case", "first", "times", "target"})


class Read(NamedTuple):
    """A case, and what its file says of it.

    Attributes:
        path: The file.
        case: What it holds.
        takes_many: Whether it is a finding that no single case can show.
    """

    path: Path
    case: Case
    takes_many: bool = False


class Verdict(NamedTuple):
    """What became of a case on one target.

    Attributes:
        target: Its name.
        played: What it did.
        left_out: What of the case it cannot play; empty for nothing.
    """

    target: str
    played: Played
    left_out: str = ""

    @property
    def violation(self) -> Violation | None:
        """What was wrong; None for nothing."""
        return self.played.violation

    @property
    def name(self) -> str:
        """The verdict in a word."""
        if self.violation is not None:
            return "violation"
        return "allowed" if self.played.allowed else "none"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        violation = None
        if self.violation is not None:
            plain = Finding(self.played.case, self.violation, self.target, 0).as_dict()
            violation = {name: value for name, value in plain.items() if name not in _OF_THE_CASE}
        return {
            "target": self.target,
            "verdict": self.name,
            "violation": violation,
            "allowed": list(self.played.allowed),
            "left_out": self.left_out or None,
        }

    @property
    def text(self) -> str:
        """The verdict in words."""
        if self.violation is not None:
            return f"{self.violation.rule} (operation {self.violation.at + 1})"
        return f"allowed: {', '.join(self.played.allowed)}" if self.played.allowed else "no violation"


class Replayed:
    """A case that is played on several targets.

    Args:
        read: It.

    Attributes:
        verdicts: Of each target, in the order in which they were asked.
    """

    def __init__(self, read: Read) -> None:
        self.read = read
        self.verdicts: list[Verdict] = []

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        other = difference(self.verdicts)
        return {
            "file": str(self.read.path),
            "agree": not other,
            "difference": other or None,
            "targets": [verdict.as_dict() for verdict in self.verdicts],
        }


def read_file(path: Path) -> Read:
    """Return the case that the file *path* holds, by itself or in a finding.

    Raises:
        CaseError: It holds none.
    """
    try:
        plain = _json_of(path)
        if isinstance(plain, dict) and "case" in plain:
            return Read(path, from_dict(plain["case"]), plain.get("stimulus") == MANY_CASES)
        return Read(path, from_dict(plain))
    except CaseError as error:
        raise CaseError(f"{path}: {error.message}") from error


def _json_of(path: Path) -> Any:  # noqa: ANN401
    try:
        return json.loads(text_of(path))
    except ValueError as error:
        raise CaseError(f"no JSON: {error}") from None
    except RecursionError:
        raise CaseError("no case: nested too deeply") from None


def judged(case: Case, target: Target) -> Verdict:
    """Play *case* on *target*, as far as that can play it.

    Raises:
        StalledError: It did not answer, again and again.
    """
    fitting = fits(case, target)
    left_out = _left_out(case, fitting)
    for _ in range(MOST_REPLAYS - 1):
        try:
            return Verdict(target.name, play(fitting, target, with_steps=True), left_out)
        except StalledError:
            continue
    return Verdict(target.name, play(fitting, target, with_steps=True), left_out)


def _left_out(case: Case, fitting: Case) -> str:
    parts = [f"the rule {name}" for name, value in case.rules if (name, value) not in fitting.rules]
    if fitting.operations != case.operations:
        parts.append("time that passes, or that segments arrive together")
    return ", ".join(parts)


def agree(verdicts: Sequence[Verdict]) -> bool:
    """Return whether all *verdicts* are the same."""
    return len({_essence(verdict) for verdict in verdicts}) == 1


def difference(verdicts: Sequence[Verdict]) -> str:
    """Return in what *verdicts* differ; empty for nothing."""
    if agree(verdicts):
        return ""
    return "; ".join([f"{verdict.target}: {verdict.text}" for verdict in verdicts] + other_answers(verdicts))


def other_answers(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a sentence for each target that answers an operation otherwise than the first does."""
    first, *others = verdicts
    return [sentence for other in others for sentence in _first_other_answer(first, other)]


def _essence(verdict: Verdict) -> object:
    violation = verdict.violation
    return (violation and violation.signature, frozenset(verdict.played.allowed))


def _first_other_answer(one: Verdict, other: Verdict) -> list[str]:
    """Return a sentence about the first operation that two targets answer differently."""
    for at, (here, there) in enumerate(zip(one.played.steps, other.played.steps, strict=False), start=1):
        if _answer(here) != _answer(there):
            answers = f"{one.target} {_answer(here)}, {other.target} {_answer(there)}"
            return [f"the first other answer is to operation {at}: {answers}"]
    return []


def _answer(step: Step) -> str:
    """Return what a target did, without numbers that differ by chance."""
    parts = []
    if step.answer is not None and step.answer.error:
        parts.append(step.answer.error)
    for each in step.sent:
        text = f" with {len(each.segment.payload)} octets" if each.segment.payload else ""
        parts.append(f"sends {letters_of(each.segment.flags)}{text}")
    return " and ".join(parts) or "is silent"
