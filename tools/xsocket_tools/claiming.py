"""A pool server, and a worker of another process that claims from it one connection after the other.

Both are processes of their own inside a lab's server: ``python -m xsocket_tools.claiming --help``.
"""

import json
import sys
import time

import click

import xsocket
from xsocket_tools.processors import cpu_option

PATIENCE_S = 30.0


@click.group()
@cpu_option
def main() -> None:
    """Claim over a Unix socket."""


@main.command()
@click.argument("interface")
@click.argument("address")
@click.argument("port", type=int)
@click.argument("path")
@click.argument("waiting", type=int)
def serve(interface: str, address: str, port: int, path: str, waiting: int) -> None:
    """Serve an engine's pool at PATH until standard input ends; say when WAITING connections are in it."""
    admission = xsocket.Admission(ports=port)
    with (
        xsocket.Engine(interface, [address], admission=admission) as engine,
        xsocket.PoolServer(engine, path),
    ):
        _say("ready")
        engine.pool.wait_for(waiting, PATIENCE_S)
        _say("full")
        sys.stdin.read()


@main.command()
@click.argument("path")
@click.argument("count", type=int)
def claim(path: str, count: int) -> None:
    """Claim COUNT connections from PATH, and print how long each claim took, in microseconds, as JSON."""
    took = []
    with xsocket.PoolClient(path) as client:
        for _ in range(count):
            started = time.perf_counter()
            claimed = client.claim(timeout=PATIENCE_S)
            took.append((time.perf_counter() - started) * 1e6)
            claimed.close()
    click.echo(json.dumps(took))


def _say(word: str) -> None:
    click.echo(word)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
