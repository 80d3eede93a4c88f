"""TCP Fast Open with a Linux peer at the other end, both ways, both options, IPv4 and IPv6."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from support.live import (
    ADDRESSES,
    FAMILY,
    INTERFACE,
    OURS,
    PATIENCE_S,
    PEERS,
    Network,
    engine_in,
    linux_counters,
    listener,
    network,
    stopping,
)
from xsocket import Connection, Engine, EventKind, Pattern, State, TcpConfig, Trace
from xsocket.segment import RST, SYN, Segment
from xsocket.tcp.fastopen import FastOpenStatistics
from xsocket.tcp.options import FastOpen, parse
from xsocket.wire.faults import FaultRates
from xsocket.wire.faulty_link import FaultyLink
from xsocket.wire.link import Frame
from xsocket.wire.packet_link import PacketLink

pytestmark = pytest.mark.netns

PORT: Final = 7413
SERVES: Final = TcpConfig(fastopen=3, fastopen_qlen=8)
MSG_FASTOPEN: Final = 0x2000_0000
TCP_FASTOPEN: Final = 23
_TCPI_OPTIONS: Final = 5
_TCPI_OPT_SYN_DATA: Final = 0x20

versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


def open_fast(net: Network, version: int, text: bytes) -> socket.socket:
    """Open a connection from the kernel to the engine with *text*, fast if its kernel can."""
    with net.peer.enter():
        made = socket.socket(FAMILY[version], socket.SOCK_STREAM)
    made.sendto(text, MSG_FASTOPEN, (OURS[version], PORT))
    made.settimeout(PATIENCE_S)
    return made


def syn_data_was_acked(end: socket.socket) -> bool:
    """Return what TCP_INFO says: text went in the SYN, and was acknowledged by the SYN+ACK."""
    info = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return bool(info[_TCPI_OPTIONS] & _TCPI_OPT_SYN_DATA)


def said(engine: Engine) -> FastOpenStatistics:
    return engine.statistics().stack.fast_open


def syns(trace: Trace) -> list[tuple[FastOpen | None, Segment]]:
    """Return the SYNs and SYN+ACKs of the trace, in order, with their Fast Open option."""
    found = [each.segment for each in trace if each.kind in (EventKind.SENT, EventKind.RECEIVED)]
    return [(parse(each.options).fast_open, each) for each in found if each is not None and each.flags & SYN]


def exchange(first: socket.socket | Connection, second: socket.socket | Connection) -> None:
    """Send text both ways and let both end in order."""
    for writer, reader in ((first, second), (second, first)):
        writer.settimeout(PATIENCE_S)
        writer.sendall(b"and more" * 1000)
        writer.shutdown(socket.SHUT_WR)
        reader.settimeout(PATIENCE_S)
        assert b"".join(iter(lambda reader=reader: reader.recv(1 << 16), b"")) == b"and more" * 1000
    first.close()
    second.close()


@versions
def test_a_kernel_opens_fast_to_the_engine(version: int) -> None:
    with network() as net, engine_in(net.home, config=SERVES) as engine:
        for text, acked in ((b"first", False), (b"second", True)):
            kernel = open_fast(net, version, text)
            claimed = engine.pool.claim(Pattern(local_port=PORT), PATIENCE_S)
            assert claimed.recv(100) == text
            assert syn_data_was_acked(kernel) is acked
            info = claimed.info.fast_open
            assert info is not None
            assert (info.syn_data, info.syn_data_acked) == ((len(text),) * 2 if acked else (0, 0))
            exchange(kernel, claimed)
        seen = linux_counters(net.peer)
        assert (seen["TCPFastOpenActive"], seen["TCPFastOpenActiveFail"]) == (1, 0)
        counted = said(engine)
        assert (counted.passive, counted.cookie_reqd, counted.passive_fail) == (1, 1, 0)


@versions
def test_the_engine_opens_fast_to_a_kernel(version: int) -> None:
    with network() as net, engine_in(net.home) as engine, listener(net.peer, PORT, version) as waiting:
        serve(net, waiting)
        for text, acked in ((b"first", False), (b"second", True)):
            opened = engine.connect(PEERS[version], PORT, PATIENCE_S, data=text)
            kernel, _ = waiting.accept()
            kernel.settimeout(PATIENCE_S)
            assert kernel.recv(100) == text
            assert syn_data_was_acked(kernel) is acked
            info = opened.info.fast_open
            assert info is not None
            assert (info.syn_data, info.syn_data_acked) == ((len(text),) * 2 if acked else (0, 0))
            exchange(opened, kernel)
        seen = linux_counters(net.peer)
        assert (seen["TCPFastOpenPassive"], seen["TCPFastOpenPassiveFail"]) == (1, 0)
        assert (said(engine).active, said(engine).active_fail, said(engine).cookies) == (1, 0, 1)


def serve(net: Network, waiting: socket.socket, bits: int = 3) -> None:
    """Let the peer's kernel take part, on a socket that listens."""
    net.peer.sysctl("net.ipv4.tcp_fastopen", bits)
    waiting.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 16)


