"""`xsocket bench handoff`: what it costs to hand connections over, and what they carry afterwards.

Here: what is measured in which order, and how it is shown. Servers and clients are in `servers` and `load`,
`pouring`, and `claiming`; each runs as a process of its own. All in one lab, in turn, on the same veth.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import click

from xsocket_netns import Host, Lab, SysctlError, ensure_privileges
from xsocket_tools import processors
from xsocket_tools.progress import Report, progress

CLIENT_ADDRESS: Final = "10.0.0.1"
SHARED_ADDRESS: Final = "10.0.0.2"
"""The kernel's, and the engine's that hands over."""
LINUX_ADDRESS: Final = "10.0.0.3"
ENGINE_ADDRESS: Final = "10.0.0.4"
"""The engine's alone."""
PORT: Final = 80
DIRECTIONS: Final = ("down", "up")
TARGETS: Final = {
    "cpu_us": 150.0,
    "rate_ratio": 0.25,
    "throughput_ratio": 0.95,
    "stream_mb_s": 60.0,
    "claim_p50_us": 300.0,
}
CLAIMS: Final = 1000
"""How many connections wait to be claimed over a Unix socket, in each round."""
PATIENCE_S: Final = 30.0


class Rate(NamedTuple):
    """A server under load.

    Attributes:
        per_second: Connections established, taken and ended, per second.
        cpu_us: Processor time of the server's process for each, microseconds.
        take_cpu_us: What the thread that takes them spent on taking each.
    """

    per_second: float
    cpu_us: float
    take_cpu_us: float


class Figures(NamedTuple):
    """What was measured, a list over the rounds each.

    Attributes:
        rates: By server: ``linux``, ``engine``, ``handed``.
        megabytes: Per second, by server and direction as in ``handed down``.
        claims: Microseconds of each claim over a Unix socket, a connection and its socket waiting; sorted.
    """

    rates: dict[str, list[Rate]]
    megabytes: dict[str, list[float]]
    claims: list[list[float]]


@click.command()
@click.option("--concurrency", type=click.IntRange(1, 4096), default=64, show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 60), default=0.8, show_default=True, help="Of each run."
)
@click.option(
    "--rounds", type=click.IntRange(1, 99), default=7, show_default=True, help="Runs of each server, in turn."
)
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
def handoff(concurrency: int, seconds: float, rounds: int, as_json: bool) -> None:
    """Compare connections that the kernel took over with its own.

    Each server's process has one processor, and the clients another, where there are two.

    Connections per second: a client connects, waits until the server resets the connection, and connects
    again; the server is a Python thread that accepts, or claims and hands over. Throughput: one connection at
    a time carries what it can, in both directions. Claims: another process claims connections that wait, over
    a Unix socket, and gets each as a descriptor.
    """
    ensure_privileges()
    with progress(as_json) as report:
        figures = _measure(concurrency, seconds, rounds, report)
    found = _as_object(figures, concurrency)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(found)


def _measure(concurrency: int, seconds: float, rounds: int, report: Report) -> Figures:
    figures = Figures({"linux": [], "engine": [], "handed": []}, {}, [])
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        for host in (client, server):
            _do_not_pace(host)
        shared = [f"{SHARED_ADDRESS}/24", f"{LINUX_ADDRESS}/24"]
        link = lab.link(client, server, addresses=([f"{CLIENT_ADDRESS}/24"], shared))
        interface = link[server.name].name
        for number in range(1, rounds + 1):
            for name, (address, command) in _rate_servers(interface).items():
                report(f"round {number} of {rounds}: connections per second, {name}")
                figures.rates[name].append(_rate(client, server, command, address, concurrency, seconds))
            for name, address in (
                ("linux", LINUX_ADDRESS),
                ("handed", SHARED_ADDRESS),
                ("engine", ENGINE_ADDRESS),
            ):
                report(f"round {number} of {rounds}: throughput, {name}")
                for direction, found in _throughput(
                    client, server, name, interface, address, seconds
                ).items():
                    figures.megabytes.setdefault(f"{name} {direction}", []).append(found)
            report(f"round {number} of {rounds}: claims over a Unix socket")
            figures.claims.append(sorted(_claims(client, server, interface)))
    return figures


def _do_not_pace(host: Host) -> None:
    """Use Reno in *host*: with BBR, timers decide how much goes at once, and make more of a difference."""
    with suppress(SysctlError):  # where /proc/sys is read-only it stays as it is
        host.sysctl("net.ipv4.tcp_congestion_control", "reno")


def _rate_servers(interface: str) -> dict[str, tuple[str, list[str]]]:
    """Return the address and the arguments of each server, in the order in which they take turns."""
    return {
        "linux": (LINUX_ADDRESS, ["linux", LINUX_ADDRESS, str(PORT)]),
        "engine": (ENGINE_ADDRESS, ["engine", interface, f"{ENGINE_ADDRESS}/24", str(PORT)]),
        "handed": (
            SHARED_ADDRESS,
            ["engine", "--hand-over", interface, f"{SHARED_ADDRESS}/24", str(PORT)],
        ),
    }


