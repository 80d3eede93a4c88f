"""A world and what its trace tells, put together: what the page shows, and what its buttons do. No HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from xsocket import FourTuple
from xsocket.runtime import EngineStatistics
from xsocket.trace import EventKind
from xsocket_tools.ladder import endpoint
from xsocket_tools.live.errors import CannotDoError
from xsocket_tools.live.feed import Card, Ended, Feed, Inbox, Place, Row, name_of
from xsocket_tools.live.segment_form import Known, Order, Wrong, read
from xsocket_tools.live.world import NET, World

AT_ONCE: Final = 1000
"""Events that are told in one go."""
MOST_CARDS: Final = 60
"""Cards of a column; of more there is their number."""
MOST_AT_ONCE: Final = 10
"""Clients that one press of a button lets connect."""
_PATIENCE_S: Final = 5.0
_GLANCE_S: Final = 0.01


class Verdict(NamedTuple):
    """What the engine did with a segment.

    Attributes:
        said: In one sentence.
        rows: What was told of it, the segment first.
    """

    said: str
    rows: Sequence[Row]


class Watching:
    """What there is to see of a world; any thread may call it.

    Args:
        delay_s: See `World`.
        limit: Events that may wait to be told; more are left out.

    Attributes:
        world: It.
        version: Counts up whenever there is something new to see.
    """

    def __init__(self, *, delay_s: float = 0.0, limit: int = 4096) -> None:
        self._inbox = Inbox(limit)
        self.world = World(self._inbox.put, delay_s=delay_s)
        self._patience_s = _PATIENCE_S + 2 * delay_s
        self._feed = Feed({NET.client: "client"})
        self._believed = 0
        self._touched = False
        self.version = 0
        self._lock = threading.RLock()

    def look(self) -> bool:
        """Take in what happened since the last time; return whether there is something new."""
        with self._lock:
            told = 0
            for event in self._inbox.take(AT_ONCE):
                self._feed.take(event)
                told += 1
            if self._inbox.left_out != self._believed:
                self._believed = self._inbox.left_out
                engine = self.world.engine
                self._feed.resync(engine.connections(), engine.pool, time.time_ns())
            self.world.let_go_of_dead()
            is_new = bool(told) or self._touched
            self._touched = False
            self.version += is_new
            return is_new

    # To see

    def state(self) -> dict[str, Any]:
        """Return all but the rows, as plain values that JSON can hold."""
        statistics = self.world.engine.statistics()
        with self._lock:
            mine, held = self.world.clients(), self.world.held()
            return {
                "columns": {
                    place.value: _column(
                        (each for each in self._feed.cards.values() if each.place is place), mine, held
                    )
                    for place in Place
                },
                "ended": [_ended(each, mine) for each in self._feed.ended],
                "counters": _counters(statistics),
                "left_out": self._inbox.left_out,
                "now": time.time_ns() // 1_000_000,
            }

    def rows_after(self, number: int) -> tuple[list[dict[str, Any]], int]:
        """Return what happened after the row *number*, and how much of that is not kept any more."""
        with self._lock:
            rows = [plain_row(each) for each in self._feed.rows if each.number > number]
            missed = self._feed.told - number - len(rows) if number else 0
            return rows, max(0, missed)

    # To do

    def connect(self, how_many: object) -> str:
        """Let clients connect; return what is to be said of it."""
        if not isinstance(how_many, int) or isinstance(how_many, bool) or not 1 <= how_many <= MOST_AT_ONCE:
            raise CannotDoError(f"From 1 to {MOST_AT_ONCE} clients connect at once.")
        self.world.connect(how_many)
        return "One client connects." if how_many == 1 else f"{how_many} clients connect."

    def claim(self) -> str:
        """Claim the next connection."""
        return f"You hold {_remote(self.world.claim_next())} now."

    def say(self, name: object, text: object) -> str:
        """Say something on a claimed connection."""
        if not isinstance(text, str):
            raise CannotDoError("What is said is text.")
        key = self._named(name)
        self.world.say(key, text)
        return f"Said to {_remote(key)}."

    def close(self, name: object) -> str:
        """Close a claimed connection."""
        return self._ended_by(self.world.close, name, "You close the connection of {}.")

    def close_client(self, name: object) -> str:
        """Let the client close its end."""
        return self._ended_by(self.world.close_client, name, "The client closes {}.")

    def _ended_by(self, act: Callable[[FourTuple], None], name: object, said: str) -> str:
        key = self._named(name)
        act(key)
        with self._lock:
            self._touched = True  # a button goes, even where no segment does
        return said.format(_remote(key))

    def _named(self, name: object) -> FourTuple:
        with self._lock:
            keys = [*self._feed.cards, *(each.four_tuple for each in self._feed.ended)]
        for key in keys:
            if name_of(key) == name:
                return key
        raise CannotDoError("This connection is not there any more.")

    def send(self, form: object) -> Verdict | Wrong:
        """Send the segment that *form* asks for; return what the engine did with it, or what is wrong.

        Raises:
            CannotDoError: It could not be sent, or nothing was heard of it.
        """
        self.look()
        with self._lock:
            known = {name_of(key): Known(key, card.info) for key, card in self._feed.cards.items()}
        order = read(form, known, NET)
        if not isinstance(order, Order):
            return order
        frame = self.world.frame_of(order)
        with self._lock:
            self._feed.expect(frame)
        try:
            self.world.send(order, frame)
            rows = self._await(frame)
        except OSError as error:
            raise CannotDoError(f"The segment could not be sent: {error.strerror}.") from error
        finally:
            with self._lock:
                self._feed.forget(frame)
        return Verdict(_verdict(rows), rows)

    def _await(self, frame: bytes) -> Sequence[Row]:
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline:
            self.look()
            with self._lock:
                seen = bool(self._feed.outcome(frame))
            if seen:
                # What a segment brings about is done under the lock that this takes: it is all told then.
                self.world.engine.statistics()
                self.look()
                with self._lock:
                    return list(self._feed.outcome(frame))
            time.sleep(_GLANCE_S)
        raise CannotDoError("Nothing was heard of the segment.")


def _remote(key: FourTuple) -> str:
    return endpoint(key.remote_address, key.remote_port)


def _column(cards: Iterable[Card], mine: frozenset[FourTuple], held: frozenset[FourTuple]) -> dict[str, Any]:
    everything = list(cards)
    return {
        "count": len(everything),
        "cards": [
            {
                "name": name_of(card.four_tuple),
                "remote": _remote(card.four_tuple),
                "state": card.state.value,
                "since": card.since_ns // 1_000_000,
                "mine": card.four_tuple in mine,
                "held": card.four_tuple in held,
            }
            for card in everything[:MOST_CARDS]
        ],
    }


def _ended(each: Ended, mine: frozenset[FourTuple]) -> dict[str, Any]:
    return {
        "name": name_of(each.four_tuple),
        "remote": _remote(each.four_tuple),
        "how": each.how,
        "at": each.at_ns // 1_000_000,
        "mine": each.four_tuple in mine,
    }


def plain_row(row: Row) -> dict[str, Any]:
    """Return *row* as plain values that JSON can hold."""
    plain = row._asdict()
    plain["at"] = plain.pop("at_ns") // 1_000_000
    return plain


def _counters(statistics: EngineStatistics) -> list[list[Any]]:
    """Return groups of what is counted: a name, and names with numbers."""
    host, pool = statistics.host, statistics.pool
    return [
        [
            "Segments",
            [
                ["in", host.segments_received],
                ["out", host.segments_sent],
                ["resets sent", host.resets_sent],
                ["handshakes", host.established],
            ],
        ],
        ["Dropped", [[reason.name, count, reason.value] for reason, count in _sorted_drops(host.drops)]],
        ["Pool", [[name.replace("_", " "), count] for name, count in pool._asdict().items()]],
    ]


def _sorted_drops(drops: dict[Any, int]) -> list[tuple[Any, int]]:
    """Return reasons and how often each was one, the most frequent first."""
    return sorted(drops.items(), key=lambda each: (-each[1], each[0].name))


def _verdict(rows: Sequence[Row]) -> str:
    """Return what came of a segment in one sentence; numbers are left to the rows."""
    told = [row for row in rows if row.kind == EventKind.DROPPED.value]
    did = [f"{note[:1].upper()}{note[1:]}" for row in told for note in row.notes]
    sent = [row.text.split()[2] for row in rows if row.kind == EventKind.SENT.value]
    if sent:
        did.append(f"The engine answers {' and '.join(sent)}")
    if not did:
        did.append("The engine takes it, and sends nothing")
    if rows[0].kind == EventKind.RECEIVED.value:
        did += [note for note in rows[0].notes if "→" in note and not note.startswith("“")]
    return ". ".join(did) + "."