@versions
def test_a_kernel_whose_cookie_is_of_an_old_key_sends_its_text_again(version: int) -> None:
    with network() as net, engine_in(net.home, config=SERVES) as engine:
        for number, backup in enumerate((None, None, b"1" * 16)):
            engine.set_fastopen_keys(str(number).encode() * 16, backup)
            kernel = open_fast(net, version, b"hello")
            claimed = engine.pool.claim(Pattern(local_port=PORT), PATIENCE_S)
            assert claimed.recv(100) == b"hello"
            assert syn_data_was_acked(kernel) is (backup is not None)
            exchange(kernel, claimed)
        counted = said(engine)
        assert (counted.passive, counted.passive_fail, counted.passive_alt_key) == (1, 1, 1)


def test_a_kernel_that_forgets_its_key_gets_the_text_again() -> None:
    with network() as net, engine_in(net.home) as engine, listener(net.peer, PORT) as waiting:
        serve(net, waiting)
        for key, acked in ((1, False), (2, False), (2, True)):
            net.peer.sysctl("net.ipv4.tcp_fastopen_key", "-".join([f"{key:08x}"] * 4))
            opened = engine.connect(PEERS[4], PORT, PATIENCE_S, data=b"hello")
            kernel, _ = waiting.accept()
            kernel.settimeout(PATIENCE_S)
            assert kernel.recv(100) == b"hello"
            assert syn_data_was_acked(kernel) is acked
            exchange(opened, kernel)
        assert (said(engine).active, said(engine).active_fail) == (1, 1)


class Gate(FaultyLink):
    """Lets nothing but SYNs and resets in until it is opened."""

    is_open = False

    def receive(self) -> list[Frame]:
        return [frame for frame in super().receive() if self.is_open or flags_of(frame.data) & (SYN | RST)]


def flags_of(frame: bytes) -> int:
    """Return the control bits of an Ethernet frame without IP options; SYN for what is not TCP."""
    headers = {b"\x08\x00": (9, 20), b"\x86\xdd": (6, 40)}.get(frame[12:14])
    if headers is None or frame[14 + headers[0]] != socket.IPPROTO_TCP:
        return SYN
    return frame[14 + headers[1] + 13]


@contextmanager
def halfway(version: int) -> Iterator[tuple[Engine, Gate, socket.socket, Connection]]:
    """Open fast from a kernel, and hold its third segment back: the engine is in SYN-RECEIVED."""
    with network() as net:
        gate = Gate(net.home.run(PacketLink, INTERFACE, ADDRESSES), FaultRates())
        engine = Engine(link=gate, addresses=ADDRESSES, config=SERVES)
        engine.start()
        with stopping(engine):
            gate.is_open = True
            with open_fast(net, version, b"a cookie, please"):
                engine.pool.claim(Pattern(local_port=PORT), PATIENCE_S).abort()
            gate.is_open = False
            with open_fast(net, version, b"hello") as kernel:
                claimed = engine.pool.claim(Pattern(local_port=PORT), PATIENCE_S)
                claimed.settimeout(PATIENCE_S)
                assert claimed.recv(100) == b"hello"
                assert (claimed.state, said(engine).pending) == (State.SYN_RECEIVED, 1)
                yield engine, gate, kernel, claimed
            claimed.abort()


