"""`xsocket bench flood`: what is left for legitimate clients while made-up sources send SYNs.

Here: what is measured in which order, and how it is shown. The flood is in `flooder`, the clients in `load`,
what bears both in `servers`; each runs as a process of its own. The engine and the kernel's listener
(tcp_syncookies=1) get the same flood, one after the other.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from resource import getpagesize
from typing import Any, Final

import click

from xsocket_netns import Host, Lab, ensure_privileges
from xsocket_tools.progress import Report, progress

LINUX_ADDRESS: Final = "10.0.0.3"
ENGINE_ADDRESS: Final = "10.0.0.2"
CLIENT_ADDRESS: Final = "10.0.0.1"
PORT: Final = 80
TARGET_SHARE: Final = 0.5
TARGET_RATE: Final = 20_000.0
WARM_UP_S: Final = 1.5
"""How long the flood goes on before it is measured: its first second fills the half-open table."""
REACHED: Final = 0.9
"""What part of the rate asked for the flooder has to reach for a run to count."""
HALVINGS: Final = 3
"""How often the search divides the gap between a rate that was borne and one that was not."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A server under one flood.

    Attributes:
        asked_per_second, sent_per_second: SYNs the flooder was told to send, and those it sent.
        before_per_second: What the clients got in the same run before the flood: connections a second.
        during_per_second: What they got while it lasted.
        share: The second divided by the first.
        p50_us, p99_us: From SYN to established during the flood, as the clients saw it, microseconds.
        failed: Connections that were not established, by error.
        resident_octets: The server's memory at every second of the flood.
        server: What the server counted in all.
    """

    asked_per_second: float
    sent_per_second: float
    before_per_second: float
    during_per_second: float
    share: float
    p50_us: float
    p99_us: float
    failed: dict[str, int]
    resident_octets: list[int]
    server: dict[str, Any]

    @property
    def counts(self) -> bool:
        """Whether the flood was what it should have been."""
        return self.sent_per_second >= REACHED * self.asked_per_second


@click.command()
@click.option(
    "--rate", type=click.FloatRange(1), default=TARGET_RATE, show_default=True, help="SYNs a second."
)
@click.option(
    "--seconds", type=click.FloatRange(0.5, 600), default=30.0, show_default=True, help="Of the flood."
)
@click.option(
    "--concurrency", type=click.IntRange(1, 4096), default=64, show_default=True, help="Clients at once."
)
@click.option(
    "--search-seconds",
    type=click.FloatRange(0, 60),
    default=3.0,
    show_default=True,
    help="Of each run in the search for the highest flood that is borne; 0 leaves it out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one object on standard output.")
def flood(rate: float, seconds: float, concurrency: int, search_seconds: float, as_json: bool) -> None:
    """Flood the engine and a listener while clients connect.

    The flood is of SYNs from made-up sources; the engine has it first, then the kernel's listener.
    A client connects, waits until the server resets the connection, and connects again. What counts is the
    share of their unflooded rate that the clients keep. Flooder, server and clients share this machine.
    """
    ensure_privileges()
    with progress(as_json) as report, _field() as field:
        results = {
            name: _Trial(field, name, concurrency, report).run(rate, seconds, search_seconds)
            for name in ("engine", "linux")
        }
    results["targets"] = {"flood_per_second": TARGET_RATE, "share": TARGET_SHARE}
    if as_json:
        click.echo(json.dumps(results, indent=2))
    else:
        _print(results)


@dataclass(frozen=True, slots=True)
class _Field:
    """Clients and flooder on one host, the servers on another."""

    client: Host
    server: Host
    client_interface: str
    server_interface: str
    server_mac: str

    def command(self, name: str) -> tuple[str, list[str]]:
        """Return the address and the arguments of a server."""
        if name == "linux":
            return LINUX_ADDRESS, ["linux", LINUX_ADDRESS, str(PORT)]
        arguments = ["engine", self.server_interface, f"{ENGINE_ADDRESS}/24", str(PORT)]
        return ENGINE_ADDRESS, [*arguments, "--gateway", CLIENT_ADDRESS]


@contextmanager
def _field() -> Iterator[_Field]:
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        link = lab.link(client, server, addresses=([f"{CLIENT_ADDRESS}/24"], [f"{LINUX_ADDRESS}/24"]))
        server.route("default", via=CLIENT_ADDRESS)
        server.sysctl("net.ipv4.tcp_syncookies", 1)
        server.sysctl("net.ipv4.tcp_no_metrics_save", 1)  # a peer that is remembered is spared
        yield _Field(client, server, link[client.name].name, link[server.name].name, link[server.name].mac)


class _Trial:
    """Everything that is measured of one server."""

    def __init__(self, field: _Field, name: str, concurrency: int, report: Report) -> None:
        self._field, self._name, self._concurrency, self._report = field, name, concurrency, report

    def run(self, rate: float, seconds: float, search_seconds: float) -> dict[str, Any]:
        """Return the run at *rate* as an object, and what the search found."""
        asked = self._stretch(rate, seconds)
        runs = search(lambda at: self._stretch(at, search_seconds), asked) if search_seconds else []
        return asdict(asked) | {"highest": highest(runs), "search": [asdict(run) for run in runs]}

    def _stretch(self, rate: float, seconds: float) -> Stretch:
        self._report(f"{self._name}: {rate:,.0f} SYNs a second for {seconds:g} s")
        address, arguments = self._field.command(self._name)
        serving = _start(self._field.server, ["xsocket_tools.servers", *arguments])
        flooding = _start(self._field.client, self._flooder(address, rate))
        before = self._load(address, min(seconds, 5.0)).result()
        assert flooding.stdin is not None
        flooding.stdin.write("go\n")
        flooding.stdin.flush()
        self._load(address, WARM_UP_S).result()
        loading = self._load(address, seconds)
        resident = [_resident(serving.pid)]
        while not loading.ended(1.0):
            resident.append(_resident(serving.pid))
        sent = json.loads(flooding.communicate("", timeout=30)[0])
        during = loading.result()
        counted = json.loads(serving.communicate("", timeout=30)[0])
        latencies = sorted(during["latencies_us"]) or [0.0]
        calm, flooded = (outcome["in_time"] / outcome["asked_seconds"] for outcome in (before, during))
        if not calm:
            raise click.ClickException(f"no connection to the {self._name} server without a flood")
        return Stretch(
            rate,
            sent["frames"] / sent["seconds"],
            calm,
            flooded,
            flooded / calm,
            latencies[len(latencies) // 2],
            latencies[len(latencies) * 99 // 100],
            during["failed"],
            resident,
            counted,
        )

    def _flooder(self, address: str, rate: float) -> list[str]:
        field = self._field
        where = [field.client_interface, field.server_mac, address, str(PORT)]
        return ["xsocket_tools.flooder", *where, "--rate", str(rate)]

    def _load(self, address: str, seconds: float) -> "_Loading":
        options = ["--concurrency", str(self._concurrency), "--seconds", str(seconds)]
        argv = [sys.executable, "-m", "xsocket_tools.load", address, str(PORT), *options]
        return _Loading(self._field.client.popen(argv, stdout=subprocess.PIPE), seconds)


class _Loading:
    """Clients at work."""

    def __init__(self, process: "subprocess.Popen[str]", seconds: float) -> None:
        self._process, self._seconds = process, seconds
        self._output = ""

    def ended(self, timeout_s: float) -> bool:
        """Wait; return whether they have finished."""
        try:
            self._output = self._process.communicate(timeout=timeout_s)[0]
        except subprocess.TimeoutExpired:
            return False
        return True

    def result(self) -> dict[str, Any]:
        """Wait for the end; return what they saw."""
        if not self._output and not self.ended(self._seconds + 60):
            raise click.ClickException("the clients did not end")
        outcome: dict[str, Any] = json.loads(self._output)
        return outcome | {"asked_seconds": self._seconds}


def _start(host: Host, module: list[str]) -> "subprocess.Popen[str]":
    """Start a process that says when it is ready, and wait for that."""
    started = host.popen([sys.executable, "-m", *module], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert started.stdout is not None
    if started.stdout.readline() != "ready\n":
        raise click.ClickException(f"{module[0]} did not start; try `xsocket doctor`")
    return started


def _resident(pid: int) -> int:
    """Return a process's resident memory, octets; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * getpagesize()
    except FileNotFoundError:
        return 0


