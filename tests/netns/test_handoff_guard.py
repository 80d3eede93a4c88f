"""The rules that keep the kernel off the engine's ports: what they let through, and that they go."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from pyroute2.nftables.main import NFTables
from scapy.layers.inet import IP, TCP, fragment
from scapy.layers.l2 import Ether

from support.capabilities import CAP_NET_RAW, drop_capabilities
from support.live import (
    ADDRESSES,
    INTERFACE,
    OURS,
    PATIENCE_S,
    PEER_ADDRESSES,
    Network,
    client,
    engine_in,
    network,
    tcp_counters,
    until,
)
from xsocket import Admission, DropReason, Engine, GuardError
from xsocket.handoff.guard import PREFIX, remove_leftovers
from xsocket.handoff.kernel import kernel_addresses
from xsocket_netns import Host, Lab

pytestmark = pytest.mark.netns

PORT: Final = 80
KERNELS_PORT: Final = 8080

# An engine in a process of its own, that says when it runs and then waits for ever.
ENGINE: Final = """\
import sys, threading
from xsocket import Admission, Engine
with Engine(sys.argv[1], addresses=sys.argv[2:], admission=Admission(ports=80)):
    print("ready", flush=True)
    threading.Event().wait()
"""
# Starts an engine with ever more descriptors to spare; says each time why it did not, and what it left open.
SHORT: Final = """\
import gc, json, os, resource, sys, threading
from xsocket import Admission, Engine, XsocketError

def opened():
    return [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]

def start(most):
    engine = Engine(sys.argv[1], sys.argv[2:], admission=Admission(ports=80))
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
    try:
        engine.start()
    except XsocketError as refusal:
        assert "xsocket-engine" not in [thread.name for thread in threading.enumerate()]
        return str(refusal)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    engine.stop()

limits = resource.getrlimit(resource.RLIMIT_NOFILE)
assert start(100) is None  # by now everything is there that stays
gc.collect()
before = opened()
for spare in range(32):
    refusal = start(len(before) + spare)
    gc.collect()
    print(json.dumps([refusal, sorted(set(opened()) - set(before))]))
"""
# Rules as they are on a kernel where tables cannot be owned.
UNOWNED: Final = """\
import threading
from xsocket.handoff.guard import Guard
from xsocket.ranges import PortSet
guard = Guard(["10.0.0.2"], PortSet(80), owned=False)
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def pair() -> Iterator[Network]:
    """A peer and a home whose kernels are on one cable."""
    with network(shared=True) as made:
        yield made


@contextmanager
def engine_of(pair: Network, **options: object) -> Iterator[Engine]:
    options.setdefault("admission", Admission(ports=PORT))
    with engine_in(pair.home, **options) as engine:
        yield engine


def tables(home: Host) -> list[str]:
    """Return the names of our tables."""

    def look() -> list[str]:
        with NFTables(nfgen_family=1) as nft:
            names = [str(table.get_attr("NFTA_TABLE_NAME")) for table in nft.get_tables()]
        return [name for name in names if name.startswith(PREFIX)]

    return home.run(look)


def rules(home: Host) -> int:
    def look() -> int:
        with NFTables(nfgen_family=1) as nft:
            return len(list(nft.get_rules()))

    return home.run(look)


@contextmanager
def running(home: Host, code: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run Python *code* in *home* for the length of a block, from when it says that it is ready."""
    child = home.popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    yield child
    child.kill()
    child.wait()


# What it lets through


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_does_not_reset_what_the_engine_has(pair: Network, version: int) -> None:
    with engine_of(pair) as engine:
        far = client(pair.peer, PORT, version)
        with far, engine.pool.claim(timeout=PATIENCE_S) as near:
            far.sendall(b"there")
            near.settimeout(PATIENCE_S)
            assert near.recv(100) == b"there"
            near.sendall(b"back")
            assert far.recv(100) == b"back"
        assert tcp_counters(pair.home)["OutRsts"] == 0


@pytest.mark.parametrize("version", [4, 6])
def test_other_ports_are_the_kernels(pair: Network, version: int) -> None:
    """A listener there is served, a closed port refused, and by the kernel alone."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with (
        engine_of(pair) as engine,
        pair.home.run(socket.create_server, (OURS[version], KERNELS_PORT), family=family) as listening,
    ):
        with client(pair.peer, KERNELS_PORT, version) as far, listening.accept()[0] as near:
            near.sendall(b"from the kernel")
            assert far.recv(100) == b"from the kernel"
        with pytest.raises(ConnectionRefusedError):
            client(pair.peer, 81, version)
        until(lambda: engine.statistics().host.drops.get(DropReason.PORT_IS_KERNELS, 0) > 0)
        counters = engine.statistics().host
        assert (counters.segments_received, counters.segments_sent) == (0, 0)
        assert tcp_counters(pair.home)["OutRsts"] == 1


