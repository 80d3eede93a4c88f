"""The ladder of a story as lines and texts with their places: two lifelines, a rung for each step.

Time runs downwards, one rung a step; where much of it passes between two of them there is a break.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from xsocket.state import State
from xsocket_tools.teaching.report import words
from xsocket_tools.teaching.report.shapes import Path, Shape, Text, arrow, badge, circle, cross
from xsocket_tools.teaching.report.words import Said
from xsocket_tools.teaching.story import Kind, Packet, Step, Story

WIDTH: Final = 800
LIFELINES: Final = (248, 648)
"""Where the left one and the right one are."""
LONG_PAUSE_S: Final = 0.5
"""From this on a pause has a break of its own."""
_MIDDLE: Final = sum(LIFELINES) / 2
_INWARD: Final = (1, -1)
_FROM: Final = ("start", "end")
_TOWARDS: Final = ("end", "start")
_BREAK: Final = 40
_HALF_BAR: Final = 5
_REPEATED: Final = 420
"""A state that lasts is named again after so much of its lifeline."""
_SHEET: Final = 1000
"""How much of the height goes on a sheet of paper."""
_LONGEST: Final = 58


class Rung(NamedTuple):
    """One step.

    Attributes:
        step: It.
        top, height: The strip it has to itself.
        shapes: What is drawn; an arrow may leave the strip downwards.
        arrival: In which step arrives what it sends; 0 for none.
    """

    step: Step
    top: float
    height: float
    shapes: tuple[Shape, ...]
    arrival: int = 0


class Ladder(NamedTuple):
    """All of it.

    Attributes:
        height: Its own, with `WIDTH`.
        backdrop: What belongs to no step: lifelines, states, breaks.
        rungs: The steps.
    """

    height: float
    backdrop: tuple[Shape, ...]
    rungs: tuple[Rung, ...]

    def sheets(self) -> list[tuple[float, float]]:
        """Return the top and the height of each part that goes on one sheet of paper."""
        tops = [0.0]
        for rung in self.rungs:
            if rung.top + rung.height - tops[-1] > _SHEET:
                tops.append(rung.top)
        return [(top, below - top) for top, below in pairwise([*tops, self.height])]


def ladder(story: Story) -> Ladder:
    """Return the ladder of a story."""
    return _Drawer(story).ladder()


def arrivals(steps: Sequence[Step]) -> dict[int, int]:
    """Return in which step arrives what was sent in which: by the numbers of both.

    What arrives is what the same end has sent in the same connection: the same segment, or else the one that
    the path made it of.
    """
    found: dict[int, int] = {}
    under_way: list[Step] = []
    for step in steps:
        if step.kind is Kind.SENT:
            under_way.append(step)
        elif step.kind is Kind.ARRIVED:
            sent = _sent_as(step, under_way)
            if sent is not None:
                under_way.remove(sent)
                found[sent.number] = step.number
    return found


def _sent_as(arrived: Step, under_way: Sequence[Step]) -> Step | None:
    candidates = [
        each for each in under_way if (each.connection, each.end) == (arrived.connection, arrived.end)
    ]
    same = (each for each in candidates if _unmarked(each.packet) == _unmarked(arrived.packet))
    alike = (each for each in candidates if _outline(each.packet) == _outline(arrived.packet))
    return next(same, None) or next(alike, None)


def _unmarked(packet: Packet | None) -> Packet | None:
    """Return a segment without the mark of congestion that a path may set."""
    return None if packet is None else packet._replace(ecn="")


def _outline(packet: Packet | None) -> tuple[str, int, int] | None:
    return None if packet is None else (packet.flags, packet.absolute_seq, packet.length)


class _Place(NamedTuple):
    """Where a step is drawn: its strip, where its arrow begins there, and where one ends."""

    top: float
    height: float
    begin: float
    end: float


class _Drawer:
    """Gives each step its place, then draws it."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._arrivals = arrivals(story.steps)
        self._sent = {there: here for here, there in self._arrivals.items()}
        self._is_one = len(story.connections) <= 1
        self._breaks: list[tuple[float, float]] = []
        self._places: dict[int, _Place] = {}
        self._height = self._lay_out()

    def ladder(self) -> Ladder:
        rungs = tuple(
            Rung(
                step,
                self._places[step.number].top,
                self._places[step.number].height,
                tuple(self._shapes(step)),
                self._arrivals.get(step.number, 0),
            )
            for step in self._story.steps
        )
        return Ladder(self._height, tuple(self._backdrop()), rungs)

    def _lay_out(self) -> float:
        """Give each step its place, and each long pause one; return the height of all."""
        top, before = 4.0, None
        for step in self._story.steps:
            if before is not None and step.at_s - before >= LONG_PAUSE_S:
                self._breaks.append((top, step.at_s - before))
                top += _BREAK
            before = max(step.until_s, step.at_s if before is None else before)
            place = self._place(step, top)
            self._places[step.number] = place
            top += place.height
        return top + 14

    def _place(self, step: Step, top: float) -> _Place:
        if step.kind is Kind.ARRIVED and step.number in self._sent:
            return _Place(top, 42, top + 14, top + 14)
        if not step.kind.is_segment:
            return _Place(top, 34, top + 17, top + 17)
        if step.kind is Kind.SENT:
            return _Place(top, 38, top + 25, top + 25)
        slant = 15 if step.until_s > step.at_s or step.kind is Kind.LOST else 0
        return _Place(top, 36 + slant + 16 * bool(_remark(step)), top + 25, top + 25 + slant)

    # What belongs to a step

    def _shapes(self, step: Step) -> Iterator[Shape]:
        yield from self._times(step)
        if step.packet is None or not step.kind.is_segment:
            yield from self._mark(step)
        elif step.kind is Kind.ARRIVED and step.number in self._sent:
            yield from self._arrival(step)
        else:
            yield from self._segment(step, step.packet)

    def _times(self, step: Step) -> Iterator[Shape]:
        place = self._places[step.number]
        yield Text("number", 26, place.begin + 4, "end", Said(str(step.number)))
        yield Text("time", 36, place.begin + 4, "start", Said(words.instant(step.at_s)))
        if place.end > place.begin and step.until_s > step.at_s:
            yield Text("time", 36, place.end + 6, "start", Said(words.instant(step.until_s)))

    def _segment(self, step: Step, packet: Packet) -> Iterator[Shape]:
        place = self._places[step.number]
        sender, receiver = step.end, 1 - step.end
        begin, end = (float(LIFELINES[each] + _INWARD[each] * _HALF_BAR) for each in (sender, receiver))
        start, said = (begin, place.begin), words.segment(packet)
        look = "left" if sender == 0 else "right"
        if step.kind is Kind.SENT:
            there = self._arrivals.get(step.number)
            if there is None:
                end, y = _MIDDLE, place.end + 8
                yield Text("remark", end, y + 4, _TOWARDS[receiver], Said(" … under way"))
            else:
                y = self._places[there].end
            yield from arrow(look, start, (end, y), has_head=there is not None)
        elif step.kind is Kind.LOST:
            yield from arrow("lost", start, (_MIDDLE, place.end), has_head=False)
            yield Path("cross", cross(_MIDDLE, place.end, 7))
            yield Text("alarm", _MIDDLE + _INWARD[sender] * 14, place.end + 5, _FROM[sender], Said("lost"))
        elif step.kind is Kind.FORGED:
            yield from arrow("forged", (_MIDDLE, place.begin), (end, place.end))
            yield Path("stranger", circle(_MIDDLE, place.begin, 6) + cross(_MIDDLE, place.begin, 3))
            said = Said("forged: ") + said
        else:
            yield from arrow(look, start, (end, place.end))
        near = receiver if step.kind is Kind.FORGED else sender
        yield from self._label(step, near, said, place.begin - 8)
        if step.timed:
            yield from _clock(LIFELINES[sender], place.begin)
        remark = _remark(step)
        if remark:
            y = place.end + (22 if step.kind is not Kind.SENT else 0)
            yield Text("alarm", self._beside(receiver), y, _FROM[receiver], Said(remark))

    def _arrival(self, step: Step) -> Iterator[Shape]:
        """Draw what there is to say where an arrow ends that an earlier step has drawn."""
        place, receiver = self._places[step.number], 1 - step.end
        remark = _remark(step)
        text = f"{'' if step.packet is None else step.packet.flags} arrives{'; ' if remark else ''}{remark}"
        yield from self._label(step, receiver, Said(text), place.end + 20, "alarm" if remark else "remark")

    def _mark(self, step: Step) -> Iterator[Shape]:
        """Draw a mark on the lifeline of what happened without a segment, and what it was."""
        y, x = self._places[step.number].begin, LIFELINES[step.end]
        if step.kind is Kind.TIMER:
            yield from _clock(x, y)
        elif step.kind is Kind.DROPPED:
            yield Path("mark", circle(x, y, 9))
            yield Path("hands", cross(x, y, 4))
        elif step.kind is Kind.POOL:
            yield Path("mark", f"M{x - 9} {y - 8}h18v16h-18z")
            yield Path("hands", f"M{x - 9} {y - 3}h18M{x - 9} {y + 2}h18")
        elif step.kind is Kind.ICMP:
            yield Path("mark", circle(x, y, 9))
            yield Path("hands", f"M{x} {y - 5}v6M{x} {y + 4}v1")
        elif step.kind is Kind.REPEATED:
            yield Path("mark", circle(x, y, 9))
            yield Path("hands", "".join(circle(x + aside, y, 1) for aside in (-4, 0, 4)))
        else:
            point = x + _INWARD[step.end] * 9
            yield Path("mark", f"M{x - (point - x)} {y - 9}L{point} {y}L{x - (point - x)} {y + 9}z")
        yield from self._label(
            step, step.end, Said(words.without(self._story.ends[step.end].name, step)), y + 5
        )

    def _label(self, step: Step, end: int, said: Said, y: float, look: str = "label") -> Iterator[Shape]:
        """Write beside the lifeline of *end*, and before that of which connection it is."""
        x: float = self._beside(end)
        if not self._is_one and step.connection is not None:
            yield from badge(x + _INWARD[end] * 8, y - 4.5, step.connection)
            x += _INWARD[end] * 25
        shortened = Said(words.cut(said.relative, _LONGEST), words.cut(said.absolute, _LONGEST))
        yield Text(look, x, y, _FROM[end], shortened)

    @staticmethod
    def _beside(end: int) -> int:
        return LIFELINES[end] + _INWARD[end] * 17

    # What belongs to none

    def _backdrop(self) -> Iterator[Shape]:
        for end, x in enumerate(LIFELINES):
            yield Path("lifeline", f"M{x} 0V{self._height:g}")
            yield from self._states(end)
        for top, seconds in self._breaks:
            middle = top + _BREAK / 2
            for x in LIFELINES:
                yield Path("gap", f"M{x - 9} {middle + 2}l18 -12v8l-18 12z")
                yield Path("torn", f"M{x - 9} {middle + 2}l18 -12M{x - 9} {middle + 10}l18 -12")
            yield Path("torn", f"M36 {middle}H{LIFELINES[0] - 20}M{LIFELINES[1] + 20} {middle}H{WIDTH - 8}")
            yield Text("pause", _MIDDLE, middle + 5, "middle", Said(words.pause(seconds)))

    def _states(self, end: int) -> Iterator[Shape]:
        """Draw where an end stands: a name wherever that changes, and a bar for as long as it lasts."""
        moves = list(self._moves(end))
        last = (self._height - 2, None, None)
        for (y, step, state), (until, *_) in pairwise([*moves, last]):
            if step is None:
                continue
            if self._is_one and state not in (None, State.CLOSED):
                x = LIFELINES[end]
                yield Path("bar", f"M{x - _HALF_BAR} {y:g}h{2 * _HALF_BAR}V{until:g}h{-2 * _HALF_BAR}z")
                for again in range(round(y) + _REPEATED, round(until) - 60, _REPEATED):
                    yield from self._state_name(end, step, again, "again")
            yield from self._state_name(end, step, y, "state")

    def _moves(self, end: int) -> Iterator[tuple[float, Step | None, State | None]]:
        known: dict[int | None, State | None] = {}
        for step in self._story.steps:
            state = step.views[end].state
            if step.connection is None or state is known.get(step.connection):
                continue
            known[step.connection] = state
            place = self._places[step.number]
            arrives = step.kind.is_segment and step.kind is not Kind.SENT and step.end != end
            yield place.end if arrives else place.begin, step, state

    def _state_name(self, end: int, step: Step, y: float, look: str) -> Iterator[Shape]:
        name = words.state(self._story.ends[end], step.views[end]) or "no connection"
        outward = -_INWARD[end]
        x: float = LIFELINES[end] + outward * 12
        if not self._is_one and step.connection is not None:
            yield from badge(x + outward * 8, y, step.connection)
            x += outward * 24
        yield Text(look, x, y + 4, _TOWARDS[end], Said(name))


def _clock(x: float, y: float) -> Iterator[Shape]:
    """Draw a timer that runs out."""
    yield Path("mark", circle(x, y, 9))
    yield Path("hands", f"M{x} {y - 6}V{y}L{x + 4} {y + 3}")


def _remark(step: Step) -> str:
    """Return what to say where a segment ends, such as ``dropped, SYN_CHALLENGED``: the head of a note."""
    changed = [] if step.changed_on_the_way is None else ["changed on the way"]
    return "; ".join([*changed, *(words.cut(note.partition(":")[0], 40) for note in step.notes[:1])])
