"""The wheel, in an environment of its own: a project that is not ours uses the plugin and the command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from support.markdown import ROOT

pytestmark = pytest.mark.netns

PATIENCE_S = 120.0
PACKAGES = ("xsocket", "xsocket_netns", "xsocket_tools")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has our packages from the wheel, and what they depend on from this one's."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--wheel-dir", directory, ROOT], check=True, timeout=PATIENCE_S
    )
    (wheel,) = directory.glob("*.whl")
    venv.create(directory / "venv", symlinks=True)
    made = directory / "venv" / "bin" / "python"
    subprocess.run([*pip, "--python", made, "install", "--no-deps", wheel], check=True, timeout=PATIENCE_S)
    # What a .pth file names is searched, but .pth files in there, such as our editable one, are not read.
    site = Path(sysconfig.get_path("purelib", vars={"base": str(directory / "venv")}))
    others = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "dependencies.pth").write_text("\n".join(others))
    return made


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project, away from this repository and its configuration."""
    return Path(shutil.copytree(ROOT / "tests" / "project", tmp_path / "project"))


def run(*arguments: str | Path, directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        arguments,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_packages_are_the_wheels(python: Path, tmp_path: Path) -> None:
    program = f"import {', '.join(PACKAGES)}; print(*(each.__file__ for each in ({', '.join(PACKAGES)})))"
    ran = run(python, "-c", program, directory=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert [Path(path).is_relative_to(python.parents[1]) for path in ran.stdout.split()] == [True] * 3


@pytest.mark.parametrize("number", ["1", "16", "20"], ids=["as most are", "with a bug", "a script"])
def test_the_lessons_are_in_it(python: Path, tmp_path: Path, number: str) -> None:
    ran = run(python.with_name("xsocket"), "lesson", "check", number, directory=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith(f"ok lesson {number} on engine")


def test_another_projects_tests_run_with_the_plugin(python: Path, project: Path) -> None:
    ran = run(python, "-m", "pytest", "-v", "-p", "no:cacheprovider", directory=project)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    outcomes = dict(re.findall(r"^(\S+::\S+) (PASSED|XFAIL|FAILED|ERROR|SKIPPED)", ran.stdout, re.MULTILINE))
    runs = [f"{target}-{version}" for target in ("sim", "wire") for version in ("ipv4", "ipv6")]
    scenarios = {name: outcome for name, outcome in outcomes.items() if ".pkt::" in name}
    assert scenarios == {
        **{f"scenarios/handshake.pkt::{run}": "PASSED" for run in runs},
        **{f"scenarios/window.pkt::{target}-ipv6": "XFAIL" for target in ("sim", "wire")},
    }
    assert set(outcomes.values()) == {"PASSED", "XFAIL"}
    assert len(outcomes) == len(scenarios) + 6


def test_the_command_runs_the_projects_scenarios(python: Path, project: Path) -> None:
    ran = run(python.with_name("xsocket"), "run", "scenarios", "-v", directory=project)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[:2] == [
        "ok    scenarios/handshake.pkt[sim-ipv4]",
        "ok    scenarios/handshake.pkt[sim-ipv6]",
    ]
    assert ran.stdout.splitlines()[-1].endswith(": 2 passed, 1 xfailed")
