"""Tail loss probes: RFC 8985 section 7.

When the end of what was sent is lost, or the acknowledgment of it, nothing comes after it that could tell.
So a segment goes after two round trips, long before the retransmission timeout: new text, or else the last
segment again. What comes back for it shows what was lost. `Tcb.start_retransmission` says when.
"""

from typing import Final

from xsocket.actions import Action
from xsocket.segment import Segment
from xsocket.seqnum import precedes
from xsocket.tcp import output
from xsocket.tcp.options import Parsed
from xsocket.tcp.tcb import Tcb

RULE: Final = "RFC 8985 7.3"


def send(tcb: Tcb, now: float, out: list[Action]) -> None:
    """Send a probe (section 7.3); the retransmission timer comes next."""
    queue = tcb.retransmission
    last = queue.last() if queue is not None else None
    assert last is not None, "a probe is due while something is in flight"
    new = output.largest_allowed(tcb)
    if new:
        output.send_new(tcb, now, new, out, rule=RULE)
    else:
        output.resend(tcb, now, last, out, RULE)
    tcb.probed_to, tcb.probe_is_old, tcb.measured_since_probe = tcb.snd_nxt, not new, False
    tcb.start_retransmission(now)


def repaired_a_loss(tcb: Tcb, segment: Segment, options: Parsed, *, is_new: bool) -> bool:
    """Whether an acknowledgment shows that a probe made up for a loss, which then counts (section 7.4.2).

    Only text that was sent again can have. When its first copy came through as well, the peer reports a
    duplicate or, without such reports, repeats itself. If neither comes before more is acknowledged, that
    copy was lost.

    Args:
        tcb: The connection.
        segment: The acknowledgment.
        options: Its own.
        is_new: Whether it acknowledges something new.
    """
    to, ack = tcb.probed_to, segment.acknowledgment
    if to is None or precedes(ack, to):
        return False
    came_twice = bool(options.sack) and options.sack[0][1] == to
    if tcb.probe_is_old and ack == to and is_new and not came_twice:
        return False  # it may still come
    tcb.probed_to = None
    return tcb.probe_is_old and ack != to and not came_twice
