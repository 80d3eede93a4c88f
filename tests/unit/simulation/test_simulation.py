"""Hosts in virtual time: calls, pools, waits, and the same trace for the same seed."""

import asyncio
import gc
import hashlib
import os
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from support.live import text_of
from support.virtual import DAY_S, FAR, NEAR, PORT, Flow, World, are_through, world
from xsocket import (
    Admission,
    BadAddressError,
    BadConfigError,
    ClaimTimeout,
    EventKind,
    FourTuple,
    HostUnreachableError,
    Pattern,
    Segment,
    Simulation,
    SimulationStalled,
    SimulationStateError,
    State,
    TcpConfig,
    Verdict,
)
from xsocket.state import Timer
from xsocket_tools.capture import captured_frames
from xsocket_tools.ladder import ladder

TEXT = text_of(1_000_000)
YEAR_S = 365 * DAY_S


# Calls and waits


def test_a_call_that_waits_lets_virtual_time_pass() -> None:
    sim, near, far, _ = world(delay_s=0.25)
    ours = near.connect(FAR, PORT, timeout=10.0)
    assert sim.now == 0.75  # the far end's announcement came first: it says where to send the SYN
    theirs = far.pool.claim(timeout=10.0)
    assert sim.now == 1.0
    ours.sendall(b"text")
    assert theirs.recv(100) == b"text"
    assert sim.now == 1.25


def test_local_ports_are_hard_to_guess() -> None:
    """RFC 6056 section 3.3.1, RFC 5927 section 4.2: none tells the next."""
    _, near, _, _ = world()
    ports = [near.connect(FAR, PORT, timeout=10.0).four_tuple.local_port for _ in range(20)]
    assert len({later - earlier for earlier, later in pairwise(ports)}) == 19
    assert all(32_768 <= port < 61_000 for port in ports)
    assert max(ports) - min(ports) > 10_000


def test_a_claim_ends_at_its_timeout() -> None:
    sim, _, far, _ = world()
    with pytest.raises(ClaimTimeout):
        far.pool.claim(Pattern(local_port=PORT), timeout=3.0)
    assert sim.now == 3.0


def test_a_claim_may_be_placed_before_the_handshake_begins() -> None:
    sim, near, far, _ = world(delay_s=0.01)
    sim.after(5.0, lambda: near.open(FAR, PORT, local_port=40_000))
    claimed = far.pool.claim(FourTuple(FAR, PORT, NEAR, 40_000), timeout=10.0)
    assert claimed.state is State.ESTABLISHED
    assert 5.0 < sim.now < 5.1


def test_waiting_for_a_number_of_connections_lets_virtual_time_pass() -> None:
    _, near, far, _ = world(delay_s=0.01)
    opened = [near.open(FAR, PORT) for _ in range(3)]
    assert far.pool.wait_for(3, timeout=1.0) == 3
    assert {each.four_tuple.reversed for each in opened} == set(far.pool)


def test_a_read_ends_at_its_timeout() -> None:
    there = world()
    ours, _theirs = there.open()
    before = there.sim.now
    ours.settimeout(7.0)
    with pytest.raises(TimeoutError):
        ours.recv(1)
    assert there.sim.now == before + 7.0


def test_a_wait_that_would_never_end_is_an_error() -> None:
    there = world()
    ours, theirs = there.open()
    with pytest.raises(SimulationStalled):
        ours.recv(1)
    assert theirs.state is State.ESTABLISHED


def test_the_asyncio_forms_let_virtual_time_pass_too() -> None:
    there = world(delay_s=1.0)
    ours, theirs = there.open()
    ours.sendall(b"text")
    assert asyncio.run(theirs.recv_async(100)) == b"text"


def test_a_connection_can_be_opened_without_waiting() -> None:
    sim, near, far, _ = world(delay_s=0.01)
    ours = near.open(FAR, PORT)
    assert (ours.state, sim.now) == (State.SYN_SENT, 0.0)
    assert near.connections() == {ours.four_tuple: State.SYN_SENT}
    ours.send(b"early")
    assert sim.run_until(lambda: len(far.pool), timeout_s=1.0)
    assert far.pool.claim().recv(100) == b"early"


