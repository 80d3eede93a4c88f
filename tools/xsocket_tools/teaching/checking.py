"""Checks: whether a lesson holds what it says, and whether an answer to its exercise is one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from xsocket_tools.teaching.errors import LessonBrokenError
from xsocket_tools.teaching.lesson import SCRIPT, Lesson, Run, Scenario, digest, load, play, with_bug
from xsocket_tools.teaching.stage import Play


class Checked(NamedTuple):
    """What became of a check.

    Attributes:
        number: Of the lesson.
        stage: ``engine`` or ``kernel``.
        digest: Of the run; see `xsocket_tools.teaching.lesson.digest`.
        failures: What does not hold, a sentence each.
        was_late: Whether this machine was too busy for real time, so that the run may have gone otherwise.
    """

    number: int
    stage: str
    digest: str
    failures: tuple[str, ...]
    was_late: bool = False

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.failures

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold."""
        return {
            "lesson": self.number,
            "on": self.stage,
            "ok": self.ok,
            "digest": self.digest,
            "failures": list(self.failures),
            "was_late": self.was_late,
        }


def check_lesson(lesson: Lesson, stage: str) -> Checked:
    """Check that a lesson holds what it says, and that its exercise can be solved and is not solved yet."""
    title = f"{lesson.number}. {lesson.title}"
    run = play(lesson.play, stage, lesson.rules, title=title)
    failures = [f"it ended with {run.error}"] if run.error else []
    failures += [
        f"it does not hold that {each.text}"
        for each in lesson.expectations
        if stage in each.stages and not each.met(run)
    ]
    failures += [f"no answer to: {each.text}" for each in lesson.questions if each.answered(run) is None]
    exercise = lesson.exercise
    unchanged = play(exercise.play, stage, exercise.rules, title=title)
    if exercise.wrong(unchanged) is None:
        failures.append("the exercise is solved before anything was changed")
    solved = _solution(lesson, stage, title)
    still_wrong = exercise.wrong(solved)
    if still_wrong is not None:
        failures.append(f"the solution of the exercise is none: {still_wrong}")
    was_late = any(each.was_late for each in (run, unchanged, solved))
    return Checked(lesson.number, stage, digest(run.story), tuple(failures), was_late)


def _solution(lesson: Lesson, stage: str, title: str) -> Run:
    exercise, solution = lesson.exercise, lesson.exercise.solution
    if isinstance(solution, Mapping):
        return play(exercise.play, stage, {**exercise.rules, **solution}, title=title)
    return play(solution, stage, exercise.rules, title=title)


def play_work(
    lesson: Lesson, stage: str, rules: Mapping[str, Any], work: Path | None, *, seed: int = 1
) -> Run:
    """Play an answer to the exercise of a lesson: other rules, another play, or both.

    Args:
        lesson: Whose.
        stage: Where to play it.
        rules: The other rules.
        work: A Python file with a function ``play``, or a script; None for what the exercise begins with.
        seed: Of what is left to chance.

    Raises:
        LessonBrokenError: *work* cannot be run, or has no function ``play``.
        ScriptError: It is to be a script, and is none.
    """
    exercise = lesson.exercise
    what = exercise.play if work is None else with_bug(_play_in(work), lesson.mutant)
    title = f"{lesson.number}. {lesson.title}"
    return play(what, stage, {**exercise.rules, **rules}, title=title, seed=seed)


def check_work(lesson: Lesson, stage: str, rules: Mapping[str, Any], work: Path | None) -> Checked:
    """Judge an answer to the exercise of a lesson; what it takes and raises says `play_work`."""
    run = play_work(lesson, stage, rules, work)
    wrong = lesson.exercise.wrong(run)
    failures = [] if wrong is None else [wrong]
    if failures and run.error not in failures[0]:  # which is empty for none
        failures.append(f"It ended with {run.error}.")
    return Checked(lesson.number, stage, digest(run.story), tuple(failures), run.was_late)


def _play_in(work: Path) -> Scenario:
    if work.suffix == Path(SCRIPT).suffix:
        return work
    found = getattr(load(work), "play", None)
    if not callable(found):
        raise LessonBrokenError(f"{work} has no function play(stage)", remedy="xsocket lesson exercise N")
    return cast(Play, found)
