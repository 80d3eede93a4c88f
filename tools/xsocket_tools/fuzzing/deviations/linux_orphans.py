"""What Linux 6.18 does otherwise with orphans in FIN-WAIT-2: it keeps little of what was closed."""

from __future__ import annotations

from typing import Final

from xsocket.segment import ACK, FIN, RST, SYN
from xsocket.state import State
from xsocket_tools.fuzzing.case import Call
from xsocket_tools.fuzzing.deviations.mechanism import Deviation, Moment
from xsocket_tools.fuzzing.deviations.telling import (
    came_of,
    has,
    is_about,
    is_gone,
    is_there,
    lacks,
    place,
    says_nothing,
    says_one_ack,
    says_reset_for_it,
    was_in,
)
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.shadow import ahead, length_of
from xsocket_tools.fuzzing.oracle.then import Then


def _is_orphan(moment: Moment) -> bool:
    """Whether the connection is in FIN-WAIT-2 and its user has let go of it."""
    shadow = moment.shadow
    return shadow is not None and was_in(moment, State.FIN_WAIT_2) and shadow.user_gone


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


def _is_late_for_orphan(moment: Moment) -> bool:
    wrong_ack = is_about(moment, rules.ACK_UNSENT, rules.ACK_TOO_OLD, rules.INVALID_RATE)
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


ORPHANS: Final = (
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
        "a reset anywhere in the window ends an orphan in FIN-WAIT-2",
        "RFC 5961 3.2",
        "Of a connection in FIN-WAIT-2 that its user has closed Linux keeps as little as of one in "
        "TIME-WAIT, and not the check for the exact number: any reset in the window ends it, and there is "
        "no challenge ACK.",
        "tcp_timewait_state_process",
        _kills_orphan,
        Then.GONE,
        finding="orphans-in-fin-wait-2",
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
        finding="orphans-in-fin-wait-2",
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
        "Where Linux keeps little of a connection it can keep no text, and does not look at "
        "acknowledgments: whatever is not the FIN that is next is answered by a reset, and ends the "
        "connection.",
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
)
