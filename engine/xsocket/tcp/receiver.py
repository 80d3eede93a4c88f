"""The receiving side: the seventh and eighth step of RFC 9293 section 3.10.7.4, text and FIN."""

from typing import Final

from xsocket.actions import Action, Changed, Dropped
from xsocket.reasons import DropReason
from xsocket.segment import FIN, SYN, Segment
from xsocket.seqnum import add, distance, precedes
from xsocket.state import Reply, State, Timer, Trigger
from xsocket.tcp import output
from xsocket.tcp.stream import ReceiveQueue
from xsocket.tcp.tcb import Tcb
from xsocket.tcp.transition import delete, move

TEXT_ARRIVES: Final = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})
"""The states before the peer's FIN, in which text is taken."""
TEXT_IN_ORDER: Final = "3.10.7.4 seventh"
"""The rule by which text is acknowledged that left no gap: the only acknowledgment that may wait."""


FULL_SIZED: Final = 536
"""The least that counts for a full-sized segment: no peer's MSS is below the default of IPv4."""


def may_wait(tcb: Tcb) -> bool:
    """Whether the acknowledgment that is owed may be delayed: RFC 9293 section 3.8.6.3, RFC 5681 section 4.2.

    Only one for text in order, and only until more than one full-sized segment has come.
    """
    if tcb.ack_due != TEXT_IN_ORDER or tcb.quickacks or not tcb.config.delayed_ack_s:
        return False
    full_sized = max(FULL_SIZED, min(tcb.rcv_mss, tcb.largest_text))
    return distance(tcb.last_ack_sent, tcb.rcv_nxt) <= full_sized


def note_marks(tcb: Tcb, segment: Segment) -> None:
    """Take in what the network says with an acceptable segment; some of it cannot wait to be acknowledged."""
    if tcb.ecn is not None:
        rule = tcb.ecn.arrived(segment, owes_text=tcb.rcv_nxt != tcb.last_ack_sent)
        tcb.ack_due = rule or tcb.ack_due


def join_early_text(tcb: Tcb, now: float, out: list[Action]) -> None:
    """Take the text that was held until the handshake was complete."""
    assert tcb.receiving is not None
    before = tcb.rcv_nxt
    tcb.rcv_nxt = tcb.receiving.append(tcb.rcv_nxt, b"")
    if tcb.rcv_nxt != before:
        tcb.ack_due = tcb.ack_due or TEXT_IN_ORDER  # what cannot wait still cannot
        out.append(Changed(tcb.four_tuple))
        _reach_fin(tcb, now, out)


def process_text(tcb: Tcb, now: float, segment: Segment, out: list[Action]) -> None:
    """Seventh and eighth: the text inside the window, then the FIN behind it."""
    if not segment.payload and not segment.flags & FIN:
        return
    if tcb.state not in TEXT_ARRIVES:
        if segment.payload:
            out.append(Dropped(tcb.four_tuple, segment, DropReason.TEXT_AFTER_FIN))
        return
    seq = add(segment.seq, 1) if segment.flags & SYN else segment.seq
    text, fin_at = segment.payload, None
    if segment.flags & FIN:
        fin_at = add(seq, len(text))
    note_duplicate(tcb, seq, len(text))
    if precedes(seq, tcb.rcv_nxt):
        text, seq = text[distance(seq, tcb.rcv_nxt) :], tcb.rcv_nxt
    if text and tcb.user_gone:
        _refuse_text(tcb, now, segment, out)
        return
    room = distance(seq, tcb.rcv_adv) if not precedes(tcb.rcv_adv, seq) else 0
    if len(text) > room:
        text, fin_at = text[:room], None
    if fin_at is not None and (tcb.fin_at is None or seq == tcb.rcv_nxt):
        tcb.fin_at = fin_at  # the first that was announced, or the one that has come
    _take_text(tcb, now, segment, seq, text, out)
    _reach_fin(tcb, now, out)


def note_duplicate(tcb: Tcb, seq: int, size: int) -> None:
    """Note which of the *size* octets from *seq* on came before, to be reported (RFC 2883 section 4)."""
    if not size or not tcb.sack or not tcb.config.dsack:
        return
    if precedes(seq, tcb.rcv_nxt):
        end = add(seq, size)
        tcb.came_twice = seq, end if precedes(end, tcb.rcv_nxt) else tcb.rcv_nxt
    elif tcb.receiving is not None and tcb.receiving.has_gap:
        tcb.came_twice = tcb.receiving.overlap(seq, size) or tcb.came_twice


def _refuse_text(tcb: Tcb, now: float, segment: Segment, out: list[Action]) -> None:
    """RFC 9293 section 3.6.1, SHLD-3: text after the user closed is lost, and the peer must know."""
    step = move(tcb, Trigger.TEXT_FOR_NOBODY, out)
    out.append(output.reset(tcb, now, step.rule))
    out.append(Dropped(tcb.four_tuple, segment, DropReason.TEXT_AFTER_CLOSE))
    delete(tcb, None, out)


def _take_text(tcb: Tcb, now: float, segment: Segment, seq: int, text: bytes, out: list[Action]) -> None:
    if not text:
        tcb.ack_due = "3.10.7.4 first"  # a probe against our closed window, say
    elif tcb.ack_due is None:
        tcb.ack_due = TEXT_IN_ORDER
    if tcb.receiving is None:
        if not text:
            return
        tcb.receiving = ReceiveQueue()
    if len(text) > tcb.largest_text:
        tcb.largest_text = len(text)
    if seq == tcb.rcv_nxt:
        had_gap = tcb.receiving.has_gap
        if text:
            tcb.rcv_nxt = tcb.receiving.append(seq, text)
            out.append(Changed(tcb.four_tuple))
        if had_gap:
            tcb.ack_due = "RFC 5681 4.2"  # the peer waits to hear that its retransmission came
        if tcb.receiving.has_gap and tcb.fin_at != tcb.rcv_nxt:
            out.append(output.ack(tcb, now, "RFC 5681 4.2"))
        return
    if text and not tcb.receiving.hold(seq, text):
        out.append(Dropped(tcb.four_tuple, segment, DropReason.OUT_OF_ORDER_FULL))
    out.append(output.ack(tcb, now, "RFC 5681 4.2"))  # at once: the peer counts duplicates


def _reach_fin(tcb: Tcb, now: float, out: list[Action]) -> None:
    """Eighth: act on the peer's FIN once all the text before it has come."""
    if tcb.fin_at != tcb.rcv_nxt or tcb.state not in TEXT_ARRIVES:
        return
    tcb.fin_at = None
    tcb.rcv_nxt = add(tcb.rcv_nxt, 1)
    if precedes(tcb.rcv_adv, tcb.rcv_nxt):  # the FIN stood just past a full window
        tcb.rcv_adv = tcb.rcv_nxt
    if tcb.receiving is not None:
        tcb.receiving.forget_early()  # nothing comes after a FIN
    step = move(tcb, Trigger.FIN, out)
    tcb.ack_due = step.rule if step.reply is Reply.ACK else None
    if tcb.state is State.TIME_WAIT:
        tcb.start_timer(Timer.TIME_WAIT, now, tcb.config.time_wait_s)
    elif tcb.timer is Timer.KEEP_ALIVE:
        tcb.rest(now)
    out.append(Changed(tcb.four_tuple))
