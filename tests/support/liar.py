"""A target that does otherwise than the engine behind it: what it sends is changed, lost or invented."""

from collections.abc import Callable, Sequence
from typing import Any

from xsocket.fourtuple import FourTuple
from xsocket.segment import Segment
from xsocket.state import State
from xsocket.wire.link import Frame
from xsocket_tools.fuzzing.frames import Heard, Stations, read, segment_frame
from xsocket_tools.fuzzing.target import Answer, Counts
from xsocket_tools.fuzzing.targets.engine import EngineTarget

Change = Callable[[Segment], Segment | None]
"""What becomes of a segment: another, or none."""


class Liar:
    """The engine, and a change of every segment that it sends once *after* operations are over."""

    name = "engine"
    is_virtual = True

    def __init__(
        self,
        change: Change = lambda segment: segment,
        *,
        after: int = 0,
        state: Callable[[State | None], State | None] = lambda state: state,
        counts: Callable[[Counts], Counts] = lambda counts: counts,
        answer: Callable[[Answer], Answer] = lambda answer: answer,
    ) -> None:
        self._engine = EngineTarget()
        self._change, self._after, self._steps = change, after, 0
        self._state, self._counts, self._answer = state, counts, answer
        self.stations = self._engine.stations

    @property
    def _lies(self) -> bool:
        return self._steps > self._after

    def begin(self, rules: tuple[tuple[str, Any], ...], seed: int) -> None:
        self._engine.begin(rules, seed)
        self._steps = 0

    def four_tuple(self, peer: int) -> FourTuple:
        return self._engine.four_tuple(peer)

    def step(self, frame: bytes | None, now: float) -> Sequence[Frame]:
        self._steps += 1
        return self._changed(self._engine.step(frame, now))

    def call(self, peer: int, name: str, now: float, text: bytes = b"", size: int = 0) -> Answer:
        self._steps += 1
        answer = self._engine.call(peer, name, now, text, size)
        answer = answer._replace(frames=self._changed(answer.frames))
        return self._answer(answer) if self._lies else answer

    def _changed(self, frames: Sequence[Frame]) -> list[Frame]:
        if not self._lies:
            return list(frames)
        stations = Stations(self.stations.ours, self.stations.target)
        changed = []
        for frame in frames:
            heard = read(frame.data)
            assert isinstance(heard, Heard)
            segment = self._change(heard.segment)
            if segment is not None:
                changed.append(frame._replace(data=segment_frame(stations, heard.four_tuple, segment)))
        return changed

    def state(self, peer: int) -> State | None:
        state = self._engine.state(peer)
        return self._state(state) if self._lies else state

    def counts(self) -> Counts:
        counts = self._engine.counts()
        return self._counts(counts) if self._lies else counts

    def timers(self) -> Sequence[tuple[FourTuple, str, float]]:
        return self._engine.timers()

    def close(self) -> None:
        self._engine.close()
