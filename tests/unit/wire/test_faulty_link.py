"""A bad cable loses, doubles and reorders what its rates and its seed say."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from xsocket.errors import BadConfigError
from xsocket.fourtuple import FourTuple
from xsocket.segment import CE, ECT_0, ECT_1, NOT_ECT, Segment
from xsocket.wire.codec import TcpPacket, decode, encode_segment
from xsocket.wire.faults import FaultCounts, FaultRates, marked_frame
from xsocket.wire.faulty_link import FaultyLink
from xsocket.wire.memory_link import memory_pair

Through = Callable[..., tuple[list[int], FaultCounts]]

FRAMES = [bytes(12) + b"\x08\x00" + number.to_bytes(2) for number in range(1_000)]


def numbers(frames: list[bytes]) -> list[int]:
    return [int.from_bytes(frame[14:]) for frame in frames]


def sent_through(rates: FaultRates, seed: int = 1) -> tuple[list[int], FaultCounts]:
    near, far = memory_pair()
    bad = FaultyLink(near, rates, FaultRates(), seed=seed)
    bad.send(FRAMES)
    return numbers([frame.data for frame in far.receive()]), bad.outgoing


def received_through(rates: FaultRates, seed: int = 1) -> tuple[list[int], FaultCounts]:
    near, far = memory_pair()
    bad = FaultyLink(near, FaultRates(), rates, seed=seed)
    far.send(FRAMES)
    return numbers([frame.data for frame in bad.receive()]), bad.incoming


both_ways = pytest.mark.parametrize("through", [sent_through, received_through], ids=["sent", "received"])


@both_ways
def test_every_tenth_frame_is_lost(through: Through) -> None:
    arrived, counts = through(FaultRates(drop_every=10))
    assert arrived == [number for number in range(1_000) if number % 10 != 9]
    assert counts == FaultCounts(dropped=100)


@both_ways
def test_random_loss_is_that_of_its_seed(through: Through) -> None:
    arrived, counts = through(FaultRates(loss=0.2))
    assert through(FaultRates(loss=0.2)) == (arrived, counts)
    assert through(FaultRates(loss=0.2), seed=2) != (arrived, counts)
    assert 150 < counts.dropped == 1_000 - len(arrived) < 250


@both_ways
def test_duplicates_follow_their_originals(through: Through) -> None:
    arrived, counts = through(FaultRates(duplicate=0.1))
    assert 50 < counts.duplicated == len(arrived) - 1_000 < 150
    assert arrived == sorted(arrived)


@both_ways
def test_reordered_frames_change_places_with_the_next(through: Through) -> None:
    arrived, counts = through(FaultRates(reorder=0.1))
    backward = [(before, after) for before, after in pairwise(arrived) if after < before]
    assert 50 < counts.reordered < 150
    assert all(after == before - 1 for before, after in backward)
    assert len(backward) in (counts.reordered, counts.reordered - 1)  # the last one may still wait


@both_ways
def test_a_corrupted_frame_differs_in_one_bit_of_its_packet(through: Through) -> None:
    arrived, counts = through(FaultRates(corrupt=0.1))
    differences = [before ^ after for before, after in enumerate(arrived)]
    assert 50 < counts.corrupted < 150
    assert sum(each.bit_count() for each in differences) == counts.corrupted
    assert {each.bit_count() for each in differences} == {0, 1}


@both_ways
@pytest.mark.parametrize("more", [{"corrupt": 0.3}, {"duplicate": 0.3}, {"reorder": 0.3}], ids=str)
def test_one_rate_leaves_the_frames_that_another_hits_the_same(
    through: Through, more: dict[str, float]
) -> None:
    _, alone = through(FaultRates(loss=0.2))
    _, together = through(FaultRates(loss=0.2, **more))
    assert together.dropped == alone.dropped
    assert together != alone


def ecn_of(frame: bytes) -> int:
    packet = decode(frame)
    assert isinstance(packet, TcpPacket), packet
    return packet.segment.ecn


def segments(version: int, ecn: int) -> list[bytes]:
    ends = ("10.0.0.1", "10.0.0.2") if version == 4 else ("fd00::1", "fd00::2")
    prefix = bytes(12) + (b"\x08\x00" if version == 4 else b"\x86\xdd")
    name = FourTuple(ends[0], 1, ends[1], 2)
    return [encode_segment(prefix, name, Segment(number, 0, 0, ecn=ecn), dscp=46) for number in range(1_000)]


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("ecn", [ECT_0, ECT_1], ids=["ECT(0)", "ECT(1)"])
def test_a_busy_router_marks_what_may_be_marked_and_leaves_the_rest_of_it(version: int, ecn: int) -> None:
    """Every checksum still fits: `decode` looks at both."""
    frames = segments(version, ecn)
    near, far = memory_pair()
    bad = FaultyLink(near, FaultRates(mark=0.1), seed=1)
    bad.send(frames)
    far.send(frames)
    for arrived, counts in ((far.receive(), bad.outgoing), (bad.receive(), bad.incoming)):
        marks = [ecn_of(frame.data) == CE for frame in arrived]
        assert 50 < counts.marked == sum(marks) < 150
        assert {ecn_of(frame.data) for frame in arrived} == {ecn, CE}
        unmarked = [marked_frame(sent) if mark else sent for sent, mark in zip(frames, marks, strict=True)]
        assert [frame.data for frame in arrived] == unmarked


@pytest.mark.parametrize(
    "frame",
    [*segments(4, NOT_ECT)[:1], *segments(6, CE)[:1], bytes(12) + b"\x08\x06" + b"\xff" * 28, b"", FRAMES[5]],
)
def test_nothing_else_is_marked(frame: bytes) -> None:
    assert marked_frame(frame) is frame


def test_what_has_no_checksum_is_not_corrupted() -> None:
    near, far = memory_pair()
    bad = FaultyLink(near, FaultRates(corrupt=1.0))
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    far.send([arp])
    assert [frame.data for frame in bad.receive()] == [arp]


def test_a_good_cable_changes_nothing() -> None:
    assert sent_through(FaultRates()) == (list(range(1_000)), FaultCounts())


def test_both_directions_fail_alike_by_default() -> None:
    near, far = memory_pair()
    bad = FaultyLink(near, FaultRates(drop_every=2))
    bad.send(FRAMES[:4])
    far.send(FRAMES[:4])
    assert len(far.receive()) == len(bad.receive()) == 2
    assert (bad.outgoing, bad.incoming) == (FaultCounts(2), FaultCounts(2))


@pytest.mark.parametrize(
    "rates",
    [
        FaultRates(drop_every=-1),
        FaultRates(loss=1.5),
        FaultRates(duplicate=-0.1),
        FaultRates(corrupt=2),
        FaultRates(mark=1.1),
    ],
    ids=str,
)
def test_rates_outside_their_range_are_refused(rates: FaultRates) -> None:
    with pytest.raises(BadConfigError):
        FaultyLink(memory_pair()[0], rates)
