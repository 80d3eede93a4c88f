"""Makes a `Story` of what was recorded: by both ends of a simulation, by one engine, or on the wire alone.

Or of what two kernels said when they were asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import count
from typing import Final, NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.segment import AE, CWR, ECE, NOT_ECT, Segment
from xsocket.state import SYNCHRONIZED, State
from xsocket.trace import Event, EventKind
from xsocket_tools.capture import finished
from xsocket_tools.inference import Inference
from xsocket_tools.ladder import CODEPOINTS, Numbering, error_in_words, flag_names, options_in_words
from xsocket_tools.rules.catalogue import catalogue
from xsocket_tools.rules.citation import citations
from xsocket_tools.steps import Step as Recorded
from xsocket_tools.steps import cite, steps
from xsocket_tools.teaching.kernel_reasons import why_dropped, why_reset
from xsocket_tools.teaching.story import (
    Because,
    End,
    Kind,
    Packet,
    Source,
    Step,
    Story,
    Tables,
    Variable,
    View,
)
from xsocket_tools.teaching.tracepoints import Again
from xsocket_tools.teaching.variables import Onlooker, recorded, with_changes

LEFT: Final = 0
RIGHT: Final = 1


def of_simulation(
    events: Iterable[Event], left: str, right: str, *, title: str, did: Iterable[tuple[Event, str]] = ()
) -> Story:
    """Return the story of two hosts of a simulation.

    Args:
        events: The simulation's trace.
        left: The name of the host on the left.
        right: That of the other.
        title: Of the story.
        did: Those events of pools that a worker brought about, each with the worker's name.
    """
    everything = list(events)
    order = {id(event): at for at, event in enumerate(everything)}
    workers = {id(event): worker for event, worker in did}
    moments = [
        _Moment(end, each, order[id(each.event)], worker=workers.get(id(each.event), ""))
        for end, name in enumerate((left, right))
        for each in steps(event for event in everything if event.host == name)
    ]
    moments.sort(key=lambda moment: moment.order)
    ends = (End(left, "engine", Source.RECORDED), End(right, "engine", Source.RECORDED))
    return _Teller(title, ends, moments, virtual=True).story()


def of_trace(
    events: Iterable[Event], *, title: str, engine: End, peer: str = "peer", engine_is_left: bool = False
) -> Story:
    """Return the story that one end tells: what the other one does is inferred.

    Args:
        events: Its trace; of a TCP that was asked, its segments with where it stood before and after each.
        title: Of the story.
        engine: The end that kept it.
        peer: The name of the other one.
        engine_is_left: On which side it is drawn.
    """
    end = LEFT if engine_is_left else RIGHT
    moments = [_Moment(end, each, order) for order, each in enumerate(steps(events))]
    other = End(peer, "", Source.INFERRED)
    return _Teller(title, (engine, other) if engine_is_left else (other, engine), moments).story()


def of_packets(packets: Iterable[tuple[float, FourTuple, Segment]], *, title: str) -> Story:
    """Return the story that a capture tells: what both ends do is inferred.

    Args:
        packets: Instant in seconds, 4-tuple as the sender names it, and the segment, in order. Whoever speaks
            first in a connection is its left end.
        title: Of the story.
    """
    moments, lefts = [], set[FourTuple]()
    for order, (at_s, four_tuple, segment) in enumerate(packets):
        if four_tuple not in lefts and four_tuple.reversed not in lefts:
            lefts.add(four_tuple)
        end = LEFT if four_tuple in lefts else RIGHT
        event = Event(EventKind.SENT, round(at_s * 1e9), four_tuple=four_tuple, segment=segment)
        moments.append(_Moment(end, Recorded(event), order))
    ends = (End("client", "", Source.INFERRED), End("server", "", Source.INFERRED))
    return _Teller(title, ends, moments).story()


def packet_in_words(segment: Segment, numbering: Numbering, *, to_engine: bool) -> Packet:
    """Return a segment in words.

    Args:
        segment: It.
        numbering: Says where both directions start.
        to_engine: Which direction it goes, in the words of *numbering*.
    """
    return Packet(
        flags=flag_names(segment),
        # A reset for no connection has the number 0, which counts from nothing (RFC 9293 section 3.5.2).
        seq=0 if segment.rst and not segment.seq else numbering.seq(segment.seq, to_engine=to_engine),
        ack=None if segment.ack is None else numbering.seq(segment.ack, to_engine=not to_engine),
        absolute_seq=segment.seq,
        absolute_ack=segment.ack,
        length=len(segment.payload),
        window=segment.window,
        options=options_in_words(segment, numbering, to_engine=to_engine),
        ecn=CODEPOINTS[segment.ecn],
    )


class Record(NamedTuple):
    """What happened at one of two kernels, and what it said when it was asked afterwards.

    Attributes:
        end: 0 for the left one, 1 for the right one.
        event: SENT or RECEIVED: a segment. MOVED: a call, if it has a trigger, or else a timer. POOL: a
            connection was ``accepted``, or what `WORKERS` has else. Where it concerns a connection, with its
            4-tuple, the end's own part first, and but for POOL with the states before and after it.
        variables: What its TCB holds.
        lost: Whether the segment will not arrive.
        forged: Whether nobody sent it.
        worker: POOL: to whom it happened, if to a worker.
        drop: The kernel's name of the reason for which it dropped the segment; empty where it tells none.
        reset: The kernel's name of the reason for which it sent a reset; the same.
        again: How the kernel came to send the segment again; None where it did not, or does not tell.
        timeouts: How often the timer has run out since something was acknowledged.
    """

    end: int
    event: Event
    variables: tuple[Variable, ...] = ()
    lost: bool = False
    forged: bool = False
    worker: str = ""
    drop: str = ""
    reset: str = ""
    again: Again | None = None
    timeouts: int = 0


def of_kernels(records: Iterable[Record], *, title: str) -> Story:
    """Return the story of two kernels that were asked all the time.

    Args:
        records: What happened, in order.
        title: Of the story.
    """
    moments = []
    for order, record in enumerate(records):
        event = record.event
        moves = [event] if event.trigger is not None else []
        step = Recorded(event, event.before, event.after, moves)
        moments.append(_Moment(record.end, step, order, record, record.worker))
    ends = (End("client", "Linux", Source.ASKED), End("server", "Linux", Source.ASKED))
    return _Teller(title, ends, moments).story()


class _Moment(NamedTuple):
    """Something that was recorded at one end; its record, if that is a kernel; its worker, if any."""

    end: int
    step: Recorded
    order: int
    record: Record | None = None
    worker: str = ""


class _Seen:
    """What is known of one end of one connection so far."""

    def __init__(self) -> None:
        self.view = View()
        self.inference = Inference()
        self.onlooker = Onlooker()


WAITING_CLAIMS: Final = {"claim_waits": 1, "claim_ends": -1}
"""Events of the pool that are no step of their own, and how many more claims wait after each."""


class _Held:
    """What one end holds besides one connection."""

    waiting_claims: int | None = 0

    def __init__(self) -> None:
        self.half_open: dict[FourTuple, None] = {}
        self.pool: dict[FourTuple, None] = {}
        self.claimed = 0
        self.owners: dict[FourTuple, str] = {}

    def follow(self, step: Recorded, name: FourTuple) -> None:
        event = step.event
        if event.pool_event in ("put", "given_back"):
            self.pool[name] = None
        elif event.pool_event is not None:
            self.claimed += event.pool_event == "claimed"
            self.pool.pop(name, None)
        elif step.after is State.SYN_RECEIVED:
            if event.info is None or event.info.passive:
                self.half_open[name] = None
        elif step.after is not None:
            self.half_open.pop(name, None)

    def own(self, step: Recorded, name: FourTuple, worker: str) -> None:
        """Let a connection be a worker's from now on, or nobody's any more."""
        if worker:
            self.owners[name] = worker
        elif step.event.pool_event == "given_back" or step.after is State.CLOSED:
            self.owners.pop(name, None)

    def end(self, worker: str) -> None:
        """Forget what a worker had, and what waited for it alone."""
        for name in [each for each, owner in self.owners.items() if owner == worker]:
            for held in (self.half_open, self.pool, self.owners):
                held.pop(name, None)

    def tables(self) -> Tables:
        half_open, pool = (tuple(_endpoint(*key[2:]) for key in held) for held in (self.half_open, self.pool))
        owners = tuple((_endpoint(*key[2:]), worker) for key, worker in self.owners.items())
        return Tables(half_open, pool, self.claimed, self.waiting_claims, owners)


class _Queues(_Held):
    """What a kernel's listener holds: its two queues. It does not say who waits in `accept`."""

    waiting_claims = None

    def follow(self, step: Recorded, name: FourTuple) -> None:
        if step.event.pool_event == "given":
            return
        if step.event.pool_event is not None:
            self.half_open.pop(name, None)  # with Fast Open it is accepted before the third segment
            self.pool.pop(name, None)
            self.claimed += 1
        elif step.after is State.SYN_RECEIVED:
            if step.before is State.LISTEN:
                self.half_open[name] = None
        elif name in self.half_open or step.before is State.LISTEN:  # the latter with a SYN cookie
            self.half_open.pop(name, None)
            if step.after in SYNCHRONIZED:
                self.pool[name] = None
        elif step.event.kind is EventKind.SENT and step.after is State.CLOSED:
            self.pool.pop(name, None)  # its listener was closed; what a peer resets can be accepted still


