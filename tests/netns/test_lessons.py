"""The lessons hold on Linux, too, and two runs of one show the same."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.markdown import ROOT, steps
from xsocket_tools.cli import main
from xsocket_tools.teaching.checking import check_lesson
from xsocket_tools.teaching.lesson import Lesson, digest, lessons, play

ON_LINUX = [each for each in lessons() if "kernel" in each.stages]


@pytest.mark.parametrize("which", ON_LINUX, ids=lambda each: each.name)
def test_a_lesson_holds_what_it_says_on_linux(which: Lesson) -> None:
    checked = check_lesson(which, "kernel")
    assert checked.failures == ()
    again = play(which.play, "kernel", which.rules, title=which.title)
    assert digest(again.story) == checked.digest


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "lessons").rglob("*.md")), ids=lambda page: page.parent.name
)
def test_the_commands_of_a_page_for_linux_do_what_it_says(page: Path) -> None:
    for step in steps(page):
        words = shlex.split(step.command)[1:]
        if words[0] == "lesson" and {"kernel", "both"} & {*words}:
            result = CliRunner().invoke(main, words, catch_exceptions=False)
            assert result.exit_code == 0, f"{step.command}\n{result.output}"
