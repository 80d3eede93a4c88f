"""`xsocket bench scripts`: how many scenario scripts run in virtual time per second of one core."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import click

from xsocket_tools.progress import progress
from xsocket_tools.scenarios.errors import ScriptUsageError
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.running import run
from xsocket_tools.scenarios.script import Script
from xsocket_tools.scenarios.settings import IpVersion, Settings, ip_versions

TARGET_PER_SECOND: Final = 200.0
"""Scripts per second of one core, the aim."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of every script, each with each of its IP versions.

    Attributes:
        runs: How many there were.
        not_good: Those that failed or could not be run.
        seconds, cpu_seconds: Real time, and what of it the processor worked on this.
        read_seconds: Real time that it took to read the scripts, which is done anew in each round.
    """

    runs: int
    not_good: int
    seconds: float
    cpu_seconds: float
    read_seconds: float

    @property
    def per_second(self) -> float:
        """Runs per second of real time, reading included."""
        return self.runs / (self.seconds + self.read_seconds)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", type=click.IntRange(1, 10_000), default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
def scripts(paths: tuple[Path, ...], rounds: int, as_json: bool) -> None:
    """Measure how many scripts run per second of one core.

    Time is virtual.
    PATHS are scripts, or directories with scripts. Each round reads them anew and runs each with every IP
    version that it is for.
    """
    files = [file for path in paths for file in (sorted(path.rglob("*.pkt")) if path.is_dir() else [path])]
    if not files:
        raise ScriptUsageError(
            "there is no script in these directories", remedy="Name files that end in .pkt."
        )
    with progress(as_json) as report:
        measured = []
        for number in range(1, rounds + 1):
            report(f"{len(files)} scripts, round {number} of {rounds}")
            measured.append(one_round(files))
    if as_json:
        click.echo(json.dumps(_as_object(len(files), measured), indent=2))
        return
    rate = median(each.per_second for each in measured)
    click.echo(
        f"{rate:,.0f} scripts per second of one core (median of {rounds} rounds of {measured[0].runs} runs, "
        f"{sum(each.not_good for each in measured)} not good)"
    )


def one_round(files: list[Path]) -> Round:
    """Read and run every one of *files*."""
    start, cpu_start = time.perf_counter(), time.process_time()
    parsed = [(file, read(file.read_text(), str(file))) for file in files]
    read_by = time.perf_counter()
    outcomes = [_is_good(script, file, version) for file, script in parsed for version in ip_versions(script)]
    end, cpu_end = time.perf_counter(), time.process_time()
    return Round(len(outcomes), outcomes.count(False), end - read_by, cpu_end - cpu_start, read_by - start)


def _is_good(script: Script, file: Path, version: IpVersion) -> bool:
    outcome = run(script, "sim", Settings(ip_version=version), directory=str(file.parent))
    return outcome.status.is_good


def _as_object(count: int, measured: list[Round]) -> dict[str, Any]:
    return {
        "scripts": count,
        "per_second": median(each.per_second for each in measured),
        "per_cpu_second": median(each.runs / each.cpu_seconds for each in measured),
        "rounds": [asdict(each) for each in measured],
        "targets": {"per_second": TARGET_PER_SECOND},
    }