class _Teller:
    """Goes through what was recorded, in order, and keeps in mind how both ends of each connection stand."""

    def __init__(
        self, title: str, ends: tuple[End, End], moments: Sequence[_Moment], *, virtual: bool = False
    ) -> None:
        self._title, self._ends = title, ends
        self._moments, self._silent = _without_silent(moments)
        moments = self._moments
        first = next((each for each in moments if each.step.is_arrow), moments[0] if moments else None)
        self._began_ns = 0 if first is None else first.step.event.at_ns
        self._clock_s = self._began_ns / 1e9 if virtual else None
        guessed = any(each.source is Source.INFERRED for each in ends)
        self._guessed = guessed
        self._arrivals, self._unasked = ({}, set[int]()) if guessed else _matched(moments)
        self._connections: dict[FourTuple, int] = {}
        self._numberings: defaultdict[FourTuple, Numbering] = defaultdict(lambda: Numbering(absolute=False))
        self._seen: defaultdict[tuple[int, FourTuple], _Seen] = defaultdict(_Seen)
        self._held = tuple(_Queues() if end.source is Source.ASKED else _Held() for end in ends)
        self._numbers = count(1)
        self._under_way = 0
        self._said = set[tuple[object, ...]]()
        self._steps: list[Step] = []

    def story(self) -> Story:
        """Tell all of it."""
        waiting = iter(range(len(self._moments)))
        for at in waiting:
            moment = self._moments[at]
            self._count_claims(moment)
            following = self._moments[at + 1] if at + 1 < len(self._moments) else None
            if not moment.step.is_arrow:
                self._tell_other(moment)
            elif self._ends[1 - moment.end].source is Source.INFERRED:
                self._tell_seen_from_one_end(moment)
            elif moment.step.event.kind is EventKind.SENT:
                arrival = self._arrivals.get(id(moment.step))
                if arrival is not None and arrival is following and not self._under_way:
                    next(waiting)
                    self._count_claims(arrival)
                    self._tell_segment(moment, Kind.CARRIED, arrival)
                else:
                    self._under_way += arrival is not None
                    self._tell_segment(moment, Kind.LOST if arrival is None else Kind.SENT)
            else:
                forged = id(moment.step) in self._unasked
                self._under_way -= not forged
                self._tell_segment(moment, Kind.FORGED if forged else Kind.ARRIVED)
        return Story(
            self._title,
            self._ends,
            tuple(f"{_endpoint(*key[:2])} - {_endpoint(*key[2:])}" for key in self._connections),
            tuple(self._steps),
            four_tuples=tuple(self._connections),
        )

    # Segments

    def _tell_segment(self, moment: _Moment, kind: Kind, arrival: _Moment | None = None) -> None:
        """Tell of a segment between two ends of which both are known."""
        event = moment.step.event
        sender = moment.end if event.kind is EventKind.SENT else 1 - moment.end
        key = self._key(moment)
        packet = self._packet(key, sender, event, forged=kind is Kind.FORGED)
        touched = [moment] if arrival is None else [moment, arrival]
        changed = None
        if arrival is not None and event.segment != arrival.step.event.segment:
            changed = self._packet(key, sender, arrival.step.event)
        views = self._after({each.end: each for each in touched}, key)
        title = self._segment_title(kind, sender, packet)
        said = key, sender, packet.flags, packet.absolute_seq, packet.absolute_ack, packet.length
        if kind is not Kind.FORGED:
            self._said.add(said)
        elif said in self._said:
            who, other = self._ends[sender].name, self._ends[1 - sender].name
            title = f"{other} gets {packet}, a copy of what {who} once sent"
        self._add(
            kind,
            title,
            key,
            sender,
            at_ns=event.at_ns,
            until_ns=touched[-1].step.event.at_ns,
            views=views,
            packet=packet,
            frame=_frame_of(event),
            changed_on_the_way=changed,
            because=tuple(each for one in touched for each in _because(one)),
            notes=tuple(each for one in touched for each in _drops(one)),
            timed=moment.record is not None and moment.record.again is Again.BY_TIMER,
        )

    def _tell_seen_from_one_end(self, moment: _Moment) -> None:
        """Tell of a segment of which only one end's record is there, or that was seen in between."""
        event, key = moment.step.event, self._key(moment)
        sender = moment.end if event.kind is EventKind.SENT else 1 - moment.end
        packet = self._packet(key, sender, event)
        touched = {moment.end: moment} if self._ends[moment.end].source is Source.RECORDED else {}
        assert event.segment is not None
        inferred = [end for end in (LEFT, RIGHT) if end not in touched]
        for end in inferred:
            self._infer(self._seen[end, key], event.segment, sent=end == sender)
        if moment.end in inferred and event.after is not None:  # it was asked, so this is no guess
            seen = self._seen[moment.end, key]
            variables = () if event.after is State.CLOSED else seen.view.variables
            seen.view = View(event.after, event.before, variables)
        views = self._after(touched, key, inferred)
        self._add(
            Kind.CARRIED,
            self._segment_title(Kind.CARRIED, sender, packet),
            key,
            sender,
            at_ns=event.at_ns,
            views=views,
            packet=packet,
            frame=_frame_of(event),
            because=tuple(_because(moment)),
            notes=tuple(_drops(moment)),
        )

    def _infer(self, seen: _Seen, segment: Segment, *, sent: bool) -> None:
        inference, onlooker = seen.inference, seen.onlooker
        before, after = (inference.sent if sent else inference.received)(segment)
        (onlooker.sent if sent else onlooker.received)(segment)
        alive = after not in (None, State.CLOSED)
        variables = with_changes(onlooker.variables(), seen.view.variables) if alive else ()
        seen.view = View(after, before, variables)

    def _packet(self, key: FourTuple, sender: int, event: Event, *, forged: bool = False) -> Packet:
        segment = event.segment
        assert segment is not None
        numbering, from_left = self._numberings[key], sender == LEFT
        if not forged or not numbering.has_begun:  # a forged SYN begins nothing
            numbering.learn(segment, to_engine=from_left)
        return packet_in_words(segment, numbering, to_engine=from_left)

    def _segment_title(self, kind: Kind, sender: int, packet: Packet) -> str:
        who, other = self._ends[sender].name, self._ends[1 - sender].name
        return {
            Kind.CARRIED: f"{who} sends {packet}",
            Kind.SENT: f"{who} sends {packet}, which is on its way",
            Kind.ARRIVED: f"{other} gets {packet}",
            Kind.LOST: f"{who} sends {packet}, which is lost",
            Kind.FORGED: f"{other} gets {packet}, which {who} never sent",
        }[kind]

    # What happens without a segment

    def _count_claims(self, moment: _Moment) -> None:
        """Keep count of the claims that came to wait, or ceased to, before *moment*."""
        for each in self._silent.get(id(moment), ()):
            held, event = self._held[each.end], each.step.event.pool_event
            assert event is not None
            assert held.waiting_claims is not None
            held.waiting_claims += WAITING_CLAIMS[event]

    def _tell_other(self, moment: _Moment) -> None:
        step, event = moment.step, moment.step.event
        who = self._ends[moment.end].name
        key = None if event.four_tuple is None else self._key(moment)
        notes: tuple[str, ...] = ()
        if event.timer is not None:
            kind, title = Kind.TIMER, f"{who}: the {event.timer.value} timer runs out"
        elif event.reason is not None:
            kind, title = Kind.DROPPED, f"{who} drops a frame"
            notes = (_why_dropped(event),)
        elif event.path_error is not None:
            assert key is not None
            seq = self._numberings[key].seq(event.path_error.seq, to_engine=moment.end == LEFT)
            kind, title = Kind.ICMP, f"{who} gets {error_in_words(event.path_error)}"
            notes = (f"It quotes the segment with seq {seq}.",)
        elif event.pool_event is not None:
            kind, title = Kind.POOL, f"{who}: {_in_the_pool(event.pool_event, moment.worker)}"
            if event.pool_event == "ended":
                self._held[moment.end].end(moment.worker)
        elif not step.moves:
            assert step.before is not None
            kind, title = Kind.TIMER, f"{who}: a timer ends {step.before.value}"
        else:
            by = ", ".join(move.trigger.value for move in step.moves if move.trigger is not None)
            kind, title = Kind.CALL, f"{who}: {by}"
        views = (View(), View()) if key is None else self._after({moment.end: moment}, key)
        self._add(
            kind,
            title,
            key,
            moment.end,
            at_ns=event.at_ns,
            views=views,
            because=tuple(_because(moment)),
            notes=(*notes, *_drops(moment)),
            frame=_frame_of(event) if event.kind is EventKind.ICMP else None,
        )

    # How the ends stand

    def _key(self, moment: _Moment) -> FourTuple:
        """Return the connection as the left end names it."""
        four_tuple = moment.step.event.four_tuple
        assert four_tuple is not None
        key = four_tuple if moment.end == LEFT else four_tuple.reversed
        self._connections.setdefault(key, len(self._connections))
        return key

    def _after(
        self, touched: dict[int, _Moment], key: FourTuple, inferred: Collection[int] = ()
    ) -> tuple[View, View]:
        """Return both ends after what happened to those it *touched*, and to those *inferred* already."""
        for end, moment in touched.items():
            self._held[end].follow(moment.step, _named(key, end))
            self._held[end].own(moment.step, _named(key, end), moment.worker)
            seen, step = self._seen[end, key], moment.step
            if step.event.kind in (EventKind.POOL, EventKind.DROPPED):
                seen.view = seen.view.at_rest()
                continue
            info = step.event.info
            variables: tuple[Variable, ...] = ()
            if moment.record is not None:
                variables = with_changes(list(moment.record.variables), seen.view.variables)
            elif info is not None and info.state is not State.CLOSED:
                variables = with_changes(recorded(info, self._clock_s), seen.view.variables)
            before = step.before if step.before is not None else seen.view.state
            after = step.after if step.after is not None else seen.view.state
            seen.view = View(after, before, variables)
        for end in (LEFT, RIGHT):
            if end not in touched and end not in inferred:
                self._seen[end, key].view = self._seen[end, key].view.at_rest()
        return self._seen[LEFT, key].view, self._seen[RIGHT, key].view

    def _add(
        self,
        kind: Kind,
        title: str,
        key: FourTuple | None,
        end: int,
        *,
        at_ns: int,
        views: tuple[View, View],
        until_ns: int | None = None,
        packet: Packet | None = None,
        changed_on_the_way: Packet | None = None,
        because: tuple[Because, ...] = (),
        notes: tuple[str, ...] = (),
        frame: bytes | None = None,
        timed: bool = False,
    ) -> None:
        kept = [
            each.source is Source.RECORDED or (each.source is Source.ASKED and not self._guessed)
            for each in self._ends
        ]
        left, right = (held.tables() if there else None for held, there in zip(self._held, kept, strict=True))
        at_s = (at_ns - self._began_ns) / 1e9
        self._steps.append(
            Step(
                number=next(self._numbers),
                kind=kind,
                title=title,
                connection=None if key is None else self._connections[key],
                end=end,
                at_s=at_s,
                until_s=at_s if until_ns is None else (until_ns - self._began_ns) / 1e9,
                views=views,
                packet=packet,
                changed_on_the_way=changed_on_the_way,
                because=because,
                notes=notes,
                tables=(left, right),
                frame=frame,
                timed=timed,
            )
        )


