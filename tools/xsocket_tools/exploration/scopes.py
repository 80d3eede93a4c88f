"""What is explored: who may call what, and what may go wrong."""

from enum import Enum
from typing import Final, NamedTuple

from xsocket_tools.exploration.end import Call


class Fault(Enum):
    """What may go wrong, each time at the cost of one fault."""

    LOSS = "a segment is lost"
    COPY = "a segment is doubled, and the copy arrives at any later time"
    DELAY = "a segment arrives at any later time, or never"
    CRASH = "an end forgets its connection"

    __hash__ = object.__hash__


class Scope(NamedTuple):
    """One exploration.

    Attributes:
        name: As the command line has it.
        what: In words.
        calls: What the user of either end may do, each call once for a connection, and OPEN once at all.
        listens: Which end admits SYNs.
        faults: What may go wrong.
        losses: How often, unless something else is asked for.
    """

    name: str
    what: str
    calls: tuple[Call, Call]
    listens: tuple[bool, bool] = (False, True)
    faults: frozenset[Fault] = frozenset({Fault.LOSS, Fault.COPY})
    losses: int = 2


_ENDS: Final = Call.CLOSE | Call.RELEASE | Call.ABORT
_ANY: Final = Call.OPEN | _ENDS

SCOPES: Final = {
    scope.name: scope
    for scope in (
        Scope("client-server", "A opens, B listens; both close or abort at any time", (_ANY, _ENDS)),
        Scope(
            "simultaneous",
            "both open and nobody listens; both close or abort at any time",
            (_ANY, _ANY),
            listens=(False, False),
        ),
        Scope(
            "crash",
            "as client-server, and either end may forget its connection",
            (_ANY | Call.CRASH, _ENDS | Call.CRASH),
            faults=frozenset({Fault.LOSS, Fault.CRASH}),
        ),
        Scope(
            "late",
            "as client-server, and segments arrive out of order, even after a retransmission timeout",
            (_ANY, _ENDS),
            faults=frozenset({Fault.COPY, Fault.DELAY}),
        ),
        Scope(
            "text",
            "as client-server, and each sends an octet",
            (_ANY | Call.SEND, _ENDS | Call.SEND),
            losses=1,
        ),
        Scope(
            "reopen",
            "both open, and both listen: old segments meet new connections",
            (_ANY, _ANY),
            listens=(True, True),
            losses=1,
        ),
    )
}
