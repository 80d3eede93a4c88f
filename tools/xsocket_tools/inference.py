"""The state of an end that keeps no trace, inferred from its segments through the transition table.

It supposes that what is sent arrives, at once and in order, so it is a guess: wherever it is shown it is
marked as one. Calls and timers that put nothing on the wire stay unseen (TIME-WAIT is never seen to end).
"""

from __future__ import annotations

from typing import Final

from xsocket.segment import Segment
from xsocket.seqnum import add, precedes
from xsocket.state import State, Trigger
from xsocket.tcp.table import TABLE

_GONE: Final = (None, State.CLOSED, State.TIME_WAIT)
"""Where a SYN begins another connection."""


class Inference:
    """One end of a connection, seen from outside.

    Attributes:
        state: What it is in as far as the wire tells; None as long as it does not.
    """

    def __init__(self) -> None:
        self.state: State | None = None
        self._iss: int | None = None
        self._after_fin: int | None = None
        self._rcv_nxt: int | None = None
        self._wrong_ack: int | None = None

    def sent(self, segment: Segment) -> tuple[State | None, State | None]:
        """Take a segment that the end sent; return the states before and after."""
        before = self.state
        if segment.syn:
            before = self._sent_syn(segment)
        if segment.fin and self._after_fin is None:
            self._after_fin = add(segment.seq, segment.length)
            self._step(Trigger.CLOSE)
        if segment.rst:
            self._sent_reset(segment)
        return before, self.state

    def received(self, segment: Segment) -> tuple[State | None, State | None]:
        """Take a segment that was sent to the end; return the states before and after."""
        before = self.state
        if segment.rst:
            if self._is_reset_for_us(segment):
                self._step(Trigger.RST_FOR_US)
        elif segment.syn:
            self._received_syn(segment)
        elif segment.ack is not None:
            self._received_other(segment)
        self._take(segment)
        return before, self.state

    def _is_reset_for_us(self, segment: Segment) -> bool:
        """Whether a reset counts: by its ACK in SYN-SENT, else by its number (RFC 9293 section 3.10.7)."""
        if self.state is State.SYN_SENT:
            return self._is_ack_of_syn(segment)
        return self._rcv_nxt in (None, segment.seq)

    def _take(self, segment: Segment) -> None:
        """Keep in mind which number of the other end's comes next."""
        if segment.rst:
            return
        end = add(segment.seq, segment.length)
        is_new = segment.syn and self.state in _GONE
        if self._rcv_nxt is None or is_new or precedes(self._rcv_nxt, end):
            self._rcv_nxt = end

    def _sent_syn(self, segment: Segment) -> State | None:
        """A first SYN opens, or opens again; return the state before it."""
        again = segment.seq == self._iss and self.state not in (None, State.CLOSED)
        if again or (segment.ack is not None and self.state not in (None, State.CLOSED)):
            return self.state
        self.state, self._iss, self._after_fin = State.CLOSED, segment.seq, None
        if segment.ack is None:
            self._step(Trigger.ACTIVE_OPEN)
            return State.CLOSED
        self._step(Trigger.PASSIVE_OPEN)
        self._step(Trigger.SYN)
        return State.LISTEN

    def _sent_reset(self, segment: Segment) -> None:
        """A reset that answers a wrong ACK moves nothing (RFC 9293 section 3.5.2, group 2)."""
        if self.state is None:
            self.state = State.CLOSED
        elif self.state is not State.SYN_SENT and segment.seq != self._wrong_ack:
            self._step(Trigger.ABORT)
        self._wrong_ack = None

    def _received_syn(self, segment: Segment) -> None:
        if self._is_ack_of_syn(segment):
            self._step(Trigger.SYN_ACK_OF_OURS)
        elif segment.ack is None and self.state is State.SYN_SENT:
            self._step(Trigger.SYN)

    def _received_other(self, segment: Segment) -> None:
        if self.state is State.SYN_RECEIVED and not self._is_ack_of_syn(segment):
            self._wrong_ack = segment.ack
        elif self._is_ack_of_syn(segment) or self.state is not State.SYN_SENT:
            if self.state is State.SYN_RECEIVED:
                self._step(Trigger.ACK_OF_SYN)
            if segment.ack == self._after_fin:
                self._step(Trigger.ACK_OF_FIN)
            if segment.fin:
                self._step(Trigger.FIN)

    def _is_ack_of_syn(self, segment: Segment) -> bool:
        return self._iss is not None and segment.ack == add(self._iss, 1)

    def _step(self, trigger: Trigger) -> None:
        if self.state is not None and (self.state, trigger) in TABLE:
            self.state = TABLE[self.state, trigger].to
