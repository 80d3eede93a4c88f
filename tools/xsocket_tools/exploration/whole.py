"""The whole: both ends, what is between them, and what may still be done; and what can happen to it next.

Time is compressed: what is in flight arrives before any timer runs out, for with retransmissions at any
moment there would be no end to it. A segment that is *late* is one that the path has put aside: it may arrive
at any time, after timeouts, too, but no later than a segment lives.
"""

from collections.abc import Iterator
from enum import Enum
from math import inf
from typing import Any, Final, NamedTuple

from xsocket_tools.exploration.behaviour import Behaviour, Outcome
from xsocket_tools.exploration.end import NAMES, RULES, Call, End
from xsocket_tools.exploration.scopes import Fault, Scope

MOST_IN_FLIGHT: Final = 16
"""More than this in one direction is a flood."""
LIFETIME_S: Final = RULES.time_wait_s / 2
"""How long a segment lives (RFC 9293 section 3.4.2). Retransmission takes less, everything else longer."""

_OF_CONNECTION: Final = int(Call.SEND | Call.CLOSE | Call.RELEASE | Call.ABORT)
_LAST_CALLS: Final = frozenset({Call.RELEASE, Call.ABORT, Call.CRASH})


class Kind(Enum):
    """What can happen."""

    CALL = "call"
    ARRIVE = "arrive"
    ARRIVE_LATE = "arrive late"
    LOSE = "lose"
    COPY = "copy"
    DELAY = "delay"
    TIME = "time"

    __hash__ = object.__hash__


BY_ITSELF: Final = frozenset({Kind.ARRIVE, Kind.ARRIVE_LATE, Kind.TIME})
"""What needs no user and costs no fault."""


class Choice(NamedTuple):
    """One thing that can happen.

    Attributes:
        kind: Which sort.
        side: Whose call it is, or who the segment is for.
        what: The call, or the number of the segment; for time, 1 if A's timer fires plus 2 if B's does.
    """

    kind: Kind
    side: int
    what: int


