"""`xsocket demo`: runs the demonstration and shows it, to a person or as JSON."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xsocket_netns import ensure_privileges
from xsocket_tools.clients import MOST
from xsocket_tools.progress import progress_bar

if TYPE_CHECKING:
    from rich.console import Console

    from xsocket_tools.demonstration import Outcome

MOST_CONSUMERS = 256
_OTHER_FILES = 64
"""Descriptors that are not clients': the lab's, the engine's, each event loop's three."""

_OPENING = (
    "In one network namespace {clients} Linux clients connect at once. In another nobody listens: an engine "
    "completes every handshake itself, packet by packet, and puts the connections into a pool, from which "
    "{consumers} consumers claim them by 4-tuple and send back what the clients say."
)

_NEXT = """\
Next, look at it packet by packet, with states and RFC rules as comments:

  xsocket demo --capture demo.pcapng
  tshark -r demo.pcapng -T fields -e frame.number -e _ws.col.Info -e frame.comment
"""


@click.command()
@click.option(
    "--clients",
    default=200,
    show_default=True,
    type=click.IntRange(1, MOST),
    help="How many connect at once.",
)
@click.option(
    "--consumers",
    default=8,
    show_default=True,
    type=click.IntRange(1, MOST_CONSUMERS),
    help="How many threads claim.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
@click.option(
    "--capture",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also write every segment to this pcapng file.",
)
def demo(clients: int, consumers: int, as_json: bool, capture: Path | None) -> int:
    """Watch Linux clients connect to an engine that has no listener, and consumers claim the connections.

    Exit status 0 only if every payload came back intact and every connection was claimed exactly once.
    """
    ensure_privileges()
    _check_directory(capture)
    _allow_open_files(clients + consumers * 3 + _OTHER_FILES)
    from rich.console import Console

    from xsocket_tools.demonstration import demonstrate

    console = Console()
    if not as_json:
        console.print(_OPENING.format(clients=clients, consumers=consumers), highlight=False)
    with progress_bar("clients served", clients) as bar:
        outcome = demonstrate(
            clients,
            consumers,
            patience_s=30.0 + clients / 200,
            whole_trace=capture is not None,
            on_done=bar.advance,
        )
    if capture is not None:
        frames = _write(capture, outcome)
    if as_json:
        click.echo(json.dumps(outcome.as_dict(), indent=2))
    else:
        show(outcome, console)
        if capture is not None:
            console.print(f"Wrote {frames:,} frames to {capture}.\n", soft_wrap=True)
        console.print(_NEXT if outcome.ok else "", soft_wrap=True, highlight=False, end="")
    return 0 if outcome.ok else 1


def _check_directory(capture: Path | None) -> None:
    """Say now, not after the run, that the capture has nowhere to go."""
    if capture is not None and not capture.absolute().parent.is_dir():
        raise click.BadParameter(f"{capture.parent} is not a directory", param_hint="--capture")


def _allow_open_files(needed: int) -> None:
    """Raise the soft limit of open files as far as needed; only root may go beyond the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise click.BadParameter(
            f"{needed} open files are needed, {hard} are allowed: ask for fewer, or raise `ulimit -Hn`",
            param_hint="--clients",
        )
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _write(capture: Path, outcome: Outcome) -> int:
    from xsocket_tools.capture import write_capture

    try:
        return write_capture(capture, outcome.trace)
    except OSError as error:
        raise click.FileError(str(capture), error.strerror) from error


def show(outcome: Outcome, console: Console) -> None:
    """Print who claimed what, the ladder of one connection, the counters, and what they amount to."""
    from xsocket_tools.ladder import ladder
    from xsocket_tools.ladder_view import LadderView

    console.rule("Who claimed what")
    console.print(_claims_table(outcome))
    if outcome.example is not None:
        console.rule("One handshake, and its claim")
        view = ladder(outcome.handshake(outcome.example), outcome.example)
        console.print(LadderView(view, peer_name="Linux client", engine_name="engine"))
    console.rule("Counted")
    console.print(_counters_table(outcome))
    console.print(_verdict(outcome))
    console.print()


def _claims_table(outcome: Outcome) -> object:
    from rich.markup import escape
    from rich.table import Table

    table = Table("consumer", "claims", box=None, pad_edge=False, header_style="bold")
    table.add_column("got", justify="right")
    table.add_column("for example (local <- remote)")
    for each in outcome.claims:
        example = "" if each.example is None else escape(str(each.example))
        table.add_row(each.consumer, escape(each.by), str(each.connections), example)
    return table


def _counters_table(outcome: Outcome) -> object:
    from rich.table import Table

    host, link = outcome.statistics.host, outcome.statistics.link
    drops = ", ".join(f"{reason.name} {count}" for reason, count in host.drops.items())
    rows = (
        ("handshakes the engine completed", host.established, f"of {outcome.clients} clients"),
        ("claimed by exactly one consumer", outcome.claimed, ""),
        ("claimed twice", outcome.claimed_twice, ""),
        ("lost: connected, never claimed", outcome.lost, ""),
        ("payloads that came back intact", outcome.payloads_ok, ""),
        ("resets sent by the engine's kernel", outcome.resets_by_kernel, "its Tcp OutRsts, IPv4 and IPv6"),
        ("segments in", host.segments_received, ""),
        ("segments out", host.segments_sent, ""),
        ("frames lost for want of buffer", link.dropped_by_kernel, ""),
        ("frames and segments ignored", sum(host.drops.values()), drops),
        ("seconds, first SYN to last answer", f"{outcome.seconds:.2f}", ""),
    )
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim", overflow="fold")
    for name, value, remark in rows:
        table.add_row(name, str(value), remark)
    return table


def _verdict(outcome: Outcome) -> object:
    from rich.text import Text

    if outcome.ok:
        return Text("Every connection had one owner, and every payload came back intact.", style="bold green")
    lines = ["It did not work."]
    for failure, count in outcome.failures.items():
        lines.append(f"  {count} client{'s' if count > 1 else ''}: {failure}")
    return Text("\n".join(lines), style="bold red")
