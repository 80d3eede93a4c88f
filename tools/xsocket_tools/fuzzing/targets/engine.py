"""The engine in this process, in virtual time: the target that costs least and tells most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from xsocket import Admission
from xsocket.connection import Connection
from xsocket.fourtuple import FourTuple
from xsocket.simulation import Cable, SimulatedHost, Simulation
from xsocket.state import State
from xsocket.trace import Trace
from xsocket.wire.link import Frame
from xsocket_tools.fuzzing.case import config_of
from xsocket_tools.fuzzing.cast import PEERS, PREFIX, STATION, TARGET
from xsocket_tools.fuzzing.deviations import Deviation
from xsocket_tools.fuzzing.frames import ARP, Stations
from xsocket_tools.fuzzing.target import Answer, Counts
from xsocket_tools.fuzzing.targets.calls import UserCalls

LISTENING: Final = 80
FIRST_CLOSED: Final = 5000
"""The local port of the first peer that is not served; each other one has the next."""
FIRST_REMOTE: Final = 40_000
MTU: Final = 1500

_FOUR_TUPLES: Final = tuple(
    FourTuple(
        TARGET[peer.version],
        LISTENING if peer.served else FIRST_CLOSED + index,
        peer.address,
        FIRST_REMOTE + peer.port,
    )
    for index, peer in enumerate(PEERS)
)
_ADMISSION: Final = Admission(ports=str(LISTENING))
_PEER_ADDRESSES: Final = tuple(dict.fromkeys(peer.address for peer in PEERS))
_ADDRESSES: Final = tuple(f"{TARGET[version]}/{PREFIX[version]}" for version in TARGET)


class EngineTarget:
    """A host of a simulation, alone on a cable whose other end the peers share.

    Args:
        traced: Keep a trace of the case that runs, which takes time.
        deviations: What it is allowed to do otherwise than the rules have it, to see what such a list hides.
    """

    name = "engine"
    is_virtual = True

    def __init__(self, *, traced: bool = False, deviations: Sequence[Deviation] = ()) -> None:
        self._traced = traced
        self.deviations = deviations
        self.stations = Stations(b"\x02\x00\x00\x00\x00\x01", STATION)
        self.begin((), 0)

    def begin(self, rules: tuple[tuple[str, Any], ...], seed: int) -> None:
        """See `Target.begin`."""
        self._simulation = Simulation(seed, trace_limit=100_000 if self._traced else 0)
        self._host: SimulatedHost = self._simulation.host(
            *_ADDRESSES, name="engine", admission=_ADMISSION, config=config_of(rules)
        )
        self._cable: Cable = self._simulation.cable(self._host, mtu=MTU, announced=False)
        for address in _PEER_ADDRESSES:
            self._host.add_neighbour(address, STATION)
        self._calls = UserCalls(_FOUR_TUPLES, self._open, self._claim)
        self.stations = Stations(self._host.mac, STATION)

    @property
    def trace(self) -> Trace:
        """What happened in the case, if it is traced."""
        return self._simulation.trace

    def four_tuple(self, peer: int) -> FourTuple:
        """See `Target.four_tuple`."""
        return _FOUR_TUPLES[peer]

    def step(self, frame: bytes | None, now: float) -> Sequence[Frame]:
        """See `Target.step`."""
        if now > self._simulation.now:
            self._pass_time(now)
        if frame is not None:
            self._cable.send(frame)
        return self._sent()

    def batch(self, frames: Sequence[bytes], now: float) -> Sequence[Frame]:
        """See `TakesBatches.batch`."""
        if now > self._simulation.now:
            self._pass_time(now)
        self._cable.send(*frames)
        return self._sent()

    def _pass_time(self, until: float) -> None:
        self._simulation.run(until - self._simulation.now)

    def _sent(self) -> list[Frame]:
        frames = self._cable.frames
        sent = [frame for frame in frames if not _is_neighbours(frame.data)] if frames else []
        frames.clear()
        return sent

    def call(self, peer: int, name: str, now: float, text: bytes = b"", size: int = 0) -> Answer:
        """See `Target.call`."""
        if now > self._simulation.now:
            self._pass_time(now)
        value, error = self._calls.make(peer, name, text, size)
        return Answer(self._sent(), value, error)

    def _open(self, peer: int, text: bytes) -> Connection:
        four_tuple = _FOUR_TUPLES[peer]
        opened = self._host.open(
            four_tuple.remote_address,
            four_tuple.remote_port,
            local_address=four_tuple.local_address,
            local_port=four_tuple.local_port,
            data=text or None,
        )
        opened.setblocking(False)
        return opened

    def _claim(self, peer: int | None) -> tuple[Connection, FourTuple]:
        claimed = self._host.pool.claim(None if peer is None else _FOUR_TUPLES[peer], timeout=0)
        claimed.setblocking(False)
        return claimed, claimed.four_tuple

    def state(self, peer: int) -> State | None:
        """See `Target.state`."""
        return self._host.state(_FOUR_TUPLES[peer])

    def counts(self) -> Counts:
        """See `Target.counts`."""
        return Counts(*self._host.table_sizes(), len(self._host.pool))

    def timers(self) -> Sequence[tuple[FourTuple, str, float]]:
        """See `Target.timers`."""
        return [(key, timer.value, at) for key, timer, at in self._host.timers()]

    def close(self) -> None:
        """See `Target.close`."""
        self._calls.held.clear()


def _is_neighbours(frame: bytes) -> bool:
    """Whether a frame is one by which the target announces its addresses."""
    kind = int.from_bytes(frame[12:14])
    return kind == ARP or (len(frame) > 54 and frame[20] == 58 and frame[54] in (135, 136))
