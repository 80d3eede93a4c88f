"""ICMP errors judged: RFC 9293 section 3.9.2.2 and RFC 5927, and path MTU discovery (RFC 1191, RFC 8201).

Anybody can send an ICMP error; only who sees the connection knows a number that is in flight. One that
quotes another number changes nothing.
"""

from typing import Final

from xsocket.actions import Action, Dropped
from xsocket.patherror import PathError
from xsocket.reasons import DropReason
from xsocket.seqnum import in_window
from xsocket.state import State, Trigger
from xsocket.tcp import output
from xsocket.tcp.handshake import MIN_MSS
from xsocket.tcp.tcb import Tcb
from xsocket.tcp.transition import delete, move

HEADERS: Final = {4: 40, 6: 60}
"""Octets of the IP and the TCP header without options, by IP version."""
MIN_V6_MTU: Final = 1280
"""RFC 8200 section 5; a smaller one is ignored (RFC 8201 section 4)."""

_OPENING: Final = frozenset({State.SYN_SENT, State.SYN_RECEIVED})


def receive_error(tcb: Tcb, now: float, error: PathError) -> list[Action]:
    """Judge an ICMP error; see `xsocket.tcp.arrival.receive_segment` for what is returned."""
    if not in_window(error.seq, tcb.snd_una, tcb.flight):
        return [_ignored(tcb, DropReason.ICMP_NOT_IN_FLIGHT)]
    if tcb.signer is not None and tcb.state not in _OPENING and tcb.signer.distrusts(error):
        return [_ignored(tcb, DropReason.ICMP_UNAUTHENTICATED)]
    if error.mtu is not None:
        return _path_is_narrower(tcb, now, error.mtu)
    if tcb.state in _OPENING and (error.hard or tcb.config.soft_errors_abort):
        out: list[Action] = []
        move(tcb, Trigger.PATH_ERROR, out)
        delete(tcb, error.error, out)
        return out
    tcb.soft_error = error.error
    return [_ignored(tcb, DropReason.ICMP_NOTED)]


def fit_path(tcb: Tcb, mtu: int) -> bool:
    """Let no segment be larger than *mtu* octets with its headers; return whether that makes them smaller."""
    tcb.path_mss = min(tcb.path_mss, mtu - HEADERS[tcb.four_tuple.family])
    fitting = max(MIN_MSS, tcb.path_mss - output.option_octets(tcb))
    if fitting >= tcb.snd_mss:
        return False
    tcb.snd_mss = fitting
    if tcb.congestion is not None:
        tcb.congestion.fit(fitting)
    if tcb.retransmission is not None:
        tcb.retransmission.split(fitting)
    return True


def _path_is_narrower(tcb: Tcb, now: float, mtu: int) -> list[Action]:
    """RFC 1191 section 3, RFC 8201 section 4: what was too big goes again at once, in smaller segments."""
    if tcb.four_tuple.family == 6 and mtu < MIN_V6_MTU:
        return [_ignored(tcb, DropReason.ICMP_MTU_TOO_SMALL)]
    if not fit_path(tcb, max(mtu, tcb.config.min_pmtu)):
        return [_ignored(tcb, DropReason.ICMP_MTU_NOT_SMALLER)]
    out: list[Action] = []
    output.transmit(tcb, now, out, "RFC 8201 4" if tcb.four_tuple.family == 6 else "RFC 1191 3")
    return out


def _ignored(tcb: Tcb, reason: DropReason) -> Dropped:
    return Dropped(tcb.four_tuple, None, reason)
