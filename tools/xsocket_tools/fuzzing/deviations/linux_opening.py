"""What Linux 6.18 does otherwise before a connection is established."""

from __future__ import annotations

from typing import Final

from xsocket.segment import ACK, FIN, SYN
from xsocket.state import State
from xsocket_tools.fuzzing.case import Icmp
from xsocket_tools.fuzzing.deviations.mechanism import Deviation, Moment
from xsocket_tools.fuzzing.deviations.telling import (
    acks_all,
    came_of,
    has,
    has_answered_of_late,
    is_about,
    is_gone,
    is_there,
    lacks,
    says_nothing,
    says_one_ack,
    says_reset_for_it,
    wanted,
    was_in,
)
from xsocket_tools.fuzzing.options import read
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.expectation import Want
from xsocket_tools.fuzzing.oracle.shadow import MASK, ahead, length_of
from xsocket_tools.fuzzing.oracle.then import Then

_HALF_OPEN: Final = State.SYN_RECEIVED


def _is_another_syn(moment: Moment) -> bool:
    return is_about(moment, rules.SYN_INSTEAD) and says_reset_for_it(moment) and is_gone(moment)


def _has_wrong_ack(moment: Moment) -> bool:
    """Whether a half-open connection gets an acknowledgment of anything but its SYN+ACK."""
    segment, shadow = moment.segment, moment.shadow
    if segment is None or shadow is None or not segment.flags & ACK or not was_in(moment, _HALF_OPEN):
        return False
    return shadow.is_half_open and segment.acknowledgment != shadow.snd_nxt


def _is_reset_for_wrong_ack(moment: Moment) -> bool:
    other = is_about(moment, rules.UNACCEPTABLE, rules.OLD_TIMESTAMP, rules.INVALID_RATE)
    return other and _has_wrong_ack(moment) and says_reset_for_it(moment) and is_there(moment)


def _is_syn_with_wrong_ack(moment: Moment) -> bool:
    lives = moment.after is _HALF_OPEN and has(moment, SYN | ACK)
    return is_about(moment, rules.SYN_INSTEAD) and says_reset_for_it(moment) and lives


def _is_syn_on_fast_one(moment: Moment) -> bool:
    segment, shadow = moment.segment, moment.shadow
    if segment is None or shadow is None or not shadow.fast or shadow.snd_una != shadow.iss:
        return False
    again = segment.seq == shadow.irs and len(moment.sent) == 1 and moment.sent[0].seq == shadow.iss
    repeated = again and moment.sent[0].flags & (SYN | ACK) == SYN | ACK
    challenged = is_about(moment, rules.SYN_SYNCHRONIZED) and has(moment, SYN) and is_there(moment)
    return challenged and (repeated or says_reset_for_it(moment))


def _is_old_ack_on_fast_one(moment: Moment) -> bool:
    segment, shadow = moment.segment, moment.shadow
    if segment is None or shadow is None or not shadow.fast or not has(moment, ACK) or lacks(moment, ACK):
        return False
    old = shadow.snd_una == shadow.iss == segment.acknowledgment and not was_in(moment, _HALF_OPEN)
    if is_about(moment, rules.SENT_ACK):  # what came with it is dropped
        ack = len(moment.sent) == 1 and moment.sent[0].acknowledgment == shadow.rcv_was
        return old and ack and moment.after is moment.before
    return old and says_one_ack(moment) and is_there(moment)


def _is_simultaneous_syn_ack(moment: Moment) -> bool:
    if not is_about(moment, rules.SIMULTANEOUS) or not wanted(moment, Want.SILENCE):
        return False
    bare = [each for each in moment.sent if not each.payload and not each.flags & FIN]
    return len(bare) == 1 and is_there(moment) and acks_all(bare[0], moment.shadow)