def test_the_kernel_answers_pings_and_neighbours_and_nobody_else(pair: Network) -> None:
    with engine_of(pair) as engine:
        for address in OURS.values():
            said = pair.peer.command(["ping", "-c", "3", "-i", "0.05", "-w", "5", address]).stdout
            assert "3 received" in said
            assert "duplicates" not in said
        assert engine.statistics().link.sent == 0


def test_a_local_client_is_refused_and_not_left_waiting(pair: Network) -> None:
    with engine_of(pair), pytest.raises(ConnectionRefusedError):
        client(pair.home, PORT)


def test_a_segment_in_fragments_gets_no_reset(pair: Network) -> None:
    """Where packets are routed they are still in pieces, and have no ports; where they are delivered, not."""
    with engine_of(pair):
        station = pair.home.interfaces[INTERFACE].mac
        syn = IP(src="10.0.0.1", dst=OURS[4], id=77) / TCP(sport=5000, dport=PORT, flags="S") / bytes(400)
        before = reassembled(pair.home)
        pair.peer.run(send, [bytes(Ether(dst=station) / piece) for piece in fragment(syn, 200)])
        until(lambda: reassembled(pair.home) == before + 1)
        assert tcp_counters(pair.home)["OutRsts"] == 0


def send(frames: list[bytes]) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
        sender.bind((INTERFACE, 0))
        for frame in frames:
            sender.send(frame)


def reassembled(home: Host) -> int:
    lines = home.command(["cat", "/proc/net/snmp"]).stdout.splitlines()
    names, values = (line.split() for line in lines if line.startswith("Ip:"))
    return int(values[names.index("ReasmOKs")])


def test_ports_admitted_later_are_covered_too(pair: Network) -> None:
    with engine_of(pair) as engine:
        with pytest.raises(ConnectionRefusedError):
            client(pair.peer, KERNELS_PORT)
        engine.set_admission(Admission(ports=f"{KERNELS_PORT}-{KERNELS_PORT + 9}"))
        before = tcp_counters(pair.home)["OutRsts"]
        with client(pair.peer, KERNELS_PORT + 5), engine.pool.claim(timeout=PATIENCE_S) as near:
            assert near.four_tuple.local_port == KERNELS_PORT + 5
        with pytest.raises(ConnectionRefusedError):
            client(pair.peer, PORT)  # by the engine, whose port it stays
        assert tcp_counters(pair.home)["OutRsts"] == before
        count = rules(pair.home)
        engine.set_admission(Admission(ports=[PORT, KERNELS_PORT]))
        assert rules(pair.home) == count


def test_without_named_ports_every_port_is_the_engines(pair: Network) -> None:
    with engine_of(pair, admission=Admission()) as engine, client(pair.peer, 12_345):
        engine.pool.claim(timeout=PATIENCE_S).close()
    assert tcp_counters(pair.home)["OutRsts"] == 0


def test_two_engines_share_an_address(pair: Network) -> None:
    with engine_of(pair), engine_of(pair, admission=Admission(ports=KERNELS_PORT)) as second:
        assert len(tables(pair.home)) == 2
        with client(pair.peer, KERNELS_PORT), second.pool.claim(timeout=PATIENCE_S) as near:
            assert near.to_kernel().close() is None


# That it goes


def test_it_goes_when_the_engine_stops(pair: Network) -> None:
    with engine_of(pair):
        assert len(tables(pair.home)) == 1
    assert tables(pair.home) == []
    with pytest.raises(ConnectionRefusedError):
        client(pair.peer, PORT)


def test_it_goes_with_a_process_that_is_killed(pair: Network) -> None:
    with running(pair.home, ENGINE, INTERFACE, *ADDRESSES) as child:
        assert len(tables(pair.home)) == 1
        child.kill()
        child.wait()
        until(lambda: tables(pair.home) == [])


