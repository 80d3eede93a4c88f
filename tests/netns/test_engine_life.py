"""An engine from its start to its stop: what it refuses, what ends it, and what it leaves behind."""

import gc
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from pyroute2 import IPRoute  # type: ignore[import-untyped]

from support.live import (
    ADDRESSES,
    INTERFACE,
    OURS,
    PATIENCE_S,
    PEER_ADDRESSES,
    PEERS,
    Network,
    Task,
    client,
    engine_in,
    listener,
    make_engine,
    network,
    tcp_counters,
    text_of,
)
from xsocket import (
    Admission,
    CaptureError,
    ClaimTimeout,
    Connection,
    Engine,
    EngineStateError,
    FourTuple,
    HostUnreachableError,
    NoSuchInterfaceError,
    Pattern,
    PoolClosed,
    State,
    TcpConfig,
)
from xsocket.errors import AddressInUseError, BadAddressError
from xsocket_netns import Host, Lab

pytestmark = pytest.mark.netns

ENGINE = Path(__file__).resolve().parents[2] / "engine"
TEXT = text_of(200_000)

versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as made:
        yield made
        assert tcp_counters(made.home)["OutRsts"] == 0, "the kernel beside the engine answered"


@pytest.fixture
def engine(net: Network) -> Iterator[Engine]:
    with engine_in(net.home) as running:
        yield running


@pytest.fixture
def pair(net: Network, engine: Engine) -> Iterator[tuple[Connection, socket.socket]]:
    """A claimed connection, and the kernel's socket at its other end."""
    with client(net.peer, 80) as peer, engine.pool.claim(timeout=PATIENCE_S) as connection:
        connection.settimeout(PATIENCE_S)
        yield connection, peer


def remove_interface(home: Host) -> None:
    with home.enter(), IPRoute() as netlink:
        netlink.link("del", ifname=INTERFACE)


def set_interface(home: Host, state: str) -> None:
    with home.enter(), IPRoute() as netlink:
        netlink.link("set", ifname=INTERFACE, state=state)


def open_for_ever(peer: Host) -> None:
    while True:
        client(peer, 81).close()


def read_all(stream: socket.socket) -> bytes:
    return b"".join(iter(lambda: stream.recv(1 << 16), b""))


# Start


@pytest.mark.parametrize("name", ["nowhere", "lo", ""])
def test_starting_on_what_is_no_ethernet_is_refused(net: Network, name: str) -> None:
    engine = Engine(name, ADDRESSES)
    with pytest.raises(NoSuchInterfaceError):
        net.home.run(engine.start)
    engine.stop()


def test_a_refused_start_may_be_tried_again(net: Network) -> None:
    engine = make_engine(net.home)
    with pytest.raises(NoSuchInterfaceError):
        net.lab.host("bare").run(engine.start)
    net.home.run(engine.start)
    engine.stop()


