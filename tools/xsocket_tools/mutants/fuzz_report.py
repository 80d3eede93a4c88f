"""What becomes of mutants with the fuzzer, shown: a bar meanwhile, then a table or one object."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import closing
from statistics import median
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xsocket_tools.mutants.fuzzed import Result, Verdict, results
from xsocket_tools.mutants.mutant import Mutant
from xsocket_tools.progress import progress_bar


def try_all(
    wanted: Sequence[Mutant],
    seeds: Sequence[int],
    limit_s: float,
    workers: int,
    *,
    like_linux: bool,
    as_json: bool,
) -> int:
    """Try mutants with every seed and print what becomes of them; return the exit status.

    Args:
        wanted: What to try.
        seeds: Of the cases.
        limit_s: For how long with each, seconds.
        workers: How many at once.
        like_linux: Whether they may do what Linux is allowed to do otherwise.
        as_json: Print one object.
    """
    began = time.perf_counter()
    found: dict[int, Result] = {}
    with (
        progress_bar("mutants", len(wanted)) as bar,
        closing(results(wanted, seeds, limit_s=limit_s, workers=workers, like_linux=like_linux)) as coming,
    ):
        for place, result in coming:
            found[place] = result
            bar.advance()
    ordered = [found[place] for place in sorted(found)]
    seconds = time.perf_counter() - began
    if as_json:
        click.echo(json.dumps(_as_dict(ordered, seeds, limit_s, seconds), indent=2))
    else:
        _print(ordered, seeds, seconds)
    return int(any(result.survived for result in ordered))


def _needed(found: Sequence[Result]) -> list[int]:
    """Return how many cases it took, of each mutant and seed that found it."""
    return sorted(verdict.cases for result in found for verdict in result.verdicts if verdict.how)


def _as_dict(found: Sequence[Result], seeds: Sequence[int], limit_s: float, seconds: float) -> dict[str, Any]:
    survived = sum(result.survived for result in found)
    needed = _needed(found)
    return {
        "mutants": len(found),
        "killed": len(found) - survived,
        "survived": survived,
        "seeds": list(seeds),
        "time": limit_s,
        "cases": {"median": median(needed), "most": needed[-1]} if needed else None,
        "seconds": round(seconds, 1),
        "results": [result.as_dict() for result in found],
    }


def _print(found: Sequence[Result], seeds: Sequence[int], seconds: float) -> None:
    console = Console(highlight=False)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for heading in ("mutant", "rule", *(f"seed {seed}" for seed in seeds), "told by"):
        table.add_column(heading, overflow="fold", justify="right" if heading.startswith("seed") else "left")
    for mutant, verdicts in found:
        told = dict.fromkeys(verdict.section for verdict in verdicts if verdict.how)
        table.add_row(mutant.name, mutant.rule, *map(_cases, verdicts), Text("\n".join(told)))
    console.print(table)
    survivors = [result.mutant for result in found if result.survived]
    for mutant in survivors:
        console.print(Text.assemble((mutant.name, "red"), f" ({mutant.file}): {mutant.what}"))
    counts = f"{len(found)} mutants: {len(found) - len(survivors)} killed, {len(survivors)} survived"
    needed = _needed(found)
    cases = f", by {median(needed):,.0f} cases in the median and {needed[-1]:,} at most" if needed else ""
    style = "bold red" if survivors else "green"
    console.print(Text(f"{counts}{cases}, in {seconds:.1f} s", style))


def _cases(verdict: Verdict) -> Text:
    if not verdict.how:
        return Text(f"SURVIVED {verdict.cases:,}", "bold red")
    return Text(f"{verdict.cases:,}" + (f" {verdict.how}" if verdict.how != "violation" else ""))
