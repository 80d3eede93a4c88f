"""SEGMENT ARRIVES: RFC 9293 section 3.10.7, over one TCB. The guards say what it is; here is what it does."""

from collections.abc import Callable
from typing import Final, NamedTuple

from xsocket.actions import Action, Dropped
from xsocket.reasons import DropReason
from xsocket.segment import ACK, FIN, SYN, Segment
from xsocket.seqnum import add, precedes
from xsocket.state import Reply, State, Timer, Trigger
from xsocket.tcp import challenges, fastopen, guards, handshake, output, receiver, sender
from xsocket.tcp.accecn import COUNTED, MAX_UNREPORTED, THIRD_SEGMENT
from xsocket.tcp.options import Parsed, parse
from xsocket.tcp.tcb import Tcb
from xsocket.tcp.transition import delete, move


class _Arrival(NamedTuple):
    """A segment whose trigger is known, and where what it brings about is noted."""

    tcb: Tcb
    now: float
    segment: Segment
    options: Parsed
    trigger: Trigger
    out: list[Action]


def receive_segment(tcb: Tcb, now: float, segment: Segment) -> list[Action]:
    """Process one segment addressed to this connection.

    Args:
        tcb: In any state but CLOSED and LISTEN: those have no TCB here (`xsocket.stack` answers for them).
        now: Monotonic instant in seconds at which the segment arrived.
        segment: Already decoded; its checksum has been verified.

    Returns:
        Actions in the order they must be carried out. An acknowledgment that is merely owed is left to
        `flush`, so that one answers a whole batch (RFC 9293 section 3.10.7.4, MUST-58 and MUST-59).

    Never raises for any segment.
    """
    out: list[Action] = []
    options = parse(segment.options)
    if tcb.state is State.SYN_SENT:
        verdict: Trigger | DropReason | None = guards.in_syn_sent(tcb, segment)
    else:
        verdict = guards.in_other_states(tcb, now, segment, options)
    if isinstance(verdict, DropReason):
        out.append(Dropped(tcb.four_tuple, segment, verdict))
        if verdict is DropReason.ACK_TOO_OLD:
            _challenge(tcb, now, segment, "RFC 5961 5.2", out)
    elif verdict is None:
        receiver.note_marks(tcb, segment)
        _process_ack(tcb, now, segment, options, out)
        receiver.process_text(tcb, now, segment, out)
        if tcb.state is not State.CLOSED:
            sender.send_what_fits(tcb, now, out)
        if tcb.ecn is not None and tcb.ecn.unreported >= MAX_UNREPORTED and tcb.ack_due is not None:
            out.append(output.ack(tcb, now, COUNTED))
    else:
        _ON_TRIGGER[verdict](_Arrival(tcb, now, segment, options, verdict, out))
    return out


def _process_ack(tcb: Tcb, now: float, segment: Segment, options: Parsed, out: list[Action]) -> None:
    """Fifth; where it is our SYN that is acknowledged, after CLOSE, the text of the peer's SYN counts now."""
    waits = tcb.established_at is None
    sender.process_ack(tcb, now, segment, options, out)
    if waits and tcb.established_at is not None and tcb.receiving is not None and not tcb.user_gone:
        receiver.join_early_text(tcb, now, out)


def _answer_invalid(tcb: Tcb, now: float, segment: Segment, rule: str, out: list[Action]) -> None:
    """Acknowledge what was not acceptable; if it has no text, then not too often (RFC 5961 section 7)."""
    if _may_answer(tcb, now, segment, out):
        out.append(output.ack(tcb, now, rule))


def _challenge(tcb: Tcb, now: float, segment: Segment, rule: str, out: list[Action]) -> None:
    """Send a challenge ACK, unless this connection has sent its share of them (RFC 5961 section 7)."""
    if not _may_answer(tcb, now, segment, out):
        return
    if challenges.take(tcb, now):
        out.append(output.ack(tcb, now, rule, answers_syn_ack=_repeats_syn_ack(tcb, segment)))
    else:
        out.append(Dropped(tcb.four_tuple, segment, DropReason.CHALLENGE_LIMIT))


def _repeats_syn_ack(tcb: Tcb, segment: Segment) -> bool:
    """Whether our ACK of the SYN+ACK got lost."""
    return segment.flags & (SYN | ACK) == SYN | ACK and segment.seq == tcb.irs and not tcb.passive