@contextmanager
def _running(server: Host, module: str, arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a server for the length of a block, from when it is ready; its input ends with the block."""
    argv = [sys.executable, "-m", f"xsocket_tools.{module}", *arguments]
    serving = server.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert serving.stdout is not None
    if serving.stdout.readline() != "ready\n":
        raise click.ClickException(f"the server did not start: {' '.join(arguments)}; try `xsocket doctor`")
    yield serving


def _rate(
    client: Host, server: Host, command: list[str], address: str, concurrency: int, seconds: float
) -> Rate:
    here, there = processors.apart()
    with _running(server, "servers", [*here, *command]) as serving:
        load = [sys.executable, "-m", "xsocket_tools.load", *there, address, str(PORT)]
        load += ["--concurrency", str(concurrency), "--seconds", str(seconds)]
        load += ["--busy-poll"] if there else []
        outcome = json.loads(client.command(load, timeout=seconds + 30).stdout)
        seen = json.loads(serving.communicate("", timeout=30)[0])
    if outcome["failed"] or not seen["taken"]:
        raise click.ClickException(f"{command[0]}: connections failed: {outcome['failed']}")
    taken = seen["taken"]
    rate = min(taken, outcome["established"]) / outcome["seconds"]
    return Rate(rate, seen["cpu_s"] / taken * 1e6, seen["take_cpu_s"] / taken * 1e6)


def _throughput(
    client: Host, server: Host, kind: str, interface: str, address: str, seconds: float
) -> dict[str, float]:
    """Return megabytes per second in each direction."""
    found = {}
    here, there = processors.apart()
    with _running(
        server, "pouring", ["serve", kind, interface, f"{address}/24", str(PORT), *here]
    ) as serving:
        assert serving.stdin is not None
        for direction in DIRECTIONS:
            print("one more", file=serving.stdin, flush=True)
            argv = [sys.executable, "-m", "xsocket_tools.pouring", "measure", direction, address, str(PORT)]
            argv += ["--seconds", str(seconds), *there]
            outcome = json.loads(client.command(argv, timeout=seconds + 60).stdout)
            found[direction] = outcome["octets"] / outcome["seconds"] / 1e6
        serving.communicate("", timeout=30)
    return found


def _claims(client: Host, server: Host, interface: str) -> list[float]:
    """Return how long each claim took, microseconds."""
    with tempfile.TemporaryDirectory(prefix="xsocket-bench-") as directory, ExitStack() as waiting:
        path = str(Path(directory, "pool"))
        here, there = processors.apart()
        arguments = [*here, "serve", interface, f"{SHARED_ADDRESS}/24", str(PORT), path, str(CLAIMS)]
        with _running(server, "claiming", arguments) as serving, client.enter():
            for _ in range(CLAIMS):
                waiting.enter_context(socket.create_connection((SHARED_ADDRESS, PORT), PATIENCE_S))
            assert serving.stdout is not None
            if serving.stdout.readline() != "full\n":
                raise click.ClickException("the connections did not come into the pool")
            claim = [sys.executable, "-m", "xsocket_tools.claiming", *there, "claim", path, str(CLAIMS)]
            took: list[float] = json.loads(server.command(claim, timeout=2 * PATIENCE_S).stdout)
            serving.communicate("", timeout=PATIENCE_S)
    return took


def _as_object(figures: Figures, concurrency: int) -> dict[str, Any]:
    rates, megabytes, claims = figures
    middle = {name: Rate(*map(median, zip(*runs, strict=True))) for name, runs in rates.items()}
    cost = [
        handed.cpu_us - engine.cpu_us + engine.take_cpu_us
        for handed, engine in zip(rates["handed"], rates["engine"], strict=True)
    ]
    return {
        "rate": {
            "concurrency": concurrency,
            "ratio": _ratio(
                [run.per_second for run in rates["handed"]], [run.per_second for run in rates["linux"]]
            ),
            "cpu_us": median(cost),
            **{name: run._asdict() for name, run in middle.items()},
        },
        "throughput": {
            direction: {
                "ratio": _ratio(megabytes[f"handed {direction}"], megabytes[f"linux {direction}"]),
                "handed_mb_s": median(megabytes[f"handed {direction}"]),
                "linux_mb_s": median(megabytes[f"linux {direction}"]),
                "engine_mb_s": median(megabytes[f"engine {direction}"]),
            }
            for direction in DIRECTIONS
        },
        "claim": {
            "p50_us": median(took[len(took) // 2] for took in claims),
            "p99_us": median(took[len(took) * 99 // 100] for took in claims),
        },
        "targets": TARGETS,
    }


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median over the rounds of one figure divided by the other."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    screen, rate = Console(), found["rate"]
    table = Table(title=f"Connections per second, {rate['concurrency']} at once")
    for heading in ("server", "per second", "processor time each", "ratio"):
        table.add_column(heading, justify="left" if heading == "server" else "right")
    for name, title in (
        ("linux", "Linux listen + accept"),
        ("engine", "claim"),
        ("handed", "claim + hand-over"),
    ):
        row = (title, f"{rate[name]['per_second']:,.0f}", f"{rate[name]['cpu_us']:,.0f} us")
        table.add_row(*row, f"{rate['ratio']:.2f}" if name == "handed" else "")
    screen.print(table)
    screen.print(f"Claim and hand-over cost {rate['cpu_us']:,.0f} us of processor time a connection.\n")
    table = Table(title="What one connection carries, MB/s")
    for heading in ("direction", "Linux", "handed over", "ratio", "engine, on one processor"):
        table.add_column(heading, justify="left" if heading == "direction" else "right")
    for direction, each in found["throughput"].items():
        table.add_row(
            "from the server" if direction == "down" else "to the server",
            f"{each['linux_mb_s']:,.0f}",
            f"{each['handed_mb_s']:,.0f}",
            f"{each['ratio']:.2f}",
            f"{each['engine_mb_s']:,.0f}",
        )
    screen.print(table)
    claim = found["claim"]
    screen.print(
        f"A claim over a Unix socket takes {claim['p50_us']:,.0f} us (median; p99 {claim['p99_us']:,.0f} us)."
    )
