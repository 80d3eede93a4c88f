"""The target ``sim``: the engine in virtual time. No root, no waiting, and every run is the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Self

from xsocket import Event, Simulation
from xsocket.simulation import Cable, SimulatedHost
from xsocket_tools.scenarios.engine_sockets import EngineSockets
from xsocket_tools.scenarios.target import Returned, Sniffed
from xsocket_tools.scenarios.targets.counterpart import Counterpart, packet_of
from xsocket_tools.scenarios.targets.engine import EngineTarget, Pending

if TYPE_CHECKING:
    from types import TracebackType

    from xsocket_tools.scenarios.settings import Settings


class SimTarget(EngineTarget):
    """A host of a simulation, and the other end of its cable.

    Args:
        settings: Of the run.
        seed: Of sequence numbers and ports.
    """

    name = "sim"
    exact_us = 1
    node: SimulatedHost

    def __init__(self, settings: Settings, seed: int = 0) -> None:
        super().__init__(settings)
        self._simulation = Simulation(seed)
        self._cable: Cable | None = None

    def __enter__(self) -> Self:
        self.node = self._simulation.host(self.interface_address, name="engine", config=self.rules())
        self._cable = self._simulation.cable(self.node, mtu=self.settings.mtu)
        self._counterpart = Counterpart(self.node.mac, [self.settings.local])
        self.sockets = EngineSockets(self.node, self.now)
        self._look()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cable = None

    def start(self) -> None:
        """See `Target.start`: virtual time is at 0 already."""
        self.packets.clear()

    def now(self) -> float:
        """See `Target.now`."""
        return self._simulation.now

    def wait_until(self, instant: float) -> None:
        """See `Target.wait_until`."""
        self._pass(instant, lambda: False)

    def next_packet(self, until: float) -> Sniffed | None:
        """See `Target.next_packet`."""
        if not self.packets:
            self._pass(until, lambda: bool(self.packets))
        return self.packets.popleft() if self.packets else None

    def inject(self, packet: bytes) -> None:
        """See `Target.inject`."""
        assert self._cable is not None
        self._cable.send(self._counterpart.frame(packet))
        self._look()

    def call(self, work: Callable[[], Any]) -> Callable[[float], Returned | None]:
        """See `Target.call`."""
        pending = self.begin_call(work)
        self._look()
        self._wake_for(pending)

        def outcome(until: float) -> Returned | None:
            if pending.returned is None:
                self._pass(until, lambda: pending.returned is not None)
            return pending.returned

        return outcome

    def _wake_for(self, pending: Pending) -> None:
        """Let something happen when a call gives up waiting."""
        if pending.returned is None and pending.until < inf:
            self._simulation.after(max(0.0, pending.until - self.now()), lambda: None)

    def _pass(self, until: float, enough: Callable[[], bool]) -> None:
        """Let time pass to *until*, or until it is *enough*."""

        def look() -> bool:
            self._look()
            return enough()

        self._simulation.run_until(look, max(0.0, until - self.now()))

    def _look(self) -> None:
        """Take what the engine has sent, answer for neighbours, and make the waiting call again."""
        assert self._cable is not None
        while True:
            while self._cable.frames:
                frame = self._cable.frames.popleft()
                for _, answer in self._counterpart.read([frame]):
                    if answer is None:
                        self.packets.append(Sniffed(frame.at_ns / 1e9, packet_of(frame)))
                    else:
                        self._cable.send(answer)
            if self.attempt() and not self._cable.frames:
                return
            if not self._cable.frames:
                return

    def events(self) -> Sequence[Event]:
        """See `Target.events`."""
        return list(self._simulation.trace)
