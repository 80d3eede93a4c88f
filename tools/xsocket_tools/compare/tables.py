"""A comparison in the terminal: two tables, the verdicts, the remarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING, Final

from xsocket_tools.compare.measurement import Figures
from xsocket_tools.compare.result import Result

if TYPE_CHECKING:
    from rich.console import RenderableType

SHARES_SHOWN: Final = 6
"""Up to so many workers each has its share in the terminal; of more, the smallest and the largest."""

_OUTCOMES: Final = ("done", "lost", "taken", "reset", "stranded", "p50", "p99", "max")
_OUTCOMES_CAPTION: Final = (
    "lost: not answered; taken: of those, what the worker had taken that was stopped or killed; stranded: "
    "established, taken by nobody, and answered never, or by the stopped worker when it went on; "
    "p50, p99, max: from SYN to first octet, ms"
)
_SHARES: Final = ("% of the answers", "max/min", "std dev", "late p99")
_SHARES_CAPTION: Final = "by worker, the odd one first; late: from when a request was planned to its SYN, ms"


def show(result: Result) -> None:
    """Print *result* on standard output."""
    from rich.console import Console

    screen = Console(highlight=False)
    screen.print(_table(result, "What became of the requests", _OUTCOMES, _outcome, _OUTCOMES_CAPTION))
    screen.print(_table(result, "Who answered", _SHARES, _who, _SHARES_CAPTION))
    screen.print(_judgement(result))


def _outcome(figures: Figures) -> list[str]:
    counts = (figures.done, figures.lost, figures.lost_taken, figures.reset, figures.stranded)
    return [*map(str, counts), *map(milliseconds, figures.first_ms)]


def _who(figures: Figures) -> list[str]:
    spread = figures.spread
    return [
        percentages(figures.shares),
        ratio(spread.max_over_min),
        f"{spread.deviation:.1%}",
        milliseconds(figures.late_ms.p99),
    ]


def percentages(shares: Sequence[float]) -> str:
    """Return the workers' shares as they are shown: each, or from the smallest to the largest if many."""
    if len(shares) <= SHARES_SHOWN:
        return " ".join(f"{share * 100:4.1f}" for share in shares)
    return f"{min(shares) * 100:.1f} to {max(shares) * 100:.1f}"


def _table(
    result: Result, title: str, headings: tuple[str, ...], cells: Callable[[Figures], list[str]], caption: str
) -> RenderableType:
    """Return a table with a row for each trial, and one for the name of each situation."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for situation, trials in groupby(result.trials, lambda trial: trial.situation):
        table.add_row(f"[bold]{situation.title}[/]")
        for trial in trials:
            table.add_row(f"  {trial.design.value}", *cells(trial.figures))
    return table


def _judgement(result: Result) -> RenderableType:
    from rich.table import Table

    lines = Table.grid(padding=(0, 1))
    lines.add_column(no_wrap=True)
    for verdict in result.verdicts:
        lines.add_row(
            "[green]holds[/]" if verdict.holds else "[red]refuted[/]", f"[bold]{verdict.expected}[/]"
        )
        lines.add_row("", verdict.figures)
    for remark in result.remarks:
        lines.add_row("[dim]note[/]", remark)
    return lines


def milliseconds(value: float) -> str:
    """Return a duration as it is shown; an infinite one is one that never ended."""
    if not isfinite(value):
        return "never"
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def ratio(value: float) -> str:
    """Return how many times one figure is another as it is shown; an infinite one as a dash."""
    return f"{value:.1f}" if isfinite(value) else "-"
