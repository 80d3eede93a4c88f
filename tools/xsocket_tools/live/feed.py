"""What a trace tells, as the page shows it: connections as cards, and what happened in plain words.

Pure: events in, values out. No lab, no HTTP, no threads.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.info import Info
from xsocket.state import State
from xsocket.trace import Event, EventKind
from xsocket_tools.ladder import Numbering, endpoint
from xsocket_tools.steps import cite
from xsocket_tools.teaching.holding import WAITING_CLAIMS
from xsocket_tools.teaching.story import End, Source
from xsocket_tools.teaching.telling import of_trace, packet_in_words

ROWS: Final = 200
"""How many things that happened are kept."""
ENDED: Final = 12
"""How many connections that ended are kept."""
REMEMBERED: Final = 1000
"""Of how many 4-tuples it is known where their sequence numbers begin."""
_ENGINE: Final = End("engine", "", Source.RECORDED)


class Inbox:
    """Where an engine's thread leaves events, in no time, for another thread to look at.

    Attributes:
        left_out: How many found no room, and made older ones go.
    """

    def __init__(self, limit: int) -> None:
        self._events: deque[Event] = deque(maxlen=limit)
        self.left_out = 0

    def put(self, event: Event) -> None:
        """Add *event*: what a `Trace` calls."""
        if len(self._events) == self._events.maxlen:
            self.left_out += 1
        self._events.append(event)

    def take(self, most: int) -> Iterator[Event]:
        """Yield up to *most* events, oldest first, and forget them."""
        while most and self._events:
            yield self._events.popleft()
            most -= 1


class Place(Enum):
    """Where a connection is, as the page has columns."""

    HALF_OPEN = "half-open"
    POOL = "pool"
    CLAIMED = "claimed"


@dataclass(slots=True)
class Card:
    """A connection that there is.

    Attributes:
        four_tuple: As the engine names it.
        place: Its column.
        state: Of the engine's end.
        since_ns: When it began, Unix time.
        info: Its TCB, as last told.
    """

    four_tuple: FourTuple
    place: Place
    state: State
    since_ns: int
    info: Info | None = None


class Ended(NamedTuple):
    """A connection that was: how it ended, and when."""

    four_tuple: FourTuple
    how: str
    at_ns: int


class Row(NamedTuple):
    """One thing that happened, in words.

    Attributes:
        number: Counted from 1.
        at_ns: When, Unix time.
        kind: What sort, as in `EventKind`.
        remote: The endpoint of the connection's other end; empty where none is concerned.
        text: What; sequence numbers count from each end's SYN.
        absolute: The same with numbers as they are on the wire; empty where there are none.
        notes: What else there is to say: the rule, where it moved, why it was dropped.
        by_hand: Whether it is a segment of somebody at the page.
    """

    number: int
    at_ns: int
    kind: str
    remote: str
    text: str
    absolute: str = ""
    notes: tuple[str, ...] = ()
    by_hand: bool = False


class _Talk:
    """What is remembered of a 4-tuple.

    Attributes:
        numbering: Where its sequence numbers begin.
        frame: Its last segment, if that was made by hand and is still what things come of.
    """

    def __init__(self) -> None:
        self.numbering = Numbering(absolute=False)
        self.frame: bytes | None = None
        self._reached: State | None = None
        self._after: State | None = None

    def begin(self, arrival: Event, frame: bytes | None) -> None:
        """Take note of a segment that came, and of the frame if it is one made by hand."""
        self._reached, self._after, self.frame = arrival.before, arrival.after, frame

    def takes(self, move: Event) -> bool:
        """Whether *move* is the next one on the way of the last segment."""
        if self._reached is self._after or move.before is not self._reached:
            return False
        self._reached = move.after
        return True


@dataclass
class Feed:
    """What has been told so far.

    Attributes:
        names: What those are called who have an address; others are called by their endpoint.
        cards: The connections there are, oldest first.
        ended: Those that ended last, the newest first.
        rows: What happened last, oldest first.
        told: How many rows there ever were.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    cards: dict[FourTuple, Card] = field(default_factory=dict)
    ended: deque[Ended] = field(default_factory=lambda: deque(maxlen=ENDED))
    rows: deque[Row] = field(default_factory=lambda: deque(maxlen=ROWS))
    told: int = 0
    _talks: OrderedDict[FourTuple, _Talk] = field(default_factory=OrderedDict)
    _by_hand: dict[bytes, list[Row]] = field(default_factory=dict)

    def expect(self, frame: bytes) -> None:
        """Look out for a frame that somebody at the page sends: `outcome` has what comes of it."""
        self._by_hand[frame] = []

    def outcome(self, frame: bytes) -> Sequence[Row]:
        """Return what is told of a frame that was expected: itself first, then what it brought about."""
        return self._by_hand.get(frame, ())

    def forget(self, frame: bytes) -> None:
        """Look out for a frame no longer."""
        self._by_hand.pop(frame, None)

    def take(self, event: Event) -> None:
        """Tell what *event* says."""
        key = event.four_tuple
        if event.pool_event in WAITING_CLAIMS:
            return  # the counters tell of them
        if event.kind is EventKind.RECEIVED:
            self._take_received(event)
        elif event.kind is EventKind.SENT:
            self._take_sent(event)
        elif event.kind is EventKind.MOVED:
            self._take_moved(event)
        else:
            if event.kind is EventKind.TIMER and key is not None and key in self._talks:
                self._talks[key].frame = None
            if event.kind is EventKind.POOL and key in self.cards:
                self._place(self.cards[key], event)
            self._tell_other(event)

    def resync(self, states: Mapping[FourTuple, State], waiting: Iterable[FourTuple], at_ns: int) -> None:
        """Believe *states* and the pool, after events were left out."""
        in_pool = frozenset(waiting)
        for key in list(self.cards):
            if key not in states:
                self._end(key, "in what was left out", at_ns)
        for key, state in states.items():
            card = self.cards.setdefault(key, Card(key, Place.CLAIMED, state, at_ns))
            card.state = state
            card.place = Place.CLAIMED
            if state is State.SYN_RECEIVED:
                card.place = Place.HALF_OPEN
            elif key in in_pool:
                card.place = Place.POOL

    # Segments

    def _take_received(self, event: Event) -> None:
        key = _key(event)
        frame = event.frame if event.frame in self._by_hand else None
        if frame is None or key not in self.cards or _begins(event):  # else a forged SYN begins nothing
            self._learn(event)
        self._talk(key).begin(event, frame)
        who = self.names.get(key.remote_address) or endpoint(key.remote_address, key.remote_port)
        sender = "you send" if frame is not None else f"{who} sends"
        notes = [] if event.before is event.after else [_moved(event)]
        self._follow(event)
        self._belongs(key, self._tell_segment(event, sender, notes, by_hand=frame is not None))

    def _take_sent(self, event: Event) -> None:
        self._learn(event)
        self._follow(event)
        notes = [] if event.rule is None else [cite(event.rule)]
        self._belongs(_key(event), self._tell_segment(event, f"{_ENGINE.name} sends", notes))

    def _talk(self, key: FourTuple) -> _Talk:
        if key not in self._talks:
            self._talks[key] = _Talk()
            if len(self._talks) > REMEMBERED:
                self._talks.popitem(last=False)
        self._talks.move_to_end(key)
        return self._talks[key]

    def _learn(self, event: Event) -> None:
        assert event.segment is not None
        numbering = self._talk(_key(event)).numbering
        numbering.learn(event.segment, to_engine=event.kind is EventKind.RECEIVED)

    def _tell_segment(self, event: Event, sender: str, notes: Sequence[str], *, by_hand: bool = False) -> Row:
        assert event.segment is not None
        numbering = self._talk(_key(event)).numbering
        inward = event.kind is EventKind.RECEIVED
        packet = packet_in_words(event.segment, numbering, to_engine=inward)
        carried = [f"“{_excerpt(event.segment.payload)}”"] if event.segment.payload else []
        text, absolute = f"{sender} {packet}", f"{sender} {packet.on_the_wire}"
        return self._tell(event, text, (*carried, *notes), absolute=absolute, by_hand=by_hand)

    # Connections

    def _follow(self, event: Event) -> None:
        """Let the card of a connection say what its segment says."""
        key, after = _key(event), event.after
        if after is None or after is State.CLOSED:
            return  # of its end a move tells
        card = self.cards.get(key)
        if card is None:
            card = self.cards[key] = Card(key, Place.HALF_OPEN, after, event.at_ns)
        card.state = after
        card.info = event.info or card.info

    def _take_moved(self, event: Event) -> None:
        key = _key(event)
        assert event.trigger is not None
        if not self._talk(key).takes(event):
            self._belongs(key, self._tell_other(event))
        if event.after is State.CLOSED:
            self._end(key, event.trigger.value, event.at_ns)
        elif key in self.cards:
            self._follow(event)

    def _place(self, card: Card, event: Event) -> None:
        if event.pool_event in ("put", "given_back"):
            card.place = Place.POOL
        elif event.pool_event == "claimed":
            card.place = Place.CLAIMED

    def _end(self, key: FourTuple, how: str, at_ns: int) -> None:
        if self.cards.pop(key, None) is not None:
            self.ended.appendleft(Ended(key, how, at_ns))

    # Words

    def _tell_other(self, event: Event) -> Row:
        """Tell of what is no segment, in the words of `teaching.telling`."""
        story = of_trace([event], title="", engine=_ENGINE)
        step = story.steps[0]
        notes = [*step.notes, *(each.key for each in step.because)]
        if event.kind is EventKind.MOVED and event.before is not event.after:
            notes.append(_moved(event))
        by_hand = event.frame is not None and event.frame in self._by_hand
        row = self._tell(event, step.title, tuple(dict.fromkeys(notes)), by_hand=by_hand)
        if by_hand:
            assert event.frame is not None
            self._by_hand[event.frame].append(row)
        elif event.four_tuple is not None and event.kind in (EventKind.DROPPED, EventKind.POOL):
            self._belongs(event.four_tuple, row)
        return row

    def _belongs(self, key: FourTuple, row: Row) -> None:
        """Put *row* to what came of a segment that was made by hand, if it did."""
        frame = self._talk(key).frame
        if frame is not None and frame in self._by_hand:
            self._by_hand[frame].append(row)

    def _tell(
        self, event: Event, text: str, notes: tuple[str, ...], *, absolute: str = "", by_hand: bool = False
    ) -> Row:
        self.told += 1
        key = event.four_tuple
        remote = "" if key is None else endpoint(key.remote_address, key.remote_port)
        row = Row(self.told, event.at_ns, event.kind.value, remote, text, absolute, notes, by_hand)
        self.rows.append(row)
        return row


def name_of(four_tuple: FourTuple) -> str:
    """Return what the page calls a connection: no two have the same."""
    return f"{endpoint(*four_tuple[2:])} to {four_tuple.local_port}"


def _key(event: Event) -> FourTuple:
    assert event.four_tuple is not None
    return event.four_tuple


def _begins(arrival: Event) -> bool:
    """Whether the connection begins with this segment, or anew with it."""
    segment, info = arrival.segment, arrival.info
    return segment is not None and segment.syn and info is not None and info.irs == segment.seq


def _moved(event: Event) -> str:
    before, after = ("no connection" if each is None else each.value for each in (event.before, event.after))
    return f"{before} → {after}"


def _excerpt(text: bytes, most: int = 40) -> str:
    """Return the beginning of *text*, what cannot be shown as a dot."""
    shown = "".join(each if each.isprintable() else "·" for each in text.decode("utf-8", "replace"))
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
