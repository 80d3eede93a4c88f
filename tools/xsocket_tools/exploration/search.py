"""The search: every state of the whole that any sequence of choices leads to, breadth first, each judged."""

from array import array
from collections.abc import Callable, Iterable
from math import inf
from time import perf_counter
from typing import NamedTuple

from xsocket.state import State
from xsocket_tools.exploration.agreement import disagreement
from xsocket_tools.exploration.behaviour import Row
from xsocket_tools.exploration.scopes import Scope
from xsocket_tools.exploration.silence import Edges, ends
from xsocket_tools.exploration.story import Line, story
from xsocket_tools.exploration.whole import BY_ITSELF, Choice, Kind, Whole, World

Report = Callable[[str], None]


class Violation(NamedTuple):
    """Something that must not be, and the shortest way there.

    Attributes:
        what: What is wrong.
        story: The choices that lead to it, and what came of each.
    """

    what: str
    story: list[Line]


class Findings(NamedTuple):
    """What an exploration has found.

    Attributes:
        scope: What was explored.
        losses: How many faults there were at most.
        states: How many different states the whole was in.
        transitions: How many choices there were in all of them.
        steps: How many steps the two stacks made for that.
        depth: How many choices the longest of the shortest paths has.
        complete: Whether that was everything, rather than the depth asked for.
        resting: In how many states nothing happens by itself.
        longest: How many steps there are at most from any state to one of these, without calls and faults.
        pairs: The states of both ends that were seen together.
        rows: The rows of the table that were looked up.
        seconds: How long it took.
        violation: What is wrong, None for nothing.
    """

    scope: Scope
    losses: int
    states: int
    transitions: int
    steps: int
    depth: int
    complete: bool
    resting: int
    longest: int
    pairs: frozenset[tuple[State, State]]
    rows: frozenset[Row]
    seconds: float
    violation: Violation | None


def explore(
    scope: Scope, losses: int | None = None, depth: float = inf, report: Report = lambda _: None
) -> Findings:
    """Explore a scope.

    Args:
        scope: Which.
        losses: How many faults at most; the scope knows how many by itself.
        depth: How many choices deep.
        report: Told now and then how far it is.
    """
    began = perf_counter()
    search = Search(scope, scope.losses if losses is None else losses)
    violation = search.run(depth, report)
    return search.findings(violation, perf_counter() - began)


class Search:
    """States of the whole by number, and how each was reached first.

    Attributes:
        world: What can happen.
    """

    def __init__(self, scope: Scope, losses: int) -> None:
        self.world = World(scope, losses)
        self._wholes: list[Whole] = []
        self._numbers: dict[Whole, int] = {}
        self._parents = array("l")
        self._choices: list[Choice | None] = []
        self._by_itself = Edges()
        self._resting: list[int] = []
        self._pairs: set[tuple[int, int]] = set()
        self._transitions = self._depth = self._longest = 0
        self._complete = False

    def run(self, depth: float, report: Report) -> Violation | None:
        """Go everywhere; return what is wrong, by the shortest path that leads to something wrong."""
        self._enter(self.world.beginning(), -1, None)
        first, beyond = 0, 1
        while first < beyond and self._depth < depth:
            for number in range(first, beyond):
                violation = self._expand(number)
                if violation is not None:
                    return violation
            first, beyond = beyond, len(self._wholes)
            self._depth += first < beyond
            report(f"{self.world.scope.name}: {beyond:,} states, {self._depth} deep")
        self._complete = first == beyond
        return self._find_loop()

    def findings(self, violation: Violation | None, seconds: float) -> Findings:
        """Return the figures."""
        standings = self.world.behaviour.standings
        return Findings(
            scope=self.world.scope,
            losses=self.world.faults,
            states=len(self._wholes),
            transitions=self._transitions,
            steps=self.world.behaviour.steps,
            depth=self._depth,
            complete=self._complete,
            resting=len(self._resting),
            longest=self._longest,
            pairs=frozenset((standings[a].state, standings[b].state) for a, b in self._pairs),
            rows=frozenset(self.world.behaviour.rows),
            seconds=seconds,
            violation=violation,
        )

    def _enter(self, whole: Whole, parent: int, choice: Choice | None) -> int:
        number = self._numbers.setdefault(whole, len(self._wholes))
        if number == len(self._wholes):
            self._wholes.append(whole)
            self._parents.append(parent)
            self._choices.append(choice)
            self._pairs.add(whole.ends)
        return number

    def _expand(self, number: int) -> Violation | None:
        whole, goes_on = self._wholes[number], False
        for choice, after, wrong in self.world.successors(whole):
            self._transitions += 1
            if wrong:
                return self._violation(wrong, number, choice)
            to = self._enter(after, number, choice)
            if choice.kind in BY_ITSELF:
                self._by_itself.add(number, to)
                goes_on = goes_on or choice.kind is not Kind.ARRIVE_LATE
        return None if goes_on else self._rest(number)

    def _rest(self, number: int) -> Violation | None:
        """Judge a state in which nothing happens by itself: what is late may never arrive."""
        self._resting.append(number)
        wrong = disagreement(self.world, self._wholes[number])
        return self._violation(f"at rest, {wrong}", number) if wrong else None

    def _violation(self, what: str, number: int, *then: Choice) -> Violation:
        return Violation(what, story(self.world, (*self._path(number), *then)))

    def _path(self, number: int) -> tuple[Choice, ...]:
        path: list[Choice] = []
        while (choice := self._choices[number]) is not None:
            path.append(choice)
            number = self._parents[number]
        return tuple(reversed(path))

    def _find_loop(self) -> Violation | None:
        """Look for a loop of what happens by itself; without one, there is silence in the end."""
        self._longest, loop = ends(len(self._wholes), self._by_itself)
        if not loop:
            return None
        what = f"the last {len(loop)} steps go on for ever"
        return self._violation(what, loop[0], *self._around(loop))

    def _around(self, loop: list[int]) -> Iterable[Choice]:
        for number, following in zip(loop, [*loop[1:], loop[0]], strict=True):
            successors = self.world.successors(self._wholes[number])
            yield next(choice for choice, after, _ in successors if after == self._wholes[following])
