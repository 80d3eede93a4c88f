"""A pool server on real packets, its clients in other processes, and what they are made to do."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from support.live import PATIENCE_S, Task, client, engine_in, network
from xsocket import Admission, Engine, PoolClient, PoolServer, TcpConfig
from xsocket.sharing import protocol
from xsocket.sharing.happening import ServerStatistics
from xsocket_netns import Host

ECHO: Final = """
import socket, sys, xsocket
with xsocket.PoolClient(sys.argv[1]) as client, client.claim() as connection:
    print("claimed", flush=True)
    while octets := connection.recv(65536):
        connection.sendall(octets)
"""
"""A worker: claims one connection and sends back what comes."""


class Scene(NamedTuple):
    """A peer, and a home whose kernel has the engine's addresses, too, with a pool server."""

    peer: Host
    home: Host
    engine: Engine
    server: PoolServer

    @property
    def path(self) -> Path:
        """The server's socket."""
        return self.server.path

    def connect(self, port: int = 80, version: int = 4) -> socket.socket:
        """Return a new connection of the peer's kernel to the engine."""
        return client(self.peer, port, version)

    def serves(self, peer: socket.socket) -> bool:
        """Return whether a client gets the other end of *peer* and text goes both ways; it is closed then."""
        with PoolClient(self.path) as client, client.claim(timeout=PATIENCE_S) as made:
            return exchanged(peer, made)

    def serves_another(self) -> bool:
        """Return whether the next connection is served."""
        with self.connect() as peer:
            return self.serves(peer)

    def counts(self) -> ServerStatistics:
        """Return what the server has counted."""
        return self.server.statistics().server


@contextmanager
def short_directory() -> Iterator[Path]:
    """Make a directory whose path leaves room for a socket's name: those have 107 octets."""
    directory = Path(tempfile.mkdtemp(prefix="xs-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def scene(ports: str = "80", config: TcpConfig | None = None, **options: Any) -> Iterator[Scene]:  # noqa: ANN401
    """Make it all; *options* are those of `PoolServer`."""
    with (
        short_directory() as directory,
        network(shared=True) as (_, peer, home),
        engine_in(home, admission=Admission(ports=ports), config=config) as engine,
        PoolServer(engine, directory / "pool.sock", **options) as server,
    ):
        yield Scene(peer, home, engine, server)


def exchanged(one: socket.socket, other: socket.socket, text: bytes = b"hello") -> bool:
    """Return whether *text* goes both ways."""
    return sent(one, other, text) == text and sent(other, one, text) == text


def sent(one: socket.socket, other: socket.socket, text: bytes) -> bytes:
    """Send *text* from one to the other; return what comes there."""
    other.settimeout(PATIENCE_S)
    sending = Task(one.sendall, text)
    got = b""
    while len(got) < len(text) and (part := other.recv(1 << 16)):
        got += part
    sending.result()
    return got


def echoes(peer: socket.socket, text: bytes = b"hello") -> bool:
    """Return whether whoever has the other end sends back *text*."""
    peer.settimeout(PATIENCE_S)
    peer.sendall(text)
    got = b""
    while len(got) < len(text) and (part := peer.recv(1 << 16)):
        got += part
    return got == text


Started = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def programs(environment: Mapping[str, str]) -> Iterator[Started]:
    """Yield what starts Python programs, by their text and arguments; they are killed at the end."""
    children: list[subprocess.Popen[str]] = []

    def start(text: str, *arguments: object) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-W", "error", "-c", text, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        child = subprocess.Popen(argv, env=dict(environment), text=True, **pipes)
        children.append(child)
        return child

    try:
        yield start
    finally:
        for child in children:
            child.kill()
            child.communicate(timeout=PATIENCE_S)


class Raw:
    """A client that says exactly what a test wants, and no more.

    Args:
        path: Of the server.
    """

    def __init__(self, path: Path) -> None:
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(PATIENCE_S)
        self.channel.connect(os.fspath(path))

    def ask(self, request: protocol.Request) -> None:
        """Send a request."""
        self.say(protocol.encode_request(request))

    def say(self, octets: bytes) -> None:
        """Send anything."""
        self.channel.send(octets)

    def hear(self) -> tuple[protocol.Answer, socket.socket | None]:
        """Return the next answer and the socket that came with it; raises `EOFError` at the end."""
        octets, ancillary, _, _ = self.channel.recvmsg(4096, socket.CMSG_SPACE(4))
        if not octets:
            raise EOFError
        descriptors = [array("i", rights)[0] for _, _, rights in ancillary]
        made = socket.socket(fileno=descriptors[0]) if descriptors else None
        return protocol.parse_answer(octets), made

    def refused(self) -> str:
        """Return the name of the error that is the next answer."""
        answer, _ = self.hear()
        assert isinstance(answer, protocol.Refused), answer
        return answer.name

    def claimed(self) -> socket.socket:
        """Return the socket that comes next; it is not acknowledged."""
        answer, made = self.hear()
        assert isinstance(answer, protocol.Given), answer
        assert made is not None
        made.settimeout(PATIENCE_S)
        return made

    def ended(self) -> bool:
        """Return whether the server has ended the connection, by now or soon; answers are skipped."""
        try:
            while True:
                self.hear()
        except (EOFError, ConnectionError):
            return True

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
