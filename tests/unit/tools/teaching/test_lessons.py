"""The lessons of the repository hold on the engine; what is wrong with a lesson or an answer is told."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from support.documents import Shown, assert_printed
from support.stories import takes_linux
from xsocket_tools.cli import main
from xsocket_tools.teaching.checking import check_lesson, check_work
from xsocket_tools.teaching.comparison import Comparison, ComparisonView, compare
from xsocket_tools.teaching.errors import LessonBrokenError, NoSuchLessonError
from xsocket_tools.teaching.glossary import MEANINGS, meanings
from xsocket_tools.teaching.lesson import (
    Expectation,
    Lesson,
    Question,
    Run,
    digest,
    folder,
    lesson,
    lessons,
    load,
    play,
    read,
)
from xsocket_tools.teaching.lesson_command import lesson as command
from xsocket_tools.teaching.stage import Stage
from xsocket_tools.teaching.template import answer_to, new_lesson, suffix_of_answer

LESSONS = lessons()
AS_IT_BEGINS = "The server never was in TIME-WAIT."


def ran(*words: str) -> Result:
    """Run `xsocket lesson` with *words*."""
    return CliRunner().invoke(command, words, catch_exceptions=False)


def on_engine(which: Lesson, seed: int = 1, **rules: object) -> Run:
    """Play a lesson on the engine."""
    return play(which.play, "engine", {**which.rules, **rules}, title=which.title, seed=seed)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Return a lesson to be broken."""
    return new_lesson("a-thing", tmp_path)


