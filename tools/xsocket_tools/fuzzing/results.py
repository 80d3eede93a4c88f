"""What came of a shard, or of several together. Merging is by set union: the order makes no difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from xsocket_tools.fuzzing.case import Case, as_dict, from_dict
from xsocket_tools.fuzzing.coverage import Triple
from xsocket_tools.fuzzing.findings import Finding, finding_of, merged, size_of

Coverage = Mapping[Triple, Case]
"""What met what, and what answered; each with the smallest case that showed it."""


class Result(NamedTuple):
    """What came of it.

    Attributes:
        cases: How many were played.
        operations: How many operations they had.
        stalled: How many had to be given up, because the target did not answer.
        findings: One for each signature.
        coverage: What met what, and what answered; each with the smallest case that showed it.
        rules: How often each rule had its say, by section and sentence.
        allowed: How often each allowed deviation was seen, by name.
        seconds: How long it took.
        unsteady: How many were wrong, and when they were played again were not.
    """

    cases: int = 0
    operations: int = 0
    stalled: int = 0
    findings: tuple[Finding, ...] = ()
    coverage: Coverage = {}  # noqa: RUF012  # nobody writes to the fields
    rules: Counter[tuple[str, str]] = Counter()  # noqa: RUF012
    allowed: Counter[str] = Counter()  # noqa: RUF012
    seconds: float = 0.0
    unsteady: int = 0

    @property
    def corpus(self) -> tuple[Case, ...]:
        """The cases that show all of the coverage, the smallest first: each is the smallest for something."""
        return tuple(sorted(set(self.coverage.values()), key=size_of))

    def as_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        places = {case: place for place, case in enumerate(self.corpus)}
        return {
            "cases": self.cases,
            "operations": self.operations,
            "stalled": self.stalled,
            "findings": [each.as_dict() for each in self.findings],
            "corpus": [as_dict(case) for case in places],
            "coverage": [[*triple, places[case]] for triple, case in sorted(self.coverage.items())],
            "rules": [[*name, count] for name, count in sorted(self.rules.items())],
            "allowed": dict(sorted(self.allowed.items())),
            "seconds": self.seconds,
            "unsteady": self.unsteady,
        }


def result_of(plain: dict[str, Any]) -> Result:
    """Return the result that plain values describe."""
    corpus = [from_dict(case) for case in plain["corpus"]]
    return Result(
        plain["cases"],
        plain["operations"],
        plain["stalled"],
        tuple(finding_of(each) for each in plain["findings"]),
        {Triple(*triple): corpus[place] for *triple, place in plain["coverage"]},
        Counter({(where, text): count for where, text, count in plain["rules"]}),
        Counter(plain["allowed"]),
        plain["seconds"],
        plain["unsteady"],
    )


def together(results: Sequence[Result]) -> Result:
    """Return several results as one; in whatever order they come, it is the same."""
    rules: Counter[tuple[str, str]] = Counter()
    allowed: Counter[str] = Counter()
    for each in results:
        rules.update(each.rules)
        allowed.update(each.allowed)
    return Result(
        sum(each.cases for each in results),
        sum(each.operations for each in results),
        sum(each.stalled for each in results),
        tuple(merged(finding for each in results for finding in each.findings)),
        covered_by(each.coverage for each in results),
        rules,
        allowed,
        sum(each.seconds for each in results),
        sum(each.unsteady for each in results),
    )


def covered_by(coverages: Iterable[Coverage]) -> dict[Triple, Case]:
    """Return several coverages as one: what any of them has, with the smallest case that shows it."""
    found: dict[Triple, Case] = {}
    for coverage in coverages:
        for triple, case in coverage.items():
            other = found.get(triple)
            if other is None or _is_smaller(case, other):
                found[triple] = case
    return found


def _is_smaller(case: Case, other: Case) -> bool:
    if len(case.operations) != len(other.operations):  # which mostly decides, and costs nothing
        return len(case.operations) < len(other.operations)
    return case != other and size_of(case) < size_of(other)
