"""What the page says of each step, and what its script needs to show the step in the drawings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from xsocket_tools.teaching.report import words
from xsocket_tools.teaching.report.diagram import used
from xsocket_tools.teaching.report.ladder import arrivals
from xsocket_tools.teaching.report.words import Said
from xsocket_tools.teaching.story import Because, Kind, Packet, Step, Story, Tables, Variable, View

MOST_NAMED: Final = 12
"""How many connections of a table are named; of the others there is how many."""
_KINDS: Final = {
    Kind.CARRIED: "a segment from {sender} to {receiver}",
    Kind.SENT: "a segment leaves {sender}",
    Kind.ARRIVED: "a segment arrives at {receiver}",
    Kind.LOST: "a segment from {sender} is lost",
    Kind.FORGED: "a forged segment arrives at {receiver}",
    Kind.TIMER: "a timer at {sender}",
    Kind.DROPPED: "a frame or a connection is dropped at {sender}",
    Kind.POOL: "the pool of {sender}",
    Kind.CALL: "a call at {sender}",
    Kind.ICMP: "an ICMP error arrives at {sender}",
    Kind.REPEATED: "steps like those before, in other connections, at {sender}",
}


class Cell(NamedTuple):
    """What a table says in one place, and whether that is new."""

    said: Said
    is_changed: bool = False


class Row(NamedTuple):
    """One line of a table."""

    name: str
    cells: tuple[Cell, ...]


class Detail(NamedTuple):
    """One step.

    Attributes:
        step: It.
        title: Its title.
        kind: What it is, in words.
        when: The instant, or both.
        connection: Which one, where there are several.
        states: Where both ends stand, in one sentence.
        rows: The states and variables of both ends.
        packet: The segment: each field, and in a second cell as it arrived if the path changed it.
        is_altered: Whether it did.
        because: The rules, each with the name of the end.
        held: What each end holds besides; empty where neither is known.
        dots: The state that each end's dot is in, by its name; empty for nowhere.
        edges: The names of the edges that the ends go along.
    """

    step: Step
    title: Said
    kind: str
    when: str
    connection: str
    states: str
    rows: tuple[Row, ...]
    packet: tuple[Row, ...]
    is_altered: bool
    because: tuple[tuple[str, Because], ...]
    held: tuple[Row, ...]
    dots: tuple[str, str]
    edges: tuple[str, ...]


def details(story: Story) -> list[Detail]:
    """Return what there is to say of each step."""
    sent = {there: story.steps[here - 1].packet for here, there in arrivals(story.steps).items()}
    return [_detail(story, step, sent.get(step.number)) for step in story.steps]


def _detail(story: Story, step: Step, sent: Packet | None) -> Detail:
    names = {"sender": story.ends[step.end].name, "receiver": story.ends[1 - step.end].name}
    before, after = _on_the_way(step, sent)
    return Detail(
        step,
        words.title(step),
        _KINDS[step.kind].format(**names),
        words.instant(step.at_s) + (f" to {words.instant(step.until_s)}" if step.until_s > step.at_s else ""),
        _connection(story, step),
        _states(story, step),
        tuple(_variables(story, step)),
        () if before is None else tuple(_packet(before, after)),
        after is not None,
        tuple((story.ends[each.end].name, each) for each in step.because),
        tuple(_held(step.tables)),
        _dots(story, step),
        tuple(used(step)),
    )


def _connection(story: Story, step: Step) -> str:
    if step.connection is None:
        return ""
    prefix = f"connection {step.connection + 1}: " if len(story.connections) > 1 else ""
    return prefix + story.connections[step.connection]


def _states(story: Story, step: Step) -> str:
    if step.connection is None:
        return "no connection is concerned"
    prefix = f"connection {step.connection + 1}: " if len(story.connections) > 1 else ""
    return prefix + ", ".join(_stands(story, step, end) for end in (0, 1))


def _stands(story: Story, step: Step, end: int) -> str:
    name, view = story.ends[end].name, step.views[end]
    if view.state is None:
        return f"{name} has no connection"
    stands = f"{name} {words.state(story.ends[end], view)}"
    if not view.moved or view.before is None:
        return stands
    return f"{stands} (was {view.before.value})"


# Segments


def _on_the_way(step: Step, sent: Packet | None) -> tuple[Packet | None, Packet | None]:
    """Return the segment as it was sent and, if the path has changed it, as it arrived."""
    if step.changed_on_the_way is not None:
        return step.packet, step.changed_on_the_way
    if sent is not None and step.packet is not None and sent != step.packet:
        return sent, step.packet
    return step.packet, None


def _packet(packet: Packet, arrived: Packet | None) -> Iterator[Row]:
    has_ecn = any(each is not None and each.ecn for each in (packet, arrived))
    for name, said in _fields(packet).items():
        if name == "ECN" and not has_ecn:
            continue
        if arrived is None:
            yield Row(name, (Cell(said),))
        else:
            after = _fields(arrived)[name]
            yield Row(name, (Cell(said), Cell(after, is_changed=said != after)))


def _fields(packet: Packet) -> dict[str, Said]:
    ack = Said("none")
    if packet.ack is not None:
        ack = Said(str(packet.ack), str(packet.absolute_ack))
    return {
        "flags": Said(packet.flags or "none"),
        "seq": Said(str(packet.seq), str(packet.absolute_seq)),
        "ack": ack,
        "length": Said(f"{packet.length:,} octet{'s' * (packet.length != 1)}"),
        "window": Said(f"{packet.window:,}"),
        "options": words.options(packet),
        "ECN": Said(packet.ecn or "Not-ECT"),
    }


# Ends


def _variables(story: Story, step: Step) -> Iterator[Row]:
    moves = (
        Cell(Said(words.move(end, view)), view.moved)
        for end, view in zip(story.ends, step.views, strict=True)
    )
    yield Row("state", tuple(moves))
    left, right = ({each.name: each for each in view.variables} for view in step.views)
    for name in _in_order(*step.views):
        yield Row(name, (_cell(left.get(name)), _cell(right.get(name))))


def _in_order(left: View, right: View) -> Sequence[str]:
    """Return the names of both ends' variables: in the order of whoever has more, then the others."""
    first, second = sorted((left.variables, right.variables), key=len, reverse=True)
    return list(dict.fromkeys(each.name for each in (*first, *second)))