def test_both_ends_can_open_at_once() -> None:
    sim, near, far, _ = world(delay_s=0.01)
    ours = near.open(FAR, 2000, local_port=1000)
    theirs = far.open(NEAR, 1000, local_port=2000)
    assert sim.run_until(lambda: ours.state is theirs.state is State.ESTABLISHED, timeout_s=5.0)
    moves = [(event.host, event.after) for event in sim.trace if event.kind is EventKind.MOVED]
    for host in ("near", "far"):
        assert [after for name, after in moves if name == host] == [
            State.SYN_SENT,
            State.SYN_RECEIVED,
            State.ESTABLISHED,
        ]


def test_a_host_tells_which_timers_run_until_when() -> None:
    simulation = Simulation()
    client = simulation.host("10.0.0.1/24")
    server = simulation.host("10.0.0.2/24", config=TcpConfig(time_wait_s=30))
    simulation.link(client, server)
    held = client.connect("10.0.0.2", 80)
    other = server.pool.claim()
    assert server.timers() == ()
    simulation.run(5)
    other.close()
    held.close()
    simulation.run(5)
    assert server.timers() == ((other.four_tuple, Timer.TIME_WAIT, 35.0),)
    assert server.state(other.four_tuple) is State.TIME_WAIT
    assert server.state(other.four_tuple.reversed) is None


def test_to_close_a_connection_that_is_gone_leaves_its_successor_in_the_pool() -> None:
    """The client has the same port again, and the server's user still held the first connection."""
    simulation = Simulation()
    client, server = simulation.host("10.0.0.1/24"), simulation.host("10.0.0.2/24")
    simulation.link(client, server)
    opened = client.connect("10.0.0.2", 80, local_port=4000)
    first = server.pool.claim()
    opened.abort()
    opened = client.connect("10.0.0.2", 80, local_port=4000)
    simulation.run(1)
    first.close()
    assert server.pool.claim(timeout=0).four_tuple == first.four_tuple


def test_a_refusal_reaches_the_caller() -> None:
    sim = Simulation()
    near, far = sim.host(f"{NEAR}/24"), sim.host(f"{FAR}/24", admission=Admission(ports="80"))
    sim.link(near, far)
    with pytest.raises(ConnectionRefusedError):
        near.connect(FAR, 81)


def test_a_syn_that_nobody_answers_is_sent_as_often_as_the_rules_say() -> None:
    sim, near, _, link = world()
    syns = link.drop(lambda sent: sent.segment.letters == "S")
    with pytest.raises(TimeoutError):
        near.connect(FAR, PORT)
    assert syns.hits == 7
    assert sim.now == pytest.approx(127.0)  # 1 + 2 + ... + 64


def test_an_address_that_nobody_has_is_unreachable() -> None:
    sim, near, _, _ = world()
    with pytest.raises(HostUnreachableError):
        near.connect("10.0.0.99", PORT)
    assert sim.now == 3.0


def test_nothing_depends_on_the_garbage_collector() -> None:
    there = world()
    ours, theirs = there.open()
    del ours
    gc.collect()
    there.sim.run(for_s=1.0)
    assert theirs.state is State.ESTABLISHED


def test_an_idle_year_costs_nothing() -> None:
    there = world(delay_s=0.01)
    ours, theirs = there.open()
    there.sim.run()  # the neighbours forget each other
    start = there.sim.now
    there.sim.after(YEAR_S, lambda: None)
    there.sim.step()
    assert there.sim.now == start + YEAR_S  # nothing happened in between
    ours.sendall(b"still there?")
    assert theirs.recv(100) == b"still there?"


def test_a_year_of_keep_alive_passes() -> None:
    there = world(config=TcpConfig(keepalive=True), delay_s=0.01, trace_limit=0)
    ours, theirs = there.open()
    before = there.near.counters().segments_received
    there.sim.run(for_s=YEAR_S)
    assert ours.state is theirs.state is State.ESTABLISHED
    heard = there.near.counters().segments_received - before
    assert heard >= YEAR_S / 7200 - 1
    there.link.impair(loss=1.0)
    start = there.sim.now
    with pytest.raises(TimeoutError):
        ours.recv(1)
    assert there.sim.now - start <= 7200 + 9 * 75 + 1


