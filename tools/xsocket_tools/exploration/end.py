"""One end of the connection: a real stack, with a clock of its own and numbers counted from where it began.

Nothing here knows of the other end. Segments come in and go out with the numbers of the exploration, in which
the first connection of an end begins with 0, its second with `GAP`, and so on, whenever that is.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import IntFlag
from math import inf
from typing import Final, NamedTuple

from xsocket.actions import Action, Moved, Send
from xsocket.admission import Admission
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, RST, Segment
from xsocket.seqnum import MASK, add
from xsocket.stack import Stack
from xsocket.state import State, Trigger
from xsocket.tcp import isn
from xsocket.tcp.table import TABLE
from xsocket.tcp.tcb import Tcb

RULES: Final = TcpConfig(
    timestamps=False,
    sack=False,
    window_scaling=False,
    fastopen=0,
    syn_cookies="never",
    syn_retries=1,
    syn_linear_timeouts=0,
    synack_retries=1,
    retries2=1,
    orphan_retries=1,
    challenge_ack_limit=1 << 30,
    quickacks=1 << 30,
    slow_start_after_idle=False,
)
"""Everything is sent again once, so that two losses are enough to give up. No counter reaches its limit, nor
does text the congestion window."""
WATCHFUL: Final = replace(RULES, keepalive=True)
"""The same for a user who wants to know whether the peer is still there."""

GAP: Final = 250
"""How far the numbers of one connection are from those of the next: a millisecond of the clock of RFC 9293
section 3.4.1. So near, a segment of the old one is in the window of the new one."""
PEER_BASE: Final = MASK - 1
"""Where the peer's numbers begin as this end sees them: they wrap during the handshake."""
NOWHERE: Final = 1 << 31
"""The sequence number of a reset that answers a segment without ACK. It is 0, wherever the numbers are."""

NAMES: Final = ("A", "B")
FOUR_TUPLES: Final = (
    FourTuple("10.0.0.1", 40_000, "10.0.0.2", 80),
    FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000),
)
TEXTS: Final = (b"a", b"b")
"""What the user of either end sends: one octet."""

_SECRET: Final = bytes(isn.SECRET_OCTETS)
_FIRST: Final = tuple(isn.choose(0.0, four_tuple, _SECRET)[0] for four_tuple in FOUR_TUPLES)
_ADMISSIONS: Final = {True: Admission(), False: Admission(ports=())}


class Call(IntFlag):
    """What a user may do; the last two are not the user's.

    RELEASE is the close of a user who reads no more. CRASH has the end forget everything. WATCH turns
    keep-alive on.
    """

    OPEN = 1
    SEND = 2
    CLOSE = 4
    RELEASE = 8
    ABORT = 16
    CRASH = 32
    WATCH = 64

    __hash__ = object.__hash__


class Wait(NamedTuple):
    """Time passes, and the timers that are then due fire, or are about to."""

    seconds: float
    fires: bool


Stimulus = Call | Segment | Wait


def has_room(_: FourTuple) -> bool:
    """The pool takes everything; by name, so that a stack can be pickled."""
    return True


