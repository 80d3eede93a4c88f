"""`xsocket run` with labs: on every target, several at once, and ended before its time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.scenarios import HANDSHAKE
from xsocket_netns import registry

pytestmark = pytest.mark.netns

PATIENCE_S = 20.0
WINDOW = "win 65535 <mss 1460>"

Completed = subprocess.CompletedProcess[str]
Run = Callable[..., Completed]
Parsed = Callable[[Completed], Any]
Start = Callable[[str], "subprocess.Popen[str]"]


def test_the_same_script_runs_on_every_target(xsocket: Run, parsed: Parsed, tmp_path: Path) -> None:
    path, captures = tmp_path / "handshake.pkt", tmp_path / "captures"
    path.write_text(HANDSHAKE.replace(WINDOW, "<mss 1460>"))
    arguments = ("--on=sim,wire,kernel", "-j2", "--json", f"--capture={captures}")
    told = parsed(xsocket("run", str(path), *arguments))
    assert (told["runs"], told["passed"]) == (6, 6)
    runs = [(each["target"], each["ip_version"]) for each in told["outcomes"]]
    assert runs == [(on, version) for on in ("sim", "wire", "kernel") for version in ("ipv4", "ipv6")]
    assert set(told["median_s"]) == {"sim", "wire", "kernel"}
    assert len([capture for capture in captures.iterdir() if capture.stat().st_size]) == 6


def test_what_linux_does_otherwise_is_shown_beside_the_engine(xsocket: Run, tmp_path: Path) -> None:
    path = tmp_path / "handshake.pkt"
    path.write_text(HANDSHAKE)
    ran = xsocket("run", str(path), "--on=sim,kernel", "--ip-version=ipv4")
    assert ran.returncode == 1
    lines = [" ".join(line.split()) for line in ran.stdout.splitlines()]
    assert any(line.startswith("win expected 65535 got 64240") for line in lines)
    at = next(number for number, line in enumerate(lines) if line.endswith("ipv4: the paths part after"))
    assert lines[at + 1 : at + 3] == [
        "all line 5 < S 0:0(0) win 1000 <mss 1460>",
        "sim line 6 > S. 0:0(0) ack 1 win 65535 <mss 1460>",
    ]
    assert "kernel > S. 0:0(0) ack 1 win 64240 <mss 1460>" in lines[at + 3 :]


@pytest.mark.parametrize(
    ("target", "status", "least", "most"), [("sim", "failed", 1, 1), ("wire", "passed", 2, 5)]
)
def test_where_time_is_real_an_assertion_gets_another_chance(
    xsocket: Run, tmp_path: Path, target: str, status: str, least: int, most: int
) -> None:
    """It may be about a time that was measured while the machine was busy; which it may be once more."""
    path, seen = tmp_path / "once.pkt", tmp_path / "seen"
    look = f"import pathlib; seen = pathlib.Path({str(seen)!r}); again = seen.exists(); seen.touch()"
    path.write_text(HANDSHAKE + f"+0 %{{ {look}; assert again }}%\n")
    told = json.loads(xsocket("run", str(path), f"--on={target}", "--ip-version=ipv4", "--json").stdout)
    (outcome,) = told["outcomes"]
    assert outcome["status"] == status
    assert least <= outcome["runs"] <= most


@pytest.mark.parametrize("workers", [1, 2], ids=["here", "in workers"])
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["Ctrl-C", "SIGTERM", "SIGHUP"],
)
def test_an_end_before_its_time_leaves_nothing(
    start: Start, tmp_path: Path, workers: int, number: signal.Signals, status: int
) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    arguments = ["run", "--on=kernel", "--ip-version=ipv4", f"-j{workers}"]
    for name in ("a.pkt", "b.pkt")[:workers]:
        path = tmp_path / name
        path.write_text(f"0 `echo {name} > {begun}`\n+1000 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n")
        arguments.append(str(path))
    program = start(f"from xsocket_tools.cli import main; main({arguments!r})")
    said: list[str] = []
    while len(said) < workers:
        said += begun.read_text().splitlines()
    assert len(registry.lab_names()) >= workers
    program.send_signal(number)
    assert program.wait(PATIENCE_S) == status
    assert registry.lab_names() == []
