"""Two runs side by side, and the first step at which their paths part."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from xsocket_tools.teaching.lesson import Run, outline
from xsocket_tools.teaching.story import Step

STEPS_BEFORE = 2
STEPS_AFTER = 6


class Comparison(NamedTuple):
    """Two runs of one lesson.

    Attributes:
        first: As the lesson is.
        second: With other rules.
        parting: Which step is the first that differs, counted from 0; None if none does.
    """

    first: Run
    second: Run
    parting: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold."""
        at = self.parting
        sides = {}
        for name, run in (("as_it_is", self.first), ("changed", self.second)):
            steps = run.story.steps
            there = at is not None and at < len(steps)
            sides[name] = steps[at].title if there and at is not None else None
        return {
            "on": self.first.stage,
            "parting": None if at is None else at + 1,
            **sides,
            "because": list(_why(self)),
        }


def compare(first: Run, second: Run) -> Comparison:
    """Return where two runs part: in what was sent and became of it, or in where an end stands.

    Initial sequence numbers, ports, times and windows do not count, as in a digest.
    """
    pairs = zip_longest(first.story.steps, second.story.steps)
    for at, (one, other) in enumerate(pairs):
        if one is None or other is None or outline(one) != outline(other):
            return Comparison(first, second, at)
    return Comparison(first, second, None)


def _why(found: Comparison) -> list[str]:
    """Return the rules that had their say in the step where the runs part."""
    rules = []
    for run in (found.first, found.second):
        steps = run.story.steps
        if found.parting is not None and found.parting < len(steps):
            step = steps[found.parting]
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
        found = self._found
        if found.parting is None:
            yield Text(f"On {found.first.stage}, {self._given} changes nothing in this lesson.")
            return
        at = found.parting
        yield Text(f"On {found.first.stage}, the paths part at step {at + 1}:", style="bold")
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("", width=1)
        table.add_column("as it is", overflow="fold", ratio=1)
        table.add_column(Text(self._given), overflow="fold", ratio=1)
        span = slice(max(0, at - STEPS_BEFORE), at + STEPS_AFTER)
        sides = (run.story.steps[span] for run in (found.first, found.second))
        for number, (one, other) in enumerate(zip_longest(*sides), span.start + 1):
            style = "bold yellow" if number == at + 1 else "dim" if number <= at else ""
            here = number == at + 1
            table.add_row(">" if here else "", _told(one, whole=here), _told(other, whole=here), style=style)
        yield table
        for rule in _why(found):
            yield Text(f"  {rule}")


def _told(step: Step | None, *, whole: bool) -> Text:
    if step is None:
        return Text("nothing more")
    text = f"{step.number}. {step.at_s:.3f} s  {step.title}"
    return Text("  ".join((text, *step.packet.options)) if whole and step.packet is not None else text)
