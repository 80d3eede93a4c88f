"""Guards: what a segment is, in the state it meets. One function per procedure of RFC 9293 section 3.10.7.

A guard changes nothing. It answers with the trigger to look up in the table, with the reason to drop the
segment, or with None: nothing here moves the connection, go on with the text. Tests stand in the RFC's order.
"""

from xsocket.reasons import DropReason
from xsocket.segment import ACK, FIN, RST, SYN, Segment
from xsocket.seqnum import add, distance, in_window, precedes, precedes_or_is
from xsocket.state import State, Trigger
from xsocket.tcp.ecn import mixes
from xsocket.tcp.options import Parsed
from xsocket.tcp.tcb import TS_RECENT_LIFE_S, Tcb


def in_closed(segment: Segment) -> DropReason | None:
    """RFC 9293 section 3.10.7.1: None asks for a reset in answer."""
    return DropReason.RST_FOR_NOBODY if segment.flags & RST else None


def in_listen(segment: Segment) -> Trigger | DropReason:
    """RFC 9293 section 3.10.7.2. LISTEN is wherever Admission lets a port be reached."""
    flags = segment.flags
    if flags & RST:
        return DropReason.RST_IN_LISTEN
    if flags & ACK:
        return Trigger.WRONG_ACK
    if flags & (SYN | FIN) == SYN:
        return Trigger.SYN
    return DropReason.SYN_WITH_FIN if flags & SYN else DropReason.NO_CONTROL_IN_LISTEN


def in_syn_sent(tcb: Tcb, segment: Segment) -> Trigger | DropReason:
    """RFC 9293 section 3.10.7.3."""
    ack = segment.ack
    if ack is not None and not _acks_our_syn(tcb, ack):
        return DropReason.ACK_NOT_OURS if segment.rst else Trigger.WRONG_ACK
    if segment.rst:
        return DropReason.RST_WITHOUT_ACK if ack is None else Trigger.RST_FOR_US
    if not segment.syn:
        return DropReason.NEITHER_SYN_NOR_RST
    return Trigger.SYN if ack is None else Trigger.SYN_ACK_OF_OURS


def _acks_our_syn(tcb: Tcb, ack: int) -> bool:
    """Text may have gone with it, and count as well (RFC 7413 section 4.2.2)."""
    return precedes(tcb.snd_una, ack) and precedes_or_is(ack, tcb.snd_nxt)


def in_other_states(tcb: Tcb, now: float, segment: Segment, options: Parsed) -> Trigger | DropReason | None:
    """RFC 9293 section 3.10.7.4, first to fifth."""
    flags = segment.flags
    if flags & RST:
        return _check_reset(tcb, segment)
    if flags & SYN:
        return _check_syn(tcb, segment, options)
    if tcb.timestamps and options.ts_val is None and tcb.config.timestamps_required:
        return DropReason.TIMESTAMP_MISSING
    if not is_fresh(tcb, now, options) or not acceptable(tcb, segment):
        if flags & FIN and flags & ACK and tcb.state is State.TIME_WAIT:
            return Trigger.FIN
        return Trigger.UNACCEPTABLE
    if not flags & ACK:
        return DropReason.MISSING_ACK
    return _check_ack(tcb, segment.acknowledgment)


def acceptable(tcb: Tcb, segment: Segment) -> bool:
    """First: the four cases of RFC 9293 table 6, with its allowance for ACKs against a closed window."""
    seq, window = segment.seq, tcb.rcv_wnd
    if tcb.state is State.TIME_WAIT:  # nothing can come any more: like Linux, leave no window
        return seq == tcb.rcv_nxt and segment.length == 0
    if seq == tcb.rcv_nxt or in_window(seq, tcb.rcv_nxt, window):
        return True
    length = segment.length
    return length > 0 and in_window(add(seq, length - 1), tcb.rcv_nxt, window)


