"""`Story`: what happened between two ends, step by step, as plain values. Pages and terminals show it.

`telling` makes it of a trace or a capture. Everything in it comes from there.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.state import State


class Source(Enum):
    """How an end's state is known."""

    RECORDED = "recorded"
    """The end itself kept a trace."""
    ASKED = "asked"
    """Asked of the kernel after each segment, by sock_diag."""
    TRACED = "traced"
    """Told by the kernel at a tracepoint."""
    INFERRED = "inferred"
    """From the segments, by the transition table: a guess, and marked as one."""


class End(NamedTuple):
    """One of the two.

    Attributes:
        name: Such as ``client``.
        what: Such as ``engine`` or ``Linux``.
        source: How its states are known.
    """

    name: str
    what: str
    source: Source


class Variable(NamedTuple):
    """One variable of a TCB.

    Attributes:
        name: In the RFC's spelling, such as ``SND.NXT``.
        value: As people read it; a sequence number counts from its end's SYN, which is 0.
        absolute: The number as it is on the wire; empty where *value* is no sequence number.
        changed: Whether this step changed it.
        source: How it is known, where not as its end's state is.
    """

    name: str
    value: str
    absolute: str = ""
    changed: bool = False
    source: Source | None = None


class View(NamedTuple):
    """One end of the connection after a step.

    Attributes:
        state: Where it stands; None where nothing is known, or there is no connection yet.
        before: Where it stood before the step.
        variables: What its TCB holds; empty without one.
        between: Where it went through on the way from the one to the other, as far as that is known.
    """

    state: State | None = None
    before: State | None = None
    variables: tuple[Variable, ...] = ()
    between: tuple[State, ...] = ()

    @property
    def moved(self) -> bool:
        """Whether the step moved it."""
        return self.state is not self.before

    def at_rest(self) -> View:
        """Return it as it stands after a step in which nothing happened to it."""
        return View(self.state, self.state, tuple(each._replace(changed=False) for each in self.variables))


class Packet(NamedTuple):
    """A segment in words.

    Attributes:
        flags: Such as ``SYN+ACK``.
        seq, ack: Counted from each end's SYN, which is 0; *ack* is None without the ACK bit.
        absolute_seq, absolute_ack: As they are on the wire.
        absolute_options: The options, with the numbers in them as they are on the wire.
        length: Octets of text.
        window: As it stands in the header, not scaled.
        options: Each in words, padding left out.
        ecn: The codepoint in the IP header; empty for Not-ECT.
    """

    flags: str
    seq: int
    ack: int | None
    absolute_seq: int
    absolute_ack: int | None
    length: int
    window: int
    options: tuple[str, ...]
    absolute_options: tuple[str, ...]
    ecn: str = ""

    def __str__(self) -> str:
        numbers = f"{self.flags} seq {self.seq}" + ("" if self.ack is None else f" ack {self.ack}")
        return numbers + (f" len {self.length}" if self.length else "")

    @property
    def on_the_wire(self) -> Packet:
        """The same with absolute numbers in the place of those that are counted from each end's SYN."""
        return self._replace(seq=self.absolute_seq, ack=self.absolute_ack, options=self.absolute_options)


class Because(NamedTuple):
    """A rule, and what it did here.

    Attributes:
        end: At which end: 0 for the left one, 1 for the right one.
        key: The place in the RFC, such as ``RFC 9293 3.10.7.2 third``.
        did: What came of it, such as ``sent SYN+ACK`` or ``ESTABLISHED by ACK of our SYN``.
        title: What the rule is about.
        sentence: What it asks, in one sentence.
        url: Where the RFC Editor has it; empty for a rule outside the RFCs.
    """

    end: int
    key: str
    did: str
    title: str = ""
    sentence: str = ""
    url: str = ""


class Tables(NamedTuple):
    """What an end holds besides the one connection, after a step.

    Attributes:
        half_open: Connections that a SYN made and no third segment has completed.
        pool: Those that are complete, and that nobody has claimed.
        claimed: How many have been claimed so far.
        waiting_claims: How many claims wait for a connection; None where nobody keeps count of them.
        owners: Connections that belong to a worker, each with its name. Where each worker has a
            queue they do from the SYN on, else from when it takes them; until it ends.
    """

    half_open: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()
    claimed: int = 0
    waiting_claims: int | None = None
    owners: tuple[tuple[str, str], ...] = ()


