"""The state diagram of RFC 9293 figure 5: states where it has them, edges from the transition table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from math import hypot
from typing import Final, NamedTuple

from xsocket.state import State, Trigger
from xsocket.tcp.table import TABLE
from xsocket_tools.teaching.report.shapes import Path, Shape, Text, head
from xsocket_tools.teaching.report.words import Said
from xsocket_tools.teaching.story import Step

WIDTH, HEIGHT = 584, 392
_HALF_WIDTH, _HALF_HEIGHT = 62, 15
_ASIDE: Final = 7
"""How far an edge is beside the line on which there is one in either direction."""
_Point = tuple[float, float]
_LEFT, _MIDDLE, _RIGHT = 92, 288, 484
_CENTERS: Final = {
    State.CLOSED: (_MIDDLE, 26),
    State.LISTEN: (_MIDDLE, 90),
    State.SYN_RECEIVED: (_LEFT, 140),
    State.SYN_SENT: (_RIGHT, 140),
    State.ESTABLISHED: (_MIDDLE, 192),
    State.FIN_WAIT_1: (_LEFT, 246),
    State.CLOSE_WAIT: (_RIGHT, 246),
    State.FIN_WAIT_2: (_LEFT, 352),
    State.CLOSING: (_MIDDLE, 286),
    State.LAST_ACK: (_RIGHT, 352),
    State.TIME_WAIT: (_MIDDLE, 352),
}
_CORNERS: Final[dict[tuple[State, State], tuple[_Point, ...]]] = {
    (State.LAST_ACK, State.CLOSED): ((562, 352), (562, 28)),
    (State.TIME_WAIT, State.CLOSED): ((_MIDDLE, 382), (576, 382), (576, 18)),
    (State.CLOSE_WAIT, State.CLOSED): ((562, 246), (562, 28)),
    (State.ESTABLISHED, State.CLOSED): ((386, 192), (386, 32)),
    (State.CLOSING, State.CLOSED): ((190, 286), (190, 32)),
    (State.FIN_WAIT_1, State.CLOSED): ((16, 246), (16, 28)),
    (State.FIN_WAIT_2, State.CLOSED): ((6, 352), (6, 18)),
}
"""Where an edge turns that would otherwise lead across states."""
_OUT_OF_THE_WAY: Final = frozenset(
    {
        *(Trigger.RST_FOR_US, Trigger.ABORT, Trigger.GIVE_UP, Trigger.USER_TIMEOUT, Trigger.PATH_ERROR),
        *(Trigger.KEEP_ALIVE_FAILED, Trigger.TEXT_FOR_NOBODY, Trigger.ORPHAN_OVER, Trigger.SYN_REOPENS),
        *(Trigger.SYN_INSTEAD, Trigger.SYN_OF_OTHER_ECN, Trigger.EVICTED),
    }
)
"""What ends a connection from almost any state; an edge with no other trigger shows only when used."""


class Edge(NamedTuple):
    """A way from one state to another.

    Attributes:
        name: What steps call it.
        triggers: What may bring about the move.
        is_usual: Whether it is seen when no step uses it.
        shapes: A line and its head.
    """

    name: str
    triggers: str
    is_usual: bool
    shapes: tuple[Path, ...]


class Node(NamedTuple):
    """A state, and where the dots are when an end is there."""

    name: str
    shapes: tuple[Shape, ...]
    dots: tuple[tuple[int, int], tuple[int, int]]


@cache
def nodes() -> tuple[Node, ...]:
    """Return the eleven states."""
    return tuple(_node(state, x, y) for state, (x, y) in _CENTERS.items())


@cache
def edges() -> tuple[Edge, ...]:
    """Return every move to another state that there is in the table."""
    triggers: defaultdict[tuple[State, State], list[Trigger]] = defaultdict(list)
    for (start, trigger), move in TABLE.items():
        if move.to is not start:
            triggers[start, move.to].append(trigger)
    return tuple(
        Edge(
            _name(start, to),
            ", ".join(each.value for each in by),
            not _OUT_OF_THE_WAY.issuperset(by),
            tuple(_line(start, to, is_two_way=(to, start) in triggers)),
        )
        for (start, to), by in triggers.items()
    )


def used(step: Step) -> list[str]:
    """Return the names of the edges that a step goes along, at either end."""
    known = {edge.name for edge in edges()}
    ways = [_name(*pair) for end in (0, 1) for pair in pairwise(_way(step, end))]
    return [name for name in dict.fromkeys(ways) if name in known]


def _way(step: Step, end: int) -> list[State]:
    """Return the states that an end goes through: where it stood, what it went through, where it stands."""
    view = step.views[end]
    if not view.moved:
        return []
    first = view.before or (State.LISTEN if view.state is State.SYN_RECEIVED else State.CLOSED)
    way = [first, *view.between, view.state or State.CLOSED]
    return [way[0], *(after for before, after in pairwise(way) if after is not before)]


def _name(start: State, to: State) -> str:
    return f"{start.value}_{to.value}"


def _node(state: State, x: int, y: int) -> Node:
    box = Path(
        "node",
        f"M{x - _HALF_WIDTH} {y - _HALF_HEIGHT}h{2 * _HALF_WIDTH}v{2 * _HALF_HEIGHT}h{-2 * _HALF_WIDTH}z",
    )
    top = y - _HALF_HEIGHT - 1
    corners = ((x - _HALF_WIDTH - 1, top), (x + _HALF_WIDTH + 1, top))
    return Node(state.value, (box, Text("named", x, y + 5, "middle", Said(state.value))), corners)


def _line(start: State, to: State, *, is_two_way: bool) -> Iterator[Path]:
    """Draw an edge from border to border: around corners, or straight and beside its counterpart."""
    corners = _CORNERS.get((start, to), ())
    if corners:
        points = [_nearest(_CENTERS[start], corners[0]), *corners, _nearest(_CENTERS[to], corners[-1])]
    else:
        points = _straight(_CENTERS[start], _CENTERS[to], _ASIDE if is_two_way else 0)
    yield Path("edge", "M" + "L".join(f"{x:.4g} {y:.4g}" for x, y in points))
    yield Path("tip", head(points[-2], points[-1], 10, 4.5))


def _nearest(center: _Point, outside: _Point) -> _Point:
    """Return the point of a state's box that is nearest to one *outside* of it."""
    (x, y), (to_x, to_y) = center, outside
    return (
        min(max(to_x, x - _HALF_WIDTH), x + _HALF_WIDTH),
        min(max(to_y, y - _HALF_HEIGHT), y + _HALF_HEIGHT),
    )


def _straight(start: _Point, to: _Point, aside: float) -> list[_Point]:
    """Return the ends of a line between two boxes, *aside* to the right of the one between their centers."""
    right, down = to[0] - start[0], to[1] - start[1]
    length = hypot(right, down)
    off = (-down / length * aside, right / length * aside)
    return [_leaving(start, off, (right, down)), _leaving(to, off, (-right, -down))]


def _leaving(center: _Point, off: _Point, way: _Point) -> _Point:
    """Return where a line that starts *off* the center of a box, and goes that *way*, leaves it."""
    halves = (_HALF_WIDTH, _HALF_HEIGHT)
    share = min(
        ((half if along > 0 else -half) - aside) / along
        for half, aside, along in zip(halves, off, way, strict=True)
        if along
    )
    return center[0] + off[0] + share * way[0], center[1] + off[1] + share * way[1]
