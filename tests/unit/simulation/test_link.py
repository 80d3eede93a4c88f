"""Links of a simulation: delay, jitter, rate, queue, MTU and everything that goes wrong by chance."""

from itertools import pairwise
from math import inf
from typing import Any

import pytest

from support.live import text_of
from support.virtual import DAY_S, FAR, NEAR, PORT, Flow, World, are_through, world
from xsocket import (
    BadAddressError,
    BadConfigError,
    DropReason,
    EventKind,
    FourTuple,
    Segment,
    Simulation,
    State,
    TcpConfig,
)
from xsocket.segment import ACK, RST
from xsocket.simulation import Impairments, SimulatedHost
from xsocket.simulation.port import Port
from xsocket.simulation.timeline import Timeline
from xsocket.tcp.options import parse
from xsocket.wire.faults import FaultCounts

TEXT = text_of(200_000)


def carry(there: World, text: bytes = TEXT) -> float:
    """Open a connection, carry *text* outward, check it; return the seconds that took."""
    flow = Flow(*there.open(), text)
    start = there.sim.now
    assert there.sim.run_until(flow.is_through, timeout_s=DAY_S)
    assert flow.arrived == text
    return there.sim.now - start


def arrivals(there: World, host: str) -> list[float]:
    """Return when each segment reached *host*, seconds."""
    events = [event for event in there.sim.trace if event.host == host]
    return [event.at_ns / 1e9 for event in events if event.kind is EventKind.RECEIVED]


def test_a_frame_takes_the_delay() -> None:
    there = world(delay_s=0.125)
    assert carry(there, b"x") == 0.125


def test_each_direction_has_its_own_delay() -> None:
    there = world()
    there.link.impair(there.near, delay_s=1.0)
    there.link.impair(there.far, delay_s=2.0)
    ours, theirs = there.open()
    start = there.sim.now
    ours.sendall(b"x")
    theirs.recv(1)
    assert there.sim.now == start + 1.0
    theirs.sendall(b"x")
    ours.recv(1)
    assert there.sim.now == start + 3.0


def test_jitter_varies_the_delay_and_keeps_the_order() -> None:
    there = world(delay_s=0.1, jitter_s=0.05)
    ours, theirs = there.open()
    delays = []
    for number in range(100):
        start = there.sim.now
        ours.sendall(bytes([number]))
        assert theirs.recv(10) == bytes([number])
        delays.append(there.sim.now - start)
    assert 0.05 <= min(delays) < 0.06
    assert 0.14 < max(delays) <= 0.15
    carry(there)
    times = arrivals(there, "far")
    assert all(before <= after for before, after in pairwise(times))
    assert there.near.counters().drops == there.far.counters().drops == {}


def test_a_rate_is_not_exceeded() -> None:
    seconds = carry(world(rate_bps=1e6))
    assert 1.6 < seconds < 1.8  # 200,000 octets are 1,600,000 bits; headers add a twentieth


def test_a_queue_that_is_full_loses_what_comes() -> None:
    there = world(rate_bps=1e6, delay_s=0.01, queue_octets=10_000)
    carry(there)
    assert there.link.counts(there.near).overflowed > 0
    assert there.link.counts(there.far).overflowed == 0


def test_a_frame_that_finds_more_than_the_queue_holds_is_lost() -> None:
    arrived: list[float] = []
    port = Port(
        Timeline(),
        mtu=1500,
        impairments=Impairments(rate_bps=8_000, queue_octets=3_000),  # an octet a millisecond
        seed="",
        switch=lambda _port, _frame, at: arrived.append(at),
    )
    for _ in range(10):
        port.transmit(bytes(1000))
    assert arrived == [1.0, 2.0, 3.0, 4.0]  # the fourth found 3,000 octets, the fifth 4,000
    assert port.counts().overflowed == 6


def test_hosts_know_the_mtu_of_their_link() -> None:
    there = world(mtu=1000)
    ours, _theirs = there.open()
    assert ours.info.snd_mss == 960 - 12  # less the timestamps
    carry(there)
    assert there.link.counts().too_big == 0


