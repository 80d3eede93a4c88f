"""Linux's reasons in plain words: why it dropped a segment, and why it sent a reset.

The names are those that its tracepoints print: of include/net/dropreason-core.h and include/net/rstreason.h.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from xsocket.reasons import DropReason
from xsocket.segment import Segment
from xsocket.state import State
from xsocket_tools.rules.citation import cited_by_reason

DROPPED: Final[Mapping[str, str]] = {
    "NO_SOCKET": "no connection and no listener has its addresses and ports",
    "SOCKET_CLOSE": "the socket was being closed",
    "SOCKET_FILTER": "a filter of the socket's owner lets it not in",
    "SOCKET_RCVBUFF": "the receive buffer is full",
    "SOCKET_BACKLOG": "too many segments wait for a socket that is in use",
    "PROTO_MEM": "all of TCP has no more memory to get",
    "NOMEM": "the kernel is out of memory",
    "PKT_TOO_SMALL": "it is shorter than its header",
    "IP_CSUM": "the checksum of its IP header is wrong",
    "IP_INHDR": "its IP header is malformed",
    "IP_RPFILTER": "replies to its source would leave by another interface",
    "IP_LOCAL_SOURCE": "its source is an address of this host",
    "IP_INVALID_SOURCE": "its source is no address a host may have",
    "OTHERHOST": "it is for another station",
    "NETFILTER_DROP": "a rule of the packet filter drops it",
    "XFRM_POLICY": "an IPsec policy asks for other segments",
    "CPU_BACKLOG": "too many packets wait for this processor",
    "QUEUE_PURGE": "it waited in a queue that was emptied",
    "TCP_MINTTL": "its time to live is below what the socket asks for",
    "TCP_CSUM": "its checksum is wrong",
    "TCP_AUTH_HDR": "its signature is malformed, or there are two",
    "TCP_MD5NOTFOUND": "it is not signed, and a key protects the connection",
    "TCP_MD5UNEXPECTED": "it is signed, and no key protects the connection",
    "TCP_MD5FAILURE": "its signature is wrong",
    "TCP_AONOTFOUND": "it is not signed, and a key protects the connection",
    "TCP_AOUNEXPECTED": "it is signed, and no key protects the connection",
    "TCP_AOKEYNOTFOUND": "the key that it names is unknown",
    "TCP_AOFAILURE": "its signature is wrong",
    "TCP_FLAGS": "its flags make no sense in this state",
    "TCP_ABORT_ON_DATA": "it brings text for a connection whose user has gone",
    "TCP_ZEROWINDOW": "the receive window is shut",
    "TCP_OLD_DATA": "all that is in it came before",
    "TCP_OVERWINDOW": "it begins beyond the receive window",
    "TCP_OFOMERGE": "all of it came before, out of order",
    "TCP_OFO_DROP": "all of it came before",
    "TCP_OFO_QUEUE_PRUNE": "it came out of order, and its memory was needed",
    "TCP_RFC7323_PAWS": "its timestamp is older than the last",
    "TCP_RFC7323_PAWS_ACK": "its timestamp is older than the last, and it is only an acknowledgment",
    "TCP_RFC7323_TW_PAWS": "its timestamp is older than the last of the connection in TIME-WAIT",
    "TCP_RFC7323_TSECR": "it echoes a timestamp that was never sent",
    "TCP_LISTEN_OVERFLOW": "the listener's queue is full",
    "TCP_OLD_SEQUENCE": "all of it lies before RCV.NXT",
    "TCP_INVALID_SEQUENCE": "it begins beyond the receive window",
    "TCP_INVALID_END_SEQUENCE": "it ends beyond the receive window",
    "TCP_INVALID_ACK_SEQUENCE": "it acknowledges what was never sent",
    "TCP_RESET": "a reset, but not one that is believed",
    "TCP_INVALID_SYN": "a SYN has no place in this state",
    "TCP_CLOSE": "the connection is over",
    "TCP_FASTOPEN": "it is not the third segment for which a Fast Open connection waits",
    "TCP_OLD_ACK": "it acknowledges what was acknowledged before",
    "TCP_TOO_OLD_ACK": "its acknowledgment is older than the largest window",
    "TCP_ACK_UNSENT_DATA": "it acknowledges what was never sent",
}
"""What may become of a TCP segment on its way in, in the half of a sentence."""

_MEANS: Final[Mapping[str, DropReason]] = {
    "PKT_TOO_SMALL": DropReason.TCP_TOO_SHORT,
    "IP_CSUM": DropReason.IP_BAD_CHECKSUM,
    "IP_LOCAL_SOURCE": DropReason.SOURCE_IS_OURS,
    "OTHERHOST": DropReason.NOT_OUR_MAC,
    "TCP_CSUM": DropReason.TCP_BAD_CHECKSUM,
    "TCP_AUTH_HDR": DropReason.SIGNATURE_MALFORMED,
    "TCP_MD5NOTFOUND": DropReason.SIGNATURE_MISSING,
    "TCP_MD5UNEXPECTED": DropReason.SIGNATURE_UNEXPECTED,
    "TCP_MD5FAILURE": DropReason.SIGNATURE_WRONG,
    "TCP_AONOTFOUND": DropReason.SIGNATURE_MISSING,
    "TCP_AOUNEXPECTED": DropReason.SIGNATURE_UNEXPECTED,
    "TCP_AOKEYNOTFOUND": DropReason.SIGNATURE_KEY_UNKNOWN,
    "TCP_AOFAILURE": DropReason.SIGNATURE_WRONG,
    "TCP_ABORT_ON_DATA": DropReason.TEXT_AFTER_CLOSE,
    "TCP_OFO_QUEUE_PRUNE": DropReason.OUT_OF_ORDER_FULL,
    "TCP_RFC7323_PAWS": DropReason.PAWS,
    "TCP_RFC7323_PAWS_ACK": DropReason.PAWS,
    "TCP_LISTEN_OVERFLOW": DropReason.POOL_FULL_IGNORED,
    "TCP_INVALID_SYN": DropReason.SYN_CHALLENGED,
    "TCP_TOO_OLD_ACK": DropReason.ACK_TOO_OLD,
    "TCP_ACK_UNSENT_DATA": DropReason.ACK_UNSENT,
}
_OUTSIDE: Final = (
    "TCP_OLD_SEQUENCE",
    "TCP_INVALID_SEQUENCE",
    "TCP_INVALID_END_SEQUENCE",
    "TCP_OVERWINDOW",
    "TCP_ZEROWINDOW",
)
_HERE: Final[Mapping[DropReason, str]] = {
    DropReason.RST_CHALLENGED: "a reset in the window, but not at RCV.NXT",
    DropReason.RST_WITHOUT_ACK: "a reset that does not acknowledge the SYN",
    DropReason.RST_IN_LISTEN: "a reset where there is nothing to reset",
    DropReason.NEITHER_SYN_NOR_RST: "it has neither SYN nor RST",
    DropReason.SYN_WITH_FIN: "it has both SYN and FIN",
    DropReason.NO_CONTROL_IN_LISTEN: "it has none of SYN, ACK and RST",
    DropReason.MISSING_ACK: "it has no ACK",
}
"""What ``TCP_RESET`` and ``TCP_FLAGS`` mean where they are ours."""
_NONE_YET: Final = (State.LISTEN, State.CLOSED)
_ACK_IN_LISTEN: Final = "3.10.7.2 second"

RESET: Final[Mapping[str, str]] = {
    "NO_SOCKET": "no connection and no listener has those addresses and ports",
    "TCP_INVALID_ACK_SEQUENCE": "what came acknowledges what was never sent",
    "TCP_RFC7323_PAWS": "the timestamp of what came is older than the last",
    "TCP_TOO_OLD_ACK": "the acknowledgment of what came is older than the largest window",
    "TCP_ACK_UNSENT_DATA": "what came acknowledges what was never sent",
    "TCP_FLAGS": "the flags of what came make no sense in this state",
    "TCP_OLD_ACK": "what came acknowledges what was acknowledged before",
    "TCP_ABORT_ON_DATA": "text came for a connection whose user has gone",
    "TCP_TIMEWAIT_SOCKET": "what came has no place in TIME-WAIT",
    "INVALID_SYN": "a SYN came that has no place in this state",
    "TCP_ABORT_ON_CLOSE": "the user closes the connection and has not read all that came",
    "TCP_ABORT_ON_LINGER": "the user closes the connection and waits for nothing",
    "TCP_ABORT_ON_MEMORY": "there is no memory for a connection whose user has gone",
    "TCP_STATE": "the user aborts the connection, and in this state the peer has to be told",
    "TCP_KEEPALIVE_TIMEOUT": "the peer answers no keep-alive",
    "TCP_DISCONNECT_WITH_DATA": "the user aborts the connection, and text has not been sent",
    "ERROR": "something unexpected happened",
}
"""Why the kernel sends a reset, in the half of a sentence."""

_RESET_BY: Final[Mapping[str, str]] = {
    "NO_SOCKET": "3.10.7.1",
    "TCP_TOO_OLD_ACK": "3.10.7.4 fifth",
    "TCP_ACK_UNSENT_DATA": "3.10.7.4 fifth",
    "TCP_OLD_ACK": "3.10.7.4 fifth",
    "TCP_ABORT_ON_DATA": "3.6.1",
    "INVALID_SYN": "3.10.7.4 fourth",
    "TCP_ABORT_ON_CLOSE": "3.6.1",
    "TCP_ABORT_ON_LINGER": "3.10.5",
    "TCP_STATE": "3.10.5",
    "TCP_DISCONNECT_WITH_DATA": "3.10.5",
    "TCP_KEEPALIVE_TIMEOUT": "3.8.4",
}


class Why(NamedTuple):
    """A reason of the kernel's.

    Attributes:
        sentence: What it means, the half of a sentence; empty where we know only the name.
        rule: What cites it: sections as the engine writes them; empty where no RFC says so.
    """

    sentence: str
    rule: str


def why_dropped(name: str, segment: Segment, before: State | None) -> Why:
    """Return what a drop reason means.

    Args:
        name: As the kernel prints it.
        segment: What was dropped.
        before: Where the connection stood; CLOSED or LISTEN where there was none.
    """
    sentence, ours = DROPPED.get(name, ""), meaning(name, segment, before)
    if ours is not None:
        rule = ", ".join(each.key for each in cited_by_reason(ours))
        return Why(_HERE.get(ours, sentence), rule)
    if name == "TCP_FLAGS" and before in _NONE_YET:
        return Why("a listener has sent nothing that it could acknowledge", _ACK_IN_LISTEN)
    return Why(sentence, "3.10.7.1" if name == "NO_SOCKET" else "")


def meaning(name: str, segment: Segment, before: State | None) -> DropReason | None:
    """Return the reason of ours that means the same as a drop reason of the kernel's; None where none does.

    See `why_dropped` for the arguments.
    """
    if name in _OUTSIDE:
        return DropReason.RST_OUTSIDE_WINDOW if segment.rst else DropReason.OUTSIDE_WINDOW
    if before is State.SYN_SENT:
        found = _in_syn_sent(name)
    elif before in _NONE_YET:
        found = _in_listen(name, segment)
    else:
        found = {"TCP_RESET": DropReason.RST_CHALLENGED, "TCP_FLAGS": DropReason.MISSING_ACK}.get(name)
    return found or _MEANS.get(name)


def _in_syn_sent(name: str) -> DropReason | None:
    return {
        "TCP_INVALID_ACK_SEQUENCE": DropReason.ACK_NOT_OURS,
        "TCP_RESET": DropReason.RST_WITHOUT_ACK,
        "TCP_FLAGS": DropReason.NEITHER_SYN_NOR_RST,
    }.get(name)


def _in_listen(name: str, segment: Segment) -> DropReason | None:
    """Return a reason of a listener's, or of where there is none."""
    if name == "NO_SOCKET" and segment.rst:
        return DropReason.RST_FOR_NOBODY
    if name == "TCP_RESET":
        return DropReason.RST_IN_LISTEN
    if name != "TCP_FLAGS" or segment.ack is not None:
        return None
    return DropReason.SYN_WITH_FIN if segment.syn else DropReason.NO_CONTROL_IN_LISTEN


def why_reset(name: str, before: State | None, *, of_ack: bool = False) -> Why:
    """Return what the reason of a reset means.

    Args:
        name: As the kernel prints it.
        before: Where the connection stood; CLOSED or LISTEN where there was none.
        of_ack: Whether it answers a segment with ACK, and has its number from that (RFC 9293 section 3.5.2).
    """
    if name == "INVALID_SYN" and of_ack:  # the kernel has one name for all resets of half-open connections
        return Why(
            "a SYN+ACK came that has no place in this state, or the third segment while the queue is full", ""
        )
    rule = _RESET_BY.get(name, "")
    if name == "TCP_FLAGS" and before in _NONE_YET:
        return Why("a listener has sent nothing that could be acknowledged", _ACK_IN_LISTEN)
    if name == "TCP_INVALID_ACK_SEQUENCE":
        rule = "3.10.7.3 first" if before is State.SYN_SENT else "3.10.7.4 fifth"
    return Why(RESET.get(name, ""), rule)
