"""`xsocket grid`: print the grid, or compare the engine with the kernel cell by cell."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from xsocket_netns import ensure_privileges
from xsocket_tools.grid.cells import SEGMENTS, STATES, Cell, cells
from xsocket_tools.grid.differences import DIFFERENCES
from xsocket_tools.grid.report import Compared, Row, answer_as_dict, answers, comparisons, rows_of

_NAMES = [state.value for state in STATES]


@click.command()
@click.option("--against", type=click.Choice(["kernel"]), help="Put the same cells to this machine's kernel.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(_NAMES, case_sensitive=False),
    help="Only this state; may be given several times.",
)
@click.option(
    "--segment",
    "segments",
    multiple=True,
    type=click.Choice(list(SEGMENTS), case_sensitive=False),
    help="Only this kind of segment; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
def grid(against: str | None, states: tuple[str, ...], segments: tuple[str, ...], as_json: bool) -> int:
    """Show what each kind of segment does in each state.

    Eleven states, nine kinds of segment, four places of the sequence number and three of the acknowledgment:
    what the engine answers, and where the connection goes. With --against kernel the same segments are put to
    the Linux kernel in a lab; the exit status is 1 if it does otherwise in a cell that no reason covers.
    """
    wanted = [cell for cell in cells() if _is_wanted(cell, states, segments)]
    if against is None:
        _show(wanted, as_json)
        return 0
    ensure_privileges()
    compared = _compare(wanted)
    if as_json:
        click.echo(json.dumps(_summary(compared), indent=2))
    else:
        _print_comparison(compared)
    return int(any(each.verdict == "unexplained" for each in compared))


def _is_wanted(cell: Cell, states: Sequence[str], segments: Sequence[str]) -> bool:
    return (not states or cell.state.value in states) and (not segments or cell.segment in segments)


def _show(wanted: list[Cell], as_json: bool) -> None:
    answered = list(answers(wanted))
    if as_json:
        entries = [answer_as_dict(answer) for answer in answered]
        click.echo(json.dumps({"cells": len(entries), "grid": entries}, indent=2))
        return
    console = Console()
    for state, rows in groupby(rows_of(answered), lambda row: row.patch.cells[0].state):
        console.print(_table(state.value, list(rows)))
    console.print("A reply of - is silence. SND.NXT and RCV.NXT are those before the segment came.")


def _table(title: str, rows: list[Row]) -> Table:
    table = Table(title=title)
    for name in ("segment", "sequence", "ack", "reply", "then", "rules"):
        table.add_column(
            name,
            overflow="fold",
            no_wrap=name in ("segment", "then"),
            max_width=13 if name in ("sequence", "ack") else None,
        )
    shown = None
    for patch, reply, after, rules in rows:
        segment = patch.cells[0].segment
        new = segment != shown
        if new and shown is not None:
            table.add_section()
        shown = segment
        name = segment if new else ""
        table.add_row(name, patch.sequences, patch.acknowledgments, reply, after, "\n".join(rules))
    return table


def _compare(wanted: list[Cell]) -> list[Compared]:
    from xsocket_tools.grid.kernel import kernel_target

    progress = Console(stderr=True)
    with kernel_target() as kernel:
        compared = comparisons(wanted, kernel)
        return list(
            track(
                compared,
                "asking the kernel",
                total=len(wanted),
                console=progress,
                transient=True,
                disable=not sys.stderr.isatty(),
            )
        )


def _summary(compared: list[Compared]) -> dict[str, object]:
    verdicts = Counter(each.verdict for each in compared)
    differing = [each.as_dict() for each in compared if each.verdict != "equal"]
    counts = {name: verdicts[name] for name in ("equal", "explained", "unexplained")}
    return {"cells": len(compared), **counts, "differences": differing}


def _print_comparison(compared: list[Compared]) -> None:
    console = Console()
    verdicts = Counter(each.verdict for each in compared)
    for difference in DIFFERENCES:
        covered = [each for each in compared if each.difference is difference]
        if covered:
            console.print(f"[bold]{difference.name}[/] (cells: {len(covered)}; {difference.rule})")
            console.print(f"  {difference.reason} [dim]({difference.source})[/]")
    for each in compared:
        if each.verdict == "unexplained":
            console.print(f"[red]unexplained[/] {each.cell}: engine {each.engine}; kernel {each.kernel}")
    console.print(
        f"{len(compared)} cells: {verdicts['equal']} equal, {verdicts['explained']} explained, "
        f"{verdicts['unexplained']} unexplained"
    )
