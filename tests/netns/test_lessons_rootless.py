"""An ordinary user plays lessons on Linux: with both ends, and fuzzed and learned."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from xsocket_tools.teaching.lesson import folder

pytestmark = pytest.mark.netns

Run = Callable[..., subprocess.CompletedProcess[str]]
NUMBERS = ("01", "16")
"""Not 20: who may open /dev/net/tun, which scripts on Linux need, is for the machine to say."""


def test_an_ordinary_user_can_play_lessons_on_linux(as_ordinary_user: Run) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        for path in folder().glob("*"):
            if path.name[:2] in NUMBERS:
                shutil.copytree(path, Path(place, path.name), ignore=shutil.ignore_patterns("__pycache__"))
        words = ("lesson", "--lessons", place, "check", "--all", "--on", "both")
        done = as_ordinary_user("-m", "xsocket_tools.cli", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[:5] for line in done.stdout.splitlines()] == [
        ["ok", "lesson", str(int(number)), "on", stage]
        for number in NUMBERS
        for stage in ("engine", "kernel")
    ]
