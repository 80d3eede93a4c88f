"""The page of every lesson: stepped through from the first step to the last, and usable by everybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.accessibility import violations
from xsocket_tools.teaching.folding import folded
from xsocket_tools.teaching.lesson import Lesson, lessons, play
from xsocket_tools.teaching.report import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Page

TITLES_AT = """\
number => (location.hash === `#step=${number}` || (number === 1 && !location.hash))
    && [...document.querySelectorAll("article.step")]
        .filter(each => each.checkVisibility()).map(each => each.querySelector("h2, h3").innerText)
"""
"""Waits for a step, and returns the titles of all steps that can be seen."""
ON_ENGINE = [each for each in lessons() if "engine" in each.stages]


@pytest.mark.parametrize("which", ON_ENGINE, ids=lambda each: each.name)
def test_the_page_of_a_lesson(visit: Callable[..., Page], tmp_path: Path, which: Lesson) -> None:
    story = play(which.play, "engine", which.rules, title=which.title).story
    path = tmp_path / "lesson.html"
    write_report(story, path)
    assert path.stat().st_size < 6_000 * max(len(story.steps), 50)
    page = visit(path, viewport={"width": 1280, "height": 800})
    for step in folded(story).steps:
        (shown,) = page.wait_for_function(TITLES_AT, arg=step.number).json_value()
        assert shown.endswith(step.title)
        page.keyboard.press("ArrowDown")
    assert violations(page) == []
