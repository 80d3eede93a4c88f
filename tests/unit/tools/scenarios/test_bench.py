"""The bench of scripts runs each with every IP version it is for, and counts what is not good."""

import json
from pathlib import Path

from click.testing import CliRunner

from xsocket_tools.bench import bench

GOOD = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
BAD = "--ip_version=ipv4\n0 state ESTABLISHED\n"


def test_scripts_are_run_and_counted(tmp_path: Path) -> None:
    (tmp_path / "good.pkt").write_text(GOOD)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "bad.pkt").write_text(BAD)
    done = CliRunner().invoke(bench, ["scripts", str(tmp_path), "--rounds", "2", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["scripts"] == 2
    assert [(each["runs"], each["not_good"]) for each in found["rounds"]] == [(3, 1), (3, 1)]
    assert found["per_second"] > 0


def test_the_command_says_what_it_measured(tmp_path: Path) -> None:
    (tmp_path / "good.pkt").write_text(GOOD)
    done = CliRunner().invoke(bench, ["scripts", str(tmp_path / "good.pkt"), "--rounds", "1"])
    assert done.exit_code == 0, done.output
    assert "scripts per second of one core (median of 1 rounds of 2 runs, 0 not good)" in done.stdout
