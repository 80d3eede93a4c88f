"""`Cable`: one end is a host's, the other in the caller's hands. For scripts, fuzzers and forged frames."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from xsocket.simulation.timeline import Timeline
from xsocket.wire.link import Frame

if TYPE_CHECKING:
    from xsocket.simulation.host import SimulatedHost


class Cable:
    """A cable without length and without faults. Made by `Simulation.cable`.

    Attributes:
        mtu: The largest IP packet it carries, octets.
        frames: What the host has sent, oldest first, each with its instant; whoever reads a frame takes it
            out. Nothing else bounds it.
    """

    def __init__(self, timeline: Timeline, host: SimulatedHost, mtu: int) -> None:
        self.mtu: Final = mtu
        self.frames: deque[Frame] = deque()
        self._timeline = timeline
        self._arrive = host.join(mtu, self._take)

    def send(self, *frames: bytes) -> None:
        """Let *frames* reach the host now, together; its answers are in `frames` on return.

        Raises:
            SimulationStateError: A host or a link is in the midst of something.
        """
        at_ns = round(self._timeline.now() * 1e9)
        self._arrive([Frame(frame, at_ns) for frame in frames])

    def _take(self, frames: list[bytes]) -> None:
        at_ns = round(self._timeline.now() * 1e9)
        self.frames.extend(Frame(frame, at_ns) for frame in frames)
