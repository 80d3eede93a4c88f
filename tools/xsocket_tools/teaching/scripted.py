"""Stories of scenario scripts: what a script asked of the engine, or of Linux, and what came of it.

The script is one end, and keeps no TCB: where its end stands is inferred. Linux is asked after each packet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from xsocket import Event as TraceEvent
from xsocket import FourTuple, State, TcpConfig
from xsocket_tools.fuzzing.targets.kernel_rules import sysctl_text
from xsocket_tools.scenarios.outcome import Outcome, Status
from xsocket_tools.scenarios.plan import read_file
from xsocket_tools.scenarios.report import events_of, told
from xsocket_tools.scenarios.running import run
from xsocket_tools.scenarios.script import Command, Event, Flag, Script
from xsocket_tools.scenarios.settings import Settings, ip_versions
from xsocket_tools.teaching.errors import LessonBrokenError, NotOnThisStageError
from xsocket_tools.teaching.lesson import Run
from xsocket_tools.teaching.story import End, Source, Story
from xsocket_tools.teaching.telling import of_trace

SUFFIX: Final = ".pkt"
TARGETS: Final = {"engine": "sim", "kernel": "kernel"}
"""Where a script runs on each stage."""
PATIENCE: Final = Flag("tolerance_usecs", "100000", 0)
"""In a story it matters what comes, and in which order; in real time it may come late on a busy machine."""
PEER: Final = "script"
_ENGINE: Final = End("engine", "in virtual time", Source.RECORDED)
_LINUX: Final = End("Linux", "", Source.ASKED)


def play_script(path: Path, stage_name: str, rules: Mapping[str, Any], *, title: str) -> Run:
    """Run a script on a stage's TCP, and return what happened; see `xsocket_tools.teaching.lesson.play`.

    Args:
        path: The script.
        stage_name: ``engine`` or ``kernel``.
        rules: Fields of `TcpConfig` that Linux has as sysctls; the script begins with these.
        title: Of the story.

    Raises:
        BadConfigError: A rule is none, or its value is outside its range.
        LabError: The machine allows no namespaces, which ``kernel`` needs.
        LessonBrokenError: The file cannot be read.
        NotOnThisStageError: A script cannot be told a rule.
        ScriptError: It is no script.
    """
    try:
        script = read_file(path)
    except OSError as error:
        raise LessonBrokenError(f"{path}: {error.strerror}") from error
    outcome = outcome_of(_with_rules(script, rules), path, TARGETS[stage_name])
    ended = "" if outcome.status.is_good else f"{outcome.status.value}: {why(outcome)}"
    return Run(story_of(outcome, title), stage_name, ended, {"outcome": outcome})


def _with_rules(script: Script, rules: Mapping[str, Any]) -> Script:
    """Return the script with commands at its beginning that set *rules*."""
    TcpConfig(**rules)
    known = {each.name: each.metadata["rule"].sysctl for each in fields(TcpConfig)}
    commands = []
    for name, value in rules.items():
        text = None if known[name] is None else sysctl_text(known[name], value)
        if text is None:
            raise NotOnThisStageError(
                f"a script cannot be told {name} = {value!r}: there is no sysctl for it",
                remedy="Say it in the script, as an option of a socket, if there is one.",
            )
        setting = f"net.{known[name].path.replace('/', '.')}={text}"
        commands.append(Event(None, Command(f"sysctl -q {setting}"), 0))
    return replace(script, events=(*commands, *script.events))


def outcome_of(script: Script, path: Path, target: str) -> Outcome:
    """Run a script that was read from *path*, with the first IP version that it is for.

    On Linux it has patience, unless a flag of its own says how much.
    """
    if target == "kernel":
        script = replace(script, flags=(PATIENCE, *script.flags))
    settings = Settings(ip_version=ip_versions(script)[0])
    return run(script, target, settings, directory=str(path.parent), asking=target == "kernel")


def story_of(outcome: Outcome, title: str) -> Story:
    """Return the story of a run; a note says how it ended, if it did not simply pass.

    Args:
        outcome: Of the run.
        title: Of the story.
    """
    is_linux = outcome.target == "kernel"
    events = list(_asked(outcome)) if is_linux else outcome.events
    story = of_trace(events, title=title, engine=_LINUX if is_linux else _ENGINE, peer=PEER)
    if outcome.status is Status.PASSED:
        return story
    return story._replace(notes=(f"The script {outcome.status.value}: {why(outcome)}",))


def _asked(outcome: Outcome) -> Iterator[TraceEvent]:
    """Yield the segments of a run on Linux, each with where Linux stood before and after."""
    before: dict[FourTuple, State] = {}
    for frame, states in zip(outcome.frames, outcome.states, strict=False):
        for event in events_of([frame]):
            key = event.four_tuple
            assert key is not None
            after = (states[key] or State.CLOSED) if key in states else None
            yield event._replace(before=before.get(key), after=after)
            if after is not None:
                before[key] = after


def why(outcome: Outcome) -> str:
    """Return why a run ended as it did, with the line of the script."""
    where = f"line {outcome.failure.line}: " if outcome.failure is not None and outcome.failure.line else ""
    return f"{where}{told(outcome).removeprefix(where)}"
