"""The machine: an API call, a segment or a timer comes in with `now`; a list of actions goes out.

The procedures of RFC 9293 section 3.10, over one `Tcb`. What a segment is, the guards decide; where it leads,
the table; what is sent, `output`. Nothing here waits, and nothing here raises for anything the peer sends.
"""

from collections.abc import Callable
from typing import Final

from xsocket.actions import Action, Changed, Deleted, Dropped, Established, Moved, Send, TimerFired
from xsocket.reasons import DropReason
from xsocket.segment import FIN, SYN, Segment
from xsocket.seqnum import add, distance, later, precedes, precedes_or_is
from xsocket.state import Reply, State, Timer, Trigger
from xsocket.tcp import guards, output, rto
from xsocket.tcp.congestion import NewReno
from xsocket.tcp.options import MAX_SHIFT, Parsed, parse
from xsocket.tcp.stream import ReceiveQueue, SendQueue
from xsocket.tcp.table import TABLE, Move
from xsocket.tcp.tcb import MAX_UNSCALED_WINDOW, Tcb

DEFAULT_MSS: Final = {4: 536, 6: 1220}
"""What a peer takes that sends no MSS option: RFC 9293 section 3.7.1 (MUST-15)."""
MIN_MSS: Final = 48
"""The least we send at once whatever the peer says; Linux: TCP_MIN_SND_MSS."""


def move(tcb: Tcb, trigger: Trigger, out: list[Action]) -> Move:
    """Change state as the table says; the only place where a state changes."""
    before = tcb.state
    step = TABLE[before, trigger]
    if step.to is not before:
        tcb.state = step.to
        out.append(Moved(tcb.four_tuple, before, step.to, trigger, step.rule))
    return step


# Calls: RFC 9293 sections 3.10.1 to 3.10.5


def open_passive(tcb: Tcb, now: float, syn: Segment) -> list[Action]:
    """Take the SYN that Admission let in: CLOSED, LISTEN and SYN-RECEIVED in one go."""
    out: list[Action] = []
    move(tcb, Trigger.PASSIVE_OPEN, out)
    step = move(tcb, Trigger.SYN, out)
    options = parse(syn.options)
    _take_syn(tcb, syn, options)
    tcb.snd_nxt = add(tcb.iss, 1)
    tcb.timed = (tcb.snd_nxt, now)
    out.append(output.syn_ack(tcb, now, step.rule))
    tcb.start_retransmission(now)
    if syn.payload:
        _hold_early_text(tcb, add(syn.seq, 1), syn.payload)
    return out


def open_active(tcb: Tcb, now: float) -> list[Action]:
    """Send a SYN (OPEN call, active)."""
    out: list[Action] = []
    step = move(tcb, Trigger.ACTIVE_OPEN, out)
    tcb.snd_nxt = add(tcb.iss, 1)
    tcb.timed = (tcb.snd_nxt, now)
    out.append(output.syn(tcb, now, step.rule))
    tcb.start_retransmission(now)
    return out


def send(tcb: Tcb, now: float, text: memoryview) -> tuple[int, list[Action]]:
    """Take as much of *text* as the send buffer holds (SEND call); return how many octets, and actions.

    The caller has seen to it that `Tcb.writable` holds.
    """
    if tcb.sending is None:
        tcb.sending = SendQueue(tcb.snd_nxt)
        tcb.congestion = NewReno(tcb.snd_mss, tcb.config.initial_cwnd)
    taken = min(len(text), tcb.config.wmem - len(tcb.sending))
    out: list[Action] = []
    if taken > 0:
        tcb.sending.append(text[:taken])
        output.transmit(tcb, now, out)
        _watch_closed_window(tcb, now)
    return max(taken, 0), out


def receive(tcb: Tcb, now: float, most: int) -> tuple[bytes, list[Action]]:
    """Take up to *most* octets of what arrived in order (RECEIVE call); empty when there is none."""
    if tcb.receiving is None:
        return b"", []
    out: list[Action] = []
    text = tcb.receiving.read(most)
    if text:
        output.window_update(tcb, now, out)
    return text, out


