"""What pictures drawn from the code have in common: how they look on a page, in light and in dark.

The shapes and their colours are those of the page of a lesson, `xsocket_tools.teaching.report`.
"""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Final

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.application import Sphinx

from xsocket_tools.teaching.report import picture_style
from xsocket_tools.teaching.report.shapes import Shape, Text

_STYLE: Final = "pictures.css"
_FRAME: Final = """\
.picture { margin: 1rem 0; }
.picture .scroll {
  background: var(--paper); border: 1px solid var(--grid); border-radius: .35rem; padding: .5rem;
  overflow: auto; max-height: 46rem;
}
.picture svg { display: block; width: 100%; min-width: 38rem; max-width: 50rem; margin: 0 auto; }
.picture .strong { font-weight: 700; }
"""


def style() -> str:
    """Return the style sheet of pictures. It follows the reader's choice between light and dark."""
    light, dark, rules = picture_style()
    in_dark = f"body[data-theme=dark] .picture {{ {dark} }}\n"
    unless_light = "@media (prefers-color-scheme: dark) { body:not([data-theme=light]) .picture { %s } }\n"
    return (
        f".picture {{ {light} }}\n@media screen {{\n{in_dark}{unless_light % dark}}}\n{_FRAME}"
        f".picture {{\n{rules}}}\n"
    )


def placed(html: str) -> nodes.raw:
    """Return a picture as a node of a page."""
    return nodes.raw("", f'<div class="picture">\n{html}</div>\n', format="html")


def drawing(name: str, description: str, width: float, height: float, shapes: Iterable[Shape]) -> str:
    """Return shapes as a picture with a description for those who do not see it."""
    drawn = "\n".join(map(_drawn, shapes))
    return (
        f'<div class="scroll" role="region" aria-label="{escape(name)}" tabindex="0">\n'
        f'<svg role="img" aria-label="{escape(description)}" viewBox="0 0 {width:g} {height:g}">\n'
        f"{drawn}\n</svg>\n</div>\n"
    )


def _drawn(shape: Shape) -> str:
    if isinstance(shape, Text):
        place = f'x="{shape.x:g}" y="{shape.y:g}"'
        return f'<text class="{shape.look} {shape.anchor}" {place}>{escape(shape.said.relative)}</text>'
    return f'<path class="{shape.look}" d="{shape.d}"/>'


def _write_style(app: Sphinx) -> None:
    place = Path(app.outdir, "_static")
    place.mkdir(parents=True, exist_ok=True)
    (place / _STYLE).write_text(style(), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Let every page have the style sheet, which is written anew at each build."""
    app.connect("builder-inited", _write_style)
    app.add_css_file(_STYLE)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
