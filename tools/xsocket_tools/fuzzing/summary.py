"""What a campaign comes to: figures for people, and one object for programs."""

from __future__ import annotations

from typing import Any, NamedTuple

from xsocket_tools.fuzzing.campaign import Record
from xsocket_tools.fuzzing.coverage import reachable
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.results import Result

Pair = tuple[str, str]
"""A state and an event."""


class Figures(NamedTuple):
    """How much of what there is a campaign has seen.

    Attributes:
        covered: The pairs of a state and an event that it has brought about.
        missing: Those that can be, and were not.
        rules: How often each rule had its say, by its section and sentence.
    """

    covered: frozenset[Pair]
    missing: frozenset[Pair]
    rules: dict[str, int]

    @property
    def reachable(self) -> int:
        """How many pairs can be brought about."""
        return len(self.covered) + len(self.missing)

    @property
    def hit(self) -> int:
        """How many rules had their say."""
        return sum(count > 0 for count in self.rules.values())


def figures(*results: Result) -> Figures:
    """Return the figures of *results* together."""
    every = reachable()
    seen = frozenset((triple.state, triple.event) for each in results for triple in each.coverage)
    counts = {
        str(rule): sum(each.rules[rule.where, rule.text] for each in results)
        for rule in sorted(set(rules.ALL))
        if rule.is_counted
    }
    return Figures(seen & every, every - seen, counts)


def rate(result: Result) -> float:
    """Return how many cases were played in a second."""
    return result.cases / result.seconds if result.seconds else 0.0


def as_dict(record: Record) -> dict[str, Any]:
    """Return the summary of a campaign as plain values."""
    total, found = record.total, figures(record.total)
    return {
        "seed": record.plan.seed,
        "target": record.plan.target,
        "cases": total.cases,
        "operations": total.operations,
        "seconds": round(total.seconds, 3),
        "cases_per_second": round(rate(total), 1),
        "stalled": total.stalled,
        "unsteady": total.unsteady,
        "coverage": {
            "covered": len(found.covered),
            "reachable": found.reachable,
            "missing": [list(pair) for pair in sorted(found.missing)],
        },
        "rules": {"hit": found.hit, "of": len(found.rules), "counts": found.rules},
        "findings": [finding.as_dict() for finding in total.findings],
        "allowed": dict(sorted(total.allowed.items())),
    }
