"""Impairments in virtual time: each does what it says, to the frame, and the same for the same seed."""

from collections.abc import Callable
from itertools import groupby
from math import inf
from typing import Any

import pytest

from support.paths import KEY, KEY_6, LEFT, RIGHT, error_in, framed, held_by, left, right, segment
from xsocket.fourtuple import FourTuple
from xsocket.patherror import PathError
from xsocket.segment import Segment
from xsocket.wire.icmp import path_error
from xsocket_tools.path.element import Chain, Element
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.impairments import Impair, LimitMtu, Lose, LoseBursts
from xsocket_tools.path.parcel import Parcel, Seen, Towards

FRAMES = [bytes(12) + b"\x08\x00" + number.to_bytes(2) for number in range(1_000)]


def numbers(parcels: list[Parcel]) -> list[int]:
    return [int.from_bytes(parcel.frame[14:16]) for parcel in parcels]


def passed(element: Element, towards: Towards = RIGHT) -> list[int]:
    """Send the thousand frames a millisecond apart; return which came out, in order."""
    out: list[Parcel] = []
    for number, frame in enumerate(FRAMES):
        out += element.take(100 + number / 1000, Parcel(towards, frame))
    while element.deadline < inf:
        out += element.wake(element.deadline)
    return numbers(out)


def test_a_frame_comes_out_when_its_delay_is_over() -> None:
    element = Impair(delay_s=0.5)
    assert element.deadline == inf
    assert element.take(100.0, Parcel(RIGHT, FRAMES[7])) == []
    assert element.deadline == 100.5
    assert element.wake(100.25) == []
    (out,) = element.wake(100.5)
    assert (out.towards, out.frame) == (RIGHT, FRAMES[7])
    assert element.deadline == inf


def test_without_a_delay_it_comes_out_at_once() -> None:
    assert numbers([*Impair().take(100.0, Parcel(LEFT, FRAMES[7]))]) == [7]


def test_a_rate_lets_frames_out_one_after_the_other() -> None:
    element = Impair(rate_bps=16 * 8)  # a frame of sixteen octets a second
    for frame in FRAMES[:3]:
        element.take(100.0, Parcel(RIGHT, frame))
    times = []
    while element.deadline < inf:
        times.append(element.deadline)
        assert len(element.wake(times[-1])) == 1
    assert times == [101.0, 102.0, 103.0]


def test_a_full_queue_is_counted() -> None:
    element = Impair(rate_bps=8, queue_octets=16)
    for frame in FRAMES[:3]:
        element.take(100.0, Parcel(RIGHT, frame))
    assert element.counts()["overflowed"] == 1


@pytest.mark.parametrize(
    ("fields", "counted"),
    [
        pytest.param({"loss": 0.2}, "dropped", id="loss"),
        pytest.param({"duplicate": 0.2}, "duplicated", id="duplicate"),
        pytest.param({"reorder": 0.2}, "reordered", id="reorder"),
        pytest.param({"corrupt": 0.2}, "corrupted", id="corrupt"),
    ],
)
def test_faults_are_those_of_the_seed(fields: dict[str, Any], counted: str) -> None:
    element = Impair(seed=1, **fields)
    seen = passed(element)
    assert 150 < element.counts()[counted] < 250
    assert seen != list(range(1_000))
    assert passed(Impair(seed=1, **fields)) == seen
    assert passed(Impair(seed=2, **fields)) != seen


def test_a_direction_draws_from_its_own_sequence() -> None:
    assert passed(Impair(loss=0.2), RIGHT) != passed(Impair(loss=0.2), LEFT)


@pytest.mark.parametrize(
    "element", [Impair(loss=1.0, only=RIGHT), LoseBursts(1, 1e-9, only=RIGHT)], ids=["any", "bursts"]
)
def test_only_one_direction_is_hurt_if_so_asked(element: Element) -> None:
    assert passed(element, LEFT) == list(range(1_000))
    assert passed(element, RIGHT) == []