def search(run: Callable[[float], Stretch], first: Stretch) -> list[Stretch]:
    """Find the highest flood that is borne: double or halve, then divide the gap; return every run."""
    runs = [first]
    borne, rate = _is_borne(first), first.asked_per_second
    while runs[-1].counts and _is_borne(runs[-1]) == borne and rate > 100:
        rate = rate * 2 if borne else rate / 2
        runs.append(run(rate))
    low, high = sorted((rate, rate / 2 if borne else rate * 2))
    if not runs[-1].counts or _is_borne(runs[-1]) == borne:
        return runs
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        runs.append(run(middle))
        low, high = (middle, high) if _is_borne(runs[-1]) else (low, middle)
    return runs


def highest(runs: list[Stretch]) -> float:
    """Return the highest flood among *runs* that was borne, as really sent; 0 when none was."""
    return max((run.sent_per_second for run in runs if _is_borne(run)), default=0.0)


def _is_borne(run: Stretch) -> bool:
    return run.share >= TARGET_SHARE


def _print(results: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Clients under a SYN flood from made-up sources, with SYN cookies")
    for heading in ("server", "flood/s", "before/s", "during/s", "share", "p99 us", "memory MB", "borne/s"):
        table.add_column(heading, justify="left" if heading == "server" else "right")
    for name, label in (("engine", "Xsocket"), ("linux", "Linux")):
        found = results[name]
        first, last = (found["resident_octets"][at] / 1e6 for at in (0, -1))
        table.add_row(
            label,
            f"{found['sent_per_second']:,.0f}",
            f"{found['before_per_second']:,.0f}",
            f"{found['during_per_second']:,.0f}",
            f"{found['share']:.2f}",
            f"{found['p99_us']:,.0f}",
            f"{first:.0f} to {last:.0f}",
            f"{found['highest']:,.0f}" if found["search"] else "",
        )
    Console().print(table)