class End:
    """A stack with one connection or none, and what the exploration knows of it.

    Attributes:
        side: 0 or 1.
        listens: Whether it admits SYNs; otherwise it resets who sends one.
        generation: How many connections it has had.
        stack: The real one.
        now: Its clock, seconds. The two ends only ever exchange segments, so their clocks need not agree.
        shift: What its own numbers are ahead of those of the exploration.
        taken: Octets its user has read from this connection.
        lost_patience: Whether the last connection ended because the peer never sent its FIN.
    """

    def __init__(self, side: int, listens: bool) -> None:
        self.side, self.listens = side, listens
        self.generation, self.lost_patience = 0, False
        self._begin()

    def _begin(self) -> None:
        self.now = self.generation * GAP / isn.TICKS_PER_SECOND
        self.shift, self.taken = _FIRST[self.side], 0
        admission = _ADMISSIONS[self.listens]
        self.stack = Stack(RULES, admission, secret=_SECRET, mss={4: 1460, 6: 1440}, has_room=has_room)

    @property
    def four_tuple(self) -> FourTuple:
        """The connection, as this end names it."""
        return FOUR_TUPLES[self.side]

    @property
    def tcb(self) -> Tcb | None:
        """The connection there is."""
        return self.stack.tcb(self.four_tuple)

    @property
    def known(self) -> Tcb:
        """The connection that must be there."""
        tcb = self.tcb
        assert tcb is not None, "nobody calls without a connection"
        return tcb

    @property
    def state(self) -> State:
        """Its state; CLOSED without one."""
        tcb = self.tcb
        return tcb.state if tcb is not None else State.CLOSED

    @property
    def due_s(self) -> float:
        """How long it is until its next timer; infinite without one."""
        tcb = self.tcb
        return inf if tcb is None or tcb.due == inf else max(0.0, round(tcb.due - self.now, 6))

    @property
    def offers(self) -> int:
        """What can be done to it now, as a sum of `Call`; not WATCH."""
        tcb = self.tcb
        if tcb is None:
            return Call.OPEN
        offers = int(Call.CRASH)
        if not tcb.user_gone:
            offers |= Call.SEND if tcb.writable else 0
            offers |= Call.CLOSE if not tcb.closing and (tcb.state, Trigger.CLOSE) in TABLE else 0
            offers |= Call.RELEASE if tcb.state is not State.TIME_WAIT else 0
            offers |= Call.ABORT if (tcb.state, Trigger.ABORT) in TABLE else 0
        return offers

    # What happens to it

    def meet(self, stimulus: Stimulus) -> list[Action]:
        """Let something happen; return what the stack does, segments with the numbers of the exploration."""
        before = self.tcb
        actions = self._put_to_stack(stimulus)
        after = self.tcb
        if after is not None and after is not before:
            self.shift = (after.iss - self.generation * GAP) & MASK
            self.generation, self.taken, self.lost_patience = self.generation + 1, 0, False
        if any(isinstance(action, Moved) and action.trigger is Trigger.ORPHAN_OVER for action in actions):
            self.lost_patience = True
        actions += self._read()
        return [
            action._replace(segment=self._outward(action.segment)) if isinstance(action, Send) else action
            for action in actions
        ]

    def settle(self) -> None:
        """Once its connection is gone, go on with a new stack: nothing of it has stayed in the old one."""
        if self.tcb is None:
            self._begin()

    def crash(self) -> list[Action]:
        """Forget everything, and tell nobody."""
        self._begin()
        return []

    def _put_to_stack(self, stimulus: Stimulus) -> list[Action]:
        if isinstance(stimulus, Segment):
            return self.stack.receive(self.now, [(self.four_tuple, self.inward(stimulus))])
        if isinstance(stimulus, Wait):
            return self._wait(stimulus)
        return _CALLS[stimulus](self)

    def _wait(self, wait: Wait) -> list[Action]:
        self.now += wait.seconds
        if not wait.fires:
            return []
        self.now = max(self.now, self.known.due)
        return self.stack.timers_fired(self.now)

    def _read(self) -> list[Action]:
        """The user reads at once what has come."""
        tcb = self.tcb
        if tcb is None or not tcb.unread:
            return []
        text, actions = self.stack.receive_text(self.now, tcb, tcb.unread)
        self.taken += len(text)
        return actions

    # Numbers

    def own(self, number: int) -> int:
        """Return one of its own numbers as the exploration counts."""
        return (number - self.shift) & MASK

    def peers(self, number: int) -> int:
        """Return one of the peer's, likewise."""
        return (number - PEER_BASE) & MASK

    def inward(self, segment: Segment) -> Segment:
        """Return a segment of the exploration as the stack is to see it."""
        ack = add(segment.acknowledgment, self.shift) if segment.flags & ACK else 0
        return segment._replace(seq=add(segment.seq, PEER_BASE), acknowledgment=ack)

    def _outward(self, segment: Segment) -> Segment:
        nowhere = segment.flags & RST and segment.flags & ACK and segment.seq == 0
        ack = self.peers(segment.acknowledgment) if segment.flags & ACK else 0
        return segment._replace(seq=NOWHERE if nowhere else self.own(segment.seq), acknowledgment=ack)


_CALLS: Final[dict[Call, Callable[[End], list[Action]]]] = {
    Call.OPEN: lambda end: end.stack.connect(end.now, end.four_tuple),
    Call.SEND: lambda end: end.stack.send(end.now, end.known, memoryview(TEXTS[end.side]))[1],
    Call.CLOSE: lambda end: end.stack.close(end.now, end.known),
    Call.RELEASE: lambda end: end.stack.release(end.now, end.known),
    Call.ABORT: lambda end: end.stack.abort(end.now, end.known),
    Call.CRASH: End.crash,
    Call.WATCH: lambda end: end.stack.configure(end.now, end.known, WATCHFUL),
}
