"""Lessons about an engine with a bug: played on a copy of it, and nowhere else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from support.markdown import ROOT, steps
from xsocket import TcpConfig
from xsocket.errors import BadConfigError
from xsocket.segment import ACK, FIN, SYN
from xsocket_tools.cli import main
from xsocket_tools.fuzzing.case import Call, Case, Place, Say
from xsocket_tools.mutants.mutant import MutantError, read
from xsocket_tools.teaching.engine_stage import EngineStage
from xsocket_tools.teaching.errors import LessonBrokenError, NotOnThisStageError, PlayFailedError
from xsocket_tools.teaching.experiments import act_out, fuzz
from xsocket_tools.teaching.lesson import OnMutant, lesson, load, play
from xsocket_tools.teaching.stage import Stage

FUZZED = lesson(16)
assert FUZZED.mutant is not None
MUTANT = FUZZED.mutant
PAGE = MUTANT.with_name("lesson.md")
PATIENCE_S = 60.0
WRONG_ACK = Case((Say(0, SYN), Say(0, ACK, ack=Place("beyond"))))


def status(*words: str) -> int:
    """Return the exit status of `xsocket`, run by itself."""
    with pytest.raises(SystemExit) as left:
        main([*words])
    assert isinstance(left.value.code, int)
    return left.value.code


def wrong_third_segment(stage: Stage) -> None:
    """Let the server get one."""
    stage.lose("S.")
    act_out(stage, WRONG_ACK)


def test_the_bug_is_one_of_those_that_the_fuzzer_is_tried_with() -> None:
    ours = read(MUTANT)
    others = ROOT / "tests" / "mutants" / "third_segment_may_acknowledge_anything.toml"
    assert ours._replace(name="") == read(others)._replace(name="")


def test_a_bug_is_on_its_stage_and_nowhere_else() -> None:
    ends = [
        play(each, "engine", {}, title="t").states(1)[-1]
        for each in (wrong_third_segment, OnMutant(wrong_third_segment, MUTANT), wrong_third_segment)
    ]
    assert ends == ["SYN-RECEIVED", "ESTABLISHED", "SYN-RECEIVED"]


def test_the_story_says_that_there_is_a_bug() -> None:
    run = play(OnMutant(wrong_third_segment, MUTANT), "engine", {}, title="t")
    assert run.story.notes == ("Both engines are copies with one bug in them.",)


def test_the_fuzzer_finds_nothing_in_the_engine_and_the_bug_in_the_copy() -> None:
    stage = EngineStage(TcpConfig())
    fuzzed = fuzz(stage, seed=1, cases=60)
    assert (fuzzed.smallest, fuzzed.before, fuzzed.result.cases) == (None, 0, 60)
    run = play(FUZZED.play, "engine", {}, title="t")
    finding = run.found["finding"]
    assert finding.violation.rule.where == "RFC 9293 3.10.7.4 fifth"
    assert [each.word for each in run.found["differences"]] == [("SYN", "ACK future")]


@pytest.mark.parametrize(
    ("case", "why"),
    [
        (Case((Say(0, SYN),)), "two operations"),
        (Case((Say(0, ACK), Say(0, ACK))), "is to be a SYN"),
        (Case((Say(0, SYN), Call(0, "claim"))), "no stage can act out: call claim"),
        (Case((Say(0, SYN), Say(0, FIN | ACK, text=1))), "no stage can act out"),
        (Case((Say(0, SYN), Say(0, ACK, ack=Place("zero")))), "where zero is"),
    ],
    ids=["one", "no SYN", "a call", "text", "a place that no stage knows"],
)
def test_what_no_stage_can_act_out_is_told(case: Case, why: str) -> None:
    with pytest.raises(NotOnThisStageError, match=why):
        act_out(EngineStage(TcpConfig()), case)


def test_an_answer_is_judged_on_the_engine_with_the_bug(tmp_path: Path) -> None:
    work = tmp_path / "mine.py"
    assert CliRunner().invoke(main, ["lesson", "exercise", "16", "--output", str(work)]).exit_code == 0
    assert status("lesson", "check", "16", "--play", str(work)) == 1
    with work.open("a") as file:
        file.write("    stage.forge('server', 'FIN+ACK', seq=0)\n    stage.settle()\n")
    assert status("lesson", "check", "16", "--play", str(work)) == 0


def test_a_mistake_over_there_is_told_here(tmp_path: Path) -> None:
    work = tmp_path / "mine.py"
    work.write_text("def play(stage):\n    1 / 0\n")
    with pytest.raises(PlayFailedError, match=r"mine\.py, line 2: ZeroDivisionError") as failed:
        play(OnMutant(load(work).play, MUTANT), "engine", {}, title="t")
    assert failed.value.exit_status == LessonBrokenError.exit_status
    assert failed.value.remedy == LessonBrokenError.remedy


def test_what_cannot_be_played_over_there_is_told() -> None:
    with pytest.raises(LessonBrokenError, match="no function of a file"):
        play(OnMutant(lambda stage: stage.settle(), MUTANT), "engine", {}, title="t")
    with pytest.raises(BadConfigError):
        play(OnMutant(wrong_third_segment, MUTANT), "engine", {"syn_retries": -1}, title="t")


def test_a_bug_that_does_not_fit_the_engine_is_told(tmp_path: Path) -> None:
    mutant = tmp_path / "mutant.toml"
    mutant.write_text(MUTANT.read_text().replace("An ACK of what was never sent", "There is no such line"))
    with pytest.raises(MutantError, match="occurs 0 times"):
        play(OnMutant(wrong_third_segment, mutant), "engine", {}, title="t")


def test_without_the_extra_the_lesson_names_it(tmp_path: Path) -> None:
    """AALpy is hidden from the lesson by a module of the same name that is not there to be imported."""
    (tmp_path / "aalpy.py").write_text("raise ModuleNotFoundError(\"No module named 'aalpy'\", name='aalpy')")
    command = [sys.executable, "-m", "xsocket_tools.cli", "lesson", "run", "16"]
    ended = subprocess.run(
        command,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith('error: aalpy is not installed\nremedy: pip install "xsocket[learn]"; ')


def test_a_bug_is_shown_and_a_lesson_without_one_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert status("lesson", "mutant", "16") == 0
    shown = capfd.readouterr().out
    assert read(MUTANT).what in shown
    assert read(MUTANT).after in shown
    assert status("lesson", "mutant", "1") == 2
    assert "the engine of lesson 1 has no bug" in capfd.readouterr().err


def test_the_page_finds_one_thing_in_three_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands = [each.command.split()[1:] for each in steps(PAGE)]
    assert [status(*each) for each in commands[:3]] == [1, 0, 1]
    (found,) = Path("found", "findings").glob("*.json")
    assert status("fuzz", "replay", str(found)) == 0
    assert status("lesson", "mutant", "16", "fuzz", "replay", str(found)) == 1
    shutil.copy(found.with_suffix(".pkt"), "case.pkt")
    assert status("run", "case.pkt") == 0
