"""The load source of the benches: ordinary kernel clients that connect, wait for the server to reset, and go.

Runs as a process of its own inside a lab's client: ``python -m xsocket_tools.load --help``. It does the same
whoever answers, so that two servers can be compared.
"""

import errno
import json
import select
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

import click

from xsocket_tools.processors import cpu_option

SLEEP_S = 0.1
"""How long to wait for the next event, unless it polls busily."""
GIVE_UP_S = 5.0
"""How long the last connections may take after the time is over."""


class Outcome(NamedTuple):
    """What a load source saw.

    Attributes:
        established: Connections that were established and ended by the server.
        in_time: Those of them that were before the time was over.
        failed: Connections that were not, by error name.
        seconds: From the first SYN to the last end.
        latencies_us: For each established one, microseconds from SYN to established, in that order.
    """

    established: int
    in_time: int
    failed: dict[str, int]
    seconds: float
    latencies_us: list[float]


class _Load:
    """Keeps *concurrency* connections under way until the time is over."""

    def __init__(
        self, address: tuple[str, int], concurrency: int, seconds: float, *, busy_poll: bool
    ) -> None:
        self._address = address
        self._sleep_s = 0.0 if busy_poll else SLEEP_S
        self._family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._concurrency, self._seconds = concurrency, seconds
        self._epoll = select.epoll()
        self._open: dict[int, tuple[socket.socket, float]] = {}
        self._settled: set[int] = set()
        self._latencies: list[float] = []
        self._ended = self._in_time = 0
        self._failed: dict[str, int] = {}

    def run(self) -> Outcome:
        started = time.perf_counter()
        until = started + self._seconds
        for _ in range(self._concurrency):
            self._start_one()
        while self._open:
            now = time.perf_counter()
            if now <= until:
                self._in_time = self._ended
            elif now > until + GIVE_UP_S:
                self._failed["no end"] = len(self._open)
                break
            for number, events in self._epoll.poll(self._sleep_s):
                self._step(number, events, time.perf_counter() < until)
        seconds = time.perf_counter() - started
        for client, _ in self._open.values():
            client.close()
        return Outcome(self._ended, self._in_time, self._failed, seconds, self._latencies)

    def _start_one(self) -> None:
        client = socket.socket(self._family, socket.SOCK_STREAM)
        client.setblocking(False)
        self._open[client.fileno()] = (client, time.perf_counter())
        error = client.connect_ex(self._address)
        if error not in (0, errno.EINPROGRESS):
            self._end(client.fileno(), errno.errorcode[error])
            return
        self._epoll.register(client.fileno(), select.EPOLLOUT | select.EPOLLIN | select.EPOLLET)

    def _step(self, number: int, events: int, more: bool) -> None:
        client, since = self._open[number]
        if number not in self._settled:
            if events & select.EPOLLERR:
                error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error != errno.ECONNRESET:  # that is the server's end of an established connection
                    self._end(number, errno.errorcode.get(error, str(error)))
                    if more:
                        self._start_one()
                    return
            self._settled.add(number)
            self._latencies.append((time.perf_counter() - since) * 1e6)
        if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            self._end(number, None)
            if more:
                self._start_one()

    def _end(self, number: int, error: str | None) -> None:
        client, _ = self._open.pop(number)
        self._settled.discard(number)
        client.close()
        if error is None:
            self._ended += 1
        else:
            self._failed[error] = self._failed.get(error, 0) + 1


def run(address: tuple[str, int], concurrency: int, seconds: float, *, busy_poll: bool = False) -> Outcome:
    """Load the server at *address* for *seconds* with *concurrency* connections at once.

    With *busy_poll* it never sleeps, which takes a processor of its own. On one machine it is the server's
    processor that wakes a client which sleeps, and the slower the server, the more often.
    """
    return _Load(address, concurrency, seconds, busy_poll=busy_poll).run()


@click.command()
@click.argument("address")
@click.argument("port", type=int)
@click.option("--concurrency", type=int, default=64, show_default=True)
@click.option("--seconds", type=float, default=2.0, show_default=True)
@click.option("--busy-poll", is_flag=True, help="Never sleep.")
@cpu_option
def main(address: str, port: int, concurrency: int, seconds: float, busy_poll: bool) -> None:
    """Connect to ADDRESS PORT again and again, and print what was seen as one line of JSON."""
    outcome = run((address, port), concurrency, seconds, busy_poll=busy_poll)
    click.echo(json.dumps(outcome._asdict()))


if __name__ == "__main__":
    main()


__all__: Sequence[str] = ["Outcome", "main", "run"]