_POOL: Final = {
    "put": "the connection goes to the pool",
    "claimed": "the connection is claimed from the pool",
    "accepted": "the connection is accepted",
    "given_back": "the connection comes back to the pool",
    "died": "the connection died in the pool",
    "evicted": "the pool is full, its oldest connection makes room",
    "expired": "the connection waited in the pool for too long",
    "refused": "the pool is full, the connection is refused",
    "ignored": "the pool is full, the third segment is ignored",
    "timed_out": "a claim ends without a connection",
    "closed": "the pool is closed",
    "handed_over": "the connection goes to the kernel",
    "taken_back": "the connection comes back from the kernel",
}


WORKERS: Final = {
    "given": "the hash gives the connection to {}",
    "claimed": "{} claims the connection",
    "accepted": "{} accepts the connection",
    "timed_out": "{} is free, and finds no connection",
    "ended": "{} ends",
}
"""What happens to a worker, by the name of the event."""


def _in_the_pool(event: str, worker: str) -> str:
    return WORKERS[event].format(worker) if worker else _POOL.get(event, event)


def _without_silent(moments: Sequence[_Moment]) -> tuple[list[_Moment], dict[int, list[_Moment]]]:
    """Return the moments that make steps, and those before each that make none; by its id."""
    told: list[_Moment] = []
    silent: dict[int, list[_Moment]] = {}
    pending: list[_Moment] = []
    for moment in moments:
        if moment.step.event.pool_event in WAITING_CLAIMS:
            pending.append(moment)
        else:
            told.append(moment)
            if pending:
                silent[id(moment)], pending = pending, []
    return told, silent