class Whole(NamedTuple):
    """A state of the whole. Its fields come in pairs: what is A's, or was sent by A, then the same of B.

    Attributes:
        a, b: The standings of the ends.
        a_line, b_line: Segments in flight, in order.
        a_late, b_late: Segments that may arrive at any time.
        a_calls, b_calls: What the users may still do.
        faults: How many may still happen.
    """

    a: int
    b: int
    a_line: tuple[int, ...]
    b_line: tuple[int, ...]
    a_late: tuple[int, ...]
    b_late: tuple[int, ...]
    a_calls: int
    b_calls: int
    faults: int

    @property
    def ends(self) -> tuple[int, int]:
        """The standings of both."""
        return self.a, self.b

    @property
    def lines(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What is in flight from either."""
        return self.a_line, self.b_line

    @property
    def late(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What either sent that may arrive at any time."""
        return self.a_late, self.b_late

    @property
    def calls(self) -> tuple[int, int]:
        """What either user may still do."""
        return self.a_calls, self.b_calls


_END, _LINE, _LATE, _CALLS, _FAULTS = 0, 2, 4, 6, 8
"""Where A's fields stand in a `Whole`; B's come next."""

Successor = tuple[Choice, Whole, str]
"""A choice, what it leads to, and what is wrong with that; empty for nothing."""


class World:
    """What can happen within a scope.

    Attributes:
        scope: Who may do what.
        faults: How many there may be.
        behaviour: What the ends do.
    """

    def __init__(self, scope: Scope, faults: int) -> None:
        self.scope, self.faults = scope, faults
        self.behaviour = Behaviour()
        self._shared: dict[tuple[int, ...], tuple[int, ...]] = {}

    def beginning(self) -> Whole:
        """Return the whole before anything has happened."""
        a, b = (self.behaviour.enter(End(side, self.scope.listens[side])) for side in (0, 1))
        a_calls, b_calls = (int(calls) for calls in self.scope.calls)
        return Whole(a, b, (), (), (), (), a_calls, b_calls, self.faults)

    def successors(self, whole: Whole) -> Iterator[Successor]:
        """Yield everything that can happen next."""
        for side in (0, 1):
            yield from self._calls(whole, side)
            yield from self._line(whole, side)
            yield from self._late(whole, side)
        yield from self.time(whole)

    def _calls(self, whole: Whole, side: int) -> Iterator[Successor]:
        offers = self.behaviour.standings[whole.ends[side]].offers & whole.calls[side]
        for call in _CALLS_OF[offers]:
            if whole.faults or call is not Call.CRASH:
                yield self.call(whole, side, call)

    def call(self, whole: Whole, side: int, call: Call) -> Successor:
        """Let a user call; each may call once for a connection, and nothing after the last call."""
        fields: list[Any] = list(whole)
        fields[_CALLS + side] &= ~call.value
        if call is Call.OPEN:
            fields[_CALLS + side] |= self.scope.calls[side].value & _OF_CONNECTION
        elif call in _LAST_CALLS:
            fields[_CALLS + side] &= ~_OF_CONNECTION
        if call is Call.CRASH:
            fields[_FAULTS] -= 1
        wrong = self._after(fields, side, self.behaviour.call(whole.ends[side], call))
        return Choice(Kind.CALL, side, call.value), _whole(fields), wrong

    def _line(self, whole: Whole, sender: int) -> Iterator[Successor]:
        """What can happen to the segment that is next to arrive."""
        if not whole.lines[sender]:
            return
        yield self.arrival(whole, sender)
        if whole.faults:
            yield from self._faults(whole, sender)

    def arrival(self, whole: Whole, sender: int) -> Successor:
        """Let the segment arrive that *sender* sent first."""
        line, receiver = whole.lines[sender], 1 - sender
        fields: list[Any] = list(whole)
        fields[_LINE + sender] = self._share(line[1:])
        wrong = self._after(fields, receiver, self.behaviour.arrival(whole.ends[receiver], line[0]))
        return Choice(Kind.ARRIVE, receiver, line[0]), _whole(fields), wrong

    def _faults(self, whole: Whole, sender: int) -> Iterator[Successor]:
        line = whole.lines[sender]
        late = self._share(tuple(sorted((*whole.late[sender], line[0]))))
        for fault, kind, goes, comes_late in _FAULTS_OF_A_SEGMENT:
            if fault in self.scope.faults:
                fields: list[Any] = list(whole)
                fields[_FAULTS] -= 1
                if goes:
                    fields[_LINE + sender] = self._share(line[1:])
                if comes_late:
                    fields[_LATE + sender] = late
                yield Choice(kind, 1 - sender, line[0]), _whole(fields), ""

    def _late(self, whole: Whole, sender: int) -> Iterator[Successor]:
        late, receiver = whole.late[sender], 1 - sender
        for segment in dict.fromkeys(late):
            at = late.index(segment)
            fields: list[Any] = list(whole)
            fields[_LATE + sender] = self._share(late[:at] + late[at + 1 :])
            wrong = self._after(fields, receiver, self.behaviour.arrival(whole.ends[receiver], segment))
            yield Choice(Kind.ARRIVE_LATE, receiver, segment), _whole(fields), wrong

    def time(self, whole: Whole) -> Iterator[Successor]:
        """Let time pass to the next timer, once nothing is in flight but what is late.

        Where both ends have one at that instant, either may be first by so little that only the order counts.
        """
        if whole.a_line or whole.b_line:
            return
        standings = self.behaviour.standings
        a_due, b_due = standings[whole.a].due_s, standings[whole.b].due_s
        seconds = min(a_due, b_due)
        if seconds == inf:
            return
        for fires in _WHO_FIRES[a_due == seconds, b_due == seconds]:
            yield self._wait(whole, seconds, fires)

    def _wait(self, whole: Whole, seconds: float, fires: tuple[bool, bool]) -> Successor:
        fields: list[Any] = list(whole)
        if seconds >= LIFETIME_S:
            fields[_LATE] = fields[_LATE + 1] = ()
        wrong = ""
        for side in (0, 1):
            if fires[side] and self.behaviour.standings[whole.ends[side]].awaits:
                wrong = self._without_need(whole, side) or wrong
            if seconds or fires[side]:
                outcome = self.behaviour.wait(whole.ends[side], seconds, fires[side])
                wrong = self._after(fields, side, outcome) or wrong
        return Choice(Kind.TIME, 0, fires[0] + 2 * fires[1]), _whole(fields), wrong

    def _without_need(self, whole: Whole, side: int) -> str:
        """On a good path everything is answered before a timer runs out.

        Not where segments of an earlier connection meet a later one: a reset may then end only one end.
        """
        later = any(self.behaviour.standings[end].generation > 1 for end in whole.ends)
        if later or whole.faults < self.faults:
            return ""
        return f"{NAMES[side]} had no answer, and nothing was lost"

    def _after(self, fields: list[Any], side: int, outcome: Outcome) -> str:
        """Note in *fields* what came of a step of one end; return what is wrong with it."""
        fields[_END + side] = outcome.to
        if outcome.ended:
            fields[_CALLS + side] &= ~_OF_CONNECTION
        if outcome.sent:
            line = fields[_LINE + side] = self._share(fields[_LINE + side] + outcome.sent)
            if len(line) > MOST_IN_FLIGHT and not outcome.wrong:
                return f"{NAMES[side]} floods the other"
        return f"{NAMES[side]} {outcome.wrong}" if outcome.wrong else ""

    def _share(self, line: tuple[int, ...]) -> tuple[int, ...]:
        """Return the one tuple that is equal to *line*: there are millions of states, and few lines."""
        return self._shared.setdefault(line, line)


def _whole(fields: list[Any]) -> Whole:
    return tuple.__new__(Whole, fields)


_CALLS_OF: Final = [tuple(Call(mask)) for mask in range(2 * Call.CRASH)]
"""The calls in each sum of them, which takes long to find out."""
_FAULTS_OF_A_SEGMENT: Final = (
    (Fault.LOSS, Kind.LOSE, True, False),
    (Fault.COPY, Kind.COPY, False, True),
    (Fault.DELAY, Kind.DELAY, True, True),
)
_WHO_FIRES: Final = {
    (True, False): ((True, False),),
    (False, True): ((False, True),),
    (True, True): ((True, True), (True, False), (False, True)),
}
