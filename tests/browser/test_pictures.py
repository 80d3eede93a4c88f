"""Pictures of the documentation in a browser: they fetch nothing, and can be read, in light and in dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import code_pictures
import designs
import pictures
import pytest

from support.accessibility import violations
from xsocket_tools.teaching.lesson import lesson, play
from xsocket_tools.teaching.report import ladder_picture, states_picture

if TYPE_CHECKING:
    from playwright.sync_api import Page

    Visit = Callable[..., Page]

PAGE: Final = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Pictures</title>
<style>body {{ margin: 0; }}
body[data-theme=dark] {{ background: #131416; color: #fff; }}\n{style}</style></head>
<body data-theme="{theme}"><main><h1>Pictures</h1>{drawn}</main></body></html>
"""
INK: Final = {"light": "rgb(27, 31, 36)", "dark": "rgb(230, 237, 243)"}


def page(place: Path, theme: str) -> Path:
    """Write a page with every kind of picture, as the documentation shows them; return its path."""
    lost = lesson(4)
    story = play(lost.play, "engine", lost.rules, title=lost.title).story
    drawn = (
        *(ladder_picture(story), states_picture(), designs.picture()),
        *(code_pictures.layers_picture("xsocket"), code_pictures.frame_path_picture()),
    )
    path = place / f"{theme}.html"
    html = "\n".join(pictures.placed(each).astext() for each in drawn)
    path.write_text(PAGE.format(style=pictures.style(), theme=theme, drawn=html))
    return path


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures_can_be_read(visit: Visit, tmp_path: Path, theme: str, width: int) -> None:
    other = {"light": "dark", "dark": "light"}[theme]  # what the page says goes before what the system says
    seen = visit(page(tmp_path, theme), color_scheme=other, viewport={"width": width, "height": 800})
    assert violations(seen) == []
    inks = seen.eval_on_selector_all(
        ".picture text.named", "texts => texts.map(each => getComputedStyle(each).fill)"
    )
    assert set(inks) == {INK[theme]}
    assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_reader_who_says_nothing_gets_what_the_system_has(visit: Visit, tmp_path: Path) -> None:
    seen = visit(page(tmp_path, "auto"), color_scheme="dark")
    fill = seen.eval_on_selector(".picture text.named", "text => getComputedStyle(text).fill")
    assert fill == INK["dark"]