def _matched(moments: Sequence[_Moment]) -> tuple[dict[int, _Moment], set[int]]:
    """Return the arrival of each segment that was sent, and which arrivals nobody sent; by id of the step."""
    arrivals: dict[int, _Moment] = {}
    under_way: list[_Moment] = []
    delays: dict[int, int] = {}
    unasked = set()
    for moment in moments:
        if not moment.step.is_arrow:
            continue
        record = moment.record
        if moment.step.event.kind is EventKind.SENT:
            if record is None or not record.lost:
                under_way.append(moment)
            continue
        sent = None if record is not None and record.forged else _sent_as(moment, under_way, delays)
        if sent is None:
            unasked.add(id(moment.step))
        else:
            under_way.remove(sent)
            arrivals[id(sent.step)] = moment
            delays[moment.end] = moment.step.event.at_ns - sent.step.event.at_ns
    return arrivals, unasked


def _sent_as(arrived: _Moment, under_way: Iterable[_Moment], delays: Mapping[int, int]) -> _Moment | None:
    """Return what *arrived* was when it was sent: the same, or else what the path may have made it of.

    Of several that are the same, one was lost and sent again. It is the one that was under way for about as
    long as the last segment that came this way (*delays*, by end); before any has come, the latest.
    """
    got = arrived.step.event
    candidates = [
        each
        for each in under_way
        if each.end != arrived.end
        and each.step.event.four_tuple is not None
        and each.step.event.four_tuple.reversed == got.four_tuple
    ]
    expected = got.at_ns - delays.get(arrived.end, 0)
    candidates.sort(key=lambda each: abs(each.step.event.at_ns - expected))
    same = (each for each in candidates if not _differs(each.step.event.segment, got.segment))
    alike = (each for each in candidates if _outline(each.step.event.segment) == _outline(got.segment))
    cleared = (each for each in candidates if _bare(each.step.event.segment) == _bare(got.segment))
    return next(same, None) or next(alike, None) or next(cleared, None)


