"""Findings: what was wrong, in the smallest case that shows it, and how many cases did."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterable
from hashlib import blake2s
from pathlib import Path
from typing import Any, Final, NamedTuple

from xsocket.state import State
from xsocket_tools.fuzzing.case import Case, CaseError, as_dict, from_dict
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.rules import Rule
from xsocket_tools.fuzzing.oracle.shadow import Violation

VERSION: Final = 1
Signature = tuple[str, str, str]


class Finding(NamedTuple):
    """What cases of one signature have in common.

    Attributes:
        case: The smallest of them.
        violation: What it shows, on *target*.
        target: Which.
        number: The number of the first case of the campaign that showed it.
        times: How many did.
    """

    case: Case
    violation: Violation
    target: str
    number: int
    times: int = 1

    @property
    def signature(self) -> Signature:
        """See `Violation.signature`."""
        return self.violation.signature

    @property
    def slug(self) -> str:
        """A name for files: the rule, the state, and enough of a digest to tell two of them apart."""
        where, state, _ = self.signature
        digest = blake2s("|".join(self.signature).encode(), digest_size=3).hexdigest()
        words = re.sub(r"[^a-z0-9.]+", "-", f"{where} {state}".lower()).strip("-")
        return f"{words}-{digest}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        violation = self.violation
        return {
            "version": VERSION,
            "rule": violation.rule.where,
            "text": violation.rule.text,
            "state": violation.state.value if violation.state else None,
            "peer": violation.peer,
            "operation": violation.at,
            "stimulus": violation.stimulus,
            "expected": violation.expected,
            "got": violation.got,
            "target": self.target,
            "first": self.number,
            "times": self.times,
            "case": as_dict(self.case),
        }


def finding_of(plain: Any) -> Finding:  # noqa: ANN401
    """Return the finding that plain values describe.

    Raises:
        CaseError: They describe none.
    """
    try:
        if plain["version"] != VERSION:
            raise CaseError(f"the finding has version {plain['version']!r}, and this is for {VERSION}")
        state = State(plain["state"]) if plain["state"] else None
        rule = _rule(plain["rule"], plain["text"])
        violation = Violation(
            rule,
            plain["operation"],
            plain["peer"],
            state,
            plain["stimulus"],
            plain["expected"],
            plain["got"],
        )
        first, times = operator.index(plain["first"]), operator.index(plain["times"])
        return Finding(from_dict(plain["case"]), violation, plain["target"], first, times)
    except (KeyError, TypeError, ValueError) as error:
        raise CaseError(f"no finding: {error!r}") from None


def _rule(where: str, text: str) -> Rule:
    if not isinstance(where, str) or not isinstance(text, str):
        raise TypeError("a rule is text")
    return next((rule for rule in rules.ALL if (rule.where, rule.text) == (where, text)), Rule(where, text))


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Return one finding for each signature: the smallest case, the first number, and all counts together.

    Whatever order they come in, the result is the same.
    """
    found: dict[Signature, Finding] = {}
    for each in findings:
        other = found.get(each.signature)
        if other is None:
            found[each.signature] = each
            continue
        best = min(other, each, key=_rank)
        found[each.signature] = best._replace(
            times=other.times + each.times, number=min(other.number, each.number)
        )
    return sorted(found.values(), key=lambda each: (each.signature, each.target))


def _rank(finding: Finding) -> tuple[object, ...]:
    violation = finding.violation
    return (size_of(finding.case), violation.at, violation.expected, violation.got, finding.target)


def size_of(case: Case) -> tuple[int, int, str]:
    """Return what orders cases by size: operations, then what it takes to write them; no two are equal."""
    text = json.dumps(as_dict(case), sort_keys=True)
    return (len(case.operations), len(text), text)


def write(findings: Iterable[Finding], directory: Path) -> list[Path]:
    """Write each finding into a file of its own in *directory*; return the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for each in findings:
        path = directory / f"{each.slug}.json"
        path.write_text(json.dumps(each.as_dict(), indent=1) + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def read_all(directory: Path) -> list[Finding]:
    """Return the findings in *directory*.

    Raises:
        CaseError: A file holds none.
    """
    found = []
    for path in sorted(directory.glob("*.json")):
        try:
            found.append(finding_of(json.loads(path.read_text(encoding="utf-8"))))
        except CaseError as error:
            raise CaseError(f"{path}: {error.message}") from None
        except (ValueError, RecursionError) as error:
            raise CaseError(f"{path}: {error}") from None
    return found
