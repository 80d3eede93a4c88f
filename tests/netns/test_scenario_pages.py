"""What the pages about scenarios and pytest show, done word by word."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support.markdown import ROOT, Step, blocks, steps

HOW_TO = ROOT / "docs" / "how-to"
SCENARIOS = HOW_TO / "scenarios.md"
PYTEST = HOW_TO / "pytest.md"

pytestmark = pytest.mark.netns

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's script, and the same with the mistake that it speaks of; the current directory."""
    script = blocks(SCENARIOS, "pkt")[0].text
    (tmp_path / "handshake.pkt").write_text(script)
    wrong = script.splitlines(keepends=True)
    wrong[12] = wrong[12].replace("ack 1", "ack 2")
    (tmp_path / "wrong.pkt").write_text("".join(wrong))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "handshake.pkt").write_text(script)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.mark.parametrize("step", steps(SCENARIOS), ids=lambda step: step.command)
def test_commands_print_what_the_page_shows(step: Step, scripts: Path, xsocket: Run) -> None:
    del scripts
    _, *arguments = shlex.split(step.command)
    ran = xsocket(*arguments)
    assert ran.returncode == int("wrong.pkt" in arguments), ran.stderr
    assert ran.stderr == ""
    pattern = "\n".join(re.escape(line) for line in step.shown).replace(r"\.\.\.", "(?s:.*)")
    lines = "\n".join(line.rstrip() for line in ran.stdout.splitlines())
    printed = re.sub(r" \(\d+ reruns?\)", "", lines)  # where the machine is busy
    assert not step.shown or re.fullmatch(pattern, printed), printed


def test_verdicts_of_the_page_are_of_the_language(scripts: Path, xsocket: Run) -> None:
    verdicts = blocks(SCENARIOS, "pkt")[1].text
    (scripts / "verdicts.pkt").write_text(f"{verdicts}{(scripts / 'handshake.pkt').read_text()}")
    assert xsocket("run", "verdicts.pkt").returncode == 0


def test_programs_and_settings_of_the_page_work(pytester: pytest.Pytester) -> None:
    tests, options, conftest = blocks(PYTEST, "python")
    (settings,) = blocks(PYTEST, "toml")
    pytester.makepyprojecttoml(settings.text)
    imports = "import socket\n\nimport pytest\n"
    pytester.makepyfile(test_page=tests.text, test_options=f"{imports}{options.text}")
    pytester.makeconftest(conftest.text)
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests" / "handshake.pkt").write_text(blocks(SCENARIOS, "pkt")[0].text)
    strict = ["-W", "error", "--strict-markers", "--strict-config", "-p", "no:hypothesispytest"]
    pytester.runpytest_subprocess(*strict).assert_outcomes(passed=7)


@pytest.mark.parametrize("command", [step.command for step in steps(PYTEST)])
def test_commands_of_the_page_collect(command: str, pytester: pytest.Pytester) -> None:
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests" / "handshake.pkt").write_text(blocks(SCENARIOS, "pkt")[0].text)
    _, *arguments = shlex.split(command)
    ran = pytester.runpytest_subprocess("-p", "no:hypothesispytest", "--collect-only", *arguments)
    assert ran.ret == os.EX_OK
