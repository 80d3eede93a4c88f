"""SYN cookies and real kernels: a kernel's client and the engine agree on the same options."""

import socket
from collections.abc import Iterator

import pytest

from support.live import PATIENCE_S, Network, Task, client, engine_in, network, text_of
from xsocket import Connection, Engine, TcpConfig

pytestmark = pytest.mark.netns

TEXT_OCTETS = 1_000_000
OPTIONS_AT = 5
HAS_TIMESTAMPS, HAS_SACK, HAS_SCALE = 1, 2, 4


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture(scope="module")
def engine(net: Network) -> Iterator[Engine]:
    with engine_in(net.home, config=TcpConfig(syn_cookies="always")) as running:
        yield running


def agreed(made: socket.socket) -> tuple[bool, bool, bool]:
    """Return whether timestamps, SACK and window scale are in use, as the kernel's TCP_INFO has it."""
    options = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[OPTIONS_AT]
    return options & HAS_TIMESTAMPS != 0, options & HAS_SACK != 0, options & HAS_SCALE != 0


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("scaling", [0, 1], ids=["no scaling", "scaling"])
@pytest.mark.parametrize("sack", [0, 1], ids=["no SACK", "SACK"])
@pytest.mark.parametrize("timestamps", [0, 1], ids=["no timestamps", "timestamps"])
def test_a_kernels_client_agrees_with_the_engine(
    net: Network, engine: Engine, timestamps: int, sack: int, scaling: int, version: int
) -> None:
    net.peer.sysctl("net.ipv4.tcp_timestamps", timestamps)
    net.peer.sysctl("net.ipv4.tcp_sack", sack)
    net.peer.sysctl("net.ipv4.tcp_window_scaling", scaling)
    before = engine.statistics().stack
    with client(net.peer, 80, version) as theirs, engine.pool.claim(timeout=PATIENCE_S) as ours:
        info = ours.info
        assert agreed(theirs) == (info.timestamps, info.sack, info.snd_wscale is not None)
        assert (info.timestamps, info.sack) == (bool(timestamps), bool(timestamps and sack))
        assert (info.snd_wscale is not None) == bool(timestamps and scaling)
        exchange(ours, theirs)
    after = engine.statistics().stack
    assert after.cookies_sent == before.cookies_sent + 1
    assert after.cookies_accepted == before.cookies_accepted + 1
    assert after.half_open_high_water == 0


def exchange(ours: Connection, theirs: socket.socket) -> None:
    text = text_of(TEXT_OCTETS)
    theirs.settimeout(PATIENCE_S)
    ours.settimeout(PATIENCE_S)
    for sender, receiver in ((ours, theirs), (theirs, ours)):
        sending = Task(sender.sendall, text)
        received = bytearray()
        while len(received) < TEXT_OCTETS:
            received += receiver.recv(1 << 20)
        assert received == text
        sending.result()
