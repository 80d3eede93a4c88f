"""Whether there is silence in the end: no loop in what happens by itself, and how long it takes at most."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple


class Edges:
    """What leads from where to where; all edges of one node come together, and nodes in order.

    Attributes:
        sources, targets: Of each edge.
    """

    def __init__(self) -> None:
        self.sources, self.targets = array("l"), array("l")

    def add(self, source: int, target: int) -> None:
        """Add one."""
        self.sources.append(source)
        self.targets.append(target)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.sources, self.targets, strict=True)


class Ends(NamedTuple):
    """How long one can go on.

    Attributes:
        longest: How many edges the longest path has; without those that a loop leads to.
        loop: The nodes of a loop, in order; empty if there is none.
    """

    longest: int
    loop: list[int]


def ends(nodes: int, edges: Edges) -> Ends:
    """Take away, again and again, the nodes that nothing leads to (Kahn's algorithm); a loop is what stays.

    Args:
        nodes: How many there are, from 0 on.
        edges: Between them.
    """
    first, incoming = _count(nodes, edges)
    ready = [node for node in range(nodes) if not incoming[node]]
    longest = _zeroes(nodes)
    for node in ready:  # which grows meanwhile
        for edge in range(first[node], first[node + 1]):
            target = edges.targets[edge]
            longest[target] = max(longest[target], longest[node] + 1)
            incoming[target] -= 1
            if not incoming[target]:
                ready.append(target)
    return Ends(max(longest, default=0), _loop(edges, incoming) if len(ready) < nodes else [])


def _count(nodes: int, edges: Edges) -> tuple[array[int], array[int]]:
    """Return where the edges of each node begin, and how many edges lead to it."""
    first, incoming = _zeroes(nodes + 1), _zeroes(nodes)
    for source, target in edges:
        first[source + 1] += 1
        incoming[target] += 1
    for node in range(nodes):
        first[node + 1] += first[node]
    return first, incoming


def _zeroes(count: int) -> array[int]:
    return array("l", [0]) * count


def _loop(edges: Edges, incoming: array[int]) -> list[int]:
    """Go back from any node that is left: the first that comes again closes a loop."""
    before = {target: source for source, target in edges if incoming[source] and incoming[target]}
    way = [next(iter(before))]
    while way[-1] not in way[:-1]:
        way.append(before[way[-1]])
    return way[way.index(way[-1]) + 1 :][::-1]
