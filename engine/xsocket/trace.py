"""A trace: everything that happened in an engine, in order, as objects and as JSON lines.

The runtime writes it, from the core's actions and the pool's events; tools read it. Bounded.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from math import inf
from typing import Any, NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.info import Info
from xsocket.patherror import PathError
from xsocket.reasons import DropReason
from xsocket.segment import Segment
from xsocket.state import State, Timer, Trigger


class EventKind(Enum):
    """What sort of thing happened."""

    RECEIVED = "received"
    SENT = "sent"
    MOVED = "moved"
    TIMER = "timer"
    DROPPED = "dropped"
    POOL = "pool"
    ICMP = "icmp"


class Event(NamedTuple):
    """One thing that happened. Fields that do not belong to its kind are None.

    Attributes:
        kind: Which sort.
        at_ns: When, in nanoseconds of Unix time; for a received frame by the kernel's clock.
        four_tuple: The connection, as the engine names it; None for a frame that had none.
        segment: RECEIVED, SENT, DROPPED: the segment.
        frame: RECEIVED, SENT, ICMP, and DROPPED before it was decoded: the frame's octets. If SENT has
            to wait for the neighbour's station address, that has zeroes in its place.
        checksum_ready: Whether the transport checksum in *frame* means anything; see `Frame.checksum_ready`.
        before, after: MOVED: the states. RECEIVED: the states before and after the segment was processed.
            SENT: both are the state in which it was sent.
        trigger: MOVED: what moved it.
        rule: MOVED, SENT: the RFC section; a bare number is one of RFC 9293.
        timer: TIMER: which one ran out.
        reason: DROPPED: why.
        pool_event: POOL: what happened, such as ``put`` or ``claimed``.
        path_error: ICMP: what an ICMP error says of a segment of the connection.
        info: The TCB after it; for what a segment brought about, after all that it did. None without a TCB.
        host: The host it happened at, by name, in a simulation.
    """

    kind: EventKind
    at_ns: int
    four_tuple: FourTuple | None = None
    segment: Segment | None = None
    frame: bytes | None = None
    checksum_ready: bool = True
    before: State | None = None
    after: State | None = None
    trigger: Trigger | None = None
    rule: str | None = None
    timer: Timer | None = None
    reason: DropReason | None = None
    pool_event: str | None = None
    path_error: PathError | None = None
    info: Info | None = None
    host: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold, without what is None; octets in hexadecimal."""
        plain: dict[str, Any] = {"kind": self.kind.value, "at_ns": self.at_ns}
        if self.four_tuple is not None:
            plain["four_tuple"] = list(self.four_tuple)
        if self.segment is not None:
            plain["segment"] = _segment_as_dict(self.segment)
        if self.frame is not None:
            plain["frame"] = self.frame.hex()
        if not self.checksum_ready:
            plain["checksum_ready"] = False
        for name in ("before", "after", "trigger", "timer"):
            value = getattr(self, name)
            if value is not None:
                plain[name] = value.value
        if self.reason is not None:
            plain["reason"], plain["reason_rule"] = self.reason.name, self.reason.value
        for name in ("rule", "pool_event", "host"):
            if getattr(self, name) is not None:
                plain[name] = getattr(self, name)
        if self.path_error is not None:
            plain["path_error"] = _path_error_as_dict(self.path_error)
        if self.info is not None:
            plain["tcb"] = _info_as_dict(self.info)
        return plain


def _segment_as_dict(segment: Segment) -> dict[str, Any]:
    return {
        "flags": segment.letters,
        "seq": segment.seq,
        "ack": segment.ack,
        "window": segment.window,
        "length": len(segment.payload),
        "options": segment.options.hex(),
        "payload": segment.payload.hex(),
        "ecn": segment.ecn,
    }


def _path_error_as_dict(error: PathError) -> dict[str, Any]:
    return {"seq": error.seq, "error": error.error.__name__, "hard": error.hard, "mtu": error.mtu}


def _info_as_dict(info: Info) -> dict[str, Any]:
    """Return the numbers and names of a snapshot; what is not in use, and no timer's instant, is left out."""
    plain: dict[str, Any] = {}
    for name, value in info._asdict().items():
        if isinstance(value, Enum):
            plain[name] = value.value
        elif isinstance(value, int | float) and value != inf:
            plain[name] = value
    return plain


class Trace:
    """The last *limit* events, oldest first. Any thread may read it while the engine writes.

    Attributes:
        forgotten: How many older events made room for newer ones.
    """

    def __init__(self, limit: int = 100_000, listener: Callable[[Event], None] | None = None) -> None:
        """Keep at most *limit* events.

        *listener*, if any, is called with each, in the thread that did it: the engine's or, for calls and the
        pool, a consumer's. Locks are held meanwhile: it must be quick, and call neither engine nor pool.
        """
        self._events: deque[Event] = deque(maxlen=limit)
        self._listener = listener
        self.forgotten = 0

    def record(self, event: Event) -> None:
        """Add *event*."""
        if len(self._events) == self._events.maxlen:
            self.forgotten += 1
        self._events.append(event)
        if self._listener is not None:
            self._listener(event)

    def __len__(self) -> int:
        return len(self._events)

    def __bool__(self) -> bool:
        # An empty trace is still a trace: `if trace` asks whether there is one.
        return True

    def __iter__(self) -> Iterator[Event]:
        """Iterate over a snapshot."""
        return iter(self._events.copy())

    def of(self, four_tuple: FourTuple) -> list[Event]:
        """Return the events of one connection."""
        return [event for event in self if event.four_tuple == four_tuple]

    def _repr_html_(self) -> str | None:
        """Return it for a notebook, as whoever offers the entry point ``xsocket.trace_html`` draws it.

        None if nobody does, or nothing happened yet: the notebook shows its `repr` then.
        """
        from importlib.metadata import entry_points  # takes as long as a quarter of the package

        drawers = entry_points(group="xsocket.trace_html") if self._events else ()
        return next((str(drawer.load()(self)) for drawer in drawers), None)

    def __repr__(self) -> str:
        forgotten = f", {self.forgotten} older ones forgotten" if self.forgotten else ""
        return f"<xsocket.Trace: {len(self)} events{forgotten}>"

    def json_lines(self) -> Iterator[str]:
        """Yield each event as one line of JSON, without the newline."""
        for event in self:
            yield json.dumps(event.as_dict(), separators=(",", ":"))
