"""What a campaign has seen: which event met which state, and what answered it."""

from __future__ import annotations

from itertools import product
from typing import Final, NamedTuple

from xsocket.segment import ACK, FIN, RST, SYN, Segment
from xsocket.state import State
from xsocket_tools.fuzzing.oracle.shadow import SYNCHRONIZED, Shadow, ahead

KINDS: Final = ("SYN", "SYN+ACK", "ACK", "text", "FIN+ACK", "RST", "RST+ACK", "SYN+FIN", "other")
SEQUENCES: Final = ("next", "old", "in window", "beyond")
ACKNOWLEDGMENTS: Final = ("good", "old", "future")
_WITH_ACK: Final = frozenset({"SYN+ACK", "ACK", "text", "FIN+ACK", "RST+ACK"})
CALLS: Final = ("send", "receive", "shutdown", "close", "abort")


class Triple(NamedTuple):
    """One thing that a campaign has seen.

    Attributes:
        state: Where the connection stood.
        event: What happened to it.
        reply: What answered, as flags; a dash for nothing.
    """

    state: str
    event: str
    reply: str


def state_name(shadow: Shadow) -> str:
    """Return where a connection stands: LISTEN or CLOSED where there is none."""
    if shadow.state is not None:
        return shadow.state.value
    return "LISTEN" if shadow.who.served else "CLOSED"


def event_name(shadow: Shadow, segment: Segment | None) -> str:
    """Return what sort of segment arrives, before it does."""
    if segment is None:
        return "damaged frame"
    kind = _kind(segment)
    if shadow.state is None:
        return kind
    parts = [kind]
    if shadow.state is not State.SYN_SENT:
        parts.append(f"seq {_sequence(shadow, segment)}")
    if kind in _WITH_ACK:
        parts.append(f"ack {_acknowledgment(shadow, segment)}")
    return ", ".join(parts)


def _kind(segment: Segment) -> str:
    flags = segment.flags & (SYN | FIN | RST | ACK)
    if flags == ACK and segment.payload:
        return "text"
    return _KIND_OF.get(flags, "other")


_KIND_OF: Final = {
    SYN: "SYN",
    SYN | ACK: "SYN+ACK",
    ACK: "ACK",
    FIN | ACK: "FIN+ACK",
    RST: "RST",
    RST | ACK: "RST+ACK",
    SYN | FIN: "SYN+FIN",
}


def _sequence(shadow: Shadow, segment: Segment) -> str:
    place = ahead(shadow.rcv_nxt, segment.seq)
    if place <= 0:
        return "old" if place else "next"
    return "in window" if place < shadow.rcv_wnd else "beyond"


def _acknowledgment(shadow: Shadow, segment: Segment) -> str:
    place = ahead(shadow.snd_nxt, segment.acknowledgment)
    if place > 0:
        return "future"
    return "good" if ahead(shadow.snd_una, segment.acknowledgment) >= 0 and place == 0 else "old"


def reachable() -> frozenset[tuple[str, str]]:
    """Return every pair of a state and an event that can be brought about."""
    pairs = {(state, kind) for state in ("CLOSED", "LISTEN") for kind in KINDS}
    for kind in KINDS:
        acks = ACKNOWLEDGMENTS if kind in _WITH_ACK else ("",)
        for ack in acks:
            ending = f", ack {ack}" if ack else ""
            pairs.add(("SYN-SENT", kind + ending))
            pairs |= {
                (state.value, f"{kind}, seq {sequence}{ending}")
                for state, sequence in product((*SYNCHRONIZED, State.SYN_RECEIVED), SEQUENCES)
            }
    pairs |= {(state.value, f"call {name}") for state, name in product(_IN_HAND, CALLS)}
    pairs |= {(state.value, "time") for state in (*SYNCHRONIZED, State.SYN_RECEIVED, State.SYN_SENT)}
    return frozenset(pairs)


_IN_HAND: Final = (*SYNCHRONIZED, State.SYN_SENT, State.SYN_RECEIVED)
