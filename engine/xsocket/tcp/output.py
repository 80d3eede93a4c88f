"""Segments the machine sends: which, with which numbers, windows and options. Changes SND.NXT."""

from enum import Enum
from math import inf

from xsocket.actions import Action, Send
from xsocket.config import TcpConfig
from xsocket.segment import ACK, ECT_0, FIN, NOT_ECT, PSH, RST, SYN, Segment
from xsocket.seqnum import add, distance, precedes
from xsocket.state import State, Timer
from xsocket.tcp import usertimeout
from xsocket.tcp.congestion import NewReno
from xsocket.tcp.ecn import syn_flags
from xsocket.tcp.fastopen import FastOpenState, fits
from xsocket.tcp.options import (
    MAX_OCTETS,
    MAX_SHIFT,
    AccEcn,
    FastOpen,
    UserTimeout,
    filled_up,
    for_segment,
    for_syn,
)
from xsocket.tcp.retransmission import RetransmissionQueue, Sent
from xsocket.tcp.tcb import MAX_UNSCALED_WINDOW, Tcb
from xsocket.tcp.usertimeout import OPTION_OCTETS, UserTimeoutState

TIMESTAMP_OCTETS = 12


class Kind(Enum):
    """What ECN has to know of a segment: RFC 3168 sections 6.1.2 and 6.1.4 to 6.1.6."""

    NEW_TEXT = "text that goes for the first time"
    SENT_AGAIN = "text or FIN once more, or a window probe"
    ACKNOWLEDGMENT = "no text"
    ANSWER_TO_SYN_ACK = "no text, and in answer to a SYN+ACK"


def option_octets(tcb: Tcb) -> int:
    """How many octets of options every segment carries: they come off the MSS (RFC 9293 section 3.7.1)."""
    octets = TIMESTAMP_OCTETS if tcb.timestamps else 0
    return octets if tcb.signer is None else octets + tcb.signer.octets


def send(tcb: Tcb, segment: Segment, rule: str) -> Send:
    """Return the order to send *segment*, signed where a key protects the connection: all go through here."""
    if tcb.signer is not None:
        segment = tcb.signer.sign(segment, tcb.iss, tcb.irs)
    return Send(tcb.four_tuple, segment, rule, tcb.config.ttl, tcb.config.dscp)


def reset_for(segment: Segment) -> Segment:
    """Return the reset that the sender of *segment* will accept: RFC 9293 section 3.5.2, groups 1 and 2."""
    if segment.flags & ACK:
        return Segment(segment.acknowledgment, 0, RST)
    return Segment(0, add(segment.seq, segment.length), RST | ACK)


def syn(tcb: Tcb, now: float, rule: str, *, first: bool = False) -> Send:
    """<SEQ=ISS><CTL=SYN>, with every option the rules let us offer.

    The first may be one of Fast Open; one that is sent again is ordinary (RFC 7413 section 4.2.1).
    """
    rules = tcb.config
    stamps = (tcb.timestamp(now), 0) if rules.timestamps else None
    options = for_syn(tcb.rcv_mss, window_shift(rules) if rules.window_scaling else None, rules.sack, stamps)
    window = min(rules.rmem, MAX_UNSCALED_WINDOW)
    text = b""
    if first and tcb.fast_open is not None:
        options, text = _with_early_text(tcb, tcb.fast_open, options)
    if first:
        options = _with_user_timeout(tcb, options)
    flags = SYN | syn_flags(rules, tcb.retries)
    return send(tcb, Segment(tcb.iss, 0, flags, window, options, text), rule)


def _with_option(tcb: Tcb, options: bytes, option: FastOpen | AccEcn | UserTimeout | None) -> bytes:
    """Add the option where there is room for it."""
    others = len(options) + (tcb.signer.octets if tcb.signer is not None else 0)
    return options if option is None or not fits(option, others) else options + filled_up(option)


def _with_user_timeout(tcb: Tcb, options: bytes) -> bytes:
    """Add the user timeout option where it is in use and has room (RFC 5482 section 3)."""
    in_use = tcb.user_timeout is not None
    return _with_option(tcb, options, usertimeout.option(tcb.config) if in_use else None)


def _with_early_text(tcb: Tcb, early: FastOpenState, options: bytes) -> tuple[bytes, bytes]:
    """Return options and text of a SYN that opens fast (RFC 7413 4.2.2); the text is in flight then."""
    extended = _with_option(tcb, options, early.offered)
    if early.offered is not None and extended == options:
        tcb.fast_open = None
        return options, b""
    text = tcb.sending.peek(tcb.snd_nxt, early.room) if tcb.sending is not None else b""
    if text:
        right = add(tcb.snd_nxt, len(text))
        tcb.retransmission = RetransmissionQueue()
        tcb.retransmission.append(tcb.snd_nxt, right)
        tcb.snd_nxt, early.syn_data = right, len(text)
    return extended, text


