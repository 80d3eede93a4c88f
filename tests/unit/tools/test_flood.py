"""The flood: what its frames are, how it is paced, and how the highest one that is borne is found."""

import os
from collections.abc import Callable, Sequence

import pytest

from xsocket.segment import SYN
from xsocket.tcp.options import parse
from xsocket.wire.codec import read_plain
from xsocket.wire.sendmmsg import BATCH, SendResult
from xsocket_tools.flood import HALVINGS, Stretch, highest, search
from xsocket_tools.flooder import flood, syns

OUR_MAC, THEIR_MAC = bytes.fromhex("020000000002"), bytes.fromhex("020000000001")


def test_a_flood_is_of_whole_syns_from_many_sources() -> None:
    frames = list(syns(500, THEIR_MAC, OUR_MAC, "10.0.0.2", 80, seed=1))
    arrivals = [read_plain(frame, True) for frame in frames]
    sources = set()
    for frame, arrival in zip(frames, arrivals, strict=True):
        assert frame[:12] == OUR_MAC + THEIR_MAC
        assert arrival is not None, "both checksums are right"
        assert arrival.segment.flags == SYN
        assert parse(arrival.segment.options).window_scale == 7
        assert arrival.four_tuple[:2] == ("10.0.0.2", 80)
        assert not arrival.four_tuple.remote_address.startswith(("10.", "127.", "0."))
        sources.add(arrival.four_tuple.remote_address)
    assert len(sources) > 490


def test_the_same_seed_gives_the_same_flood() -> None:
    once, again, other = (list(syns(9, THEIR_MAC, OUR_MAC, "10.0.0.2", 80, seed)) for seed in (1, 1, 2))
    assert once == again
    assert once != other


class Counting:
    """Takes frames until there were enough, and says so through a pipe."""

    def __init__(self, enough: int, refuse: Callable[[int], int] = lambda count: count) -> None:
        self.until, self._end = os.pipe()
        self.frames: list[bytes] = []
        self._enough, self._taking = enough, refuse

    def send(self, frames: Sequence[bytes]) -> SendResult:
        assert len(frames) <= BATCH
        taken = self._taking(len(frames))
        self.frames += frames[:taken]
        if len(self.frames) >= self._enough and self._end >= 0:
            os.close(self._end)
            self._end = -1
        return SendResult(taken, 0 if taken == len(frames) else 105)


FRAMES = [bytes([number]) for number in range(100)]


def test_a_flood_goes_round_and_keeps_its_pace() -> None:
    sender = Counting(1000)
    outcome = flood(sender, FRAMES, 20_000, sender.until)  # type: ignore[arg-type]
    assert sender.frames == [FRAMES[number % 100] for number in range(len(sender.frames))]
    assert outcome.frames == len(sender.frames) >= 1000
    assert outcome.refused == 0
    assert outcome.seconds >= 1000 / 20_000
    assert outcome.frames / outcome.seconds <= 20_001


def test_what_the_kernel_refused_is_not_counted_as_sent() -> None:
    sender = Counting(100, refuse=lambda count: count // 2)
    outcome = flood(sender, FRAMES, 20_000, sender.until)  # type: ignore[arg-type]
    assert outcome.frames == len(sender.frames)
    assert outcome.refused >= outcome.frames


# The search


def server_bearing(most: float, flooder_limit: float = 1e9) -> Callable[[float], Stretch]:
    """Return what measures a server whose clients keep half their rate up to *most* SYNs a second."""

    def run(rate: float) -> Stretch:
        sent = min(rate, flooder_limit)
        share = 1 - sent / most / 2
        return Stretch(rate, sent, 1000.0, 1000 * share, share, 1.0, 2.0, {}, [1], {})

    return run


def searched(run: Callable[[float], Stretch]) -> list[Stretch]:
    return search(run, run(20_000))


@pytest.mark.parametrize("most", [300, 4_999, 19_999, 20_000, 33_333, 250_000], ids=str)
def test_the_search_finds_the_highest_flood_that_is_borne(most: float) -> None:
    runs = searched(server_bearing(most))
    assert most / 2 ** (1 / 2**HALVINGS) * 0.999 <= highest(runs) <= most


def test_the_search_ends_where_the_flooder_cannot_go_on() -> None:
    runs = searched(server_bearing(1e12, flooder_limit=50_000))
    assert highest(runs) == 50_000
    assert [run.asked_per_second for run in runs] == [20_000, 40_000, 80_000]


def test_a_server_that_bears_nothing_has_no_highest_flood() -> None:
    runs = searched(server_bearing(1))
    assert highest(runs) == 0