def test_starting_without_privileges_names_the_remedy(net: Network) -> None:
    program = (
        "import os; os.setresgid(*3 * [65534]); os.setresuid(*3 * [65534])\n"
        "from xsocket import CaptureError, Engine\n"
        "try: Engine('eth0', ['10.0.0.2/24']).start()\n"
        "except CaptureError as error: print(error)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ENGINE)}
    done = net.home.command([sys.executable, "-c", "import xsocket.runtime\n" + program], env=environment)
    assert CaptureError.remedy in done.stdout


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_an_engine_starts_once(net: Network, engine: Engine, stopped: bool) -> None:
    if stopped:
        engine.stop()
    with pytest.raises(EngineStateError):
        net.home.run(engine.start)


CALLS = [
    pytest.param(lambda engine: engine.connect(PEERS[4], 80), id="connect"),
    pytest.param(lambda engine: engine.statistics(), id="statistics"),
    pytest.param(lambda engine: engine.connections(), id="connections"),
]


@pytest.mark.parametrize("call", CALLS)
def test_before_its_start_an_engine_does_nothing(call: Callable[[Engine], object]) -> None:
    engine = Engine(INTERFACE, ADDRESSES)
    engine.stop()
    with pytest.raises(EngineStateError):
        call(engine)


# Stop


def test_stopping_twice_is_harmless(net: Network) -> None:
    with engine_in(net.home) as engine:
        engine.stop()
        engine.stop()
    assert "stopped" in repr(engine)


def test_after_the_stop_the_counters_stay(net: Network) -> None:
    with engine_in(net.home) as engine, client(net.peer, 80):
        engine.pool.claim(timeout=PATIENCE_S).close()
    statistics = engine.statistics()
    assert (statistics.host.established, statistics.pool.claimed) == (1, 1)
    assert engine.connections() == {}
    with pytest.raises(EngineStateError):
        engine.connect(PEERS[4], 80)
    with pytest.raises(PoolClosed):
        engine.pool.claim()


def test_a_stop_ends_claims_that_wait(net: Network) -> None:
    with engine_in(net.home) as engine:
        keys = [None, Pattern(local_port=80), FourTuple(OURS[4], 80, PEERS[4], 40_000)]
        claims = [Task(engine.pool.claim, key) for key in keys]
    for claim in claims:
        with pytest.raises(PoolClosed):
            claim.result()


def test_a_stop_resets_what_is_open(net: Network) -> None:
    """Claimed or not; and those who wait for it wake up."""
    with ExitStack() as open_sockets:
        with engine_in(net.home) as engine:
            claimed_peer = open_sockets.enter_context(client(net.peer, 80))
            claimed = engine.pool.claim(timeout=PATIENCE_S)
            waiting_peer = open_sockets.enter_context(client(net.peer, 81))
            engine.pool.wait_for(1, PATIENCE_S)
            reading = Task(claimed.recv, 1)
        for peer in (claimed_peer, waiting_peer):
            with pytest.raises(ConnectionResetError):
                peer.recv(1)
        with pytest.raises(ConnectionAbortedError):
            reading.result()
        claimed.close()


def test_a_stop_waits_for_closed_connections_to_send_what_they_were_given(net: Network) -> None:
    with engine_in(net.home) as engine, client(net.peer, 80) as peer:
        with engine.pool.claim(timeout=PATIENCE_S) as connection:
            assert connection.send(TEXT) == len(TEXT)
        stopping = Task(engine.stop, linger=PATIENCE_S)
        assert read_all(peer) == TEXT
        peer.close()
        stopping.result()


def test_a_stop_without_patience_resets_what_is_unsent(net: Network) -> None:
    with engine_in(net.home) as engine, client(net.peer, 80) as peer:
        with engine.pool.claim(timeout=PATIENCE_S) as connection:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.sendall(bytes(50_000_000))
        engine.stop(linger=0)
        with pytest.raises(ConnectionResetError):
            read_all(peer)


def test_a_stopping_engine_admits_nobody(net: Network) -> None:
    with engine_in(net.home) as engine, client(net.peer, 80) as peer:
        with engine.pool.claim(timeout=PATIENCE_S) as connection:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.sendall(bytes(50_000_000))  # the client does not read: this one lingers
        stopping = Task(engine.stop, linger=PATIENCE_S)
        with pytest.raises(PoolClosed):
            engine.pool.claim()
        with pytest.raises(ConnectionRefusedError):
            open_for_ever(net.peer)
        peer.close()
        stopping.result()


def test_a_block_that_fails_is_not_hidden_by_the_engines_end(net: Network) -> None:
    def fail() -> None:
        with net.home.enter(), make_engine(net.home):
            remove_interface(net.home)
            raise KeyError

    with pytest.raises(KeyError):
        fail()


# The interface


@pytest.mark.parametrize("is_down", [False, True], ids=["up", "down"])
def test_an_interface_that_goes_away_ends_the_engine(net: Network, is_down: bool) -> None:
    engine = make_engine(net.home)
    net.home.run(engine.start)
    with client(net.peer, 80):
        connection = engine.pool.claim(timeout=PATIENCE_S)
        reading, claiming = Task(connection.recv, 1), Task(engine.pool.claim)
        if is_down:
            set_interface(net.home, "down")
        remove_interface(net.home)
        with pytest.raises(ConnectionAbortedError):
            reading.result()
        with pytest.raises(PoolClosed):
            claiming.result()
        connection.close()
    opening = Task(engine.connect, PEERS[4], 80)
    with pytest.raises(EngineStateError):
        opening.result()
    with pytest.raises(NoSuchInterfaceError):
        engine.stop()
    assert engine.connections() == {}


def test_an_interface_that_was_down_for_a_while_does_no_harm(
    net: Network, engine: Engine, pair: tuple[Connection, socket.socket]
) -> None:
    connection, peer = pair
    set_interface(net.home, "down")
    connection.sendall(b"sent while it was down")
    set_interface(net.home, "up")
    assert peer.recv(100) == b"sent while it was down"
    peer.sendall(b"answer")
    assert connection.recv(100) == b"answer"
    with client(net.peer, 81), engine.pool.claim(timeout=PATIENCE_S) as other:
        assert other.state is State.ESTABLISHED
    assert engine.statistics().link.send_failures > 0


# Several engines


def test_two_engines_in_one_process_do_not_meet() -> None:
    with Lab() as lab, ExitStack() as running:
        networks = []
        for name in ("a", "b"):
            peer, home = lab.host(f"peer-{name}"), lab.host(f"home-{name}")
            lab.link(peer, home, addresses=(PEER_ADDRESSES, ()))
            networks.append(Network(lab, peer, home))
        engines = [running.enter_context(engine_in(net.home)) for net in networks]
        for engine, net in zip(engines, networks, strict=True):
            with client(net.peer, 80) as stream, engine.pool.claim(timeout=PATIENCE_S) as connection:
                connection.sendall(repr(net.home).encode())
                assert stream.recv(1000) == repr(net.home).encode()
        assert [engine.statistics().host.established for engine in engines] == [1, 1]


# What it says of itself


def test_an_engine_knows_its_connections(engine: Engine, pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    assert engine.connections() == {connection.four_tuple: State.ESTABLISHED}
    assert connection.info.state is State.ESTABLISHED
    connection.sendall(b"x" * 10)
    peer.sendall(b"y" * 20)
    assert len(peer.recv(10)) == 10
    assert connection.recv(20) == b"y" * 20
    statistics = engine.statistics()
    assert statistics.stack.connections == 1
    assert statistics.pool.owned_connections == 1
    assert statistics.host.segments_received >= 3
    assert statistics.host.segments_sent >= 2
    assert statistics.link.sent >= statistics.host.segments_sent
    peer.close()
    assert connection.recv(1) == b""
    assert engine.connections() == {connection.four_tuple: State.CLOSE_WAIT}


def test_nothing_is_left_behind(net: Network) -> None:
    """No thread, and once nobody holds the engine, no descriptor."""

    def live() -> None:
        with engine_in(net.home) as engine, client(net.peer, 80) as peer:
            with engine.pool.claim(timeout=PATIENCE_S) as connection:
                connection.sendall(b"x")
                assert peer.recv(1) == b"x"
            with pytest.raises(ClaimTimeout):
                engine.pool.claim(timeout=0)
        with pytest.raises(NoSuchInterfaceError):
            net.home.run(Engine("nowhere", ADDRESSES).start)

    live()  # what is made once and kept
    before = held()
    for _ in range(3):
        live()
    assert held() == before


def held() -> tuple[int, set[str]]:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())), {thread.name for thread in threading.enumerate()}


