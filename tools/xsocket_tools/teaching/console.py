"""A story in the terminal: a ladder for each connection, with what each step changed at both ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from xsocket.trace import EventKind
from xsocket_tools.ladder import Arrow, Ladder, Note, Row, States
from xsocket_tools.ladder_view import LadderView
from xsocket_tools.teaching.folding import folded
from xsocket_tools.teaching.report import words
from xsocket_tools.teaching.report.words import Said
from xsocket_tools.teaching.story import Because, End, Kind, Packet, Source, Step, Story, Variable, View

NOBODY: Final = "nobody"
"""The name of whoever has a false address."""
_KINDS: Final = {
    Kind.TIMER: EventKind.TIMER,
    Kind.DROPPED: EventKind.DROPPED,
    Kind.POOL: EventKind.POOL,
    Kind.ICMP: EventKind.ICMP,
    Kind.ARRIVED: EventKind.RECEIVED,
    Kind.FORGED: EventKind.DROPPED,
}


class StoryView:
    """A rich renderable of *story*.

    Args:
        story: What to show.
        connection: The number of the only one to show, from 0; all of them without it.
        absolute: Sequence numbers as they are on the wire.
    """

    def __init__(self, story: Story, *, connection: int | None = None, absolute: bool = False) -> None:
        self._story = folded(story) if connection is None else story
        self._shown = range(len(story.connections)) if connection is None else (connection,)
        self._beside = [step for step in story.steps if step.connection is None and connection is None]
        self._absolute = absolute

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it, no wider than *options* allow."""
        left, right = self._story.ends
        for number in self._shown:
            ladder = self._ladder(number)
            if ladder.rows:  # else all of it is told with another one
                peer = NOBODY if number in self._story.spoofed else _name_of(left)
                yield LadderView(ladder, peer_name=peer, engine_name=_name_of(right))
        for step in self._beside:
            yield Text(f"{1000 * step.at_s:8.3f} {step.title}")
        for note in self._story.notes:
            yield Text(note)

    def _ladder(self, connection: int) -> Ladder:
        left, right = self._story.ends
        steps = [step for step in self._story.steps if step.connection == connection]
        return Ladder(
            self._story.four_tuples[connection].reversed,
            [self._row(step) for step in steps],
            inferred=left.source is Source.INFERRED,
            engine_inferred=right.source is Source.INFERRED,
        )

    def _row(self, step: Step) -> Row:
        peer, engine = (_states(view) for view in step.views)
        details = tuple(self._details(step))
        packet = self._numbered(step.packet)
        if packet is None or step.kind in (Kind.ARRIVED, Kind.FORGED):
            kind = _KINDS.get(step.kind, EventKind.MOVED)
            return Note(step.at_s, kind, self._in_numbers(words.title(step)), engine, peer, details)
        rules = [each for each in step.because if each.did.startswith("sent ")]
        return Arrow(
            at_s=step.at_s,
            to_engine=step.end == 0,
            flags=packet.flags,
            seq=packet.seq,
            ack=packet.ack,
            length=packet.length,
            window=packet.window,
            options=packet.options,
            peer=peer,
            engine=engine,
            rule=_told(rules[0]) if rules else None,
            lost=step.kind is Kind.LOST,
            ecn=packet.ecn,
            details=details,
        )

    def _details(self, step: Step) -> Iterator[str]:
        arrived = self._numbered(step.changed_on_the_way)
        if arrived is not None:
            yield f"arrives as {_packet(arrived)}"
        yield from step.notes
        for end, view in zip(self._story.ends, step.views, strict=True):
            changed = [each for each in view.variables if each.changed]
            if changed:
                yield f"{end.name}: {', '.join(f'{each.name} {self._value(each)}' for each in changed)}"

    def _numbered(self, packet: Packet | None) -> Packet | None:
        """Return a segment with the numbers that are shown."""
        return packet.on_the_wire if packet is not None and self._absolute else packet

    def _value(self, variable: Variable) -> str:
        return self._in_numbers(words.value(variable))

    def _in_numbers(self, said: Said) -> str:
        """Return something with the numbers that are shown."""
        return said.absolute if self._absolute and said.absolute else said.relative


def _name_of(end: End) -> str:
    return f"{end.name} ({end.what})" if end.what else end.name


def _states(view: View) -> States:
    return States(view.before, view.state)


def _packet(packet: Packet) -> str:
    ecn = (packet.ecn,) if packet.ecn else ()
    return "  ".join((str(packet), f"win {packet.window}", *ecn, *packet.options))


def _told(because: Because) -> str:
    return f"{because.key}: {because.sentence}" if because.sentence else because.key
