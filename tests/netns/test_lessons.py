"""The lessons hold on Linux, too, and two runs of one show the same.

Most of the time passes while Linux waits for its timers, so several are played at once.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.markdown import ROOT, steps
from xsocket_tools.teaching.checking import check_lesson
from xsocket_tools.teaching.lesson import Lesson, digest, lessons, play

pytestmark = pytest.mark.netns

AT_ONCE = 4
PATIENCE_S = 120.0
COMMANDS = [
    step.command
    for page in sorted((ROOT / "docs" / "lessons").rglob("*.md"))
    for step in steps(page)
    if step.command.startswith("xsocket lesson ") and {"kernel", "both"} & {*shlex.split(step.command)}
]


def wrong_with(which: Lesson) -> tuple[str, ...]:
    """Return what does not hold of a lesson on Linux, where it is played twice."""
    checked = check_lesson(which, "kernel")
    again = digest(play(which.play, "kernel", which.rules, title=which.title).story)
    return checked.failures if again == checked.digest else (*checked.failures, "two runs differ")


def test_every_lesson_holds_what_it_says_on_linux() -> None:
    on_linux = [each for each in lessons() if "kernel" in each.stages]
    assert on_linux
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip([each.name for each in on_linux], pool.map(wrong_with, on_linux), strict=True))
    assert found == dict.fromkeys(found, ())


def test_the_commands_of_the_pages_for_linux_do_what_they_say(tmp_path: Path) -> None:
    def run(command: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "xsocket_tools.cli", *shlex.split(command)[1:]]
        return subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )

    assert COMMANDS
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = dict(zip(COMMANDS, pool.map(run, COMMANDS), strict=True))
    assert {command: each.stderr for command, each in ended.items() if each.returncode} == {}
