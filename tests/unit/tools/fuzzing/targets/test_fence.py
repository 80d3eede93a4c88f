"""`FencedLink` against a target in memory: what is an answer, and when one is complete."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import pytest

from xsocket.wire.link import Frame
from xsocket_tools.fuzzing.frames import Stations
from xsocket_tools.fuzzing.target import StalledError
from xsocket_tools.fuzzing.targets.fence import FencedLink

STATIONS = Stations(b"\x02\x00\x00\x00\x00\x01", b"\x02\x00\x00\x00\x00\x02")
QUESTION, ANSWER, LATE, WHO_IS = (bytes((kind,)) * 60 for kind in (1, 2, 3, 4))
TYPE_AT = {b"\x08\x00": 34, b"\x86\xdd": 54}

Sending = Callable[["Wire", bytes], None]


def reply_to(ping: bytes) -> bytes:
    """Return a frame that is an echo reply as far as its type and body say so."""
    at = TYPE_AT[ping[12:14]]
    return ping[:at] + (b"\x00" if at == 34 else b"\x81") + ping[at + 1 :]


def is_ping(frame: bytes) -> bool:
    return frame[12:14] in TYPE_AT


class Wire:
    """A target that does at once what *on_frame* says; it may put frames into `frames`."""

    def __init__(self, on_frame: Sending) -> None:
        self.frames: list[Frame] = []
        self.sent: list[bytes] = []
        self._on_frame = on_frame
        self._readable = os.eventfd(1)

    def send(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self.sent.append(frame)
            self._on_frame(self, frame)

    def receive(self) -> list[Frame]:
        frames, self.frames = self.frames, []
        return frames

    def put(self, data: bytes) -> None:
        self.frames.append(Frame(data, 0))

    def fileno(self) -> int:
        return self._readable

    def close(self) -> None:
        os.close(self._readable)


@pytest.fixture
def wire_for() -> Iterator[Callable[[Sending], Wire]]:
    made: list[Wire] = []

    def make(on_frame: Sending) -> Wire:
        made.append(Wire(on_frame))
        return made[-1]

    yield make
    for wire in made:
        wire.close()


Make = Callable[[Sending], Wire]


def in_order(wire: Wire, frame: bytes) -> None:
    wire.put(reply_to(frame) if is_ping(frame) else ANSWER)


@pytest.mark.parametrize("version", [4, 6])
def test_what_comes_before_the_reply_is_the_answer(wire_for: Make, version: int) -> None:
    link = FencedLink(wire_for(in_order), STATIONS, version=version)
    assert [frame.data for frame in link.exchange(QUESTION)] == [ANSWER]
    assert link.exchange() == []


def test_each_ping_is_another(wire_for: Make) -> None:
    wire = wire_for(in_order)
    link = FencedLink(wire, STATIONS)
    link.exchange()
    link.exchange()
    assert len(set(wire.sent)) == 2


def test_no_reply_is_a_stall(wire_for: Make) -> None:
    link = FencedLink(wire_for(lambda _wire, _frame: None), STATIONS, patience_s=0.01)
    with pytest.raises(StalledError, match="answered no ping"):
        link.exchange(QUESTION)


def test_the_reply_to_an_earlier_ping_is_none(wire_for: Make) -> None:
    pings: list[bytes] = []

    def one_behind(wire: Wire, frame: bytes) -> None:
        pings.append(frame)
        if len(pings) > 1:
            wire.put(reply_to(pings[-2]))

    link = FencedLink(wire_for(one_behind), STATIONS, patience_s=0.01)
    for _ in range(2):
        with pytest.raises(StalledError):
            link.exchange()


def test_a_second_ping_fences_in_what_the_first_one_overtook(wire_for: Make) -> None:
    waiting: list[bytes] = []

    def replies_first(wire: Wire, frame: bytes) -> None:
        if is_ping(frame):
            wire.put(reply_to(frame))
            while waiting and len(wire.sent) > 2:
                wire.frames.insert(0, Frame(waiting.pop(), 0))
        else:
            waiting.append(ANSWER)

    link = FencedLink(wire_for(replies_first), STATIONS, pings=2)
    assert [frame.data for frame in link.exchange(QUESTION)] == [ANSWER]


def test_an_answer_that_waits_for_a_neighbour_is_waited_for(wire_for: Make) -> None:
    def asks_first(wire: Wire, frame: bytes) -> None:
        if frame == QUESTION:
            wire.put(WHO_IS)
        elif frame == LATE:
            wire.put(ANSWER)
        else:
            wire.put(reply_to(frame))

    link = FencedLink(
        wire_for(asks_first), STATIONS, answering=lambda frame: LATE if frame == WHO_IS else None
    )
    assert [frame.data for frame in link.exchange(QUESTION)] == [ANSWER]


def test_who_asks_for_ever_is_not_waited_for(wire_for: Make) -> None:
    def asks_again(wire: Wire, frame: bytes) -> None:
        if is_ping(frame):
            wire.put(WHO_IS)
            wire.put(reply_to(frame))

    link = FencedLink(wire_for(asks_again), STATIONS, answering=lambda _: LATE)
    assert link.exchange(QUESTION) == []


def test_who_is_never_quiet_is_stalled(wire_for: Make) -> None:
    link = FencedLink(wire_for(in_order), STATIONS, quiet_s=0.001, patience_s=0.01)
    with pytest.raises(StalledError, match="not quiet"):
        link.exchange(QUESTION)
