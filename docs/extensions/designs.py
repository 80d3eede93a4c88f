"""Three ways to share a port, drawn from one description: ``{designs}`` is a picture, the README has text.

``python docs/extensions/designs.py`` prints the text.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from textwrap import dedent
from typing import Final, NamedTuple

from docutils import nodes
from pictures import drawing, placed
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from xsocket_tools.teaching.report.shapes import Path, Shape, Text, head
from xsocket_tools.teaching.report.words import Said


class Design(NamedTuple):
    """How connections come from handshakes to those who serve them.

    Attributes:
        name: Of the design.
        decides: What chooses a queue when the SYN comes; empty if there is one queue.
        queues: Where connections wait.
        calls: How somebody gets one.
        workers: Who, at the queue of that place or, if there is one queue, all at it.
        is_asked: Whether they say which connection they want.
        means: What that means, in two lines.
    """

    name: str
    decides: str
    queues: tuple[str, ...]
    calls: str
    workers: tuple[str, ...]
    is_asked: bool
    means: tuple[str, str]


DESIGNS: Final = (
    Design(
        "a listener",
        "",
        ("accept queue",),
        "accept()",
        ("one owner",),
        False,
        ("the owner gets all,", "and shares them out"),
    ),
    Design(
        "SO_REUSEPORT",
        "hash of the 4-tuple",
        ("queue", "queue", "queue"),
        "accept()",
        ("A", "B", "C"),
        False,
        ("the hash decides, before any", "handshake, who gets which"),
    ),
    Design(
        "the pool",
        "",
        ("pool",),
        "claim(), by 4-tuple or any",
        ("A", "B", "C"),
        True,
        ("each worker says which", "connection it wants"),
    ),
)
_COLUMNS: Final = 30
"""Of text, for each design."""
_APART: Final = 9
"""Workers, and queues, from the middle of one to that of the next."""


def as_text() -> str:
    """Return the designs side by side, in lines of text."""
    beside = zip(*map(_lines, DESIGNS), strict=True)
    return dedent("\n".join("".join(parts).rstrip() for parts in beside)) + "\n"


def _lines(design: Design) -> Iterator[str]:
    queues, workers = _middles(len(design.queues)), _middles(len(design.workers))
    middle = _COLUMNS // 2
    yield _row({middle: design.name})
    yield ""
    yield _row({middle: "handshakes"})
    yield _row({middle: design.decides or "│"})
    yield _fan(queues)
    half = 3 if len(queues) > 1 else max(8, (workers[-1] - workers[0]) // 2 + 3)
    yield _row({at: _border("┌", "▼", "┐", half) for at in queues})
    yield _row({at: f"│{name:^{2 * half - 1}}│" for at, name in zip(queues, design.queues, strict=True)})
    yield _row(_bottoms(queues, workers, half, design))
    yield _row({middle: design.calls})
    yield _row(dict.fromkeys(workers, "│"))
    yield _row(dict(zip(workers, design.workers, strict=True)))
    yield ""
    yield from (_row({middle: line}) for line in design.means)


def _bottoms(queues: Sequence[int], workers: Sequence[int], half: int, design: Design) -> dict[int, str]:
    """Return the lower borders of the queues, with the places where the workers are at them."""
    mark = "▲" if design.is_asked else "┬"
    if len(queues) > 1:
        return {at: _border("└", mark, "┘", half) for at in queues}
    border = [*f"└{'─' * (2 * half - 1)}┘"]
    for at in workers:
        border[at - queues[0] + half] = mark
    return {queues[0]: "".join(border)}


def _border(left: str, mark: str, right: str, half: int) -> str:
    return f"{left}{'─' * (half - 1)}{mark}{'─' * (half - 1)}{right}"


def _fan(queues: Sequence[int]) -> str:
    """Return the line that leads to several queues, or to the one."""
    if len(queues) == 1:
        return _row({queues[0]: "│"})
    corners = ["┌", *"┼" * (len(queues) - 2), "┐"]
    gaps = ["─" * (after - before - 1) for before, after in pairwise(queues)]
    drawn = "".join(corner + gap for corner, gap in zip(corners, [*gaps, ""], strict=True))
    return _row({(queues[0] + queues[-1]) // 2: drawn})


def _middles(count: int) -> list[int]:
    """Return where the middles of so many things are, next to each other."""
    return [_COLUMNS // 2 + _APART * (2 * place - count + 1) // 2 for place in range(count)]


def _row(words: dict[int, str]) -> str:
    """Return a line with words, each with its middle at a column."""
    line = ""
    for at, word in words.items():
        line = line.ljust(at - len(word) // 2) + word
    return line.ljust(_COLUMNS)


_WIDTH: Final = 720
_WIDE: Final = _WIDTH / len(DESIGNS)
_STEP: Final = 68
"""From one worker or queue to the next."""
_BAR, _QUEUE, _CALLS, _WORKERS, _MEANS, _BOTTOM = 104, 132, 202, 250, 288, 316
"""How far down things are: the line to the queues, their middles, and so on."""


def picture() -> str:
    """Return the designs side by side as a picture."""
    said = "; ".join(map(_said, DESIGNS))
    shapes = [shape for place, each in enumerate(DESIGNS) for shape in _shapes(each, _WIDE * (place + 0.5))]
    return drawing("Three ways to share a port", said, _WIDTH, _BOTTOM, shapes)


def _said(design: Design) -> str:
    way = (f"handshakes {design.decides}".rstrip(), ", ".join(design.queues), design.calls)
    return f"{design.name}: {', then '.join(way)} by {', '.join(design.workers)}: {' '.join(design.means)}"


def _shapes(design: Design, middle: float) -> Iterator[Shape]:
    queues, workers = _places(len(design.queues), middle), _places(len(design.workers), middle)
    half = 30 if len(queues) > 1 else max(50, (workers[-1] - workers[0]) / 2 + 24)
    yield Text("named strong", middle, 20, "middle", Said(design.name))
    yield Text("named", middle, 52, "middle", Said("handshakes"))
    if design.decides:
        yield Text("named strong", middle, 84, "middle", Said(design.decides))
    yield Path("edge", f"M{middle:g} {90 if design.decides else 60}V{_BAR}")
    yield Path("edge", f"M{queues[0]:g} {_BAR}H{queues[-1]:g}")
    for at, name in zip(queues, design.queues, strict=True):
        yield from _line((at, _BAR), (at, _QUEUE - 15))
        yield Path("node", f"M{at - half:g} {_QUEUE - 15}h{2 * half:g}v30h{-2 * half:g}z")
        yield Text("named", at, _QUEUE + 4, "middle", Said(name))
    for at, name in zip(workers, design.workers, strict=True):
        upper, lower = ((at, _QUEUE + 15), (at, _CALLS - 15)), ((at, _CALLS + 7), (at, _WORKERS - 14))
        yield from _line(*reversed(upper)) if design.is_asked else _line(*lower)
        yield from _edge(*(lower if design.is_asked else upper))
        yield Text("named strong", at, _WORKERS, "middle", Said(name))
    yield Text("named", middle, _CALLS, "middle", Said(design.calls))
    for number, line in enumerate(design.means):
        yield Text("named", middle, _MEANS + 16 * number, "middle", Said(line))


def _places(count: int, middle: float) -> list[float]:
    return [middle + _STEP * (place - (count - 1) / 2) for place in range(count)]


def _edge(start: tuple[float, float], to: tuple[float, float]) -> Iterator[Path]:
    yield Path("edge", f"M{start[0]:g} {start[1]:g}L{to[0]:g} {to[1]:g}")


def _line(start: tuple[float, float], to: tuple[float, float]) -> Iterator[Path]:
    yield from _edge(start, to)
    yield Path("tip", head(start, to, 9, 4))


class Designs(SphinxDirective):
    """``{designs}``."""

    def run(self) -> list[nodes.Node]:
        """Return them as a picture."""
        return [placed(picture())]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.setup_extension("pictures")
    app.add_directive("designs", Designs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    print(as_text(), end="")