def syn_ack(tcb: Tcb, now: float, rule: str, *, first: bool = False) -> Send:
    """<SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK>, with the options that the peer's SYN agreed to.

    A Fast Open cookie, and the option of RFC 9768, go with the *first* only (RFC 7413 section 4.2.1).
    """
    stamps = (tcb.timestamp(now), tcb.ts_recent) if tcb.timestamps else None
    scale = tcb.rcv_wscale if tcb.scaled else None
    options = for_syn(tcb.rcv_mss, scale, tcb.sack, stamps)
    flags = SYN | ACK
    if first and tcb.fast_open is not None:
        options = _with_option(tcb, options, tcb.fast_open.given)
    if tcb.ecn is not None:
        flags |= tcb.ecn.syn_ack_flags(tcb.retries if tcb.config.ecn_fallback else 0)
        options = _with_option(tcb, options, tcb.ecn.syn_ack_option if first else None)
    if first:
        options = _with_user_timeout(tcb, options)
    window = min(tcb.rcv_wnd, MAX_UNSCALED_WINDOW)  # RFC 7323 section 2.2: never scaled on a SYN
    tcb.last_ack_sent = tcb.rcv_nxt
    return send(tcb, Segment(tcb.iss, tcb.rcv_nxt, flags, window, options), rule)


def window_shift(rules: TcpConfig) -> int:
    """Return the smallest shift count that lets the window field express the largest window, at most 14."""
    return min(MAX_SHIFT, max(0, max(rules.rmem, rules.rmem_max).bit_length() - 16))


