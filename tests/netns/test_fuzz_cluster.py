"""The cluster of the page on fuzzing, with a host of a lab in the place of each machine."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from support.documents import PATIENCE_S, Shown
from xsocket_netns import Host, Lab
from xsocket_tools.fuzzing.directory import campaign_directory

pytestmark = pytest.mark.netns

IN_DIRECTORY: Final = 'cd "$0" && exec "$@"'
SHORTER: Final = {"--time": "--cases", "3600": "30"}


@pytest.mark.runs("docs/how-to/fuzz.md", "sh 1", "sh 2", "sh 3", "console 6")
def test_machines_of_a_cluster_play_a_campaign(shown: Shown, lab: Lab, tmp_path: Path) -> None:
    """All that is written there, but for the hour that it takes."""
    pytest.importorskip("distributed")
    first, second = lab.host("first"), lab.host("second")
    lab.link(first, second, addresses=(["10.0.0.1/24"], ["10.0.0.2/24"]))
    scheduler, players, with_namespaces = (shown.text(f"sh {number}") for number in (1, 2, 3))
    (campaign,) = (step.command for step in shown.steps())
    start(first, scheduler, "Scheduler at:", 1)
    start(second, players, "Registered to:", 4)
    start(second, with_namespaces, "Registered to:", 1)
    program, *words = shlex.split(campaign)
    assert program == "xsocket"
    played = first.command(
        ["sh", "-c", IN_DIRECTORY, str(tmp_path), sys.executable, "-m", "xsocket_tools.cli"]
        + [SHORTER.get(word, word) for word in words],
        timeout=PATIENCE_S,
    )
    with campaign_directory(tmp_path / "kernel-7") as kept:
        total = kept.read().total
    assert total.cases + total.stalled == 30
    assert f"{total.cases} cases" in played.stdout


def start(host: Host, command: str, says: str, times: int) -> subprocess.Popen[Any]:
    """Start a program of Dask's, and wait until it has said something so often."""
    program, *words = shlex.split(command)
    assert program == "dask"
    made = host.popen([sys.executable, "-m", program, *words], stderr=subprocess.PIPE)
    assert made.stderr is not None
    for line in made.stderr:
        times -= says in line
        if not times:
            return made
    pytest.fail(f"{command} has ended: {made.wait(PATIENCE_S)}")
