"""Ordinary clients of the Linux kernel, many at once from one thread: each sends a payload and reads it back.

Knows nothing of the engine at the other end.
"""

from __future__ import annotations

import errno
import hashlib
import os
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from xsocket import FourTuple

FIRST_PORT: Final = 20_000
"""Source ports are chosen beforehand, from here on, so that claims can be placed before the SYN."""
MOST: Final = 20_000
"""So many have source ports of their own below Linux's ephemeral ones, twice over for two IP versions."""

_CHUNK = 65_536


class Client(NamedTuple):
    """One client, planned.

    Attributes:
        four_tuple: The connection as the server names it.
        payload: What it sends and wants back; no two clients send the same.
    """

    four_tuple: FourTuple
    payload: bytes


class Report(NamedTuple):
    """What became of one client.

    Attributes:
        client: Which.
        connected: Whether the handshake was completed.
        intact: Whether its payload came back, whole and unchanged, and the stream ended.
        failure: What went wrong, as an error's name or a phrase; None when nothing did.
    """

    client: Client
    connected: bool
    intact: bool
    failure: str | None


def plan(count: int, remotes: Sequence[str], locals_: Sequence[str], port: int) -> list[Client]:
    """Return *count* clients, spread evenly over pairs of addresses.

    Args:
        count: How many, at most `MOST`.
        remotes: The clients' own addresses, one for each IP version.
        locals_: The server's, in the same order.
        port: The server's.
    """
    clients = []
    for number in range(count):
        turn, version = divmod(number, len(remotes))
        key = FourTuple(locals_[version], port, remotes[version], FIRST_PORT + turn)
        clients.append(Client(key, _payload(number)))
    return clients


def _payload(number: int) -> bytes:
    """Return text of some 100 to 800 octets that tells whose it is."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return f"client {number} says {digest}\n".encode() * (1 + number % 8)


def open_sockets(clients: Sequence[Client]) -> list[socket.socket]:
    """Return a socket for each of *clients*, bound to its source port, in the current network namespace.

    Raises:
        OSError: A port is in use, or there are too many open files; nothing stays open then.
    """
    sockets: list[socket.socket] = []
    try:
        for client in clients:
            four_tuple = client.four_tuple
            family = socket.AF_INET6 if four_tuple.family == 6 else socket.AF_INET
            sockets.append(socket.socket(family, socket.SOCK_STREAM))
            sockets[-1].setblocking(False)
            sockets[-1].bind((four_tuple.remote_address, four_tuple.remote_port))
    except BaseException:
        close_all(sockets)
        raise
    return sockets


def close_all(sockets: Sequence[socket.socket]) -> None:
    """Close every one."""
    for each in sockets:
        each.close()


def run(
    clients: Sequence[Client],
    sockets: Sequence[socket.socket],
    deadline: float,
    on_done: Callable[[], object],
) -> list[Report]:
    """Let all clients connect at once, and return what became of each when all are done.

    Args:
        clients: Who.
        sockets: What `open_sockets` returned for them; closed on return, whatever happens.
        deadline: When to give up on those that are not done, on the monotonic clock.
        on_done: Called after each.
    """
    with selectors.DefaultSelector() as selector:
        talks = [_Talk(client, own) for client, own in zip(clients, sockets, strict=True)]
        try:
            for talk in talks:
                talk.begin(selector)
            while selector.get_map() and (patience := deadline - time.monotonic()) > 0:
                for ready, _ in selector.select(patience):
                    ready.data.go_on(selector)
                    if ready.data.done:
                        selector.unregister(ready.fileobj)
                        ready.data.close()
                        on_done()
        finally:
            close_all(sockets)
    return [talk.report() for talk in talks]


class _Talk:
    """One client's conversation: connect, send, finish sending, read to the end."""

    def __init__(self, client: Client, own: socket.socket) -> None:
        self._client = client
        self._socket = own
        self._unsent = client.payload
        self._received = bytearray()
        self._connected = False
        self._failure: str | None = None
        self.done = False

    def begin(self, selector: selectors.BaseSelector) -> None:
        four_tuple = self._client.four_tuple
        status = self._socket.connect_ex((four_tuple.local_address, four_tuple.local_port))
        if status in (0, errno.EINPROGRESS):
            selector.register(self._socket, selectors.EVENT_WRITE, self)
        else:
            self._fail(status)

    def go_on(self, selector: selectors.BaseSelector) -> None:
        """Do what the socket is ready for."""
        try:
            if not self._connected:
                self._finish_connecting()
            elif self._unsent:
                self._send(selector)
            else:
                self._receive()
        except OSError as error:
            self._fail(error.errno or 0)

    def close(self) -> None:
        self._socket.close()

    def report(self) -> Report:
        intact = self.done and self._failure is None and bytes(self._received) == self._client.payload
        failure = self._failure
        if failure is None and not intact:
            failure = "payload changed" if self.done else "no answer in time"
        return Report(self._client, self._connected, intact, failure)

    def _finish_connecting(self) -> None:
        status = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            self._fail(status)
        else:
            self._connected = True

    def _send(self, selector: selectors.BaseSelector) -> None:
        self._unsent = self._unsent[self._socket.send(self._unsent) :]
        if not self._unsent:
            self._socket.shutdown(socket.SHUT_WR)
            selector.modify(self._socket, selectors.EVENT_READ, self)

    def _receive(self) -> None:
        text = self._socket.recv(_CHUNK)
        self._received += text
        self.done = not text or len(self._received) > len(self._client.payload)

    def _fail(self, number: int) -> None:
        self._failure = os.strerror(number)
        self.done = True
