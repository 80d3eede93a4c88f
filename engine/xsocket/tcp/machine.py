"""The machine: an API call, a segment or a timer comes in with `now`; a list of actions goes out.

The procedures of RFC 9293 section 3.10, over one `Tcb`: calls and timers here, segments in `arrival`. Nothing
waits, and nothing raises for anything that the peer sends.
"""

from collections.abc import Callable
from math import inf
from typing import Final

from xsocket.actions import Action, Established, TimerFired
from xsocket.config import TcpConfig
from xsocket.segment import SYN, Segment
from xsocket.seqnum import add
from xsocket.state import Reply, State, Timer, Trigger
from xsocket.tcp import handshake, lossprobe, output, receiver
from xsocket.tcp.arrival import receive_segment
from xsocket.tcp.fastopen import OPENS as OPENS_FAST
from xsocket.tcp.options import parse
from xsocket.tcp.patherrors import HEADERS, MIN_V6_MTU, fit_path, receive_error
from xsocket.tcp.receiver import TEXT_ARRIVES, may_wait
from xsocket.tcp.sender import start_congestion_control, watch_closed_window
from xsocket.tcp.stream import SendQueue
from xsocket.tcp.syncookies import Recalled
from xsocket.tcp.table import TABLE
from xsocket.tcp.tcb import Tcb
from xsocket.tcp.transition import delete, move
from xsocket.tcp.usertimeout import advertised_s

__all__ = [
    "abort",
    "close",
    "configure",
    "flush",
    "give_up",
    "open_active",
    "open_by_cookie",
    "open_passive",
    "receive",
    "receive_error",
    "receive_segment",
    "release",
    "send",
    "timer_fired",
]

_CAN_LOSE_TEXT: Final = TEXT_ARRIVES | {State.SYN_RECEIVED, State.CLOSE_WAIT}


# Calls: RFC 9293 sections 3.10.1 to 3.10.5


def open_passive(tcb: Tcb, now: float, syn: Segment) -> list[Action]:
    """Take the SYN that Admission let in: CLOSED, LISTEN and SYN-RECEIVED in one go.

    A connection whose `Tcb.fast_open` was accepted is its user's from here on.
    """
    out: list[Action] = []
    move(tcb, Trigger.PASSIVE_OPEN, out)
    step = move(tcb, Trigger.SYN, out)
    options = parse(syn.options)
    handshake.take_syn(tcb, now, syn, options)
    tcb.snd_nxt = add(tcb.iss, 1)
    tcb.timed = (tcb.snd_nxt, now)
    early = tcb.fast_open is not None and tcb.fast_open.accepted
    if early:
        handshake.accept_early_text(tcb, now, syn.payload)
    out.append(output.syn_ack(tcb, now, OPENS_FAST if early else step.rule, first=True))
    tcb.start_retransmission(now)
    if early:
        out.append(Established(tcb.four_tuple))
    elif syn.payload:
        handshake.hold_early_text(tcb, add(syn.seq, 1), syn.payload)
    return out


def open_by_cookie(tcb: Tcb, now: float, ack: Segment, recalled: Recalled) -> list[Action]:
    """Take the ACK that brings our SYN cookie back: CLOSED, LISTEN and ESTABLISHED in one go.

    Args:
        tcb: Its ISS and timestamp offset become those that the cookie was sent with.
        now: Monotonic seconds.
        ack: The third segment of the handshake, or text that took its place.
        recalled: What the cookie says of the peer's SYN.
    """
    out: list[Action] = []
    move(tcb, Trigger.PASSIVE_OPEN, out)
    move(tcb, Trigger.ACK_OF_COOKIE, out)
    syn = Segment(add(ack.seq, -1), 0, SYN | recalled.ecn_flags, ack.window)
    handshake.take_syn(tcb, now, syn, recalled.options)
    tcb.iss, tcb.ts_offset = add(ack.acknowledgment, -1), recalled.ts_offset
    tcb.snd_una, tcb.snd_nxt = tcb.iss, ack.acknowledgment
    tcb.last_ack_sent = tcb.rcv_nxt
    handshake.note_third_segment(tcb, ack, parse(ack.options))
    handshake.complete(tcb, now, ack, out)
    receiver.process_text(tcb, now, ack, out)
    return out


def open_active(tcb: Tcb, now: float, text: bytes = b"") -> list[Action]:
    """Send a SYN (OPEN call, active), with what `Tcb.fast_open` lets go with it.

    Args:
        tcb: The connection.
        now: Monotonic seconds.
        text: What the user sends first; as much of it as the send buffer holds is taken.
    """
    out: list[Action] = []
    step = move(tcb, Trigger.ACTIVE_OPEN, out)
    tcb.snd_nxt = add(tcb.iss, 1)
    tcb.timed = (tcb.snd_nxt, now)
    if text:
        send(tcb, now, memoryview(text))
    out.append(output.syn(tcb, now, step.rule if tcb.fast_open is None else tcb.fast_open.rule, first=True))
    tcb.start_retransmission(now)
    return out