def _is_old_syn_ack_at_simultaneous(moment: Moment) -> bool:
    """Whether the SYN+ACK that establishes a simultaneous open is not taken, for its timestamp is old."""
    segment, shadow = moment.segment, moment.shadow
    if segment is None or shadow is None or not shadow.ts or not came_of(moment, rules.SIMULTANEOUS):
        return False
    stamp = read(segment.options).ts
    old = stamp is not None and ahead(shadow.ts_recent, stamp[0]) < 0
    stays = was_in(moment, _HALF_OPEN) and moment.after is _HALF_OPEN
    return old and stays and has(moment, SYN | ACK) and says_one_ack(moment)


def _is_syn_again_at_simultaneous(moment: Moment) -> bool:
    active = moment.shadow is not None and not moment.shadow.passive and was_in(moment, _HALF_OPEN)
    again = is_about(moment, rules.SYN_AGAIN) and has(moment, SYN) and lacks(moment, ACK)
    challenged = says_one_ack(moment) or (says_nothing(moment) and has_answered_of_late(moment))
    return active and again and challenged and is_there(moment)


def _is_syn_without_text(moment: Moment) -> bool:
    """Whether a SYN with text, or with a request for a cookie, goes again at once, and without either."""
    shadow = moment.shadow
    if shadow is None or not shadow.asked_fast or not is_about(moment, rules.ICMP_MTU):
        return False
    if len(moment.sent) != 1 or not was_in(moment, State.SYN_SENT) or not is_there(moment):
        return False
    sent = moment.sent[0]
    return sent.flags & (SYN | ACK) == SYN and sent.seq == shadow.iss and not sent.payload


def _has_text_later(moment: Moment) -> bool:
    """Whether the text of our SYN, which the peer has not acknowledged, does not go again at once."""
    shadow = moment.shadow
    if shadow is None or shadow.passive or not shadow.asked_fast or not was_in(moment, _HALF_OPEN):
        return False
    due = is_about(moment, rules.ACK_OF_SYN, rules.SIMULTANEOUS) and wanted(moment, Want.TEXT)
    quiet = all(acks_all(each, shadow) and not each.payload for each in moment.sent)
    return due and quiet and is_there(moment)


def _is_ack_of_nothing(moment: Moment) -> bool:
    segment, shadow = moment.segment, moment.shadow
    if segment is None or shadow is None or shadow.passive or not has(moment, ACK):
        return False
    refused = came_of(moment, rules.WRONG_ACK_SYN_RECEIVED) and was_in(moment, _HALF_OPEN)
    moved = moment.after not in (None, _HALF_OPEN)
    return refused and segment.acknowledgment == shadow.iss and moved


def _is_cookie_without_room(moment: Moment) -> bool:
    due = is_about(moment, rules.POOL_FULL) and wanted(moment, Want.RESET) and was_in(moment, None)
    return (
        due
        and says_nothing(moment)
        and is_gone(moment)
        and moment.shadow is not None
        and bool(moment.shadow.cookies)
    )


def _is_refused_by_full_queue(moment: Moment) -> bool:
    due = came_of(moment, rules.POOL_FULL) and wanted(moment, Want.OWN_RESET) and was_in(moment, _HALF_OPEN)
    return due and says_reset_for_it(moment) and is_gone(moment)


def _is_syn_ack_with_text(moment: Moment) -> bool:
    """Whether a SYN+ACK with the peer's own number, and more behind it, gets an ACK in SYN-RECEIVED."""
    segment = moment.segment
    if (
        segment is None
        or not has(moment, SYN | ACK)
        or length_of(segment) < 2
        or not was_in(moment, _HALF_OPEN)
    ):
        return False
    due = came_of(moment, rules.SYN_INSTEAD, rules.SIMULTANEOUS) and moment.after is _HALF_OPEN
    if not due or len(moment.sent) != 1:
        return False
    sent = moment.sent[0]
    return sent.acknowledgment == (segment.seq + 1) & MASK and sent.flags == ACK and not sent.payload


