"""`xsocket explain`: captures and scripts, told step by step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.markdown import ROOT
from xsocket import Simulation
from xsocket_tools.capture import write_capture
from xsocket_tools.cli import main
from xsocket_tools.teaching.explain_command import explain

FAILING = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 1000 <mss 1000>
+0 > S. 0:0(0) ack 7 <...>
"""
PASSING = FAILING.replace("ack 7", "ack 1")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Return a capture of two connections."""
    sim = Simulation(seed=1)
    client, server = sim.host("10.0.0.1/24", name="client"), sim.host("10.0.0.2/24", name="server")
    sim.link(client, server, delay_s=0.01)
    for _ in range(2):
        client.connect("10.0.0.2", 80).close()
    sim.run(for_s=0.5)
    path = tmp_path / "seen.pcapng"
    write_capture(path, [event for event in sim.trace if event.host == "server"])
    return path


def ran(*words: str) -> Result:
    """Run `xsocket explain` with *words*."""
    return CliRunner().invoke(explain, words, catch_exceptions=False)


def status(*words: str) -> int:
    """Return the exit status of `xsocket explain`."""
    with pytest.raises(SystemExit) as left:
        main(["explain", *words])
    assert isinstance(left.value.code, int)
    return left.value.code


def test_a_capture_is_told_with_inferred_states(capture: Path) -> None:
    shown = ran(str(capture)).output
    assert "~SYN-SENT → ESTABLISHED" in shown
    assert "~SYN-RECEIVED → ESTABLISHED" in shown
    assert "~ inferred from the segments" in shown
    assert shown.count("── SYN seq 0") == 2


def test_an_icmp_error_in_a_capture_is_a_step(tmp_path: Path) -> None:
    lesson, path = tmp_path / "narrow.html", tmp_path / "narrow.pcapng"
    begun = CliRunner().invoke(main, ["lesson", "report", "18", "--output", str(lesson), "--capture"])
    assert begun.exit_code == 0
    steps = json.loads(ran(str(path), "--json").output)["steps"]
    (error,) = [step for step in steps if step["kind"] == "icmp"]
    assert error["title"] == "client gets ICMP: too big, the next hop takes 600 octets"
    assert error["notes"] == ["It quotes the segment with seq 1."]
    assert (error["end"], error["connection"]) == (0, 2)
    assert [view["state"] for view in error["views"]] == ["ESTABLISHED", "ESTABLISHED"]
    assert error["views"][0]["variables"] == [
        {**each, "changed": False} for each in steps[error["number"] - 2]["views"][0]["variables"]
    ]


def test_one_connection_of_several_is_chosen(capture: Path) -> None:
    assert ran(str(capture), "--flow", "2").output.count("── SYN seq 0") == 1
    result = ran(str(capture), "--flow", "3")
    assert result.exit_code == 2
    assert "has 2 connections; there is no flow 3" in result.output


def test_numbers_can_be_those_on_the_wire(capture: Path) -> None:
    plain = json.loads(ran(str(capture), "--json").output)
    number = plain["steps"][0]["packet"]["absolute_seq"]
    assert f"SYN seq {number}" in ran(str(capture), "--absolute").output


def test_a_script_is_run_and_its_end_shown_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "passes.pkt"
    path.write_text(PASSING)
    shown = ran(str(path)).output
    assert "CLOSED → SYN-RECEIVED" in shown
    assert "by RFC 9293 3.10.7.2 third" in shown
    assert "The script" not in shown


def test_a_script_that_fails_is_told_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "fails.pkt"
    path.write_text(FAILING)
    shown = ran(str(path)).output
    assert "SYN+ACK" in shown
    assert "The script failed: line 5" in shown


def test_a_page_is_written(capture: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = ran(str(capture), "--report", str(page))
    assert f"wrote {page}" in result.output
    assert "SYN-RECEIVED" in page.read_text()


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("nothing.pcap", b""),
        ("noise.pcapng", b"\x00" * 100),
        ("words.pkt", b"this is no script"),
        ("latin.pkt", b"0 socket(\xff\xfe) = 3"),
        ("empty.pkt", b""),
        ("quiet.pkt", b"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"),
    ],
)
def test_what_cannot_be_explained_is_told(
    name: str, octets: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(octets)
    assert status(str(path)) in (1, 2, 3)
    told = capsys.readouterr().err
    assert "error: " in told
    assert "remedy: " in told
    assert "Traceback" not in told


def test_every_script_of_the_library_can_be_explained() -> None:
    found = sorted((ROOT / "tests" / "scenarios").rglob("*.pkt"))[::40]
    assert found
    for path in found:
        result = ran(str(path), "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.output)["steps"]
