"""The sending side: what an acceptable acknowledgment does, the fifth step of RFC 9293 section 3.10.7.4.

Round trips are measured here, windows updated, losses found; what then fits the windows is sent.
"""

from typing import Final

from xsocket.actions import Action, Changed
from xsocket.segment import FIN, SYN, Segment
from xsocket.seqnum import distance, later, precedes, precedes_or_is
from xsocket.state import State, Timer
from xsocket.tcp import lossprobe, output, rto
from xsocket.tcp.congestion import NewReno
from xsocket.tcp.options import Parsed, user_timeout
from xsocket.tcp.tcb import TS_RECENT_LIFE_S, Tcb

_WAITS_FOR_ACK: Final = frozenset({Timer.RETRANSMISSION, Timer.LOSS_PROBE, Timer.PERSIST})
_TEXT_GOES: Final = frozenset(
    {State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK}
)


def process_ack(tcb: Tcb, now: float, segment: Segment, options: Parsed, out: list[Action]) -> None:
    """Fifth, for an acceptable ACK: forget what is acknowledged, update the window; see `send_what_fits`."""
    note_timestamp(tcb, now, segment, options)
    note_user_timeout(tcb, segment)
    tcb.heard_at, tcb.soft_error = now, None  # the path works again
    if tcb.timer is Timer.KEEP_ALIVE:
        tcb.unanswered = 0  # the probes were answered, if there were any
    ack = segment.acknowledgment
    was, is_new = tcb.snd_wnd, precedes(tcb.snd_una, ack)
    flight, arrived = tcb.flight, _arrived(tcb)
    cwnd = 0 if tcb.congestion is None else tcb.congestion.cwnd
    if is_new:
        _advance(tcb, now, ack, options, out)
    if ack == tcb.snd_una:  # an older one says nothing of the window now
        _update_window(tcb, segment)
    if not is_new:
        if _is_duplicate(tcb, segment, was):
            _note_duplicate(tcb, now, out)
        if tcb.snd_wnd != was:
            _window_changed(tcb, now, was)
    _find_losses(tcb, now, options, out)
    if is_new:
        _restart_timer(tcb, now)  # knowing what the peer holds, which decides about a probe
    if tcb.probed_to is not None and lossprobe.repaired_a_loss(tcb, segment, options, is_new=is_new):
        _lost_the_end(tcb, flight, cwnd)
    if tcb.ecn is not None and tcb.congestion is not None and tcb.retransmission is not None:
        packets = tcb.retransmission.arrived - arrived
        if tcb.ecn.says_marked(segment, options.acc_ecn, packets, tcb.snd_mss):
            tcb.congestion.marked(flight, tcb.snd_nxt, cwnd, tcb.retransmission.next_place)


def send_what_fits(tcb: Tcb, now: float, out: list[Action]) -> None:
    """Send what an acknowledgment let go, once the text that came with it is taken, and acknowledge that."""
    output.transmit(tcb, now, out)
    watch_closed_window(tcb, now)


def _lost_the_end(tcb: Tcb, flight: int, cwnd: int) -> None:
    """RFC 8985 section 7.4.2: a loss that a probe has made up for lowers the window like a mark."""
    if tcb.congestion is not None and tcb.retransmission is not None:
        tcb.congestion.marked(flight, tcb.snd_nxt, cwnd, tcb.retransmission.next_place)


def _arrived(tcb: Tcb) -> int:
    return 0 if tcb.retransmission is None else tcb.retransmission.arrived


def start_congestion_control(tcb: Tcb) -> None:
    """Begin with the initial window (RFC 5681 section 3.1, RFC 6928), or less if the path has said so."""
    tcb.congestion = NewReno(tcb.snd_mss, tcb.initial_segments)
    if tcb.ecn is not None and tcb.ecn.marked_early:
        window = tcb.congestion.cwnd
        tcb.congestion.marked(window, tcb.snd_nxt, window)  # RFC 9768 section 3.2.2.2


def _advance(tcb: Tcb, now: float, ack: int, options: Parsed, out: list[Action]) -> None:
    echo = options.ts_ecr if tcb.timestamps and options.ts_val is not None else None
    if not measure(tcb, now, ack, echo) and tcb.timer is Timer.RETRANSMISSION:
        # RFC 6298 section 5: a timeout that was doubled stays so until a round trip is measured.
        tcb.rto_s = rto.backed_off(tcb.rto_s, tcb.retries, tcb.config.max_rto_s)
    count = distance(tcb.snd_una, ack)
    if tcb.syn_in_flight:
        count -= 1
        if tcb.established_at is None:
            tcb.established_at = now  # after CLOSE: for the user nothing moves (RFC 9293 section 3.10.4)
    tcb.snd_una = ack
    tcb.acked += count
    tcb.retries = tcb.unanswered = 0
    if tcb.retransmission is not None:
        tcb.retransmission.acknowledge(ack)
    if tcb.sending is not None and tcb.sending.acknowledge(ack):
        out.append(Changed(tcb.four_tuple))
    if tcb.congestion is not None and tcb.retransmission is not None:
        tcb.congestion.acknowledged(count, ack)
        if tcb.congestion.recover is not None and not tcb.sack:
            tcb.retransmission.lose_first()
            _resend_first_lost(tcb, now, out, "RFC 6582 3.2 step 3")  # a partial acknowledgment