@pytest.mark.runs("docs/lessons/index.md", "console")
@pytest.mark.runs("docs/lessons/*/lesson.md", "console")
def test_the_commands_of_a_page_do_what_it_says(
    each_page: str, shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those for Linux are left to the tests in namespaces."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for step in shown.steps():
        if takes_linux(step.command):
            continue
        words = shlex.split(step.command)
        assert words.pop(0) == "xsocket", step.command
        fails = any(line.startswith("FAIL ") for line in step.shown)
        if fails:
            acknowledge_what_was_never_sent(Path(words[-1]))
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        is_answer = words[:2] == ["lesson", "check"] and {"--play", "--set"} & {*words}
        finds = (words[:2] == ["lesson", "mutant"] and "fuzz" in words) or words[:2] == ["learn", "diff"]
        assert result.exit_code == int(bool(fails or is_answer or finds)), f"{step.command}\n{result.output}"
        if step.shown:
            assert_printed("\n".join(step.shown), result.stdout, f"{each_page}, {step.command}")


def acknowledge_what_was_never_sent(script: Path) -> None:
    """Change the third segment, as the page on scenarios says."""
    text, changes = re.subn(r"(< \. 1:1\(0\) ack) 1\b", r"\1 2", script.read_text(), count=1)
    assert changes == 1
    script.write_text(text)


def test_each_lesson_has_a_number_of_its_own() -> None:
    assert [each.number for each in LESSONS] == [*range(1, len(LESSONS) + 1)]
    assert len(LESSONS) >= 20


def test_variables_are_listed_with_what_they_mean() -> None:
    listed = json.loads(ran("variables", "--json").stdout)["variables"]
    assert [each["name"] for each in listed] == [*MEANINGS]
    assert all(each["sentence"].endswith(".") for each in listed)
    assert "RFC 9293 3.3.1" in ran("variables").stdout


@pytest.mark.parametrize("which", LESSONS, ids=lambda each: each.name)
def test_a_lesson_holds_what_it_says_on_the_engine(which: Lesson) -> None:
    if "engine" not in which.stages:
        pytest.skip("it is for another stage")
    assert check_lesson(which, "engine").failures == ()


@pytest.mark.parametrize("which", LESSONS, ids=lambda each: each.name)
def test_what_each_variable_means_is_told(which: Lesson) -> None:
    if "engine" not in which.stages:
        pytest.skip("it is for another stage")
    story = on_engine(which).story
    shown = {each.name for step in story.steps for view in step.views for each in view.variables}
    assert shown
    assert list(meanings(story)) == [name for name in MEANINGS if name in shown]
    assert shown <= MEANINGS.keys()


@pytest.mark.parametrize("which", LESSONS, ids=lambda each: each.name)
def test_two_runs_have_the_same_digest_whatever_the_seed(which: Lesson) -> None:
    if "engine" not in which.stages:
        pytest.skip("it is for another stage")
    assert digest(on_engine(which).story) == digest(on_engine(which, seed=2).story)


@pytest.mark.parametrize("which", LESSONS, ids=lambda each: each.name)
def test_a_text_names_its_lesson_by_its_own_number(which: Lesson) -> None:
    for line in which.text.splitlines():
        words = line.split()
        if words[:3] == ["$", "xsocket", "lesson"] and words[3] not in ("new", "--lessons"):
            assert words[4] == str(which.number), line
    assert which.text.startswith(f"# {which.number}. {which.title}\n")
    for part in ("## Run it", "## What to look for", "## Questions", "## Exercise", "## Further reading"):
        assert part in which.text


def test_a_digest_tells_runs_apart_that_went_otherwise() -> None:
    first = LESSONS[0]
    assert digest(on_engine(first).story) != digest(on_engine(first, timestamps=False).story)


def test_runs_part_where_a_rule_first_shows() -> None:
    handshake = LESSONS[0]
    assert compare(on_engine(handshake), on_engine(handshake)).parting is None
    found = compare(on_engine(handshake), on_engine(handshake, sack=False))
    assert found.parting is not None
    assert found.parting.at == (0, 0), "the SYN offers it"
    assert found.as_dict()["parting"] == 1


def test_runs_that_part_nowhere_may_differ_in_their_times() -> None:
    half_open = lesson(6)
    found = compare(on_engine(half_open), on_engine(half_open, initial_rto_s=3.0))
    assert found.parting is None
    assert found.delayed is not None
    began = on_engine(half_open).at("SYN")[1]
    assert [step.at_s for step in found.delayed] == pytest.approx([began + 1, began + 3])
    assert compare(on_engine(half_open), on_engine(half_open)).delayed is None


def two_at_once(gap_s: float, second: str = "fin") -> Callable[[Stage], None]:
    """Open two connections, one after the other, and end the second somehow."""

    def played(stage: Stage) -> None:
        first = stage.client.open()
        stage.wait(gap_s)
        other = stage.client.open()
        first.wait_established()
        other.wait_established()
        stage.settle()
        if second == "fin":
            other.close()
        elif second == "rst":
            other.abort()
        stage.settle()

    return played


def parting_line(found: Comparison) -> str:
    """Return the line of a comparison for the step where the paths part."""
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(ComparisonView(found, "changed"))
    (here,) = (line for line in console.export_text().splitlines() if line.startswith(">"))
    return here


def test_in_which_order_different_connections_go_on_does_not_count() -> None:
    together, apart, otherwise = (
        play(each, "engine", {}, title="t")
        for each in (two_at_once(0), two_at_once(1), two_at_once(1, "rst"))
    )
    kinds = [[step.kind for step in run.story.steps] for run in (together, apart)]
    assert kinds[0] != kinds[1], "alone, a segment is carried in one step"
    assert digest(together.story) == digest(apart.story) != digest(otherwise.story)
    assert compare(together, apart).parting is None


def test_runs_part_in_the_connection_in_which_they_differ() -> None:
    one, other = (play(each, "engine", {}, title="t") for each in (two_at_once(0), two_at_once(1, "rst")))
    found = compare(one, other)
    assert found.parting is not None
    steps = [step for step in found.parting.steps if step is not None]
    assert [run.story.steps[at] for run, at in zip((one, other), found.parting.at, strict=True)] == steps
    assert [step.connection for step in steps] == [1, 1]
    assert [step.packet.flags for step in steps if step.packet is not None] == ["FIN+ACK", "RST+ACK"]
    here = parting_line(found)
    assert "FIN+ACK" in here
    assert "RST+ACK" in here


def test_where_nothing_more_happens_in_a_connection_the_paths_part_as_well() -> None:
    whole, cut = (play(each, "engine", {}, title="t") for each in (two_at_once(0), two_at_once(0, "")))
    found = compare(cut, whole)
    assert found.parting is not None
    assert found.parting.steps[0] is None
    assert found.as_dict()["as_it_is"] is None
    assert found.as_dict()["parting"] == len(cut.story.steps) + 1
    assert "nothing more" in parting_line(found)


def test_a_play_that_fails_is_a_run_that_ended_early() -> None:
    lost = lesson(4)
    run = on_engine(lost, syn_retries=0, syn_linear_timeouts=0)
    assert run.error == "TimeoutError"
    assert run.story.notes == ("It ended with TimeoutError",)
    assert lost.questions[2].answered(run) is None
    assert not lost.expectations[0].met(run)


def test_a_mistake_in_a_play_is_told_with_its_line() -> None:
    def mistaken(stage: Stage) -> None:
        stage.client.open().shout()  # type: ignore[attr-defined]

    with pytest.raises(LessonBrokenError, match=r"test_lessons\.py, line \d+: AttributeError: .*shout"):
        play(mistaken, "engine", {}, title="t")


def test_a_play_that_was_just_changed_is_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    path = tmp_path / "mine.py"
    for name in ("one", "two"):
        path.write_text(f"NAME = {name!r}\n")
        os.utime(path, (1, 1))
        found = load(path).NAME
        assert found == name
    assert [*tmp_path.iterdir()] == [path]


def test_a_play_is_python_as_it_stands_and_not_as_that_which_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def play(stage: int) -> None: ...\n")
    assert load(path).play.__annotations__ == {"stage": int, "return": None}


def test_an_answer_to_an_exercise_is_judged_by_running_it(tmp_path: Path) -> None:
    handshake = LESSONS[0]
    work = tmp_path / "mine.py"
    work.write_text(answer_to(handshake))
    assert "\nWhat a stage can do: python -m pydoc xsocket_tools.teaching.stage\n" in work.read_text()
    assert check_work(handshake, "engine", {}, work).failures == (AS_IT_BEGINS,)
    lines = work.read_text().splitlines()
    swapped = [
        line.replace("client.close()", "X")
        .replace("server.close()", "client.close()")
        .replace("X", "server.close()")
        for line in lines
    ]
    work.write_text("\n".join(swapped))
    assert check_work(handshake, "engine", {}, work).ok


@pytest.mark.parametrize("which", LESSONS, ids=lambda each: each.name)
def test_every_exercise_has_a_beginning_that_runs_and_does_not_solve_it(
    which: Lesson, tmp_path: Path
) -> None:
    if "engine" not in which.stages:
        pytest.skip("it is for another stage")
    work = tmp_path / f"mine{suffix_of_answer(which)}"
    work.write_text(answer_to(which))
    checked = check_work(which, "engine", {}, work)
    assert checked.digest
    assert not checked.ok


def test_an_answer_begins_with_all_that_its_play_mentions(broken: Path) -> None:
    scenario = broken / "scenario.py"
    scenario.write_text(
        "from xsocket_tools.path import LimitMtu, StripOptions\n"
        + scenario.read_text()
        + """
OWN_PORT = 40_000
def connect(stage):
    return opened(stage)
def opened(stage):
    return stage.client.open(from_port=OWN_PORT)
class Own(StripOptions):
    pass
def _asked(stage):
    stage.insert(Own("sack"))
    connect(stage)
EXERCISE = EXERCISE._replace(play=_asked)
"""
    )
    answer = answer_to(read(broken))
    for text in ("import StripOptions\n", "OWN_PORT = 40000\n", "def connect(", "def opened(", "class Own("):
        assert text in answer
    assert "LimitMtu" not in answer


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("def play(stage: ", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("X = 1", "has no function play"),
    ],
)
def test_an_answer_that_is_no_program_is_told(text: str, error: str, tmp_path: Path) -> None:
    work = tmp_path / "mine.py"
    work.write_text(text)
    with pytest.raises(LessonBrokenError, match=error):
        check_work(LESSONS[0], "engine", {}, work)


