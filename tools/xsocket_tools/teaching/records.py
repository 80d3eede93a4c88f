"""What was recorded, before it is told: a moment at one end, and what a kernel said of it."""

from __future__ import annotations

from typing import Final, NamedTuple

from xsocket.trace import Event
from xsocket_tools.steps import Step as Recorded
from xsocket_tools.teaching.story import Variable
from xsocket_tools.teaching.tracepoints import Again

LEFT: Final = 0
RIGHT: Final = 1


class Record(NamedTuple):
    """What happened at one of two kernels, and what it said when it was asked afterwards.

    Attributes:
        end: 0 for the left one, 1 for the right one.
        event: SENT or RECEIVED: a segment. MOVED: a call, if it has a trigger, or else a timer. POOL: a
            connection was ``accepted``, or what `WORKERS` has else. Where it concerns a connection, with its
            4-tuple, the end's own part first, and but for POOL with the states before and after it.
        variables: What its TCB holds.
        lost: Whether the segment will not arrive.
        forged: Whether nobody sent it.
        worker: POOL: to whom it happened, if to a worker.
        drop: The kernel's name of the reason for which it dropped the segment; empty where it tells none.
        reset: The kernel's name of the reason for which it sent a reset; the same.
        again: How the kernel came to send the segment again; None where it did not, or does not tell.
        timeouts: How often the timer has run out since something was acknowledged.
    """

    end: int
    event: Event
    variables: tuple[Variable, ...] = ()
    lost: bool = False
    forged: bool = False
    worker: str = ""
    drop: str = ""
    reset: str = ""
    again: Again | None = None
    timeouts: int = 0


class Moment(NamedTuple):
    """Something that was recorded at one end; its record, if that is a kernel; its worker, if any."""

    end: int
    step: Recorded
    order: int
    record: Record | None = None
    worker: str = ""
