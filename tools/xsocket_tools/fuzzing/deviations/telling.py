"""What a moment shows: the questions that the deviations ask of it."""

from __future__ import annotations

from math import inf

from xsocket.segment import ACK, FIN, RST, SYN, Segment
from xsocket.state import State
from xsocket_tools.fuzzing.deviations.mechanism import Moment
from xsocket_tools.fuzzing.oracle.edges import acceptable_seq
from xsocket_tools.fuzzing.oracle.expectation import Want
from xsocket_tools.fuzzing.oracle.rules import Rule
from xsocket_tools.fuzzing.oracle.shadow import MASK, Shadow, ahead, length_of
from xsocket_tools.fuzzing.oracle.signature import has_no_reset


def is_about(moment: Moment, *rules: Rule) -> bool:
    """Whether the violation is one of these rules."""
    return moment.violation.rule in rules


def came_of(moment: Moment, *rules: Rule) -> bool:
    """Whether the step was judged by one of these rules, whatever is wrong."""
    return moment.expected is not None and moment.expected.rule in rules


def wanted(moment: Moment, *wants: Want) -> bool:
    """Whether one of these answers was due."""
    return moment.expected is not None and moment.expected.want in wants


def has(moment: Moment, flags: int) -> bool:
    """Whether the segment has all of these control bits."""
    return moment.segment is not None and moment.segment.flags & flags == flags


def lacks(moment: Moment, flags: int) -> bool:
    """Whether the segment has none of these control bits."""
    return moment.segment is not None and not moment.segment.flags & flags


def was_in(moment: Moment, *states: State | None) -> bool:
    """Whether the connection stood in one of these states."""
    return moment.before in states


def is_gone(moment: Moment) -> bool:
    """Whether the target has the connection no longer."""
    return moment.after is None


def is_there(moment: Moment) -> bool:
    """Whether the target has the connection where the shadow has it."""
    return moment.shadow is not None and moment.after is moment.shadow.state and moment.after is not None


def says_nothing(moment: Moment) -> bool:
    """Whether nothing was sent."""
    return not moment.sent


def says_reset_for_it(moment: Moment) -> bool:
    """Whether the one answer is the reset of RFC 9293 section 3.5.2, groups 1 and 2, for the segment.

    Or nothing, where Linux could not search the segment for a signature, and sends no reset.
    """
    segment = moment.segment
    version = moment.shadow.version if moment.shadow is not None else 4
    if segment is not None and not moment.sent and has_no_reset(segment.options, version):
        return True  # tcp_v4_send_reset: no reset without a signature, if it should have one
    if segment is None or len(moment.sent) != 1:
        return False
    sent = moment.sent[0]
    if segment.flags & ACK:
        numbers: tuple[int, int | None] = (segment.acknowledgment, None)
    else:
        numbers = (0, (segment.seq + length_of(segment)) & MASK)
    return sent.flags & (RST | SYN | FIN) == RST and (sent.seq, sent.ack) == numbers and not sent.payload


def says_one_ack(moment: Moment) -> bool:
    """Whether the one answer is a bare ACK with the numbers of the connection."""
    return len(moment.sent) == 1 and is_ack_of(moment.sent[0], moment.shadow)


def is_ack_of(sent: Segment, shadow: Shadow | None) -> bool:
    """Whether *sent* is a bare ACK with the numbers of the connection."""
    if shadow is None or sent.payload or sent.flags & (SYN | FIN | RST | ACK) != ACK:
        return False
    return (sent.seq, sent.acknowledgment) == (acceptable_seq(shadow), shadow.rcv_nxt)


def acks_all(sent: Segment, shadow: Shadow | None) -> bool:
    """Whether *sent* acknowledges all that has come, and is no SYN, FIN or reset."""
    if shadow is None or sent.flags & (SYN | FIN | RST | ACK) != ACK:
        return False
    return sent.acknowledgment == shadow.rcv_nxt


def place(moment: Moment) -> int:
    """Return how far behind RCV.NXT, as it was before, the segment begins; negative for before it."""
    assert moment.segment is not None
    assert moment.shadow is not None
    return ahead(moment.shadow.rcv_was, moment.segment.seq)


def has_answered_of_late(moment: Moment) -> bool:
    """Whether it has answered an invalid segment so shortly before that the next may get no answer."""
    shadow = moment.shadow
    return shadow is not None and shadow.config.invalid_ratelimit_s > 0 and shadow.invalid_at != -inf
