"""What the handshake settles: the peer's numbers, window and options, and the text that came too early."""

from typing import Final

from xsocket.actions import Action, Changed, Established
from xsocket.segment import ACK, SYN, Segment
from xsocket.seqnum import add, distance
from xsocket.tcp import ecn, output, receiver, sender
from xsocket.tcp.options import DEFAULT_MSS, MAX_SHIFT, Parsed
from xsocket.tcp.stream import ReceiveQueue
from xsocket.tcp.tcb import MAX_UNSCALED_WINDOW, Tcb

MIN_MSS: Final = 48
"""The least we send at once whatever the peer says; Linux: TCP_MIN_SND_MSS."""


def take_syn(tcb: Tcb, now: float, syn: Segment, options: Parsed) -> None:
    """Note what the peer's SYN says: IRS, window, and the options both ends want."""
    rules = tcb.config
    sender.note_user_timeout(tcb, syn)
    _agree_on_ecn(tcb, syn, options)
    tcb.irs, tcb.rcv_nxt = syn.seq, add(syn.seq, 1)
    tcb.rcv_adv = add(tcb.rcv_nxt, min(rules.rmem, MAX_UNSCALED_WINDOW))
    tcb.snd_wnd = tcb.max_snd_wnd = syn.window
    tcb.snd_wl1, tcb.snd_wl2 = syn.seq, syn.acknowledgment
    tcb.sack = rules.sack and options.sack_permitted
    if rules.window_scaling and options.window_scale is not None:
        tcb.scaled = True
        tcb.snd_wscale = min(options.window_scale, MAX_SHIFT)
        tcb.rcv_wscale = output.window_shift(rules)
    mss = options.mss if options.mss else DEFAULT_MSS[tcb.four_tuple.family]
    tcb.snd_mss = min(mss, tcb.path_mss)
    if rules.timestamps and options.ts_val is not None:
        tcb.timestamps, tcb.ts_recent, tcb.ts_recent_at = True, options.ts_val, now
    tcb.snd_mss = max(MIN_MSS, tcb.snd_mss - output.option_octets(tcb))


def _agree_on_ecn(tcb: Tcb, syn: Segment, options: Parsed) -> None:
    """RFC 3168 section 6.1.1, RFC 9768 section 3.1; where two SYNs cross, each end does as a server would."""
    if syn.flags & ACK:
        tcb.ecn = ecn.of_syn_ack(tcb.config, syn, tcb.retries, options.acc_ecn)
    else:
        asked = tcb.passive or ecn.syn_flags(tcb.config, tcb.retries) != 0
        tcb.ecn = ecn.of_syn(tcb.config, syn, may_send_ect=asked)


def note_third_segment(tcb: Tcb, segment: Segment, options: Parsed) -> None:
    """Note what the segment that acknowledges our SYN+ACK says of how that came."""
    if tcb.ecn is not None:
        tcb.ecn.third_segment(segment, options.acc_ecn, has_sack=bool(options.sack))
        receiver.note_marks(tcb, segment)


def hold_early_text(tcb: Tcb, seq: int, text: bytes) -> None:
    """Keep the text of a SYN until the handshake is complete (RFC 9293 section 3.10.7.2 third)."""
    tcb.receiving = ReceiveQueue()
    tcb.receiving.hold(seq, text[: tcb.rcv_wnd])


def accept_early_text(tcb: Tcb, now: float, text: bytes) -> None:
    """Take the text of a SYN at once: a Fast Open cookie vouches for its sender (RFC 7413 section 4.2.2)."""
    assert tcb.fast_open is not None
    tcb.established_at = tcb.heard_at = now
    if text:
        tcb.receiving = ReceiveQueue()
        taken = text[: tcb.rcv_wnd]
        tcb.rcv_nxt = tcb.receiving.append(tcb.rcv_nxt, taken)
        tcb.fast_open.syn_data, tcb.fast_open.syn_data_acked = len(text), len(taken)


def note_syn_ack(tcb: Tcb, segment: Segment, options: Parsed) -> None:
    """Note what the SYN+ACK says to our Fast Open; a cookie nobody asked for is ignored, as in Linux."""
    early = tcb.fast_open
    if early is not None:
        early.syn_data_acked = distance(tcb.iss, segment.acknowledgment) - 1
        early.given = options.fast_open if early.offered is not None else None
        early.peer_mss, early.syn_again = options.mss, tcb.retries > 0


def _count_early_text(tcb: Tcb, ack: int, lost: bool, out: list[Action]) -> None:
    """Text went before the handshake was complete, and some of it may be acknowledged (RFC 7413 4.2.2)."""
    assert tcb.retransmission is not None
    assert tcb.sending is not None
    tcb.acked += distance(tcb.sending.left, ack)
    tcb.retransmission.acknowledge(ack)
    if tcb.sending.acknowledge(ack):
        out.append(Changed(tcb.four_tuple))
    if lost:
        tcb.retransmission.split(tcb.snd_mss)  # the peer may take less at once than was thought
        tcb.retransmission.lose_all()


def complete(tcb: Tcb, now: float, segment: Segment, out: list[Action]) -> None:
    """Enter ESTABLISHED: our SYN is acknowledged, the window is known, nothing waits for a timer."""
    sender.measure(tcb, now, segment.acknowledgment)
    sender.note_user_timeout(tcb, segment)
    if tcb.retries and tcb.round_trip is None:
        tcb.rto_s = max(tcb.rto_s, 3.0)  # RFC 6298 section 5.7
    if tcb.retries > 1:
        tcb.initial_segments = 1  # RFC 6928 section 2: one may have been sent again too early, two were lost
    tcb.snd_una = segment.acknowledgment
    if tcb.retransmission is not None:
        _count_early_text(tcb, tcb.snd_una, not tcb.passive or tcb.retries > 0, out)
    tcb.retries = tcb.unanswered = 0
    shift = 0 if segment.flags & SYN else tcb.snd_wscale
    tcb.snd_wnd = segment.window << shift
    tcb.max_snd_wnd = max(tcb.max_snd_wnd, tcb.snd_wnd)
    tcb.snd_wl1, tcb.snd_wl2 = segment.seq, segment.acknowledgment
    early = tcb.established_at is not None
    tcb.established_at = tcb.heard_at = now
    tcb.rest(now)
    if tcb.flight:
        tcb.start_retransmission(now)
    if not early:
        out.append(Established(tcb.four_tuple))
    if tcb.receiving is not None:
        receiver.join_early_text(tcb, now, out)
