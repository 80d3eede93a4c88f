"""`xsocket fuzz` on targets in namespaces: by this process, and by several."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.markdown import ROOT
from xsocket.segment import ACK, FIN, SYN
from xsocket_tools.fuzzing.case import Call, Case, Say, as_json

pytestmark = pytest.mark.netns

CASE = Case((Say(0, SYN), Say(0, ACK), Call(0, "claim"), Say(0, ACK | FIN), Call(0, "close"), Say(0, ACK)))


def fuzz(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xsocket_tools.cli", "fuzz", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("target", ["wire", "kernel"])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_cases_are_put_to_it(target: str, jobs: str, tmp_path: Path) -> None:
    result = fuzz("--on", target, "--cases", "60", "--jobs", jobs, "--corpus", str(tmp_path), "--json")
    assert result.stderr == ""
    printed = json.loads(result.stdout)
    assert result.returncode == int(bool(printed["findings"]))
    assert (printed["target"], printed["cases"] + printed["stalled"]) == (target, 60)
    assert printed["coverage"]["covered"] > 50
    scripts = {path.stem for path in (tmp_path / "findings").glob("*.pkt")}
    assert scripts == {path.stem for path in (tmp_path / "findings").glob("*.json")}


def test_cases_are_put_to_another_program() -> None:
    """Nobody makes calls of it, and it does not say in which state it is."""
    stack = f"{sys.executable} {ROOT / 'tests' / 'support' / 'tap_engine.py'}"
    result = fuzz("--on", "foreign", "--command", stack, "--cases", "40", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    printed = json.loads(result.stdout)
    assert (printed["cases"] + printed["stalled"], printed["findings"]) == (40, [])
    assert printed["coverage"]["covered"] > 30


def test_a_case_is_played_on_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(as_json(CASE))
    result = fuzz("replay", str(path), "--on", "engine,wire,kernel", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    (case,) = json.loads(result.stdout)["cases"]
    assert case["agree"]
    assert [each["target"] for each in case["targets"]] == ["engine", "wire", "kernel"]
