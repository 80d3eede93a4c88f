"""`xsocket compare` in labs of its own: what must hold on any machine, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.live import until
from xsocket_netns import clean
from xsocket_netns.processes import Process, with_variable
from xsocket_netns.registry import RUNTIME_VARIABLE
from xsocket_tools.compare.designs import can_migrate

pytestmark = pytest.mark.netns

COMPARE = [sys.executable, "-W", "error", "-m", "xsocket_tools.cli", "compare"]
PATIENCE_S = 180.0
Figures = dict[str, Any]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def comparison(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], str]:
    """One small comparison of all designs in all situations, and its report."""
    page = tmp_path_factory.mktemp("compare") / "report.html"
    argv = [*COMPARE, "--quick", "--crowd", "60", "--json", "--report", str(page)]
    done = subprocess.run(
        argv, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), page.read_text()


@pytest.fixture
def trials(comparison: tuple[dict[str, Any], str]) -> dict[tuple[str, str], Figures]:
    """The figures of each trial, by design and situation."""
    return {(trial["design"], trial["situation"]): trial for trial in comparison[0]["trials"]}


def test_every_design_is_there_in_every_situation(trials: dict[tuple[str, str], Figures]) -> None:
    designs = {"shared", "reuseport", "pool"} | ({"reuseport-migrate"} if can_migrate() else set())
    situations = {"even", "slow", "stopped", "killed"}
    assert set(trials) == {(design, situation) for design in designs for situation in situations}


def test_the_counts_add_up(trials: dict[tuple[str, str], Figures]) -> None:
    for trial in trials.values():
        assert trial["requests"] == trial["done"] + trial["lost"] == 400
        assert trial["lost"] == trial["lost_taken"] + trial["lost_unclaimed"] == sum(trial["ends"].values())
        assert sum(trial["shares"]) == pytest.approx(1)
        assert len(trial["shares"]) == 4
        assert 0 < trial["taken_ms"]["p50"] <= trial["first_ms"]["p50"]
        assert trial["late_ms"]["p50"] >= 0


def test_even_load_loses_nothing(trials: dict[tuple[str, str], Figures]) -> None:
    even = [trial for (_, situation), trial in trials.items() if situation == "even"]
    assert [(trial["lost"], trial["stranded"]) for trial in even] == [(0, 0)] * len(even)


@pytest.mark.parametrize("situation", ["slow", "stopped", "killed"])
@pytest.mark.parametrize("design", ["shared", "pool"])
def test_what_all_may_take_does_not_wait_for_one(
    trials: dict[tuple[str, str], Figures], design: str, situation: str
) -> None:
    trial = trials[design, situation]
    assert (trial["stranded"], trial["lost_unclaimed"]) == (0, 0)
    assert trial["lost"] <= 1, "what the killed worker had taken: it takes one at a time"


@pytest.mark.parametrize("design", ["shared", "pool"])
def test_a_slow_worker_takes_fewest(trials: dict[tuple[str, str], Figures], design: str) -> None:
    shares = trials[design, "slow"]["shares"]
    assert shares[0] < min(shares[1:])


@pytest.mark.parametrize("situation", ["slow", "stopped", "killed"])
def test_what_the_hash_gave_to_one_waits_for_it(
    trials: dict[tuple[str, str], Figures], situation: str
) -> None:
    trial = trials["reuseport", situation]
    assert trial["stranded"] > 0
    assert trial["stranded"] < trial["requests"] / 2, "only one worker's share"


def test_those_of_a_stopped_worker_are_answered_afterwards(trials: dict[tuple[str, str], Figures]) -> None:
    trial = trials["reuseport", "stopped"]
    assert trial["lost"] == 0
    assert trial["first_ms"]["longest"] >= 500, "as long as it was stopped"


def test_those_of_a_killed_worker_are_reset(trials: dict[tuple[str, str], Figures]) -> None:
    trial = trials["reuseport", "killed"]
    assert trial["lost_unclaimed"] == trial["stranded"] > 0
    assert trial["ends"]["reset"] >= trial["lost_unclaimed"]


def test_the_pools_server_accounts_for_every_connection(trials: dict[tuple[str, str], Figures]) -> None:
    for (design, _), trial in trials.items():
        pool = trial["pool"]
        if design != "pool":
            assert pool is None
            continue
        assert pool["sent"] == pool["acknowledged"] + pool["returned"] + pool["reset"]
        assert pool["acknowledged"] >= trial["done"]


def test_the_verdicts_follow(comparison: tuple[dict[str, Any], str]) -> None:
    verdicts = comparison[0]["verdicts"]
    assert len(verdicts) == 6
    assert [verdict["holds"] for verdict in verdicts[:4]] == [True] * 4


def test_the_report_has_a_plot_of_each_situation(comparison: tuple[dict[str, Any], str]) -> None:
    assert comparison[1].count("<svg ") == 4


def test_an_ordinary_user_can_compare(as_ordinary_user: Run) -> None:
    argv = ["compare", "--quick", "--design", "pool", "--situation", "killed", "--json"]
    done = as_ordinary_user("-m", "xsocket_tools.cli", *argv)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"][0]["lost_unclaimed"] == 0


# What is left of a comparison that is interrupted


def processes_of(module: str, runtime: Path) -> list[Process]:
    """Return the processes of this test session that run *module*."""
    found = []
    for process in with_variable(RUNTIME_VARIABLE, str(runtime)):
        try:
            words = Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")
        except OSError:
            continue
        if module in words:
            found.append(process)
    return found


def everything(runtime: Path) -> list[Process]:
    """Return what a comparison runs in its labs."""
    modules = [f"xsocket_tools.compare.{name}" for name in ("origin", "pool", "load")]
    return [process for module in modules for process in processes_of(module, runtime)]


@contextmanager
def comparing(environment: dict[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run a comparison until the end of the block; workers serve when it begins."""
    runtime = Path(environment[RUNTIME_VARIABLE])
    argv = [*COMPARE, *options]
    there = {**environment, "TMPDIR": str(runtime)}  # what a killed process leaves there goes with it
    with subprocess.Popen(argv, env=there, stderr=subprocess.PIPE, text=True) as child:
        try:
            until(lambda: bool(processes_of("xsocket_tools.compare.load", runtime)))
            yield child
        finally:
            child.kill()