# What does not work


def test_a_host_that_is_on_no_link_cannot_connect() -> None:
    with pytest.raises(SimulationStateError, match="is not on a link"):
        Simulation().host(f"{NEAR}/24").connect(FAR, PORT)


def test_a_host_is_on_one_link() -> None:
    sim, near, _, _ = world()
    third = sim.host("10.0.0.3/24")
    with pytest.raises(SimulationStateError, match="near is on a link"):
        sim.link(third, near)
    assert not third.is_linked


def test_a_host_is_in_one_simulation() -> None:
    with pytest.raises(SimulationStateError, match="another simulation"):
        Simulation().link(world().near, world().far)


@pytest.mark.parametrize(
    ("error", "addresses", "name"),
    [
        pytest.param(BadAddressError, [], "third", id="no address"),
        pytest.param(BadAddressError, ["10.0.0.300/24"], "third", id="not an address"),
        pytest.param(BadConfigError, ["10.0.0.3/24"], "near", id="name taken"),
    ],
)
def test_a_bad_host_is_refused(error: type[Exception], addresses: list[str], name: str) -> None:
    with pytest.raises(error):
        world().sim.host(*addresses, name=name)


def test_a_link_needs_two_hosts() -> None:
    sim = Simulation()
    near = sim.host(f"{NEAR}/24")
    for hosts in ([near], [near, near]):
        with pytest.raises(BadConfigError):
            sim.link(*hosts)


def test_nothing_can_be_put_in_the_past() -> None:
    with pytest.raises(BadConfigError):
        Simulation().after(-1.0, lambda: None)


