"""A kernel and an engine on one cable, each in a namespace of its own."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

import pytest

from xsocket import Engine
from xsocket.wire.faults import FaultRates
from xsocket.wire.faulty_link import FaultyLink
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Host, Lab
from xsocket_netns.offload import disable_offload

T = TypeVar("T")

PATIENCE_S: Final = 30.0
"""How long to wait for what must come; only a failing test waits that long."""
OURS: Final = {4: "10.0.0.2", 6: "fd00::2"}
PEERS: Final = {4: "10.0.0.1", 6: "fd00::1"}
ADDRESSES: Final = ("10.0.0.2/24", "fd00::2/64")
PEER_ADDRESSES: Final = ("10.0.0.1/24", "fd00::1/64")
INTERFACE: Final = "eth0"
FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}

_SNMP: Final = Path("/proc/thread-self/net/snmp")
_NETSTAT: Final = Path("/proc/thread-self/net/netstat")


class Network(NamedTuple):
    """Two hosts on a cable: the peer's kernel has addresses, that of the engine's home none, or its."""

    lab: Lab
    peer: Host
    home: Host


def until(condition: Callable[[], bool]) -> None:
    """Let other threads and the kernel run until *condition* holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("never happened")
        os.sched_yield()


@contextmanager
def network(*, offload: bool = True, shared: bool = False) -> Iterator[Network]:
    """Make the two hosts.

    Args:
        shared: Whether the kernel of the engine's home has the engine's addresses, too.
        offload: Whether the peer's kernel leaves checksums and the cutting into segments to hardware, as it
            does on a veth by default. Without it each frame is one packet and complete.
    """
    with Lab() as lab:
        peer, home = lab.host("peer"), lab.host("home")
        lab.link(peer, home, addresses=(PEER_ADDRESSES, ADDRESSES if shared else ()))
        if not offload:
            peer.run(disable_offload, INTERFACE)
        yield Network(lab, peer, home)


@contextmanager
def engine_in(home: Host, *, lossy: bool = False, **options: Any) -> Iterator[Engine]:  # noqa: ANN401
    """Run an engine in *home*, on its first interface.

    Args:
        home: Where.
        lossy: Whether every tenth frame is lost, in both directions.
        **options: Of `Engine`.
    """
    engine = make_engine(home, lossy=lossy, **options)
    home.run(engine.start)
    with stopping(engine):
        yield engine


def make_engine(home: Host, *, lossy: bool = False, **options: Any) -> Engine:  # noqa: ANN401
    """Return an engine for *home* that was not started."""
    addresses = options.setdefault("addresses", ADDRESSES)
    if not lossy:
        return Engine(INTERFACE, **options)
    inner = home.run(PacketLink, INTERFACE, addresses)
    return Engine(link=FaultyLink(inner, FaultRates(drop_every=10)), **options)


@contextmanager
def stopping(engine: Engine) -> Iterator[None]:
    """Stop *engine* at the end of the block; at once when the block failed."""
    try:
        yield
    except BaseException:
        engine.stop(linger=0)
        raise
    engine.stop()


class Task(Generic[T]):
    """A call that runs in a thread of its own, and what comes of it."""

    def __init__(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        self._call: Callable[[], T] = lambda: function(*args, **kwargs)
        self._outcome: T
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="test-task", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._call()
        except BaseException as error:
            self._error = error

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def result(self, timeout: float = PATIENCE_S) -> T:
        """Wait for the end; return or raise what the call did."""
        self._thread.join(timeout)
        assert not self.running, f"still running after {timeout} s"
        if self._error is not None:
            raise self._error
        return self._outcome


def client(peer: Host, port: int, version: int = 4) -> socket.socket:
    """Return a kernel socket of *peer* connected to the engine's *port*."""
    with peer.enter():
        return socket.create_connection((OURS[version], port), PATIENCE_S)


def listener(peer: Host, port: int, version: int = 4) -> socket.socket:
    """Return a kernel socket that listens on *port* of *peer*."""
    made = peer.run(socket.create_server, (PEERS[version], port), family=FAMILY[version])
    made.settimeout(PATIENCE_S)
    return made


def tcp_counters(host: Host) -> dict[str, int]:
    """Return the TCP counters of the kernel in *host* (RFC 4022), both IP versions together."""
    lines = [line.split() for line in host.run(_SNMP.read_text).splitlines() if line.startswith("Tcp:")]
    names, values = lines
    return dict(zip(names[1:], map(int, values[1:]), strict=True))


def linux_counters(host: Host) -> dict[str, int]:
    """Return the TCP counters that Linux adds to those of RFC 4022."""
    lines = [line.split() for line in host.run(_NETSTAT.read_text).splitlines() if line.startswith("TcpExt:")]
    names, values = lines
    return dict(zip(names[1:], map(int, values[1:]), strict=True))


def text_of(octets: int) -> bytes:
    """Return text of which no two stretches of eight octets that begin at a multiple of eight are alike."""
    return b"".join(number.to_bytes(8) for number in range(octets // 8 + 1))[:octets]
