"""Cases that show what Linux does otherwise: one for each deviation that is allowed, by its name."""

from __future__ import annotations

from typing import Final

from xsocket.segment import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG
from xsocket_tools.fuzzing.case import NEXT, Call, Case, Icmp, Operation, Place, Say, rules_of
from xsocket_tools.fuzzing.profiles import BASE

_MSS = ("mss 1460",)
_OLD, _START = Place("old"), Place("start")
_SIGNED = ("raw 1312" + "11" * 16,)


def _case(*operations: Operation, **rules: object) -> Case:
    return Case(operations, rules_of(BASE | rules))


def _behind(octets: int) -> Place:
    return Place("next", octets)


def _established(peer: int, *options: str, window: int = 65_535, flags: int = SYN) -> tuple[Operation, ...]:
    """A peer opens a connection, which is claimed."""
    stamps = ("ts",) if "ts" in options else ()
    syn = Say(peer, flags, options=options, window=window)
    return syn, Say(peer, ACK, options=stamps, window=window), Call(peer, "claim")


def _fast(*then: Operation, window: int = 65_535) -> Case:
    """A connection is opened with the cookie that another has brought."""
    asked = (Say(0, SYN, options=(*_MSS, "tfo")), Say(0, ACK), Call(0, "claim"), Say(0, RST))
    syn = Say(0, SYN, options=(*_MSS, "tfo cookie"), window=window)
    return _case(*asked, syn, *then, fastopen=2, fastopen_qlen=5)


_OPEN = _established(0, *_MSS)
_ORPHAN = (*_OPEN, Call(0, "close"), Say(0, ACK))
_TIME_WAIT = (*_ORPHAN, Say(0, FIN | ACK))
_STAMPS = _established(0, *_MSS, "ts")
_STAMPS_IN_TIME_WAIT = (
    *_STAMPS,
    Call(0, "close"),
    Say(0, ACK, options=("ts",)),
    Say(0, FIN | ACK, options=("ts",)),
)
_MARKS = _established(0, flags=SYN | ECE | CWR)

