"""The ladder of a story as rows of a terminal, one for each step: pieces of text and what they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

from xsocket_tools.teaching.report import words
from xsocket_tools.teaching.report.details import Detail
from xsocket_tools.teaching.report.words import Said
from xsocket_tools.teaching.story import Kind, Packet, Step, Story, View
from xsocket_tools.teaching.tui.printable import cut, padded, printable

HERE: Final = ">"
"""Stands before the step that is shown."""
MORE: Final = "!"
"""Stands behind a segment of which there is a note, or that the path has changed."""
_LEAST_MIDDLE: Final = {False: 26, True: 46}
"""With less room than this between the lifelines there are no instants; absolute numbers need more."""
_LOOKS: Final = {Kind.TIMER: "timer", Kind.DROPPED: "alarm", Kind.POOL: "pool", Kind.ICMP: "alarm"}


class Piece(NamedTuple):
    """A part of a row.

    Attributes:
        text: It, with nothing in it that a terminal acts on.
        look: What it is, which says how it looks; empty for ordinary text.
    """

    text: str
    look: str = ""


class Ends(NamedTuple):
    """What an arrow is made of: how it begins, its head, and what stands behind that."""

    tail: str = "──"
    head: str = "▶"
    mirrored: str = "◀"
    behind: str = ""


_ENDS: Final = {
    Kind.SENT: Ends(head="┄┄", mirrored="┄┄"),
    Kind.ARRIVED: Ends(tail="┄┄"),
    Kind.LOST: Ends(head="✗", mirrored="✗", behind=" lost"),
    Kind.FORGED: Ends(tail="?─"),
}


class Rows:
    """Draws the rows of a story.

    Args:
        story: Of which the steps are.
        details: The steps that are shown.
    """

    def __init__(self, story: Story, details: Sequence[Detail]) -> None:
        self._story = story
        self._details = details
        steps = [detail.step for detail in details]
        connections = len(story.connections)
        self._is_one = connections <= 1
        self._number = max((len(str(step.number)) for step in steps), default=1)
        self._badge = 0 if self._is_one else len(f"#{connections}")
        self._time = max((len(words.instant(step.at_s)) for step in steps), default=4)
        self._state = max((len(self._stands(step, end)) for step in steps for end in (0, 1)), default=0)
        self._state = max(self._state, 8)

    def __len__(self) -> int:
        return len(self._details)

    def heading(self, width: int, *, absolute: bool) -> list[Piece]:
        """Return the names of both ends, each on its side."""
        room, between = self._before(width, absolute), self._between_names(width, absolute)
        left, right = (printable(words.who(end)) for end in self._story.ends)
        connection = self._connection() if self.names_connection(width, absolute=absolute) else ""
        return [
            Piece(padded(left, room, to_the_right=True), "name"),
            Piece(_centered(connection, between), "muted"),
            Piece(cut(right, width - room - between), "name"),
        ]

    def row(self, at: int, width: int, *, is_here: bool, absolute: bool) -> list[Piece]:
        """Return the row of one step.

        Args:
            at: Which of the steps, from 0.
            width: How many columns there are.
            is_here: Whether it is the step that is shown.
            absolute: Whether numbers are those on the wire.
        """
        detail = self._details[at]
        step = detail.step
        pieces = [Piece(HERE if is_here else " ", "here"), Piece(f"{step.number:>{self._number}} ")]
        if self._has_times(width, absolute):
            pieces.append(Piece(f"{words.instant(step.at_s):>{self._time}} ", "muted"))
        if not self._is_one:
            badge = "" if step.connection is None else f"#{step.connection + 1}"
            pieces.append(Piece(f"{badge:<{self._badge}} ", "muted"))
        pieces.append(self._side(step, 0))
        pieces.append(Piece("│", "muted"))
        pieces.append(self._middle(detail, self._room(width, absolute), absolute=absolute))
        pieces.append(Piece("│", "muted"))
        pieces.append(self._side(step, 1))
        return pieces

    def names_connection(self, width: int, *, absolute: bool) -> bool:
        """Whether the heading says of which connection all is: of one alone, and with room for it."""
        return self._is_one and cell_len(self._connection()) + 4 <= self._between_names(width, absolute)

    def _connection(self) -> str:
        return printable(self._story.connections[0]) if self._story.connections else ""

    # Widths

    def _between_names(self, width: int, absolute: bool) -> int:
        room = width - self._before(width, absolute)
        right = cell_len(printable(words.who(self._story.ends[1])))
        return room - max(self._state, min(right, room // 2))

    def _before(self, width: int, absolute: bool) -> int:
        """Return how much there is before the left lifeline."""
        badge = 0 if self._is_one else self._badge + 1
        time = self._time + 1 if self._has_times(width, absolute) else 0
        return 1 + self._number + 1 + time + badge + self._state

    def _has_times(self, width: int, absolute: bool) -> bool:
        return (
            width - self._number - self._badge - self._time - 2 * self._state - 6 >= _LEAST_MIDDLE[absolute]
        )

    def _room(self, width: int, absolute: bool) -> int:
        return max(width - self._before(width, absolute) - 2 - self._state, 12)

    # Parts

    def _side(self, step: Step, end: int) -> Piece:
        text = padded(self._stands(step, end), self._state, to_the_right=end == 0)
        return Piece(text, "moved" if step.views[end].moved else "state")

    def _stands(self, step: Step, end: int) -> str:
        view: View = step.views[end]
        state = words.state(self._story.ends[end], view)
        return f"→ {state or 'none'}" if view.moved else state

    def _middle(self, detail: Detail, room: int, *, absolute: bool) -> Piece:
        step = detail.step
        if step.packet is None or not step.kind.is_segment:
            text = cut(printable(words.without(self._story.ends[step.end].name, step)), room - 2)
            marked = f"• {text}" if step.end == 0 else f"{text} •"
            return Piece(padded(marked, room, to_the_right=step.end == 1), _LOOKS.get(step.kind, ""))
        look = "alarm" if step.kind in (Kind.LOST, Kind.FORGED) else ("left", "right")[step.end]
        return Piece(_arrow(step, step.packet, room, absolute=absolute), look)


def _arrow(step: Step, packet: Packet, room: int, *, absolute: bool) -> str:
    """Return a segment as an arrow from its sender's side to the other one."""
    ends = _ENDS.get(step.kind, Ends())
    said = chosen(words.segment(packet), absolute=absolute)
    label = printable(f"forged: {said}" if step.kind is Kind.FORGED else said)
    if step.notes or step.changed_on_the_way is not None:
        label += f" {MORE}"
    behind = ends.behind
    spare = room - len(ends.tail) - len(ends.head) - len(behind) - 3
    if cell_len(label) > spare:
        spare, behind = spare + len(behind), ""
    label = f" {cut(label, spare)} "
    shaft = "─" * (room - len(ends.tail) - len(ends.head) - len(behind) - cell_len(label))
    if step.kind is Kind.LOST:
        shaft, blanks = shaft[:2], " " * len(shaft[2:])
    else:
        blanks = ""
    if step.end == 0:
        return f"{ends.tail}{label}{shaft}{ends.head}{behind}{blanks}"
    before = f"{behind.strip()} " if behind else ""
    return f"{blanks}{before}{ends.mirrored}{shaft}{label}{ends.tail[::-1]}"


def _centered(text: str, width: int) -> str:
    return padded(" " * max((width - cell_len(text)) // 2, 0) + text, max(width, 0))


def chosen(said: Said, *, absolute: bool) -> str:
    """Return what is said in one way of numbering."""
    return said.absolute if absolute and said.absolute else said.relative


def legend(story: Story) -> Iterator[tuple[str, str]]:
    """Return the signs of the ladder and what each means."""
    yield "───▶", "a segment that is sent and arrives in the same step"
    yield "──┄┄", "a segment that is sent; it arrives in a later step, ┄┄─▶"
    yield "──✗ lost", "a segment that never arrives"
    yield "?──▶", "a forged segment: neither end has sent it"
    yield "•", "a timer, a call, an ICMP error, the pool, or what is told in one, at the end where it happens"
    yield MORE, "there is a note: the segment is dropped, or the path has changed it"
    yield "→ STATE", "the step moves the end to this state"
    if len(story.connections) > 1:
        yield "#2", "the number of the connection"
    yield words.INFERRED, "inferred from the segments, by the transition table: a guess"
