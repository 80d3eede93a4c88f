"""The command `xsocket fuzz`: what it prints, what it leaves behind, and its exit status."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from support.documents import Shown, assert_printed
from xsocket.reasons import DropReason
from xsocket.segment import ACK, RST, SYN
from xsocket.state import Trigger
from xsocket.tcp import guards
from xsocket_tools.cli import main
from xsocket_tools.fuzzing import session
from xsocket_tools.fuzzing.campaign import Record
from xsocket_tools.fuzzing.case import Call, Case, Place, Say, as_json
from xsocket_tools.fuzzing.opening import opened
from xsocket_tools.fuzzing.results import Result as Played
from xsocket_tools.fuzzing.target import Target, TargetError

HANDSHAKE = Case((Say(0, SYN), Say(0, ACK), Call(0, "claim")))
RESET = Case((Say(4, RST),))


def fuzz(*words: str) -> Result:
    return CliRunner().invoke(main, ["fuzz", *words])


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def _bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let resets be answered by resets."""
    monkeypatch.setattr(guards, "in_closed", lambda _: None)


@pytest.fixture
def interrupted_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, signal.Signals], None]:
    """Send a signal when so many cases of a shard have been played."""

    def interrupt(cases: int, number: signal.Signals) -> None:
        @contextmanager
        def display() -> Iterator[Callable[[Record, Played], None]]:
            def show(_: Record, partial: Played) -> None:
                if partial.cases >= cases:
                    signal.raise_signal(number)

            yield show

        monkeypatch.setattr(session, "live_display", display)

    return interrupt


# What comes of it


def test_another_linux_than_the_listed_one_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.release", lambda: "5.10.0-23-amd64")
    monkeypatch.setattr(session, "opened", lambda *_: opened("engine"))
    monkeypatch.setattr("xsocket_tools.fuzzing.command.ensure_allowed", lambda _: None)
    said = "The list of deviations is that of Linux 6.18; 5.10.0-23-amd64 may do otherwise."
    assert said in fuzz("--on", "kernel", "--cases", "3").stdout
    assert said not in fuzz("--cases", "3").stdout


def test_where_nothing_is_wrong_it_says_so() -> None:
    result = fuzz("--cases", "50")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "seed 1 on engine: 50 cases of " in result.stdout
    assert result.stdout.endswith("no findings\n")


