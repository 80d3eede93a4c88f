"""Explicit congestion notification with a Linux peer, over a cable that marks as a busy router would."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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
    text_of,
)
from support.programs import needed
from support.virtual import DAY_S, Flow
from support.wiretap import judged
from xsocket import Connection, Engine, Simulation, TcpConfig, Trace
from xsocket.segment import NOT_ECT, RST, SYN
from xsocket.trace import EventKind
from xsocket.wire.faults import FaultRates
from xsocket.wire.faulty_link import FaultyLink
from xsocket.wire.packet_link import PacketLink
from xsocket_tools.capture import write_capture

pytestmark = pytest.mark.netns

MARK: Final = 0.03
TEXT: Final = text_of(500_000)
_TCPI_OPTIONS, _TCPI_ECN, _TCPI_ECN_SEEN = 5, 8, 16
_TCPI_DELIVERED_CE: Final = 196
"""Where `struct tcp_info` has it; older kernels' is shorter, and says nothing of marks that came."""
versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


class Kernel(NamedTuple):
    """What TCP_INFO says."""

    ecn: bool
    saw_ect: bool
    delivered_ce: int


def told_by(kernel: socket.socket) -> Kernel:
    info = kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 320)
    options = info[_TCPI_OPTIONS]
    (delivered_ce,) = unpack_from("I", info, _TCPI_DELIVERED_CE)
    return Kernel(bool(options & _TCPI_ECN), bool(options & _TCPI_ECN_SEEN), delivered_ce)


class Marking(NamedTuple):
    """An engine behind a cable that marks, and what it saw."""

    engine: Engine
    link: FaultyLink
    trace: Trace


@contextmanager
def marking(net: Network, ecn: int) -> Iterator[Marking]:
    link = FaultyLink(net.home.run(PacketLink, INTERFACE, ADDRESSES), FaultRates(mark=MARK), seed=3)
    trace = Trace()
    engine = Engine(link=link, addresses=ADDRESSES, config=TcpConfig(ecn=ecn), trace=trace)
    engine.start()
    with stopping(engine):
        yield Marking(engine, link, trace)


def exchange(kernel: socket.socket, connection: Connection) -> None:
    """Carry the text one way, then the other."""
    for source, sink in ((kernel, connection), (connection, kernel)):
        source.settimeout(PATIENCE_S)
        sink.settimeout(PATIENCE_S)
        sending = Task(source.sendall, TEXT)
        got = bytearray()
        while len(got) < len(TEXT):
            got += sink.recv(1 << 18)
        sending.result()
        assert bytes(got) == TEXT


def check_that_both_heard(there: Marking, kernel: socket.socket, connection: Connection) -> None:
    ours, theirs = connection.info.ecn, told_by(kernel)
    assert ours is not None
    assert (ours.accurate, ours.sends_ect) == (False, True)
    assert (theirs.ecn, theirs.saw_ect) == (True, True)
    marked_by_us, marked_for_us = there.link.outgoing.marked, there.link.incoming.marked
    assert ours.received_ce == marked_for_us > 0
    assert theirs.delivered_ce >= marked_for_us
    assert ours.delivered_ce >= marked_by_us > 0
    assert connection.info.ssthresh is not None
    assert connection.info.ssthresh < len(TEXT), "the engine has not slowed down"


def check_what_was_marked(trace: Trace) -> None:
    """Only text that went for the first time was ECN-capable, at either end."""
    seen: set[tuple[EventKind, int]] = set()
    for event in trace:
        segment = event.segment
        if segment is None or event.kind not in (EventKind.SENT, EventKind.RECEIVED):
            continue
        if segment.ecn != NOT_ECT:
            assert segment.payload
            assert not segment.flags & (SYN | RST)
            assert (event.kind, segment.seq) not in seen
            seen.add((event.kind, segment.seq))
    assert {kind for kind, _ in seen} == {EventKind.SENT, EventKind.RECEIVED}