def _may_answer(tcb: Tcb, now: float, segment: Segment, out: list[Action]) -> bool:
    if segment.payload or segment.flags & FIN:
        return True
    if tcb.invalid_at is not None and now - tcb.invalid_at < tcb.config.invalid_ratelimit_s:
        out.append(Dropped(tcb.four_tuple, segment, DropReason.CHALLENGE_RATE))
        return False
    tcb.invalid_at = now
    return True


# What a trigger does beside moving: one function each, in the order of section 3.10.7


def _wrong_ack(at: _Arrival) -> None:
    """An ACK of what was never sent: before ESTABLISHED a reset answers it, after it an acknowledgment."""
    step = move(at.tcb, at.trigger, at.out)
    if step.reply is Reply.RST:
        at.out.append(output.send(at.tcb, output.reset_for(at.segment), step.rule))
    else:
        _challenge(at.tcb, at.now, at.segment, step.rule, at.out)
        at.out.append(Dropped(at.tcb.four_tuple, at.segment, DropReason.ACK_UNSENT))


def _was_reset(at: _Arrival) -> None:
    error = _RESET_MEANS.get(at.tcb.state, ConnectionResetError)
    if at.tcb.state is State.SYN_RECEIVED and at.tcb.established_at is not None:
        error = ConnectionResetError  # its user has it already
    move(at.tcb, at.trigger, at.out)
    delete(at.tcb, error, at.out)


_RESET_MEANS: Final[dict[State, type[OSError] | None]] = {
    State.SYN_SENT: ConnectionRefusedError,
    State.SYN_RECEIVED: ConnectionRefusedError,
    State.CLOSE_WAIT: BrokenPipeError,  # the peer had finished, and will read no more; so says Linux
    State.TIME_WAIT: None,  # both streams have ended
}


def _established_by_syn_ack(at: _Arrival) -> None:
    """Our SYN is acknowledged by a SYN: SYN-SENT, or SYN-RECEIVED in a simultaneous open."""
    simultaneous = at.tcb.state is State.SYN_RECEIVED
    step = move(at.tcb, at.trigger, at.out)
    if not simultaneous:
        handshake.take_syn(at.tcb, at.now, at.segment, at.options)
    elif at.tcb.ecn is not None:
        at.tcb.ecn.heard_again(at.segment)
    handshake.note_syn_ack(at.tcb, at.segment, at.options)
    handshake.complete(at.tcb, at.now, at.segment, at.out)
    if at.tcb.ecn is not None and at.tcb.ecn.accurate and not simultaneous:
        at.out.append(output.ack(at.tcb, at.now, THIRD_SEGMENT, answers_syn_ack=True))
    elif step.reply is Reply.ACK:
        at.tcb.ack_due = step.rule
    _close_as_asked(at)
    receiver.process_text(at.tcb, at.now, at.segment, at.out)
    _send_what_waited(at)


def _crossing_syn(at: _Arrival) -> None:
    """SYN-SENT and a SYN without ACK: simultaneous open (RFC 9293 section 3.5 figure 7)."""
    step = move(at.tcb, at.trigger, at.out)
    handshake.take_syn(at.tcb, at.now, at.segment, at.options)
    at.tcb.retries = at.tcb.unanswered = 0
    at.out.append(output.syn_ack(at.tcb, at.now, step.rule))
    at.tcb.start_retransmission(at.now)
    if at.segment.payload:
        handshake.hold_early_text(at.tcb, add(at.segment.seq, 1), at.segment.payload)


def _syn_again(at: _Arrival) -> None:
    step = move(at.tcb, at.trigger, at.out)
    if at.tcb.ecn is not None:
        at.tcb.ecn.heard_again(at.segment)
    at.out.append(output.syn_ack(at.tcb, at.now, step.rule))


def _syn_of_other_ecn(at: _Arrival) -> None:
    """RFC 9768 section 3.1.5: nobody can know how the other end is going to report marks."""
    step = move(at.tcb, at.trigger, at.out)
    at.out.append(output.reset(at.tcb, at.now, step.rule))
    delete(at.tcb, ConnectionAbortedError, at.out)


def _gone(at: _Arrival) -> None:
    """Give the 4-tuple back to LISTEN, or to the SYN that reopens it."""
    move(at.tcb, at.trigger, at.out)
    delete(at.tcb, None, at.out)