def close(tcb: Tcb, now: float) -> list[Action]:
    """Finish sending (CLOSE call); what was sent before goes first. The user may go on reading."""
    out: list[Action] = []
    if tcb.closing or (tcb.state, Trigger.CLOSE) not in TABLE:
        return out
    tcb.closing = True
    move(tcb, Trigger.CLOSE, out)
    if tcb.state is State.CLOSED:
        _delete(tcb, None, out)
    else:
        output.transmit(tcb, now, out)
        _watch_closed_window(tcb, now)
    return out


def release(tcb: Tcb, now: float) -> list[Action]:
    """Close, and nobody will read any more: unread text makes it a reset (RFC 9293 section 3.6.1, SHLD-3)."""
    if tcb.unread and tcb.state in _CAN_LOSE_TEXT:
        return abort(tcb, ConnectionAbortedError)
    tcb.user_gone = True
    out = close(tcb, now)
    if tcb.state is State.FIN_WAIT_2:
        tcb.start_timer(Timer.ORPHAN, now, tcb.config.fin_timeout_s)
    return out


def abort(tcb: Tcb, error: type[OSError] | None) -> list[Action]:
    """Drop everything and reset the peer where it would wait (ABORT call)."""
    out: list[Action] = []
    if (tcb.state, Trigger.ABORT) in TABLE:
        step = move(tcb, Trigger.ABORT, out)
        if step.reply is Reply.RST:
            out.append(output.reset(tcb, step.rule))
        _delete(tcb, error, out)
    return out


def give_up(tcb: Tcb, error: type[OSError]) -> list[Action]:
    """Forget a connection that was not answered in time, or must make room; its peer is told nothing."""
    out: list[Action] = []
    move(tcb, Trigger.GIVE_UP, out)
    _delete(tcb, error, out)
    return out


# Segments: RFC 9293 section 3.10.7


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
        verdict = guards.in_other_states(tcb, segment, options)
    if isinstance(verdict, DropReason):
        out.append(Dropped(tcb.four_tuple, segment, verdict))
        if verdict is DropReason.ACK_TOO_OLD:
            _answer_invalid(tcb, now, segment, "RFC 5961 5.2", out)
    elif verdict is None:
        _process_ack(tcb, now, segment, options, out)
        _process_text(tcb, now, segment, out)
    else:
        _ON_TRIGGER[verdict](tcb, now, segment, options, verdict, out)
    return out


def flush(tcb: Tcb, now: float) -> list[Action]:
    """Send the acknowledgment that the segments since the last flush are owed, if it did not go with text."""
    if not tcb.ack_due or tcb.state is State.CLOSED:
        return []
    return [output.ack(tcb, now, "3.10.7.4 seventh")]


# Timers: RFC 9293 section 3.10.8


def timer_fired(tcb: Tcb, now: float) -> list[Action]:
    """Act on the timer that ran out; the caller has compared `Tcb.deadline` with *now*."""
    timer = tcb.timer
    if timer is None:
        return []
    out: list[Action] = [TimerFired(tcb.four_tuple, timer)]
    tcb.stop_timer()
    if timer is Timer.TIME_WAIT:
        move(tcb, Trigger.TIME_WAIT_OVER, out)
        _delete(tcb, None, out)
    elif timer is Timer.ORPHAN:
        move(tcb, Trigger.ORPHAN_OVER, out)
        _delete(tcb, None, out)
    elif tcb.unanswered >= _retry_limit(tcb):
        out += give_up(tcb, TimeoutError)
    else:
        tcb.retries += 1
        tcb.unanswered += 1
        _send_again(tcb, now, timer, out)
        tcb.start_retransmission(now)
    return out


def _retry_limit(tcb: Tcb) -> int:
    if tcb.state is State.SYN_SENT:
        return tcb.config.syn_retries
    return tcb.config.synack_retries if tcb.state is State.SYN_RECEIVED else tcb.config.retries2


def _send_again(tcb: Tcb, now: float, timer: Timer, out: list[Action]) -> None:
    tcb.timed = None  # RFC 6298 section 3, Karn's algorithm
    if tcb.state is State.SYN_SENT:
        out.append(output.syn(tcb, now, "3.8.1"))
    elif tcb.state is State.SYN_RECEIVED:
        out.append(output.syn_ack(tcb, now, "3.8.1"))
    elif timer is Timer.PERSIST:
        output.probe(tcb, now, out)
    else:
        _send_after_timeout(tcb, now, out)


