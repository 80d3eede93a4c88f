"""`Lesson`: a folder with a text and a scenario that runs; its questions are answered by the run itself."""

from __future__ import annotations

import hashlib
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeVar

from xsocket import TcpConfig, XsocketError
from xsocket.seqnum import HALF
from xsocket_tools.errors import ToolError
from xsocket_tools.teaching.errors import LessonBrokenError, NoSuchLessonError
from xsocket_tools.teaching.stage import Play, Stage
from xsocket_tools.teaching.story import Kind, Packet, Step, Story

TEXT: Final = "lesson.md"
SCENARIO: Final = "scenario.py"
SCRIPT: Final = "scenario.pkt"
MUTANT: Final = "mutant.toml"
_FOLDER: Final = re.compile(r"(\d\d)-([a-z0-9-]+)")
_HEADING: Final = re.compile(r"^# (?:\d+\. )?(.+)$", re.MULTILINE)
_OBJECTIVE: Final = re.compile(r"^\*\*Objective\.\*\* (.+?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)
MOST_RUNS: Final = 4
"""How often something is played in real time before it counts although the machine was busy."""
NOT_IN_RUN: Final = (LookupError, ValueError, StopIteration, ZeroDivisionError)
"""What a function that asks about a run may raise where the run went otherwise than it supposes."""
_INCLUDED: Final = re.compile(r"^```\{literalinclude\} (\S+)\n(?::.*\n)*```$", re.MULTILINE)
T = TypeVar("T")
_BY_CHANCE: Final = re.compile(r"(TS val) \d+ ecr \d+|(fast open(?: \(exp\))?) [0-9a-f]{8,}")

_HALVES: Final = {
    Kind.SENT: (Kind.SENT,),
    Kind.CARRIED: (Kind.SENT, Kind.ARRIVED),
    Kind.ARRIVED: (Kind.ARRIVED,),
}


class Found(NamedTuple):
    """What a play may return: what it found out besides what happened on the stage.

    Attributes:
        values: For whoever asks about the run, by name.
        notes: For the story, a sentence each.
    """

    values: Mapping[str, Any]
    notes: tuple[str, ...] = ()


class OnMutant(NamedTuple):
    """What happens, on engines with a bug; see `xsocket_tools.mutants`.

    Attributes:
        play: What.
        mutant: The file that says what the bug is.
    """

    play: Play | Path
    mutant: Path


Scenario = Play | Path | OnMutant
"""What happens in a lesson: a function of a stage, or the file of a script."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a lesson, and what one can ask about it.

    Attributes:
        story: What happened.
        stage: ``engine`` or ``kernel``.
        error: What ended it before its time, such as a handshake that failed; empty for nothing.
        found: What it found out besides, by name; of a script its ``outcome``
            (`xsocket_tools.scenarios.outcome.Outcome`).
        was_late: Whether this machine was too busy for real time, so that things may have gone otherwise.
    """

    story: Story
    stage: str
    error: str = ""
    found: Mapping[str, Any] = field(default_factory=dict)
    was_late: bool = False

    def sent(self, end: int | None = None) -> list[Step]:
        """Return the steps in which a segment is sent, by one end (0 the client, 1 the server) or by both."""
        kinds = (Kind.CARRIED, Kind.SENT, Kind.LOST)
        return [step for step in self.story.steps if step.kind in kinds and end in (None, step.end)]

    def flags(self, end: int | None = None) -> list[str]:
        """Return the flags of each segment that was sent, such as ``SYN+ACK``."""
        return [step.packet.flags for step in self.sent(end) if step.packet is not None]

    def at(self, flags: str, end: int | None = None) -> list[float]:
        """Return when segments with these flags were sent, seconds since the first segment."""
        return [
            step.at_s for step in self.sent(end) if step.packet is not None and step.packet.flags == flags
        ]

    def states(self, end: int) -> list[str]:
        """Return the states that an end went through, each once as it was entered."""
        found: list[str] = []
        for step in self.story.steps:
            state = step.views[end].state
            if state is not None and (not found or found[-1] != state.value):
                found.append(state.value)
        return found

    def forged(self) -> list[Step]:
        """Return the steps in which a segment arrives that neither end has sent."""
        return [step for step in self.story.steps if step.kind is Kind.FORGED]

    def answer(self, forged: Step) -> Packet | None:
        """Return what the end that got a forged segment sent at once; None if it was silent."""
        following = self.story.steps[forged.number : forged.number + 1]
        sent = [step for step in following if step in self.sent(1 - forged.end)]
        return sent[0].packet if sent else None

    def variable(self, end: int, name: str, *, step: int = -1, absolute: bool = False) -> int:
        """Return a variable of an end after a step, the last one if none is named.

        Raises:
            KeyError: There is no such variable then.
        """
        for each in self.story.steps[step].views[end].variables:
            if each.name == name:
                return int((each.absolute if absolute else each.value).replace(",", ""))
        raise KeyError(name)


class _NotInRunError(Exception):
    """A run went otherwise than whoever asks about it supposes."""


def _asked(ask: Callable[[Run], T], run: Run) -> T:
    """Return what a function of a lesson says of a run.

    Raises:
        _NotInRunError: It finds nothing there.
        LessonBrokenError: It has a mistake.
    """
    try:
        return ask(run)
    except NOT_IN_RUN as error:
        raise _NotInRunError from error
    except Exception as error:
        if isinstance(error.__cause__, StopIteration):  # what a generator makes of it (PEP 479)
            raise _NotInRunError from error
        raise LessonBrokenError(_told(error)) from error


class Question(NamedTuple):
    """A question, and how the run answers it.

    Attributes:
        text: The question.
        answer: Computes the answer from a run.
        why: What the answer shows.
    """

    text: str
    answer: Callable[[Run], str]
    why: str

    def answered(self, run: Run) -> str | None:
        """Return the answer; None where a run that went otherwise has nothing to answer it with."""
        try:
            return _asked(self.answer, run) or None
        except _NotInRunError:
            return None


class Exercise(NamedTuple):
    """Something to change, and how a run shows that it is done.

    Attributes:
        text: What is asked.
        play: What happens, unless the learner writes that.
        judge: Returns what is still wrong with a run; nothing if it is done.
        rules: Those that it begins with.
        solution: Rules that solve it, or what happens in a solution.
    """

    text: str
    play: Scenario
    judge: Callable[[Run], str | None]
    solution: Mapping[str, Any] | Scenario
    rules: Mapping[str, Any] = {}

    def wrong(self, run: Run) -> str | None:
        """Return what is still wrong with a run; None if the exercise is done."""
        try:
            return _asked(self.judge, run)
        except _NotInRunError:
            return "The run has nothing to judge by."


class Expectation(NamedTuple):
    """Something that has to hold in each run.

    Attributes:
        text: What, in one sentence.
        holds: Whether it does.
        stages: Where; both without it.
    """

    text: str
    holds: Callable[[Run], object]
    stages: tuple[str, ...] = ("engine", "kernel")

    def met(self, run: Run) -> bool:
        """Return whether it holds in a run."""
        try:
            return bool(_asked(self.holds, run))
        except _NotInRunError:
            return False


class Lesson(NamedTuple):
    """A lesson.

    Attributes:
        number: Of the folder.
        name: Of the folder.
        title: The text's heading.
        objective: What the text says it is for.
        text: Markdown.
        play: What happens.
        rules: `TcpConfig` fields of both ends.
        expectations: What has to hold in each run.
        questions: For the learner.
        exercise: For the learner.
        stages: Where it can be played.
        mutant: The file with the bug that the engines have on its stage; None for no bug.
    """

    number: int
    name: str
    title: str
    objective: str
    text: str
    play: Scenario
    rules: Mapping[str, Any]
    expectations: tuple[Expectation, ...]
    questions: tuple[Question, ...]
    exercise: Exercise
    stages: tuple[str, ...]
    mutant: Path | None = None


def folder() -> Path:
    """Return where the lessons are: in the package if it was installed whole, else beside its sources."""
    packed = Path(str(resources.files("xsocket_tools"))) / "lessons"
    return packed if packed.is_dir() else Path(__file__).parents[3] / "docs" / "lessons"


def lessons(directory: Path | None = None) -> list[Lesson]:
    """Return every lesson, by number.

    Raises:
        LessonBrokenError: One cannot be read.
    """
    directory = directory or folder()
    found = (path for path in sorted(directory.glob("*")) if _FOLDER.fullmatch(path.name) and path.is_dir())
    return [read(path) for path in found]


def lesson(number: int, directory: Path | None = None) -> Lesson:
    """Return one lesson.

    Raises:
        NoSuchLessonError: There is none of that number.
        LessonBrokenError: It cannot be read.
    """
    paths = sorted((directory or folder()).glob(f"{number:02}-*"))
    if not paths:
        raise NoSuchLessonError(f"there is no lesson {number}")
    return read(paths[0])


def read(path: Path) -> Lesson:
    """Read the lesson in the folder *path*.

    Raises:
        LessonBrokenError: A file is missing, or the scenario has not all that a lesson needs.
    """
    named = _FOLDER.fullmatch(path.name)
    if named is None:
        raise LessonBrokenError(f"{path.name} is no name of a lesson, such as 01-the-handshake")
    try:
        text = _whole((path / TEXT).read_text(encoding="utf-8"), path)
    except OSError as error:
        raise LessonBrokenError(f"{error.filename}: {error.strerror}") from error
    module = load(path / SCENARIO)
    heading, objective = _HEADING.search(text), _OBJECTIVE.search(text)
    if heading is None or objective is None:
        raise LessonBrokenError(f"{path / TEXT} has no heading, or does not name its objective")
    script, mutant = path / SCRIPT, path / MUTANT
    try:
        found = Lesson(
            number=int(named[1]),
            name=named[2],
            title=heading[1],
            objective=" ".join(objective[1].split()),
            text=text,
            play=script if script.is_file() else module.play,
            rules=getattr(module, "RULES", {}),
            expectations=tuple(module.EXPECTATIONS),
            questions=tuple(module.QUESTIONS),
            exercise=module.EXERCISE,
            stages=getattr(module, "STAGES", ("engine", "kernel")),
        )
    except AttributeError as error:
        raise LessonBrokenError(f"{path / SCENARIO}: it has no {error.name}") from error
    return _on_mutant(found, mutant) if mutant.is_file() else found


def _whole(text: str, path: Path) -> str:
    """Return a text with the files in it that it includes."""
    return _INCLUDED.sub(lambda found: f"```\n{(path / found[1]).read_text(encoding='utf-8')}```", text)


def _on_mutant(lesson: Lesson, mutant: Path) -> Lesson:
    """Return the lesson with a bug in the engine, whatever is played."""
    exercise = lesson.exercise
    exercise = exercise._replace(play=with_bug(exercise.play, mutant))
    if not isinstance(exercise.solution, Mapping):
        exercise = exercise._replace(solution=with_bug(exercise.solution, mutant))
    return lesson._replace(play=with_bug(lesson.play, mutant), exercise=exercise, mutant=mutant)


def with_bug(play: Scenario, mutant: Path | None) -> Scenario:
    """Return what happens so that it does on engines with a bug, if there is one."""
    return play if mutant is None or isinstance(play, OnMutant) else OnMutant(play, mutant)


def load(path: Path) -> ModuleType:
    """Run the Python file *path* and return it as a module.

    Raises:
        LessonBrokenError: It cannot be read or run.
    """
    if path.suffix != ".py":
        raise LessonBrokenError(f"{path} is no Python file")
    module = ModuleType(f"xsocket_lesson_{path.parent.name}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where `inspect` finds its source
    try:
        # Nothing compiled is kept: that of a file that was changed within the same second would pass for new.
        code = compile(path.read_bytes(), path, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102  # what the user names
    except OSError as error:
        raise LessonBrokenError(f"{path}: {error.strerror}") from error
    except Exception as error:
        raise LessonBrokenError(f"{path}: {type(error).__name__}: {error}") from error
    return module


def play(play: Scenario, stage_name: str, rules: Mapping[str, Any], *, title: str, seed: int = 1) -> Run:
    """Let something happen on a new stage, and return what did.

    On the kernel it happens again, a few times at most, if this machine was too busy for real time.

    Args:
        play: What. Where a call of its fails, as that of a socket may, it ends there. A bug is in the engine
            alone: on the kernel it makes no difference.
        stage_name: ``engine`` or ``kernel``.
        rules: Fields of `TcpConfig`, for both ends.
        title: Of the story.
        seed: Of what is left to chance.

    Raises:
        BadConfigError: A rule is none, or its value is outside its range.
        LabError: The machine allows no namespaces, which ``kernel`` needs.
        LessonBrokenError: It has a mistake.
        ToolError: It asks for what there is not, such as an extra that is not installed.
    """
    if isinstance(play, OnMutant):
        if stage_name == "engine":
            from xsocket_tools.teaching.planted import play_planted

            return play_planted(play, rules, title=title, seed=seed)
        play = play.play
    if isinstance(play, Path):
        from xsocket_tools.teaching.scripted import play_script

        return play_script(play, stage_name, rules, title=title)
    for _ in range(MOST_RUNS):
        run = _play_once(play, _stage(stage_name, TcpConfig(**rules), rules, seed), title)
        if not run.was_late:
            break
    return run


def _play_once(play: Play, stage: Stage, title: str) -> Run:
    error, found = "", Found({})
    try:
        try:
            returned = play(stage)
        except OSError as failure:
            error = f"{type(failure).__name__}: {failure}".rstrip(": ")
        except (ToolError, XsocketError):
            raise
        except Exception as mistake:
            raise LessonBrokenError(_told(mistake)) from mistake
        else:
            found = returned if isinstance(returned, Found) else found
        story = stage.story(title)
        ended = (f"It ended with {error}",) if error else ()
        story = story._replace(notes=(*story.notes, *found.notes, *ended))
        return Run(story, stage.name, error, found.values, stage.was_late)
    finally:
        stage.close()


def _told(mistake: Exception) -> str:
    """Return what went wrong in a scenario, and where."""
    frames = traceback.extract_tb(mistake.__traceback__)
    where = next((each for each in reversed(frames) if "xsocket_tools" not in each.filename), frames[-1])
    return f"{where.filename}, line {where.lineno}: {type(mistake).__name__}: {mistake}"


def _stage(name: str, config: TcpConfig, rules: Mapping[str, Any], seed: int) -> Stage:
    if name == "engine":
        from xsocket_tools.teaching.engine_stage import EngineStage

        return EngineStage(config, seed)
    from xsocket_tools.teaching.kernel_stage import KernelStage

    return KernelStage(rules)


def digest(story: Story) -> str:
    """Return what is the same in each run: what was sent and became of it, and where both ends stood.

    Initial sequence numbers, ports, times, windows and whatever a run draws by chance do not count. Nor does
    the order of what happens in different connections: a kernel's timers decide it that run out together.
    """
    lines = "\n".join(line for told in outline(story).values() for line, _ in told)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def outline(story: Story) -> dict[int | None, list[tuple[str, Step]]]:
    """Return what counts for a digest, by connection, None for what is of none: lines, and the step of each.

    A segment has a line where it is sent and one where it arrives, whether or not that is one step.
    """
    found: dict[int | None, list[tuple[str, Step]]] = {
        each: [] for each in (None, *range(len(story.connections)))
    }
    for step in story.steps:
        found[step.connection] += ((line, step) for line in _lines(step))
    return found


def _lines(step: Step) -> list[str]:
    """Return of a step what counts for a digest."""
    packet = step.packet
    what = "" if packet is None else str(_without_chance(packet))
    options = "" if packet is None else _BY_CHANCE.sub(r"\1\2", "  ".join(packet.options))
    states = ["-" if view.state is None else view.state.value for view in step.views]
    halves = _HALVES.get(step.kind)
    if halves is None:
        return [f"{step.kind.value} {step.end} {what} [{options}] {' '.join(states)}"]
    ends = {Kind.SENT: step.end, Kind.ARRIVED: 1 - step.end}
    return [f"{half.value} {step.end} {what} [{options}] {states[ends[half]]}" for half in halves]


def _without_chance(packet: Packet) -> Packet:
    """Return it without numbers from before the SYN: how far back they are is a matter of the clock."""
    seq, ack = packet.seq, packet.ack
    return packet._replace(seq=-1 if seq >= HALF else seq, ack=-1 if ack is not None and ack >= HALF else ack)
