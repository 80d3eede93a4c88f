"""Lines and texts with their places, as a drawing is made of them, and the figures that come up in it."""

from __future__ import annotations

from collections.abc import Iterator
from math import hypot
from typing import NamedTuple

from xsocket_tools.teaching.report.words import Said


class Path(NamedTuple):
    """A line or an area.

    Attributes:
        look: What it is, which says how it looks.
        d: Its way, as SVG has it.
    """

    look: str
    d: str


class Text(NamedTuple):
    """A text.

    Attributes:
        look: What it is, which says how it looks.
        x, y: Where its baseline is.
        anchor: Which part of it is at *x*: ``start``, ``middle`` or ``end``.
        said: It.
    """

    look: str
    x: float
    y: float
    anchor: str
    said: Said


Shape = Path | Text


def arrow(
    look: str, start: tuple[float, float], to: tuple[float, float], *, has_head: bool = True
) -> Iterator[Path]:
    """Draw a straight line from *start* to *to*, with a head there."""
    yield Path(f"arrow {look}", f"M{start[0]:g} {start[1]:g}L{to[0]:g} {to[1]:g}")
    if has_head:
        yield Path(f"head {look}", head(start, to, 13, 5.5))


def head(start: tuple[float, float], to: tuple[float, float], length: float, half: float) -> str:
    """Return the head of a line that comes from *start* and ends at *to*."""
    way = hypot(to[0] - start[0], to[1] - start[1])
    along, down = (to[0] - start[0]) / way, (to[1] - start[1]) / way
    back_x, back_y = to[0] - length * along, to[1] - length * down
    wings = (f"L{back_x - side * down:.1f} {back_y + side * along:.1f}" for side in (half, -half))
    return f"M{to[0]:.4g} {to[1]:.4g}{''.join(wings)}z"


def badge(x: float, y: float, connection: int) -> Iterator[Shape]:
    """Draw the number of a connection, in a shape that those next to it do not have."""
    around = (
        circle(x, y, 9),
        f"M{x - 8:g} {y - 8:g}h16v16h-16z",
        f"M{x:g} {y - 11:g}l11 11l-11 11l-11 -11z",
        f"M{x:g} {y - 13:g}l12 21h-24z",
    )
    yield Path("badge", around[connection % len(around)])
    yield Text("of", x, y + 4, "middle", Said(str(connection + 1)))


def circle(x: float, y: float, radius: float) -> str:
    """Return a circle as the way of a line."""
    arc = f"a{radius:g} {radius:g} 0 1 0"
    return f"M{x - radius:g} {y:g}{arc} {2 * radius:g} 0{arc} {-2 * radius:g} 0z"


def cross(x: float, y: float, half: float) -> str:
    """Return a cross as the way of a line."""
    across = 2 * half
    return f"M{x - half:g} {y - half:g}l{across:g} {across:g}m0 {-across:g}l{-across:g} {across:g}"
