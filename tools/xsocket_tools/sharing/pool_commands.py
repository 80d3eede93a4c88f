"""`xsocket pool list|stats|watch`: looks at the pool of a server that runs."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xsocket_tools.sharing.specs import default_socket, socket_option

if TYPE_CHECKING:
    from xsocket.sharing.happening import Happening
    from xsocket.sharing.protocol import Statistics


@click.group()
def pool() -> None:
    """Look at the pool of `xsocket serve`: what waits, what was counted, what happens.

    \b
    Example:
      xsocket pool stats --socket /run/xsocket/pool.sock --json
    """  # noqa: D301  # click looks for the backspace


@pool.command("list")
@socket_option
@click.option("--json", "as_json", is_flag=True, help="Print 4-tuples as JSON.")
def list_waiting(path: Path | None, as_json: bool) -> None:
    """List the connections that wait and you may claim, oldest first.

    \b
    Example:
      xsocket pool list
    """  # noqa: D301  # click looks for the backspace
    from xsocket import PoolClient

    with PoolClient(path or default_socket()) as client:
        waiting = client.list()
    if as_json:
        click.echo(json.dumps(waiting))
    else:
        for four_tuple in waiting:
            click.echo(str(four_tuple))


@pool.command()
@socket_option
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def stats(path: Path | None, as_json: bool) -> None:
    """Print the counters of pool, server and hand-over.

    \b
    Example:
      xsocket pool stats
    """  # noqa: D301  # click looks for the backspace
    from xsocket import PoolClient

    with PoolClient(path or default_socket()) as client:
        counted = client.statistics()
    if as_json:
        plain = {part: values._asdict() for part, values in counted._asdict().items()}
        click.echo(json.dumps(plain, indent=2))
    else:
        _print_statistics(counted)


def _print_statistics(counted: Statistics) -> None:
    from rich import console, table

    screen = console.Console()
    for part, values in counted._asdict().items():
        view = table.Table(part, "", title_justify="left")
        view.columns[1].justify = "right"
        for name, value in values._asdict().items():
            view.add_row(name.replace("_", " "), f"{value:,}")
        screen.print(view)


@pool.command()
@socket_option
@click.option("--json", "as_json", is_flag=True, help="Print an object a line.")
def watch(path: Path | None, as_json: bool) -> None:
    """Print what happens, until Ctrl-C or the server's end.

    \b
    Example:
      xsocket pool watch --json | jq .event
    """  # noqa: D301  # click looks for the backspace
    from xsocket import PoolClient

    with PoolClient(path or default_socket()) as client, client.watch() as happenings:
        for happening in happenings:
            click.echo(json.dumps(happening.as_dict()) if as_json else _line_of(happening))


def _line_of(happening: Happening) -> str:
    at = datetime.fromtimestamp(happening.at_s).astimezone().isoformat(sep=" ", timespec="milliseconds")
    words = [at, happening.event]
    if happening.four_tuple is not None:
        words.append(str(happening.four_tuple))
    if happening.uid is not None:
        words.append(f"uid {happening.uid}")
    if happening.pid is not None:
        words.append(f"pid {happening.pid}")
    if happening.reason is not None:
        words.append(f"({happening.reason})")
    return "  ".join(words)