def test_a_new_lesson_holds_as_it_is(tmp_path: Path) -> None:
    first, second = (new_lesson(name, tmp_path) for name in ("one-thing", "another"))
    assert (first.name, second.name) == ("01-one-thing", "02-another")
    for path in (first, second):
        assert check_lesson(read(path), "engine").failures == ()


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("lesson.md", "no heading", "no heading"),
        ("lesson.md", None, "No such file"),
        ("scenario.py", None, "No such file"),
        ("scenario.py", "def play(stage): ...", "has no EXPECTATIONS"),
        ("scenario.py", "import nothing_of_that_name", "ModuleNotFoundError"),
    ],
)
def test_what_a_lesson_lacks_is_told(broken: Path, file: str, text: str | None, why: str) -> None:
    (broken / file).unlink()
    if text is not None:
        (broken / file).write_text(text)
    with pytest.raises(LessonBrokenError, match=why):
        read(broken)


def test_a_lesson_that_does_not_hold_is_told(broken: Path) -> None:
    scenario = broken / "scenario.py"
    scenario.write_text(scenario.read_text().replace('count("SYN") == 1', 'count("SYN") == 7'))
    assert check_lesson(read(broken), "engine").failures == (
        "it does not hold that the client sends one SYN",
    )


def test_a_number_without_a_lesson_is_told() -> None:
    with pytest.raises(NoSuchLessonError, match="no lesson 99"):
        lesson(99, folder())


def test_the_commands_list_show_run_and_check() -> None:
    listed = json.loads(ran("list", "--json").output)
    assert [each["number"] for each in listed["lessons"]] == [each.number for each in LESSONS]
    assert "The handshake" in ran("show", "1").output
    assert "Which rules there are, says docs/reference/tcp-config.md." in " ".join(
        ran("show", "7").output.split()
    )
    shown = ran("run", "1").output
    assert "SYN+ACK seq 0 ack 1" in shown
    assert "3: SYN, SYN+ACK, ACK" in shown
    plain = json.loads(ran("run", "1", "--json").output)
    assert plain["runs"][0]["questions"][0]["answer"] == "3: SYN, SYN+ACK, ACK"
    checked = json.loads(ran("check", "1", "--json").output)
    assert checked == {
        "ok": True,
        "checked": [
            {
                "lesson": 1,
                "on": "engine",
                "ok": True,
                "digest": checked["checked"][0]["digest"],
                "failures": [],
                "was_late": False,
            }
        ],
    }


