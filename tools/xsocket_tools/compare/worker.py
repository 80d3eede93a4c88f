"""What a worker does: take one connection, read the request, answer, close. The same in every design.

Request and answer are one line each:

    17
    17 2 1760000000000000000        by worker 2, who took the connection at this instant

The instant is that of the system's clock, nanoseconds, as the kernel stamps what comes in.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple, NoReturn

LINE_OCTETS: Final = 256

Take = Callable[[], socket.socket]
"""Waits for the next connection that is this worker's."""


class Answer(NamedTuple):
    """What an answer says.

    Attributes:
        request: The number that was asked.
        worker: Who answered.
        taken_ns: When that worker took the connection.
    """

    request: int
    worker: int
    taken_ns: int


def serve(take: Take, number: int, block_s: float) -> NoReturn:
    """Serve for ever, one connection after the other, as worker *number*.

    Args:
        take: Where connections come from.
        number: Goes into the answers.
        block_s: How long each request blocks this worker, seconds.
    """
    while True:
        with take() as connection, suppress(ConnectionError):  # the client has given up
            _answer(connection, number, time.time_ns(), block_s)


def _answer(connection: socket.socket, number: int, taken_ns: int, block_s: float) -> None:
    request = read_line(connection)
    if block_s:
        time.sleep(block_s)
    if request:
        connection.sendall(b"%s %d %d\n" % (request, number, taken_ns))


def read_line(connection: socket.socket) -> bytes:
    """Return the line that comes, without its end; nothing if the stream ends first or it is too long."""
    line = b""
    while not line.endswith(b"\n"):
        octets = connection.recv(LINE_OCTETS)
        line += octets
        if not octets or len(line) > LINE_OCTETS:
            return b""
    return line[:-1]


def parse(line: bytes) -> Answer | None:
    """Return what *line* says; None if it is no whole answer."""
    fields = line.split()
    if not line.endswith(b"\n") or len(fields) != len(Answer._fields):
        return None
    if not all(field.isdigit() for field in fields):
        return None
    return Answer(*map(int, fields))
