"""What every Link promises, asked of each kind: a cable in memory, a faulty one without faults, a veth."""

import select
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from xsocket.wire.faults import FaultRates
from xsocket.wire.faulty_link import FaultyLink
from xsocket.wire.link import Frame, Link
from xsocket.wire.memory_link import memory_pair
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Lab

PATIENCE_MS = 2_000

Pair = tuple[Link, Link]


@contextmanager
def memory() -> Iterator[Pair]:
    near, far = memory_pair()
    yield near, far
    near.close()
    far.close()


@contextmanager
def faulty() -> Iterator[Pair]:
    with memory() as (near, far):
        yield FaultyLink(near, FaultRates()), far


@contextmanager
def packet() -> Iterator[Pair]:
    with Lab() as lab:
        left, right = lab.host("left"), lab.host("right")
        for host in (left, right):
            host.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # or the kernel talks too
        lab.link(left, right)
        near, far = (host.run(PacketLink, "eth0", None) for host in (left, right))
        yield near, far
        near.close()
        far.close()


@pytest.fixture(
    params=[
        pytest.param(memory, id="memory"),
        pytest.param(faulty, id="faulty"),
        pytest.param(packet, id="packet", marks=pytest.mark.netns),
    ]
)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    made: Callable[[], AbstractContextManager[Pair]] = request.param
    with made() as links:
        yield links


def frame(near: Link, far: Link, number: int, octets: int = 60) -> bytes:
    """An ARP-typed frame from *near* to *far* that the kernels around do not mind."""
    return (far.mac + near.mac + b"\x08\x06" + number.to_bytes(4)).ljust(octets, b"\0")


def readable(link: Link, timeout_ms: int) -> bool:
    poller = select.poll()
    poller.register(link.fileno(), select.POLLIN)
    return bool(poller.poll(timeout_ms))


def receive(link: Link, count: int) -> list[Frame]:
    """Receive *count* frames, waiting where that takes a while."""
    frames: list[Frame] = []
    while len(frames) < count and readable(link, PATIENCE_MS):
        frames += link.receive()
    return frames


def test_the_ends_have_addresses_of_their_own(pair: Pair) -> None:
    near, far = pair
    assert len(near.mac) == len(far.mac) == 6
    assert near.mac != far.mac
    assert near.mtu == far.mtu == 1500


def test_all_that_is_ready_comes_at_once_in_order_and_whole(pair: Pair) -> None:
    near, far = pair
    sent = [frame(near, far, number, 60 + number) for number in range(200)]
    near.send(sent)
    frames = receive(far, len(sent))
    assert [each.data for each in frames] == sent
    assert far.receive() == []


def test_both_ways_at_once(pair: Pair) -> None:
    near, far = pair
    there, back = frame(near, far, 1), frame(far, near, 2)
    near.send([there])
    far.send([back])
    assert [each.data for each in receive(far, 1)] == [there]
    assert [each.data for each in receive(near, 1)] == [back]


def test_what_we_send_we_do_not_receive(pair: Pair) -> None:
    near, far = pair
    near.send([frame(near, far, 1)])
    receive(far, 1)
    assert near.receive() == []


def test_the_descriptor_is_readable_while_frames_are_ready(pair: Pair) -> None:
    near, far = pair
    assert not readable(far, 0)
    near.send([frame(near, far, 1), frame(near, far, 2)])
    assert readable(far, PATIENCE_MS)
    receive(far, 2)
    assert not readable(far, 0)


def test_the_largest_frame_passes_and_a_larger_one_is_counted(pair: Pair) -> None:
    near, far = pair
    largest = frame(near, far, 1, 14 + near.mtu)
    near.send([largest + b"x" * 5, largest, b"short"])
    assert [each.data for each in receive(far, 1)] == [largest]
    assert near.statistics().send_failures == 2


def test_the_time_of_arrival_grows(pair: Pair) -> None:
    near, far = pair
    near.send([frame(near, far, 1), frame(near, far, 2)])
    first, second = receive(far, 2)
    assert 1_600_000_000_000_000_000 < first.at_ns <= second.at_ns


def test_the_counters_count(pair: Pair) -> None:
    near, far = pair
    near.send([frame(near, far, number) for number in range(70)])
    receive(far, 70)
    assert near.statistics().sent == 70
    assert far.statistics().received == 70
    assert far.statistics().dropped_by_kernel == far.statistics().truncated == 0


def test_nothing_to_send_is_nothing(pair: Pair) -> None:
    near, _ = pair
    near.send([])
    assert near.statistics().sent == near.statistics().send_failures == 0


def test_closing_twice_is_fine_and_a_closed_link_is_silent(pair: Pair) -> None:
    near, far = pair
    near.close()
    near.close()
    assert near.receive() == []
    assert near.fileno() == -1
    near.send([frame(near, far, 1)])
    assert near.statistics().send_failures == 1