def _send_after_timeout(tcb: Tcb, now: float, out: list[Action]) -> None:
    """RFC 6298 section 5.4, with everything held for lost (RFC 6675 section 5.1)."""
    queue = tcb.retransmission
    if tcb.snd_una == tcb.iss:  # a CLOSE in SYN-RECEIVED: the SYN comes before the FIN
        out.append(output.syn_ack(tcb, now, "3.8.1"))
        return
    assert queue is not None, "the retransmission timer runs for something"
    if tcb.congestion is not None:
        tcb.congestion.timed_out(queue.pipe, tcb.snd_nxt, first=tcb.retries == 1)
    queue.lose_all()
    sent = queue.first()
    assert sent is not None, "the retransmission timer runs for something"
    output.resend(tcb, now, sent, out, "RFC 6298 5.4")


# What a trigger does beside moving: one function each, in the order of section 3.10.7


def _wrong_ack(
    tcb: Tcb,
    now: float,
    segment: Segment,
    options: Parsed,
    trigger: Trigger,
    out: list[Action],  # noqa: ARG001
) -> None:
    """An ACK of what was never sent: before ESTABLISHED a reset answers it, after it an acknowledgment."""
    step = move(tcb, trigger, out)
    if step.reply is Reply.RST:
        out.append(Send(tcb.four_tuple, output.reset_for(segment), step.rule))
    else:
        _answer_invalid(tcb, now, segment, step.rule, out)
        out.append(Dropped(tcb.four_tuple, segment, DropReason.ACK_UNSENT))


def _was_reset(
    tcb: Tcb,
    now: float,
    segment: Segment,
    options: Parsed,
    trigger: Trigger,
    out: list[Action],  # noqa: ARG001
) -> None:
    opening = tcb.state in (State.SYN_SENT, State.SYN_RECEIVED)
    move(tcb, trigger, out)
    _delete(tcb, ConnectionRefusedError if opening else ConnectionResetError, out)


def _established_by_syn_ack(
    tcb: Tcb, now: float, segment: Segment, options: Parsed, trigger: Trigger, out: list[Action]
) -> None:
    """Our SYN is acknowledged by a SYN: SYN-SENT, or SYN-RECEIVED in a simultaneous open."""
    simultaneous = tcb.state is State.SYN_RECEIVED
    step = move(tcb, trigger, out)
    if not simultaneous:
        _take_syn(tcb, segment, options)
    _complete_handshake(tcb, now, segment, out)
    if step.reply is Reply.ACK:
        tcb.ack_due = True
    _process_text(tcb, now, segment, out)


def _crossing_syn(
    tcb: Tcb, now: float, segment: Segment, options: Parsed, trigger: Trigger, out: list[Action]
) -> None:
    """SYN-SENT and a SYN without ACK: simultaneous open (RFC 9293 section 3.5 figure 7)."""
    step = move(tcb, trigger, out)
    _take_syn(tcb, segment, options)
    tcb.retries = tcb.unanswered = 0
    out.append(output.syn_ack(tcb, now, step.rule))
    tcb.start_retransmission(now)
    if segment.payload:
        _hold_early_text(tcb, add(segment.seq, 1), segment.payload)


def _syn_again(
    tcb: Tcb,
    now: float,
    segment: Segment,
    options: Parsed,
    trigger: Trigger,
    out: list[Action],  # noqa: ARG001
) -> None:
    step = move(tcb, trigger, out)
    out.append(output.syn_ack(tcb, now, step.rule))


def _gone(
    tcb: Tcb,
    now: float,
    segment: Segment,
    options: Parsed,
    trigger: Trigger,
    out: list[Action],  # noqa: ARG001
) -> None:
    """Give the 4-tuple back to LISTEN, or to the SYN that reopens it."""
    move(tcb, trigger, out)
    _delete(tcb, None, out)


