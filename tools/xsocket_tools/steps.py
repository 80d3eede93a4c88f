"""A trace's events put together: what one segment brought about is one step. For ladder and capture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.state import State, Trigger
from xsocket.trace import Event, EventKind

OF_ICMP: Final = frozenset(reason for reason in DropReason if reason.name.startswith("ICMP_"))
"""Why an ICMP error may be ignored."""
_BY_TIMER: Final = (Trigger.GIVE_UP, Trigger.TIME_WAIT_OVER, Trigger.ORPHAN_OVER)


@dataclass(slots=True)
class Step:
    """One event, and the moves and drops that belong to it.

    Attributes:
        event: A segment in or out, a timer, a pool event, a drop of its own, an ICMP error, or a move without
            any segment.
        before, after: The connection's states around it; None where there is no connection, and for the pool.
        moves: MOVED events between *before* and *after*.
        drops: DROPPED events of the segment or ICMP error that came in.
    """

    event: Event
    before: State | None = None
    after: State | None = None
    moves: list[Event] = field(default_factory=list)
    drops: list[Event] = field(default_factory=list)

    @property
    def is_arrow(self) -> bool:
        """Whether it is a segment that belongs to a connection or asked for one."""
        return self.event.kind in (EventKind.RECEIVED, EventKind.SENT)

    def awaits(self, move: Event) -> bool:
        """Whether *move* is the next one on the way from *before* to *after* of this segment."""
        reached = self.moves[-1].after if self.moves else self.before
        return reached is not self.after and reached is move.before


def steps(events: Iterable[Event]) -> list[Step]:
    """Return *events* of any number of connections as steps, in the order in which the engine did them."""
    return _Grouping().of(events)


def cite(rule: str) -> str:
    """Return *rule* with the RFC's number: a bare section is one of RFC 9293."""
    return f"RFC 9293 {rule}" if rule[:1].isdigit() else rule


class _Grouping:
    """What has been grouped so far, and for each connection the step that the next event may belong to."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._latest: dict[FourTuple, Step] = {}
        self._received: dict[FourTuple, Step] = {}

    def of(self, events: Iterable[Event]) -> list[Step]:
        for event in events:
            if event.kind is EventKind.MOVED:
                self._take_move(event)
            elif event.kind is EventKind.SENT:
                self._take_sent(event)
            elif event.kind is not EventKind.DROPPED or not self._joins_received(event):
                self._begin(event, event.before, event.after)
        return self._steps

    def _begin(self, event: Event, before: State | None, after: State | None) -> Step:
        step = Step(event, before, after)
        self._steps.append(step)
        if event.four_tuple is not None:
            self._latest[event.four_tuple] = step
            if event.kind is EventKind.RECEIVED:
                self._received[event.four_tuple] = step
        return step

    def _take_move(self, move: Event) -> None:
        """A move belongs to the segment on its way, to the timer that ran out just now, or to a call."""
        assert move.four_tuple is not None
        received = self._received.get(move.four_tuple)
        latest = self._latest.get(move.four_tuple)
        if received is not None and received.awaits(move):
            received.moves.append(move)
        elif latest is not None and _may_have_moved(latest.event, move):
            latest.before, latest.after = move.before, move.after
            latest.moves.append(move)
        else:
            self._begin(move, move.before, move.after).moves.append(move)

    def _take_sent(self, sent: Event) -> None:
        """The segment that a call's move sends (FIN, RST, SYN) shows that move."""
        latest = self._latest.get(sent.four_tuple) if sent.four_tuple is not None else None
        if latest is not None and latest.event.kind is EventKind.MOVED:
            latest.event, latest.after = sent, sent.after
        else:
            self._begin(sent, sent.before, sent.after)

    def _joins_received(self, drop: Event) -> bool:
        if drop.four_tuple is None:
            return False
        latest, received = self._latest.get(drop.four_tuple), self._received.get(drop.four_tuple)
        if latest is not None and latest.event.kind is EventKind.ICMP and drop.reason in OF_ICMP:
            latest.drops.append(drop)
            return True
        if received is None or drop.segment is None or drop.segment != received.event.segment:
            return False
        received.drops.append(drop)
        return True


def _may_have_moved(event: Event, move: Event) -> bool:
    """Whether *event*, which is no segment, is what a move comes of."""
    if event.kind is EventKind.ICMP:
        return move.trigger is Trigger.PATH_ERROR
    return event.kind is EventKind.TIMER and move.trigger in _BY_TIMER
