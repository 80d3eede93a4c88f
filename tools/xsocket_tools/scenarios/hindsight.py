"""What the rest of a captured connection says about a moment in it: what was written, when it was read. Pure.

Moments are numbered in the order of the capture. Numbers of octets count from the SYN of who sent them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from xsocket import Segment
from xsocket.segment import ACK, FIN, PSH, RST, SYN
from xsocket.seqnum import MASK
from xsocket.tcp.options import parse
from xsocket_tools.scenarios.circumstances import Circumstances

AT_ONCE_US: Final = 5_000
"""Text that follows within this time was there already, and waited for room in a window."""


class Moment(NamedTuple):
    """A segment that the target sent or was sent.

    Attributes:
        at_us: Microseconds of the capture.
        outbound: Whether the target sent it.
        segment: The segment.
    """

    at_us: int
    outbound: bool
    segment: Segment


class Hindsight:
    """Looks back at a connection that is over.

    Args:
        moments: The connection's segments in order; None for what is none.
        known: What both ends said of themselves.
    """

    def __init__(self, moments: Sequence[Moment | None], known: Circumstances) -> None:
        self._moments = moments
        self._known = known
        self._isn = 0 if known.syn is None else known.syn.seq
        self._remote_isn = 0 if known.remote_syn is None else known.remote_syn.seq

    def written(self, at: int, start: int) -> int:
        """Return how many octets were written together, of which the text from *start* on is the first.

        A write ends with a PSH (RFC 9293 section 3.9.1), but Linux sets it in all that hardware is to
        cut: a segment that is full says nothing, if more follows at once.
        """
        end = start
        for index, moment in self._from(at):
            if not moment.outbound:
                if moment.segment.payload:
                    break
                continue
            segment = moment.segment
            first = (segment.seq - self._isn) & MASK
            if not first <= end < first + len(segment.payload):
                continue
            end = first + len(segment.payload)
            if segment.flags & FIN or (segment.flags & PSH and not self._goes_on(index)):
                break
        return end - start

    def _goes_on(self, at: int) -> bool:
        """Return whether a full segment is followed by more, sooner than an application would act."""
        moment = self._moments[at]
        assert moment is not None
        if len(moment.segment.payload) % self._known.full_octets:
            return False
        before_us = moment.at_us
        for _, later in self._from(at + 1):
            if later.at_us - before_us > AT_ONCE_US or (not later.outbound and later.segment.payload):
                return False
            if later.outbound and later.segment.payload:
                return True
            before_us = later.at_us
        return False

    def takes_text_after(self, at: int, received: int) -> bool:
        """Return whether the target still acknowledged text that came after its FIN: it only shut down.

        Args:
            at: The moment of its FIN.
            received: How many octets it had by then, its peer's SYN counted.
        """
        came = was_reset = False
        for _, moment in self._from(at + 1):
            segment = moment.segment
            if not moment.outbound:
                came = came or bool(segment.payload)
            elif segment.flags & RST:
                was_reset = True
            elif came and segment.flags & ACK and self._acknowledged(segment) > received:
                return True
        return came and not was_reset

    def is_window_update(self, at: int) -> bool:
        """Return whether a segment does nothing but open the window (RFC 9293 section 3.8.6)."""
        now = self._window(at)
        before = next((each for each in map(self._window, range(at - 1, -1, -1)) if each), None)
        if now is None or before is None or now.length or parse(now.options).sack:
            return False
        return now.acknowledgment == before.acknowledgment and now.window > before.window

    def is_read(self, at: int) -> bool:
        """Return whether somebody reads what the target's segment acknowledges, about when it is sent.

        Nobody does if the right edge of the window stays where it is while more is acknowledged, or if the
        connection is reset, or if there is an update of the window later.
        """
        now = self._window(at)
        for index, moment in self._from(at + 1):
            segment = moment.segment
            if now is None or not moment.outbound:
                continue
            if segment.flags & RST or self.is_window_update(index):
                return False
            if segment.acknowledgment != now.acknowledgment:
                return self._edge(segment) > self._edge(now)
            if segment.length:
                break
        return now is not None

    def is_prompt(self, at: int) -> bool:
        """Return whether a segment came at once after the one before."""
        before = next((each for each in reversed(self._moments[:at]) if each is not None), None)
        now = self._moments[at]
        return before is not None and now is not None and now.at_us - before.at_us <= AT_ONCE_US

    def _edge(self, segment: Segment) -> int:
        return self._acknowledged(segment) + (segment.window << self._known.shift)

    def _acknowledged(self, segment: Segment) -> int:
        return (segment.acknowledgment - self._remote_isn) & MASK

    def _window(self, at: int) -> Segment | None:
        """Return the target's segment at *at*, if its window is scaled."""
        moment = self._moments[at]
        if moment is None or not moment.outbound or moment.segment.flags & (SYN | RST | ACK) != ACK:
            return None
        return moment.segment

    def _from(self, at: int) -> Iterator[tuple[int, Moment]]:
        for index in range(at, len(self._moments)):
            moment = self._moments[index]
            if moment is not None:
                yield index, moment