def _frame_of(event: Event) -> bytes | None:
    return None if event.frame is None else finished(event.frame, event.checksum_ready)


def _outline(segment: Segment | None) -> tuple[int, int, int]:
    assert segment is not None
    return segment.seq, segment.flags, len(segment.payload)


def _bare(segment: Segment | None) -> tuple[int, int, int]:
    """Return its outline without the flags of ECN, which old routers clear."""
    seq, flags, length = _outline(segment)
    return seq, flags & ~(ECE | CWR | AE), length


def _differs(sent: Segment | None, got: Segment | None) -> bool:
    """Whether the path has changed a segment, but for a mark of congestion."""
    assert sent is not None
    assert got is not None
    return sent._replace(ecn=NOT_ECT) != got._replace(ecn=NOT_ECT)


def _because(moment: _Moment) -> list[Because]:
    """Return the rules that had their say at one end: of what was sent, and of each move."""
    step, did = moment.step, defaultdict[str, list[str]](list)
    event = step.event
    if event.rule is not None and event.kind is EventKind.SENT and event.segment is not None:
        did[event.rule].append(f"sent {flag_names(event.segment)}")
    for move in step.moves:
        if move.rule is not None and move.trigger is not None and move.after is not None:
            moved = f"{move.after.value} by " if move.before is not move.after else ""
            did[move.rule].append(f"{moved}{move.trigger.value}")
    found = [_explained(moment.end, rule, ", ".join(dict.fromkeys(what))) for rule, what in did.items()]
    return found if moment.record is None else [*found, *_kernels_because(moment.record)]


