"""`xsocket bench`: performance, as ratios against a peer in the same run.

Here: what is measured in which order, and how it is shown. The load is in `load`, what bears it in `servers`,
a pool's weight in `crowd`; each runs as a process of its own.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import click

from xsocket_netns import Host, Lab, ensure_privileges
from xsocket_tools.flood import flood
from xsocket_tools.fuzzing.bench import fuzz
from xsocket_tools.handoff_bench import handoff
from xsocket_tools.progress import Report, progress
from xsocket_tools.scenarios.bench import scripts
from xsocket_tools.simulation import simulation

LINUX_ADDRESS = "10.0.0.3"
ENGINE_ADDRESS = "10.0.0.2"
CLIENT_ADDRESS = "10.0.0.1"
PORT = 80
TARGET_RATIO = 0.5
TARGET_OCTETS = 3 * 1024
TARGET_US = 10.0


@dataclass(frozen=True, slots=True)
class Run:
    """One server under one load.

    Attributes:
        server: ``linux`` or ``engine``.
        concurrency: Connections under way at once.
        per_second: Connections established, taken by the server and ended, per second.
        p50_us, p99_us: From SYN to established as the client saw it, microseconds.
        failed: Connections that were not established, by error.
    """

    server: str
    concurrency: int
    per_second: float
    p50_us: float
    p99_us: float
    failed: dict[str, int]


@click.group()
def bench() -> None:
    """Measure performance, as ratios against a peer in the same run."""


bench.add_command(flood)
bench.add_command(fuzz)
bench.add_command(handoff)
bench.add_command(simulation)
bench.add_command(scripts)


@bench.command()
@click.option(
    "--concurrency", multiple=True, type=click.IntRange(1, 4096), default=(1, 64), show_default=True
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, help="Of each run."
)
@click.option(
    "--rounds", type=click.IntRange(1, 99), default=3, show_default=True, help="Runs of each server, in turn."
)
@click.option(
    "--waiting",
    type=click.IntRange(0, 1_000_000),
    default=100_000,
    show_default=True,
    help="Connections in the pool for the memory figure; 0 leaves it out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
def handshakes(
    concurrency: tuple[int, ...], seconds: float, rounds: int, waiting: int, as_json: bool
) -> None:
    """Compare the engine with an accept loop under one load.

    A client connects, waits until the server resets the connection, and connects again. Both servers take
    every connection in one thread and do nothing else with it. The ratio of connections per second is the
    result: the median over the rounds, in each of which both servers run.
    """
    ensure_privileges()
    with progress(as_json) as report:
        pairs = _measure(concurrency, seconds, rounds, report)
        pool = _weigh(waiting, report) if waiting else None
    if as_json:
        click.echo(json.dumps(_as_object(pairs, pool), indent=2))
    else:
        _print(pairs, pool)


def _measure(
    concurrency: Sequence[int], seconds: float, rounds: int, report: Report
) -> dict[int, list[tuple[Run, Run]]]:
    """Run both servers in turn; return for each concurrency the pairs of runs, Linux first."""
    pairs: dict[int, list[tuple[Run, Run]]] = {level: [] for level in concurrency}
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        link = lab.link(client, server, addresses=([f"{CLIENT_ADDRESS}/24"], [f"{LINUX_ADDRESS}/24"]))
        linux = ["linux", LINUX_ADDRESS, str(PORT)]
        engine = ["engine", link[server.name].name, f"{ENGINE_ADDRESS}/24", str(PORT)]
        for number in range(1, rounds + 1):
            for level in concurrency:
                report(f"round {number} of {rounds}, {level} at once")
                first = _run(client, server, linux, LINUX_ADDRESS, level, seconds)
                second = _run(client, server, engine, ENGINE_ADDRESS, level, seconds)
                pairs[level].append((first, second))
    return pairs


def _run(
    client: Host, server: Host, command: list[str], address: str, concurrency: int, seconds: float
) -> Run:
    serving = server.popen(
        [sys.executable, "-m", "xsocket_tools.servers", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert serving.stdin is not None
    assert serving.stdout is not None
    if serving.stdout.readline() != "ready\n":
        raise click.ClickException(f"the {command[0]} server did not start; try `xsocket doctor`")
    load = [sys.executable, "-m", "xsocket_tools.load", address, str(PORT)]
    load += ["--concurrency", str(concurrency), "--seconds", str(seconds)]
    outcome = json.loads(client.command(load, timeout=seconds + 30).stdout)
    taken = json.loads(serving.communicate("", timeout=30)[0])["taken"]
    latencies = sorted(outcome["latencies_us"])
    if not latencies:
        raise click.ClickException(f"no connection to the {command[0]} server was established")
    return Run(
        command[0],
        concurrency,
        min(taken, outcome["established"]) / outcome["seconds"],
        latencies[len(latencies) // 2],
        latencies[len(latencies) * 99 // 100],
        outcome["failed"],
    )


def _weigh(connections: int, report: Report) -> dict[str, float]:
    report(f"{connections} connections into a pool")
    command = [sys.executable, "-m", "xsocket_tools.crowd", str(connections)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  # our own module
    cost: dict[str, float] = json.loads(finished.stdout)
    return cost


def _as_object(pairs: dict[int, list[tuple[Run, Run]]], pool: dict[str, float] | None) -> dict[str, Any]:
    levels = [
        {
            "concurrency": level,
            "ratio": ratio(runs),
            "linux": _middle([linux for linux, _ in runs]),
            "engine": _middle([engine for _, engine in runs]),
            "rounds": [[asdict(linux), asdict(engine)] for linux, engine in runs],
        }
        for level, runs in pairs.items()
    ]
    targets = {
        "ratio_at_64": TARGET_RATIO,
        "octets_each": TARGET_OCTETS,
        "put_us": TARGET_US,
        "claim_us": TARGET_US,
    }
    return {"levels": levels, "pool": pool, "targets": targets}


def ratio(runs: Sequence[tuple[Run, Run]]) -> float:
    """Return the median over the rounds of the engine's rate divided by Linux's."""
    return median(engine.per_second / linux.per_second for linux, engine in runs)


def _middle(runs: Sequence[Run]) -> dict[str, float]:
    """Return the median of each figure."""
    return {name: median(getattr(run, name) for run in runs) for name in ("per_second", "p50_us", "p99_us")}


def _print(pairs: dict[int, list[tuple[Run, Run]]], pool: dict[str, float] | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Handshakes: SYN to established, taken by a Python thread, ended")
    for heading in ("at once", "server", "per second", "p50", "p99", "ratio"):
        table.add_column(heading, justify="left" if heading == "server" else "right")
    for level, runs in pairs.items():
        for place, name in enumerate(("Linux listen + accept", "Xsocket pool + claim")):
            figures = _middle([pair[place] for pair in runs])
            table.add_row(
                str(level) if place == 0 else "",
                name,
                f"{figures['per_second']:,.0f}",
                f"{figures['p50_us']:,.0f} us",
                f"{figures['p99_us']:,.0f} us",
                f"{ratio(runs):.2f}" if place else "",
                end_section=place == 1,
            )
    screen = Console()
    screen.print(table)
    if pool is not None:
        screen.print(
            f"{pool['connections']:,.0f} connections wait in the pool: "
            f"{pool['octets_each']:,.0f} octets each, "
            f"put {pool['put_us']:.1f} us, exact claim {pool['claim_us']:.1f} us"
        )
