"""Who cites a rule: rows of the table, drop reasons, fields of `TcpConfig`, differences from Linux."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from xsocket import DropReason, TcpConfig
from xsocket.state import Reply, State, Trigger
from xsocket.tcp.table import TABLE
from xsocket_tools.grid.differences import DIFFERENCES
from xsocket_tools.rules.citation import Citation, citations, cited_by_field, cited_by_reason

_CITED_BY_FIELD: Final = {
    each.name: cited_by_field(each.metadata["rule"]) for each in dataclasses.fields(TcpConfig)
}


class Moves(NamedTuple):
    """Rows of the table that are alike but for the state they begin in.

    Attributes:
        trigger: What moves the connection.
        before: In which states.
        after: Where it goes; None where it stays.
        reply: What is sent, if anything.
    """

    trigger: Trigger
    before: tuple[State, ...]
    after: State | None
    reply: Reply | None


class Citing(NamedTuple):
    """Everything that cites one rule.

    Attributes:
        moves: Rows of `xsocket.tcp.table.TABLE`.
        reasons: Drop reasons.
        fields: Names of fields of `TcpConfig`.
        differences: Names of the reasons for which Linux does otherwise in the grid.
    """

    moves: tuple[Moves, ...]
    reasons: tuple[DropReason, ...]
    fields: tuple[str, ...]
    differences: tuple[str, ...]

    def counts(self) -> str:
        """Return how many of each there are, in words; empty where nothing cites the rule."""
        rows = sum(len(each.before) for each in self.moves)
        named = (
            (rows, "move"),
            (len(self.reasons), "drop reason"),
            (len(self.fields), "field"),
            (len(self.differences), "difference"),
        )
        return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in named if count)


def citing(citation: Citation) -> Citing:
    """Return what cites this very place; what cites a part of it is not among them."""
    return Citing(
        moves=tuple(_alike(citation)),
        reasons=tuple(each for each in DropReason if citation in cited_by_reason(each)),
        fields=tuple(name for name, cited in _CITED_BY_FIELD.items() if citation in cited),
        differences=tuple(each.name for each in DIFFERENCES if citation in citations(each.rule)),
    )


def _alike(citation: Citation) -> Iterator[Moves]:
    before = defaultdict(list)
    for (state, trigger), move in TABLE.items():
        if citation in citations(move.rule):
            before[trigger, None if move.to is state else move.to, move.reply].append(state)
    for (trigger, after, reply), states in before.items():
        yield Moves(trigger, tuple(states), after, reply)