def _unacceptable(
    tcb: Tcb, now: float, segment: Segment, options: Parsed, trigger: Trigger, out: list[Action]
) -> None:
    """Segments that are answered by an acknowledgment and otherwise ignored."""
    step = move(tcb, trigger, out)
    reason = _WHY_UNACCEPTABLE.get(trigger, DropReason.OUTSIDE_WINDOW)
    if trigger is Trigger.UNACCEPTABLE and not guards.is_fresh(tcb, options):
        reason = DropReason.PAWS
    out.append(Dropped(tcb.four_tuple, segment, reason))
    _answer_invalid(tcb, now, segment, step.rule, out)


_WHY_UNACCEPTABLE: Final = {
    Trigger.RST_IN_WINDOW: DropReason.RST_CHALLENGED,
    Trigger.SYN_IN_WINDOW: DropReason.SYN_CHALLENGED,
}


def _third_segment(
    tcb: Tcb, now: float, segment: Segment, options: Parsed, trigger: Trigger, out: list[Action]
) -> None:
    """SYN-RECEIVED and the ACK of our SYN: established, then on with text and FIN."""
    move(tcb, trigger, out)
    _note_timestamp(tcb, segment, options)
    _complete_handshake(tcb, now, segment, out)
    _process_text(tcb, now, segment, out)


def _ack_of_fin(
    tcb: Tcb, now: float, segment: Segment, options: Parsed, trigger: Trigger, out: list[Action]
) -> None:
    _process_ack(tcb, now, segment, options, out)
    move(tcb, trigger, out)
    if tcb.state is State.CLOSED:
        _delete(tcb, None, out)
        return
    if tcb.state is State.TIME_WAIT:
        tcb.start_timer(Timer.TIME_WAIT, now, tcb.config.time_wait_s)
    elif tcb.user_gone:
        tcb.start_timer(Timer.ORPHAN, now, tcb.config.fin_timeout_s)
    else:
        tcb.stop_timer()
    _process_text(tcb, now, segment, out)


def _fin_in_time_wait(
    tcb: Tcb,
    now: float,
    segment: Segment,
    options: Parsed,
    trigger: Trigger,
    out: list[Action],  # noqa: ARG001
) -> None:
    step = move(tcb, trigger, out)
    tcb.start_timer(Timer.TIME_WAIT, now, tcb.config.time_wait_s)
    out.append(output.ack(tcb, now, step.rule))


_Handler = Callable[[Tcb, float, Segment, Parsed, Trigger, list[Action]], None]

_ON_TRIGGER: Final[dict[Trigger, _Handler]] = {
    Trigger.WRONG_ACK: _wrong_ack,
    Trigger.RST_FOR_US: _was_reset,
    Trigger.SYN_ACK_OF_OURS: _established_by_syn_ack,
    Trigger.SYN: _crossing_syn,
    Trigger.SYN_AGAIN: _syn_again,
    Trigger.SYN_INSTEAD: _gone,
    Trigger.SYN_REOPENS: _gone,
    Trigger.UNACCEPTABLE: _unacceptable,
    Trigger.RST_IN_WINDOW: _unacceptable,
    Trigger.SYN_IN_WINDOW: _unacceptable,
    Trigger.ACK_OF_SYN: _third_segment,
    Trigger.ACK_OF_FIN: _ack_of_fin,
    Trigger.FIN: _fin_in_time_wait,
}


# Pieces of the procedures


def _take_syn(tcb: Tcb, syn: Segment, options: Parsed) -> None:
    """Note what the peer's SYN says: IRS, window, and the options both ends want."""
    rules = tcb.config
    tcb.irs, tcb.rcv_nxt = syn.seq, add(syn.seq, 1)
    tcb.rcv_adv = add(tcb.rcv_nxt, min(rules.rmem, MAX_UNSCALED_WINDOW))
    tcb.snd_wnd = tcb.max_snd_wnd = syn.window
    tcb.snd_wl1, tcb.snd_wl2 = syn.seq, syn.acknowledgment
    tcb.sack = rules.sack and options.sack_permitted
    if rules.window_scaling and options.window_scale is not None:
        tcb.scaled = True
        tcb.snd_wscale = min(options.window_scale, MAX_SHIFT)
        tcb.rcv_wscale = output.window_shift(rules.rmem)
    mss = options.mss if options.mss else DEFAULT_MSS[tcb.four_tuple.family]
    tcb.snd_mss = max(MIN_MSS, min(mss, tcb.rcv_mss))
    if rules.timestamps and options.ts_val is not None:
        tcb.timestamps, tcb.ts_recent = True, options.ts_val
        tcb.snd_mss = max(MIN_MSS, tcb.snd_mss - output.TIMESTAMP_OCTETS)


