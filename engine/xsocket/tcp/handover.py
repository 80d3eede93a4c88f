"""A connection goes to another TCP of this host, and perhaps comes back: its peer notices neither.

So no state of RFC 9293 changes at it, but for what the peer did meanwhile.
"""

from math import inf
from typing import NamedTuple

from xsocket.actions import Action, Changed, HandedOver, TakenBack
from xsocket.seqnum import add, distance
from xsocket.state import State, Trigger
from xsocket.tcp import output
from xsocket.tcp.retransmission import RetransmissionQueue
from xsocket.tcp.stream import ReceiveQueue
from xsocket.tcp.tcb import Tcb
from xsocket.tcp.transition import move


class Returned(NamedTuple):
    """What the other TCP says of a connection of which no octet was read or written; see `Tcb`.

    Attributes:
        snd_una, snd_nxt: Its numbers.
        rcv_nxt: A FIN that came is counted.
        finished: Whether one came.
        unread: All text that nobody has read.
        snd_wnd, max_snd_wnd, snd_wl1: The peer's window.
        rcv_wnd: Octets from *rcv_nxt* to the edge that was advertised.
        tsval: A timestamp no older than any it has sent (RFC 7323 section 5.3 drops older ones); None without
            timestamps.
    """

    snd_una: int
    snd_nxt: int
    rcv_nxt: int
    finished: bool
    unread: bytes
    snd_wnd: int
    max_snd_wnd: int
    snd_wl1: int
    rcv_wnd: int
    tsval: int | None


def first_unread(tcb: Tcb) -> int:
    """Return the number of the octet that the user would read next."""
    finished = tcb.state is State.CLOSE_WAIT
    return add(tcb.rcv_nxt, -tcb.unread - finished)


def end_of_text(tcb: Tcb) -> int:
    """Return the number of the octet that the user would write next."""
    return tcb.snd_nxt if tcb.sending is None else tcb.sending.right


def hand_over(tcb: Tcb, now: float) -> list[Action]:
    """Let go of a connection that another TCP carries on; *tcb* shows it as it was.

    An acknowledgment that is owed goes before: nobody else knows of it.
    """
    out: list[Action] = []
    if tcb.ack_due is not None or tcb.ack_at != inf:
        out.append(output.ack(tcb, now, tcb.ack_due or "3.8.6.3"))
    tcb.stop_timer()
    tcb.ack_due, tcb.ack_at = None, inf
    out += (HandedOver(tcb.four_tuple), Changed(tcb.four_tuple))
    return out


def take_back(tcb: Tcb, now: float, returned: Returned) -> list[Action]:
    """Carry on what `hand_over` let go of.

    What the other TCP knew of the path, and text that it held past a gap, is lost: the peer will send that
    again (RFC 2018 section 8 allows it).
    """
    out: list[Action] = [TakenBack(tcb.four_tuple)]
    _take_numbers(tcb, returned)
    if returned.tsval is not None:
        tcb.ts_offset = add(tcb.ts_offset, returned.tsval - tcb.timestamp(now))
    tcb.receiving = ReceiveQueue()
    tcb.receiving.append(first_unread(tcb), returned.unread)
    if returned.finished and tcb.state is State.ESTABLISHED:
        move(tcb, Trigger.FIN, out)  # which the other has acknowledged
    if tcb.sending is not None:
        tcb.sending.acknowledge(tcb.snd_una)
    if tcb.flight:
        tcb.retransmission = RetransmissionQueue()
        tcb.retransmission.append(tcb.snd_una, tcb.snd_nxt)
        tcb.retransmission.split(tcb.snd_mss)
        tcb.start_retransmission(now)
    else:
        tcb.rest(now)
    output.transmit(tcb, now, out)
    out.append(Changed(tcb.four_tuple))
    return out


def _take_numbers(tcb: Tcb, returned: Returned) -> None:
    tcb.acked += distance(tcb.snd_una, returned.snd_una)
    tcb.snd_una = tcb.snd_wl2 = returned.snd_una
    tcb.snd_nxt = returned.snd_nxt
    tcb.snd_wnd, tcb.max_snd_wnd, tcb.snd_wl1 = returned.snd_wnd, returned.max_snd_wnd, returned.snd_wl1
    tcb.rcv_nxt = tcb.last_ack_sent = returned.rcv_nxt
    tcb.rcv_adv = add(returned.rcv_nxt, returned.rcv_wnd)
    tcb.retries = tcb.unanswered = 0
    tcb.fin_at = tcb.came_twice = tcb.probed_to = tcb.timed = None
    tcb.retransmission = None