@versions
def test_the_answer_is_there_before_the_third_segment(version: int) -> None:
    with halfway(version) as (engine, gate, kernel, claimed):
        claimed.sendall(b"world")
        assert kernel.recv(100) == b"world"
        assert claimed.state is State.SYN_RECEIVED
        gate.is_open = True
        exchange(kernel, claimed)
        assert said(engine).pending == 0


@versions
def test_text_and_fin_are_there_before_the_third_segment(version: int) -> None:
    with halfway(version) as (engine, gate, kernel, claimed):
        claimed.sendall(b"world")
        claimed.close()
        assert (kernel.recv(100), kernel.recv(100)) == (b"world", b"")
        assert engine.connections()[claimed.four_tuple] is State.FIN_WAIT_1
        gate.is_open = True


@versions
def test_a_reset_before_the_third_segment_reaches_the_user(version: int) -> None:
    """The kernel's socket is closed with the answer unread."""
    with halfway(version) as (engine, _, kernel, claimed):
        claimed.sendall(b"world")
        kernel.recv(1, socket.MSG_PEEK)
        assert claimed.state is State.SYN_RECEIVED
        kernel.close()
        with pytest.raises(ConnectionResetError):
            claimed.recv(100)
        assert said(engine).pending == 1, "for a minute"


@versions
def test_without_cookies_the_first_connection_is_fast_both_ways(version: int) -> None:
    bits = 0x1 | 0x2 | 0x4 | 0x200
    config = TcpConfig(fastopen=bits, fastopen_qlen=8)
    with network() as net, engine_in(net.home, config=config) as engine:
        with listener(net.peer, PORT, version) as waiting:
            serve(net, waiting, bits)
            opened = engine.connect(PEERS[version], PORT, PATIENCE_S, data=b"hello")
            kernel, _ = waiting.accept()
            assert syn_data_was_acked(kernel)
            assert kernel.recv(100) == b"hello"
            exchange(kernel, opened)
        kernel = open_fast(net, version, b"hello")
        claimed = engine.pool.claim(Pattern(local_port=PORT), PATIENCE_S)
        assert claimed.recv(100) == b"hello"
        assert syn_data_was_acked(kernel)
        exchange(kernel, claimed)


def test_the_sysctls_of_a_namespace_are_its_rules() -> None:
    with network() as net:
        net.peer.sysctl("net.ipv4.tcp_fastopen", 0x403)
        net.peer.sysctl("net.ipv4.tcp_fastopen_blackhole_timeout_sec", 17)
        rules = TcpConfig.linux(net.peer)
        assert (rules.fastopen, rules.fastopen_blackhole_timeout_s) == (0x403, 17.0)


@versions
def test_both_ends_fall_back_to_the_experimental_option(version: int) -> None:
    """A peer that does not answer the standard request is asked the old way the next time."""
    trace = Trace()
    with network() as net, engine_in(net.home, trace=trace) as silent:
        kernel = open_fast(net, version, b"hello")
        claimed = silent.pool.claim(Pattern(local_port=PORT), PATIENCE_S)
        assert claimed.recv(100) == b"hello"
        exchange(kernel, claimed)
        silent.stop()
        with engine_in(net.home, config=SERVES, trace=trace) as engine:
            for _ in range(2):
                kernel = open_fast(net, version, b"hello")
                claimed = engine.pool.claim(Pattern(local_port=PORT), PATIENCE_S)
                assert claimed.recv(100) == b"hello"
                exchange(kernel, claimed)
            assert said(engine).passive == 1
    options = [option for option, _ in syns(trace)]
    assert options[:3] == [FastOpen(), None, FastOpen(experimental=True)]
    assert options[3] == options[4]
    assert options[4] is not None
    assert options[4].experimental