def _hold_early_text(tcb: Tcb, seq: int, text: bytes) -> None:
    """Keep the text of a SYN until the handshake is complete (RFC 9293 section 3.10.7.2 third)."""
    tcb.receiving = ReceiveQueue()
    tcb.receiving.hold(seq, text[: tcb.rcv_wnd])


def _complete_handshake(tcb: Tcb, now: float, segment: Segment, out: list[Action]) -> None:
    """Enter ESTABLISHED: our SYN is acknowledged, the window is known, nothing waits for a timer."""
    _measure(tcb, now, segment.acknowledgment)
    if tcb.retries and tcb.round_trip is None:
        tcb.rto_s = max(tcb.rto_s, 3.0)  # RFC 6298 section 5.7
    tcb.snd_una = segment.acknowledgment
    tcb.retries = tcb.unanswered = 0
    shift = 0 if segment.flags & SYN else tcb.snd_wscale
    tcb.snd_wnd = segment.window << shift
    tcb.max_snd_wnd = max(tcb.max_snd_wnd, tcb.snd_wnd)
    tcb.snd_wl1, tcb.snd_wl2 = segment.seq, segment.acknowledgment
    tcb.stop_timer()
    tcb.established_at = now
    out.append(Established(tcb.four_tuple))
    if tcb.receiving is not None:
        _join_early_text(tcb, now, out)


def _join_early_text(tcb: Tcb, now: float, out: list[Action]) -> None:
    assert tcb.receiving is not None
    before = tcb.rcv_nxt
    tcb.rcv_nxt = tcb.receiving.append(tcb.rcv_nxt, b"")
    if tcb.rcv_nxt != before:
        tcb.ack_due = True
        out.append(Changed(tcb.four_tuple))
        _check_early_fin(tcb, now, out)


def _process_ack(tcb: Tcb, now: float, segment: Segment, options: Parsed, out: list[Action]) -> None:
    """Fifth, for an acceptable ACK: forget what is acknowledged, update the window, send what now fits."""
    _note_timestamp(tcb, segment, options)
    ack = segment.acknowledgment
    if precedes(tcb.snd_una, ack):
        _advance(tcb, now, ack, options, out)
        _update_window(tcb, segment)
    else:
        was = tcb.snd_wnd
        _update_window(tcb, segment)
        if _is_duplicate(tcb, segment, was):
            _note_duplicate(tcb, now, out)
        if tcb.snd_wnd != was:
            _window_changed(tcb, now, was)
    _find_losses(tcb, options)
    output.transmit(tcb, now, out)
    _watch_closed_window(tcb, now)


def _advance(tcb: Tcb, now: float, ack: int, options: Parsed, out: list[Action]) -> None:
    _measure(tcb, now, ack, options.ts_ecr if tcb.timestamps and options.ts_val is not None else None)
    count = distance(tcb.snd_una, ack)
    tcb.snd_una = ack
    tcb.retries = tcb.unanswered = 0
    if tcb.retransmission is not None:
        tcb.retransmission.acknowledge(ack)
    if tcb.sending is not None and tcb.sending.acknowledge(ack):
        out.append(Changed(tcb.four_tuple))
    if tcb.congestion is not None:
        recovering = tcb.congestion.recover is not None
        tcb.congestion.acknowledged(count, ack)
        if (
            recovering
            and tcb.congestion.recover is not None
            and not tcb.sack
            and tcb.retransmission is not None
        ):
            tcb.retransmission.lose_first()  # RFC 6582 section 3.2 step 3, partial acknowledgment
    if tcb.flight:
        tcb.start_retransmission(now)  # RFC 6298 section 5.3
    elif tcb.timer in (Timer.RETRANSMISSION, Timer.PERSIST):
        tcb.stop_timer()  # RFC 6298 section 5.2


