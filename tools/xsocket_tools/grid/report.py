"""The grid put together: every outcome of one target, or two of them side by side."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from xsocket_tools.grid.cells import Cell, LostStepError, Outcome, Target, ask
from xsocket_tools.grid.differences import Difference, explained_by
from xsocket_tools.grid.engine import EngineTarget
from xsocket_tools.grid.notation import Patch, in_words, patches

ATTEMPTS: Final = 3


class Answered(NamedTuple):
    """A cell, what the engine made of it, and the rules and drop reasons by which it did."""

    cell: Cell
    outcome: Outcome
    reasons: tuple[str, ...]


class Compared(NamedTuple):
    """A cell, what the engine and the kernel made of it, and the reason for which they may differ, if any."""

    cell: Cell
    engine: Outcome
    kernel: Outcome
    difference: Difference | None

    @property
    def verdict(self) -> str:
        """``equal``, ``explained`` or ``unexplained``.

        A reason for cells that are equal is none, nor is one that has Linux do something else.
        """
        if self.difference is None:
            return "equal" if self.engine == self.kernel else "unexplained"
        expected = self.difference.linux(self.cell)
        return "explained" if self.kernel == expected != self.engine else "unexplained"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            **_cell_as_dict(self.cell),
            "engine": _outcome_as_dict(self.engine),
            "kernel": _outcome_as_dict(self.kernel),
            "verdict": self.verdict,
            "reason": None if self.difference is None else self.difference.reason,
            "rule": None if self.difference is None else self.difference.rule,
        }


def answers(wanted: Iterable[Cell]) -> Iterator[Answered]:
    """Yield what the engine makes of each cell, in virtual time."""
    target = EngineTarget()
    for cell in wanted:
        outcome = ask(target, cell)
        yield Answered(cell, outcome, tuple(target.reasons))


def comparisons(wanted: Iterable[Cell], kernel: Target) -> Iterator[Compared]:
    """Yield what the engine and *kernel* make of each cell.

    Raises:
        LostStepError: The kernel could not be led into a state, three times in a row.
    """
    for answer in answers(wanted):
        other = persistently(lambda cell=answer.cell: ask(kernel, cell))  # type: ignore[misc]
        yield Compared(answer.cell, answer.outcome, other, explained_by(answer.cell))


def persistently(question: Callable[[], Outcome]) -> Outcome:
    """Ask again when a retransmission or a lost frame came between."""
    for _ in range(ATTEMPTS - 1):
        try:
            return question()
        except LostStepError:
            continue
    return question()


def answer_as_dict(answer: Answered) -> dict[str, Any]:
    """Return plain values."""
    outcome = _outcome_as_dict(answer.outcome)
    return {**_cell_as_dict(answer.cell), **outcome, "rules": list(answer.reasons)}


def _cell_as_dict(cell: Cell) -> dict[str, str]:
    return {**cell._asdict(), "state": cell.state.value}


def _outcome_as_dict(outcome: Outcome) -> dict[str, Any]:
    return {"replies": [reply._asdict() for reply in outcome.replies], "after": outcome.state.value}


class Row(NamedTuple):
    """A line of the grid for people: cells in which the engine does the same by the same rules."""

    patch: Patch
    reply: str
    after: str
    rules: tuple[str, ...]


def rows_of(answered: Iterable[Answered]) -> list[Row]:
    """Put the engine's answers together; the replies in the notation of the RFC."""
    by_cell = {answer.cell: answer for answer in answered}

    def look(cell: Cell) -> tuple[str, str, tuple[str, ...]]:
        answer = by_cell[cell]
        return in_words(cell, answer.outcome), answer.outcome.state.value, answer.reasons

    return [Row(patch, *look(patch.cells[0])) for patch in patches(by_cell, look)]


class DifferenceRow(NamedTuple):
    """A line of the differences for people: cells in which either does the same, as reply and state after."""

    patch: Patch
    engine: tuple[str, str]
    linux: tuple[str, str]


def differences_of(difference: Difference, outcomes: dict[Cell, Outcome]) -> list[DifferenceRow]:
    """Return what the engine and Linux do in the cells of a difference; needs no kernel.

    Args:
        difference: Knows what Linux does; that it is so, the comparison with a kernel shows.
        outcomes: The engine's.
    """

    def look(cell: Cell) -> tuple[tuple[str, str], tuple[str, str]]:
        both = outcomes[cell], difference.linux(cell)
        engine, linux = ((in_words(cell, each), each.state.value) for each in both)
        return engine, linux

    covered = [cell for cell in outcomes if difference.covers(cell)]
    return [DifferenceRow(patch, *look(patch.cells[0])) for patch in patches(covered, look)]
