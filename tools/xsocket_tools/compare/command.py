"""`xsocket compare`: what a shared listener, SO_REUSEPORT and the pool do with the same load."""

from __future__ import annotations

import json
import os
import platform
import resource
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click

from xsocket_netns import ensure_privileges
from xsocket_tools.compare.arrivals import arrivals
from xsocket_tools.compare.designs import Design, can_migrate
from xsocket_tools.compare.errors import NotThatManyError
from xsocket_tools.compare.load import descriptors_for
from xsocket_tools.compare.parameters import MOST_REQUESTS, MOST_WORKERS, Parameters
from xsocket_tools.compare.result import Machine, Result
from xsocket_tools.compare.situations import Situation
from xsocket_tools.compare.trial import Trial, trials
from xsocket_tools.progress import progress_bar

NORMAL: Final = Parameters()
QUICK: Final = Parameters(requests=400, rate=400.0, crowd=25, stop_s=0.5, patience_s=1.5)
CROWD_PART: Final = 16
"""A crowd is no more than this part of the requests, unless its size was given."""


@click.command()
@click.option(
    "--workers",
    type=click.IntRange(2, MOST_WORKERS),
    default=NORMAL.workers,
    show_default=True,
    help="Processes that serve.",
)
@click.option(
    "--requests", type=click.IntRange(1, MOST_REQUESTS), help=f"In each trial; by itself {NORMAL.requests}."
)
@click.option(
    "--rate",
    type=click.FloatRange(1, 100_000),
    help=f"Requests a second, on average; by itself {NORMAL.rate:g}.",
)
@click.option(
    "--crowd",
    type=click.IntRange(0, MOST_REQUESTS),
    help=f"How many of them come together, three times in a trial; by itself {NORMAL.crowd} at most.",
)
@click.option(
    "--seed", type=int, default=NORMAL.seed, show_default=True, help="Of the instants at which they come."
)
@click.option(
    "--design",
    "designs",
    type=click.Choice([each.value for each in Design]),
    multiple=True,
    help="Only this one; may be given several times.",
)
@click.option(
    "--situation",
    "situations",
    type=click.Choice([each.value for each in Situation]),
    multiple=True,
    help="Only this one; may be given several times.",
)
@click.option(
    "--quick",
    is_flag=True,
    help=f"{QUICK.requests} requests a trial, and {QUICK.stop_s:g} s for a stop: to see it work.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
@click.option(
    "--report",
    metavar="FILE.html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with plots, too; takes the extra xsocket[report].",
)
def compare(
    workers: int,
    requests: int | None,
    rate: float | None,
    crowd: int | None,
    seed: int,
    designs: Sequence[str],
    situations: Sequence[str],
    quick: bool,
    as_json: bool,
    report: Path | None,
) -> None:
    """Put the same load on a shared listener, on SO_REUSEPORT and on the pool, and compare.

    In a lab of its own, with as many worker processes in each design: under even load; with one worker that
    is blocked for 100 ms by each request; with one that is stopped for 2 s; with one that is killed. Requests
    come at instants that were drawn beforehand, whatever becomes of them. Exit status: 0, whatever is found.
    """
    basis = QUICK if quick else NORMAL
    parameters = basis._replace(workers=workers, seed=seed, requests=requests or basis.requests)
    parameters = parameters._replace(
        rate=rate or parameters.rate,
        crowd=min(basis.crowd, parameters.requests // CROWD_PART) if crowd is None else crowd,
    )
    _check(parameters)
    if report is not None:
        from xsocket_tools.compare.report import check_writable

        check_writable(report)
    ensure_privileges()
    result = _compared(designs, situations, parameters)
    if report is not None:
        from xsocket_tools.compare.report import write

        write(result, report)
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=2))
    else:
        from xsocket_tools.compare.tables import show

        show(result)


def _check(parameters: Parameters) -> None:
    """Raise if the clients cannot make this load, before anything runs."""
    arrivals(parameters)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = descriptors_for(parameters.requests)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise NotThatManyError(
            f"{parameters.requests} requests may take {wanted} open files, and {hard} are allowed",
            remedy=f"Ask for fewer requests, or have more allowed (ulimit -H -n {wanted}).",
        )


def _compared(designs: Sequence[str], situations: Sequence[str], parameters: Parameters) -> Result:
    """Run every trial; on a terminal a bar says how far it is."""
    wanted = [each for each in Design if not designs or each.value in designs]
    notes = []
    if Design.MIGRATE in wanted and not can_migrate():
        wanted.remove(Design.MIGRATE)
        notes.append("this kernel has no net.ipv4.tcp_migrate_req (Linux 5.14)")
    chosen = [each for each in Situation if not situations or each.value in situations]
    done: list[Trial] = []
    with progress_bar("comparing", len(wanted) * len(chosen)) as bar:
        for trial in trials(wanted, chosen, parameters, bar.describe):
            done.append(trial)
            bar.advance()
    return Result(_machine(), parameters, done, notes)


def _machine() -> Machine:
    cpus = len(os.sched_getaffinity(0))
    return Machine(platform.release(), cpus, platform.python_version(), version("xsocket"))