def _measure(tcb: Tcb, now: float, ack: int, echo: int | None = None) -> None:
    """Take a round-trip sample: from the timed segment, or from the timestamp the peer echoes."""
    sample: float | None = None
    if tcb.timed is not None and precedes_or_is(tcb.timed[0], ack):
        sample, tcb.timed = now - tcb.timed[1], None
    elif echo is not None and echo:
        sample = distance(echo, tcb.timestamp(now)) / 1000
        sample = sample if sample < tcb.config.max_rto_s else None
    if sample is not None:
        tcb.round_trip = rto.measured(tcb.round_trip, sample)
        tcb.rto_s = rto.timeout(tcb.round_trip, tcb.config.min_rto_s, tcb.config.max_rto_s)


def _update_window(tcb: Tcb, segment: Segment) -> None:
    seq, ack = segment.seq, segment.acknowledgment
    if precedes(tcb.snd_wl1, seq) or (tcb.snd_wl1 == seq and precedes_or_is(tcb.snd_wl2, ack)):
        tcb.snd_wnd = segment.window << tcb.snd_wscale
        tcb.max_snd_wnd = max(tcb.max_snd_wnd, tcb.snd_wnd)
        tcb.snd_wl1, tcb.snd_wl2 = seq, ack


def _window_changed(tcb: Tcb, now: float, was: int) -> None:
    """Go over between retransmission and persist timer when the window shuts or opens."""
    if (was == 0) != (tcb.snd_wnd == 0) and tcb.flight and tcb.timer in (Timer.RETRANSMISSION, Timer.PERSIST):
        tcb.retries = tcb.unanswered = 0
        if was == 0 and tcb.retransmission is not None:
            tcb.retransmission.lose_all()  # it fell on a closed window
        tcb.start_retransmission(now)


def _is_duplicate(tcb: Tcb, segment: Segment, window_before: int) -> bool:
    """RFC 5681 section 2: the five conditions."""
    return (
        segment.acknowledgment == tcb.snd_una
        and tcb.flight > 0
        and not segment.payload
        and not segment.flags & (SYN | FIN)
        and tcb.snd_wnd == window_before
    )


def _note_duplicate(tcb: Tcb, now: float, out: list[Action]) -> None:
    if tcb.timer is Timer.PERSIST:
        # RFC 9293 section 3.8.6.1, MUST-37: as long as probes are answered the connection stays open,
        # unless nobody is left to care.
        tcb.unanswered = tcb.unanswered if tcb.user_gone else 0
    elif tcb.congestion is not None and tcb.retransmission is not None:
        tcb.congestion.duplicates += 1
        if not tcb.sack and tcb.congestion.duplicates == _loss_threshold(tcb):
            tcb.congestion.lost(tcb.retransmission.pipe, tcb.snd_nxt)
            tcb.retransmission.lose_first()


def _find_losses(tcb: Tcb, options: Parsed) -> None:
    """RFC 6675 section 5: take in what the peer holds, and hold for lost what that overtook."""
    queue = tcb.retransmission
    if not tcb.sack or queue is None or not queue or tcb.congestion is None:
        return
    queue.note_blocks(options.sack)
    under_way = queue.pipe
    if queue.find_losses(_loss_threshold(tcb)):
        tcb.congestion.lost(under_way, tcb.snd_nxt)


def _loss_threshold(tcb: Tcb) -> int:
    """DupThresh, less when too few segments are under way to reach it (RFC 5827 section 3.1)."""
    queue = tcb.retransmission
    if queue is None or tcb.unsent or len(queue) > tcb.config.reordering:
        return tcb.config.reordering
    return max(1, len(queue) - 1)


def _watch_closed_window(tcb: Tcb, now: float) -> None:
    """Start the persist timer when the peer's window keeps text from going and nothing is in flight."""
    if tcb.timer is None and tcb.unsent and tcb.state in _TEXT_GOES:
        tcb.start_retransmission(now)


def _note_timestamp(tcb: Tcb, segment: Segment, options: Parsed) -> None:
    """RFC 7323 section 4.3: keep the TSval of the segment that covers Last.ACK.sent."""
    if tcb.timestamps and options.ts_val is not None and precedes_or_is(segment.seq, tcb.last_ack_sent):
        tcb.ts_recent = later(tcb.ts_recent, options.ts_val)


