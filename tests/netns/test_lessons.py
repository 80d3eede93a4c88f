"""The lessons hold on Linux, too, and two runs of one show the same.

Most of the time passes while Linux waits for its timers, so several are played at once.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.documents import Shown
from support.markdown import Block, steps_of
from support.stories import takes_linux
from xsocket_tools.teaching.lesson import lessons

pytestmark = pytest.mark.netns

AT_ONCE = 4
PROCESSES = 8
PATIENCE_S = 240.0

# Plays lessons, by number, and prints what does not hold of each. What comes of a play does not count if it
# says that the machine was too busy for real time.
PLAY_LESSONS = """\
import sys
from xsocket_tools.teaching.checking import check_lesson
from xsocket_tools.teaching.lesson import digest, lesson, play

def checked(which):
    checks = (check_lesson(which, "kernel") for _ in range(3))
    return next((each for each in checks if not each.was_late), None)

def played(which):
    runs = (play(which.play, "kernel", which.rules, title=which.title) for _ in range(3))
    return next((digest(run.story) for run in runs if not run.was_late), None)

for number in map(int, sys.argv[1:]):
    which = lesson(number)
    first, digest_then = checked(which), played(which)
    if first is None or first.failures or first.digest != digest_then:
        print(number, first, digest_then)
"""

# Runs sessions of commands, each in a directory of its own, and prints what ended otherwise than it should.
RUN_SESSIONS = """\
import contextlib, json, pathlib, shlex, sys
from click.testing import CliRunner
from xsocket_tools.cli import main

for number, session in enumerate(json.load(sys.stdin)):
    pathlib.Path(str(number)).mkdir()
    with contextlib.chdir(str(number)):
        for command in session:
            ended = CliRunner().invoke(main, shlex.split(command)[1:])
            is_answer = " check " in command and ("--play" in command or "--set" in command)
            if ended.exit_code != int(is_answer):
                print(command, ended.exit_code, ended.output, repr(ended.exception))
"""


def test_every_lesson_holds_what_it_says_on_linux() -> None:
    """Each process has several, one after the other: in one for all, those that compute delay others."""
    numbers = [each.number for each in lessons() if "kernel" in each.stages]
    assert numbers

    def wrong_with(share: list[int]) -> str:
        return subprocess.run(
            [sys.executable, "-c", PLAY_LESSONS, *map(str, share)],
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        ).stdout

    with ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = [*pool.map(wrong_with, (numbers[start::AT_ONCE] for start in range(AT_ONCE)))]
    assert wrong == [""] * AT_ONCE


@pytest.mark.runs("docs/lessons/index.md", "console")
@pytest.mark.runs("docs/lessons/*/lesson.md", "console")
def test_the_commands_of_the_pages_for_linux_do_what_they_say(shown: Shown, tmp_path: Path) -> None:
    """A process for several pages, one after the other: to start takes longer than most commands."""

    def run(sessions: list[list[str]], place: Path) -> str:
        place.mkdir()
        return subprocess.run(
            [sys.executable, "-c", RUN_SESSIONS],
            cwd=place,
            input=json.dumps(sessions),
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        ).stdout

    sessions = [for_linux(block for block in shown.left if block.page == page) for page in pages_of(shown)]
    shown.blocks()
    sessions = [session for session in sessions if session]
    assert len(sessions) > 10
    shares = [sessions[number::PROCESSES] for number in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        wrong = [*pool.map(run, shares, [tmp_path / str(number) for number in range(PROCESSES)])]
    assert wrong == [""] * PROCESSES


def pages_of(shown: Shown) -> list[str]:
    return list(dict.fromkeys(block.page for block in shown.left))


def for_linux(session: Iterable[Block]) -> list[str]:
    """Return the commands for Linux, and those by which they get their files."""
    commands = [step.command for block in session for step in steps_of(block)]
    read = {word for command in commands if takes_linux(command) for word in shlex.split(command)}
    written = (command.partition(" --output ")[2] for command in commands)
    return [
        command
        for command, made in zip(commands, written, strict=True)
        if takes_linux(command) or (made and made in read)
    ]
