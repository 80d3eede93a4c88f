"""What Linux 6.18 does otherwise while a connection closes: FIN-WAIT-1 to TIME-WAIT, and CLOSE-WAIT."""

from __future__ import annotations

from typing import Final

from xsocket.segment import ACK, ECE, FIN, RST, SYN
from xsocket.state import State
from xsocket_tools.fuzzing.case import Call
from xsocket_tools.fuzzing.deviations.mechanism import Deviation, Moment
from xsocket_tools.fuzzing.deviations.telling import (
    came_of,
    has,
    is_about,
    is_ack_of,
    is_gone,
    is_there,
    lacks,
    place,
    says_nothing,
    says_one_ack,
    says_reset_for_it,
    wanted,
    was_in,
)
from xsocket_tools.fuzzing.options import read
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.expectation import Want
from xsocket_tools.fuzzing.oracle.shadow import HALF, MASK, ahead, length_of
from xsocket_tools.fuzzing.oracle.signature import is_refused
from xsocket_tools.fuzzing.oracle.then import Then

_AFTER_PEERS_FIN: Final = (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK)


def _is_orphan(moment: Moment) -> bool:
    """Whether the connection is in FIN-WAIT-2 and its user has let go of it."""
    shadow = moment.shadow
    return shadow is not None and was_in(moment, State.FIN_WAIT_2) and shadow.user_gone


# After the peer's FIN


def _is_reset_at_the_fin(moment: Moment) -> bool:
    if not has(moment, RST) or moment.segment is None or not says_nothing(moment) or not is_gone(moment):
        return False
    outside = is_about(moment, rules.STATE) and came_of(moment, rules.RST_OUTSIDE, rules.INVALID_RATE)
    challenged = is_about(moment, rules.RST_IN_WINDOW) and wanted(moment, Want.CHALLENGE)
    return was_in(moment, *_AFTER_PEERS_FIN) and place(moment) == -1 and (outside or challenged)


def _is_text_over_the_fin(moment: Moment) -> bool:
    text = moment.segment is not None and moment.segment.payload and is_about(moment, rules.TEXT_AFTER_FIN)
    before = was_in(moment, *_AFTER_PEERS_FIN) and bool(text) and place(moment) < 0
    return before and says_reset_for_it(moment) and is_gone(moment)


# After CLOSE


def _is_text_after_close(moment: Moment) -> bool:
    shadow, segment = moment.shadow, moment.segment
    late = shadow is not None and shadow.user_gone and segment is not None and bool(segment.payload)
    return late and wanted(moment, Want.OWN_RESET) and says_reset_for_it(moment) and is_gone(moment)


def _is_fin_past_gap_after_close(moment: Moment) -> bool:
    shadow = moment.shadow
    closed = shadow is not None and shadow.user_gone and was_in(moment, State.FIN_WAIT_1, State.FIN_WAIT_2)
    past_gap = is_about(moment, rules.TEXT_OUT_OF_ORDER) and has(moment, FIN) and place(moment) > 0
    return closed and past_gap and says_reset_for_it(moment) and is_gone(moment)


def _is_second_fin(moment: Moment) -> bool:
    """Whether a FIN that begins before the first one and ends behind it is taken for another."""
    segment, shadow = moment.segment, moment.shadow
    if segment is None or shadow is None or not has(moment, FIN) or not was_in(moment, *_AFTER_PEERS_FIN):
        return False
    over = place(moment) < 0 and ahead(shadow.rcv_was, segment.seq + length_of(segment)) == 1
    acked = bool(moment.sent) and moment.sent[0].acknowledgment == (shadow.rcv_was + 1) & MASK
    return over and acked and is_about(moment, rules.SENT_ACK)


def _has_stale_blocks(moment: Moment) -> bool:
    """Whether the ACK of a FIN that fills the last gap still has blocks, all of what it acknowledges."""
    shadow = moment.shadow
    if shadow is None or not is_about(moment, rules.SACK_BLOCKS) or len(moment.sent) != 1:
        return False
    blocks = read(moment.sent[0].options).sack
    filled = (
        was_in(moment, State.FIN_WAIT_1, State.FIN_WAIT_2)
        and moment.after is State.TIME_WAIT
        and is_there(moment)
    )
    return filled and bool(blocks) and not shadow.pieces


