"""The ladder of one connection as plain rows: both ends, relative numbers, states, rules, timers, drops.

`ladder_view` draws it. Here is no rich and no terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from xsocket.errors import HostUnreachableError, NetworkUnreachableError
from xsocket.fourtuple import FourTuple
from xsocket.patherror import PathError
from xsocket.segment import ACK, CE, ECT_0, ECT_1, LETTERS, NOT_ECT, Segment
from xsocket.seqnum import add, distance
from xsocket.state import State
from xsocket.tcp import options as tcp_options
from xsocket.trace import Event, EventKind
from xsocket_tools.inference import Inference
from xsocket_tools.steps import Step, cite, steps

NAMES = {"S": "SYN", "F": "FIN", "R": "RST", "P": "PSH", "U": "URG", "E": "ECE", "W": "CWR", "A": "AE"}
_ERRORS = {
    ConnectionRefusedError: "nobody serves that port",
    HostUnreachableError: "the host cannot be reached",
    NetworkUnreachableError: "the network cannot be reached",
    PermissionError: "that is prohibited",
    OSError: "the packet did not get through",
}
CODEPOINTS = {NOT_ECT: "", ECT_1: "ECT(1)", ECT_0: "ECT(0)", CE: "CE"}


class States(NamedTuple):
    """One end before and after a row; None where nothing is known, or there is no connection to speak of."""

    before: State | None
    after: State | None

    @property
    def changed(self) -> bool:
        """Whether the end moved."""
        return self.before is not self.after


UNKNOWN = States(None, None)


class Arrow(NamedTuple):
    """A segment.

    Attributes:
        at_s: Seconds since the first segment.
        to_engine: Whether the peer sent it.
        flags: Such as ``SYN+ACK``.
        seq: SEG.SEQ, relative to the sender's SYN unless absolute numbers were asked for.
        ack: SEG.ACK, relative to the receiver's SYN; None without the ACK bit.
        length: Octets of text.
        window: As it stands in the header, not scaled.
        options: Each in words, padding left out.
        peer: The other end's states.
        engine: Our states.
        rule: What made us send it, such as ``RFC 9293 3.10.7.2 third``.
        lost: Whether it never reached the other end; only ever known from the peer's own trace.
        ecn: The codepoint in the IP header, where the trace was kept, such as ``ECT(0)``; empty for Not-ECT.
        details: What else there is to say, a line each.
    """

    at_s: float
    to_engine: bool
    flags: str
    seq: int
    ack: int | None
    length: int
    window: int
    options: tuple[str, ...]
    peer: States
    engine: States
    rule: str | None = None
    lost: bool = False
    ecn: str = ""
    details: tuple[str, ...] = ()


class Note(NamedTuple):
    """Something that happened in the engine without a segment of its own.

    Attributes:
        at_s: Seconds since the first segment; negative before it.
        kind: TIMER, DROPPED, POOL, or MOVED for a call that sent nothing.
        text: What, in words.
        engine: Our states.
        peer: The other end's, where it happened there, too.
        details: What else there is to say, a line each.
    """

    at_s: float
    kind: EventKind
    text: str
    engine: States = UNKNOWN
    peer: States = UNKNOWN
    details: tuple[str, ...] = ()


Row = Arrow | Note


class Ladder(NamedTuple):
    """One connection from its first event to its last.

    Attributes:
        four_tuple: As the engine names it.
        rows: In the order in which the engine did it.
        inferred: Whether the peer's states are inferred from the segments (`xsocket_tools.inference`).
        engine_inferred: Whether ours are, too: all there is is a capture.
    """

    four_tuple: FourTuple
    rows: list[Row]
    inferred: bool
    engine_inferred: bool = False


def ladder(
    events: Iterable[Event],
    four_tuple: FourTuple,
    peer_events: Iterable[Event] | None = None,
    *,
    absolute: bool = False,
) -> Ladder:
    """Return the ladder of one connection.

    Args:
        events: An engine's trace, or part of it.
        four_tuple: Which connection, as that engine names it.
        peer_events: The trace of the engine at the other end, where there is one: its states are then what
            it recorded, and segments that were lost are shown.
        absolute: Sequence numbers as they were on the wire.
    """
    own = steps(event for event in events if event.four_tuple == four_tuple)
    numbering = Numbering(absolute=absolute)
    if peer_events is None:
        return Ladder(four_tuple, _rows(own, numbering, Guess()), inferred=True)
    witness = Witness(steps(event for event in peer_events if event.four_tuple == four_tuple.reversed))
    witness.match(own)
    return Ladder(four_tuple, _rows(witness.with_lost(own), numbering, witness), inferred=False)


class Peer(Protocol):
    """Knows the other end's states."""

    def states(self, step: Step) -> States:
        """Return them around a segment, which are asked for in order."""
        ...

    def has_lost(self, step: Step) -> bool:
        """Whether the segment never arrived."""
        ...


