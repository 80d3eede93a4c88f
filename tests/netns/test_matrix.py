"""Every combination of what a Linux peer offers, as client and as server, over a path that loses frames.

Each conversation is established, carries text both ways and closes in order; what the engine says was
negotiated is what the kernel's TCP_INFO says.
"""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, product
from struct import unpack_from
from typing import Final, NamedTuple

import pytest

from support.live import (
    ADDRESSES,
    INTERFACE,
    PATIENCE_S,
    PEERS,
    Network,
    Task,
    client,
    listener,
    network,
    stopping,
    tcp_counters,
    text_of,
)
from xsocket import Connection, Engine, Pattern, State, Trace
from xsocket.fourtuple import FourTuple
from xsocket.trace import Event, EventKind
from xsocket.wire.faulty_link import FaultRates, FaultyLink
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Host

pytestmark = pytest.mark.netns

LOSS: Final = 0.05
TEXT_OCTETS: Final = 1_000_000
AT_ONCE: Final = 8
"""How many conversations go on at the same time."""
_TCPI_OPTIONS: Final = 5
_TCPI_TIMESTAMPS, _TCPI_SACK, _TCPI_WSCALE = 1, 2, 4


class Offer(NamedTuple):
    """What the peer's kernel offers and takes, by sysctl."""

    timestamps: bool
    sack: bool
    window_scaling: bool

    @classmethod
    def every(cls) -> list["Offer"]:
        """Return every combination."""
        return [cls(*switches) for switches in product((False, True), repeat=len(cls._fields))]

    def apply(self, peer: Host) -> None:
        for name, value in self._asdict().items():
            peer.sysctl(f"net.ipv4.tcp_{name}", int(value))


class Ends:
    """Where each connection of an engine went last, as its trace tells."""

    def __init__(self) -> None:
        self.resets: list[Event] = []
        """Sent by connections; one to a FIN that comes again after its connection has ended is no fault."""
        self._last: dict[FourTuple, State] = {}
        self._moved = threading.Condition()

    def note(self, event: Event) -> None:
        if event.kind is EventKind.SENT and event.segment is not None and event.segment.rst:
            self.resets += [event] if event.before is not State.CLOSED else []
        if event.kind is EventKind.MOVED and event.four_tuple is not None and event.after is not None:
            with self._moved:
                self._last[event.four_tuple] = event.after
                self._moved.notify_all()

    def wait_for_the_end_of(self, four_tuple: FourTuple) -> None:
        def is_over() -> bool:
            return self._last.get(four_tuple) in (State.TIME_WAIT, State.CLOSED)

        with self._moved:
            assert self._moved.wait_for(is_over, PATIENCE_S), self._last.get(four_tuple)


class Conversation(NamedTuple):
    """The two ends of one connection."""

    offer: Offer
    kernel: socket.socket
    engine: Connection


@contextmanager
def lossy_engine(net: Network, ends: Ends) -> Iterator[Engine]:
    inner = net.home.run(PacketLink, INTERFACE, ADDRESSES)
    link = FaultyLink(inner, FaultRates(loss=LOSS), seed=5)
    engine = Engine(link=link, addresses=ADDRESSES, trace=Trace(limit=1, listener=ends.note))
    engine.start()
    with stopping(engine):
        yield engine


Converse = Callable[[Network, Engine, int], Iterator[Conversation]]


def converse_as_client(net: Network, engine: Engine, version: int) -> Iterator[Conversation]:
    """Let the kernel open a connection with each offer."""
    for port, offer in enumerate(Offer.every(), 1000):
        offer.apply(net.peer)
        kernel = client(net.peer, port, version)
        yield Conversation(offer, kernel, engine.pool.claim(Pattern(local_port=port), PATIENCE_S))


def converse_as_server(net: Network, engine: Engine, version: int) -> Iterator[Conversation]:
    """Let the engine open a connection to a kernel with each offer."""
    for port, offer in enumerate(Offer.every(), 2000):
        offer.apply(net.peer)
        with listener(net.peer, port, version) as waiting:
            opened = engine.connect(PEERS[version], port, PATIENCE_S)
            yield Conversation(offer, waiting.accept()[0], opened)


def negotiated_by_the_kernel(kernel: socket.socket) -> tuple[Offer, int | None, int | None, int]:
    """Return what TCP_INFO says: options, shift counts of the peer and of its own, its segment size."""
    info = kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    options, shifts = info[_TCPI_OPTIONS], info[_TCPI_OPTIONS + 1]
    (mss,) = unpack_from("I", info, 16)
    agreed = Offer(*(bool(options & bit) for bit in (_TCPI_TIMESTAMPS, _TCPI_SACK, _TCPI_WSCALE)))
    scaled = agreed.window_scaling
    return agreed, shifts & 0xF if scaled else None, shifts >> 4 if scaled else None, mss


def negotiated_by_the_engine(connection: Connection) -> tuple[Offer, int | None, int | None, int]:
    """Return the same as `negotiated_by_the_kernel`, seen from the other end."""
    info = connection.info
    agreed = Offer(info.timestamps, info.sack, info.snd_wscale is not None)
    return agreed, info.rcv_wscale, info.snd_wscale, info.rcv_mss - (12 if info.timestamps else 0)


def send(end: socket.socket | Connection, text: bytes) -> None:
    end.sendall(text)
    end.shutdown(socket.SHUT_WR)


def receive(end: socket.socket | Connection) -> bytes:
    return b"".join(iter(lambda: end.recv(1 << 18), b""))


def exchange(conversations: Sequence[Conversation]) -> None:
    """Send text both ways in every conversation at the same time, and check what arrives."""
    texts = text_of(TEXT_OCTETS), text_of(TEXT_OCTETS)[::-1]
    readers, writers = [], []
    for each in conversations:
        for end, outgoing, incoming in ((each.kernel, *texts), (each.engine, *texts[::-1])):
            end.settimeout(PATIENCE_S)
            readers.append((Task(receive, end), incoming))
            writers.append(Task(send, end, outgoing))
    for writer in writers:
        writer.result(2 * PATIENCE_S)
    for reader, text in readers:
        assert reader.result(2 * PATIENCE_S) == text


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("converse", [converse_as_client, converse_as_server], ids=["client", "server"])
def test_every_combination_with_a_linux_peer(version: int, converse: Converse) -> None:
    ends = Ends()
    with network(offload=False) as net, lossy_engine(net, ends) as engine:
        opening = converse(net, engine, version)
        count = 0
        while batch := list(islice(opening, AT_ONCE)):
            for each in batch:
                assert negotiated_by_the_kernel(each.kernel) == negotiated_by_the_engine(each.engine)
                assert negotiated_by_the_kernel(each.kernel)[0] == each.offer
            exchange(batch)
            for each in batch:
                each.kernel.close()
                each.engine.close()
                ends.wait_for_the_end_of(each.engine.four_tuple)
            count += len(batch)
        assert count == 2 ** len(Offer._fields)
        seen = tcp_counters(net.peer)
        # It may reset what comes again after its own end is closed: no connection is lost by that.
        assert (seen["EstabResets"], seen["AttemptFails"], seen["InCsumErrors"]) == (0, 0, 0)
        assert ends.resets == []