def _kills_orphan(moment: Moment) -> bool:
    limited = is_about(moment, rules.STATE) and came_of(moment, rules.INVALID_RATE)
    hit = (is_about(moment, rules.RST_IN_WINDOW) or limited) and says_nothing(moment)
    return _is_orphan(moment) and has(moment, RST) and hit and is_gone(moment)


def _syn_kills_orphan(moment: Moment) -> bool:
    hit = is_about(moment, rules.SYN_SYNCHRONIZED, rules.INVALID_RATE) and says_reset_for_it(moment)
    return _is_orphan(moment) and has(moment, SYN) and hit and is_gone(moment)


def _is_reset_beside_orphan(moment: Moment) -> bool:
    missed = (
        is_about(moment, rules.RST_OUTSIDE, rules.OLD_TIMESTAMP) and says_one_ack(moment) and has(moment, RST)
    )
    return _is_orphan(moment) and missed and is_there(moment)


def _is_ack_that_an_orphan_ignores(moment: Moment) -> bool:
    wrong = is_about(moment, rules.ACK_UNSENT, rules.ACK_TOO_OLD) and lacks(moment, FIN)
    bare = moment.segment is not None and not moment.segment.payload
    return _is_orphan(moment) and wrong and bare and says_nothing(moment) and is_there(moment)


def _is_syn_before_orphan(moment: Moment) -> bool:
    begins_before = is_about(moment, rules.SYN_SYNCHRONIZED) and has(moment, SYN) and place(moment) < 0
    return _is_orphan(moment) and begins_before and says_nothing(moment) and is_there(moment)


def _is_abort_of_orphan(moment: Moment) -> bool:
    call = moment.operation
    aborts = isinstance(call, Call) and call.name == "abort" and is_about(moment, rules.ABORT)
    return _is_orphan(moment) and aborts and says_nothing(moment) and is_gone(moment)


def _is_abort_before_fin(moment: Moment) -> bool:
    call, shadow = moment.operation, moment.shadow
    aborts = isinstance(call, Call) and call.name == "abort" and came_of(moment, rules.ABORT)
    if not aborts or len(moment.sent) != 1 or not was_in(moment, State.CLOSING, State.LAST_ACK):
        return False
    return moment.sent[0].flags & (RST | ACK) == RST | ACK and is_gone(moment) and shadow is not None


def _is_close_with_unread(moment: Moment) -> bool:
    call, shadow = moment.operation, moment.shadow
    if not isinstance(call, Call) or call.name != "close" or shadow is None or len(moment.sent) != 1:
        return False
    unread = (
        bool(shadow.text) and was_in(moment, State.CLOSING, State.LAST_ACK) and is_about(moment, rules.CLOSE)
    )
    sent = moment.sent[0]
    return unread and sent.flags & RST != 0 and sent.ack == shadow.rcv_nxt and is_gone(moment)


def _is_abort_in_time_wait(moment: Moment) -> bool:
    call = moment.operation
    aborts = isinstance(call, Call) and call.name == "abort" and is_about(moment, rules.STATE)
    return aborts and came_of(moment, rules.ABORT) and moment.after is State.TIME_WAIT


def _has_stamps_of_nobody(moment: Moment) -> bool:
    shadow = moment.shadow
    if shadow is None or not is_about(moment, rules.TS_UNWANTED) or len(moment.sent) != 1:
        return False
    stamps = read(moment.sent[0].options).ts
    small = moment.after in (State.FIN_WAIT_2, State.TIME_WAIT) and shadow.is_small
    small = small and (shadow.passive or shadow.took_over)
    return small and stamps is not None and stamps[1] != 0 and is_ack_of(moment.sent[0], shadow)


def _is_late_for_orphan(moment: Moment) -> bool:
    wrong_ack = is_about(moment, rules.ACK_UNSENT, rules.ACK_TOO_OLD)
    has_more = moment.segment is not None and (moment.segment.payload or place(moment) > 0)
    past_gap = is_about(moment, rules.TEXT_OUT_OF_ORDER) and has(moment, FIN)
    late = (wrong_ack and bool(has_more)) or past_gap
    return _is_orphan(moment) and late and says_reset_for_it(moment) and is_gone(moment)