# Active open


@versions
def test_a_peer_that_refuses_is_told(engine: Engine, version: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        engine.connect(PEERS[version], 81, timeout=PATIENCE_S)
    assert engine.connections() == {}


def test_a_neighbour_that_nobody_is_cannot_be_reached(engine: Engine) -> None:
    openings = [
        Task(engine.connect, address, 80, timeout=PATIENCE_S) for address in ("10.0.0.77", "fd00::77")
    ]
    for opening in openings:
        with pytest.raises(HostUnreachableError):
            opening.result()
    assert engine.connections() == {}


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"], ids=["ipv4", "ipv6"])
def test_without_a_gateway_other_networks_cannot_be_reached(engine: Engine, address: str) -> None:
    with pytest.raises(HostUnreachableError):
        engine.connect(address, 80, timeout=PATIENCE_S)


@pytest.mark.parametrize(
    ("version", "address"),
    [pytest.param(4, "192.0.2.1", id="ipv4"), pytest.param(6, "2001:db8::1", id="ipv6")],
)
def test_a_gateway_leads_to_other_networks(net: Network, version: int, address: str) -> None:
    far = net.lab.host("far")
    outer = (["192.0.2.254/24", "2001:db8::fe/64"], ["192.0.2.1/24", "2001:db8::1/64"])
    net.lab.link(net.peer, far, addresses=outer)
    for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        net.peer.sysctl(name, 1)
    far.route("default", via="192.0.2.254")
    far.route("fd00::/64", via="2001:db8::fe")
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    with (
        engine_in(net.home, gateway=[PEERS[4], PEERS[6]]) as engine,
        far.run(socket.create_server, (address, 80), family=family) as server,
        engine.connect(address, 80, timeout=PATIENCE_S) as connection,
    ):
        server.settimeout(PATIENCE_S)
        accepted, sender = server.accept()
        with accepted:
            assert sender[0] == OURS[version]
            accepted.sendall(b"from afar")
            assert connection.recv(100) == b"from afar"


@versions
@pytest.mark.parametrize(
    ("config", "timeout"),
    [
        pytest.param(TcpConfig(), 0.3, id="by the caller"),
        pytest.param(TcpConfig(initial_rto_s=0.05, syn_retries=2), None, id="by the last SYN"),
    ],
)
def test_a_silent_peer_times_out(version: int, config: TcpConfig, timeout: float | None) -> None:
    with Lab() as lab, ExitStack() as running:
        homes = lab.host("left"), lab.host("right")
        lab.link(*homes)
        opener = running.enter_context(engine_in(homes[0], addresses=PEER_ADDRESSES, config=config))
        silent = Admission(ports=(), otherwise="ignore")
        running.enter_context(engine_in(homes[1], admission=silent))
        with pytest.raises(TimeoutError):
            opener.connect(OURS[version], 80, timeout=timeout)
        assert opener.connections() == {}


@versions
def test_ends_of_an_active_open_can_be_chosen(net: Network, engine: Engine, version: int) -> None:
    with (
        listener(net.peer, 8080, version) as server,
        engine.connect(
            PEERS[version], 8080, timeout=PATIENCE_S, local_address=OURS[version], local_port=50_000
        ) as connection,
        closing(server.accept()[0]) as accepted,
    ):
        assert connection.four_tuple == FourTuple(OURS[version], 50_000, PEERS[version], 8080)
        assert accepted.getpeername()[:2] == (OURS[version], 50_000)
        with pytest.raises(AddressInUseError):
            engine.connect(PEERS[version], 8080, local_port=50_000)


@pytest.mark.parametrize(
    ("remote", "port", "local", "local_port"),
    [
        pytest.param("peer", 80, None, None, id="no address"),
        pytest.param(PEERS[4], 0, None, None, id="port 0"),
        pytest.param(PEERS[4], 65_536, None, None, id="no port"),
        pytest.param(PEERS[4], 80, "10.0.0.9", None, id="not an address of ours"),
        pytest.param(PEERS[4], 80, OURS[6], None, id="another IP version"),
        pytest.param(PEERS[4], 80, None, 70_000, id="no local port"),
    ],
)
def test_what_cannot_be_opened_is_refused(
    engine: Engine, remote: str, port: int, local: str | None, local_port: int | None
) -> None:
    with pytest.raises(BadAddressError):
        engine.connect(remote, port, timeout=PATIENCE_S, local_address=local, local_port=local_port)
    assert engine.connections() == {}
