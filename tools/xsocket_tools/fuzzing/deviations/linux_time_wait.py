"""What Linux 6.18 does otherwise in TIME-WAIT."""

from __future__ import annotations

from typing import Final

from xsocket.segment import ACK, ECE, FIN, SYN
from xsocket.state import State
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
    was_in,
)
from xsocket_tools.fuzzing.options import read
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.shadow import HALF
from xsocket_tools.fuzzing.oracle.signature import is_refused
from xsocket_tools.fuzzing.oracle.then import Then


def _has_stale_blocks(moment: Moment) -> bool:
    """Whether the ACK of a FIN that fills the last gap still has blocks, all of what it acknowledges."""
    shadow = moment.shadow
    if shadow is None or not is_about(moment, rules.SACK_BLOCKS) or len(moment.sent) != 1:
        return False
    blocks = read(moment.sent[0].options).sack
    filled = (
        was_in(moment, State.FIN_WAIT_1, State.FIN_WAIT_2)
        and moment.after in (State.TIME_WAIT, None)  # where there may be none in TIME-WAIT
        and shadow.state is State.TIME_WAIT
    )
    return filled and bool(blocks) and not shadow.pieces


def _has_stamps_of_nobody(moment: Moment) -> bool:
    shadow = moment.shadow
    if shadow is None or not is_about(moment, rules.TS_UNWANTED) or len(moment.sent) != 1:
        return False
    stamps = read(moment.sent[0].options).ts
    small = moment.after in (State.FIN_WAIT_2, State.TIME_WAIT) and shadow.is_small
    small = small and (shadow.passive or shadow.took_over)
    return small and stamps is not None and stamps[1] != 0 and is_ack_of(moment.sent[0], shadow)


def _has_another_age(moment: Moment) -> bool:
    """Whether a SYN is newer, or older, by a timestamp where none were agreed on."""
    segment, shadow = moment.segment, moment.shadow
    if segment is None or shadow is None or shadow.ts or not shadow.took_over:
        return False
    if not was_in(moment, State.TIME_WAIT) or len(moment.sent) != 1 or read(segment.options).ts is None:
        return False
    anew = moment.after is State.SYN_RECEIVED and moment.sent[0].flags & (SYN | ACK) == SYN | ACK
    kept = is_there(moment) and says_one_ack(moment)
    return (is_about(moment, rules.SYN_SYNCHRONIZED) and anew) or (
        is_about(moment, rules.SYN_REOPENS) and kept
    )


def _is_refused_syn(moment: Moment) -> bool:
    refused = moment.segment is not None and is_refused(moment.segment.options) and has(moment, SYN)
    half = is_about(moment, rules.SYN_SYNCHRONIZED) and moment.shadow is not None and place(moment) == -HALF
    reopens = was_in(moment, State.TIME_WAIT) and (half or is_about(moment, rules.SYN_REOPENS))
    return refused and reopens and says_nothing(moment) and is_gone(moment)


def _is_half_the_circle_ahead(moment: Moment) -> bool:
    shadow = moment.shadow
    if (
        shadow is None
        or not was_in(moment, State.TIME_WAIT)
        or not is_about(moment, rules.SYN_SYNCHRONIZED, rules.INVALID_RATE)
    ):
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
    if shadow is None or shadow.who.served:
        return False
    newer = has(moment, SYN) and is_about(moment, rules.SYN_REOPENS)
    return newer and was_in(moment, State.TIME_WAIT) and says_one_ack(moment) and is_there(moment)


TIME_WAIT: Final = (
    Deviation(
        "timestamps in TIME-WAIT that were not agreed on",
        "RFC 7323 3.2",
        "Linux notes a timestamp of the third segment even where no SYN had one, and remembers that of a "
        "connection in TIME-WAIT which another has taken over. The connection never uses it, but where "
        "Linux keeps little of a connection it sends timestamps as soon as there is one to echo.",
        "tcp_check_req, tcp_v4_timewait_ack",
        _has_stamps_of_nobody,
        Then.GOES_ON,
        finding="timestamps-in-time-wait",
    ),
    Deviation(
        "a SYN in TIME-WAIT, and the timestamp of a connection before",
        "RFC 6191 2",
        "Where a connection in TIME-WAIT was taken over, Linux remembers its timestamp, and that of a SYN "
        "says later whether it is newer, even if the connection in between had none. The RFC goes by the "
        "number then.",
        "tcp_timewait_state_process",
        _has_another_age,
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
