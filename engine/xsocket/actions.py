"""What the core answers: a list of these, in the order in which they must be carried out.

The runtime carries them out and the trace keeps them; no other code looks inside the machine.
"""

from typing import NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.info import Info
from xsocket.reasons import DropReason
from xsocket.segment import Segment
from xsocket.state import State, Timer, Trigger


class Send(NamedTuple):
    """Put *segment* on the wire; *rule* is the RFC section that asks for it.

    The IP packet has *ttl* as its time to live or hop limit, and *dscp* as its codepoint.
    """

    four_tuple: FourTuple
    segment: Segment
    rule: str
    ttl: int = 64
    dscp: int = 0


class Received(NamedTuple):
    """A segment was processed, from state to state. Only when a trace is kept; what came of it follows.

    *info* is the TCB afterwards, None where there is none.
    """

    four_tuple: FourTuple
    segment: Segment
    before: State
    after: State
    info: Info | None = None


class Moved(NamedTuple):
    """The connection changed state; *rule* is the RFC section of the table's row."""

    four_tuple: FourTuple
    before: State
    after: State
    trigger: Trigger
    rule: str


class Established(NamedTuple):
    """The connection may be handed to whoever claims it.

    The handshake is complete, or a Fast Open cookie vouches for the peer until it is (RFC 7413 4.2.2).
    """

    four_tuple: FourTuple


class Changed(NamedTuple):
    """Something a waiting caller looks at changed: text, room to send, end of stream, or an error."""

    four_tuple: FourTuple


class HandedOver(NamedTuple):
    """The connection is another TCP's of this host now; the TCB is no longer looked at."""

    four_tuple: FourTuple


class TakenBack(NamedTuple):
    """The connection is this TCP's again."""

    four_tuple: FourTuple


class Deleted(NamedTuple):
    """The TCB is gone; *error* is what its user gets told, None after an orderly close."""

    four_tuple: FourTuple
    error: type[OSError] | None


class Dropped(NamedTuple):
    """The segment changed nothing. Kept so that counters, traces and tests can say why."""

    four_tuple: FourTuple
    segment: Segment | None
    reason: DropReason


class TimerFired(NamedTuple):
    """A timer of the connection ran out."""

    four_tuple: FourTuple
    timer: Timer


Action = (
    Received | Send | Moved | Established | Changed | HandedOver | TakenBack | Deleted | Dropped | TimerFired
)
