"""`xsocket run`: its plan, its options, what it prints and returns; with a runner that runs nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from support.scenarios import (
    HANDSHAKE,
    Run,
    dies_on_wire,
    handshake_events,
    handshake_frames,
    outcome,
    passes,
    runner,
    script,
    seen,
    waits_for_ever_on_kernel,
)
from xsocket_tools.cli import main
from xsocket_tools.scenarios import execution
from xsocket_tools.scenarios.errors import ScriptUsageError
from xsocket_tools.scenarios.execution import outcomes, perform, workers_for, write_packets_of
from xsocket_tools.scenarios.outcome import Outcome, Status
from xsocket_tools.scenarios.plan import Job, capture_name, selection_of
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.settings import Settings

Use = Callable[[Run], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Have the command use another runner."""

    def use_instead(run: Run) -> None:
        monkeypatch.setattr("xsocket_tools.scenarios.running.run", run)

    use_instead(runner())
    return use_instead


@pytest.fixture(autouse=True)
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with three scripts, which is the current one."""
    for name in ("b.pkt", "a.pkt", "deep/er/c.pkt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HANDSHAKE)
    (tmp_path / "notes.txt").write_text("no script")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def xsocket_run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["run", *arguments])


def told(*arguments: str) -> Any:  # noqa: ANN401
    result = xsocket_run(*arguments, "--json")
    return json.loads(result.stdout)


def names(plain: dict[str, Any]) -> list[str]:
    return [f"{each['script']}[{each['target']}-{each['ip_version']}]" for each in plain["outcomes"]]


# The plan


def test_directories_are_searched_and_sorted_and_files_taken_as_they_come(use: Use) -> None:
    del use
    assert [each["script"] for each in told("b.pkt", ".")["outcomes"]][::2] == [
        "b.pkt",
        "a.pkt",
        "deep/er/c.pkt",
    ]


def test_each_script_runs_on_each_target_with_each_of_its_versions(use: Use, scripts: Path) -> None:
    del use
    (scripts / "b.pkt").write_text(f"--ip_version=ipv6\n{HANDSHAKE}")
    assert names(told("a.pkt", "b.pkt", "--on", "sim", "--on", "sim")) == [
        "a.pkt[sim-ipv4]",
        "a.pkt[sim-ipv6]",
        "b.pkt[sim-ipv6]",
    ]


@pytest.mark.netns
def test_targets_are_separated_by_commas_or_given_one_by_one(use: Use) -> None:
    del use
    expected = ["a.pkt[kernel-ipv4]", "a.pkt[sim-ipv4]", "a.pkt[wire-ipv4]"]
    plain = told("a.pkt", "--on", "kernel,sim", "--on=wire", "--ip-version", "ipv4", "-j", "1")
    assert names(plain) == expected


@pytest.mark.parametrize(
    ("arguments", "versions"),
    [
        pytest.param(["--ip-version", "ipv6"], ["ipv6"], id="one"),
        pytest.param(["--ip_version=ipv4-mapped-ipv6,ipv4"], ["ipv4", "ipv4-mapped-ipv6"], id="two"),
        pytest.param(["--local_ip=10.0.0.1"], ["ipv4"], id="an address rules the other out"),
        pytest.param(["--remote-ip", "fd00::1"], ["ipv6"], id="an address of IPv6"),
    ],
)
def test_ip_versions(use: Use, arguments: list[str], versions: list[str]) -> None:
    del use
    assert [each["ip_version"] for each in told("a.pkt", *arguments)["outcomes"]] == versions


def test_flags_are_spelled_with_hyphens_or_underscores_and_reach_the_run(use: Use, scripts: Path) -> None:
    (scripts / "a.pkt").write_text(f"{HANDSHAKE}+0 more\n")
    calls: list[tuple[Any, str, Settings, str]] = []
    use(runner(calls=calls))
    flags = [
        "--tolerance_usecs=7",
        "--mss",
        "1000",
        "--bind-port=9",
        "-D",
        "more=`true`",
        "--verbose",
        "--debug",
    ]
    assert xsocket_run(str(scripts / "a.pkt"), *flags).exit_code == 0
    ipv4, ipv6 = (settings for _, _, settings, _ in calls)
    assert (ipv4.tolerance_us, ipv4.bind_port, ipv4.mtu, ipv6.mtu) == (7, 9, 1500, 1520)
    assert ipv4.definitions == (("more", "`true`"),)
    assert {directory for _, _, _, directory in calls} == {str(scripts)}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param(["nowhere.pkt"], 2, "nowhere.pkt does not exist", id="no such file"),
        pytest.param(["deep/er/none"], 2, "there is no *.pkt in", id="no script"),
        pytest.param([], 2, "Missing argument", id="no path"),
        pytest.param(["a.pkt", "--on", "mars"], 2, "'mars' is none of sim, wire, kernel", id="no target"),
        pytest.param(["a.pkt", "--ip_version", "5"], 2, "'5' is none of ipv4", id="no version"),
        pytest.param(["a.pkt", "--nonsense"], 2, "there is no flag --nonsense", id="no flag"),
        pytest.param(["a.pkt", "--so_filename=x"], 4, "use --on sim", id="flag of packetdrill's"),
        pytest.param(["a.pkt", "--mtu=1"], 2, "--mtu=1: it is a whole number from 128 to", id="no number"),
        pytest.param(
            ["a.pkt", "--local_ip=1.2"], 2, "--local_ip=1.2: '1.2' does not appear to be", id="no address"
        ),
        pytest.param(
            ["a.pkt", "--local_ip=::1", "--ip-version=ipv4"], 2, "no address for", id="other version"
        ),
        pytest.param(["a.pkt", "--json", "--tap"], 2, "choose one", id="two formats"),
        pytest.param(["a.pkt", "-k", "a and"], 2, "part of a name is missing", id="no expression"),
        pytest.param(["a.pkt", "--junit", "/nowhere/x.xml"], 1, "/nowhere/x.xml", id="no place for a file"),
    ],
)
def test_what_makes_no_sense_is_refused(
    use: Use, scripts: Path, arguments: list[str], status: int, message: str
) -> None:
    del use
    (scripts / "deep/er/none").mkdir()
    result = xsocket_run(*arguments)
    assert (result.exit_code, message in result.stderr) == (status, True), result.stderr


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        pytest.param("", "abc", id="empty"),
        pytest.param("A", "a", id="any case"),
        pytest.param("not a", "bc", id="not"),
        pytest.param("a or b and c", "a", id="and binds more"),
        pytest.param("(a or b) and not b", "a", id="parentheses"),
        pytest.param("not not a", "a", id="twice not"),
    ],
)
def test_expressions_choose_by_name(expression: str, wanted: str) -> None:
    matches = selection_of(expression)
    assert "".join(filter(matches, "abc")) == wanted


@pytest.mark.parametrize("expression", ["a b", "(a", "a)", "and a", "not", "()"])
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(ScriptUsageError):
        selection_of(expression)


def test_runs_are_chosen_by_script_target_and_version(use: Use) -> None:
    del use
    assert names(told(".", "-k", "sim-ipv6 and not deep")) == ["a.pkt[sim-ipv6]", "b.pkt[sim-ipv6]"]


# What comes of it


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        pytest.param({}, 0, id="passed"),
        pytest.param({"a.pkt": Status.XFAILED, "b.pkt": Status.SKIPPED}, 0, id="as expected"),
        pytest.param({"a.pkt": Status.FAILED}, 1, id="failed"),
        pytest.param({"a.pkt": Status.XPASSED}, 1, id="passed, and should not"),
        pytest.param({"a.pkt": Status.ERROR}, 1, id="not run"),
        pytest.param({"a.pkt": Status.UNSUPPORTED}, 4, id="unsupported"),
        pytest.param({"a.pkt": Status.UNSUPPORTED, "b.pkt": Status.FAILED}, 1, id="failed and unsupported"),
    ],
)
def test_the_exit_status_is_that_of_the_worst(use: Use, statuses: dict[str, Status], status: int) -> None:
    use(runner(statuses))
    assert xsocket_run(".").exit_code == status


def test_a_script_that_cannot_be_read_does_not_keep_others_from_running(use: Use, scripts: Path) -> None:
    del use
    (scripts / "b.pkt").write_text("0 socket(\n")
    (scripts / "c.pkt").write_bytes(b"\xff\xfe\x00")
    result = xsocket_run(".")
    assert result.exit_code == 3
    assert "error: b.pkt:1:10: the script ends too soon" in result.stderr
    assert "remedy: docs/reference/script-language.md" in result.stderr
    assert "4 runs of 2 scripts" in result.stdout
    assert "4 passed, 2 unreadable" in result.stdout
    assert [each["script"] for each in told(".")["unreadable"]] == ["b.pkt", "c.pkt"]


def test_people_are_told_of_what_is_not_simply_good(use: Use) -> None:
    statuses = {"a.pkt[sim-ipv4": Status.FAILED, "a.pkt": Status.XFAILED, "c.pkt": Status.UNSUPPORTED}
    use(runner(statuses))
    text = xsocket_run(".").stdout
    assert text.startswith("FAIL a.pkt[sim-ipv4]\nline 6")
    assert "\nxfail a.pkt[sim-ipv6]: the moon # is full (line 6: another packet came: window" in text
    assert "\nunsup deep/er/c.pkt[sim-ipv4]: line 3: unsupported: sendfile\n" in text
    assert "b.pkt" not in text
    assert text.splitlines()[-1].endswith(": 2 passed, 1 failed, 1 xfailed, 2 unsupported")


def test_verbose_tells_of_every_run(use: Use) -> None:
    del use
    assert xsocket_run("a.pkt", "-v").stdout.startswith(
        "ok    a.pkt[sim-ipv4]\nok    a.pkt[sim-ipv6]\n2 runs of 1"
    )


@pytest.mark.netns
def test_several_targets_are_put_side_by_side(use: Use) -> None:
    use(runner({"b.pkt[kernel": Status.FAILED}))
    text = xsocket_run("a.pkt", "b.pkt", "--on=sim,kernel", "--ip-version=ipv4", "-j1").stdout
    lines = [line.split() for line in text.splitlines()]
    assert ["script", "ipv4", "ipv4"] in lines
    assert ["a.pkt", "ok", "ok"] in lines
    assert ["b.pkt", "ok", "FAIL"] in lines


@pytest.mark.netns
@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        pytest.param(["--ip-version=ipv4"], 11, id="few"),
        pytest.param([], 1, id="many"),
        pytest.param(["-v"], 22, id="many and verbose"),
    ],
)
def test_paths_that_part_are_shown_unless_they_are_many_and_well(
    use: Use, scripts: Path, arguments: list[str], shown: int
) -> None:
    def run(script: Any, target: str, settings: Settings, *, directory: str = ".") -> Outcome:  # noqa: ANN401
        bad = target == "kernel" and script.name == "many/0.pkt" and settings.ip_version == "ipv4"
        done = runner({"many": Status.FAILED} if bad else {})(script, target, settings, directory=directory)
        return replace(done, path=seen("< S", target))

    use(run)
    (scripts / "many").mkdir()
    for number in range(11):
        (scripts / "many" / f"{number}.pkt").write_text(HANDSHAKE)
    text = xsocket_run("many", "--on=sim,kernel", "-j1", *arguments).stdout
    assert text.count("the paths part after") == shown
    assert ("21 more paths part where all is well; -v shows where." in text) is (shown == 1)


def test_json_has_the_counts_and_every_outcome(use: Use) -> None:
    use(runner({"a.pkt[sim-ipv4": Status.FAILED, "b.pkt": Status.SKIPPED}))
    plain = told(".", "--repeat", "2")
    counts = {"scripts": 3, "runs": 12, "passed": 6, "failed": 2, "xfailed": 0, "xpassed": 0, "skipped": 4}
    assert {name: plain[name] for name in counts} == counts
    assert (plain["unsupported"], plain["errors"], plain["not_run"], plain["reruns"]) == (0, 0, 0, 0)
    assert plain["median_s"] == {"sim": 0.25}
    failed = plain["outcomes"][0]
    assert (failed["status"], failed["failure"]["line"], failed["repetition"]) == ("failed", 6, 1)
    assert failed["failure"]["differences"] == [{"field": "window", "expected": "65535", "actual": "64240"}]


def test_tap_has_a_point_for_each_run(use: Use, scripts: Path) -> None:
    statuses = {"a.pkt[sim-ipv4": Status.FAILED, "a.pkt": Status.XFAILED, "b.pkt": Status.SKIPPED}
    use(runner(statuses))
    (scripts / "z.pkt").write_text("no script")
    lines = xsocket_run(".", "--tap").stdout.splitlines()
    assert lines[:4] == ["TAP version 14", "1..7", "not ok 1 - a.pkt[sim-ipv4]", "  ---"]
    assert "  line: 6" in lines
    assert '  expected: "> S. 0:0(0) ack 1 win 65535 <mss 1460>"' in lines
    points = [line for line in lines if line.startswith(("ok", "not"))]
    assert points == [
        "not ok 1 - a.pkt[sim-ipv4]",
        "not ok 2 - a.pkt[sim-ipv6] # TODO the moon \\# is full",
        "ok 3 - b.pkt[sim-ipv4] # SKIP the moon \\# is full",
        "ok 4 - b.pkt[sim-ipv6] # SKIP the moon \\# is full",
        "ok 5 - deep/er/c.pkt[sim-ipv4]",
        "ok 6 - deep/er/c.pkt[sim-ipv6]",
        "not ok 7 - z.pkt",
    ]


def test_what_is_unsupported_or_passes_against_its_word_is_not_ok_in_tap(use: Use) -> None:
    use(runner({"a.pkt": Status.UNSUPPORTED, "b.pkt": Status.XPASSED}))
    lines = xsocket_run("a.pkt", "b.pkt", "--tap", "--ip-version=ipv4").stdout.splitlines()
    assert [line for line in lines if line.startswith(("ok", "not"))] == [
        "not ok 1 - a.pkt[sim-ipv4]",
        "not ok 2 - b.pkt[sim-ipv4]",
    ]
    assert '  message: "line 3: unsupported: sendfile"' in lines


def test_junit_has_a_testcase_for_each_run(use: Use, scripts: Path) -> None:
    statuses = {
        "a.pkt[sim-ipv4": Status.FAILED,
        "a.pkt": Status.UNSUPPORTED,
        "b.pkt[sim-ipv4": Status.XFAILED,
        "b.pkt": Status.XPASSED,
    }
    use(runner(statuses))
    (scripts / "z.pkt").write_text("\x00")
    assert xsocket_run(".", "--junit", "results.xml").exit_code == 1
    suite = ET.parse(scripts / "results.xml").getroot()[0]  # noqa: S314  # we wrote it
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "7",
        "failures": "2",
        "errors": "2",
        "skipped": "1",
    }
    cases = [(case.get("classname"), case.get("name"), *(each.tag for each in case)) for case in suite]
    assert cases == [
        ("a", "sim-ipv4", "failure"),
        ("a", "sim-ipv6", "error"),
        ("b", "sim-ipv4", "skipped"),
        ("b", "sim-ipv6", "failure"),
        ("deep.er.c", "sim-ipv4"),
        ("deep.er.c", "sim-ipv6"),
        ("z", "read", "error"),
    ]
    assert "^^^^^" in (suite[0][0].text or "")


# How it is carried out


def test_the_first_failure_may_be_the_last_run(use: Use) -> None:
    use(runner({"a.pkt[sim-ipv6": Status.FAILED}))
    plain = told(".", "-x")
    assert names(plain) == ["a.pkt[sim-ipv4]", "a.pkt[sim-ipv6]"]
    assert plain["not_run"] == 4


def test_an_interrupt_tells_what_was_done(use: Use) -> None:
    def run(script: Any, target: str, settings: Settings, *, directory: str = ".") -> Outcome:  # noqa: ANN401
        if script.name == "b.pkt":
            raise KeyboardInterrupt
        return runner()(script, target, settings, directory=directory)

    use(run)
    result = xsocket_run(".")
    assert result.exit_code == 130
    assert result.stdout.endswith(": 2 passed, 4 not run\n")


def test_a_fault_in_one_run_does_not_end_the_others(use: Use) -> None:
    def run(script: Any, target: str, settings: Settings, *, directory: str = ".") -> Outcome:  # noqa: ANN401
        if script.name == "b.pkt":
            raise ZeroDivisionError("ours")
        return runner()(script, target, settings, directory=directory)

    use(run)
    result = xsocket_run(".")
    assert result.exit_code == 1
    assert "ZeroDivisionError: ours" in result.stdout
    assert "4 passed, 2 errors" in result.stdout


@pytest.mark.parametrize(
    ("targets", "waiting"),
    [(["sim"], False), (["wire"], True), (["sim", "kernel"], True)],
    ids=["sim", "wire", "sim and kernel"],
)
def test_runs_that_wait_go_together(targets: list[str], waiting: bool) -> None:
    assert (workers_for(targets) > 1) is waiting
    assert workers_for(targets) <= execution.MOST_WAITING


def jobs_on(*targets: str, directory: Path | str = ".") -> list[Job]:
    return [Job(script(), target, Settings(), str(directory)) for target in targets]


def test_workers_are_processes_that_are_used_again() -> None:
    found = sorted(outcomes(jobs_on(*["sim"] * 6), 2, passes))
    assert [place for place, _ in found] == [*range(6)]
    assert 1 <= len({outcome.reason for _, outcome in found}) <= 2


def test_a_worker_that_dies_costs_one_run() -> None:
    jobs = jobs_on("wire", "sim", "wire", "sim", "sim")
    found = dict(outcomes(jobs, 2, dies_on_wire))
    assert [found[place].status.value for place in range(5)] == [
        "error",
        "passed",
        "error",
        "passed",
        "passed",
    ]
    assert found[0].reason == "the process of this run ended by itself, with status -9"


def test_workers_unwind_when_nobody_wants_the_rest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "begun")
    with closing(
        outcomes(jobs_on("kernel", "sim", directory=tmp_path), 2, waits_for_ever_on_kernel)
    ) as coming:
        place, first = next(coming)
        assert (place, first.status) == (1, Status.PASSED)
        assert not (tmp_path / "removed").exists()
    assert (tmp_path / "removed").read_text() == "removed"


# Captures


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("a.pkt", "a.sim-ipv4.pcapng", id="plain"),
        pytest.param("deep/er/c.pkt", "deep__er__c.sim-ipv4.pcapng", id="in directories"),
        pytest.param("../a b/c.pkt", "a_b__c.sim-ipv4.pcapng", id="strange"),
        pytest.param("/tmp/x.pkt", "tmp__x.sim-ipv4.pcapng", id="absolute"),  # noqa: S108  # nothing is there
    ],
)
def test_captures_are_named_by_script_and_run(name: str, expected: str) -> None:
    assert capture_name(name, "sim-ipv4") == expected


def test_an_absolute_path_below_the_current_directory_is_as_good_as_a_relative_one(scripts: Path) -> None:
    assert capture_name(str(scripts / "a.pkt"), "sim-ipv4") == "a.sim-ipv4.pcapng"


def test_every_run_has_a_capture(use: Use, scripts: Path) -> None:
    def run(script: Any, target: str, settings: Settings, *, directory: str = ".") -> Outcome:  # noqa: ANN401
        del target, directory
        return outcome(script=script, ip_version=settings.ip_version, events=handshake_events())

    use(run)
    plain = told("a.pkt", "--capture", "captures", "--repeat=2")
    captures = [each["capture"] for each in plain["outcomes"]]
    assert captures == [
        f"captures/a.sim-ipv{version}-{number}.pcapng" for version in (4, 6) for number in (1, 2)
    ]
    assert all((scripts / each).stat().st_size for each in captures)


def test_a_run_that_keeps_no_trace_is_captured_as_ip_packets(tmp_path: Path) -> None:
    from scapy.layers.inet import TCP
    from scapy.utils import PcapNgReader

    path = tmp_path / "x.pcapng"
    assert write_packets_of(outcome(target="kernel", frames=handshake_frames()), path) == 3
    with PcapNgReader(str(path)) as capture:
        packets = list(capture)
        assert [str(packet[TCP].flags) for packet in packets] == ["S", "SA", "A"]
        assert [packet.name for packet in packets] == ["IP"] * 3
        assert [packet.direction for packet in packets] == [1, 2, 1]


def test_a_run_without_packets_has_no_capture(tmp_path: Path) -> None:
    assert write_packets_of(outcome(), tmp_path / "x.pcapng") == 0
    assert not (tmp_path / "x.pcapng").exists()


def test_what_a_failure_needs_is_kept_and_what_success_has_is_not(use: Use) -> None:
    def run(script: Any, target: str, settings: Settings, *, directory: str = ".") -> Outcome:  # noqa: ANN401
        del settings, directory
        status = Status.FAILED if target == "wire" else Status.PASSED
        return outcome(status, script=script, events=handshake_events(), frames=handshake_frames())

    use(run)
    good, bad = (perform(job) for job in jobs_on("sim", "wire"))
    assert (good.events, good.frames) == ((), ())
    assert bad.events
    assert bad.frames


def test_a_run_is_no_heavier_for_being_repeated() -> None:
    first = Job(read(HANDSHAKE, "a.pkt"), "sim", Settings(), number=1)
    found = dict(outcomes([first, first._replace(number=2)], 2))
    assert [found[place].status for place in (0, 1)] == [Status.PASSED] * 2
    assert all(found[place].script is first.script for place in (0, 1))
    assert (bool(found[0].path), found[1].path) == (True, ())
