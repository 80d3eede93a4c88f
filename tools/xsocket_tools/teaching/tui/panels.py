"""What there is to say of one step, as texts and tables for the panels beside the ladder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xsocket_tools.teaching.report import words
from xsocket_tools.teaching.report.details import Cell, Detail, Row
from xsocket_tools.teaching.story import Because, Source, Story
from xsocket_tools.teaching.tui.printable import cut, printable
from xsocket_tools.teaching.tui.rows import chosen

CHANGED: Final = "*"
"""Stands before what the step has changed."""
_LONGEST: Final = 20
"""Names of ends are cut to this above a table."""


def said_first(detail: Detail, *, absolute: bool, with_connection: bool) -> Text:
    """Return the title of a step, when it was, what it is, and if asked of which connection."""
    title = Text(f"{detail.step.number}. {printable(chosen(detail.title, absolute=absolute))}", style="bold")
    connection = f"; {printable(detail.connection)}" if with_connection and detail.connection else ""
    return Text.assemble(title, f"\n{detail.when}: {printable(detail.kind)}{connection}")


def both_ends(story: Story, detail: Detail, *, absolute: bool, changed_first: bool) -> RenderableType:
    """Return the table of both ends: their states, before and after, and their variables.

    Args:
        story: Of which the step is.
        detail: The step.
        absolute: Whether numbers are those on the wire.
        changed_first: Whether what the step changed comes before the rest, for where there is little room.
    """
    state, *variables = detail.rows
    if changed_first:
        variables.sort(key=lambda row: not any(cell.is_changed for cell in row.cells))
    heads = ["", *(end.name for end in story.ends)]
    signs = [f"{CHANGED} changed by this step"] if _has_changes(detail.rows) else []
    if any(end.source is not Source.RECORDED for end in story.ends):
        signs.append(f"{words.INFERRED} inferred from the segments")
    return Group(
        _table(heads, [state, *variables], absolute=absolute), Text("   ".join(signs), style="italic")
    )


def reasons(detail: Detail) -> RenderableType:
    """Return what there is to note, and the rules with what they ask; nothing where there is neither."""
    parts: list[RenderableType] = [Text(f"! {printable(note)}", style="bold") for note in detail.step.notes]
    if detail.because:
        parts.append(_heading("Rules"))
        parts += [line for name, each in detail.because for line in _rule(name, each)]
    return _spaced(parts)


def segment(detail: Detail, *, absolute: bool) -> RenderableType:
    """Return the fields of the segment, as it was sent and as it arrived where these differ."""
    if not detail.packet:
        return ""
    heads = ["", "as it was sent", "as it arrived"] if detail.is_altered else []
    title = "Segment, changed on the way" if detail.is_altered else "Segment"
    return _spaced([_heading(title), _table(heads, detail.packet, absolute=absolute)])


def held(story: Story, detail: Detail, *, is_narrow: bool) -> RenderableType:
    """Return what both ends hold besides the one connection; nothing where that is not known.

    Args:
        story: Of which the step is.
        detail: The step.
        is_narrow: Whether the ends are below each other and not side by side.
    """
    if not detail.held:
        return ""
    names = [cut(printable(end.name), _LONGEST) for end in story.ends]
    if not is_narrow:
        return _spaced(
            [
                _heading("Connections held"),
                _table(["", *(end.name for end in story.ends)], detail.held, absolute=False),
            ]
        )
    lines = [_heading("Connections held")]
    for row in detail.held:
        lines.append(Text(f"{row.name}:"))
        lines += [
            Text(f"  {name}: {printable(cell.said.relative)}")
            for name, cell in zip(names, row.cells, strict=True)
        ]
    return _spaced(lines)


def _rule(name: str, because: Because) -> Iterator[Text]:
    did = Text(printable(because.did), style="bold")
    yield Text.assemble(f"{printable(name)}: ", did, f", {printable(because.key)}")
    if because.title or because.sentence:
        title = Text(f"  {printable(because.title)}. ", style="italic")
        yield Text.assemble(title, printable(because.sentence))


def _table(heads: Sequence[str], rows: Sequence[Row], *, absolute: bool) -> Table:
    """Return a table in which each value has a column of its own for the sign before it."""
    table = Table(box=None, padding=0, show_header=bool(heads), header_style="bold")
    table.add_column(Text(heads[0] if heads else ""), no_wrap=True)
    for at in range(max((len(row.cells) for row in rows), default=0)):
        table.add_column("", width=2, justify="right")
        head = cut(printable(heads[at + 1]), _LONGEST) if heads else ""
        table.add_column(Text(head), overflow="fold", ratio=1)
    for row in rows:
        cells = (part for cell in row.cells for part in _cell(cell, absolute=absolute))
        table.add_row(Text(printable(row.name)), *cells)
    return table


def _cell(cell: Cell, *, absolute: bool) -> tuple[Text, Text]:
    style = "bold" if cell.is_changed else ""
    value = printable(chosen(cell.said, absolute=absolute))
    return Text(CHANGED if cell.is_changed else "", style=style), Text(value, style=style)


def _has_changes(rows: Sequence[Row]) -> bool:
    return any(cell.is_changed for row in rows for cell in row.cells)


def _heading(text: str) -> Text:
    return Text(text, style="bold underline")


def _spaced(parts: Sequence[RenderableType]) -> RenderableType:
    """Return *parts* below each other and a blank line; nothing if there are none."""
    return Group(*parts, Text("")) if parts else ""