def is_fresh(tcb: Tcb, now: float, options: Parsed) -> bool:
    """PAWS, RFC 7323 section 5.3 R1: the timestamp is not older than the last one that counted.

    After 24 days of silence that one counts no more (section 5.5).
    """
    if not tcb.timestamps or options.ts_val is None:
        return True
    return precedes_or_is(tcb.ts_recent, options.ts_val) or now - tcb.ts_recent_at > TS_RECENT_LIFE_S


def _check_reset(tcb: Tcb, segment: Segment) -> Trigger | DropReason:
    """Second: RFC 5961 section 3, as RFC 9293 section 3.10.7.4 has it."""
    if tcb.state is State.TIME_WAIT and tcb.config.rfc1337:
        return DropReason.RST_IN_TIME_WAIT
    if segment.seq == tcb.rcv_nxt:
        return Trigger.RST_FOR_US
    if tcb.state is not State.TIME_WAIT and in_window(segment.seq, tcb.rcv_nxt, tcb.rcv_wnd):
        return Trigger.RST_IN_WINDOW
    return DropReason.RST_OUTSIDE_WINDOW


def _check_syn(tcb: Tcb, segment: Segment, options: Parsed) -> Trigger:
    """Fourth: RFC 5961 section 4 for synchronized states, whatever the sequence number."""
    if tcb.state is State.SYN_RECEIVED:
        return _check_syn_in_syn_received(tcb, segment)
    if tcb.state is State.TIME_WAIT and not segment.flags & (ACK | FIN) and _is_new(tcb, segment, options):
        return Trigger.SYN_REOPENS
    return Trigger.SYN_IN_WINDOW


def _is_new(tcb: Tcb, syn: Segment, options: Parsed) -> bool:
    """RFC 6191 section 2: a SYN that cannot be a duplicate from the connection in TIME-WAIT.

    Like Linux, and unlike the RFC, a timestamp says nothing when the old connection had none.
    """
    if tcb.timestamps and options.ts_val is not None and options.ts_val != tcb.ts_recent:
        return precedes(tcb.ts_recent, options.ts_val)
    return precedes(tcb.rcv_nxt, syn.seq)


def _check_syn_in_syn_received(tcb: Tcb, segment: Segment) -> Trigger:
    ack = segment.ack
    if segment.seq == tcb.irs:
        if ack is None:
            return Trigger.SYN_OF_OTHER_ECN if mixes(tcb.ecn, tcb.config, segment) else Trigger.SYN_AGAIN
        if _acks_our_syn(tcb, ack) and not tcb.passive:
            return Trigger.SYN_ACK_OF_OURS  # simultaneous open: appendix A.2 excuses the old sequence number
    if not tcb.passive or tcb.established_at is not None:  # its user has it: no SYN may end it
        return Trigger.SYN_IN_WINDOW
    return Trigger.SYN_INSTEAD if acceptable(tcb, segment) else Trigger.UNACCEPTABLE


def _check_ack(tcb: Tcb, ack: int) -> Trigger | DropReason | None:
    """Fifth: the ACK field, with the range of RFC 5961 section 5."""
    if tcb.state is State.SYN_RECEIVED:
        return Trigger.ACK_OF_SYN if _acks_our_syn(tcb, ack) else Trigger.WRONG_ACK
    if precedes(tcb.snd_nxt, ack):
        return Trigger.WRONG_ACK
    # As in Linux, an acknowledgment is too old as well if it is older than the connection.
    if distance(ack, tcb.snd_nxt) > tcb.flight + min(tcb.max_snd_wnd, tcb.acked):
        return DropReason.ACK_TOO_OLD
    if tcb.fin_sent and ack == tcb.snd_nxt and tcb.state in _WAIT_FOR_ACK_OF_FIN:
        return Trigger.ACK_OF_FIN
    return None


_WAIT_FOR_ACK_OF_FIN = frozenset({State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK})
