"""What the README and the tutorial show, done word by word."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.markdown import ROOT, blocks, steps

README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial" / "first-handshake.md"
PATIENCE_S = 60.0

pytestmark = pytest.mark.netns


def test_the_program_prints_what_the_readme_shows(tmp_path: Path, environment: dict[str, str]) -> None:
    (program,) = blocks(README, "python")
    shown = next(block.text for block in blocks(README, "text") if block.text.startswith("served"))
    path = tmp_path / "hello.py"
    path.write_text(program.text)
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    # Which of the two clients that match the pattern is claimed first is up to the machine.
    assert sorted(ran.stdout.splitlines()) == sorted(shown.splitlines())


def test_the_demo_prints_what_the_readme_shows(environment: dict[str, str]) -> None:
    shown = next(block.text for block in blocks(README, "text") if "Who claimed what" in block.text)
    ran = subprocess.run(
        [sys.executable, "-m", "xsocket_tools.cli", "demo"],
        env={**environment, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines, words = _without_figures(ran.stdout)
    table, ladder, counted = shown.split("...\n")[:3]
    shown_lines, _ = _without_figures(table + counted)
    _, shown_words = _without_figures(ladder)  # how its cells are cut depends on how long the figures are
    assert shown_lines - lines == set()
    assert shown_words - words == set()


def _without_figures(text: str) -> tuple[set[str], set[str]]:
    """Return the lines and the words of *text*, without figures and the spacing that depends on them."""
    plain = [re.sub(r"\s+", " ", re.sub(r"\s*\d+(\.\d+)?", " #", line)).strip() for line in text.splitlines()]
    return set(plain), {word for line in plain for word in line.split() if "─" not in word}


def test_the_tutorial_shows_what_happens(tmp_path: Path, environment: dict[str, str]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (consumer,) = blocks(TUTORIAL, "python")
    (tmp_path / "consumer.py").write_text(consumer.text)
    session = steps(TUTORIAL)
    ran = subprocess.run(
        ["bash", "-e", "-c", "\n".join(step.command for step in session)],
        cwd=tmp_path,
        env={**environment, "PATH": f"{_commands(tmp_path)}{os.pathsep}{environment['PATH']}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    rest = ran.stdout
    for line in (line for step in session for line in step.shown):
        match = re.search(re.escape(line).replace(r"\.\.\.", ".*"), rest)
        assert match is not None, f"not printed where it is shown: {line}\n{ran.stdout}"
        rest = rest[match.end() :]


def _commands(directory: Path) -> Path:
    """Return a directory with the commands `python` and `xsocket` of this interpreter."""
    commands = directory / "bin"
    commands.mkdir()
    for name, arguments in (("python", ""), ("xsocket", "-m xsocket_tools.cli")):
        path = commands / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        path.chmod(0o755)
    return commands