def _is_old_syn_for_taken_over(moment: Moment) -> bool:
    shadow = moment.shadow
    if shadow is None or not shadow.took_over or not is_about(moment, rules.SYN_SYN_SENT):
        return False
    return has(moment, SYN) and lacks(moment, ACK) and says_nothing(moment) and moment.after is State.SYN_SENT


def _is_unknown_error(moment: Moment) -> bool:
    icmp, shadow = moment.operation, moment.shadow
    if not isinstance(icmp, Icmp) or icmp.kind != "source quench" or shadow is None or shadow.version == 4:
        return False
    opening = shadow.state in (State.SYN_SENT, _HALF_OPEN) and is_about(moment, rules.STATE)
    return opening and not shadow.is_half_open and is_gone(moment) and says_nothing(moment)


OPENING: Final = (
    Deviation(
        "an error of ICMPv6 that nobody knows",
        "RFC 5927 6.1, RFC 4443 2.4",
        "An error of an unknown type is passed on, as it should be, and ends an attempt to open a "
        "connection like any other. No RFC says that it is a hard one.",
        "icmpv6_err_convert, tcp_v6_err",
        _is_unknown_error,
        Then.GONE,
    ),
    Deviation(
        "another SYN where the third segment was due",
        "RFC 9293 3.10.7.4 fourth",
        "The RFC returns a passive open to LISTEN and says nothing, so that the peer's next SYN finds it "
        "there. Linux sends a reset as well. The peer's SYN is repeated either way.",
        "tcp_check_req",
        _is_another_syn,
        Then.GOES_ON,
    ),
    Deviation(
        "a wrong acknowledgment, and something else wrong, in SYN-RECEIVED",
        "RFC 9293 3.10.7.4 first",
        "Linux looks at the acknowledgment before anything else and answers a wrong one with a reset, as "
        "section 3.5.2 has it for every state before ESTABLISHED. The order of section 3.10.7.4 has the "
        "sequence number first.",
        "tcp_check_req",
        _is_reset_for_wrong_ack,
        Then.GOES_ON,
    ),
    Deviation(
        "another SYN with a wrong acknowledgment in SYN-RECEIVED",
        "RFC 9293 3.10.7.4 fourth",
        "As Linux looks at the acknowledgment first, it resets the SYN+ACK and keeps the half-open "
        "connection, where the RFC returns to LISTEN.",
        "tcp_check_req",
        _is_syn_with_wrong_ack,
        Then.LOST,
    ),
    Deviation(
        "a SYN on a connection that Fast Open has established",
        "RFC 5961 4.2",
        "Before the third segment Linux treats it as half-open, even if its user has closed it: the same "
        "SYN has the SYN+ACK repeated, another is answered by a reset. Neither ends the connection, so that "
        "no spoofed SYN can. The RFC has a challenge ACK.",
        "tcp_check_req",
        _is_syn_on_fast_one,
        Then.GOES_ON,
    ),
    Deviation(
        "an acknowledgment of nothing on a connection that Fast Open has established, after CLOSE",
        "RFC 9293 3.10.7.4 fifth",
        "What Fast Open has established begins with an acknowledged SYN in Linux, whether it is or not: an "
        "acknowledgment of nothing is older than that, and challenged. To the RFC it says nothing new.",
        "tcp_fastopen_create_child, tcp_ack",
        _is_old_ack_on_fast_one,
    ),
    Deviation(
        "the SYN+ACK of a simultaneous open is acknowledged",
        "RFC 9293 3.5 figure 7",
        "It establishes the connection, and then its SYN lies outside the window: Linux acknowledges it, "
        "with a block that says that the SYN came twice (RFC 2883). In figure 7 nothing more is sent.",
        "tcp_validate_incoming, tcp_data_queue",
        _is_simultaneous_syn_ack,
        Then.GOES_ON,
    ),
    Deviation(
        "an old timestamp at the SYN+ACK of a simultaneous open",
        "RFC 9293 3.5 figure 7",
        "RFC 7323 looks at the timestamps of synchronized connections, of which SYN-RECEIVED is none: the "
        "SYN+ACK establishes the connection. Linux has a socket by then, and looks: it acknowledges the "
        "segment, and drops it.",
        "tcp_validate_incoming",
        _is_old_syn_ack_at_simultaneous,
    ),
    Deviation(
        "a SYN that comes again in a simultaneous open",
        "RFC 9293 3.8.1",
        "Its SYN+ACK may have been lost, so it should go again. Linux has a socket by then, for which the "
        "SYN lies outside the window, and sends a challenge ACK, or nothing at the limit of these. The "
        "SYN+ACK goes again by its timer.",
        "tcp_validate_incoming",
        _is_syn_again_at_simultaneous,
        Then.GOES_ON,
    ),
    Deviation(
        "the SYN of a Fast Open on a path that has become narrow",
        "RFC 1191 3",
        "To be told of a narrower path makes later segments smaller. Linux takes the SYN with its text for "
        "lost, and sends it again at once, without text.",
        "tcp_simple_retransmit",
        _is_syn_without_text,
    ),
    Deviation(
        "the text of a Fast Open after a simultaneous open",
        "RFC 7413 4.2.2",
        "What the peer has not acknowledged of a SYN goes again at once. Linux sees to that where a SYN+ACK "
        "comes, not where SYNs have crossed: there it waits for the timer.",
        "tcp_rcv_fastopen_synack, tcp_rcv_state_process",
        _has_text_later,
    ),
    Deviation(
        "an acknowledgment of nothing establishes a simultaneous open",
        "RFC 9293 3.10.7.4 fifth",
        "In SYN-RECEIVED the RFC wants SND.UNA < SEG.ACK, and a reset for anything else. After a "
        "simultaneous open SND.UNA of Linux is still the number of its SYN, and an acknowledgment of just "
        "that, which acknowledges nothing, is not too old: the connection is established, though its SYN "
        "may have been lost.",
        "tcp_rcv_state_process, tcp_ack",
        _is_ack_of_nothing,
        finding="simultaneous-open-without-acknowledgment",
    ),
    Deviation(
        "the reset of a full queue has the numbers of the third segment",
        "RFC 9293 3.10.5",
        "Where tcp_abort_on_overflow is set, a third segment that finds the queue full is answered by a "
        "reset as for a connection that does not exist, made from the segment, and not by one of the "
        "connection's own.",
        "tcp_check_req",
        _is_refused_by_full_queue,
        Then.GONE,
    ),
    Deviation(
        "a cookie comes back where the queue is full",
        "tcp_abort_on_overflow",
        "The sysctl has Linux reset who finds the queue full. It does so for half-open connections; an ACK "
        "that brings a cookie is dropped in any case.",
        "cookie_v4_check, tcp_get_cookie_sock",
        _is_cookie_without_room,
        Then.GOES_ON,
    ),
    Deviation(
        "a SYN+ACK with text in SYN-RECEIVED",
        "RFC 9293 3.10.7.4 first, fourth",
        "Linux strips the SYN of a SYN+ACK that has the number of the peer's SYN, and finds a third "
        "segment: it makes a socket, which then answers the SYN with a challenge ACK and stays in "
        "SYN-RECEIVED, where its user can accept it. A passive open of the RFC goes back to LISTEN, a "
        "simultaneous one is established.",
        "tcp_check_req, tcp_validate_incoming",
        _is_syn_ack_with_text,
        Then.LOST,
        finding="syn-ack-with-text",
    ),
    Deviation(
        "a SYN with an old timestamp where a connection in TIME-WAIT was taken over",
        "RFC 7323 5.3 R1",
        "Linux remembers the timestamp of the connection before and drops a SYN whose own is older. To the "
        "RFC they are two connections.",
        "tcp_rcv_synsent_state_process, tcp_twsk_unique",
        _is_old_syn_for_taken_over,
    ),
)
