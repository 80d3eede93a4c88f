"""Makes a `Story` of what was recorded: by both ends of a simulation, by one engine, or on the wire alone.

Or of what two kernels said when they were asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import count
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.patherror import PathError
from xsocket.reasons import DropReason
from xsocket.segment import Segment
from xsocket.state import State
from xsocket.trace import Event, EventKind
from xsocket_tools.capture import finished
from xsocket_tools.inference import Inference
from xsocket_tools.ladder import CODEPOINTS, Numbering, endpoint, error_in_words, flag_names, options_in_words
from xsocket_tools.steps import Step as Recorded
from xsocket_tools.steps import steps
from xsocket_tools.teaching.arrivals import matched, without_silent
from xsocket_tools.teaching.causes import because_of, drops_of, why_ignored
from xsocket_tools.teaching.holding import WAITING_CLAIMS, Held, Queues
from xsocket_tools.teaching.records import LEFT, RIGHT, Moment, Record
from xsocket_tools.teaching.story import (
    Because,
    End,
    Kind,
    Packet,
    Source,
    Step,
    Story,
    Variable,
    View,
)
from xsocket_tools.teaching.tracepoints import Again
from xsocket_tools.teaching.variables import Onlooker, recorded, with_changes


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
    everything = _with_answers_behind(events)
    order = {id(event): at for at, event in enumerate(everything)}
    workers = {id(event): worker for event, worker in did}
    moments = [
        Moment(end, each, order[id(each.event)], worker=workers.get(id(each.event), ""))
        for end, name in enumerate((left, right))
        for each in steps(event for event in everything if event.host == name)
    ]
    moments.sort(key=lambda moment: moment.order)
    ends = (End(left, "engine", Source.RECORDED), End(right, "engine", Source.RECORDED))
    return _Teller(title, ends, moments, virtual=True).story()


_NO_ROOM: Final = ("ignored", "refused")
"""What a pool answers about a third segment for which it has no room."""
_FOR_NO_ROOM: Final = (DropReason.POOL_FULL_IGNORED, DropReason.POOL_FULL_REFUSED)
"""Why that segment is dropped then."""


def _with_answers_behind(events: Iterable[Event]) -> list[Event]:
    """Put what a pool answered about a segment behind it, where that is dropped.

    A host asks its pool while it judges a whole batch, and records only afterwards what came in that.
    """
    told: list[Event] = []
    answers: defaultdict[tuple[str | None, FourTuple | None], list[Event]] = defaultdict(list)
    for event in events:
        waiting = answers[event.host, event.four_tuple]
        if event.pool_event in _NO_ROOM:
            waiting.append(event)
            continue
        if waiting and event.reason in _FOR_NO_ROOM:
            told.append(waiting.pop(0))
        told.append(event)
    return [*told, *(event for waiting in answers.values() for event in waiting)]


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
    moments = [Moment(end, each, order) for order, each in enumerate(steps(events))]
    other = End(peer, "", Source.INFERRED)
    return _Teller(title, (engine, other) if engine_is_left else (other, engine), moments).story()


def of_packets(packets: Iterable[tuple[float, FourTuple, Segment | PathError]], *, title: str) -> Story:
    """Return the story that a capture tells: what both ends do is inferred.

    Args:
        packets: Instant in seconds, 4-tuple as the sender names it, and the segment, in order; or an ICMP
            error, and the 4-tuple as whoever gets it names it. Whoever speaks first in a connection is its
            left end. An error of which no connection was seen before is left out.
        title: Of the story.
    """
    moments, lefts = [], set[FourTuple]()
    for order, (at_s, four_tuple, packet) in enumerate(packets):
        if four_tuple not in lefts and four_tuple.reversed not in lefts:
            if isinstance(packet, PathError):
                continue
            lefts.add(four_tuple)
        end, at_ns = LEFT if four_tuple in lefts else RIGHT, round(at_s * 1e9)
        if isinstance(packet, PathError):
            event = Event(EventKind.ICMP, at_ns, four_tuple=four_tuple, path_error=packet)
        else:
            event = Event(EventKind.SENT, at_ns, four_tuple=four_tuple, segment=packet)
        moments.append(Moment(end, Recorded(event), order))
    ends = (End("client", "", Source.INFERRED), End("server", "", Source.INFERRED))
    return _Teller(title, ends, moments).story()


_ABSOLUTE: Final = Numbering(absolute=True)


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
        absolute_options=options_in_words(segment, _ABSOLUTE, to_engine=to_engine),
        ecn=CODEPOINTS[segment.ecn],
    )


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
        moments.append(Moment(record.end, step, order, record, record.worker))
    ends = (End("client", "Linux", Source.ASKED), End("server", "Linux", Source.ASKED))
    return _Teller(title, ends, moments).story()


class _Seen:
    """What is known of one end of one connection so far."""

    def __init__(self) -> None:
        self.view = View()
        self.inference = Inference()
        self.onlooker = Onlooker()


class _Teller:
    """Goes through what was recorded, in order, and keeps in mind how both ends of each connection stand."""

    def __init__(
        self, title: str, ends: tuple[End, End], moments: Sequence[Moment], *, virtual: bool = False
    ) -> None:
        self._title, self._ends = title, ends
        self._moments, self._silent = without_silent(moments)
        moments = self._moments
        first = next((each for each in moments if each.step.is_arrow), moments[0] if moments else None)
        self._began_ns = 0 if first is None else first.step.event.at_ns
        self._clock_s = self._began_ns / 1e9 if virtual else None
        guessed = any(each.source is Source.INFERRED for each in ends)
        self._guessed = guessed
        self._arrivals, self._unasked = ({}, set[int]()) if guessed else matched(moments)
        self._connections: dict[FourTuple, int] = {}
        self._numberings: defaultdict[FourTuple, Numbering] = defaultdict(lambda: Numbering(absolute=False))
        self._seen: defaultdict[tuple[int, FourTuple], _Seen] = defaultdict(_Seen)
        self._held = tuple(Queues() if end.source is Source.ASKED else Held() for end in ends)
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
            tuple(f"{endpoint(*key[:2])} - {endpoint(*key[2:])}" for key in self._connections),
            tuple(self._steps),
            four_tuples=tuple(self._connections),
        )

    # Segments

    def _tell_segment(self, moment: Moment, kind: Kind, arrival: Moment | None = None) -> None:
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
            because=tuple(each for one in touched for each in because_of(one)),
            notes=tuple(each for one in touched for each in drops_of(one)),
            timed=moment.record is not None and moment.record.again is Again.BY_TIMER,
        )

    def _tell_seen_from_one_end(self, moment: Moment) -> None:
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
            because=tuple(because_of(moment)),
            notes=tuple(drops_of(moment)),
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

    def _count_claims(self, moment: Moment) -> None:
        """Keep count of the claims that came to wait, or ceased to, before *moment*."""
        for each in self._silent.get(id(moment), ()):
            held, event = self._held[each.end], each.step.event.pool_event
            assert event is not None
            assert held.waiting_claims is not None
            held.waiting_claims += WAITING_CLAIMS[event]

    def _tell_other(self, moment: Moment) -> None:
        step, event = moment.step, moment.step.event
        who = self._ends[moment.end].name
        key = None if event.four_tuple is None else self._key(moment)
        notes: tuple[str, ...] = ()
        if event.timer is not None:
            kind, title = Kind.TIMER, f"{who}: the {event.timer.value} timer runs out"
        elif event.reason is not None:
            is_frame = key is None or event.frame is not None or event.segment is not None
            kind = Kind.DROPPED
            title = f"{who} drops a frame" if is_frame else f"{who} gives the connection up"
            notes = (why_ignored(event),)
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
            because=tuple(because_of(moment)),
            notes=(*notes, *drops_of(moment)),
            frame=_frame_of(event) if event.kind is EventKind.ICMP else None,
        )

    # How the ends stand

    def _key(self, moment: Moment) -> FourTuple:
        """Return the connection as the left end names it."""
        four_tuple = moment.step.event.four_tuple
        assert four_tuple is not None
        key = four_tuple if moment.end == LEFT else four_tuple.reversed
        self._connections.setdefault(key, len(self._connections))
        return key

    def _after(
        self, touched: dict[int, Moment], key: FourTuple, inferred: Collection[int] = ()
    ) -> tuple[View, View]:
        """Return both ends after what happened to those it *touched*, and to those *inferred* already."""
        for end, moment in touched.items():
            self._held[end].follow(moment.step, _named(key, end))
            self._held[end].own(moment.step, _named(key, end), moment.worker)
            seen, step = self._seen[end, key], moment.step
            info = step.event.info
            is_known = info is not None or moment.record is not None
            if step.event.kind in (EventKind.POOL, EventKind.DROPPED) or (
                step.event.kind is EventKind.ICMP and not is_known
            ):
                seen.view = seen.view.at_rest()
                continue
            variables: tuple[Variable, ...] = ()
            if moment.record is not None:
                variables = with_changes(list(moment.record.variables), seen.view.variables)
            elif info is not None and info.state is not State.CLOSED:
                variables = with_changes(recorded(info, self._clock_s), seen.view.variables)
            before = step.before if step.before is not None else seen.view.state
            after = step.after if step.after is not None else seen.view.state
            ways = (move.after for move in step.moves[:-1] if move.before is not move.after)
            seen.view = View(after, before, variables, tuple(each for each in ways if each is not None))
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


def _frame_of(event: Event) -> bytes | None:
    return None if event.frame is None else finished(event.frame, event.checksum_ready)


def _named(key: FourTuple, end: int) -> FourTuple:
    """Return a connection's name at an end, which puts itself first."""
    return key if end == LEFT else key.reversed