def test_time_limits_it() -> None:
    result = fuzz("--time", "0.01", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["cases"] < 1000


def test_json_has_figures_coverage_and_rules() -> None:
    result = fuzz("--cases", "40", "--seed", "7", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    printed = json.loads(result.stdout)
    assert (printed["seed"], printed["target"], printed["cases"], printed["stalled"]) == (7, "engine", 40, 0)
    assert printed["operations"] > 40
    assert printed["cases_per_second"] > 0
    coverage, rules = printed["coverage"], printed["rules"]
    assert coverage["covered"] + len(coverage["missing"]) == coverage["reachable"]
    assert rules["hit"] == sum(count > 0 for count in rules["counts"].values()) > 10
    assert rules["of"] == len(rules["counts"])
    assert (printed["findings"], printed["allowed"]) == ([], {})


def test_the_same_seed_gives_the_same() -> None:
    one, other = (json.loads(fuzz("--cases", "60", "--seed", "9", "--json").stdout) for _ in range(2))
    for each in (one, other):
        del each["seconds"], each["cases_per_second"]
    assert one == other


@pytest.mark.usefixtures("_bug")
def test_a_finding_is_shown_with_its_case_and_is_a_failure() -> None:
    result = fuzz("--cases", "60")
    assert result.exit_code == 1
    assert "1. RFC " in result.stdout
    assert ", the first is number " in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert any(line[:2] == ["1", "peer"] for line in lines)
    assert any(line[:1] == ["expected"] for line in lines)
    assert any(line[:1] == ["got"] for line in lines)
    assert result.stdout.endswith("To have them as files, to replay: --corpus DIR\n")


@pytest.mark.runs("docs/how-to/fuzz.md", "text")
def test_the_page_shows_a_finding(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an engine that does not answer a reset that is merely in the window."""
    verdict = guards.in_other_states

    def no_challenge(*of: Any) -> object:  # noqa: ANN401
        found = verdict(*of)
        return DropReason.RST_OUTSIDE_WINDOW if found is Trigger.RST_IN_WINDOW else found

    monkeypatch.setattr(guards, "in_other_states", no_challenge)
    result = fuzz("--cases", "60")
    assert result.exit_code == 1
    assert_printed(shown.text("text 1"), result.stdout, "the page", all_of_it=False)


@pytest.mark.usefixtures("_bug")
def test_json_has_the_findings() -> None:
    result = fuzz("--cases", "60", "--json")
    assert result.exit_code == 1
    finding = json.loads(result.stdout)["findings"][0]
    assert {"rule", "text", "state", "expected", "got", "case", "times"} <= finding.keys()


def test_several_processes_find_the_same() -> None:
    here, there = (
        json.loads(fuzz("--cases", "30", "--json", *more).stdout) for more in ([], ["--jobs", "2"])
    )
    assert there["coverage"] == here["coverage"]
    assert there["rules"] == here["rules"]


# What it leaves behind


@pytest.mark.usefixtures("_bug")
def test_a_directory_gets_everything(tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    result = fuzz("--cases", "60", "--corpus", str(directory), "--report", str(tmp_path / "page.html"))
    assert result.exit_code == 1
    assert f"xsocket fuzz replay {directory}/findings/" in result.stdout
    slugs = {path.stem for path in (directory / "findings").glob("*.json")}
    assert slugs
    for suffix in ("pkt", "pcapng"):
        assert {path.stem for path in (directory / "findings").glob(f"*.{suffix}")} == slugs
    assert list((directory / "corpus").glob("*.json"))
    assert json.loads((directory / "campaign.json").read_text())["done"] == [[0, 60]]
    for page in (directory / "report.html", tmp_path / "page.html"):
        assert page.read_text().lstrip().startswith("<!")


def test_a_campaign_is_resumed_where_it_was(tmp_path: Path) -> None:
    kept = ("--corpus", str(tmp_path))
    assert fuzz("--cases", "30", "--seed", "5", *kept).exit_code == 0
    result = fuzz("--cases", "20", "--resume", "--json", *kept)
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert (printed["seed"], printed["cases"]) == (5, 50)
    assert json.loads((tmp_path / "campaign.json").read_text())["done"] == [[0, 50]]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        pytest.param(["--resume", "--seed", "6"], "has --seed 5, not 6", id="another seed"),
        pytest.param(["--resume", "--on", "kernel"], "has --on engine, not kernel", id="another target"),
        pytest.param([], "there is a campaign in", id="not resumed"),
    ],
)
def test_another_campaign_is_refused(tmp_path: Path, words: list[str], problem: str) -> None:
    kept = ("--corpus", str(tmp_path))
    assert fuzz("--cases", "5", "--seed", "5", *kept).exit_code == 0
    before = (tmp_path / "campaign.json").read_bytes()
    result = fuzz("--cases", "5", *kept, *words)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert "remedy: " in result.stderr
    assert (tmp_path / "campaign.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        pytest.param(["--time", "1", "--cases", "1"], "--time and --cases", id="two ends"),
        pytest.param(
            ["--jobs", "2", "--scheduler", "tcp://a:1"], "--jobs is for this machine", id="two sorts"
        ),
        pytest.param(["--resume"], "--resume takes the directory", id="nothing to resume"),
        pytest.param(["--on", "foreign"], "takes --command", id="no command"),
        pytest.param(["--command", "stack"], "--command is for --on foreign", id="a command for nobody"),
        pytest.param(["--on", "mars"], "Invalid value for '--on'", id="no target"),
        pytest.param(["--cases", "0"], "Invalid value for '--cases'", id="no cases"),
        pytest.param(["--time", "0"], "Invalid value for '--time'", id="no time"),
        pytest.param(["replay"], "Missing argument 'CASE...'", id="nothing to replay"),
        pytest.param(
            ["replay", "x", "--on", "engine,mars"], "'mars' is none of", id="no target to replay on"
        ),
        pytest.param(["replay", "x", "--on", "foreign"], "--command go together", id="no command to replay"),
        pytest.param(["export"], "Missing argument 'CASE...'", id="nothing to export"),
        pytest.param(["export", "x", "--on", "foreign"], "--command go together", id="no command to export"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(words: list[str], problem: str) -> None:
    result = fuzz(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr


def test_a_report_that_cannot_be_written_is_an_error_before_anything_is_played(tmp_path: Path) -> None:
    result = fuzz("--cases", "1000000000", "--report", str(tmp_path / "no" / "page.html"))
    assert result.exit_code == 3
    assert "error: there is no directory" in result.stderr


def test_a_target_that_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def refused(*_: object) -> Iterator[Target]:
        raise TargetError("no namespaces here")
        yield

    monkeypatch.setattr(session, "opened", refused)
    result = fuzz("--cases", "5")
    assert result.exit_code == 3
    assert result.stderr.startswith("error: no namespaces here\nremedy: ")


# Ends


def test_ctrl_c_keeps_everything(
    tmp_path: Path, interrupted_at: Callable[[int, signal.Signals], None]
) -> None:
    interrupted_at(10, signal.SIGINT)
    result = fuzz("--time", "600", "--corpus", str(tmp_path), "--json")
    assert result.exit_code == 130
    printed = json.loads(result.stdout)
    assert printed["cases"] >= 10
    saved = json.loads((tmp_path / "campaign.json").read_text())
    assert saved["done"] == [[0, printed["cases"]]]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str)
def test_termination_keeps_everything(
    tmp_path: Path, interrupted_at: Callable[[int, signal.Signals], None], number: signal.Signals, status: int
) -> None:
    interrupted_at(10, number)
    result = fuzz("--corpus", str(tmp_path))
    assert result.exit_code == status
    assert json.loads((tmp_path / "campaign.json").read_text())["cases"] >= 10


# Played again


class Silent:
    """A target that is called wire and answers nothing."""

    name = "wire"

    def __init__(self, target: Target) -> None:
        self._target = target

    def __getattr__(self, name: str) -> object:
        return getattr(self._target, name)

    def step(self, frame: bytes | None, now: float) -> list[object]:
        self._target.step(frame, now)
        return []


@pytest.fixture
def _two_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def silent(name: str, command: str) -> Iterator[object]:
        with opened("engine", command) as target:
            yield target if name == "engine" else Silent(target)

    monkeypatch.setattr("xsocket_tools.fuzzing.command.opened", silent)
    monkeypatch.setattr("xsocket_tools.fuzzing.command.ensure_allowed", lambda _: None)


def written(path: Path, case: Case) -> str:
    path.write_text(as_json(case))
    return str(path)


def test_a_case_that_breaks_no_rule_is_played_again(tmp_path: Path) -> None:
    file = written(tmp_path / "case.json", HANDSHAKE)
    result = fuzz("replay", file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.strip() for line in result.stdout.splitlines()] == [file, "engine: no violation"]


@pytest.mark.usefixtures("_bug")
def test_findings_are_played_again(tmp_path: Path) -> None:
    assert fuzz("--cases", "60", "--corpus", str(tmp_path)).exit_code == 1
    files = sorted(map(str, (tmp_path / "findings").glob("*.json")))
    result = fuzz("replay", "--json", *files)
    assert result.exit_code == 1
    for each, file in zip(json.loads(result.stdout)["cases"], files, strict=True):
        saved = json.loads(Path(file).read_text())
        (verdict,) = each["targets"]
        assert verdict["verdict"] == "violation"
        assert verdict["violation"] == {name: saved[name] for name in verdict["violation"]}


@pytest.mark.usefixtures("_two_targets")
def test_where_targets_agree_it_says_so(tmp_path: Path) -> None:
    result = fuzz("replay", written(tmp_path / "reset.json", RESET), "--on", "engine,wire")
    assert result.exit_code == 0
    assert "the same verdict on all of them" in result.stdout


@pytest.mark.usefixtures("_two_targets")
def test_where_targets_differ_it_names_the_difference(tmp_path: Path) -> None:
    file = written(tmp_path / "handshake.json", HANDSHAKE)
    result = fuzz("replay", file, "--on", "engine,wire", "--json")
    assert result.exit_code == 1
    (case,) = json.loads(result.stdout)["cases"]
    assert not case["agree"]
    assert [each["verdict"] for each in case["targets"]] == ["none", "violation"]
    assert case["difference"].startswith(
        "engine: no violation; wire: RFC 9293 3.10.7.2 third: In LISTEN a SYN"
    )
    assert case["difference"].endswith(
        "the first other answer is to operation 1: engine sends S., wire is silent"
    )
    printed = fuzz("replay", file, "--on", "engine,wire").stdout
    assert (
        "  they differ; the first other answer is to operation 1: engine sends S., wire is silent" in printed
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(None, "No such file", id="not there"),
        pytest.param("{", "no JSON", id="no JSON"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
        pytest.param('{"case": {"version": 9}}', "version 9", id="a later version"),
    ],
)
def test_what_is_no_case_is_refused(tmp_path: Path, content: str | None, problem: str) -> None:
    path = tmp_path / "case.json"
    if content is not None:
        path.write_text(content)
    result = fuzz("replay", str(path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"error: {path}: " in result.stderr
    assert problem in result.stderr


def test_a_finding_that_takes_many_cases_says_so(tmp_path: Path) -> None:
    path = tmp_path / "isn.json"
    path.write_text(json.dumps({"case": json.loads(as_json(HANDSHAKE)), "stimulus": "many cases"}))
    assert "It takes many cases to show this finding" in fuzz("replay", str(path)).stdout


def test_places_are_relative_to_the_connection(tmp_path: Path) -> None:
    case = HANDSHAKE._replace(operations=(*HANDSHAKE.operations, Say(0, RST, Place("right"))))
    assert fuzz("replay", written(tmp_path / "case.json", case)).exit_code == 0


# Written for others


def test_a_case_is_written_as_a_script_and_a_capture(tmp_path: Path) -> None:
    file = written(tmp_path / "case.json", HANDSHAKE)
    into = tmp_path / "a" / "b"
    result = fuzz("export", file, "--into", str(into), "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (case,) = json.loads(result.stdout)["cases"]
    script, capture = into / "case.pkt", into / "case.pcapng"
    assert case == {
        "file": file,
        "target": "engine",
        "script": str(script),
        "capture": str(capture),
        "gaps": [],
        "holds": True,
        "left_out": None,
    }
    assert set(into.iterdir()) == {script, capture}
    assert CliRunner().invoke(main, ["run", str(script)]).exit_code == 0
    with capture.open("rb") as opened_file:
        assert opened_file.read(4).hex() == "0a0d0d0a"


def test_what_is_not_in_a_script_is_said(tmp_path: Path) -> None:
    file = written(tmp_path / "case.json", Case((Call(4, "open", 10),)))
    result = fuzz("export", file, "--into", str(tmp_path))
    assert result.exit_code == 0
    named, gap = result.stdout.splitlines()
    assert named == f"{tmp_path}/case.pkt, {tmp_path}/case.pcapng"
    assert gap.startswith("  not in the script: operation 1, call open 10")


def test_nothing_is_written_over_unless_it_may(tmp_path: Path) -> None:
    file = written(tmp_path / "case.json", HANDSHAKE)
    script = tmp_path / "case.pkt"
    script.write_text("by hand")
    result = fuzz("export", file, "--into", str(tmp_path))
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith(f"error: {script} is there already\nremedy: ")
    assert script.read_text() == "by hand"
    assert fuzz("export", file, "--into", str(tmp_path), "--force").exit_code == 0
    assert script.read_text() != "by hand"


def test_two_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files = [written(path / "case.json", HANDSHAKE) for path in (tmp_path, tmp_path / "other")]
    result = fuzz("export", *files, "--into", str(tmp_path / "new"))
    assert result.exit_code == 3
    assert "several cases are called case" in result.stderr
    assert not (tmp_path / "new").exists()


def test_where_nothing_can_be_written_is_an_error(tmp_path: Path) -> None:
    file = written(tmp_path / "case.json", HANDSHAKE)
    result = fuzz("export", file, "--into", f"{file}/below")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith(f"error: cannot make {file}/below: ")