def test_bursts_have_the_share_and_the_length_of_their_probabilities() -> None:
    element = LoseBursts(0.05, 0.25, seed=1)
    survivors = set(passed(element))
    lost = [number not in survivors for number in range(1_000)]
    bursts = [len(list(group)) for is_lost, group in groupby(lost) if is_lost]
    assert element.counts() == {"dropped": sum(lost), "bursts": len(bursts)}
    assert 0.12 < sum(lost) / 1_000 < 0.21  # 0.05 / 0.30
    assert 3 < sum(bursts) / len(bursts) < 5
    assert survivors == set(passed(LoseBursts(0.05, 0.25, seed=1)))
    assert survivors != set(passed(LoseBursts(0.05, 0.25, seed=2)))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Impair(loss=1.5), id="loss"),
        pytest.param(lambda: Impair(delay_s=-1), id="delay"),
        pytest.param(lambda: Impair(delay_s=1, jitter_s=2), id="jitter"),
        pytest.param(lambda: Impair(rate_bps=0), id="rate"),
        pytest.param(lambda: LoseBursts(2, 0.5), id="enter"),
        pytest.param(lambda: LoseBursts(0.5, 0), id="leave"),
        pytest.param(lambda: LimitMtu(67), id="mtu"),
        pytest.param(lambda: Lose("S.", 0), id="nth"),
    ],
)
def test_values_out_of_range_are_refused(make: Callable[[], Element]) -> None:
    with pytest.raises(BadElementError, match="xsocket lab up --help"):
        make()


def test_the_second_syn_ack_is_lost_and_no_other_segment() -> None:
    element = Lose("S.", 2)
    there = [right(segment("S", 1)), left(segment("S.", 5, 2)), left(segment("S.", 5, 2)), left(segment("."))]
    assert [len(element.take(0.0, each)) for each in [*there, there[1]]] == [1, 1, 0, 1, 1]
    assert element.counts() == {"dropped": 1}


def test_a_predicate_sees_who_sends_what_and_when() -> None:
    asked: list[Seen] = []
    Lose(asked.append).take(7.5, left(segment("P.", 5, 2, payload=b"x")))
    (seen,) = asked
    assert (seen.at, seen.towards, seen.four_tuple) == (7.5, LEFT, KEY.reversed)
    assert (seen.segment.payload, seen.frame) == (b"x", framed(LEFT, seen.segment))


def big(octets: int, key: FourTuple) -> Segment:
    """Return a segment whose IP packet has *octets*."""
    return segment(".", 500, payload=bytes(octets - (40 if key.family == 4 else 60)))


@pytest.mark.parametrize("key", [KEY, KEY_6], ids=["ipv4", "ipv6"])
def test_a_packet_that_is_too_big_comes_back_as_an_error(key: FourTuple) -> None:
    element = LimitMtu(1300)
    assert held_by(*element.take(0.0, right(big(1300, key), key))) == big(1300, key)
    (answer,) = element.take(0.0, right(big(1301, key), key))
    assert answer.towards is LEFT
    error = path_error(error_in(answer))
    assert isinstance(error, PathError)
    assert (error.four_tuple, error.seq, error.mtu) == (key, 500, 1300)
    assert element.counts() == {"dropped": 1, "told": 1}


def test_a_black_hole_says_nothing() -> None:
    element = LimitMtu(1300, silent=True)
    assert element.take(0.0, right(big(1301, KEY))) == ()
    assert element.counts() == {"dropped": 1, "told": 0}


def test_a_chain_is_passed_from_the_end_a_frame_comes_from() -> None:
    chain = Chain([Impair(delay_s=1.0), Lose("S", 1), Impair(delay_s=2.0)])
    chain.take(0.0, right(segment("S", 1)))
    chain.take(0.0, left(segment("S.", 1)))
    assert chain.deadline == 1.0
    assert chain.wake(1.0) == []  # the SYN is lost, the SYN+ACK not yet where it waits again
    assert chain.deadline == 2.0
    assert chain.counts()["1 Lose dropped"] == 1
    chain.wake(2.0)
    (out,) = chain.wake(3.0)
    assert (out.towards, chain.deadline) == (LEFT, inf)


def test_an_answer_goes_back_through_what_its_cause_came_through() -> None:
    chain = Chain([Impair(delay_s=1.0, only=LEFT), LimitMtu(1300)])
    assert chain.take(0.0, right(big(1400, KEY))) == []
    (answer,) = chain.wake(1.0)
    assert answer.towards is LEFT


def test_what_a_late_wake_lets_out_goes_on_at_once() -> None:
    chain = Chain([Impair(delay_s=1.0), Impair(delay_s=1.0)])
    chain.take(0.0, right(segment("S", 1)))
    assert chain.wake(1.5) == []
    assert chain.deadline == 2.5
