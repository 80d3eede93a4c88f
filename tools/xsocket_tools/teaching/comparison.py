"""Two runs side by side, and the first step at which their paths part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from math import isclose
from typing import Any, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from xsocket_tools.teaching.lesson import Run, outline
from xsocket_tools.teaching.story import Step

STEPS_BEFORE = 2
STEPS_AFTER = 6
_NOTHING = Text("nothing more")


_Outline = Sequence[tuple[str, Step]]


class Parting(NamedTuple):
    """Where two runs part, in one of their connections.

    Attributes:
        at: Where in the steps of each, counted from 0.
        steps: What differs there; None for a run in which nothing more happens in that connection.
    """

    at: tuple[int, int]
    steps: tuple[Step | None, Step | None]


class Comparison(NamedTuple):
    """Two runs of one lesson.

    Attributes:
        first: As the lesson is.
        second: With other rules.
        parting: Where they part first; None if they do not.
        delayed: The first step, in both, that comes at another time, if they part nowhere; None if there is
            none, or where time is not virtual and no two runs take the same.
    """

    first: Run
    second: Run
    parting: Parting | None
    delayed: tuple[Step, Step] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold."""
        parting = self.parting
        one, other = (None, None) if parting is None else parting.steps
        return {
            "on": self.first.stage,
            "parting": None if parting is None else parting.at[0] + 1,
            "as_it_is": None if one is None else one.title,
            "changed": None if other is None else other.title,
            "because": list(_why(self)),
            "delayed": None if self.delayed is None else [step.at_s for step in self.delayed],
        }


def compare(first: Run, second: Run) -> Comparison:
    """Return where two runs part: in what was sent and became of it, or in where an end stands.

    Initial sequence numbers, ports, times and windows do not count, nor does the order of what happens in
    different connections: just what counts in a digest.
    """
    ones, others = outline(first.story), outline(second.story)
    found = (_parting(first, second, ones.get(each, []), others.get(each, [])) for each in {**ones, **others})
    partings = [parting for parting in found if parting is not None]
    parting = min(partings, key=lambda parting: parting.at, default=None)
    delayed = _delayed(ones, others) if parting is None and first.stage == "engine" else None
    return Comparison(first, second, parting, delayed)


def _delayed(
    ones: Mapping[int | None, _Outline], others: Mapping[int | None, _Outline]
) -> tuple[Step, Step] | None:
    """Return the first step that comes at another time, of two runs that part nowhere."""
    pairs = (
        (one, other)
        for each in ones
        for (_, one), (_, other) in zip(ones[each], others[each], strict=True)
        if not isclose(one.at_s, other.at_s, abs_tol=1e-6)
    )
    return min(pairs, key=lambda pair: pair[0].number, default=None)


def _parting(first: Run, second: Run, ones: _Outline, others: _Outline) -> Parting | None:
    """Return where two runs part in a connection."""
    for at, ((line, one), (other_line, other)) in enumerate(zip_longest(ones, others, fillvalue=("", None))):
        if line != other_line:
            return Parting((_place(first, ones, at), _place(second, others, at)), (one, other))
    return None


def _place(run: Run, told: _Outline, at: int) -> int:
    """Return where in a whole run a connection's step is, or would be if there were one more."""
    if at < len(told):
        return told[at][1].number - 1
    return told[-1][1].number if told else len(run.story.steps)


def _why(found: Comparison) -> list[str]:
    """Return the rules that had their say in the step where the runs part."""
    rules = []
    for step in () if found.parting is None else found.parting.steps:
        if step is not None:
            rules += [f"{each.key}: {each.sentence or each.did}" for each in step.because]
            rules += list(step.notes)
    return list(dict.fromkeys(rules))


class ComparisonView:
    """A rich renderable of a comparison.

    Args:
        found: It.
        given: The rules that were changed, in words.
    """

    def __init__(self, found: Comparison, given: str) -> None:
        self._found, self._given = found, given

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it: what happened in each run around the step where they part."""
        found, parting = self._found, self._found.parting
        if parting is None:
            yield Text(f"On {found.first.stage}, {self._given} changes {_unchanged(found)}")
            return
        yield Text(f"On {found.first.stage}, the paths part at step {parting.at[0] + 1}:", style="bold")
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("", width=1)
        table.add_column("as it is", overflow="fold", ratio=1)
        table.add_column(Text(self._given), overflow="fold", ratio=1)
        runs = (found.first, found.second)
        sides = [
            _Side(run.story.steps, at, step)
            for run, at, step in zip(runs, parting.at, parting.steps, strict=True)
        ]
        earlier = zip_longest(*(reversed(side.before) for side in sides), fillvalue=Text())
        for row in reversed([*earlier]):
            table.add_row("", *row, style="dim")
        table.add_row(">", *(side.here for side in sides), style="bold yellow")
        for row in zip_longest(*(side.after for side in sides), fillvalue=_NOTHING):
            table.add_row("", *row)
        yield table
        for rule in _why(found):
            yield Text(f"  {rule}")


def _unchanged(found: Comparison) -> str:
    """Return what two runs that part nowhere have in common."""
    if found.delayed is None:
        return "neither what is sent nor where an end stands."
    one, other = found.delayed
    return (
        "neither what is sent nor where an end stands, but when. "
        f"Step {one.number}, {one.title}, comes at {other.at_s:.3f} s and not at {one.at_s:.3f} s."
    )


class _Side:
    """What one of two runs shows of where they part: what went before, the step, and what came after it."""

    def __init__(self, steps: Sequence[Step], at: int, here: Step | None) -> None:
        self.before = [_told(step) for step in steps[max(0, at - STEPS_BEFORE) : at]]
        self.here = _NOTHING if here is None else Text("  ").join((_told(here), *map(Text, _options(here))))
        after = at if here is None else at + 1
        self.after = [_told(step) for step in steps[after : at + STEPS_AFTER]]


def _options(step: Step) -> Sequence[str]:
    return () if step.packet is None else step.packet.options


def _told(step: Step) -> Text:
    return Text(f"{step.number}. {step.at_s:.3f} s  {step.title}")