def _kernels_because(record: Record) -> Iterator[Because]:
    """Yield the rules behind what a kernel said at its tracepoints."""
    event, end = record.event, record.end
    assert event.segment is not None or not (record.drop or record.reset or record.again)
    if record.again is not None and event.segment is not None:
        did = f"sent {flag_names(event.segment)} again"
        if record.again is Again.BY_TIMER:
            yield _explained(end, _timers_rule(record), did)
        else:
            yield Because(end, "Linux", did, "Lost", "What came shows that it has not arrived.")
    if record.reset:
        why = why_reset(record.reset, event.before)
        said = f"Linux: {record.reset}" + (f", {why.sentence}." if why.sentence else ".")
        if not why.rule:
            yield Because(end, "Linux", "sent RST", "A reset", said)
        else:
            by = _explained(end, why.rule, "sent RST")
            yield by._replace(sentence=f"{said} {by.sentence}")
    if _was_dropped(record) and event.segment is not None:
        rule = why_dropped(record.drop, event.segment, event.before).rule
        if rule:
            yield _explained(end, rule, "dropped")


def _timers_rule(record: Record) -> str:
    """Return the rule by which a timer has a segment sent again; that of loss probes counts no timeouts."""
    in_handshake = record.event.before in (State.SYN_SENT, State.SYN_RECEIVED)
    return "RFC 6298 5.4" if record.timeouts or in_handshake else "RFC 8985 7.3"


