"""What the page about links that hurt shows, done word by word."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.markdown import ROOT, blocks, steps
from xsocket_netns import clean

PAGE = ROOT / "docs" / "how-to" / "impair.md"
PATIENCE_S = 60.0

pytestmark = pytest.mark.netns


def test_the_programs_print_what_the_page_shows() -> None:
    shown = [block.text for block in blocks(PAGE, "text")]
    printed = []
    for program in blocks(PAGE, "python"):
        names: dict[str, Any] = {}
        with contextlib.redirect_stdout(io.StringIO()) as screen:
            exec(compile(program.text, str(PAGE), "exec"), names)  # noqa: S102  # the page is ours
        printed.append(screen.getvalue())
    assert printed == shown


def test_the_session_shows_what_happens(tmp_path: Path, environment: dict[str, str]) -> None:
    command = tmp_path / "xsocket"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m xsocket_tools.cli "$@"\n')
    command.chmod(0o755)
    session = [step for step in steps(PAGE) if "ping" not in step.command]
    try:
        ran = subprocess.run(
            ["bash", "-e", "-c", "\n".join(step.command for step in session)],
            cwd=tmp_path,
            env={**environment, "PATH": f"{tmp_path}{os.pathsep}{environment['PATH']}", "COLUMNS": "300"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    finally:
        clean()
    assert (ran.returncode, ran.stderr) == (0, "")
    rest = ran.stdout
    for line in (line for step in session for line in step.shown):
        match = re.search(re.escape(line).replace(r"\.\.\.", ".*"), rest)
        assert match is not None, f"not printed where it is shown: {line}\n{ran.stdout}"
        rest = rest[match.end() :]
    assert sorted(path.name for path in (tmp_path / "captures").iterdir()) == [
        "client.pcapng",
        "server.pcapng",
    ]
