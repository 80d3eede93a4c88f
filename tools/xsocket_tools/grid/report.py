"""The grid put together: every outcome of one target, or two of them side by side."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from xsocket.state import State
from xsocket_tools.grid.cells import (
    ACKNOWLEDGMENTS,
    SEGMENTS,
    SEQUENCES,
    Cell,
    LostStepError,
    Outcome,
    Target,
    ask,
)
from xsocket_tools.grid.differences import Difference, explained_by
from xsocket_tools.grid.engine import EngineTarget

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
        """``equal``, ``explained`` or ``unexplained``; a reason for cells that are equal is none."""
        if self.engine == self.kernel:
            return "equal" if self.difference is None else "unexplained"
        return "explained" if self.difference is not None else "unexplained"

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
    return {"replies": list(outcome.replies), "after": outcome.state.value}


def rows_of(state: State, outcomes: dict[Cell, Outcome]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each kind of segment in *state*: its name, then a field for each sequence number."""
    for segment in SEGMENTS:
        fields = []
        for sequence in SEQUENCES:
            cells = {ack: Cell(state, segment, sequence, ack) for ack in ACKNOWLEDGMENTS}
            by_outcome: dict[str, list[str]] = {}
            for ack, cell in cells.items():
                if cell in outcomes:
                    by_outcome.setdefault(str(outcomes[cell]), []).append(ack)
            fields.append("\n".join(_field(by_outcome)))
        if any(fields):
            yield (segment, *fields)


def _field(by_outcome: dict[str, list[str]]) -> Iterator[str]:
    for outcome, acks in by_outcome.items():
        yield outcome if len(by_outcome) == 1 else f"ack {' or '.join(acks)}: {outcome}"
