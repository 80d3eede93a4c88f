"""Which segments are in the window: table 6 of RFC 9293 section 3.10.7.4, and how Linux departs from it."""

from __future__ import annotations

from typing import Final

from xsocket.segment import FIN, Segment
from xsocket.state import State
from xsocket_tools.fuzzing.oracle.habits import Habit
from xsocket_tools.fuzzing.oracle.shadow import (
    DEFAULT_MSS,
    LEAST_MSS,
    LINK_MSS,
    MASK,
    STAMP_OCTETS,
    Shadow,
    ahead,
    length_of,
)

MOST_IN_FIELD: Final = 65_535
LEAST_OFFERED: Final = {4: 256, 6: 1220}
COOKIE_MSS: Final = {4: (536, 1300, 1440, 1460), 6: (1220, 1420, 1440, 8940)}
"""What a SYN cookie of Linux can say of the peer's MSS (``msstab``)."""


def is_acceptable(shadow: Shadow, segment: Segment) -> bool:
    """Whether a segment is in the window, as far as `Habit.EDGES_COUNT` has it.

    Source: ``tcp_in_window`` for what Linux keeps little of, ``tcp_sequence`` for sockets.
    """
    if Habit.EDGES_COUNT not in shadow.habits or shadow.state is State.TIME_WAIT:
        return shadow.acceptable(segment)
    seq, length = segment.seq, length_of(segment)
    to_edge, end = ahead(seq, shadow.rcv_adv), (seq + length) & MASK
    early = is_request(shadow)
    if early:  # tcp_synack_window
        to_edge = min(to_edge, ahead(seq, (shadow.rcv_nxt + MOST_IN_FIELD) & MASK))
    if shadow.is_small or early:
        inside = ahead(shadow.rcv_nxt, end) > 0 and to_edge > 0
        return inside or seq == shadow.rcv_nxt or (to_edge == 0 and length == 0)
    if to_edge < 0 or ahead(shadow.last_ack_sent, end) < 0:
        return False
    end = (end - bool(segment.flags & FIN)) & MASK
    return ahead(end, shadow.rcv_adv) >= 0 or not (shadow.text or shadow.fin_waits)


def is_request(shadow: Shadow) -> bool:
    """Whether the third segment has not come."""
    early = shadow.state is State.SYN_RECEIVED or (shadow.fast and shadow.snd_una == shadow.iss)
    return early and shadow.passive


def offered_mss(shadow: Shadow) -> int:
    """Return what Linux offers as its MSS: ``ipv4_default_advmss``, ``ip6_default_advmss``."""
    most = LINK_MSS[shadow.version]
    if Habit.MSS_BY_PATH in shadow.habits:
        return min(most, max(LEAST_OFFERED[shadow.version], shadow.path_mss))
    return most


def mss_in_use(shadow: Shadow) -> int:
    """Return the MSS by which Linux cuts text now: ``tcp_sync_mss``, ``tcp_bound_to_half_wnd``."""
    most = DEFAULT_MSS[shadow.version] if shadow.state is State.SYN_SENT else min(shadow.mss, shadow.path_mss)
    stamps = STAMP_OCTETS if shadow.ts else 0
    half = shadow.max_wnd >> 1 if shadow.max_wnd > DEFAULT_MSS[4] else shadow.max_wnd
    return min(most, max(half, LEAST_MSS - stamps) + stamps) if half else most


def acceptable_seq(shadow: Shadow) -> int:
    """Return the number of what is sent without text: SND.NXT; ``tcp_acceptable_seq`` for a shrunk window."""
    edge = (shadow.snd_una + shadow.snd_wnd) & MASK
    behind = ahead(edge, shadow.snd_nxt)
    if Habit.SHRUNK_WINDOW not in shadow.habits or behind <= 0 or is_request(shadow) or shadow.is_small:
        return shadow.snd_nxt
    return shadow.snd_nxt if shadow.scaled and behind < 1 << shadow.own_shift else edge


def cookie_mss(shadow: Shadow) -> int:
    """Return the MSS that a SYN cookie of Linux stands for, where the peer's SYN had another."""
    table = COOKIE_MSS[shadow.version]
    return max((each for each in table if each <= shadow.mss), default=table[0])


def first_window(shadow: Shadow, said: int) -> int:
    """Return how large the first window is that the target offers, where its SYN or SYN+ACK says *said*.

    Source: ``tcp_select_initial_window``, and ``tcp_win_from_space`` for the half.
    """
    if Habit.LARGE_WINDOW not in shadow.habits or said < MOST_IN_FIELD:
        return said
    space = shadow.config.rmem // 2
    mss = offered_mss(shadow)
    if shadow.from_cookie:
        mss = cookie_mss(shadow)
    elif (shadow.passive and shadow.ts) or shadow.took_over:
        mss -= STAMP_OCTETS
    return max(said, space - space % mss)
