"""Lessons and answers that are scripts: run, told, judged, and begun."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from xsocket.errors import BadConfigError
from xsocket.state import State
from xsocket_tools.cli import main
from xsocket_tools.scenarios.errors import ScriptSyntaxError
from xsocket_tools.teaching.checking import check_lesson, check_work
from xsocket_tools.teaching.errors import LessonBrokenError, NotOnThisStageError
from xsocket_tools.teaching.lesson import Run, digest, lesson, play, read
from xsocket_tools.teaching.template import answer_to, new_lesson

OWN = lesson(20)
SCRIPT = OWN.play
assert isinstance(SCRIPT, Path)
SOLUTION = SCRIPT.with_name("solution.pkt")
THIRD = "+0.1    < . 1:1(0) ack 1 win 1000\n+0      accept"
RESET = "+0      > R 2:2(0)\n"
OPTIONS = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 1000 <mss 1000,sackOK,TS val 1 ecr 0>
+0 > S. 0:0(0) ack 1 <...>
"""


def ran(*words: str) -> Result:
    """Run `xsocket` with *words*."""
    return CliRunner().invoke(main, words, catch_exceptions=False)


def on_engine(script: str, directory: Path, **rules: object) -> Run:
    """Run the text of a script on the engine."""
    path = directory / "script.pkt"
    path.write_text(script)
    return play(path, "engine", rules, title="t")


def judged(script: str, directory: Path) -> tuple[str, ...]:
    """Return what is wrong with the text of a script as an answer to the exercise of lesson 20."""
    path = directory / "mine.pkt"
    path.write_text(script)
    return check_work(OWN, "engine", {}, path).failures


def test_a_run_of_a_script_has_its_story_and_its_outcome() -> None:
    run = play(SCRIPT, "engine", {}, title="A script")
    assert [end.name for end in run.story.ends] == ["script", "engine"]
    assert run.flags() == ["SYN", "SYN+ACK", "ACK", "PSH+ACK", "ACK"]
    assert run.states(1)[-1] == "ESTABLISHED"
    assert (run.error, run.story.notes) == ("", ())
    assert run.found["outcome"].status.value == "passed"
    assert digest(run.story) == digest(play(SCRIPT, "engine", {}, title="Again").story)


def test_a_script_that_fails_is_a_run_that_says_where(tmp_path: Path) -> None:
    run = on_engine(OPTIONS.replace("ack 1", "ack 7"), tmp_path)
    assert run.error == "failed: line 5: another packet came: ack differs"
    assert run.story.notes == ("The script failed: line 5: another packet came: ack differs",)
    assert run.flags() == ["SYN", "SYN+ACK"]


@pytest.mark.parametrize("timestamps", [True, False])
def test_a_rule_is_set_before_the_script_begins(timestamps: bool, tmp_path: Path) -> None:
    answer = on_engine(OPTIONS, tmp_path, timestamps=timestamps).sent(1)[0].packet
    assert answer is not None
    assert any(option.startswith("TS") for option in answer.options) is timestamps


def test_what_a_script_cannot_be_told_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotOnThisStageError, match="cannot be told keepalive = True"):
        on_engine(OPTIONS, tmp_path, keepalive=True)
    with pytest.raises(BadConfigError):
        on_engine(OPTIONS, tmp_path, syn_retries=-1)
    with pytest.raises(ScriptSyntaxError):
        on_engine("no script", tmp_path)
    with pytest.raises(LessonBrokenError, match="No such file"):
        play(tmp_path / "gone.pkt", "engine", {}, title="t")


def test_an_answer_begins_as_the_script_and_is_none_yet(tmp_path: Path) -> None:
    text = answer_to(OWN)
    assert text.startswith("// An answer to the exercise of lesson 20.\n// Let the third segment")
    assert text.endswith(SCRIPT.read_text())
    assert judged(text, tmp_path) == ("No third segment has a wrong acknowledgment number.",)


def test_answers_that_are_scripts_are_judged_by_what_they_do(tmp_path: Path) -> None:
    begun, solved = SCRIPT.read_text(), SOLUTION.read_text()
    assert judged(solved, tmp_path) == ()
    wrong_only = judged(begun.replace(THIRD, THIRD.replace("ack 1", "ack 2")), tmp_path)
    assert wrong_only == ("It has failed: line 11: accept has not returned.",)
    unsaid = judged(solved.replace(RESET, ""), tmp_path)
    assert unsaid[0].startswith("It has failed: line 17: another packet came")
    assert "\n+0      send" in solved
    ends_early = solved.replace(RESET, "").partition("\n+0      send")[0]
    assert judged(ends_early, tmp_path) == (
        "Something comes that no line says; end the script with silence.",
    )


def test_an_answer_to_an_exercise_about_two_ends_may_be_a_function_all_the_same(tmp_path: Path) -> None:
    work = tmp_path / "mine.py"
    work.write_text(
        "def play(stage):\n"
        "    stage.lose('S.')\n"
        "    stage.client.open()\n"
        "    stage.settle()\n"
        "    stage.forge('server', 'ACK', seq=0, ack=1)\n"
        "    stage.wait(1.3)\n"
    )
    assert check_work(OWN, "engine", {}, work).failures == ()


def test_the_beginning_of_an_answer_is_a_script(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as left:
        main(["lesson", "exercise", "20", "--output", str(tmp_path / "mine.py")])
    assert left.value.code == 2
    assert not list(tmp_path.iterdir())
    path = tmp_path / "mine.pkt"
    assert ran("lesson", "exercise", "20", "--output", str(path)).exit_code == 0
    assert path.read_text() == answer_to(OWN)
    assert ran("fmt", "--check", str(path)).exit_code == 0


def test_a_new_lesson_by_script_holds_as_it_is(tmp_path: Path) -> None:
    path = new_lesson("a-script", tmp_path, by_script=True)
    assert {each.name for each in path.iterdir()} == {
        "lesson.md",
        "scenario.py",
        "scenario.pkt",
        "solution.pkt",
    }
    assert check_lesson(read(path), "engine").failures == ()


def test_lessons_of_ones_own_are_found_where_the_command_line_says(tmp_path: Path) -> None:
    assert ran("lesson", "new", "mine", "--script", "--into", str(tmp_path)).exit_code == 0
    shown = ran("lesson", "--lessons", str(tmp_path), "check", "1")
    assert shown.output.startswith("ok lesson 1 on engine")
    assert "Mine" in ran("lesson", "--lessons", str(tmp_path), "list").output


def test_a_text_shows_the_files_that_it_includes() -> None:
    assert "literalinclude" not in OWN.text
    assert SCRIPT.read_text() in OWN.text
    assert "accept(3, ..., ...) = 4" in ran("lesson", "show", "20").output


def test_the_ends_of_an_engines_story_are_marked_as_what_they_are() -> None:
    run = play(SOLUTION, "engine", {}, title="t")
    wrong = run.sent(0)[1]
    assert wrong.packet is not None
    assert (wrong.packet.ack, wrong.views[1].state) == (2, State.SYN_RECEIVED)
    reset = run.sent(1)[1]
    assert [view.state for view in reset.views] == [State.ESTABLISHED, State.SYN_RECEIVED]