def segment_from(
    tcb: Tcb, now: float, seq: int, flags: int, payload: bytes = b"", kind: Kind = Kind.ACKNOWLEDGMENT
) -> Segment:
    """Return a segment without SYN that acknowledges everything received so far."""
    stamps = (tcb.timestamp(now), tcb.ts_recent) if tcb.timestamps else None
    blocks, marks, ecn = _sack_blocks(tcb), b"", NOT_ECT
    if blocks or tcb.ecn is not None:
        room = min(tcb.snd_mss - len(payload), MAX_OCTETS - option_octets(tcb))  # RFC 9293 section 3.7.1
        if tcb.ecn is not None:
            flags |= _ecn_flags(tcb, kind, has_sack=bool(blocks))
            # RFC 9768 section 3.2.3.3: two blocks come first.
            is_new = kind is Kind.NEW_TEXT
            left = room - _octets_of(blocks[:2])
            marks = tcb.ecn.option(left, new_text=is_new, again=kind is Kind.SENT_AGAIN)
            ecn = ECT_0 if is_new and tcb.ecn.sends_ect else NOT_ECT
        blocks = blocks[: max(0, room - len(marks) - 4) // 8]
        if blocks:
            tcb.came_twice = None
    options = (for_segment(stamps, blocks) if stamps or blocks else b"") + marks
    if tcb.user_timeout is not None and tcb.user_timeout.due:
        options = _advertise_user_timeout(tcb, tcb.user_timeout, options, len(payload))
    tcb.ack_due, tcb.ack_at = None, inf
    return Segment(seq, tcb.rcv_nxt, flags | ACK, tcb.advertise(), options, payload, 0, ecn)


def _advertise_user_timeout(tcb: Tcb, state: UserTimeoutState, options: bytes, text: int) -> bytes:
    """Tell the peer of our user timeout, once, with the first segment that has room for it."""
    others = len(options) - (TIMESTAMP_OCTETS if tcb.timestamps else 0)
    if tcb.snd_mss - text - others < OPTION_OCTETS:
        return options
    extended = _with_user_timeout(tcb, options)
    state.due = extended == options
    return extended


def _ecn_flags(tcb: Tcb, kind: Kind, *, has_sack: bool) -> int:
    assert tcb.ecn is not None
    return tcb.ecn.flags(
        reductions=0 if tcb.congestion is None else tcb.congestion.reductions,
        new_text=kind is Kind.NEW_TEXT,
        answers_syn_ack=kind is Kind.ANSWER_TO_SYN_ACK and not has_sack,
    )


def _sack_blocks(tcb: Tcb) -> tuple[tuple[int, int], ...]:
    early = tcb.established_at is None  # text of a SYN waits for the handshake, not for a gap to close
    if not tcb.sack or early:
        return ()
    held = tcb.receiving.blocks() if tcb.receiving is not None and tcb.receiving.has_gap else ()
    return held if tcb.came_twice is None else (tcb.came_twice, *held)


def _octets_of(blocks: tuple[tuple[int, int], ...]) -> int:
    return 4 + 8 * len(blocks) if blocks else 0


def ack(tcb: Tcb, now: float, rule: str, *, answers_syn_ack: bool = False) -> Send:
    """<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>."""
    kind = Kind.ANSWER_TO_SYN_ACK if answers_syn_ack else Kind.ACKNOWLEDGMENT
    return send(tcb, segment_from(tcb, now, tcb.snd_nxt, 0, kind=kind), rule)


def keep_alive(tcb: Tcb, now: float) -> Send:
    """<SEQ=SND.NXT-1><ACK=RCV.NXT><CTL=ACK>, without text: RFC 9293 section 3.8.4."""
    return send(tcb, segment_from(tcb, now, add(tcb.snd_nxt, -1), 0), "3.8.4")


def reset(tcb: Tcb, now: float, rule: str) -> Send:
    """<SEQ=SND.NXT><ACK=RCV.NXT><CTL=RST,ACK>: the ABORT call of RFC 9293 section 3.10.5.

    With timestamps where they were agreed on (RFC 7323 section 3.2).
    """
    options = for_segment((tcb.timestamp(now), tcb.ts_recent)) if tcb.timestamps else b""
    flags = RST | ACK
    if tcb.ecn is not None:
        flags |= _ecn_flags(tcb, Kind.ACKNOWLEDGMENT, has_sack=False)
    return send(tcb, Segment(tcb.snd_nxt, tcb.rcv_nxt, flags, 0, options), rule)


def transmit(tcb: Tcb, now: float, out: list[Action], lost_by: str = "RFC 6675 5") -> None:
    """Send what the windows allow: what was lost, by the rule *lost_by*, then new text, then the FIN."""
    if tcb.congestion is not None and not tcb.flight:
        _restart_after_idle(tcb, now, tcb.congestion)
    _send_lost(tcb, now, out, lost_by)
    was_idle, before = tcb.flight == 0, tcb.snd_nxt
    while (size := _next_size(tcb)) is not None:
        send_new(tcb, now, size, out)
    if tcb.snd_nxt == before:
        return
    if was_idle or tcb.timer is Timer.LOSS_PROBE:
        tcb.start_retransmission(now)
    else:
        tcb.let_probe_come_first(now)


def _restart_after_idle(tcb: Tcb, now: float, congestion: NewReno) -> None:
    """RFC 5681 section 4.1: no acknowledgments are under way any more that would pace a whole window."""
    if tcb.config.slow_start_after_idle and now - tcb.sent_at > tcb.rto_s:
        congestion.restart()


def _send_lost(tcb: Tcb, now: float, out: list[Action], rule: str) -> None:
    queue = tcb.retransmission
    if queue is None or tcb.congestion is None:
        return
    while (sent := queue.first_lost()) is not None:
        under_way = _in_network(tcb, queue)
        if under_way and under_way + sent.size > tcb.congestion.cwnd:
            return
        resend(tcb, now, sent, out, rule)


def resend(tcb: Tcb, now: float, sent: Sent, out: list[Action], rule: str) -> None:
    """Send a segment again."""
    assert tcb.retransmission is not None
    out.append(send(tcb, _again(tcb, now, sent.seq, sent.size), rule))
    tcb.retransmission.resent(sent)
    tcb.timed = None  # RFC 6298 section 3, Karn's algorithm
    tcb.sent_at = now


def probe(tcb: Tcb, now: float, out: list[Action]) -> None:
    """Send one octet (or the FIN) against a closed window, or what a small one takes: section 3.8.6.1."""
    if tcb.flight:
        out.append(send(tcb, _again(tcb, now, tcb.snd_una, 1), "3.8.6.1"))
        tcb.timed = None
    else:
        send_new(tcb, now, min(max(1, tcb.snd_wnd), tcb.snd_mss, tcb.unsent), out, Kind.SENT_AGAIN)


def window_update(tcb: Tcb, now: float, out: list[Action]) -> None:
    """Tell the peer that the user's reading opened the window, when that is worth a segment."""
    if tcb.state in _RECEIVES and tcb.window_to_offer() > tcb.rcv_wnd:
        out.append(ack(tcb, now, "3.8.6.2.2"))


def _next_size(tcb: Tcb) -> int | None:
    """How much new text to send now; 0 for a bare FIN, None for nothing."""
    if tcb.state not in _SENDS and not _may_send_early(tcb):
        return None
    unsent = tcb.unsent
    if not unsent:
        return 0 if tcb.closing and not tcb.fin_sent else None
    full = _full_size(tcb)
    size = min(unsent, full, tcb.snd_wnd - tcb.flight)
    if tcb.congestion is not None and tcb.retransmission is not None:
        size = min(size, tcb.congestion.cwnd - _in_network(tcb, tcb.retransmission))
    if size <= 0:
        return None
    if size == full or (tcb.closing and size == unsent):
        return size
    # RFC 9293 section 3.8.6.2.1, silly window avoidance: a full segment, all there is, or half the window.
    # Anything else waits for the persist timer.
    worthwhile = size == unsent or size * 2 >= tcb.max_snd_wnd
    return size if worthwhile and not _is_held_back(tcb) else None


def _full_size(tcb: Tcb) -> int:
    """How much text a segment holds beside the options that it has to carry (RFC 9293 section 3.7.1).

    Blocks go with every segment that does not acknowledge all that came (RFC 2018 section 4).
    """
    full = tcb.snd_mss if tcb.ecn is None else tcb.snd_mss - tcb.ecn.reserves
    if tcb.receiving is None or not tcb.receiving.has_gap:
        return full
    room = (MAX_OCTETS - option_octets(tcb) - 4) // 8
    return max(1, full - _octets_of(_sack_blocks(tcb)[:room]))


def _may_send_early(tcb: Tcb) -> bool:
    """Whether Fast Open lets a server answer before the third segment (RFC 7413 section 4.2.2)."""
    early = tcb.fast_open
    return tcb.state is State.SYN_RECEIVED and early is not None and early.accepted


def _is_held_back(tcb: Tcb) -> bool:
    """Whether the Nagle algorithm keeps a short segment back: RFC 9293 section 3.7.4."""
    if tcb.config.nodelay or not tcb.flight:
        return False
    if not tcb.config.minshall:
        return not tcb.syn_in_flight or tcb.flight > 1  # a SYN is no text
    return tcb.short_right is not None and precedes(tcb.snd_una, tcb.short_right)


def largest_allowed(tcb: Tcb) -> int:
    """How much new text the peer's window lets go in one segment, whatever the congestion window says."""
    return max(0, min(tcb.unsent, tcb.snd_mss, tcb.snd_wnd - tcb.flight)) if tcb.state in _SENDS else 0


def send_new(
    tcb: Tcb,
    now: float,
    size: int,
    out: list[Action],
    kind: Kind = Kind.NEW_TEXT,
    rule: str | None = None,
) -> None:
    """Send the next *size* octets, and the FIN if it stands behind them; by the user's call or *rule*."""
    seq = tcb.snd_nxt
    payload = tcb.sending.peek(seq, size) if tcb.sending is not None and size else b""
    flags = 0
    tcb.snd_nxt = add(seq, len(payload))
    last = tcb.sending is None or tcb.snd_nxt == tcb.sending.right
    if payload and last:
        flags |= PSH
    if tcb.closing and last and not tcb.fin_sent:
        flags |= FIN
        tcb.fin_sent = True
        tcb.snd_nxt = add(tcb.snd_nxt, 1)
    if tcb.retransmission is None:
        tcb.retransmission = RetransmissionQueue()
    tcb.retransmission.append(seq, tcb.snd_nxt)
    tcb.sent_at = now
    if payload and len(payload) < _full_size(tcb):
        tcb.short_right = tcb.snd_nxt
    if tcb.timed is None and not tcb.timestamps:
        tcb.timed = (tcb.snd_nxt, now)
    if not payload:
        kind = Kind.ACKNOWLEDGMENT
    segment = segment_from(tcb, now, seq, flags, payload, kind)
    if rule is None:
        rule = "3.8.6.1" if kind is Kind.SENT_AGAIN else "3.10.2" if payload else "3.10.4"
    out.append(send(tcb, segment, rule))


def _again(tcb: Tcb, now: float, seq: int, most: int) -> Segment:
    """Return the segment at *seq* once more, with the FIN if it stands there."""
    sent = distance(seq, tcb.snd_nxt) - (1 if tcb.fin_sent else 0)
    payload = tcb.sending.peek(seq, min(most, sent)) if tcb.sending is not None and sent > 0 else b""
    flags = FIN if tcb.fin_sent and len(payload) == sent else 0
    if payload and tcb.sending is not None and add(seq, len(payload)) == tcb.sending.right:
        flags |= PSH
    return segment_from(tcb, now, seq, flags, payload, Kind.SENT_AGAIN)


def _in_network(tcb: Tcb, queue: RetransmissionQueue) -> int:
    """Return how many octets are under way; without SACK each duplicate says that one segment left."""
    if tcb.sack or tcb.congestion is None:
        return queue.pipe
    return max(0, queue.pipe - tcb.congestion.duplicates * tcb.snd_mss)


_SENDS = frozenset({State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK})
_RECEIVES = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})
