"""The servers that the benches compare: Linux ``listen`` with an ``accept`` loop, and an engine.

Each is a process of its own inside a lab's server: ``python -m xsocket_tools.servers linux 10.0.0.3 80``.
Both take every connection and reset it in one thread, no more; they end with their standard input.
"""

import json
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address

import click

import xsocket

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: close resets, so that no run leaves connections in TIME-WAIT for the next."""
BACKLOG = 4096


@click.group()
def main() -> None:
    """Serve until standard input ends, then print how many connections were taken, as JSON."""


@main.command()
@click.argument("address")
@click.argument("port", type=int)
def linux(address: str, port: int) -> None:
    """Let the kernel listen on ADDRESS PORT, and accept in a loop."""
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=BACKLOG)
    taken = 0

    def serve() -> None:
        nonlocal taken
        with suppress(OSError):  # the listener was shut down
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                connection.close()
                taken += 1

    thread = _started(serve)
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    listener.close()
    click.echo(json.dumps({"taken": taken}))


@main.command()
@click.argument("interface")
@click.argument("address")
@click.argument("port", type=int)
@click.option("--gateway", help="Where to answer those who are on no network of ADDRESS.")
def engine(interface: str, address: str, port: int, gateway: str | None) -> None:
    """Run an engine that has ADDRESS (with its prefix length) on INTERFACE, and claim in a loop."""
    taken = 0

    def serve() -> None:
        nonlocal taken
        with suppress(xsocket.PoolClosed):
            while True:
                running.pool.claim().abort()
                taken += 1

    admission = xsocket.Admission(ports=port)
    running = xsocket.Engine(interface, [address], gateway=gateway, admission=admission)
    running.start()
    thread = _started(serve)
    running.stop()
    thread.join()
    statistics = running.statistics()
    seen = {
        "taken": taken,
        "dropped_by_kernel": statistics.link.dropped_by_kernel,
        "cookies_sent": statistics.stack.cookies_sent,
        "cookies_accepted": statistics.stack.cookies_accepted,
        "drops": {reason.name: count for reason, count in statistics.host.drops.items()},
    }
    click.echo(json.dumps(seen))


def _started(serve: Callable[[], None]) -> threading.Thread:
    """Start *serve* in a thread, say so, and return when standard input ends."""
    thread = threading.Thread(target=serve)
    thread.start()
    click.echo("ready")
    sys.stdout.flush()
    sys.stdin.read()
    return thread


if __name__ == "__main__":
    main()