def send(tcb: Tcb, now: float, text: memoryview) -> tuple[int, list[Action]]:
    """Take as much of *text* as the send buffer holds (SEND call); return how many octets, and actions.

    The caller has seen to it that `Tcb.writable` holds.
    """
    if tcb.sending is None:
        tcb.sending = SendQueue(tcb.snd_nxt)
        start_congestion_control(tcb)
    taken = min(len(text), tcb.config.wmem - len(tcb.sending))
    out: list[Action] = []
    if taken > 0:
        tcb.sending.append(text[:taken])
        output.transmit(tcb, now, out)
        watch_closed_window(tcb, now)
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


def configure(tcb: Tcb, now: float, config: TcpConfig) -> list[Action]:
    """Play by *config* from now on; what it no longer holds back goes at once, as after TCP_NODELAY."""
    out: list[Action] = []
    if tcb.user_timeout is not None and advertised_s(config) != advertised_s(tcb.config):
        tcb.user_timeout.due = True
    tcb.config = config
    if tcb.timer in (None, Timer.KEEP_ALIVE):
        tcb.rest(now)
    output.transmit(tcb, now, out)
    return out


def close(tcb: Tcb, now: float) -> list[Action]:
    """Finish sending (CLOSE call); what was sent before goes first. The user may go on reading."""
    out: list[Action] = []
    if tcb.closing or (tcb.state, Trigger.CLOSE) not in TABLE:
        return out
    tcb.closing = True
    if tcb.state is State.SYN_RECEIVED and tcb.unsent and tcb.established_at is None:
        return out  # queued until the connection is established (RFC 9293 section 3.10.4)
    move(tcb, Trigger.CLOSE, out)
    if tcb.state is State.CLOSED:
        delete(tcb, None, out)
    else:
        output.transmit(tcb, now, out)
        watch_closed_window(tcb, now)
    return out


def release(tcb: Tcb, now: float) -> list[Action]:
    """Close, and nobody will read any more: unread text makes it a reset (RFC 9293 section 3.6.1, SHLD-3)."""
    if tcb.unread and tcb.state in _CAN_LOSE_TEXT:
        return abort(tcb, now, ConnectionAbortedError)
    tcb.user_gone = True
    out = close(tcb, now)
    if tcb.state is State.FIN_WAIT_2:
        tcb.start_timer(Timer.ORPHAN, now, tcb.config.fin_timeout_s)
    return out


def abort(tcb: Tcb, now: float, error: type[OSError] | None) -> list[Action]:
    """Drop everything and reset the peer where it would wait (ABORT call)."""
    out: list[Action] = []
    if (tcb.state, Trigger.ABORT) in TABLE:
        ended = tcb.state is State.TIME_WAIT  # both streams have: there is nothing to tell
        step = move(tcb, Trigger.ABORT, out)
        if step.reply is Reply.RST:
            out.append(output.reset(tcb, now, step.rule))
        delete(tcb, None if ended else error, out)
    return out


def give_up(tcb: Tcb, error: type[OSError]) -> list[Action]:
    """Forget a connection that was not answered in time; its peer is told nothing."""
    return _forget(tcb, Trigger.GIVE_UP, error)


def evict(tcb: Tcb) -> list[Action]:
    """Forget a half-open connection that must make room for another; its peer is told nothing."""
    return _forget(tcb, Trigger.EVICTED, ConnectionAbortedError)


def _forget(tcb: Tcb, trigger: Trigger, error: type[OSError]) -> list[Action]:
    out: list[Action] = []
    move(tcb, trigger, out)
    delete(tcb, error, out)
    return out


def flush(tcb: Tcb, now: float) -> list[Action]:
    """Send the acknowledgment that the segments since the last flush are owed, if it did not go with text.

    One that may wait (`xsocket.tcp.receiver.may_wait`) starts the timer of the delayed ACK instead.
    """
    if tcb.ack_due is None or tcb.state is State.CLOSED:
        return []
    if may_wait(tcb):
        if tcb.ack_at == inf:
            tcb.ack_at = now + tcb.config.delayed_ack_s
        return []
    if tcb.quickacks:
        tcb.quickacks -= 1
    return [output.ack(tcb, now, tcb.ack_due)]


# Timers: RFC 9293 section 3.10.8


