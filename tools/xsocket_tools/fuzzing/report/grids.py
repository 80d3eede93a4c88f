"""The coverage of a campaign as a table: what met which state, what answered, and what is still missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Final, NamedTuple

from xsocket_tools.fuzzing.case import CALLS
from xsocket_tools.fuzzing.coverage import KINDS, Triple, reachable

STATES: Final = (
    *("CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED"),
    *("FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"),
)
MOST_REPLIES: Final = 3
"""How many replies a cell shows at most; its title has all of them."""
_OTHERS: Final = "calls, time and errors"


class Cell(NamedTuple):
    """One state and one event.

    Attributes:
        kind: ``seen``, ``missing`` for what can be brought about and was not, ``never`` for what cannot.
        text: The replies, in short.
        title: All of them, in words; empty where there is nothing to say.
    """

    kind: str
    text: str = ""
    title: str = ""


class Row(NamedTuple):
    """One event in every state."""

    event: str
    cells: list[Cell]


class Group(NamedTuple):
    """Events of one kind."""

    name: str
    rows: list[Row]


def grid(coverage: Iterable[Triple]) -> list[Group]:
    """Return the table of a coverage."""
    replies: dict[tuple[str, str], list[str]] = {}
    for triple in sorted(coverage):
        replies.setdefault((triple.state, triple.event), []).append(triple.reply)
    every = reachable()
    events = sorted({event for _, event in (*every, *replies)}, key=_order)
    groups = []
    for name, group in groupby(events, key=_kind):
        rows = [
            Row(_within(event), [_cell((state, event), replies, every) for state in STATES])
            for event in group
        ]
        groups.append(Group(name, rows))
    return groups


def _cell(
    pair: tuple[str, str], replies: Mapping[tuple[str, str], list[str]], every: frozenset[tuple[str, str]]
) -> Cell:
    seen = replies.get(pair)
    if seen is None:
        return Cell("missing", "✗", "missing") if pair in every else Cell("never")
    more = f" +{len(seen) - MOST_REPLIES}" if len(seen) > MOST_REPLIES else ""
    text = " | ".join(seen[:MOST_REPLIES]) + more
    words = "; ".join("nothing" if reply == "-" else reply for reply in seen)
    return Cell("seen", text, f"answered by: {words}")


def _kind(event: str) -> str:
    name = event.partition(",")[0]
    return name if name in KINDS else _OTHERS


def _within(event: str) -> str:
    """Return what tells an event from others of its kind."""
    if _kind(event) == _OTHERS:
        return event
    return event.partition(", ")[2] or "any"


def _order(event: str) -> tuple[int, int, str]:
    kind = _kind(event)
    first = KINDS.index(kind) if kind in KINDS else len(KINDS)
    name = event.removeprefix("call ")
    return first, CALLS.index(name) if name in CALLS else len(CALLS), event