def _is_fin_with_wrong_ack_for_orphan(moment: Moment) -> bool:
    segment, shadow = moment.segment, moment.shadow
    if segment is None or shadow is None:
        return False
    checked = (rules.ACK_UNSENT, rules.ACK_TOO_OLD, rules.SYN_SYNCHRONIZED, rules.INVALID_RATE)
    wrong = (
        came_of(moment, *checked)
        and has(moment, FIN | ACK)
        and ahead(shadow.rcv_was, segment.seq + length_of(segment)) == 1
    )
    return _is_orphan(moment) and wrong and moment.after is State.TIME_WAIT and len(moment.sent) == 1


# TIME-WAIT


def _is_window_modulo(moment: Moment) -> bool:
    shadow = moment.shadow
    if shadow is None or not is_about(moment, rules.SHRINKS) or len(moment.sent) != 1:
        return False
    small = moment.after in (State.FIN_WAIT_2, State.TIME_WAIT) and shadow.is_small and not shadow.own_shift
    real, sent = ahead(shadow.rcv_nxt, shadow.rcv_adv), moment.sent[0]
    return small and real > 0xFFFF and abs((real & 0xFFFF) - sent.window) <= 1


def _is_refused_syn(moment: Moment) -> bool:
    refused = moment.segment is not None and is_refused(moment.segment.options) and has(moment, SYN)
    half = is_about(moment, rules.SYN_SYNCHRONIZED) and moment.shadow is not None and place(moment) == -HALF
    reopens = was_in(moment, State.TIME_WAIT) and (half or is_about(moment, rules.SYN_REOPENS))
    return refused and reopens and says_nothing(moment) and is_gone(moment)


def _is_half_the_circle_ahead(moment: Moment) -> bool:
    shadow = moment.shadow
    if shadow is None or not was_in(moment, State.TIME_WAIT) or not is_about(moment, rules.SYN_SYNCHRONIZED):
        return False
    reopened = moment.after is State.SYN_RECEIVED and len(moment.sent) == 1
    return reopened and moment.sent[0].flags & (SYN | ACK) == SYN | ACK and place(moment) == -HALF


def _has_no_echo(moment: Moment) -> bool:
    shadow = moment.shadow
    if shadow is None or not is_about(moment, rules.ECN_ECHO) or not says_one_ack(moment):
        return False
    return shadow.is_small and shadow.echoes_mark and not moment.sent[0].flags & ECE and is_there(moment)


def _is_syn_with_fin(moment: Moment) -> bool:
    limited = is_about(moment, rules.STATE) and came_of(moment, rules.INVALID_RATE)
    challenged = (
        (is_about(moment, rules.SYN_SYNCHRONIZED) or limited) and says_nothing(moment) and is_gone(moment)
    )
    return was_in(moment, State.TIME_WAIT) and has(moment, SYN | FIN) and lacks(moment, ACK) and challenged


def _is_new_syn_for_nobody(moment: Moment) -> bool:
    shadow = moment.shadow
    if shadow is None or shadow.who.served or not is_about(moment, rules.SYN_REOPENS):
        return False
    return was_in(moment, State.TIME_WAIT) and says_one_ack(moment) and is_there(moment)


