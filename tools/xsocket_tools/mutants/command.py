"""`xsocket mutants`: plant bugs in copies of the engine; scenarios, or the fuzzer, have to find them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xsocket_tools.mutants import fuzzed
from xsocket_tools.mutants.mutant import Mutant, read_all
from xsocket_tools.mutants.running import Library, Result, library, results, time_limit
from xsocket_tools.progress import progress_bar

if TYPE_CHECKING:
    from rich.text import Text


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--mutants",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path("tests/mutants"),
    show_default=True,
    help="Where they are.",
)
@click.option(
    "--scenarios",
    "paths",
    metavar="PATH",
    multiple=True,
    type=click.Path(path_type=Path),
    default=[Path("tests/scenarios")],
    show_default=True,
    help="Scripts, or directories of scripts; may be given several times.",
)
@click.option(
    "-j",
    "--jobs",
    "workers",
    metavar="N",
    type=click.IntRange(1, 64),
    help="How many at once; by itself one for each core.",
)
@click.option(
    "--with",
    "means",
    type=click.Choice(["scenarios", "fuzz"]),
    default="scenarios",
    show_default=True,
    help="What has to find them.",
)
@click.option(
    "--seed",
    "seeds",
    type=click.IntRange(0),
    multiple=True,
    help="With fuzz: of the cases; may be given several times, 1, 2 and 3 by itself.",
)
@click.option(
    "--time",
    "limit_s",
    type=click.FloatRange(0, min_open=True),
    help=f"With fuzz: how many seconds each seed has; {fuzzed.LIMIT_S:g} by itself.",
)
@click.option(
    "--like-linux",
    is_flag=True,
    help="With fuzz: allow what the kernel is allowed to do otherwise, to see whether that hides a bug.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
def mutants(
    names: tuple[str, ...],
    directory: Path,
    paths: tuple[Path, ...],
    workers: int | None,
    means: str,
    seeds: tuple[int, ...],
    limit_s: float | None,
    like_linux: bool,
    as_json: bool,
) -> int:
    """Plant bugs in copies of the engine, and see whether the scenario library finds them, or the fuzzer.

    Every script runs in virtual time on a copy of the engine that has one bug, until one of them fails: that
    one has killed the mutant. A mutant that never ends is killed by a time limit. With fuzz, the cases of a
    seed are put to the copy until a rule is broken, and it is killed if every seed does so. Exit status: 0 if
    all were killed, 1 if one survived, 3 if a mutant cannot be tried, or something is wrong without any bug.
    """
    workers = workers or len(os.sched_getaffinity(0))
    if means == "fuzz":
        from xsocket_tools.mutants.fuzz_report import try_all

        return try_all(
            read_all(directory, names),
            seeds or fuzzed.SEEDS,
            limit_s or fuzzed.LIMIT_S,
            workers,
            like_linux=like_linux,
            as_json=as_json,
        )
    if seeds or limit_s is not None or like_linux:
        raise click.UsageError("--seed, --time and --like-linux are for --with fuzz")
    began = time.perf_counter()
    wanted = read_all(directory, names)
    scripts = library(paths)
    found = _try_all(wanted, scripts, workers)
    seconds = time.perf_counter() - began
    survived = sum(result.survived for result in found)
    if as_json:
        beyond = sum(result.beyond_scripts for result in found)
        summary = {
            "mutants": len(found),
            "killed": len(found) - survived - beyond,
            "survived": survived,
            "beyond_scripts": beyond,
            "scripts": scripts.scripts,
            "seconds": round(seconds, 1),
            "results": [result.as_dict() for result in found],
        }
        click.echo(json.dumps(summary, indent=2))
    else:
        _print(found, scripts.scripts, seconds)
    return int(survived > 0)


def _try_all(wanted: Sequence[Mutant], scripts: Library, workers: int) -> list[Result]:
    """Return what becomes of the mutants, in their order; a bar says how far it is, on a terminal only."""
    found: dict[int, Result] = {}
    with progress_bar("without a bug", len(wanted)) as bar:
        limit_s = time_limit(scripts)
        bar.describe("mutants")
        with closing(results(wanted, scripts, limit_s=limit_s, workers=workers)) as coming:
            for place, result in coming:
                found[place] = result
                bar.advance()
    return [found[place] for place in sorted(found)]


def _killer(result: Result) -> Text:
    """Return script and line; of the script's path, directory and name, which no other has in a library."""
    from rich.text import Text

    verdict = result.verdict
    if verdict.script is None:
        beyond = f"none can: {result.mutant.beyond_scripts}"
        return Text(beyond, "dim") if result.beyond_scripts else Text("SURVIVED", "bold red")
    script = Path(verdict.script)
    place = str(Path(script.parent.name, script.name))
    return Text(f"{place}:{verdict.line}" if verdict.line else f"{place}: {verdict.message}")


def _print(found: Sequence[Result], scripts: int, seconds: float) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for heading in ("mutant", "rule", "killed by"):
        table.add_column(heading, overflow="fold")
    for result in found:
        table.add_row(result.mutant.name, result.mutant.rule, _killer(result))
    console.print(table)
    survivors = [result.mutant for result in found if result.survived]
    beyond = sum(result.beyond_scripts for result in found)
    for mutant in survivors:
        console.print(Text.assemble((mutant.name, "red"), f" ({mutant.file}): {mutant.what}"))
    killed = len(found) - len(survivors) - beyond
    counts = f"{len(found)} mutants: {killed} killed, {len(survivors)} survived"
    counts += f", {beyond} beyond scripts" if beyond else ""
    style = "bold red" if survivors else "green"
    console.print(Text(f"{counts}, by {scripts} scripts in {seconds:.1f} s", style))