class Kind(Enum):
    """What a step is."""

    CARRIED = "carried"
    """A segment is sent while none is under way, and arrives before anything else happens."""
    SENT = "sent"
    """A segment is sent; it arrives in a later step."""
    ARRIVED = "arrived"
    """A segment that was sent in an earlier step arrives."""
    LOST = "lost"
    """A segment is sent, and never arrives."""
    FORGED = "forged"
    """A segment arrives that neither end has sent."""
    TIMER = "timer"
    DROPPED = "dropped"
    POOL = "pool"
    ICMP = "icmp"
    """An ICMP error arrives, which quotes a segment of the end."""
    CALL = "call"
    REPEATED = "repeated"
    """What went before happens again, in other connections, and is told in one; see `folding`."""

    @property
    def is_segment(self) -> bool:
        """Whether a segment is sent or arrives."""
        return self in (Kind.CARRIED, Kind.SENT, Kind.ARRIVED, Kind.LOST, Kind.FORGED)


class Step(NamedTuple):
    """One thing that happened.

    Attributes:
        number: Counted from 1.
        kind: What it is.
        title: In one line.
        connection: Which of `Story.connections`; None where none is concerned.
        end: Where it happened: 0 for the left end, 1 for the right one; of a segment, who sent it.
        at_s: When it began, seconds since the first segment.
        until_s: When it ended: the arrival of a segment that was carried; else the same.
        views: Both ends of the connection afterwards.
        packet: The segment.
        changed_on_the_way: What arrived, where the path changed it; None where it arrived as it was sent.
        because: The rules that had their say.
        notes: What else there is to say, such as why a segment was dropped.
        tables: Of both ends; None for one that keeps no trace.
        frame: Of the segment, octets; None where it was not kept.
        timed: Whether a timer had it sent, as the kernel says; with other ends that is a step of its own.
    """

    number: int
    kind: Kind
    title: str
    connection: int | None
    end: int
    at_s: float
    until_s: float
    views: tuple[View, View]
    packet: Packet | None = None
    changed_on_the_way: Packet | None = None
    because: tuple[Because, ...] = ()
    notes: tuple[str, ...] = ()
    tables: tuple[Tables | None, Tables | None] = (None, None)
    frame: bytes | None = None
    timed: bool = False


class Story(NamedTuple):
    """A run from its first step to its last.

    Attributes:
        title: What was run.
        ends: The left one and the right one.
        connections: Both endpoints of each, the left one first, such as ``10.0.0.1:40000 - 10.0.0.2:80``.
        steps: In the order in which they happened.
        notes: What is to be said of the whole, such as how a script failed.
        four_tuples: The connections as values, as the left end names them.
        spoofed: Which connections somebody opened with a false address, where nobody is: the left end has no
            part in them.
    """

    title: str
    ends: tuple[End, End]
    connections: tuple[str, ...]
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    four_tuples: tuple[FourTuple, ...] = ()
    spoofed: tuple[int, ...] = ()

    def _repr_html_(self) -> str:
        """Return it for a notebook; see `xsocket_tools.teaching.report.fragment`."""
        from xsocket_tools.teaching.report import fragment

        return fragment(self)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold."""
        return {
            "title": self.title,
            "ends": [{**end._asdict(), "source": end.source.value} for end in self.ends],
            "connections": list(self.connections),
            "spoofed": list(self.spoofed),
            "notes": list(self.notes),
            "steps": [_step_as_dict(step) for step in self.steps],
        }


def _step_as_dict(step: Step) -> dict[str, Any]:
    plain = step._asdict()
    del plain["frame"]
    plain["kind"] = step.kind.value
    plain["views"] = [_view_as_dict(view) for view in step.views]
    for name in ("packet", "changed_on_the_way"):
        packet = getattr(step, name)
        plain[name] = None if packet is None else packet._asdict()
    plain["because"] = [each._asdict() for each in step.because]
    plain["tables"] = [None if each is None else each._asdict() for each in step.tables]
    return plain


def _view_as_dict(view: View) -> dict[str, Any]:
    return {
        "state": None if view.state is None else view.state.value,
        "before": None if view.before is None else view.before.value,
        "between": [each.value for each in view.between],
        "variables": [_variable_as_dict(each) for each in view.variables],
    }


def _variable_as_dict(variable: Variable) -> dict[str, Any]:
    source = variable.source
    return {**variable._asdict(), "source": None if source is None else source.value}
