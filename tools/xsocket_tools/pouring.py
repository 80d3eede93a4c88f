"""One connection after the other that carries as much as it can: by the kernel, an engine, or handed over.

Both ends are processes of their own inside a lab: ``python -m xsocket_tools.pouring --help``.
"""

import json
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import click

import xsocket
from xsocket_tools.processors import cpu_option

CHUNK_OCTETS = 1 << 18
DOWN, UP = b"d", b"u"
"""What a client asks for first: that the server sends until the client ends, or receives until then."""
PATIENCE_S = 30.0

Take = Callable[[], Any]
"""Returns the next connection: a socket, or what has a socket's methods."""


@click.group()
def main() -> None:
    """Carry as much as a connection can."""


@main.command()
@click.argument("kind", type=click.Choice(["linux", "engine", "handed"]))
@click.argument("interface")
@click.argument("address")
@click.argument("port", type=int)
@cpu_option
def serve(kind: str, interface: str, address: str, port: int) -> None:
    """Serve connections to ADDRESS (with its prefix length) PORT until standard input ends."""
    if kind == "linux":
        with socket.create_server((address.partition("/")[0], port)) as listener:
            _serve(lambda: listener.accept()[0])
    else:
        admission = xsocket.Admission(ports=port)
        with xsocket.Engine(interface, [address], admission=admission) as engine:
            _serve(engine.pool.claim if kind == "engine" else lambda: engine.pool.claim().to_kernel())


def _serve(take: Take) -> None:
    click.echo("ready")
    sys.stdout.flush()
    for line in sys.stdin:
        del line  # one for each connection to come
        with take() as connection:
            _pour(connection) if connection.recv(1) == DOWN else _drain(connection)


def _pour(connection: Any) -> None:  # noqa: ANN401
    chunk = bytes(CHUNK_OCTETS)
    try:
        while True:
            connection.sendall(chunk)
    except ConnectionError:  # the client has had enough
        pass


def _drain(connection: Any) -> None:  # noqa: ANN401
    buffer = bytearray(CHUNK_OCTETS)
    octets = 0
    while taken := connection.recv_into(buffer):
        octets += taken
    connection.sendall(octets.to_bytes(8))


@main.command()
@click.argument("direction", type=click.Choice(["down", "up"]))
@click.argument("address")
@click.argument("port", type=int)
@click.option("--seconds", type=float, default=2.0, show_default=True)
@cpu_option
def measure(direction: str, address: str, port: int, seconds: float) -> None:
    """Print octets and seconds of one connection to ADDRESS PORT, as JSON; counted where they arrive."""
    with socket.create_connection((address, port), PATIENCE_S) as connection:
        started = time.perf_counter()
        octets = (_take if direction == "down" else _give)(connection, started + seconds)
        took = time.perf_counter() - started
    click.echo(json.dumps({"octets": octets, "seconds": took}))


def _take(connection: socket.socket, until: float) -> int:
    connection.sendall(DOWN)
    buffer = bytearray(CHUNK_OCTETS)
    octets = 0
    while time.perf_counter() < until:
        octets += connection.recv_into(buffer)
    return octets


def _give(connection: socket.socket, until: float) -> int:
    connection.sendall(UP)
    chunk = bytes(CHUNK_OCTETS)
    while time.perf_counter() < until:
        connection.sendall(chunk)
    connection.shutdown(socket.SHUT_WR)
    return int.from_bytes(connection.recv(8, socket.MSG_WAITALL))


if __name__ == "__main__":
    main()
