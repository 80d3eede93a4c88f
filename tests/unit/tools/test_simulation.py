"""The bench of virtual time runs, and counts what it says it counts. No figure is asserted."""

import json

from click.testing import CliRunner

from xsocket_tools.bench import bench
from xsocket_tools.simulation import handshakes, keep_alive


def test_handshakes_are_complete_and_as_many_as_asked_for() -> None:
    run = handshakes(count=100, at_once=32)
    assert run.count == 128
    assert run.per_second > 0
    assert run.virtual_s > 0


def test_both_ends_are_probed_all_the_time() -> None:
    month = keep_alive(30 * 86_400.0)
    assert month.probes >= 30 * 12 - 1  # every two hours
    assert month.frames > 2 * month.probes


def test_the_command_prints_one_object() -> None:
    argv = ["simulation", "--json", "--handshakes", "10", "--at-once", "5", "--rounds", "2", "--days", "1"]
    done = CliRunner().invoke(bench, argv)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert [run["count"] for run in result["handshakes"]["rounds"]] == [10, 10]
    assert result["handshakes"]["per_second"] > 0
    assert result["keep_alive"]["virtual_s"] == 86_400


def test_the_command_says_what_it_measured() -> None:
    done = CliRunner().invoke(bench, ["simulation", "--handshakes", "10", "--rounds", "1", "--days", "1"])
    assert done.exit_code == 0, done.output
    assert "handshakes per second" in done.stdout
    assert "1 days of keep-alive" in done.stdout
