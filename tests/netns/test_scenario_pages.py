"""What the pages about scenarios and pytest show, done word by word."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support.documents import Shown, follow

pytestmark = pytest.mark.netns

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def scripts(shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first script of a page, and the same with the mistake that it speaks of; the current directory."""
    script = shown.text("pkt 1")
    (tmp_path / "handshake.pkt").write_text(script)
    wrong = script.splitlines(keepends=True)
    wrong[12] = wrong[12].replace("ack 1", "ack 2")
    (tmp_path / "wrong.pkt").write_text("".join(wrong))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "handshake.pkt").write_text(script)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.mark.runs("docs/how-to/scenarios.md", "console", "pkt 1")
def test_commands_print_what_the_page_shows(shown: Shown, scripts: Path) -> None:
    follow(shown.blocks(), ends={"xsocket run wrong.pkt --ip-version ipv4": 1})
    assert (scripts / "results.xml").stat().st_size


@pytest.mark.runs("docs/how-to/scenarios.md", "pkt")
def test_verdicts_of_the_page_are_of_the_language(shown: Shown, scripts: Path, xsocket: Run) -> None:
    verdicts = shown.text("pkt 2")
    (scripts / "verdicts.pkt").write_text(f"{verdicts}{(scripts / 'handshake.pkt').read_text()}")
    assert xsocket("run", "verdicts.pkt").returncode == 0


@pytest.mark.runs("docs/how-to/pytest.md", "python", "toml")
@pytest.mark.runs("docs/how-to/scenarios.md", "pkt 1")
def test_programs_and_settings_of_the_page_work(shown: Shown, pytester: pytest.Pytester) -> None:
    tests, options, conftest = (block.text for block in shown.blocks("python"))
    pytester.makepyprojecttoml(shown.text("toml 1"))
    imports = "import socket\n\nimport pytest\n"
    pytester.makepyfile(test_page=tests, test_options=f"{imports}{options}")
    pytester.makeconftest(conftest)
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests" / "handshake.pkt").write_text(shown.text("pkt 1"))
    strict = ["-W", "error", "--strict-markers", "--strict-config", "-p", "no:hypothesispytest"]
    pytester.runpytest_subprocess(*strict).assert_outcomes(passed=7)


@pytest.mark.runs("docs/how-to/pytest.md", "console")
@pytest.mark.runs("docs/how-to/scenarios.md", "pkt 1")
def test_commands_of_the_page_collect(shown: Shown, pytester: pytest.Pytester) -> None:
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests" / "handshake.pkt").write_text(shown.text("pkt 1"))
    for step in shown.steps():
        _, *arguments = shlex.split(step.command)
        ran = pytester.runpytest_inprocess("-p", "no:hypothesispytest", "--collect-only", *arguments)
        assert ran.ret == os.EX_OK, step.command
