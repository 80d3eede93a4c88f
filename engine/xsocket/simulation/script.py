"""Scripted faults: what becomes of which segment, by predicate, such as the loss of the second SYN+ACK."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from xsocket.errors import BadConfigError
from xsocket.fourtuple import FourTuple
from xsocket.segment import Segment
from xsocket.simulation.timeline import Timeline
from xsocket.wire.codec import TcpPacket, encode

if TYPE_CHECKING:
    from xsocket.simulation.host import SimulatedHost


class Sent(NamedTuple):
    """A segment that a host has put on a link, as a predicate sees it.

    Attributes:
        at: When, virtual seconds.
        sender: The host that sent it.
        four_tuple: The connection as the sender names it: its own end first.
        segment: The segment; ``segment.letters`` spells its flags as tcpdump does, such as ``"S."``.
        frame: Its frame, octets.
    """

    at: float
    sender: SimulatedHost
    four_tuple: FourTuple
    segment: Segment
    frame: bytes


Predicate = Callable[[Sent], object]
"""Whether a segment is meant: anything true or false."""
Transmit = Callable[[bytes], None]
"""Puts a frame on the wire of its sender, where the link's other impairments await it."""


class Script(ABC):
    """One scripted fault, until it is cancelled; made by the methods of `SimulatedLink`.

    Attributes:
        hits: How many segments it was done to.
    """

    def __init__(self, predicate: Predicate, nth: int | Container[int] | None) -> None:
        if isinstance(nth, int) and nth < 1:
            raise BadConfigError(f"nth counts from 1, and is not {nth}")
        self.hits = 0
        self._predicate = predicate
        self._nth: Container[int] | None = (nth,) if isinstance(nth, int) else nth
        self._matched = 0
        self._cancelled = False

    def cancel(self) -> None:
        """Do it to no further segment."""
        self._cancelled = True

    @property
    def is_over(self) -> bool:
        """Whether nothing will come of it any more."""
        return self._cancelled

    def applies_to(self, sent: Sent) -> bool:
        """Whether it is to be done to *sent*; asked once for each segment, for it counts."""
        if self._cancelled or not self._predicate(sent):
            return False
        self._matched += 1
        if self._nth is not None and self._matched not in self._nth:
            return False
        self.hits += 1
        return True

    @abstractmethod
    def act(self, packet: TcpPacket, transmit: Transmit) -> TcpPacket | None:
        """Return the packet that goes on instead of *packet*; None when none does, for now or ever."""

    def passed(self, sent: Sent) -> None:  # noqa: B027  # few scripts want to know
        """Hear of each segment that another script or none at all was applied to."""


class Drop(Script):
    """Segments are lost."""

    def act(self, packet: TcpPacket, transmit: Transmit) -> None:
        """See `Script.act`."""


class Alter(Script):
    """Segments are changed on their way.

    Args:
        predicate: Which.
        nth: See `SimulatedLink.drop`.
        with_: Gives the segment that takes the place of the one it is given.
    """

    def __init__(
        self, predicate: Predicate, nth: int | Container[int] | None, with_: Callable[[Segment], Segment]
    ) -> None:
        super().__init__(predicate, nth)
        self._with = with_

    def act(self, packet: TcpPacket, transmit: Transmit) -> TcpPacket:
        """See `Script.act`."""
        del transmit
        segment = self._with(packet.segment)
        if len(segment.options) % 4 or len(segment.options) > 40:
            raise BadConfigError(f"{len(segment.options)} octets of options: they fill words, at most ten")
        return packet._replace(segment=segment)


class Hold(Script):
    """Segments are kept back for a while; `release` lets go of those that are kept now.

    Args:
        predicate: Which.
        nth: See `SimulatedLink.drop`.
        timeline: Wakes it.
        for_s: How long; None for until *until*, or until `release`.
        until: The first later segment of which it holds lets go of what is held, behind itself.
    """

    def __init__(
        self,
        predicate: Predicate,
        nth: int | Container[int] | None,
        timeline: Timeline,
        for_s: float | None,
        until: Predicate | None,
    ) -> None:
        super().__init__(predicate, nth)
        self._timeline = timeline
        self._for_s = for_s
        self._until = until
        self._held: dict[int, Callable[[], None]] = {}

    @property
    def held(self) -> int:
        """How many segments are kept now."""
        return len(self._held)

    @property
    def is_over(self) -> bool:
        """See `Script.is_over`: what is held still waits for its release."""
        return super().is_over and not self._held

    def act(self, packet: TcpPacket, transmit: Transmit) -> None:
        """See `Script.act`."""
        number = self.hits
        self._held[number] = partial(transmit, encode(packet))
        if self._for_s is not None:
            self._timeline.at(self._timeline.now() + self._for_s, partial(self._let_go, number))

    def passed(self, sent: Sent) -> None:
        """See `Script.passed`."""
        if self._held and self._until is not None and self._until(sent):
            self.release()

    def release(self) -> None:
        """Let every segment that is kept go on its way, oldest first."""
        for number in list(self._held):
            self._let_go(number)

    def _let_go(self, number: int) -> None:
        transmit = self._held.pop(number, None)
        if transmit is not None:
            transmit()