def _process_text(tcb: Tcb, now: float, segment: Segment, out: list[Action]) -> None:
    """Seventh and eighth: the text inside the window, then the FIN behind it."""
    if not segment.payload and not segment.flags & FIN:
        return
    if tcb.state not in _TEXT_ARRIVES:
        if segment.payload:
            out.append(Dropped(tcb.four_tuple, segment, DropReason.TEXT_AFTER_FIN))
        return
    seq = add(segment.seq, 1) if segment.flags & SYN else segment.seq
    text, fin_at = segment.payload, None
    if segment.flags & FIN:
        fin_at = add(seq, len(text))
    if precedes(seq, tcb.rcv_nxt):
        text, seq = text[distance(seq, tcb.rcv_nxt) :], tcb.rcv_nxt
    if text and tcb.user_gone:
        _refuse_text(tcb, segment, out)
        return
    room = distance(seq, tcb.rcv_adv) if not precedes(tcb.rcv_adv, seq) else 0
    if len(text) > room:
        text, fin_at = text[:room], None
    _take_text(tcb, now, segment, seq, text, out)
    if fin_at is not None and tcb.fin_at is None:
        tcb.fin_at = fin_at
    _check_early_fin(tcb, now, out)


def _refuse_text(tcb: Tcb, segment: Segment, out: list[Action]) -> None:
    """RFC 9293 section 3.6.1, SHLD-3: text after the user closed is lost, and the peer must know."""
    step = move(tcb, Trigger.TEXT_FOR_NOBODY, out)
    out.append(output.reset(tcb, step.rule))
    out.append(Dropped(tcb.four_tuple, segment, DropReason.TEXT_AFTER_CLOSE))
    _delete(tcb, None, out)


def _take_text(tcb: Tcb, now: float, segment: Segment, seq: int, text: bytes, out: list[Action]) -> None:
    tcb.ack_due = True
    if tcb.receiving is None:
        if not text:
            return
        tcb.receiving = ReceiveQueue()
    if seq == tcb.rcv_nxt:
        if text:
            tcb.rcv_nxt = tcb.receiving.append(seq, text)
            out.append(Changed(tcb.four_tuple))
        if tcb.receiving.has_gap:
            out.append(output.ack(tcb, now, "RFC 5681 4.2"))
        return
    if text and not tcb.receiving.hold(seq, text):
        out.append(Dropped(tcb.four_tuple, segment, DropReason.OUT_OF_ORDER_FULL))
    out.append(output.ack(tcb, now, "RFC 5681 4.2"))  # at once: the peer counts duplicates


def _check_early_fin(tcb: Tcb, now: float, out: list[Action]) -> None:
    """Eighth: act on the peer's FIN once all the text before it has come."""
    if tcb.fin_at != tcb.rcv_nxt or tcb.state not in _TEXT_ARRIVES:
        return
    tcb.fin_at = None
    tcb.rcv_nxt = add(tcb.rcv_nxt, 1)
    step = move(tcb, Trigger.FIN, out)
    tcb.ack_due = step.reply is Reply.ACK
    if tcb.state is State.TIME_WAIT:
        tcb.start_timer(Timer.TIME_WAIT, now, tcb.config.time_wait_s)
    out.append(Changed(tcb.four_tuple))


def _answer_invalid(tcb: Tcb, now: float, segment: Segment, rule: str, out: list[Action]) -> None:
    """Acknowledge a segment that was not acceptable; those without text not too often (RFC 5961 section 7)."""
    if not segment.payload and not segment.flags & FIN:
        limit = tcb.config.invalid_ratelimit_s
        if tcb.invalid_at is not None and now - tcb.invalid_at < limit:
            out.append(Dropped(tcb.four_tuple, segment, DropReason.CHALLENGE_RATE))
            return
        tcb.invalid_at = now
    out.append(output.ack(tcb, now, rule))


def _delete(tcb: Tcb, error: type[OSError] | None, out: list[Action]) -> None:
    tcb.stop_timer()
    tcb.error = error
    tcb.ack_due = False
    out.append(Changed(tcb.four_tuple))
    out.append(Deleted(tcb.four_tuple, error))


_TEXT_ARRIVES = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})
_CAN_LOSE_TEXT = _TEXT_ARRIVES | {State.CLOSE_WAIT}
_TEXT_GOES = frozenset({State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK})