CASES: Final[dict[str, Case]] = {
    # Opening a connection
    "another SYN where the third segment was due": _case(Say(0, SYN), Say(0, SYN, _behind(9))),
    "a wrong acknowledgment, and something else wrong, in SYN-RECEIVED": _case(
        Say(0, SYN), Say(0, ACK, Place("far"), Place("beyond"))
    ),
    "another SYN with a wrong acknowledgment in SYN-RECEIVED": _case(
        Say(0, SYN), Say(0, SYN | ACK, _behind(9), Place("beyond"))
    ),
    "a SYN on a connection that Fast Open has established": _fast(Say(0, SYN, _behind(9))),
    "an acknowledgment of nothing on a connection that Fast Open has established, after CLOSE": _fast(
        Call(0, "claim"), Call(0, "close"), Say(0, ACK, NEXT, _START)
    ),
    "the SYN+ACK of a simultaneous open is acknowledged": _case(
        Call(4, "open"), Say(4, SYN, options=_MSS), Say(4, SYN | ACK, _START)
    ),
    "an old timestamp at the SYN+ACK of a simultaneous open": _case(
        *(Call(4, "open"), Say(4, SYN, options=(*_MSS, "ts"))),
        Say(4, SYN | ACK, Place("duplicate"), options=(*_MSS, "ts older")),
    ),
    "a SYN that comes again in a simultaneous open": _case(
        Call(4, "open"), Say(4, SYN, options=_MSS), Say(4, SYN, _START)
    ),
    "the SYN of a Fast Open on a path that has become narrow": _case(
        Call(4, "open", 1), Icmp(4, "too big", mtu=1000), fastopen=5
    ),
    "the text of a Fast Open after a simultaneous open": _case(
        Call(4, "open", 10), Say(4, SYN, options=_MSS), Say(4, ACK, NEXT, Place("duplicate", 1)), fastopen=5
    ),
    "an acknowledgment of nothing establishes a simultaneous open": _case(
        Call(4, "open"), Say(4, SYN, options=_MSS), Say(4, ACK, NEXT, _START)
    ),
    "the reset of a full queue has the numbers of the third segment": _case(
        *(Say(0, SYN), Say(1, SYN), Say(0, ACK), Say(2, SYN), Say(1, ACK), Say(2, ACK)),
        **{"pool_capacity": 2, "pool_policy": "refuse", "syn_cookies": "never"},
    ),
    "a cookie comes back where the queue is full": _case(
        *(Say(peer, SYN) for peer in (0, 1, 2)),
        *(Say(peer, ACK) for peer in (0, 1, 2)),
        **{"pool_capacity": 2, "pool_policy": "refuse", "syn_cookies": "always"},
    ),
    "a SYN+ACK with text in SYN-RECEIVED": _case(Say(0, SYN), Say(0, SYN | ACK | PSH, _START, text=10)),
    "an error of ICMPv6 that nobody knows": _case(Call(6, "open"), Icmp(6, "source quench")),
    "a SYN with an old timestamp where a connection in TIME-WAIT was taken over": _case(
        *(Call(4, "open"), Say(4, SYN | ACK, options=(*_MSS, "ts")), Call(4, "close")),
        *(Say(4, ACK, options=("ts",)), Say(4, FIN | ACK, options=("ts",))),
        *(Call(4, "open"), Say(4, SYN, options=(*_MSS, "ts older"))),
    ),
    # Segments, text and numbers
    "blocks that nobody agreed on": _case(
        *(Say(0, SYN), Say(0, SYN, _START), Say(0, ACK | PSH, text=1000, options=("sack 0-1",))),
        Say(0, ACK, _behind(10), text=1),
    ),
    "a mark on a FIN without text": _case(
        Say(3, SYN | ECE | CWR), Say(3, ACK), Say(3, FIN | ACK, Place("right"), ecn=3), ecn=2
    ),
    "one answer more or less at the limit of answers": Case(
        (
            *(Call(6, "open"), Say(6, SYN | ACK), Call(6, "close"), Say(6, FIN | ACK)),
            *(Say(6, SYN, Place("wrapped")), Say(6, ACK, _START)),
        )
    ),
    "a mark on text after the peer's FIN": _case(
        *_MARKS, Say(0, FIN | ACK), Say(0, ACK | PSH, text=10, ecn=3), ecn=2
    ),
    "no MSS in the SYN+ACK of a Fast Open": _case(
        Call(4, "open", 10), Say(4, SYN | ACK), Call(4, "send", 2000), fastopen=1
    ),
    "the window of a SYN begins behind it": _fast(Call(0, "claim"), Call(0, "send", 100), window=50),
    "fragments on a path that is too narrow": _case(
        *_OPEN, Call(0, "send", 100), Icmp(0, "too big", mtu=68), min_pmtu=80
    ),
    "a path too narrow for the least segment": _case(
        *_OPEN, Call(0, "send", 100), Icmp(0, "too big", mtu=68), min_pmtu=68
    ),
    "an old ACK with an old timestamp": _case(
        *_STAMPS,
        Say(0, ACK | PSH, text=10, options=("ts",)),
        Say(0, ACK, _OLD, options=("ts older",)),
    ),
    "a reset right behind the last block": _case(
        *_established(0, *_MSS, "sackok"), Say(0, ACK | PSH, _behind(10), text=10), Say(0, RST, _behind(20))
    ),
    "text with an acknowledgment that is too old": _case(
        *_OPEN, Say(0, ACK | PSH, text=10), Say(0, ACK | PSH, NEXT, Place("below"), text=10)
    ),
    "neither ACK nor RST nor SYN": _case(*_OPEN, Say(0, FIN, Place("far"))),
    "a FIN in front of other text, or of another FIN": _case(
        *_OPEN,
        Say(0, FIN | ACK, _behind(1)),
        Say(0, ACK | PSH, _behind(1), text=1),
        Say(0, ACK | PSH, text=1),
    ),
    "an urgent octet where the FIN is": _case(
        *_established(0, *_MSS, "wscale 7"),
        *(Say(0, ACK | PSH | URG, text=10, urgent=11), Call(0, "receive", 10), Say(0, FIN | ACK)),
        *(Say(0, ACK | URG, urgent=20), Say(0, ACK | PSH, Place("right"), text=5)),
    ),
    "text is lost on its way out": _case(
        *_established(3, "mss 1440"),
        *(Call(6, "open"), Say(6, SYN | ACK, options=("mss 1440",))),
        *(Call(3, "send", 5000), Icmp(3, "too big", mtu=1300), Call(6, "send", 3000)),
    ),
    # Closing
    "a reset with the number of the peer's FIN": _case(*_OPEN, Say(0, FIN | ACK), Say(0, RST, _OLD)),
    "text that begins before the peer's FIN and ends behind it": _case(
        *_OPEN, Say(0, FIN | ACK), Say(0, ACK | PSH, _OLD, text=10)
    ),
    "the reset for text after CLOSE has the numbers of the text": _case(
        *_OPEN, Call(0, "close"), Say(0, ACK | PSH, text=10)
    ),
    "a FIN past a gap after CLOSE": _case(*_OPEN, Call(0, "close"), Say(0, FIN | ACK, _behind(10))),
    "a FIN over the FIN": _case(*_OPEN, Say(0, FIN | ACK), Say(0, FIN | ACK | PSH, _OLD, text=1)),
    # Orphans in FIN-WAIT-2
    "a SYN that begins before the window of an orphan in FIN-WAIT-2": _case(
        *_ORPHAN, Say(0, SYN, _OLD, text=5)
    ),
    "ABORT of an orphan in FIN-WAIT-2": _case(*_ORPHAN, Call(0, "abort")),
    "a reset anywhere in the window ends an orphan in FIN-WAIT-2": _case(
        *_ORPHAN, Say(0, RST, _behind(1000))
    ),
    "a SYN in the window ends an orphan in FIN-WAIT-2": _case(*_ORPHAN, Say(0, SYN, _behind(1000))),
    "a reset outside the window of an orphan in FIN-WAIT-2 is acknowledged": _case(
        *_ORPHAN, Say(0, RST, Place("far"))
    ),
    "a wrong acknowledgment for an orphan in FIN-WAIT-2": _case(*_ORPHAN, Say(0, ACK, NEXT, Place("beyond"))),
    "text with a wrong acknowledgment, or a FIN past a gap, for an orphan in FIN-WAIT-2": _case(
        *_ORPHAN, Say(0, ACK | PSH, NEXT, Place("beyond"), text=10)
    ),
    "a FIN with a wrong acknowledgment, or an old SYN, for an orphan in FIN-WAIT-2": _case(
        *_ORPHAN, Say(0, FIN | ACK, NEXT, Place("beyond"))
    ),
    # TIME-WAIT
    "timestamps in TIME-WAIT that were not agreed on": _case(
        *(Say(0, SYN, options=_MSS), Say(0, ACK, options=("ts",)), Call(0, "claim")),
        *(Call(0, "close"), Say(0, ACK), Say(0, FIN | ACK)),
    ),
    "a SYN in TIME-WAIT, and the timestamp of a connection before": _case(
        *_STAMPS_IN_TIME_WAIT,
        *(Call(0, "open"), Say(0, SYN | ACK, options=_MSS), Call(0, "close")),
        *(Say(0, ACK), Say(0, FIN | ACK), Say(0, SYN, _OLD, options=(*_MSS, "ts far"))),
    ),
    "blocks on the way to TIME-WAIT": _case(
        *_established(0, *_MSS, "sackok"),
        *(Call(0, "shutdown"), Say(0, ACK), Say(0, ACK | PSH, _behind(5), text=5)),
        *(Say(0, ACK | PSH, _behind(15), text=5), Say(0, FIN | ACK | PSH, text=20)),
    ),
    "SYN and FIN together in TIME-WAIT": _case(*_TIME_WAIT, Say(0, SYN | FIN, _behind(9))),
    "a newer SYN in TIME-WAIT with a signature": _case(*_TIME_WAIT, Say(0, SYN, _behind(9), options=_SIGNED)),
    "a SYN half the circle ahead in TIME-WAIT": _case(*_TIME_WAIT, Say(0, SYN, Place("wrapped"))),
    "no mark is echoed in TIME-WAIT": _case(
        *(*_MARKS, Call(0, "shutdown"), Say(0, ACK)),
        *(Say(0, FIN | ACK | PSH, text=10, ecn=3), Say(0, FIN | ACK, _OLD)),
        ecn=2,
    ),
    "a newer SYN in TIME-WAIT where nobody listens": _case(
        *(Call(4, "open"), Say(4, SYN | ACK, options=_MSS), Call(4, "close")),
        *(Say(4, ACK), Say(4, FIN | ACK), Say(4, SYN, _behind(9))),
    ),
    # Calls
    "an urgent octet is no text": _case(
        *_OPEN, Say(0, ACK | PSH | URG, text=10, urgent=10), Call(0, "receive", 10), Call(0, "receive", 10)
    ),
    "small segments fill the send buffer": _case(
        *_established(0, "mss 48", window=100), *(Call(0, "send", 8000) for _ in range(40))
    ),
    "ABORT before the FIN could go": _case(
        *_established(0, *_MSS, window=0),
        *(Call(0, "send", 10), Call(0, "shutdown"), Say(0, FIN | ACK, window=0), Call(0, "abort")),
    ),
    "CLOSE with text unread in LAST-ACK or CLOSING": _case(
        *(*_OPEN, Say(0, ACK | PSH, text=10), Call(0, "shutdown")),
        *(Say(0, FIN | ACK, NEXT, Place("duplicate")), Call(0, "close")),
    ),
    "ABORT in TIME-WAIT": _case(
        *_OPEN, Call(0, "shutdown"), Say(0, ACK), Say(0, FIN | ACK), Call(0, "abort")
    ),
    "a reset in SYN-RECEIVED after an active OPEN": _case(
        Call(4, "open"), Say(4, SYN, options=_MSS), Say(4, RST), Call(4, "receive", 10)
    ),
    "CLOSE before the text of OPEN could go": _case(
        Call(4, "open", 100), Say(4, SYN, options=_MSS), Call(4, "close"), Say(4, ACK)
    ),
    "errors of routers by other names": _case(
        Call(4, "open"), Icmp(4, "parameter problem"), Call(4, "receive", 10)
    ),
    "SEND before the connection is established": _case(Call(4, "open"), Call(4, "send", 10)),
}
