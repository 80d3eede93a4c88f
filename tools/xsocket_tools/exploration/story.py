"""A sequence of choices as people read it: what happened, and the states of both ends after it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from xsocket.segment import Segment
from xsocket_tools.exploration.behaviour import Outcome
from xsocket_tools.exploration.end import NAMES, NOWHERE, Call
from xsocket_tools.exploration.whole import Choice, Kind, Whole, World


class Line(NamedTuple):
    """A choice and what came of it.

    Attributes:
        what: The choice, such as ``B gets S seq 0``.
        a, b: The states of the ends after it.
        did: What the ends did besides: rules, drop reasons, segments sent.
    """

    what: str
    a: str
    b: str
    did: str


def story(world: World, path: Iterable[Choice]) -> list[Line]:
    """Go along *path* from the beginning, and tell it."""
    whole, lines = world.beginning(), []
    for choice in path:
        after = next(after for each, after, _ in world.successors(whole) if each == choice)
        a, b = (world.behaviour.standings[end].state.value for end in after.ends)
        lines.append(Line(_what(world, choice), a, b, "; ".join(_did(world, whole, choice))))
        whole = after
    return lines


def describe(segment: Segment) -> str:
    """Return a segment as ``F. seq 1 ack 1``, with ``len`` where it has text."""
    text = f"{segment.letters} seq {'zero' if segment.seq == NOWHERE else segment.seq}"
    if segment.ack is not None:
        text += f" ack {segment.ack}"
    return text + (f" len {len(segment.payload)}" if segment.payload else "")


def _what(world: World, choice: Choice) -> str:
    name = NAMES[choice.side]
    if choice.kind is Kind.CALL:
        return f"{name} calls {Call(choice.what).name}" if choice.what != Call.CRASH else f"{name} crashes"
    if choice.kind is Kind.TIME:
        return f"time passes: {' and '.join(NAMES[side] for side in _who_fires(choice))}"
    segment = describe(world.behaviour.segments[choice.what])
    return _OF_SEGMENT[choice.kind].format(name=name, segment=segment)


_OF_SEGMENT = {
    Kind.ARRIVE: "{name} gets {segment}",
    Kind.ARRIVE_LATE: "{name} gets late {segment}",
    Kind.LOSE: "lost on its way to {name}: {segment}",
    Kind.COPY: "doubled on its way to {name}: {segment}",
    Kind.DELAY: "held up on its way to {name}: {segment}",
}


def _did(world: World, whole: Whole, choice: Choice) -> Iterator[str]:
    for side, outcome in _outcomes(world, whole, choice):
        yield from outcome.told
        for segment in outcome.sent:
            yield f"{NAMES[side]} sends {describe(world.behaviour.segments[segment])}"
        if outcome.wrong:
            yield f"{NAMES[side]} {outcome.wrong}"


def _outcomes(world: World, whole: Whole, choice: Choice) -> Iterator[tuple[int, Outcome]]:
    """Ask again, for each end that did something; it is remembered."""
    behaviour, end = world.behaviour, whole.ends[choice.side]
    if choice.kind is Kind.CALL:
        yield choice.side, behaviour.call(end, Call(choice.what))
    elif choice.kind in (Kind.ARRIVE, Kind.ARRIVE_LATE):
        yield choice.side, behaviour.arrival(end, choice.what)
    elif choice.kind is Kind.TIME:
        seconds = min(behaviour.standings[each].due_s for each in whole.ends)
        for side in _who_fires(choice):
            yield side, behaviour.wait(whole.ends[side], seconds, fires=True)


def _who_fires(choice: Choice) -> list[int]:
    return [side for side in (0, 1) if choice.what >> side & 1]