class Meddler:
    """An admission policy that runs the simulation it is asked in."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim

    def decide(self, four_tuple: FourTuple, segment: Segment) -> Verdict:
        del four_tuple, segment
        self._sim.step()
        return Verdict.ADMIT


def test_a_policy_cannot_run_the_simulation() -> None:
    sim = Simulation()
    near, far = sim.host(f"{NEAR}/24"), sim.host(f"{FAR}/24", admission=Meddler(sim))
    sim.link(near, far)
    with pytest.raises(SimulationStateError, match="from within"):
        near.connect(FAR, PORT)


def test_a_predicate_cannot_use_a_connection() -> None:
    there = world()
    ours, theirs = there.open()
    there.link.drop(lambda _sent: theirs.send(b"no"))
    with pytest.raises(SimulationStateError, match="from within"):
        ours.sendall(b"text")


# The trace


def scene(seed: int) -> World:
    """Return a world in which much has happened by chance."""
    there = world(seed, delay_s=0.02, jitter_s=0.01, loss=0.1, duplicate=0.1, reorder=0.1, corrupt=0.05)
    ours, theirs = there.open()
    flows = Flow(ours, theirs, TEXT[:50_000]), Flow(theirs, ours, TEXT[:50_000])
    assert there.sim.run_until(lambda: are_through(*flows), timeout_s=DAY_S)
    ours.close()
    theirs.close()
    there.sim.run()
    return there


def digest(seed: int) -> str:
    """Return a digest of the trace of a scene."""
    return hashlib.sha256("\n".join(scene(seed).sim.trace.json_lines()).encode()).hexdigest()


CHILD = """
import importlib.util, os, secrets, time
spec = importlib.util.spec_from_file_location("scene", {path!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
def refuse(*_):
    raise AssertionError("a simulation has no clock and no chance but its own")
time.time = time.time_ns = time.monotonic = time.monotonic_ns = refuse
os.urandom = secrets.token_bytes = secrets.randbelow = refuse
print(module.digest(7))
"""


def test_the_same_seed_gives_the_same_trace_in_any_interpreter() -> None:
    digests = set()
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", CHILD.format(path=__file__)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout.strip())
    assert digests == {digest(7)}


def test_another_seed_gives_another_trace() -> None:
    assert digest(7) != digest(8)


def test_every_event_of_a_trace_names_its_host() -> None:
    there = scene(1)
    assert {event.host for event in there.sim.trace} == {"near", "far"}
    assert '"host":"near"' in next(there.sim.trace.json_lines())


def test_times_in_a_trace_are_virtual() -> None:
    there = world(delay_s=0.5)
    there.open()
    stamps = [event.at_ns for event in there.sim.trace]
    assert stamps == sorted(stamps)
    assert stamps[-1] == round(there.sim.now * 1e9) == 2_000_000_000


def test_without_a_trace_the_same_happens() -> None:
    traced = world(delay_s=0.02, loss=0.1)
    untraced = world(delay_s=0.02, loss=0.1, trace_limit=0)
    infos = [there.open()[0].info for there in (traced, untraced)]
    assert infos[0] == infos[1]
    assert traced.sim.now == untraced.sim.now
    assert len(traced.sim.trace) > 0 == len(untraced.sim.trace)


def test_a_trace_makes_a_ladder_and_a_capture() -> None:
    there = world(delay_s=0.01)
    ours, _theirs = there.open()
    rows = ladder(there.sim.trace, ours.four_tuple, there.sim.trace).rows
    assert rows
    frames = captured_frames(event for event in there.sim.trace if event.host == "near")
    assert [captured.at_ns for captured in frames] == [0, 30_000_000, 30_000_000]


# Larger worlds


def test_a_megabyte_goes_both_ways_over_a_link_that_loses_a_twentieth() -> None:
    there = world(delay_s=0.01, loss=0.05)
    ours, theirs = there.open()
    outward, homeward = Flow(ours, theirs, TEXT), Flow(theirs, ours, TEXT[::-1])
    assert there.sim.run_until(lambda: are_through(outward, homeward), timeout_s=DAY_S)
    assert (outward.arrived, homeward.arrived) == (TEXT, TEXT[::-1])
    assert there.link.counts().faults.dropped > 30


def test_three_hosts_share_a_link() -> None:
    sim = Simulation(seed=3)
    hosts = [sim.host(f"10.0.0.{number}/24", f"fd00::{number}/64") for number in (1, 2, 3)]
    link = sim.link(*hosts, delay_s=0.01)
    first, second, third = hosts
    assert link.hosts == sim.hosts == (first, second, third)
    for client in (first, second):
        for address in ("10.0.0.3", "fd00::3"):
            client.connect(address, PORT, timeout=1.0).sendall(client.name.encode())
    said = Counter(third.pool.claim(timeout=1.0).recv(100) for _ in range(4))
    assert said == {b"10.0.0.1": 2, b"10.0.0.2": 2}
    assert first.counters().established == second.counters().established == 2
    assert link.counts().astray == 0


def test_hundred_hosts_open_connections_to_each_other() -> None:
    sim = Simulation(trace_limit=0)
    hosts = [sim.host(f"10.0.0.{number}/24") for number in range(1, 101)]
    sim.link(*hosts, delay_s=0.01)
    for host, other in zip(hosts, hosts[1:] + hosts[:1], strict=True):
        host.open(other.name, PORT)
    sim.run(for_s=1.0)
    assert [len(host.pool) for host in hosts] == [1] * 100


# The pool's patience


def test_what_was_given_back_is_reset_when_its_time_is_over() -> None:
    """The host, in which no timer runs, has to notice that the pool has something again."""
    sim, near, far, _ = world(config=TcpConfig(pool_timeout_s=60.0))
    near.connect(FAR, PORT, timeout=10.0)
    theirs = far.pool.claim(timeout=10.0)
    sim.run(for_s=DAY_S)
    assert theirs.state is State.ESTABLISHED
    assert far.pool.give_back(theirs)
    sim.run(for_s=59.999)
    assert len(far.pool) == 1
    sim.run(for_s=0.001)
    assert (len(far.pool), theirs.state) == (0, State.CLOSED)
