"""`xsocket explore`: go everywhere within a scope, and say how many states there are and what is wrong."""

import json
from math import inf
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from xsocket.tcp.table import TABLE
from xsocket_tools.exploration.behaviour import Row
from xsocket_tools.exploration.coverage import missing
from xsocket_tools.exploration.scopes import SCOPES
from xsocket_tools.exploration.search import Findings, Violation
from xsocket_tools.exploration.search import explore as explore_scope
from xsocket_tools.progress import progress


@click.command()
@click.option(
    "--scope",
    "names",
    multiple=True,
    type=click.Choice(list(SCOPES)),
    help="Only this scope; may be given several times.",
)
@click.option(
    "--losses",
    type=click.IntRange(0, 4),
    help="How many segments may be lost, doubled or delayed in all, and ends crash; 2 or 1 by itself.",
)
@click.option("--depth", type=click.IntRange(1), help="How many choices deep; everything by itself.")
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
def explore(names: tuple[str, ...], losses: int | None, depth: int | None, as_json: bool) -> int:
    """Try every interleaving of what two ends may do and suffer.

    Two real stacks in virtual time: who calls OPEN, CLOSE or ABORT when, which segment is lost, doubled or
    late, and whose timer fires, in every order there is. Each step has to follow the table of states, and
    once nothing more happens, both ends have to agree, or the one that is left has to find out. The exit
    status is 1 if that is not so, and the shortest way there is printed.
    """
    wanted = [SCOPES[name] for name in names] or list(SCOPES.values())
    with progress(quiet=as_json) as report:
        found = [explore_scope(scope, losses, inf if depth is None else depth, report) for scope in wanted]
    if as_json:
        click.echo(json.dumps(_as_dict(found), indent=2))
    else:
        _print(found)
    return int(any(each.violation is not None for each in found))


def _as_dict(found: list[Findings]) -> dict[str, Any]:
    return {
        "states": sum(each.states for each in found),
        "violations": sum(each.violation is not None for each in found),
        "rows_never_reached": [
            {"state": state.value, "trigger": trigger.value, "reason": reason}
            for (state, trigger), reason in _never(found).items()
        ],
        "scopes": [_findings_as_dict(each) for each in found],
    }


def _findings_as_dict(found: Findings) -> dict[str, Any]:
    plain = found._asdict()
    plain["scope"] = found.scope.name
    plain["pairs"] = sorted([a.value, b.value] for a, b in found.pairs)
    plain["rows"] = sorted([state.value, trigger.value] for state, trigger in found.rows)
    if found.violation is not None:
        lines = [line._asdict() for line in found.violation.story]
        plain["violation"] = {"what": found.violation.what, "story": lines}
    plain["seconds"] = round(found.seconds, 1)
    return plain


def _never(found: list[Findings]) -> dict[Row, str]:
    return missing(row for each in found for row in each.rows)


def _print(found: list[Findings]) -> None:
    console = Console(highlight=False)
    table = Table(box=SIMPLE_HEAD, padding=(0, 0), show_edge=False)
    for name in ("scope", "faults", "states", "choices", "depth", "silence", "pairs", "rows", "seconds"):
        table.add_column(name, justify="left" if name == "scope" else "right", no_wrap=True)
    for each in found:
        table.add_row(*_cells(each))
    console.print(table)
    wrong = [(each, each.violation) for each in found if each.violation is not None]
    for each, violation in wrong:
        _print_violation(console, each, violation)
    if not wrong:
        _print_rows(console, found)
    states = sum(each.states for each in found)
    console.print(f"{states:,} distinct global states, violations: {len(wrong)}")


def _cells(found: Findings) -> list[str]:
    depth = str(found.depth) if found.complete else f"{found.depth} of more"
    numbers = [f"{number:,}" for number in (found.losses, found.states, found.transitions)]
    more = [str(number) for number in (found.longest, len(found.pairs), len(found.rows))]
    return [found.scope.name, *numbers, depth, *more, f"{found.seconds:.1f}"]


def _print_rows(console: Console, found: list[Findings]) -> None:
    never = _never(found)
    console.print(f"{len(TABLE) - len(never)} of {len(TABLE)} rows of the table were reached; not:")
    states: dict[tuple[str, str], list[str]] = {}
    for (state, trigger), reason in never.items():
        states.setdefault((reason, trigger.value), []).append(state.value)
    for (reason, what), names in states.items():
        console.print(f"  {what} in {', '.join(names)}: [dim]{reason}[/]")


def _print_violation(console: Console, found: Findings, violation: Violation) -> None:
    console.print(f"[red]{found.scope.name}[/]: {violation.what}")
    table = Table("", "what happens", "A", "B", "what it does")
    for number, line in enumerate(violation.story, 1):
        table.add_row(str(number), *line)
    console.print(table)
