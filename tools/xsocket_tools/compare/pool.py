"""The engine of one trial, and its pool for other processes: ``python -m xsocket_tools.compare.pool --help``.

A process of its own, as `xsocket serve` is. When its standard input ends it prints what was counted, and the
processor time that was used meanwhile.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Final

import click

import xsocket
from xsocket_tools.processors import cpu_option

ACKNOWLEDGE_S: Final = 0.25
"""How long a worker may take to say that a connection has come; after that another worker gets it."""


@click.command()
@click.argument("interface")
@click.argument("address")
@click.argument("port", type=int)
@click.argument("path")
@cpu_option
def main(interface: str, address: str, port: int, path: str) -> None:
    """Complete handshakes for PORT of ADDRESS (with its prefix length), and let others claim at PATH."""
    with (
        xsocket.Engine(interface, [address], admission=xsocket.Admission(ports=port)) as engine,
        xsocket.PoolServer(engine, path, acknowledge_s=ACKNOWLEDGE_S) as server,
    ):
        click.echo("ready")
        sys.stdout.flush()
        began = time.process_time()
        sys.stdin.read()
        used_us = round((time.process_time() - began) * 1e6)
        click.echo(json.dumps({**server.statistics().server._asdict(), "cpu_us": used_us}))


if __name__ == "__main__":
    main()
