"""The servers that the benches compare: Linux ``listen`` with an ``accept`` loop, and an engine.

Each is a process of its own inside a lab's server: ``python -m xsocket_tools.servers linux 10.0.0.3 80``.
They take every connection and reset it in one thread, no more; they end with their standard input.
"""

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Generic, TypeVar

import click

import xsocket
from xsocket_tools.processors import cpu_option

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: close resets, so that no run leaves connections in TIME-WAIT for the next."""
BACKLOG = 4096
TIMED_EACH = 16
"""Of so many connections, the processor time of one is taken: asking for it costs some 2 us."""

T = TypeVar("T")


@click.group()
@cpu_option
def main() -> None:
    """Serve until standard input ends, then print how many connections were taken, as JSON.

    ``cpu_s`` is the processor time of the whole process meanwhile, ``take_cpu_s`` what the thread that serves
    spent on taking connections.
    """


@main.command()
@click.argument("address")
@click.argument("port", type=int)
def linux(address: str, port: int) -> None:
    """Let the kernel listen on ADDRESS PORT, and accept in a loop."""
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    listener = socket.create_server((address, port), family=family, backlog=BACKLOG)
    serving = _Serving(lambda: listener.accept()[0], _reset, OSError)  # the listener was shut down
    serving.run_until_input_ends(lambda: listener.shutdown(socket.SHUT_RDWR))
    listener.close()
    click.echo(json.dumps(serving.seen()))


@main.command()
@click.argument("interface")
@click.argument("address")
@click.argument("port", type=int)
@click.option("--gateway", help="Where to answer those who are on no network of ADDRESS.")
@click.option("--hand-over", is_flag=True, help="Hand each to the kernel, which has ADDRESS, too.")
def engine(interface: str, address: str, port: int, gateway: str | None, hand_over: bool) -> None:
    """Run an engine that has ADDRESS (with its prefix length) on INTERFACE, and claim in a loop."""
    admission = xsocket.Admission(ports=port)
    running = xsocket.Engine(interface, [address], gateway=gateway, admission=admission)
    running.start()
    serving: _Serving[Any]
    if hand_over:
        serving = _Serving(lambda: running.pool.claim().to_kernel(), _reset, xsocket.PoolClosed)
    else:
        serving = _Serving(running.pool.claim, xsocket.Connection.abort, xsocket.PoolClosed)
    serving.run_until_input_ends(running.stop)
    statistics = running.statistics()
    seen = {
        **serving.seen(),
        "dropped_by_kernel": statistics.link.dropped_by_kernel,
        "cookies_sent": statistics.stack.cookies_sent,
        "cookies_accepted": statistics.stack.cookies_accepted,
        "drops": {reason.name: count for reason, count in statistics.host.drops.items()},
    }
    click.echo(json.dumps(seen))


class _Serving(Generic[T]):
    """A thread that takes connections and ends them until taking raises.

    Args:
        take: Returns the next connection.
        end: Ends it.
        over: What *take* raises when there will be no more.
    """

    def __init__(self, take: Callable[[], T], end: Callable[[T], object], over: type[Exception]) -> None:
        self._take, self._end, self._over = take, end, over
        self._taken = 0
        self._take_cpu_s = self._cpu_s = 0.0

    def run_until_input_ends(self, stop: Callable[[], object]) -> None:
        """Serve from now on; when standard input ends, *stop* and wait for the thread."""
        thread = threading.Thread(target=self._serve)
        before = time.process_time()
        thread.start()
        click.echo("ready")
        sys.stdout.flush()
        sys.stdin.read()
        self._cpu_s = time.process_time() - before
        stop()
        thread.join()

    def _serve(self) -> None:
        take, end = self._take, self._end
        with suppress(self._over):
            while True:
                for _ in range(TIMED_EACH - 1):
                    end(take())
                    self._taken += 1
                before = time.thread_time()
                connection = take()
                self._take_cpu_s += (time.thread_time() - before) * TIMED_EACH
                end(connection)
                self._taken += 1

    def seen(self) -> dict[str, float]:
        """Return the figures."""
        return {"taken": self._taken, "cpu_s": self._cpu_s, "take_cpu_s": self._take_cpu_s}


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    connection.close()


if __name__ == "__main__":
    main()
