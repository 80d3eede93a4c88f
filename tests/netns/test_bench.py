"""The benches run, count what they say they count, and leave nothing behind. No figure is asserted."""

import json
import shlex
import subprocess
import sys
from typing import Any

import pytest

from support.documents import Shown
from xsocket_tools.bench import Run, ratio


def measured(shown: Shown, *shorter: str) -> Any:  # noqa: ANN401  # any JSON
    """Run the command of a page that prints JSON, made shorter; the other one does the same in words."""
    words, in_json = (shlex.split(step.command) for step in shown.steps("sh"))
    assert (words, in_json[:3], in_json[-1]) == (in_json[:3], words, "--json")
    argv = [sys.executable, "-m", "xsocket_tools.cli", *in_json[1:], *shorter]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.netns
@pytest.mark.runs("docs/how-to/measure.md", "sh 1")
def test_handshakes_are_measured_on_both_servers(shown: Shown) -> None:
    result = measured(shown, "--seconds", "0.3", "--rounds", "1", "--waiting", "2000")
    assert [level["concurrency"] for level in result["levels"]] == [1, 64]
    for level in result["levels"]:
        for run in level["rounds"][0]:
            assert run["per_second"] > 0
            assert run["p50_us"] <= run["p99_us"]
            assert run["failed"] == {}
    assert result["pool"]["connections"] == 2000
    assert result["pool"]["octets_each"] > 0


def test_the_ratio_is_the_median_over_the_rounds() -> None:
    def run(rate: float) -> Run:
        return Run("", 1, rate, 1.0, 2.0, {})

    assert ratio([(run(10), run(5)), (run(10), run(9)), (run(10), run(6))]) == 0.6


@pytest.mark.netns
@pytest.mark.runs("docs/how-to/measure.md", "sh 2")
def test_handing_over_is_measured_beside_both_servers(shown: Shown) -> None:
    result = measured(shown, "--seconds", "0.1", "--rounds", "1", "--concurrency", "8")
    assert result["rate"]["concurrency"] == 8
    for server in ("linux", "engine", "handed"):
        assert result["rate"][server]["per_second"] > 0
    assert all(each["ratio"] > 0 for each in result["throughput"].values())
    assert 0 < result["claim"]["p50_us"] <= result["claim"]["p99_us"]


@pytest.mark.netns
@pytest.mark.runs("docs/how-to/measure.md", "sh 3")
def test_a_flood_is_measured_on_both_servers(shown: Shown) -> None:
    short = ("--seconds", "1", "--rate", "5000", "--concurrency", "8", "--search-seconds", "0")
    result = measured(shown, *short)
    for server in ("engine", "linux"):
        found = result[server]
        assert found["sent_per_second"] > 0
        assert found["before_per_second"] > 0
        assert found["share"] == found["during_per_second"] / found["before_per_second"]
        assert all(found["resident_octets"])
    assert result["engine"]["server"]["cookies_sent"] > 0, "the flood filled the table"
    assert result["engine"]["server"]["cookies_accepted"] > 0, "and clients got through all the same"