@pytest.mark.parametrize(("remote", "headers"), [(FAR, 40), ("fd00::2", 60)], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("mtu", [1280, 1500, 9000])
def test_a_syn_says_what_the_mtu_of_the_link_lets_in(mtu: int, remote: str, headers: int) -> None:
    """RFC 9293 section 3.7.1 (MUST-67)."""
    sim = Simulation()
    near, far = sim.host(f"{NEAR}/24", "fd00::1/64"), sim.host(f"{FAR}/24", "fd00::2/64")
    sim.link(near, far, mtu=mtu)
    near.connect(remote, PORT)
    syns = [event.segment for event in sim.trace if event.kind is EventKind.SENT and event.segment.syn]
    assert [parse(syn.options).mss for syn in syns] == [mtu - headers] * 2


def test_what_exceeds_the_mtu_is_lost() -> None:
    sim = Simulation()
    near, far = (sim.host(f"{address}/24", mtu=1500) for address in (NEAR, FAR))
    link = sim.link(near, far, mtu=1000)
    ours = near.connect(FAR, PORT)
    ours.sendall(TEXT[:2000])
    sim.run(for_s=1.0)
    assert link.counts(near).too_big > 0
    assert far.pool.claim().info.unread == 0


def test_loss_is_that_of_its_seed() -> None:
    def lost(seed: int) -> tuple[float, int]:
        there = world(seed, loss=0.1, delay_s=0.001)
        return carry(there), there.link.counts().faults.dropped

    assert lost(1) == lost(1) != lost(2)
    assert lost(1)[1] > 5


def test_every_nth_frame_can_be_lost() -> None:
    there = world(drop_every=10, delay_s=0.001)
    carry(there)
    for host in (there.near, there.far):
        counts = there.link.counts(host)
        assert counts.faults == FaultCounts(dropped=counts.sent // 10)


def test_what_arrives_corrupted_is_counted_and_changes_nothing() -> None:
    there = world(corrupt=0.1, delay_s=0.001)
    carry(there)
    reasons = (
        DropReason.TCP_BAD_CHECKSUM,
        DropReason.IP_BAD_CHECKSUM,
        DropReason.IP_BAD_VERSION,
        DropReason.IP_BAD_LENGTH,
    )
    drops = there.far.counters().drops
    assert drops[DropReason.TCP_BAD_CHECKSUM] > 3
    there.sim.run(for_s=1.0)  # until what is under way has arrived
    assert sum(drops.get(reason, 0) for reason in reasons) == there.link.counts(there.near).faults.corrupted


def test_a_link_marks_what_may_be_marked() -> None:
    there = world(config=TcpConfig(ecn=3), mark=0.2, delay_s=0.001)
    ours, theirs = there.open()
    flow = Flow(ours, theirs, TEXT)
    assert there.sim.run_until(flow.is_through, timeout_s=DAY_S)
    there.sim.run(for_s=1.0)
    seen = theirs.info.ecn
    assert seen is not None
    assert seen.received_ce == there.link.counts(there.near).faults.marked > 3
    assert there.link.counts(there.far).faults.marked == 0  # acknowledgments


def test_duplicates_arrive_twice() -> None:
    there = world(duplicate=1.0)
    carry(there)
    there.sim.run(for_s=1.0)
    counts = there.link.counts(there.near)
    assert counts.faults.duplicated == counts.sent
    sent = there.near.counters().segments_sent
    assert there.far.counters().segments_received == 2 * sent


def test_reordered_frames_change_places() -> None:
    there = world(reorder=0.2, delay_s=0.001)
    carry(there)
    assert there.link.counts(there.near).faults.reordered > 5
    seqs = [
        event.segment.seq
        for event in there.sim.trace
        if event.host == "far" and event.kind is EventKind.RECEIVED and event.segment
    ]
    assert sorted(seqs) != seqs


def test_a_reordered_frame_that_none_follows_goes_alone() -> None:
    there = world(reorder=1.0)
    there.open()
    assert 0.03 <= there.sim.now < 0.06  # each of three or four segments waited for 10 ms


def test_impairments_can_change_with_time() -> None:
    there = world(delay_s=0.01)
    ours, theirs = there.open()
    start = there.sim.now
    there.link.impair(loss=1.0)
    there.sim.after(5.0, lambda: there.link.impair(loss=0.0))
    ours.sendall(b"text")
    assert theirs.recv(100) == b"text"
    assert there.sim.now - start > 5.0


def test_a_frame_is_never_overtaken_when_the_delay_shrinks() -> None:
    there = world(delay_s=1.0)
    ours, theirs = there.open()
    ours.sendall(b"first ")
    there.link.impair(delay_s=0.1)
    start = there.sim.now
    ours.sendall(b"second")
    assert theirs.recv(100) == b"first second"
    assert there.sim.now - start == 1.0


@pytest.mark.parametrize(
    "impairments",
    [
        {"delay_s": -1.0},
        {"delay_s": inf},
        {"delay_s": 0.1, "jitter_s": 0.2},
        {"rate_bps": 0.0},
        {"queue_octets": -1},
        {"loss": 1.5},
        {"corrupt": -0.1},
        {"drop_every": -1},
    ],
    ids=str,
)
def test_impairments_outside_their_range_are_refused(impairments: dict[str, Any]) -> None:
    with pytest.raises(BadConfigError):
        world(**impairments)


def test_a_host_elsewhere_has_no_impairments_here() -> None:
    there = world()
    stranger = there.sim.host("10.0.0.3/24")
    for attempt in (there.link.impair, there.link.counts):
        with pytest.raises(BadConfigError, match=r"10\.0\.0\.3"):
            attempt(stranger)


def test_the_switch_forwards_to_whom_a_frame_is_for() -> None:
    sim = Simulation()
    hosts = [sim.host(f"10.0.0.{number}/24") for number in (1, 2, 3)]
    sim.link(*hosts)
    hosts[0].connect("10.0.0.2", PORT)
    sim.run(for_s=1.0)
    assert [host.counters().segments_received for host in hosts] == [1, 2, 0]
    assert [host.counters().drops.get(DropReason.NOT_OUR_MAC, 0) for host in hosts] == [0, 0, 0]


def test_a_frame_for_nobody_is_counted() -> None:
    there = world()
    ours, _theirs = there.open()
    stray = there.sim.host(f"{NEAR}/24", name="impostor", mtu=1500)
    assert stray.mac != there.near.mac
    there.link.inject(
        FourTuple("10.0.0.77", 1, FAR, 2), Segment(1, 0, ACK)
    )  # nobody can be told of the reset
    there.sim.run(for_s=5.0)
    assert there.far.counters().resets_sent == 1
    assert there.far.counters().drops[DropReason.NEIGHBOUR_UNREACHABLE] == 1
    assert ours.state is State.ESTABLISHED


# Forgery


def test_a_forged_reset_is_judged_like_any_other() -> None:
    there = world()
    ours, theirs = there.open()
    info = theirs.info
    forged = ours.four_tuple
    there.link.inject(forged, Segment((info.rcv_nxt + 1000) % 2**32, 0, RST))
    there.sim.run(for_s=1.0)
    assert theirs.state is State.ESTABLISHED
    assert there.far.counters().drops == {DropReason.RST_CHALLENGED: 1}
    there.link.inject(forged, Segment(info.rcv_nxt, 0, RST))
    there.sim.run(for_s=1.0)
    with pytest.raises(ConnectionResetError):
        theirs.recv(1)


def test_a_forged_segment_needs_a_host_to_reach() -> None:
    with pytest.raises(BadAddressError):
        world().link.inject(FourTuple(NEAR, 1, "10.0.0.9", 2), Segment(1, 0, RST))


def test_ipv6_works_alike() -> None:
    sim = Simulation()
    near, far = sim.host("fd00::1/64", name="near"), sim.host("fd00::2/64", name="far")
    there = World(sim, near, far, sim.link(near, far, delay_s=0.01, corrupt=0.05, loss=0.02))
    flows = [Flow(*_open_over_ipv6(near, far), TEXT)]
    assert sim.run_until(lambda: are_through(*flows), timeout_s=DAY_S)
    assert flows[0].arrived == TEXT
    assert there.far.counters().drops[DropReason.TCP_BAD_CHECKSUM] > 0


def _open_over_ipv6(near: SimulatedHost, far: SimulatedHost) -> Any:  # noqa: ANN401
    return near.connect("fd00::2", PORT), far.pool.claim(timeout=60.0)
