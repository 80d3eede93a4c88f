"""What is written of Linux in `docs/findings` is so on this machine's kernel: by script, and by case."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from support.documents import Shown
from support.findings import CASES, FINDINGS, PAGES, deviations_of, files_of, page_of, ways_of
from support.linux import only_there
from support.markdown import ROOT
from xsocket_tools.fuzzing.case import Case
from xsocket_tools.fuzzing.deviations import LINUX, LINUX_HABITS
from xsocket_tools.fuzzing.playing import play
from xsocket_tools.fuzzing.replaying import judged, read_file
from xsocket_tools.fuzzing.target import Target

pytestmark = [pytest.mark.netns, only_there]

OF_A_DEVIATION = [page.stem for page in PAGES if deviations_of(page.stem)]
OF_A_HABIT = [file for file in CASES if ways_of(page_of(file))]


def case_of(file: Path) -> Case:
    return read_file(file).case


@pytest.mark.runs("docs/findings/*.md", "console")
def test_the_commands_of_the_pages_show_what_they_say(
    shown: Shown, xsocket: Callable[..., CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands that differ only in the file are one command with all the files."""
    monkeypatch.chdir(ROOT)
    files: dict[tuple[str, ...], list[str]] = {}
    for step in shown.steps():
        command, *words = shlex.split(step.command)
        assert command == "xsocket"
        (file,) = (word for word in words if word.startswith("docs/findings/"))
        files.setdefault(tuple(word for word in words if word != file), []).append(file)
    assert sorted(files) == [("fuzz", "replay", "--on", "kernel,engine"), ("run", "--on", "kernel,sim")]
    for options, names in files.items():
        ran = xsocket(*options, *names)
        assert ran.returncode == 0, ran.stdout


def test_the_scripts_say_what_the_engine_does_on_the_wire(
    xsocket: Callable[..., CompletedProcess[str]],
) -> None:
    ran = xsocket("run", "--on", "wire", "--json", str(FINDINGS))
    result = json.loads(ran.stdout)
    bad: list[Any] = [each for each in result["outcomes"] if each["status"] != "passed"]
    assert bad == []
    assert {each["target"] for each in result["outcomes"]} == {"wire"}
    assert ran.returncode == 0


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_linux_plays_all_of_the_case_and_does_nothing_that_is_not_allowed(file: Path, linux: Target) -> None:
    verdict = judged(case_of(file), linux)
    assert verdict.violation is None
    assert verdict.left_out == ""
    unwritten = {each.name for each in LINUX if not each.finding}
    assert set(verdict.played.allowed) - unwritten <= {each.name for each in deviations_of(page_of(file))}


@pytest.mark.parametrize("page", OF_A_DEVIATION)
def test_the_cases_show_each_deviation_of_the_page(page: str, linux: Target) -> None:
    files = [FINDINGS / name for name in files_of(FINDINGS / f"{page}.md") if name.endswith(".json")]
    shown = {name for file in files for name in play(case_of(file), linux).allowed}
    assert shown == {each.name for each in deviations_of(page)}


@pytest.mark.parametrize("file", OF_A_HABIT, ids=lambda file: file.stem)
def test_without_the_habit_the_case_breaks_a_rule(
    file: Path, linux: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    (way,) = ways_of(page_of(file))
    monkeypatch.setattr(linux, "habits", LINUX_HABITS - {way.habit})
    assert play(case_of(file), linux).violation is not None
