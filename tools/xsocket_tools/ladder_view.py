"""Draws a ladder in the terminal with rich: the peer on the left, the engine on the right, time downwards.

Colour and italics are rich's business: they come on a terminal only. The text alone says everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from xsocket.fourtuple import FourTuple
from xsocket.trace import EventKind
from xsocket_tools.ladder import Arrow, Ladder, Note, Row, States, endpoint

TIME_WIDTH = 9
NARROW_STATES = 15  # "→ SYN-RECEIVED" and a blank
WIDE_STATES = 29  # "~SYN-RECEIVED → ESTABLISHED"
LEAST_MIDDLE = 44

_NOTE_STYLES = {
    EventKind.TIMER: "yellow",
    EventKind.DROPPED: "red",
    EventKind.POOL: "cyan",
    EventKind.ICMP: "red",
}


class Glyphs(NamedTuple):
    """What arrows are drawn with."""

    line: str
    right: str
    left: str
    cross: str
    to: str


_GLYPHS = Glyphs("─", "▶", "◀", "✗", "→")
_ASCII_GLYPHS = Glyphs("-", ">", "<", "x", "->")


class LadderView:
    """A rich renderable of *ladder*; it fits itself to the width it is given, down to 80 columns."""

    def __init__(self, ladder: Ladder, *, peer_name: str = "peer", engine_name: str = "engine") -> None:
        self._ladder = ladder
        self._peer_name = peer_name
        self._engine_name = engine_name

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as a table of four columns, and say below what is inferred."""
        glyphs = _ASCII_GLYPHS if options.ascii_only else _GLYPHS
        wide = options.max_width >= TIME_WIDTH + 2 * WIDE_STATES + LEAST_MIDDLE
        state_width = WIDE_STATES if wide else NARROW_STATES
        middle = max(options.max_width - TIME_WIDTH - 2 * state_width, 20)
        marks = tuple("~" if each else "" for each in (self._ladder.inferred, self._ladder.engine_inferred))
        drawing = _Drawing(glyphs, middle - 1, wide=wide, marks=(marks[0], marks[1]))
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        table.add_column("ms", width=TIME_WIDTH - 1, justify="right")
        table.add_column(self._peer_name, width=state_width - 1)
        endpoints = Text(_endpoints(self._ladder.four_tuple, middle - 1))  # brackets are no markup
        table.add_column(endpoints, width=middle - 1)
        table.add_column(self._engine_name, width=state_width - 1)
        for row in self._ladder.rows:
            table.add_row(*drawing.cells(row))
        yield table
        if self._ladder.inferred:
            yield Text(
                "~ inferred from the segments by the transition table: this end kept no trace",
                style="dim italic",
            )


def _endpoints(four_tuple: FourTuple, width: int) -> str:
    """Return the peer's endpoint on the left and ours on the right, below each other if they must."""
    local, local_port, remote, remote_port = four_tuple
    left, right = endpoint(remote, remote_port), endpoint(local, local_port)
    if len(left) + len(right) < width:
        return f"{left}{right:>{width - len(left)}}"
    return f"{left}\n{right:>{width}}"


def _milliseconds(seconds: float) -> str:
    text = f"{seconds * 1000:.3f}"
    return text if len(text) < TIME_WIDTH else f"{seconds * 1000:.0f}"


def _wrapped(parts: Iterable[str], width: int) -> str:
    """Join *parts* with blanks, and begin a new line rather than break one in two."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 2 + len(part) <= width:
            lines[-1] += f"  {part}"
        else:
            lines.append(part)
    return "\n".join(lines)


class _Drawing:
    """How rows become cells."""

    def __init__(self, glyphs: Glyphs, middle: int, *, wide: bool, marks: tuple[str, str]) -> None:
        self._glyphs = glyphs
        self._middle = middle
        self._wide = wide
        self._marks = marks

    def cells(self, row: Row) -> tuple[Text, Text, Group, Text]:
        at = Text(_milliseconds(row.at_s), style="dim")
        peer, engine = self._states(row.peer, self._marks[0]), self._states(row.engine, self._marks[1])
        further = [Text(line, style="dim cyan") for line in row.details]
        if isinstance(row, Note):
            return at, peer, Group(Text(row.text, style=_NOTE_STYLES.get(row.kind, "")), *further), engine
        details = Text(
            _wrapped(filter(None, [f"win {row.window}", row.ecn, *row.options]), self._middle), style="dim"
        )
        lines = [self._line(row), details]
        if row.rule is not None:
            lines.append(Text(f"by {row.rule}", style="dim magenta"))
        return at, peer, Group(*lines, *further), engine

    def _line(self, row: Arrow) -> Text:
        """Return the arrow, its head where it arrives or a cross where it was lost."""
        glyphs = self._glyphs
        numbers = f"seq {row.seq}" if row.ack is None else f"seq {row.seq} ack {row.ack}"
        label = f" {row.flags} {numbers}" + (f" len {row.length} " if row.length else " ")
        room = max(self._middle - len(label) - 3, 1)
        tail = glyphs.line * 2
        head = glyphs.cross if row.lost else glyphs.right if row.to_engine else glyphs.left
        if row.to_engine:
            return Text(tail + label + glyphs.line * room + head, style="green", no_wrap=True)
        return Text(head + tail + label + glyphs.line * room, style="blue", no_wrap=True)

    def _states(self, states: States, mark: str = "") -> Text:
        style = "italic" if mark else ""
        after = "" if states.after is None else mark + states.after.value
        if not states.changed or states.before is None:
            return Text(after, style=style if not states.changed else f"{style} bold")
        between = f" {self._glyphs.to} " if self._wide else f"\n{self._glyphs.to} "
        value = states.after.value if states.after is not None else ""
        return Text(f"{mark}{states.before.value}{between}{value}", style=f"{style} bold")