def _unacceptable(at: _Arrival) -> None:
    """Segments that are answered by an acknowledgment and otherwise ignored."""
    step = move(at.tcb, at.trigger, at.out)
    reason, rule = _WHY_UNACCEPTABLE.get(at.trigger, DropReason.OUTSIDE_WINDOW), step.rule
    if at.trigger is Trigger.UNACCEPTABLE and not guards.is_fresh(at.tcb, at.now, at.options):
        reason, rule = DropReason.PAWS, "RFC 7323 5.3 R1"
    at.out.append(Dropped(at.tcb.four_tuple, at.segment, reason))
    if at.trigger is Trigger.UNACCEPTABLE and precedes(at.segment.seq, at.tcb.rcv_nxt):
        receiver.note_duplicate(at.tcb, at.segment.seq, len(at.segment.payload))
    if at.tcb.ecn is not None and _repeats_syn_ack(at.tcb, at.segment):
        at.tcb.ecn.syn_ack_again(at.segment)
    answer = _challenge if step.reply is Reply.CHALLENGE_ACK else _answer_invalid
    answer(at.tcb, at.now, at.segment, rule, at.out)


_WHY_UNACCEPTABLE: Final = {
    Trigger.RST_IN_WINDOW: DropReason.RST_CHALLENGED,
    Trigger.SYN_IN_WINDOW: DropReason.SYN_CHALLENGED,
}


def _third_segment(at: _Arrival) -> None:
    """SYN-RECEIVED and the ACK of our SYN: established, then on with text and FIN."""
    move(at.tcb, at.trigger, at.out)
    sender.note_timestamp(at.tcb, at.now, at.segment, at.options)
    handshake.note_third_segment(at.tcb, at.segment, at.options)
    handshake.complete(at.tcb, at.now, at.segment, at.out)
    _close_as_asked(at)
    receiver.process_text(at.tcb, at.now, at.segment, at.out)
    _send_what_waited(at)


def _close_as_asked(at: _Arrival) -> None:
    """Act on the CLOSE that was queued behind text (RFC 9293 section 3.10.4), before the peer's text is read.

    It came first, and there may be nobody left to read.
    """
    if at.tcb.closing and at.tcb.state is State.ESTABLISHED:
        move(at.tcb, Trigger.CLOSE, at.out)


def _send_what_waited(at: _Arrival) -> None:
    """Send what the user gave before the connection was established (RFC 9293 section 3.10.2).

    What is held for lost went with a SYN, and was not acknowledged with it.
    """
    if at.tcb.sending is not None:
        sender.start_congestion_control(at.tcb)  # the peer's MSS is known now
        output.transmit(at.tcb, at.now, at.out, fastopen.OPENS)
        sender.watch_closed_window(at.tcb, at.now)


def _ack_of_fin(at: _Arrival) -> None:
    receiver.note_marks(at.tcb, at.segment)
    _process_ack(at.tcb, at.now, at.segment, at.options, at.out)
    move(at.tcb, at.trigger, at.out)
    if at.tcb.state is State.CLOSED:
        delete(at.tcb, None, at.out)
        return
    if at.tcb.state is State.TIME_WAIT:
        at.tcb.start_timer(Timer.TIME_WAIT, at.now, at.tcb.config.time_wait_s)
    elif at.tcb.user_gone:
        at.tcb.start_timer(Timer.ORPHAN, at.now, at.tcb.config.fin_timeout_s)
    else:
        at.tcb.rest(at.now)
    receiver.process_text(at.tcb, at.now, at.segment, at.out)


def _fin_in_time_wait(at: _Arrival) -> None:
    step = move(at.tcb, at.trigger, at.out)
    at.tcb.start_timer(Timer.TIME_WAIT, at.now, at.tcb.config.time_wait_s)
    at.out.append(output.ack(at.tcb, at.now, step.rule))


_ON_TRIGGER: Final[dict[Trigger, Callable[[_Arrival], None]]] = {
    Trigger.WRONG_ACK: _wrong_ack,
    Trigger.RST_FOR_US: _was_reset,
    Trigger.SYN_ACK_OF_OURS: _established_by_syn_ack,
    Trigger.SYN: _crossing_syn,
    Trigger.SYN_AGAIN: _syn_again,
    Trigger.SYN_OF_OTHER_ECN: _syn_of_other_ecn,
    Trigger.SYN_INSTEAD: _gone,
    Trigger.SYN_REOPENS: _gone,
    Trigger.UNACCEPTABLE: _unacceptable,
    Trigger.RST_IN_WINDOW: _unacceptable,
    Trigger.SYN_IN_WINDOW: _unacceptable,
    Trigger.ACK_OF_SYN: _third_segment,
    Trigger.ACK_OF_FIN: _ack_of_fin,
    Trigger.FIN: _fin_in_time_wait,
}