class Guess:
    """A peer without a trace."""

    def __init__(self) -> None:
        self._inference = Inference()

    def states(self, step: Step) -> States:
        """Infer them from the segments so far."""
        assert step.event.segment is not None
        received = step.event.kind is EventKind.RECEIVED
        take = self._inference.sent if received else self._inference.received
        return States(*take(step.event.segment))

    def has_lost(self, step: Step) -> bool:
        """Nobody can tell."""
        del step
        return False


class Witness:
    """A peer that kept a trace, whose steps are matched with ours: what one sent, the other received."""

    def __init__(self, peer_steps: list[Step]) -> None:
        self._unmatched = [step for step in peer_steps if step.is_arrow]
        self._counterparts: dict[int, Step] = {}
        self._lost: dict[int, Step] = {}
        self._state: State | None = None

    def match(self, own: list[Step]) -> None:
        """Find for each of our segments the peer's record of the same."""
        for step in own:
            if step.is_arrow:
                found = next((other for other in self._unmatched if _are_ends(step, other)), None)
                if found is not None:
                    self._unmatched.remove(found)
                    self._counterparts[id(step)] = found
                elif step.event.kind is EventKind.SENT:
                    self._lost[id(step)] = step

    def with_lost(self, own: list[Step]) -> list[Step]:
        """Return our steps, and among them by time what the peer sent and we never received."""
        merged = list(own)
        for step in self._unmatched:
            if step.event.kind is EventKind.SENT:
                later = (at for at, other in enumerate(merged) if other.event.at_ns > step.event.at_ns)
                arrival = Step(step.event._replace(kind=EventKind.RECEIVED, rule=None))
                merged.insert(next(later, len(merged)), arrival)
                self._counterparts[id(arrival)] = step
                self._lost[id(arrival)] = arrival
        return merged

    def states(self, step: Step) -> States:
        """Return what the peer recorded."""
        found = self._counterparts.get(id(step))
        if found is None:
            return States(self._state, self._state)
        self._state = found.after
        return States(found.before, found.after)

    def has_lost(self, step: Step) -> bool:
        """Whether the other end has no record of it."""
        return id(step) in self._lost


def _are_ends(own: Step, other: Step) -> bool:
    """Whether two records are of one segment: sent by one and received by the other."""
    ours, theirs = own.event.segment, other.event.segment
    if own.event.kind is other.event.kind or ours is None or theirs is None:
        return False
    return ours._replace(ecn=NOT_ECT) == theirs._replace(ecn=NOT_ECT)  # the network may have marked it


def _rows(own: list[Step], numbering: Numbering, peer: Peer) -> list[Row]:
    first = next((step.event.at_ns for step in own if step.is_arrow), own[0].event.at_ns if own else 0)
    rows: list[Row] = []
    for step in own:
        at_s = (step.event.at_ns - first) / 1e9
        rows.append(_arrow(at_s, step, numbering, peer) if step.is_arrow else _note(at_s, step, numbering))
        for drop in step.drops:
            rows.append(Note((drop.at_ns - first) / 1e9, EventKind.DROPPED, _drop_text(drop)))
    return rows


def _arrow(at_s: float, step: Step, numbering: Numbering, peer: Peer) -> Arrow:
    segment = step.event.segment
    assert segment is not None
    to_engine = step.event.kind is EventKind.RECEIVED
    numbering.learn(segment, to_engine=to_engine)
    rule = step.event.rule
    return Arrow(
        at_s=at_s,
        to_engine=to_engine,
        flags=flag_names(segment),
        seq=numbering.seq(segment.seq, to_engine=to_engine),
        ack=None if segment.ack is None else numbering.seq(segment.ack, to_engine=not to_engine),
        length=len(segment.payload),
        window=segment.window,
        options=options_in_words(segment, numbering, to_engine=to_engine),
        peer=peer.states(step),
        engine=States(step.before, step.after),
        rule=None if rule is None else cite(rule),
        lost=peer.has_lost(step),
        ecn=CODEPOINTS[segment.ecn],
    )


