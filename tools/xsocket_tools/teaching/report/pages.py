"""The page of a story, and the piece of HTML that a notebook shows of it."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from xsocket_tools.teaching.folding import folded
from xsocket_tools.teaching.glossary import meanings
from xsocket_tools.teaching.report import diagram, words
from xsocket_tools.teaching.report.details import details
from xsocket_tools.teaching.report.errors import CannotWriteError
from xsocket_tools.teaching.report.ladder import LIFELINES, WIDTH, ladder
from xsocket_tools.teaching.story import Source, Story

if TYPE_CHECKING:
    from jinja2 import Environment

_DIRECTORY: Final = Path(__file__).parent
_HALO: Final = 'paint-order="stroke" stroke="#fff" stroke-width="5"'
_LOOKS: Final = {
    "lifeline": 'stroke="#57606a" stroke-width="2"',
    "bar": 'fill="#dfe5ec" stroke="#57606a"',
    "gap": 'fill="#fff"',
    "torn": 'fill="none" stroke="#57606a"',
    "arrow left": 'stroke="#0b5cad" stroke-width="2"',
    "arrow right": 'stroke="#00664c" stroke-width="2"',
    "arrow lost": 'stroke="#a40e26" stroke-width="2"',
    "arrow forged": 'stroke="#a40e26" stroke-width="2" stroke-dasharray="7 5"',
    "head left": 'fill="#0b5cad"',
    "head right": 'fill="#00664c"',
    "head forged": 'fill="#a40e26"',
    "cross": 'stroke="#a40e26" stroke-width="3"',
    "stranger": 'fill="#fff" stroke="#a40e26" stroke-width="2"',
    "mark": 'fill="#fff" stroke="#1b1f24" stroke-width="2"',
    "hands": 'fill="none" stroke="#1b1f24" stroke-width="1.5"',
    "badge": 'fill="#fff" stroke="#1b1f24" stroke-width="1.5"',
    "number": 'fill="#1b1f24" font-weight="700" font-size="13"',
    "time": 'fill="#57606a" font-size="12"',
    "label": f'fill="#1b1f24" font-size="13.5" {_HALO}',
    "remark": f'fill="#57606a" font-size="12.5" {_HALO}',
    "alarm": f'fill="#a40e26" font-size="12.5" font-weight="600" {_HALO}',
    "pause": 'fill="#1b1f24" font-size="13" font-style="italic"',
    "state": 'fill="#1b1f24" font-weight="700" font-size="12.5"',
    "again": 'fill="#57606a" font-size="12.5"',
    "of": 'fill="#1b1f24" font-weight="700" font-size="11"',
    "name": 'fill="#1b1f24" font-weight="700" font-size="15"',
}
"""How a notebook shows what the page has classes for: by attributes, which reach nothing else."""


def check_writable(path: Path) -> None:
    """Raise if a page could not be written to *path*; nothing is written yet.

    Raises:
        CannotWriteError: The directory is not there, or may not be written to.
    """
    if not path.parent.is_dir():
        raise CannotWriteError(f"there is no directory {path.parent}")
    if path.is_dir():
        raise CannotWriteError(f"{path} is a directory")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise CannotWriteError(f"{path} may not be written to")


def write_report(story: Story, path: Path) -> None:
    """Write the page of a story to the file *path*, which then has all of it, or is as it was.

    Raises:
        CannotWriteError: It does not work.
    """
    check_writable(path)
    page = render(story)
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(page, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CannotWriteError(f"cannot write {path}: {error.strerror}") from error


def render(story: Story) -> str:
    """Return the page of a story as an HTML document, which fetches nothing."""
    story = folded(story)
    template = _environment().get_template("page.html")
    return template.render(
        **_common(story),
        details=details(story),
        diagram=diagram,
        meanings=meanings(story),
        kinds={step.kind.value for step in story.steps} | {"timer" for step in story.steps if step.timed},
        has_breaks=any(shape.look == "pause" for shape in ladder(story).backdrop),
        style=_text("colors.css") + _text("shapes.css") + _text("page.css"),
        script=_text("page.js"),
        script_hash=b64encode(sha256(_text("page.js").encode()).digest()).decode(),
    )


def fragment(story: Story) -> str:
    """Return a story as a piece of HTML for a notebook: the ladder and a table, no script, no style sheet."""
    return _environment().get_template("fragment.html").render(**_common(folded(story)), looks=_LOOKS)


def ladder_picture(story: Story) -> str:
    """Return the ladder of a story for a page that has `picture_style`, and its steps in words."""
    return _environment().get_template("ladder.html").render(**_common(folded(story)))


def states_picture() -> str:
    """Return the state diagram, where no end is yet, for a page that has `picture_style`."""
    return _environment().get_template("states.html").render(diagram=diagram)


def picture_style() -> tuple[str, str, str]:
    """Return how pictures look: the colours in light, those in dark, and the rules that use them, as CSS."""
    light, dark = re.findall(r":root \{\s*(.*?)\s*\}", _text("colors.css"), re.DOTALL)
    return light, dark, _text("shapes.css")


def _common(story: Story) -> dict[str, object]:
    return {
        "story": story,
        "ladder": ladder(story),
        "lifelines": LIFELINES,
        "width": WIDTH,
        "words": words,
        "letters": words.letters(story.ends),
        "is_inferred": any(words.is_inferred(end) for end in story.ends),
        "is_asked": any(end.source is Source.ASKED for end in story.ends),
    }


@cache
def _environment() -> Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_DIRECTORY),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _text(name: str) -> str:
    return (_DIRECTORY / name).read_text(encoding="utf-8")
