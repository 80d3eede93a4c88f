"""Pictures of a machine: in the language of Graphviz, and as SVG without it.

What leads from one state to the same other one is one arrow, with the letters of the same answer together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import hypot
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from xsocket_tools.learning.machine import Machine, nearest

_COLUMN: Final = 420
"""From one column to the next, pixels."""
_ROW: Final = 150
_WIDTH: Final = 220
_LINE: Final = 14
_MARGIN: Final = 40
_MOST_LINES: Final = 3
"""The most lines of a label; the tooltip has all of it."""
_MOST_CHARACTERS: Final = 34

_STYLE: Final = """\
text { font: 11px sans-serif; fill: #222; }
.label { text-anchor: middle; paint-order: stroke; stroke: #fff; stroke-width: 4px; }
.name { font: bold 13px sans-serif; text-anchor: middle; }
.stays { text-anchor: middle; fill: #666; }
.state { fill: #eef4fb; stroke: #30567d; stroke-width: 1.5; }
.initial { stroke-width: 3; }
.move { fill: none; stroke: #30567d; stroke-width: 1.2; }
g:hover > .move { stroke: #c2410c; stroke-width: 2.5; }
"""


def labels(machine: Machine) -> dict[tuple[str, str], list[str]]:
    """Return for each pair of states what leads from one to the other: lines of ``letters / answer``."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for state, moves in machine.table.items():
        for letter, move in moves.items():
            found.setdefault((state, move.to), {}).setdefault(move.output, []).append(letter)
    return {
        pair: [f"{', '.join(letters)} / {output}" for output, letters in by_output.items()]
        for pair, by_output in found.items()
    }


def dot(machine: Machine) -> str:
    """Return *machine* in the language of Graphviz."""
    lines = ["digraph {", "  rankdir=LR", "  node [shape=box, style=rounded]"]
    lines += ['  "" [shape=none]', f'  "" -> {_quoted(machine.initial)}']
    lines += [f"  {_quoted(state)}" for state in machine.table]
    for (start, end), text in labels(machine).items():
        lines.append(f"  {_quoted(start)} -> {_quoted(end)} [label={_quoted(chr(10).join(text))}]")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # Graphviz reads \" and \n as JSON does


class _Box(NamedTuple):
    """Where a state is, by its middle, and what keeps it there."""

    name: str
    x: float
    y: float
    stays: list[str]

    @property
    def height(self) -> float:
        return 34 + _LINE * len(_short(self.stays))


def svg(machine: Machine) -> str:
    """Return *machine* as an SVG picture: states in columns, by how many letters it takes to get there."""
    texts = labels(machine)
    columns: dict[int, list[str]] = {}
    for state, word in nearest(machine.table, machine.initial).items():
        columns.setdefault(len(word), []).append(state)
    tallest = max(map(len, columns.values()))
    boxes = {
        state: _Box(
            state,
            _MARGIN + _WIDTH / 2 + column * _COLUMN,
            _MARGIN + (at + 0.5 + (tallest - len(states)) / 2) * _ROW,
            texts.get((state, state), []),
        )
        for column, states in columns.items()
        for at, state in enumerate(states)
    }
    width = 2 * _MARGIN + _WIDTH + (len(columns) - 1) * _COLUMN
    height = 2 * _MARGIN + tallest * _ROW
    arrows = (_arrow(boxes[start], boxes[end], text) for (start, end), text in texts.items() if start != end)
    states = (_state(box, box.name == machine.initial) for box in boxes.values())
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
    return "\n".join(
        [
            head,
            f"<title>{escape(machine.name)}</title>",
            f"<style>{_STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#30567d"/></marker></defs>',
            '<rect width="100%" height="100%" fill="#fff"/>',
            *arrows,
            *states,
            "</svg>\n",
        ]
    )


def _state(box: _Box, is_initial: bool) -> str:
    x, y = box.x - _WIDTH / 2, box.y - box.height / 2
    kind = "state initial" if is_initial else "state"
    lines = [f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{box.height:g}" rx="8"/>']
    lines.append(f'<text class="name" x="{box.x:g}" y="{y + 20:g}">{escape(box.name)}</text>')
    lines += _text(_short(box.stays), "stays", box.x, y + 36)
    return _group(box.name, box.stays, lines)


def _arrow(start: _Box, end: _Box, text: list[str]) -> str:
    """Return a curve that bends to its left, so that there and back are two."""
    dx, dy = end.x - start.x, end.y - start.y
    length = hypot(dx, dy)
    is_next = 0 < dx <= _COLUMN
    bend = 24 if is_next else 40 + length / 6
    middle_x = (start.x + end.x) / 2 + bend * dy / length
    middle_y = (start.y + end.y) / 2 - bend * dx / length
    x1, y1 = _edge(start, middle_x, middle_y)
    x2, y2 = _edge(end, middle_x, middle_y)
    path = f"M{x1:.1f},{y1:.1f} Q{middle_x:.1f},{middle_y:.1f} {x2:.1f},{y2:.1f}"
    short = _short(text)
    at_x, at_y = (x1 + 2 * middle_x + x2) / 4, (y1 + 2 * middle_y + y2) / 4
    lines = [f'<path class="move" d="{path}" marker-end="url(#head)"/>']
    lines += _text(short, "label", at_x, at_y - _LINE * (len(short) - 1) / 2)
    return _group(f"{start.name} to {end.name}", text, lines)


def _edge(box: _Box, x: float, y: float) -> tuple[float, float]:
    """Return where the line from the middle of *box* to a point leaves it."""
    dx, dy = x - box.x, y - box.y
    scale = min(
        _WIDTH / 2 / abs(dx) if dx else float("inf"), box.height / 2 / abs(dy) if dy else float("inf")
    )
    return box.x + dx * scale, box.y + dy * scale


def _short(text: list[str]) -> list[str]:
    """Return as many lines as there is room for, none of them long."""
    lines = (
        text if len(text) <= _MOST_LINES else [*text[: _MOST_LINES - 1], f"and {len(text) - 2} more answers"]
    )
    return [_shortened(line) for line in lines]


def _shortened(line: str) -> str:
    if len(line) <= _MOST_CHARACTERS:
        return line
    letters, _, output = line.rpartition(" / ")
    first, *others = letters.split(", ")
    return f"{first} and {len(others)} more / {output}" if others else line


def _text(lines: list[str], kind: str, x: float, y: float) -> Iterator[str]:
    for at, line in enumerate(lines):
        yield f'<text class="{kind}" x="{x:.1f}" y="{y + at * _LINE:.1f}">{escape(line)}</text>'


def _group(title: str, text: list[str], lines: list[str]) -> str:
    tooltip = escape("\n".join([title, *text]))
    return f"<g><title>{tooltip}</title>\n" + "\n".join(lines) + "\n</g>"