def _note(at_s: float, step: Step, numbering: Numbering) -> Note:
    event = step.event
    if event.timer is not None:
        text = f"{event.timer.value} timer ran out"
    elif event.reason is not None:
        text = _drop_text(event)
    elif event.pool_event is not None:
        text = f"pool: {event.pool_event.replace('_', ' ')}"
    elif event.path_error is not None:
        seq = numbering.seq(event.path_error.seq, to_engine=False)
        text = f"{error_in_words(event.path_error)}, about seq {seq}"
    else:
        text = ""
    parts = [
        text,
        *(f"{move.trigger.value} ({cite(move.rule)})" for move in step.moves if move.trigger and move.rule),
    ]
    return Note(at_s, event.kind, ", ".join(filter(None, parts)), States(step.before, step.after))


def error_in_words(error: PathError) -> str:
    """Return what an ICMP error says."""
    if error.mtu is not None:
        return f"ICMP: too big, the next hop takes {error.mtu} octets"
    return f"ICMP: {_ERRORS[error.error]}"


def _drop_text(event: Event) -> str:
    assert event.reason is not None
    return f"dropped, {event.reason.name}: {event.reason.value}"


def endpoint(address: str, port: int) -> str:
    """Return one end of a connection as people write it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def flag_names(segment: Segment) -> str:
    """Return the flags in words, such as ``SYN+ACK``."""
    names = [NAMES[letter] for bit, letter in LETTERS if segment.flags & bit]
    return "+".join([*names, "ACK"] if segment.flags & ACK else names) or "no flags"


class Numbering:
    """Sequence numbers relative to the SYN of their direction, which is 0.

    A direction whose SYN was not seen starts at 1. A SYN that opens the 4-tuple anew starts both again.
    """

    def __init__(self, *, absolute: bool) -> None:
        self._absolute = absolute
        self._starts: dict[bool, int] = {}

    @property
    def has_begun(self) -> bool:
        """Whether it knows where both directions start."""
        return len(self._starts) == 2

    def learn(self, segment: Segment, *, to_engine: bool) -> None:
        """Take the start of a direction from *segment*, where it is still needed."""
        if segment.syn and self._starts.get(to_engine) != segment.seq:
            if segment.ack is None and to_engine in self._starts:
                self._starts.clear()
            self._starts[to_engine] = segment.seq
        self._starts.setdefault(to_engine, add(segment.seq, -1))
        if segment.ack is not None:
            self._starts.setdefault(not to_engine, add(segment.ack, -1))

    def seq(self, number: int, *, to_engine: bool) -> int:
        """Return *number*, which counts octets of that direction, as it is shown."""
        return number if self._absolute else distance(self._starts[to_engine], number)


def options_in_words(segment: Segment, numbering: Numbering, *, to_engine: bool) -> tuple[str, ...]:
    """Return each option in words, padding left out; sequence numbers as *numbering* shows them."""
    words = (_option(option, numbering, to_engine) for option in tcp_options.decode(segment.options))
    return tuple(filter(None, words))


def _option(option: tcp_options.Option, numbering: Numbering, to_engine: bool) -> str:
    """Return *option* in words, nothing for padding."""
    match option:
        case tcp_options.MaximumSegmentSize(value):
            return f"mss {value}"
        case tcp_options.WindowScale(shift):
            return f"wscale {shift}"
        case tcp_options.SackPermitted():
            return "sackOK"
        case tcp_options.Timestamps(value, echo):
            return f"TS val {value} ecr {echo}"
        case tcp_options.Sack(blocks):
            return "sack " + " ".join(
                ":".join(str(numbering.seq(edge, to_engine=not to_engine)) for edge in block)
                for block in blocks
            )
        case tcp_options.Md5Signature():
            return "md5"
        case tcp_options.UserTimeout(value, minutes):
            return f"user timeout {value} {'min' if minutes else 's'}"
        case tcp_options.Authentication(key_id, rnext_key_id):
            return f"ao key {key_id} rnext {rnext_key_id}"
        case tcp_options.FastOpen(cookie, experimental):
            return f"fast open{' (exp)' if experimental else ''} {cookie.hex() or 'request'}"
        case tcp_options.AccEcn(order, counters):
            names = ("e0b", "ceb", "e1b")[:: -1 if order else 1]
            return " ".join(
                ["AccECN", *(f"{name} {count}" for name, count in zip(names, counters, strict=False))]
            )
        case tcp_options.Unknown(kind, data):
            return f"option {kind} of {len(data)} octets"
        case tcp_options.Malformed(raw):
            return f"malformed {raw.hex()}"
        case _:
            return ""
