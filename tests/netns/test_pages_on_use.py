"""What pages show on embedding, other kernels, continuous integration and the reasons of Linux is so."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import pytest
import yaml

from support.documents import Shown, assert_printed, follow, session
from support.linux import only_there
from support.markdown import ROOT, Block, Step
from xsocket_netns import Namespace
from xsocket_tools.cli import SUBCOMMANDS

pytestmark = pytest.mark.netns

WHY: Final = ROOT / "docs" / "explanation" / "why-linux.md"
SCRIPTS: Final = ROOT / "tests" / "scenarios" / "rfc9293-3.5-handshake"
_SETTING: Final = re.compile(r"`((?:net\.core\.)?\w+)` \((\d+)")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: empty, but for what pages take from the repository."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.mark.runs("docs/how-to/embed.md")
def test_programs_with_an_engine_in_them(shown: Shown, place: Path, environment: dict[str, str]) -> None:
    """Each as a program of its own, for it is one."""
    program: Block | None = None
    printed = ""
    for block in shown.blocks():
        if block.language == "python":
            program = block
            (place / "program.py").write_text(block.text)
            step = Step(f"{shlex.quote(sys.executable)} -W error program.py", [])
            printed = session([step], place, environment)
        else:
            assert program is not None
            assert_printed(block.text, printed, f"{program.page}, {program.name}")


@only_there
@pytest.mark.runs("docs/how-to/kernels.md", "console")
def test_what_to_ask_a_kernel(shown: Shown, place: Path) -> None:
    follow(
        shown.blocks(),
        more={"xsocket fuzz --on kernel --seed 1 --cases 2000 --corpus mine": "--cases 200"},
    )
    assert json.loads((place / "mine.json").read_text())["target"] == "kernel"
    assert (place / "mine" / "report.html").exists()


@only_there
@pytest.mark.runs("docs/explanation/why-linux.md", "console")
def test_the_reasons_of_linux_can_be_seen(shown: Shown, place: Path) -> None:
    (place / "tests").symlink_to(ROOT / "tests")
    follow(shown.blocks())


@only_there
def test_what_the_reasons_are_set_by_has_the_values_that_stand_there() -> None:
    with Namespace.create() as namespace:
        stated = dict(_SETTING.findall(WHY.read_text()))
        found = {name: namespace.run(_setting(name).read_text).strip() for name in stated}
    assert len(stated) > 12
    assert found == stated


def _setting(name: str) -> Path:
    return Path(
        "/proc/sys/net", "ipv4" if "." not in name else "", name.removeprefix("net.").replace(".", "/")
    )


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(\w+\.pkt)`", WHY.read_text()))))
def test_a_script_that_shows_a_reason_is_there(name: str) -> None:
    assert list((ROOT / "tests" / "scenarios").rglob(name))


@pytest.mark.runs("docs/how-to/ci.md", "sh 1", "sh 2")
def test_what_continuous_integration_runs(shown: Shown, place: Path, environment: dict[str, str]) -> None:
    (place / "tests").mkdir()
    for name in ("passive_open.pkt", "simultaneous_open.pkt"):
        (place / "tests" / name).write_text((SCRIPTS / name).read_text())
    (place / "ci.sh").write_text(shown.text("sh 1").replace("--cases 500", "--cases 20"))
    printed = session([Step("bash ./ci.sh", [])], place, environment)
    assert "8 runs of 2 scripts" in printed
    assert "no findings" in printed
    (suite,) = ElementTree.parse(place / "out" / "scenarios.xml").getroot()  # noqa: S314  # it is ours
    assert (suite.get("tests"), suite.get("failures")) == ("8", "0")
    assert len(list((place / "out" / "captures").glob("*.pcapng"))) == 8
    assert (place / "out" / "fuzz" / "report.html").exists()
    (place / ".bin" / "pytest").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pytest "$@"\n')
    (place / ".bin" / "pytest").chmod(0o755)
    assert "4 passed" in session(shown.steps("sh 2"), place, environment)


@pytest.mark.runs("docs/how-to/ci.md", "sh 3")
def test_a_campaign_of_every_night(shown: Shown, place: Path, environment: dict[str, str]) -> None:
    night = {**environment, "SECONDS_A_NIGHT": "1.5"}
    steps = shown.steps("sh")
    done = []
    for _ in range(2):
        session(steps, place, night)
        done.append(json.loads((place / "campaign" / "campaign.json").read_text())["cases"])
    assert 0 < done[0] < done[1]


@pytest.mark.runs("docs/how-to/ci.md", "sh 4")
def test_what_a_class_is_checked_by(shown: Shown, place: Path, environment: dict[str, str]) -> None:
    (step,) = shown.steps("sh")
    first = step._replace(command=step.command.replace("--all", "1"))
    session([first], place, environment)
    checked = json.loads((place / "lessons.json").read_text())
    assert checked["ok"] is True
    assert [(each["lesson"], each["on"]) for each in checked["checked"]] == [(1, "engine"), (1, "kernel")]
    assert len({each["digest"] for each in checked["checked"]}) > 0


@pytest.mark.runs("docs/how-to/ci.md", "yaml")
def test_jobs_are_yaml_and_run_what_there_is(shown: Shown) -> None:
    job, container = (yaml.safe_load(block.text) for block in shown.blocks())
    steps = job["jobs"]["handshakes"]["steps"]
    assert "sh ci.sh" in [step.get("run") for step in steps]
    assert steps[-1]["with"]["path"] == "out"
    options = shlex.split(container["container"]["options"])
    assert options[1::2] == ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"]


def test_commands_in_the_table_of_continuous_integration_are_there() -> None:
    page = (ROOT / "docs" / "how-to" / "ci.md").read_text()
    named = {words.split()[1] for words in re.findall(r"`(xsocket [^`]+)`", page)}
    assert {"fmt", "run", "fuzz", "grid", "learn", "lesson", "doctor"} <= named
    assert named <= set(SUBCOMMANDS)