ENDING: Final = (
    Deviation(
        "timestamps in TIME-WAIT that were not agreed on",
        "RFC 7323 3.2",
        "Linux notes a timestamp of the third segment even where no SYN had one, and remembers that of a "
        "connection in TIME-WAIT which another has taken over. The connection never uses it, but where "
        "Linux keeps little of a connection it sends timestamps as soon as there is one to echo.",
        "tcp_check_req, tcp_v4_timewait_ack",
        _has_stamps_of_nobody,
        Then.GOES_ON,
    ),
    Deviation(
        "a SYN that begins before the window of an orphan in FIN-WAIT-2",
        "RFC 5961 4.2",
        "Where Linux keeps little of a connection, a SYN that only ends in the window is neither an error "
        "nor text, and is dropped. RFC 5961 has a challenge ACK.",
        "tcp_timewait_state_process",
        _is_syn_before_orphan,
        Then.GOES_ON,
    ),
    Deviation(
        "ABORT of an orphan in FIN-WAIT-2",
        "RFC 9293 3.10.5",
        "Where Linux keeps little of a connection, to destroy it from outside is to forget it: no reset "
        "goes.",
        "tcp_abort",
        _is_abort_of_orphan,
        Then.GONE,
    ),
    Deviation(
        "ABORT before the FIN could go",
        "RFC 9293 3.10.4, 3.10.5",
        "With text that waits for the peer's window the RFC stays in CLOSE-WAIT, or in FIN-WAIT-1, until "
        "the FIN goes, and ABORT sends a reset there. Linux is in LAST-ACK or CLOSING by then, and looks at "
        "the text.",
        "tcp_disconnect",
        _is_abort_before_fin,
        Then.GONE,
    ),
    Deviation(
        "CLOSE with text unread in LAST-ACK or CLOSING",
        "RFC 9293 3.10.4",
        "A connection that is closed with text unread is reset (RFC 1122 section 4.2.2.13). Linux does so "
        "even where the peer has said all, and knows that it was acknowledged.",
        "__tcp_close",
        _is_close_with_unread,
        Then.GONE,
    ),
    Deviation(
        "ABORT in TIME-WAIT",
        "RFC 9293 3.10.5",
        "The RFC deletes the connection. In Linux TIME-WAIT no longer belongs to the socket, which can only "
        "be closed.",
        "tcp_close, tcp_time_wait",
        _is_abort_in_time_wait,
    ),
    Deviation(
        "a reset with the number of the peer's FIN",
        "RFC 9293 3.10.7.4 second, 1)",
        "A reset outside the window is dropped (RFC 5961 section 3.2). Linux makes one exception, for peers "
        "that do not count their own FIN when they reset afterwards. It gives an attacker a second number "
        "that hits.",
        "tcp_reset_check",
        _is_reset_at_the_fin,
        Then.GONE,
    ),
    Deviation(
        "text that begins before the peer's FIN and ends behind it",
        "RFC 9293 3.10.7.4 seventh",
        "The RFC ignores text after a FIN. Linux looks at segments that begin before RCV.NXT as it does in "
        "FIN-WAIT-1: the FIN has shut down its receiving side, so that there is text nobody can read, and "
        "the connection is reset.",
        "tcp_rcv_state_process",
        _is_text_over_the_fin,
        Then.GONE,
    ),
    Deviation(
        "the reset for text after CLOSE has the numbers of the text",
        "RFC 9293 3.6.1",
        "What nobody is left to read is answered by a reset. That of Linux is made from the segment, as for "
        "a connection that does not exist, and has neither ACK nor timestamps.",
        "tcp_rcv_state_process, tcp_v4_send_reset",
        _is_text_after_close,
        Then.GONE,
    ),
    Deviation(
        "a reset anywhere in the window ends an orphan in FIN-WAIT-2",
        "RFC 5961 3.2",
        "Of a connection in FIN-WAIT-2 that its user has closed Linux keeps as little as of one in "
        "TIME-WAIT, and not the check for the exact number: any reset in the window ends it, and there is "
        "no challenge ACK.",
        "tcp_timewait_state_process",
        _kills_orphan,
        Then.GONE,
    ),
    Deviation(
        "a FIN past a gap after CLOSE",
        "RFC 9293 3.10.7.4 eighth",
        "Text after CLOSE is answered by a reset. In front of a FIN past a gap there must be some, and "
        "Linux does not wait for it; the RFC acknowledges the FIN and does.",
        "tcp_rcv_state_process",
        _is_fin_past_gap_after_close,
        Then.GONE,
    ),
    Deviation(
        "a FIN over the FIN",
        "RFC 9293 3.10.7.4 eighth",
        "A FIN that begins before the peer's first and ends behind it, with an octet of text in its place, "
        "is taken for the next number: Linux acknowledges it, and RCV.NXT moves behind the end of the "
        "peer's text. In the RFC nothing comes after a FIN.",
        "tcp_data_queue, tcp_fin",
        _is_second_fin,
    ),
    Deviation(
        "blocks on the way to TIME-WAIT",
        "RFC 2018 4",
        "The peer's last FIN is acknowledged before the blocks of what has come past a gap are forgotten, "
        "be they acknowledged with it, or text that the peer has sent behind its FIN.",
        "tcp_fin",
        _has_stale_blocks,
        Then.GOES_ON,
    ),
    Deviation(
        "a SYN in the window ends an orphan in FIN-WAIT-2",
        "RFC 5961 4.2",
        "Where Linux keeps little of a connection, in FIN-WAIT-2 after CLOSE, it does as RFC 793 had it: a "
        "SYN in the window is an error and resets the connection. RFC 5961 has a challenge ACK, for anybody "
        "can send a SYN.",
        "tcp_timewait_state_process",
        _syn_kills_orphan,
        Then.GONE,
    ),
    Deviation(
        "a reset outside the window of an orphan in FIN-WAIT-2 is acknowledged",
        "RFC 9293 3.10.7.4 second, 1)",
        "Where Linux keeps little of a connection it acknowledges whatever is outside the window, resets "
        "too. The RFC drops those.",
        "tcp_timewait_state_process",
        _is_reset_beside_orphan,
        Then.GOES_ON,
    ),
    Deviation(
        "a wrong acknowledgment for an orphan in FIN-WAIT-2",
        "RFC 9293 3.10.7.4 fifth",
        "Where Linux keeps little of a connection it does not look at acknowledgments: all that was sent "
        "has been acknowledged. The RFC answers one of what was never sent.",
        "tcp_timewait_state_process",
        _is_ack_that_an_orphan_ignores,
        Then.GOES_ON,
    ),
    Deviation(
        "text with a wrong acknowledgment, or a FIN past a gap, for an orphan in FIN-WAIT-2",
        "RFC 9293 3.10.7.4 fifth, eighth",
        "Where Linux keeps little of a connection it can keep no text, and does not look at acknowledgments: "
        "whatever is not the FIN that is next is answered by a reset, and ends the connection.",
        "tcp_timewait_state_process",
        _is_late_for_orphan,
        Then.GONE,
    ),
    Deviation(
        "a FIN with a wrong acknowledgment, or an old SYN, for an orphan in FIN-WAIT-2",
        "RFC 9293 3.10.7.4 fourth, fifth",
        "Where Linux keeps little of a connection it looks neither at acknowledgments nor at a SYN before "
        "the window, and takes the FIN. The RFC drops a segment with either.",
        "tcp_timewait_state_process",
        _is_fin_with_wrong_ack_for_orphan,
    ),
    Deviation(
        "the window in TIME-WAIT is what is left of it in 16 bits",
        "RFC 9293 3.8.6.2.2",
        "Without window scale the window is larger than 16 bits can say, and where Linux keeps little of a "
        "connection it sends the lower 16 bits instead of the most that they can say: the window seems to "
        "shrink.",
        "tcp_v4_timewait_ack, tcp_v6_timewait_ack",
        _is_window_modulo,
        Then.GOES_ON,
    ),
    Deviation(
        "SYN and FIN together in TIME-WAIT",
        "RFC 9293 3.10.7.4 fourth",
        "Linux lets the SYN end TIME-WAIT, as if it opened the connection anew, and then drops it for its "
        "FIN. A segment that cannot open a connection should not end one.",
        "tcp_timewait_state_process, tcp_rcv_state_process",
        _is_syn_with_fin,
        Then.GONE,
    ),
    Deviation(
        "a newer SYN in TIME-WAIT with a signature",
        "RFC 6191 2",
        "The SYN ends TIME-WAIT, and only then the listener looks for a signature, and drops it; or finds "
        "that its options cannot be searched for one.",
        "tcp_timewait_state_process, tcp_inbound_hash",
        _is_refused_syn,
        Then.GONE,
    ),
    Deviation(
        "a SYN half the circle ahead in TIME-WAIT",
        "RFC 6191 2",
        "Whether it is newer or older nobody can tell. Linux takes it for newer.",
        "tcp_timewait_state_process, before",
        _is_half_the_circle_ahead,
    ),
    Deviation(
        "no mark is echoed in TIME-WAIT",
        "RFC 3168 6.1.3",
        "Where Linux keeps little of a connection it does not keep what it has to echo. The RFC echoes a "
        "mark until the peer says that it has reduced its window.",
        "tcp_v4_timewait_ack",
        _has_no_echo,
        Then.GOES_ON,
    ),
    Deviation(
        "a newer SYN in TIME-WAIT where nobody listens",
        "RFC 6191 2",
        "Where nobody could take the new connection, Linux acknowledges the SYN like any other, as RFC 9293 "
        "section 3.10.7.4 has it for all that does not reopen the connection.",
        "tcp_v4_rcv, tcp_timewait_state_process",
        _is_new_syn_for_nobody,
        Then.GOES_ON,
    ),
)