def _restart_timer(tcb: Tcb, now: float) -> None:
    if tcb.flight:
        tcb.waiting_since = now
        tcb.start_retransmission(now)  # RFC 6298 section 5.3
    elif tcb.timer in _WAITS_FOR_ACK:
        tcb.rest(now)  # RFC 6298 section 5.2


def measure(tcb: Tcb, now: float, ack: int, echo: int | None = None) -> bool:
    """Take a round-trip sample, by the timed segment or the timestamp echoed; return whether there is one."""
    sample: float | None = None
    if tcb.timed is not None and precedes_or_is(tcb.timed[0], ack):
        sample, tcb.timed = now - tcb.timed[1], None
    elif echo is not None and echo:
        sample = distance(echo, tcb.timestamp(now)) / 1000
        sample = sample if sample < tcb.config.max_rto_s else None
    if sample is not None:
        tcb.round_trip = rto.measured(tcb.round_trip, sample)
        tcb.rto_s = rto.timeout(tcb.round_trip, tcb.config.min_rto_s, tcb.config.max_rto_s)
        tcb.measured_since_probe = True
    return sample is not None


def _update_window(tcb: Tcb, segment: Segment) -> None:
    seq, ack = segment.seq, segment.acknowledgment
    if precedes(tcb.snd_wl1, seq) or (tcb.snd_wl1 == seq and precedes_or_is(tcb.snd_wl2, ack)):
        tcb.snd_wnd = segment.window << tcb.snd_wscale
        tcb.max_snd_wnd = max(tcb.max_snd_wnd, tcb.snd_wnd)
        tcb.snd_wl1, tcb.snd_wl2 = seq, ack


def _window_changed(tcb: Tcb, now: float, was: int) -> None:
    """Go over between retransmission and persist timer when the window shuts or opens."""
    if (was == 0) != (tcb.snd_wnd == 0) and tcb.flight and tcb.timer in _WAITS_FOR_ACK:
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
            tcb.congestion.lost(tcb.flight, tcb.snd_nxt)
            tcb.retransmission.lose_first()
            _resend_first_lost(tcb, now, out, "RFC 5681 3.2")


def _find_losses(tcb: Tcb, now: float, options: Parsed, out: list[Action]) -> None:
    """RFC 6675 section 5: take in what the peer holds, and hold for lost what that overtook."""
    queue = tcb.retransmission
    if not tcb.sack or queue is None or not queue or tcb.congestion is None:
        return
    queue.note_blocks(options.sack)
    place = queue.find_losses(_loss_threshold(tcb))
    if place is None:
        return
    if tcb.congestion.lost(tcb.flight, tcb.snd_nxt, place, queue.next_place):
        tcb.probed_to = None
        _resend_first_lost(tcb, now, out, "RFC 6675 5 step 4.3")


def _resend_first_lost(tcb: Tcb, now: float, out: list[Action], rule: str) -> None:
    """Send the oldest segment that is held for lost again, whatever the congestion window says."""
    sent = tcb.retransmission.first_lost() if tcb.retransmission is not None else None
    if sent is not None:
        output.resend(tcb, now, sent, out, rule)
        tcb.start_retransmission(now)  # it has a whole timeout (RFC 6298 section 5, RFC 6675 section 6)


def _loss_threshold(tcb: Tcb) -> int:
    """DupThresh, less when too few segments are under way to reach it (RFC 5827 section 3.1)."""
    queue = tcb.retransmission
    if queue is None or tcb.unsent or len(queue) > tcb.config.reordering:
        return tcb.config.reordering
    return max(1, len(queue) - 1)


def watch_closed_window(tcb: Tcb, now: float) -> None:
    """Start the persist timer when the peer's window keeps text from going and nothing is in flight."""
    if tcb.timer in (None, Timer.KEEP_ALIVE) and tcb.unsent and tcb.state in _TEXT_GOES:
        tcb.start_retransmission(now)


def note_user_timeout(tcb: Tcb, segment: Segment) -> None:
    """RFC 5482 section 3.1: what the peer says of its user timeout, in a segment that is acceptable."""
    if tcb.user_timeout is not None and segment.options:
        tcb.user_timeout.note(user_timeout(segment.options))


def note_timestamp(tcb: Tcb, now: float, segment: Segment, options: Parsed) -> None:
    """RFC 7323 section 4.3: keep the TSval of the segment that covers Last.ACK.sent."""
    value = options.ts_val
    if tcb.timestamps and value is not None and precedes_or_is(segment.seq, tcb.last_ack_sent):
        stale = now - tcb.ts_recent_at > TS_RECENT_LIFE_S
        tcb.ts_recent = value if stale else later(tcb.ts_recent, value)
        tcb.ts_recent_at = now