def timer_fired(tcb: Tcb, now: float) -> list[Action]:
    """Act on the timers that ran out; the caller has compared `Tcb.due` with *now*."""
    out: list[Action] = []
    if tcb.ack_at <= now:
        out.append(TimerFired(tcb.four_tuple, Timer.DELAYED_ACK))
        out.append(output.ack(tcb, now, "3.8.6.3"))
    timer = tcb.timer
    if timer is not None and tcb.deadline <= now:
        out.append(TimerFired(tcb.four_tuple, timer))
        _ON_TIMER[timer](tcb, now, out)
    return out


def _time_wait_over(tcb: Tcb, _now: float, out: list[Action]) -> None:
    move(tcb, Trigger.TIME_WAIT_OVER, out)
    delete(tcb, None, out)


def _orphan_over(tcb: Tcb, _now: float, out: list[Action]) -> None:
    move(tcb, Trigger.ORPHAN_OVER, out)
    delete(tcb, None, out)


def _keep_alive(tcb: Tcb, now: float, out: list[Action]) -> None:
    """RFC 9293 section 3.8.4: probe a silent peer with a number it has acknowledged already."""
    rules = tcb.config
    # Not by the difference: rounded, it may say "not yet" at the very instant for which it sets the timer.
    time_s = tcb.keepalive_time_s
    if now < tcb.heard_at + time_s:
        tcb.unanswered = 0
        tcb.start_timer(Timer.KEEP_ALIVE, tcb.heard_at, time_s)
        return
    patience_over = rules.user_timeout_s and now >= tcb.heard_at + rules.user_timeout_s
    if tcb.unanswered >= (1 if patience_over else rules.keepalive_probes):
        step = move(tcb, Trigger.KEEP_ALIVE_FAILED, out)
        out.append(output.reset(tcb, now, step.rule))
        delete(tcb, tcb.soft_error or TimeoutError, out)
        return
    tcb.unanswered += 1
    out.append(output.keep_alive(tcb, now))
    tcb.start_timer(Timer.KEEP_ALIVE, now, rules.keepalive_intvl_s)


def _retransmission_over(tcb: Tcb, now: float, out: list[Action]) -> None:
    timer = tcb.timer
    if now >= tcb.gives_up_at:
        move(tcb, Trigger.USER_TIMEOUT, out)
        delete(tcb, tcb.soft_error or TimeoutError, out)
    elif tcb.unanswered >= _retry_limit(tcb):
        out += give_up(tcb, tcb.soft_error or TimeoutError)
    else:
        tcb.retries += 1
        tcb.unanswered += 1
        _send_again(tcb, now, timer, out)
        tcb.start_retransmission(now)


_ON_TIMER: Final[dict[Timer, Callable[[Tcb, float, list[Action]], None]]] = {
    Timer.RETRANSMISSION: _retransmission_over,
    Timer.LOSS_PROBE: lossprobe.send,
    Timer.PERSIST: _retransmission_over,
    Timer.KEEP_ALIVE: _keep_alive,
    Timer.TIME_WAIT: _time_wait_over,
    Timer.ORPHAN: _orphan_over,
}


def _retry_limit(tcb: Tcb) -> float:
    """How many retransmissions go without an answer; a user timeout stands in the place of retries2."""
    rules = tcb.config
    if tcb.state is State.SYN_SENT:
        return rules.syn_retries + rules.syn_linear_timeouts
    if tcb.state is State.SYN_RECEIVED:
        return rules.synack_retries
    if tcb.user_gone:
        return min(rules.retries2, rules.orphan_retries)
    return inf if tcb.user_timeout_s else rules.retries2


def _send_again(tcb: Tcb, now: float, timer: Timer | None, out: list[Action]) -> None:
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
    if tcb.syn_in_flight:  # a CLOSE in SYN-RECEIVED: the SYN comes before the FIN
        out.append(output.syn_ack(tcb, now, "3.8.1"))
        return
    assert queue is not None, "the retransmission timer runs for something"
    if tcb.congestion is not None:
        tcb.congestion.timed_out(tcb.flight, tcb.snd_nxt, first=tcb.retries == 1)
    queue.lose_all()
    tcb.probed_to = None
    if tcb.config.mtu_probing and tcb.retries > tcb.config.retries1:
        _doubt_the_path(tcb)
    sent = queue.first()
    assert sent is not None, "the retransmission timer runs for something"
    output.resend(tcb, now, sent, out, "RFC 6298 5.4")


def _doubt_the_path(tcb: Tcb) -> None:
    """Try smaller segments: a path that swallows large ones need not say so (RFC 4821 section 7.7)."""
    base, version = tcb.config.base_mss, tcb.four_tuple.family
    smaller = base if tcb.snd_mss > base else tcb.snd_mss // 2
    mtu = smaller + output.option_octets(tcb) + HEADERS[version]
    fit_path(tcb, mtu if version == 4 else max(mtu, MIN_V6_MTU))
