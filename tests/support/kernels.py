"""Two kernels with a path between them, a conversation across it, and what they think of it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from struct import unpack_from
from typing import Final, NamedTuple

from support.live import ADDRESSES as SERVER_ADDRESSES
from support.live import FAMILY, OURS, PATIENCE_S, PEER_ADDRESSES, Task
from xsocket_netns import Host, Lab
from xsocket_tools.path import Path
from xsocket_tools.path.element import Element

PORT: Final = 80
_TIMESTAMPS, _SACK, _WINDOW_SCALE = 1, 2, 4  # TCPI_OPT_* of linux/tcp.h


class Kernels(NamedTuple):
    """A client on the left and a server on the right, both the Linux kernel."""

    lab: Lab
    client: Host
    server: Host
    path: Path


class TcpInfo(NamedTuple):
    """Some of struct tcp_info (linux/tcp.h)."""

    options: frozenset[str]
    snd_mss: int
    retransmissions: int


class Talk(NamedTuple):
    """Both ends of a connection."""

    client: socket.socket
    server: socket.socket

    def carry(self, text: bytes) -> bytes:
        """Send *text* to the server; return what arrives there by the time all of it must have."""
        sending = Task(self.client.sendall, text)
        parts, missing = [], len(text)
        while missing > 0:
            part = self.server.recv(65_536)
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        sending.result()
        return b"".join(parts)


@contextmanager
def kernels(*elements: Element, captures: str | PathLike[str] | None = None) -> Iterator[Kernels]:
    """Make the two, with *elements* between them."""
    with Lab() as lab:
        client, server = lab.host("client"), lab.host("server")
        addresses = (PEER_ADDRESSES, SERVER_ADDRESSES)
        with Path(lab, client, server, addresses=addresses, elements=elements, captures=captures) as path:
            yield Kernels(lab, client, server, path)


@contextmanager
def talk(between: Kernels, version: int = 4) -> Iterator[Talk]:
    """Connect the client to the server for the length of a block."""
    with listening(between, version) as listener:
        with between.client.enter():
            connection = socket.create_connection((OURS[version], PORT), PATIENCE_S)
        with connection, listener.accept()[0] as accepted:
            accepted.settimeout(PATIENCE_S)
            yield Talk(connection, accepted)


@contextmanager
def listening(between: Kernels, version: int = 4) -> Iterator[socket.socket]:
    """Listen in the server for the length of a block."""
    made = between.server.run(socket.create_server, (OURS[version], PORT), family=FAMILY[version])
    with made as listener:
        listener.settimeout(PATIENCE_S)
        yield listener


def info(end: socket.socket) -> TcpInfo:
    """Return what the kernel says of a connection."""
    raw = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    names = {"timestamps": _TIMESTAMPS, "sack": _SACK, "wscale": _WINDOW_SCALE}
    options = frozenset(name for name, bit in names.items() if raw[5] & bit)
    return TcpInfo(options, unpack_from("I", raw, 16)[0], unpack_from("I", raw, 100)[0])
