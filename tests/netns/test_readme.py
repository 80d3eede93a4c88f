"""What the README and the tutorial show, done word by word."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from support.documents import PATIENCE_S, Shown, session
from support.markdown import ROOT
from support.programs import needed

pytestmark = pytest.mark.netns


def done(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in the root of the project; it ends well."""
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran


@pytest.mark.runs("README.md", "python", "text 3")
def test_the_program_prints_what_the_readme_shows(
    shown: Shown, tmp_path: Path, environment: dict[str, str]
) -> None:
    path = tmp_path / "hello.py"
    path.write_text(shown.text("python"))
    ran = done([sys.executable, "-W", "error", str(path)], environment)
    assert ran.stderr == ""
    # Which of the two clients that match the pattern is claimed first is up to the machine.
    assert sorted(ran.stdout.splitlines()) == sorted(shown.text("text 3").splitlines())


@pytest.mark.runs("README.md", "text 1")
def test_the_demo_prints_what_the_readme_shows(shown: Shown, environment: dict[str, str]) -> None:
    ran = done([sys.executable, "-m", "xsocket_tools.cli", "demo"], {**environment, "COLUMNS": "80"})
    lines, words = _without_figures(ran.stdout)
    table, ladder, counted = shown.text("text 1").split("...\n")[:3]
    shown_lines, _ = _without_figures(table + counted)
    _, shown_words = _without_figures(ladder)  # how its cells are cut depends on how long the figures are
    assert shown_lines - lines == set()
    assert shown_words - words == set()


def _without_figures(text: str) -> tuple[set[str], set[str]]:
    """Return the lines and the words of *text*, without figures and the spacing that depends on them."""
    plain = [re.sub(r"\s+", " ", re.sub(r"\s*\d+(\.\d+)?", " #", line)).strip() for line in text.splitlines()]
    return set(plain), {word for line in plain for word in line.split() if "─" not in word}


@pytest.mark.runs("docs/tutorial/first-handshake.md", "sh")
def test_the_tutorial_begins_with_the_demo(shown: Shown, environment: dict[str, str]) -> None:
    """Where `make test` runs this, what `make demo` installs is there already."""
    needed("make")
    ran = done(["sh", "-ec", f"{shown.text('sh 1')}\nxsocket --version"], environment)
    assert "Every connection had one owner, and every payload came back intact." in ran.stdout
    assert ran.stdout.splitlines()[-1] == f"xsocket, version {version('xsocket')}"


@pytest.mark.runs("docs/tutorial/first-handshake.md", "python", "console")
def test_the_tutorial_shows_what_happens(shown: Shown, tmp_path: Path, environment: dict[str, str]) -> None:
    needed("curl")
    (tmp_path / "consumer.py").write_text(shown.text("python 1"))
    session(shown.steps(), tmp_path, environment)
