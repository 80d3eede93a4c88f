"""What Linux 6.18 does otherwise while a connection is being closed."""

from __future__ import annotations

from typing import Final

from xsocket.segment import FIN, RST
from xsocket.state import State
from xsocket_tools.fuzzing.deviations.mechanism import Deviation, Moment
from xsocket_tools.fuzzing.deviations.telling import (
    came_of,
    has,
    is_about,
    is_gone,
    place,
    says_nothing,
    says_reset_for_it,
    wanted,
    was_in,
)
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.expectation import Want
from xsocket_tools.fuzzing.oracle.shadow import MASK, ahead, length_of
from xsocket_tools.fuzzing.oracle.then import Then

_AFTER_PEERS_FIN: Final = (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK)


def _is_reset_at_the_fin(moment: Moment) -> bool:
    if not has(moment, RST) or moment.segment is None or not says_nothing(moment) or not is_gone(moment):
        return False
    outside = is_about(moment, rules.STATE) and came_of(moment, rules.RST_OUTSIDE, rules.INVALID_RATE)
    challenged = is_about(moment, rules.RST_IN_WINDOW) and wanted(moment, Want.CHALLENGE)
    return was_in(moment, *_AFTER_PEERS_FIN) and place(moment) == -1 and (outside or challenged)


def _is_text_over_the_fin(moment: Moment) -> bool:
    late = is_about(moment, rules.TEXT_AFTER_FIN, rules.STATE) and came_of(moment, rules.TEXT_AFTER_FIN)
    text = moment.segment is not None and moment.segment.payload and late
    before = was_in(moment, *_AFTER_PEERS_FIN) and bool(text) and place(moment) < 0
    return before and says_reset_for_it(moment) and is_gone(moment)


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


ENDING: Final = (
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
)