@versions
@pytest.mark.parametrize("ecn", [1, 2, 3, 5])
def test_a_kernels_client_that_asks_for_ecn(version: int, ecn: int, tmp_path: Path) -> None:
    with network(offload=False) as net, marking(net, ecn) as there:
        net.peer.sysctl("net.ipv4.tcp_ecn", 1)
        station = net.home.interfaces[INTERFACE].mac
        with (
            judged(net.peer, station, tmp_path),
            client(net.peer, 80, version) as kernel,
            there.engine.pool.claim(timeout=PATIENCE_S) as connection,
        ):
            exchange(kernel, connection)
            check_that_both_heard(there, kernel, connection)
        check_what_was_marked(there.trace)


@versions
@pytest.mark.parametrize("ecn", [1, 3, 4])
def test_a_kernels_server_that_is_asked_for_ecn(version: int, ecn: int) -> None:
    """One that has no accurate feedback agrees to that of RFC 3168."""
    with (
        network(offload=False) as net,
        marking(net, ecn) as there,
        listener(net.peer, 80, version) as waiting,
    ):
        net.peer.sysctl("net.ipv4.tcp_ecn", 2)
        with (
            there.engine.connect(PEERS[version], 80, PATIENCE_S) as connection,
            waiting.accept()[0] as kernel,
        ):
            exchange(kernel, connection)
            check_that_both_heard(there, kernel, connection)
        check_what_was_marked(there.trace)


@pytest.mark.parametrize(("theirs", "ours"), [(0, 1), (2, 2), (1, 0), (0, 3)])
def test_without_an_agreement_nothing_is_marked(theirs: int, ours: int) -> None:
    with network(offload=False) as net, marking(net, ours) as there:
        net.peer.sysctl("net.ipv4.tcp_ecn", theirs)
        with client(net.peer, 80) as kernel, there.engine.pool.claim(timeout=PATIENCE_S) as connection:
            exchange(kernel, connection)
            assert (connection.info.ecn, told_by(kernel)) == (None, Kernel(False, False, 0))
        assert (there.link.outgoing.marked, there.link.incoming.marked) == (0, 0)


def test_tshark_reads_what_two_hosts_say_with_accurate_feedback(tmp_path: Path) -> None:
    """A kernel that has none of it cannot; so another reader of the RFC does."""
    sim = Simulation(seed=1)
    near, far = (sim.host(f"10.0.0.{number}/24", config=TcpConfig(ecn=3)) for number in (1, 2))
    sim.link(near, far, mark=0.05, delay_s=0.01)
    ours = near.connect("10.0.0.2", 80, timeout=PATIENCE_S)
    theirs = far.pool.claim(timeout=PATIENCE_S)
    flow = Flow(ours, theirs, TEXT)
    assert sim.run_until(flow.is_through, timeout_s=DAY_S)
    sim.run(for_s=1.0)  # until the last acknowledgment has arrived
    write_capture(tmp_path / "capture.pcapng", (event for event in sim.trace if event.host == "10.0.0.1"))
    ace, ect_0, marked = zip(*read_by_tshark(tmp_path / "capture.pcapng"), strict=True)
    seen, heard = theirs.info.ecn, ours.info.ecn
    assert seen is not None
    assert heard is not None
    assert heard.delivered_ce == seen.received_ce > 10
    assert ace[-1] == (5 + seen.received_ce) % 8
    assert ect_0[-1] + marked[-1] == 1 + len(TEXT)


def read_by_tshark(path: Path) -> list[tuple[int, int, int]]:
    """Return the flags and the first two counters of each option that the server sent without SYN."""
    shown = "tcp.flags", "tcp.options.acc_ecn.ee0b", "tcp.options.acc_ecn.eceb"
    fields = [word for name in shown for word in ("-e", name)]
    chosen = "tcp.srcport == 80 and tcp.flags.syn == 0 and tcp.options.acc_ecn.eceb"
    argv = [needed("tshark"), "-n", "-r", str(path), "-Y", chosen, "-T", "fields", *fields]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    rows = [[int(value, 0) for value in line.split("\t")] for line in done.stdout.splitlines()]
    return [(flags >> 6 & 7, ect_0, marked) for flags, ect_0, marked in rows]
