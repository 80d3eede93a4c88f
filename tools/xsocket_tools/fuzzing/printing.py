"""How a campaign is shown: while it runs, on a terminal alone; and what came of it, at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xsocket_tools.fuzzing.campaign import Record
from xsocket_tools.fuzzing.deviations.linux import LISTED, other_release
from xsocket_tools.fuzzing.export.words import operation_text, violation_lines
from xsocket_tools.fuzzing.exporting import Written
from xsocket_tools.fuzzing.findings import Finding
from xsocket_tools.fuzzing.replaying import Replayed, agree, other_answers
from xsocket_tools.fuzzing.results import Result
from xsocket_tools.fuzzing.summary import figures, rate

MOST_SHOWN: Final = 8
"""How many findings are named while a campaign runs."""
Show = Callable[[Record, Result], object]


@contextmanager
def live_display() -> Iterator[Show]:
    """Give what shows how far a campaign is, with what has come of a shard that it has not taken in."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _record, _partial: None
        return
    began = time.monotonic()
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(record: Record, partial: Result) -> None:
            live.update(_display(record, partial, time.monotonic() - began), refresh=True)

        yield show


def _display(record: Record, partial: Result, elapsed_s: float) -> Group:
    total = record.total
    found = figures(total, partial)
    cases = total.cases + partial.cases
    table = Table.grid(padding=(0, 2))
    table.add_row("seed", f"{record.plan.seed} on {record.plan.target}, {elapsed_s:.0f} s")
    table.add_row("cases", f"{cases:,}, {rate(total._replace(cases=cases)):,.0f} a second")
    table.add_row("state x event", f"{len(found.covered)} of {found.reachable}")
    table.add_row("rules", f"{found.hit} of {len(found.rules)}")
    findings = {each.signature: each for each in (*total.findings, *partial.findings)}
    table.add_row("findings", Text(str(len(findings)), "bold red" if findings else "green"))
    named = [_heading(each) for each in list(findings.values())[:MOST_SHOWN]]
    return Group(table, *named)


def _heading(finding: Finding) -> Text:
    state = finding.violation.state
    return Text.assemble(
        (str(finding.violation.rule), "red"), f" ({state.value if state else 'no connection'})"
    )


def print_summary(record: Record, findings: Path | None) -> None:
    """Print what came of a campaign.

    Args:
        record: How far it is.
        findings: Where its findings have been written; None for nowhere.
    """
    console = Console(highlight=False)
    total = record.total
    found = figures(total)
    for number, finding in enumerate(total.findings, start=1):
        _print_finding(console, number, finding, findings)
    console.print(
        f"seed {record.plan.seed} on {record.plan.target}: {total.cases:,} cases of {total.operations:,} "
        f"operations in {total.seconds:.1f} s, {rate(total):,.0f} cases a second"
    )
    if total.stalled:
        console.print(f"{total.stalled:,} cases were given up, because the target did not answer")
    if total.unsteady:
        console.print(f"{total.unsteady:,} cases were wrong once and not again, which is no finding")
    console.print(
        f"{len(found.covered)} of {found.reachable} pairs of state and event, "
        f"{found.hit} of {len(found.rules)} rules"
    )
    if record.plan.target == "kernel" and (release := other_release()):
        console.print(f"The list of deviations is that of Linux {LISTED}; {release} may do otherwise.")
    if total.allowed:
        table = Table.grid(padding=(0, 2))
        for name, count in sorted(total.allowed.items()):
            table.add_row(Text(f"  {count:,}"), Text(name))
        console.print("allowed deviations:", table)
    _print_count(console, total, findings)


def _print_count(console: Console, total: Result, findings: Path | None) -> None:
    if not total.findings:
        console.print(Text("no findings", "green"))
        return
    count = len(total.findings)
    console.print(Text(f"{count} finding{'s' * (count != 1)}", "bold red"))
    if findings is None:
        console.print("To have them as files, to replay: --corpus DIR")
    else:
        again = f"xsocket fuzz replay {_file(total.findings[0], findings)}"
        console.print(Text(f"Their cases, scripts and captures are in {findings}."), soft_wrap=True)
        console.print(Text(f"Play one again: {again}"), soft_wrap=True)


def _file(finding: Finding, directory: Path) -> Path:
    return directory / f"{finding.slug}.json"


def _print_finding(console: Console, number: int, finding: Finding, directory: Path | None) -> None:
    cases = f"{finding.times:,} case{'s' * (finding.times != 1)}, the first is number {finding.number:,}"
    console.print(Text.assemble((f"{number}. {finding.violation.rule}", "bold red")))
    console.print(Padding(violation_view(finding), (0, 0, 0, 3), expand=False))
    console.print(Text(f"   {cases}", "dim"))
    if directory is not None:
        console.print(Text(f"   {_file(finding, directory)}", "dim"), soft_wrap=True)
    console.print()


def violation_view(finding: Finding) -> Group:
    """Return a finding as something to print, without its rule."""
    operations = Table.grid(padding=(0, 2))
    at = finding.violation.at
    for place, operation in enumerate(finding.case.operations):
        style = "bold" if place == at else ""
        operations.add_row(str(place + 1), Text(operation_text(operation), style))
    said = Table.grid(padding=(0, 2))
    for name, text in violation_lines(finding.violation):
        if name in ("state", "expected", "got"):
            said.add_row(name, Text(text))
    return Group(operations, said)


def print_replayed(replayed: Replayed) -> None:
    """Print the verdict of each target on a case, and in what they differ."""
    console = Console(highlight=False)
    read, verdicts = replayed.read, replayed.verdicts
    console.print(Text(str(read.path), "bold"), soft_wrap=True)
    for verdict in verdicts:
        style = "red" if verdict.violation else "green"
        console.print(Text.assemble("  ", f"{verdict.target}: ", (verdict.text, style)))
        if verdict.left_out:
            console.print(Text(f"    without {verdict.left_out}, which it cannot play", "dim"))
        if verdict.violation is not None:
            finding = Finding(read.case, verdict.violation, verdict.target, 0)
            console.print(Padding(violation_view(finding), (0, 0, 0, 4), expand=False))
    if read.takes_many:
        console.print("  It takes many cases to show this finding; its case alone does not.")
    if len(verdicts) > 1:
        other = (
            ["the same verdict on all of them"]
            if agree(verdicts)
            else ["they differ", *other_answers(verdicts)]
        )
        console.print(Text(f"  {'; '.join(other)}"), soft_wrap=True)


def print_written(written: Written) -> None:
    """Print where the script and the capture of a case are, and what the script leaves out."""
    console = Console(highlight=False)
    console.print(Text(f"{written.script}, {written.capture}"), soft_wrap=True)
    if written.left_out:
        console.print(Text(f"  without {written.left_out}, which {written.target} cannot play", "dim"))
    for gap in written.exported.gaps:
        console.print(Text(f"  not in the script: {gap}", "yellow"), soft_wrap=True)
