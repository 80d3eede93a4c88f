"""`xsocket bench simulation`: how much faster than life virtual time runs, on one core.

Two figures: complete handshakes per second of real time, and the real time that a year of keep-alive takes.
"""

import json
import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

import click

from xsocket import Connection, Simulation, TcpConfig
from xsocket.simulation import SimulatedHost, SimulatedLink
from xsocket_tools.progress import Report, progress

ADDRESS: Final = "10.0.0.2"
PORT: Final = 80
DELAY_S: Final = 0.01
YEAR_S: Final = 365 * 86_400.0
TARGET_PER_SECOND: Final = 5_000.0
TARGET_YEAR_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Handshakes:
    """One run of connections that are opened, claimed and reset.

    Attributes:
        count: Handshakes completed: SYN, SYN+ACK and ACK sent, received and answered.
        seconds, cpu_seconds: Real time, and what of it the processor worked on this.
        virtual_s: How much virtual time passed.
    """

    count: int
    seconds: float
    cpu_seconds: float
    virtual_s: float

    @property
    def per_second(self) -> float:
        """Handshakes per second of real time."""
        return self.count / self.seconds


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A year of it, on one connection between two hosts that probe each other.

    Attributes:
        virtual_s: How much virtual time passed.
        seconds, cpu_seconds: Real time, and what of it the processor worked on this.
        probes: Probes sent by the one host that counts.
        frames: Frames sent in all: for each probe stations are looked for, found and forgotten.
    """

    virtual_s: float
    seconds: float
    cpu_seconds: float
    probes: int
    frames: int


@click.command()
@click.option(
    "--handshakes",
    "count",
    type=click.IntRange(1, 10_000_000),
    default=20_000,
    show_default=True,
    help="In each round.",
)
@click.option(
    "--at-once", type=click.IntRange(1, 10_000), default=64, show_default=True, help="Connections under way."
)
@click.option("--rounds", type=click.IntRange(1, 99), default=3, show_default=True)
@click.option(
    "--days", type=click.FloatRange(1, 36_500), default=365.0, show_default=True, help="Of keep-alive."
)
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
def simulation(count: int, at_once: int, rounds: int, days: float, as_json: bool) -> None:
    """Measure handshakes in virtual time.

    Handshakes per second, and how long a year of keep-alive takes.
    Both ends of every connection live in this one thread, on a link of 10 ms, and every frame is a whole one.
    The server claims each connection and resets it, so that the next may have its ports.
    """
    with progress(as_json) as report:
        runs = [
            _measured(f"{count} handshakes, round {number} of {rounds}", report, count, at_once)
            for number in range(1, rounds + 1)
        ]
        report(f"{days:g} days of keep-alive")
        year = keep_alive(days * 86_400)
    if as_json:
        click.echo(json.dumps(_as_object(runs, at_once, year), indent=2))
    else:
        _print(runs, at_once, year)


def _measured(what: str, report: Report, count: int, at_once: int) -> Handshakes:
    report(what)
    return handshakes(count, at_once)


def handshakes(count: int, at_once: int) -> Handshakes:
    """Let at least *count* connections be opened, *at_once* at a time, claimed and reset."""
    sim, client, server, _ = _world(TcpConfig())
    client.connect(ADDRESS, PORT).abort()
    sim.run(for_s=1.0)
    before = server.counters().established
    start, cpu_start, virtual_start = time.perf_counter(), time.process_time(), sim.now
    done = 0
    while done < count:
        opened = [client.open(ADDRESS, PORT) for _ in range(at_once)]
        _claim_and_reset(server, opened)
        sim.run(for_s=2 * DELAY_S)
        done += at_once
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    completed = server.counters().established - before
    assert completed == done == client.counters().established - 1, "every handshake is complete at both ends"
    return Handshakes(completed, seconds, cpu_seconds, sim.now - virtual_start)


def _claim_and_reset(server: SimulatedHost, opened: list[Connection]) -> None:
    for connection in opened:
        server.pool.claim(connection.four_tuple.reversed).abort()


def keep_alive(virtual_s: float) -> KeepAlive:
    """Let a connection be idle for *virtual_s* seconds, with keep-alive at both ends."""
    sim, client, server, link = _world(TcpConfig(keepalive=True))
    connection = client.connect(ADDRESS, PORT)
    claimed = server.pool.claim()
    before = client.counters().segments_sent
    start, cpu_start = time.perf_counter(), time.process_time()
    sim.run(for_s=virtual_s)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    assert connection.state is claimed.state, "nobody was given up"
    return KeepAlive(
        virtual_s, seconds, cpu_seconds, client.counters().segments_sent - before, link.counts().sent
    )


def _world(config: TcpConfig) -> tuple[Simulation, SimulatedHost, SimulatedHost, SimulatedLink]:
    sim = Simulation(seed=1, trace_limit=0)
    client = sim.host("10.0.0.1/24", name="client", config=config)
    server = sim.host(f"{ADDRESS}/24", name="server", config=config)
    return sim, client, server, sim.link(client, server, delay_s=DELAY_S)


def _as_object(runs: list[Handshakes], at_once: int, year: KeepAlive) -> dict[str, Any]:
    return {
        "handshakes": {
            "at_once": at_once,
            "per_second": median(run.per_second for run in runs),
            "per_cpu_second": median(run.count / run.cpu_seconds for run in runs),
            "rounds": [asdict(run) for run in runs],
        },
        "keep_alive": asdict(year),
        "targets": {"handshakes_per_second": TARGET_PER_SECOND, "year_of_keep_alive_s": TARGET_YEAR_S},
    }


def _print(runs: list[Handshakes], at_once: int, year: KeepAlive) -> None:
    from rich.console import Console

    screen = Console()
    rate = median(run.per_second for run in runs)
    screen.print(
        f"{rate:,.0f} handshakes per second, both ends on one core, {at_once} at once "
        f"(median of {len(runs)} rounds)"
    )
    screen.print(
        f"{year.virtual_s / 86_400:,.0f} days of keep-alive in {year.seconds:.1f} s: "
        f"{year.probes:,} segments by one end, {year.frames:,} frames in all"
    )