def _was_dropped(record: Record) -> bool:
    """Whether a kernel dropped a segment for which it did nothing; it drops what it is through with, too."""
    return bool(record.drop) and record.event.before is record.event.after


@cache
def _explained(end: int, rule: str, did: str) -> Because:
    key = cite(rule)
    try:
        entries = catalogue().explaining(rule)
    except KeyError:
        entries = ()
    if not entries:
        return Because(end, key, did)
    entry = entries[-1]
    return Because(end, key, did, entry.title, _first_sentence(entry.text), citations(rule)[-1].url)


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[0].split())
    head, stop, _ = paragraph.partition(". ")
    return head + stop.rstrip() if stop else paragraph


def _drops(moment: _Moment) -> list[str]:
    record = moment.record
    if record is None or record.event.segment is None or not _was_dropped(record):
        return [_why_dropped(drop) for drop in moment.step.drops]
    why = why_dropped(record.drop, record.event.segment, record.event.before)
    return [": ".join(filter(None, (f"dropped, {record.drop}", why.rule and cite(why.rule), why.sentence)))]


def _why_dropped(event: Event) -> str:
    assert event.reason is not None
    return f"dropped, {event.reason.name}: {event.reason.value}"


def _named(key: FourTuple, end: int) -> FourTuple:
    """Return a connection's name at an end, which puts itself first."""
    return key if end == LEFT else key.reversed


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
