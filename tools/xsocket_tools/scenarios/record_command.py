"""`xsocket record`: a connection from a capture, or from a lab that is running, to a scenario script."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import click

from xsocket_tools.scenarios.capture_files import captured_packets
from xsocket_tools.scenarios.conversations import (
    Captured,
    End,
    RecordingError,
    Side,
    chosen,
    conversations,
    local_end,
)
from xsocket_tools.scenarios.recording import recorded
from xsocket_tools.scenarios.renumbering import Windows


def _seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Return how many seconds *value* is, with or without an s behind it."""
    if value is None:
        return None
    if not re.fullmatch(r"\d+(\.\d+)?s?", value):
        raise click.BadParameter(f"{value} is no number of seconds, such as 10 or 2.5s")
    return float(value.removesuffix("s"))


def _end(_: click.Context, __: click.Parameter, value: str | None) -> End | None:
    """Return the end that ``ADDR:PORT`` names, an IPv6 address in brackets or not."""
    if value is None:
        return None
    address, _colon, port = value.rpartition(":")
    try:
        return End(str(ip_address(address.strip("[]"))), int(port))
    except ValueError:
        raise click.BadParameter(f"{value} is no ADDR:PORT, such as 10.0.0.2:80 or [fd00::2]:80") from None


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--side", type=click.Choice(["server", "client"]), help="Which end the script is to test.")
@click.option(
    "--local",
    callback=_end,
    metavar="ADDR:PORT",
    help="The same, by address and port; chooses among connections too.",
)
@click.option("--flow", type=int, help="Which connection of several, counted from 1.")
@click.option("--lab", help="Capture in this lab, instead of reading FILE.")
@click.option("--host", help="The lab's host to capture in.")
@click.option("--interface", help="The host's interface; all of them when left out.")
@click.option(
    "--for",
    "duration_s",
    callback=_seconds,
    metavar="SECONDS",
    help="How long to capture; until Ctrl-C when left out.",
)
@click.option(
    "--windows",
    type=click.Choice(["opening", "all", "none"]),
    default="opening",
    show_default=True,
    help="Which windows of the target to expect: until text comes in to it, all, or none.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Where to write; standard output when left out."
)
def record(
    file: Path | None,
    side: Side | None,
    local: End | None,
    flow: int | None,
    lab: str | None,
    host: str | None,
    interface: str | None,
    duration_s: float | None,
    windows: Windows,
    output: Path | None,
) -> None:
    """Make a script of one TCP connection in FILE, a pcap or pcapng, or in a running lab.

    One end becomes the target: what it sent is expected of it, and what it was sent is sent to it again. That
    is the end chosen by --side or --local, else the one on whose host the capture was made, if it says so,
    else the server. Captures made there are the best ones. Numbers count from 0, as scripts have them.
    """
    if (file is None) == (lab is None):
        raise click.UsageError("Give a FILE, or --lab and --host.")
    if file is not None:
        if host or interface or duration_s is not None:
            raise click.UsageError("--host, --interface and --for go with --lab.")
        captured, origin = captured_packets(file), file.name
    else:
        assert lab is not None
        if host is None:
            raise click.UsageError("--lab goes with --host.")
        captured, origin = _listened(lab, host, interface, duration_s), f"host {host} of lab {lab}"
    conversation = chosen(conversations(captured), number=flow, end=local)
    end = local_end(conversation, side=side, end=local)
    text = recorded(conversation, end, origin=origin, windows=windows).source
    if output is None:
        click.echo(text, nl=False)
        return
    _write(output, text)
    click.echo(f"wrote {output}: {conversation}; the target is {end}")


def _listened(lab: str, host: str, interface: str | None, duration_s: float | None) -> list[Captured]:
    from xsocket_tools.scenarios.live_capture import LiveCapture

    with LiveCapture(lab, host, interface) as capture:
        how_long = "until Ctrl-C" if duration_s is None else f"for {duration_s:g} s"
        with suppress(KeyboardInterrupt):
            click.echo(f"capturing in host {host} of lab {lab} {how_long}", err=True)
            capture.listen(duration_s)
        return capture.packets()


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror}", remedy="Check the path.") from error
