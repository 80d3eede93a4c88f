"""The library of scenarios on all three targets, by the command that users run."""

import json
import subprocess
import sys

import pytest

from support.markdown import ROOT

LIBRARY = ROOT / "tests" / "scenarios"
LEAST = 120
COMMAND = [sys.executable, "-m", "xsocket_tools.cli", "run", "--on", "sim,wire,kernel", "--json"]


@pytest.mark.netns
def test_every_scenario_does_as_it_says_on_every_target() -> None:
    done = subprocess.run(
        [*COMMAND, str(LIBRARY)], capture_output=True, text=True, check=False, timeout=600, cwd=ROOT
    )
    result = json.loads(done.stdout)
    bad = [each for each in result["outcomes"] if each["status"] not in ("passed", "xfailed", "skipped")]
    assert bad == []
    assert (result["failed"], result["xpassed"], result["unsupported"], result["errors"]) == (0, 0, 0, 0)
    assert result["scripts"] >= LEAST
    assert {each["target"] for each in result["outcomes"]} == {"sim", "wire", "kernel"}
    assert done.returncode == 0
