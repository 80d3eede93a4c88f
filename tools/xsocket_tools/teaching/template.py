"""Beginnings: of a lesson, a folder with a text and a scenario that run, and of an answer to an exercise."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from textwrap import fill
from types import ModuleType
from typing import Final

from xsocket_tools.teaching.errors import CannotWriteLessonError
from xsocket_tools.teaching.lesson import SCENARIO, SCRIPT, TEXT, Lesson, OnMutant
from xsocket_tools.teaching.stage import Play, Stage

_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

_SCENARIO: Final = '''\
"""Lesson {number}: say in one line what happens."""

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run
from xsocket_tools.teaching.stage import Stage


def play(stage: Stage) -> None:
    """Say what happens; `xsocket_tools.teaching.stage.Stage` has what can."""
    client = stage.client.open()
    client.wait_established()
    server = stage.server.accept()
    client.close()
    stage.settle()
    server.close()
    stage.settle()


EXPECTATIONS = (
    Expectation("the client sends one SYN", lambda run: run.flags(0).count("SYN") == 1),
)

QUESTIONS = (
    Question(
        "How many segments are sent in all?",
        lambda run: str(len(run.sent())),
        "Say what the answer shows.",
    ),
)


def _judge(run: Run) -> str | None:
    """Return what is still wrong; None if the exercise is done."""
    return None if run.flags(0).count("SYN") == 2 else "The client has not sent two SYNs."


def _solution(stage: Stage) -> None:
    stage.lose("S")
    play(stage)


EXERCISE = Exercise("Let the client send two SYNs.", play, _judge, _solution)
'''

_OF_SCRIPT: Final = '''\
"""Lesson {number}: what is asked of the script scenario.pkt."""

from pathlib import Path

from xsocket_tools.teaching.lesson import Exercise, Expectation, Question, Run

SCRIPT = Path(__file__).with_name("scenario.pkt")
SOLUTION = Path(__file__).with_name("solution.pkt")

EXPECTATIONS = (
    Expectation("the script sends one SYN", lambda run: run.flags(0).count("SYN") == 1),
)

QUESTIONS = (
    Question(
        "How many segments are sent in all?",
        lambda run: str(len(run.sent())),
        "Say what the answer shows.",
    ),
)


def _judge(run: Run) -> str | None:
    """Return what is still wrong; None if the exercise is done."""
    if run.error:
        return f"The script does not pass: {{run.error}}."
    return None if run.flags(0).count("SYN") == 2 else "The script does not send two SYNs."


EXERCISE = Exercise("Let the script send two SYNs.", SCRIPT, _judge, SOLUTION)
'''

_LISTENING: Final = """\
// {what}
--ip_version=ipv4

0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0

"""
_SYN: Final = """\
+.1  < S 0:0(0) win 1000 <mss 1460>
+0   > S. 0:0(0) ack 1 <mss 1460>
"""
_THIRD: Final = """\
+.1  < . 1:1(0) ack 1 win 1000
+0   accept(3, ..., ...) = 4
+0   state ESTABLISHED
"""

_TEXT: Final = """\
# {number}. {title}

**Objective.** Say in one sentence what somebody can do, or explain, who has been through this lesson.

## Before you run it

What one has to know.

## Run it

```console
$ xsocket lesson run {number}
```

```{{lesson-ladder}} {number}
```

## What to look for

- Where to look, and what is to be seen there.

## Questions

```{{lesson-questions}} {number}
```

## Exercise

Let the {who} send two SYNs.

## Further reading

