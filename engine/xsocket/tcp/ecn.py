"""Explicit Congestion Notification: what the two ends of a connection agree on (RFC 3168, RFC 9768).

A router that gets busy marks packets instead of dropping them; the receiver tells the sender, and that slows
down as for a loss. How the receiver tells, the handshake settles with three flags: not at all, by RFC 3168
(`xsocket.tcp.classicecn`), or more accurately by RFC 9768 (`xsocket.tcp.accecn`). A TCB has an object of one
of the two when that is agreed on, and None otherwise.
"""

from enum import Enum
from typing import Final

from xsocket.config import TcpConfig
from xsocket.segment import AE, CWR, ECE, NOT_ECT, Segment
from xsocket.tcp.accecn import FLAGS, AccurateEcn
from xsocket.tcp.classicecn import ClassicEcn
from xsocket.tcp.options import AccEcn

Ecn = ClassicEcn | AccurateEcn


class Feedback(Enum):
    """How marks are reported."""

    NONE = "not at all"
    CLASSIC = "RFC 3168"
    ACCURATE = "RFC 9768"


_NONE, _CLASSIC, _ACCURATE = Feedback.NONE, Feedback.CLASSIC, Feedback.ACCURATE
_REQUESTED: Final = (_NONE, _CLASSIC, _NONE, _ACCURATE, _CLASSIC, _NONE)
_ACCEPTED: Final = (_NONE, _CLASSIC, _CLASSIC, _ACCURATE, _ACCURATE, _ACCURATE)
"""By `TcpConfig.ecn`, as in Linux."""

_SYN_FLAGS: Final = {_NONE: 0, _CLASSIC: CWR | ECE, _ACCURATE: FLAGS}
_SYNS_THAT_ASK: Final = {_NONE: 0, _CLASSIC: 1, _ACCURATE: 2}
"""How many SYNs ask before the path is held for one that swallows such: RFC 3168 section 6.1.1.1 (and Linux),
RFC 9768 section 3.1.4.1."""


def syn_flags(rules: TcpConfig, retries: int) -> int:
    """Return what our SYN asks for, when *retries* of the connection went before."""
    requested = _REQUESTED[rules.ecn]
    return 0 if _falls_back(rules, retries) else _SYN_FLAGS[requested]


def _falls_back(rules: TcpConfig, retries: int) -> bool:
    return rules.ecn_fallback and retries >= _SYNS_THAT_ASK[_REQUESTED[rules.ecn]]


def of_syn(rules: TcpConfig, syn: Segment, *, may_send_ect: bool = True) -> Ecn | None:
    """Return what the peer's *syn* leads to, at a server or where two SYNs cross.

    Args:
        rules: Ours.
        syn: Without ACK.
        may_send_ect: Whether every SYN of ours, if there was one, asked for ECN (RFC 3168 section 6.1.1).
    """
    feedback = _granted(rules, syn)
    if feedback is Feedback.CLASSIC:
        return ClassicEcn(sends_ect=may_send_ect)
    if feedback is Feedback.ACCURATE:
        return AccurateEcn(syn.ecn, rules.ecn_option, sends_ect=may_send_ect)
    return None


def _granted(rules: TcpConfig, syn: Segment) -> Feedback:
    """What a peer's SYN asks for, as far as we give it: RFC 9768 table 2 and section 3.1.3."""
    accepted, flags = _ACCEPTED[rules.ecn], syn.flags & FLAGS
    if accepted is Feedback.ACCURATE and flags not in (0, CWR | ECE):
        return Feedback.ACCURATE
    if accepted is Feedback.NONE or flags & (CWR | ECE) != CWR | ECE:
        return Feedback.NONE
    # RFC 3168 section 6.1.1: no SYN is sent as ECN-capable. Like Linux, hold one that comes so for mangled.
    return Feedback.NONE if syn.ecn != NOT_ECT and not flags & AE else Feedback.CLASSIC


def of_syn_ack(rules: TcpConfig, syn_ack: Segment, retries: int, option: AccEcn | None) -> Ecn | None:
    """Return what the *syn_ack* to our SYN leads to: RFC 9768 table 2.

    Args:
        rules: Ours.
        syn_ack: The peer's.
        retries: How often the SYN was sent again.
        option: Of *syn_ack*.
    """
    requested, flags = _REQUESTED[rules.ecn], syn_ack.flags & FLAGS
    if requested is Feedback.CLASSIC:
        flags &= CWR | ECE
    elif requested is Feedback.NONE or flags == FLAGS:  # there are servers that reflect any flags
        return None
    if flags == ECE:
        return ClassicEcn(sends_ect=not _falls_back(rules, retries))
    if requested is Feedback.CLASSIC or not flags:
        return None
    accurate = AccurateEcn(syn_ack.ecn, rules.ecn_option, sends_ect=True)
    accurate.heard_of_syn(syn_ack, option)
    return accurate


def flags_recalled(rules: TcpConfig, ack: Segment, *, is_classic: bool) -> int:
    """Return the flags of the SYN that a cookie was made for: RFC 9768 section 5.1.

    Args:
        rules: Ours.
        ack: Brings the cookie back. A peer that did not agree on accurate feedback has no reason to send more
            than 1 in its flags.
        is_classic: Whether the cookie itself says that RFC 3168 was agreed on.
    """
    if _ACCEPTED[rules.ecn] is Feedback.ACCURATE and ack.flags & (AE | CWR):
        return FLAGS
    return CWR | ECE if is_classic else 0


def mixes(agreed: Ecn | None, rules: TcpConfig, syn: Segment) -> bool:
    """Whether a SYN that comes again asks for the other kind of feedback (RFC 9768 section 3.1.5)."""
    flags = syn.flags & FLAGS
    if agreed is None or not flags or _ACCEPTED[rules.ecn] is not Feedback.ACCURATE:
        return False
    return agreed.accurate is (flags == CWR | ECE)