def test_where_it_stays_behind_the_next_engine_removes_it(pair: Network) -> None:
    with running(pair.home, UNOWNED) as child:
        (left,) = tables(pair.home)
        with engine_of(pair):
            assert left in tables(pair.home)  # its process lives
        child.kill()
        child.wait()
        assert tables(pair.home) == [left]
        with engine_of(pair):
            assert left not in tables(pair.home)
    assert tables(pair.home) == []


def test_leftovers_are_removed_on_demand(pair: Network) -> None:
    with running(pair.home, UNOWNED) as child:
        assert pair.home.run(remove_leftovers) == []
        (left,) = tables(pair.home)
        child.kill()
        child.wait()
    assert pair.home.run(remove_leftovers) == [left]
    assert tables(pair.home) == []


def test_lab_clean_removes_them(pair: Network) -> None:
    with running(pair.home, UNOWNED) as child:
        (left,) = tables(pair.home)
        child.kill()
        child.wait()
    cleaned = pair.home.command([sys.executable, "-m", "xsocket_tools.cli", "lab", "clean", "--json"])
    assert json.loads(cleaned.stdout)["tables"] == [left]
    assert tables(pair.home) == []


def test_the_rules_of_others_stay(pair: Network) -> None:
    """A table of nearly our name, and one that a chain of somebody else's is in."""

    def add(name: str) -> None:
        with NFTables(nfgen_family=1) as nft:
            nft.table("add", name=name)

    for name in (f"{PREFIX}mine", "filter"):
        pair.home.run(add, name)
    with engine_of(pair):
        pass
    assert pair.home.run(remove_leftovers) == []
    assert tables(pair.home) == [f"{PREFIX}mine"]


# When it cannot be


def test_without_privilege_the_engine_does_not_start(pair: Network) -> None:
    """It may have raw sockets; rules take more."""
    engine = Engine(INTERFACE, ADDRESSES, admission=Admission(ports=PORT))

    def start() -> None:
        drop_capabilities(keep=[CAP_NET_RAW])
        engine.start()

    with pytest.raises(
        GuardError, match=r"not permitted.*give the engine an address that the kernel has not"
    ):
        pair.home.run(start)
    assert repr(engine).endswith("new>")
    assert "xsocket-engine" not in [thread.name for thread in threading.enumerate()]
    assert tables(pair.home) == []
    pair.home.run(engine.start)  # it can be tried again
    engine.stop()


def test_with_any_number_of_descriptors_it_starts_or_says_why_not(pair: Network) -> None:
    """Wherever they run out, nothing is left behind, and nobody waits for an engine that is not there."""
    tried = pair.home.command([sys.executable, "-c", SHORT, INTERFACE, *ADDRESSES])
    outcomes = [json.loads(line) for line in tried.stdout.splitlines()]
    started = [refusal is None for refusal, _ in outcomes]
    assert started == sorted(started)
    assert set(started) == {False, True}
    assert all("Too many open files" in refusal for refusal, _ in outcomes if refusal is not None)
    assert [left for _, left in outcomes if left] == []
    assert tables(pair.home) == []


@pytest.mark.parametrize("version", [4, 6])
def test_an_address_that_is_not_the_first_of_its_network_is_the_kernels_too(version: int) -> None:
    first = {4: "10.0.0.3/24", 6: "fd00::3/64"}[version]
    with Lab() as lab:
        peer, home = lab.host("peer"), lab.host("home")
        lab.link(peer, home, addresses=(PEER_ADDRESSES, [first, *ADDRESSES]))
        with engine_in(home, admission=Admission(ports=PORT)) as engine:
            far = client(peer, PORT, version)
            with far, engine.pool.claim(timeout=PATIENCE_S).to_kernel() as near:
                near.sendall(b"here")
                assert far.recv(100) == b"here"
        assert tcp_counters(home)["OutRsts"] == 0


@pytest.mark.parametrize("address", ["10.0.0.9", "fd00::9", "192.0.2.1", "2001:db8::1"])
def test_an_address_is_not_the_kernels_because_it_could_be_bound_to(address: str) -> None:
    with network(shared=True) as (_, _, home):
        for version in ("ipv4", "ipv6"):
            home.sysctl(f"net.{version}.ip_nonlocal_bind", 1)
        assert home.run(kernel_addresses, [address, OURS[4], OURS[6]]) == [OURS[4], OURS[6]]