- The RFC's section, and `xsocket rules` with it.
"""


def new_lesson(name: str, directory: Path, *, by_script: bool = False) -> Path:
    """Write a lesson with the next free number, and return its folder.

    Args:
        name: Of the folder, behind the number: words in small letters with hyphens between them.
        directory: Where lessons are.
        by_script: Whether a scenario script says what happens, and not Python.

    Raises:
        CannotWriteLessonError: The name is none, or the folder cannot be made.
    """
    if not _NAME.fullmatch(name):
        raise CannotWriteLessonError(
            f"{name} is no name of a lesson", remedy="Name it like this: the-third-segment."
        )
    numbers = [int(path.name[:2]) for path in directory.glob("[0-9][0-9]-*")]
    number = max(numbers, default=0) + 1
    path = directory / f"{number:02}-{name}"
    title = name.replace("-", " ").capitalize()
    try:
        path.mkdir(parents=True)
        for file, text in _files(number, title, by_script=by_script).items():
            (path / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotWriteLessonError(f"cannot write {path}: {error.strerror}") from error
    return path


def _files(number: int, title: str, *, by_script: bool) -> dict[str, str]:
    """Return the files of a new lesson, by name."""
    text = _TEXT.format(number=number, title=title, who="script" if by_script else "client")
    if not by_script:
        return {TEXT: text, SCENARIO: _SCENARIO.format(number=number)}
    begin = _LISTENING.format(what="Say in one line what happens.")
    again = _LISTENING.format(what="The SYN comes twice.")
    return {
        TEXT: text,
        SCENARIO: _OF_SCRIPT.format(number=number),
        SCRIPT: f"{begin}{_SYN}{_THIRD}",
        "solution.pkt": f"{again}{_SYN}{_SYN}{_THIRD}",
    }


def _beginning(lesson: Lesson) -> Play | Path:
    """Return what happens in the exercise of *lesson* to begin with."""
    play = lesson.exercise.play
    return play.play if isinstance(play, OnMutant) else play


def suffix_of_answer(lesson: Lesson) -> str:
    """Return how the name of an answer to the exercise of *lesson* ends."""
    play = _beginning(lesson)
    return play.suffix if isinstance(play, Path) else ".py"


_WORDS: Final = f"What a stage can do: python -m pydoc {Stage.__module__}"


def answer_to(lesson: Lesson) -> str:
    """Return a file to answer the exercise of *lesson* with: what happens in it to begin with.

    It is Python, or a script where the lesson has one.
    """
    play = _beginning(lesson)
    if isinstance(play, Path):
        asked = fill(lesson.exercise.text, 100, initial_indent="// ", subsequent_indent="// ")
        about = f"// An answer to the exercise of lesson {lesson.number}.\n{asked}\n"
        return f"{about}\n{play.read_text(encoding='utf-8')}"
    module = inspect.getmodule(play)
    assert module is not None
    source = inspect.getsource(play).replace(f"def {play.__name__}(", "def play(", 1)
    asked = fill(lesson.exercise.text, 100)
    texts = _with_helpers(module, source)
    parts = [
        f'"""An answer to the exercise of lesson {lesson.number}.\n\n{asked}\n\n{_WORDS}\n"""\n',
        "".join(_imports(module, texts)),
        *_constants(module, texts),
        *(f"\n{text}" for text in texts),
    ]
    return "\n".join(parts)


def _with_helpers(module: ModuleType, source: str) -> list[str]:
    """Return *source*, the functions and classes of *module* that it calls, and those that they call."""
    own = [
        each
        for each in vars(module).values()
        if (inspect.isfunction(each) or inspect.isclass(each)) and each.__module__ == module.__name__
    ]
    texts = [source]
    for text in texts:  # which grows meanwhile
        body = text.partition(":\n")[2]
        called = (inspect.getsource(each) for each in own if re.search(rf"(?<![\w.]){each.__name__}\(", body))
        texts += [each for each in called if each not in texts]
    return texts


def _imports(module: ModuleType, texts: list[str]) -> list[str]:
    """Return the imports of *module*, of each what *texts* mention."""
    found = []
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ImportFrom):
            names = [each.name for each in node.names if _is_in(each.name, texts)]
            found += [f"from {node.module} import {', '.join(names)}\n"] if names else []
    return found


def _constants(module: ModuleType, texts: list[str]) -> list[str]:
    """Return the constants of *module* that *texts* mention."""
    named = [(name, value) for name, value in vars(module).items() if name.isupper() and _is_in(name, texts)]
    return [f"{name} = {value!r}\n" for name, value in named if isinstance(value, int | float | str | bytes)]


def _is_in(name: str, texts: list[str]) -> bool:
    return any(re.search(rf"\b{name}\b", text) for text in texts)
