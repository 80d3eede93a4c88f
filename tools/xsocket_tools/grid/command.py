"""`xsocket grid`: print the grid, or compare the engine with the kernel cell by cell."""

import json
from collections import Counter
from collections.abc import Sequence

import click
from rich.console import Console
from rich.table import Table

from xsocket.state import State
from xsocket_netns import ensure_privileges
from xsocket_tools.grid.cells import SEGMENTS, SEQUENCES, STATES, Cell, cells
from xsocket_tools.grid.differences import DIFFERENCES
from xsocket_tools.grid.report import Compared, answer_as_dict, answers, comparisons, rows_of
from xsocket_tools.progress import progress

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
    compared = _compare(wanted, as_json)
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
    outcomes = {answer.cell: answer.outcome for answer in answered}
    for state in STATES:
        rows = list(rows_of(state, outcomes))
        if rows:
            console.print(_table(state, rows))
    console.print(
        "Numbers are relative to the initial sequence numbers; R stands for a reset, . for an acknowledgment."
    )


def _table(state: State, rows: list[tuple[str, ...]]) -> Table:
    table = Table(title=state.value, show_lines=True)
    for name in ("segment", *(f"seq {sequence}" for sequence in SEQUENCES)):
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    return table


def _compare(wanted: list[Cell], as_json: bool) -> list[Compared]:
    from xsocket_tools.grid.kernel import kernel_target

    compared = []
    with progress(as_json) as report, kernel_target() as kernel:
        for each in comparisons(wanted, kernel):
            compared.append(each)
            if len(compared) % 100 == 0:
                report(f"{len(compared)} of {len(wanted)} cells")
    return compared


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
            console.print(f"[bold]{difference.name}[/] ({len(covered)} cells; {difference.rule})")
            console.print(f"  {difference.reason}")
    for each in compared:
        if each.verdict == "unexplained":
            console.print(f"[red]unexplained[/] {each.cell}: engine {each.engine}; kernel {each.kernel}")
    console.print(
        f"{len(compared)} cells: {verdicts['equal']} equal, {verdicts['explained']} explained, "
        f"{verdicts['unexplained']} unexplained"
    )