def _cell(variable: Variable | None) -> Cell:
    if variable is None:
        return Cell(Said(""))
    return Cell(words.value(variable), variable.changed)


def _held(tables: tuple[Tables | None, Tables | None]) -> Iterator[Row]:
    if tables == (None, None):
        return
    for name, held in (
        ("half-open", [None if each is None else each.half_open for each in tables]),
        ("in the pool", [None if each is None else each.pool for each in tables]),
    ):
        yield Row(name, tuple(Cell(Said(_named(each))) for each in held))
    if any(each is not None and each.owners for each in tables):
        owned = [
            None if each is None else tuple(f"{name} {owner}'s" for name, owner in each.owners)
            for each in tables
        ]
        yield Row("of workers", tuple(Cell(Said(_named(each))) for each in owned))
    for name, counts in (
        ("claims that wait", [None if each is None else each.waiting_claims for each in tables]),
        ("claimed so far", [None if each is None else each.claimed for each in tables]),
    ):
        yield Row(name, tuple(Cell(Said("not known" if each is None else str(each))) for each in counts))


def _named(connections: tuple[str, ...] | None) -> str:
    if connections is None:
        return "not known"
    if not connections:
        return "none"
    more = len(connections) - MOST_NAMED
    return ", ".join(connections[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _dots(story: Story, step: Step) -> tuple[str, str]:
    """Return where the dots are; where a step concerns no connection they are where they were."""
    while step.connection is None and step is not story.steps[0]:
        step = story.steps[step.number - 2]
    left, right = ("" if view.state is None else view.state.value for view in step.views)
    return left, right