LONG = ("--situation", "stopped", "--requests", "3000", "--rate", "100")


@pytest.mark.parametrize("design", ["shared", "pool"])
def test_ctrl_c_ends_everything(environment: dict[str, str], runtime_directory: Path, design: str) -> None:
    with comparing(environment, "--design", design, *LONG) as child:
        assert len(everything(runtime_directory)) == (7 if design == "pool" else 6)
        child.send_signal(signal.SIGINT)
        assert child.wait(PATIENCE_S) == 128 + signal.SIGINT
    assert everything(runtime_directory) == []


def test_workers_and_engine_do_not_outlive_a_killed_comparison(
    environment: dict[str, str], runtime_directory: Path
) -> None:
    with comparing(environment, "--design", "pool", *LONG) as child:
        child.kill()
        child.wait(PATIENCE_S)
    until(lambda: not processes_of("xsocket_tools.compare.origin", runtime_directory))
    until(lambda: not processes_of("xsocket_tools.compare.pool", runtime_directory))
    clean()
    assert everything(runtime_directory) == []


def workers(runtime: Path) -> list[int]:
    """Return the process ids of the workers, by number."""
    pids = sorted(each.pid for each in processes_of("xsocket_tools.compare.origin", runtime))
    return [pid for pid in pids if parent_of(pid) in pids]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize(
    ("situation", "message"),
    [
        pytest.param("even", "a worker ended by itself", id="it does not count as the design's"),
        pytest.param("stopped", "had ended before", id="it cannot be stopped any more"),
    ],
)
def test_a_worker_that_ends_by_itself_is_an_error(
    environment: dict[str, str], runtime_directory: Path, situation: str, message: str
) -> None:
    options = ("--design", "shared", "--situation", situation, "--requests", "100", "--rate", "50")
    with comparing(environment, *options) as child:
        os.kill(workers(runtime_directory)[0], signal.SIGKILL)
        _, complaints = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 1
    assert complaints.startswith("error: ")
    assert message in complaints
    assert "remedy: " in complaints