def test_an_answer_by_rules_is_judged_and_the_status_says_so() -> None:
    wrong, right = (ran("check", "4", "--set", f"synack_retries={count}") for count in (1, 2))
    assert (wrong.exit_code, right.exit_code) == (1, 0)
    assert "never was established" in wrong.output


def test_the_beginning_of_an_answer_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    assert ran("exercise", "1", "--output", str(path)).exit_code == 0
    assert path.read_text() == ran("exercise", "1").output
    with pytest.raises(SystemExit) as left:
        main(["lesson", "exercise", "1", "--output", str(path)])
    assert left.value.code == 2


def test_compare_says_where_and_by_which_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = ran("compare", "1", "--set", "timestamps=false").output
    assert "the paths part at step 1" in shown
    assert "Offer and accept timestamps (RFC 7323 section 3)" in shown
    same = ran("compare", "1", "--set", "synack_retries=9").output
    assert "changes neither what is sent nor where an end stands." in " ".join(same.split())


def test_a_sum_of_bits_may_be_set_in_hexadecimal() -> None:
    assert ran("check", "14", "--set", "fastopen=0x7").exit_code == 1
    assert ran("check", "14", "--set", "fastopen=0x207").exit_code == 0


def test_accurate_feedback_solves_the_exercise_on_ecn_as_well() -> None:
    assert ran("check", "19", "--set", "ecn=3").exit_code == 0
    assert "does not ask" in ran("check", "19", "--set", "ecn=5").output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["run", "1", "--set", "no_rule=1"], "no_rule=1 is no RULE=VALUE"),
        (["run", "1", "--set", "delayed_ack=3"], "those of xsocket.TcpConfig, such as delayed_ack_s"),
        (["run", "1", "--set", "sack"], "sack is no RULE=VALUE"),
        (["run", "1", "--set", "sack=perhaps"], "sack is true or false, not perhaps"),
        (["run", "1", "--set", "syn_retries=few"], "syn_retries is a whole number, not few"),
        (["check"], "Name a lesson, or --all"),
        (["check", "1", "--all"], "Name a lesson, or --all"),
        (["check", "--all", "--set", "sack=false"], "an answer to the exercise of one lesson"),
        (["compare", "1"], "Say with --set"),
    ],
)
def test_wrong_usage_is_told(words: list[str], why: str) -> None:
    result = ran(*words)
    assert result.exit_code == 2
    assert why in result.output


def nothing_in_a_generator(run: Run) -> str:
    """Look for what there is not, in a way that ends in a RuntimeError."""
    return " ".join(str(next(iter(run.at("URG")))) for _ in range(1))


def test_a_question_about_what_did_not_happen_has_no_answer() -> None:
    run = on_engine(lesson(1))
    assert Question("When?", nothing_in_a_generator, "").answered(run) is None
    assert not Expectation("it happens", nothing_in_a_generator).met(run)
    exercise = lesson(1).exercise._replace(judge=nothing_in_a_generator)
    assert exercise.wrong(run) == "The run has nothing to judge by."


def test_a_question_with_a_mistake_is_said_to_have_one() -> None:
    def wrong(run: Run) -> str:
        return run.nothing_of_the_kind  # type: ignore[attr-defined,no-any-return]

    with pytest.raises(LessonBrokenError, match=r"test_lessons\.py, line \d+: AttributeError"):
        Question("What?", wrong, "").answered(on_engine(lesson(1)))


def test_an_answer_to_an_exercise_can_be_looked_at_before_it_is_right(tmp_path: Path) -> None:
    work, page = tmp_path / "mine.py", tmp_path / "page.html"
    work.write_text(answer_to(lesson(1)))
    shown = ran("run", "1", "--play", str(work))
    assert shown.exit_code == 0
    assert "── SYN seq 0 ─" in shown.stdout
    assert f"engine: {AS_IT_BEGINS}" in shown.stdout
    assert "Question" not in shown.stdout
    assert ran("report", "1", "--play", str(work), "--output", str(page)).exit_code == 0
    assert "1. The handshake" in page.read_text()
    text = (
        work.read_text().replace("client.close()", "close first").replace("server.close()", "client.close()")
    )
    work.write_text(text.replace("close first", "server.close()"))
    assert "engine: done" in ran("run", "1", "--play", str(work)).stdout
    assert json.loads(ran("run", "1", "--play", str(work), "--json").stdout)["runs"][0]["questions"] == []
