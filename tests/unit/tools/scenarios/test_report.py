"""Failure reports and comparisons of targets, as plain text and on a terminal."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from support.scenarios import handshake_events, handshake_frames, outcome, script, seen
from xsocket_tools.scenarios.outcome import Failure, Status
from xsocket_tools.scenarios.report import (
    FailureReport,
    PartingView,
    as_text,
    differing,
    events_of,
    partings,
    targets_table,
    told,
)


def report(status: Status = Status.FAILED, width: int = 80, **changes: object) -> str:
    return as_text(FailureReport(outcome(status, **changes)), width)


# Failures


def test_a_failure_shows_the_line_among_its_neighbours() -> None:
    text = report()
    assert text.startswith(
        "FAIL tests/handshake.pkt[sim-ipv4]\nline 6, at 0.1 s: another packet came: window"
    )
    assert "  > 6 +0 > S. 0:0(0) ack 1 win 65535 <mss 1460>\n" in text
    assert "    5 +.1 < S 0:0(0) win 1000 <mss 1460>\n" in text
    assert "    8 +0 accept" in text
    assert "    1 //" not in text


def test_expected_and_actual_stand_below_each_other_with_marks_where_it_is_narrow() -> None:
    lines = report(width=60).splitlines()
    at = lines.index("  expected > S. 0:0(0) ack 1 win 65535 <mss 1460>")
    assert lines[at + 1 : at + 4] == [
        "                                 ^^^^^",
        "  actual   > S. 0:0(0) ack 1 win 64240 <mss 1460>",
        "                                 ^^^^^",
    ]


def test_expected_and_actual_stand_side_by_side_where_there_is_room() -> None:
    lines = report(width=120).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("  expected"))
    assert lines[at].split() == ["expected", "actual"]
    assert lines[at + 1].count("> S. 0:0(0) ack 1 win") == 2
    assert lines[at + 2].split() == ["^^^^^", "^^^^^"]
    assert lines[at + 2].index("^") == lines[at + 1].index("65535")


def test_each_field_that_differs_is_named() -> None:
    assert "  window  expected 65535  got 64240" in report()


def test_a_terminal_has_colours_instead_of_marks() -> None:
    screen = StringIO()
    console = Console(file=screen, force_terminal=True, color_system="truecolor", width=80, highlight=False)
    console.print(FailureReport(outcome(Status.FAILED)))
    assert "^" not in screen.getvalue()
    assert "\x1b[1;32m65535\x1b[0m" in screen.getvalue()
    assert "\x1b[1;31m64240\x1b[0m" in screen.getvalue()


def test_what_did_not_come_is_called_nothing_and_has_no_marks() -> None:
    text = report(failure=Failure(6, "no packet came", 0.1, "> S. 0:0(0) ack 1"), width=60)
    assert "  expected            actual\n  > S. 0:0(0) ack 1   nothing" in text
    assert "^" not in text


@pytest.mark.parametrize(
    ("expected", "actual", "marks"),
    [
        pytest.param("win 1 <mss 10>", "win 2 <mss 10>", (["1"], ["2"]), id="a number"),
        pytest.param("<mss 10,sackOK>", "<mss 10>", ([",sackOK"], []), id="something is missing"),
        pytest.param("> . 1:1(0)", "> . 1:1(0) ack 1", ([], [" ack 1"]), id="something is too much"),
        pytest.param("> S 0", "> S 0", ([], []), id="nothing"),
    ],
)
def test_words_that_differ_are_found(expected: str, actual: str, marks: tuple[list[str], list[str]]) -> None:
    ours, theirs = differing(expected, actual)
    assert ([expected[a:b] for a, b in ours], [actual[a:b] for a, b in theirs]) == marks


def test_the_engines_state_and_its_rule_are_named_and_the_ladder_is_drawn() -> None:
    text = report(events=handshake_events(), state="ESTABLISHED", rule="3.10.7.4 fifth")
    assert "\nthe connection is in ESTABLISHED\nthe rule applied last is RFC 9293 3.10.7.4 fifth\n" in text
    assert "SYN+ACK seq 0 ack 1" in text
    assert "script" in text
    assert "SYN-RECEIVED" in text
    assert "by RFC 9293 3.10.7.2" in text


@pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])
def test_packets_of_linux_make_a_ladder_too(version: int) -> None:
    text = report(target="kernel", frames=handshake_frames(version))
    assert "SYN+ACK seq 0 ack 1" in text
    assert "Linux" in text
    ours = "10.0.0.2:80" if version == 4 else "[fd00::2]:80"
    assert ours in text


def test_frames_that_are_no_segments_are_no_events() -> None:
    assert list(events_of([(">", 0.0, b""), ("<", 0.0, b"\x45"), (">", 0.0, bytes(60))])) == []


def test_a_run_without_segments_shows_what_happened() -> None:
    text = report(path=seen("socket(...) = 3", "poll([red], 1, 0) = -1"))
    assert "what happened:\n  0.001000 line 1 socket(...) = 3\n  0.002000 line 2 poll([red], 1, 0)" in text


def test_the_capture_is_named() -> None:
    assert as_text(FailureReport(outcome(Status.FAILED), Path("a.pcapng"))).endswith("\ncapture: a.pcapng")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param(Status.XPASSED, "XPASS tests/handshake.pkt[sim-ipv4]\nit passed", id="xpassed"),
        pytest.param(Status.ERROR, "ERROR tests/handshake.pkt[sim-ipv4]\nit passed", id="error"),
    ],
)
def test_a_run_without_a_failing_line_says_why(status: Status, words: str) -> None:
    assert report(status, reason="it passed, and was to fail: x").startswith(words)


def test_an_expected_failure_says_both_reasons() -> None:
    assert (
        told(outcome(Status.XFAILED, reason="known")) == "known (line 6: another packet came: window differs)"
    )


def test_text_never_has_colours_even_where_they_are_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in report()


# Several targets


def test_the_table_has_a_row_for_each_script_and_a_column_for_each_target() -> None:
    other = script(name="b.pkt")
    runs = [
        outcome(),
        outcome(Status.FAILED, target="kernel"),
        outcome(Status.XFAILED, script=other),
        outcome(Status.UNSUPPORTED, script=other, target="kernel", ip_version="ipv6"),
    ]
    lines = [line.split() for line in as_text(targets_table(runs)).splitlines()]
    assert lines == [
        ["sim", "kernel", "kernel"],
        ["script", "ipv4", "ipv4", "ipv6"],
        ["tests/handshake.pkt", "ok", "FAIL", "-"],
        ["b.pkt", "xfail", "-", "unsup"],
    ]


def test_repeated_runs_show_the_worst_and_how_often() -> None:
    runs = [outcome(), outcome(Status.FAILED), outcome(), outcome(Status.SKIPPED, target="wire")]
    assert as_text(targets_table(runs)).splitlines()[2].split() == [
        "tests/handshake.pkt",
        "FAIL",
        "1/3",
        "skip",
    ]


def test_paths_part_after_what_they_have_in_common() -> None:
    runs = [
        outcome(path=seen("< S", "> S.", "< .", "> F.")),
        outcome(target="wire", path=seen("< S", "> S.", "< .", "> F.")),
        outcome(target="kernel", path=seen("< S", "> S.", "> R", "< .")),
    ]
    (parting,) = partings(runs)
    assert parting.last is not None
    assert parting.last.text == "> S."
    assert [(branch.targets, [step.text for step in branch.steps]) for branch in parting.branches] == [
        (("sim", "wire"), ["< .", "> F."]),
        (("kernel",), ["> R", "< ."]),
    ]
    lines = [line.split() for line in as_text(PartingView(parting)).splitlines()]
    assert lines == [
        ["tests/handshake.pkt,", "ipv4:", "the", "paths", "part", "after"],
        ["all", "line", "2", ">", "S."],
        ["sim,", "wire", "line", "3", "<", "."],
        ["line", "4", ">", "F."],
        ["kernel", "line", "3", ">", "R"],
        ["line", "4", "<", "."],
    ]


def test_a_path_that_ends_early_parts_there() -> None:
    runs = [outcome(path=seen("[red]", "[blue]")), outcome(target="kernel", path=seen("[red]"))]
    lines = [line.split() for line in as_text(PartingView(*partings(runs))).splitlines()]
    assert lines[1:] == [
        ["all", "line", "1", "[red]"],
        ["sim", "line", "2", "[blue]"],
        ["kernel", "(nothing", "more)"],
    ]


def test_paths_may_differ_from_the_start() -> None:
    runs = [outcome(path=seen("< S")), outcome(target="kernel", path=seen("< R"))]
    assert "the paths part from the start" in as_text(PartingView(*partings(runs)))


def test_times_versions_and_runs_without_a_path_make_no_difference() -> None:
    runs = [
        outcome(path=seen("< S")),
        outcome(target="wire", path=tuple(step._replace(at_us=5, line=9) for step in seen("< S"))),
        outcome(target="kernel", status=Status.SKIPPED),
        outcome(target="kernel", ip_version="ipv6", path=seen("> R")),
    ]
    assert partings(runs) == []


def test_what_is_drawn_at_random_makes_no_difference() -> None:
    syns = [f"> S 0:0(0) <TS val {value} ecr 0,FO {cookie}>" for value, cookie in ((7, "ab"), (8, "cd"))]
    runs = [outcome(path=seen(syns[0])), outcome(target="kernel", path=seen(syns[1]))]
    assert partings(runs) == []
    runs = [outcome(path=seen(syns[0], "> .")), outcome(target="kernel", path=seen(syns[1], "> R"))]
    (parting,) = partings(runs)
    assert parting.last is not None
    assert parting.last.text == syns[0]


@pytest.mark.parametrize("status", [Status.PASSED, Status.FAILED], ids=["well", "not well"])
def test_a_parting_knows_whether_all_is_well(status: Status) -> None:
    runs = [outcome(path=seen("> S")), outcome(status, target="kernel", path=seen("> R"))]
    assert [parting.is_good for parting in partings(runs)] == [status.is_good]


def test_what_can_be_done_about_it_is_told() -> None:
    failure = Failure(6, "3 octets of options do not fill words of four", remedy="Fill them up with nop.")
    text = report(Status.ERROR, failure=failure, reason=failure.message)
    assert text.count("remedy: Fill them up with nop.") == 1
    assert outcome(Status.ERROR, failure=failure).as_dict()["failure"]["remedy"] == "Fill them up with nop."
