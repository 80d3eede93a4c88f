"""The benches run, count what they say they count, and leave nothing behind. No figure is asserted."""

import json
import subprocess
import sys

import pytest

from xsocket_tools.bench import Run, ratio


@pytest.mark.netns
def test_handshakes_are_measured_on_both_servers() -> None:
    argv = [sys.executable, "-m", "xsocket_tools.cli", "bench", "handshakes", "--json"]
    argv += ["--seconds", "0.3", "--rounds", "1", "--waiting", "2000"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
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
def test_a_flood_is_measured_on_both_servers() -> None:
    argv = [sys.executable, "-m", "xsocket_tools.cli", "bench", "flood", "--json"]
    argv += ["--seconds", "1", "--rate", "5000", "--concurrency", "8", "--search-seconds", "0"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for server in ("engine", "linux"):
        found = result[server]
        assert found["sent_per_second"] > 0
        assert found["before_per_second"] > 0
        assert found["share"] == found["during_per_second"] / found["before_per_second"]
        assert all(found["resident_octets"])
    assert result["engine"]["server"]["cookies_sent"] > 0, "the flood filled the table"
    assert result["engine"]["server"]["cookies_accepted"] > 0, "and clients got through all the same"
