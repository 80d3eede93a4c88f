"""A play on engines with a bug: in a process of its own, whose engine is a copy with the bug in it.

That process runs this module: it reads what to play from standard input, pickled, and tells what came of it.
"""

from __future__ import annotations

import base64
import inspect
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from xsocket import TcpConfig
from xsocket_tools.mutants.mutant import Mutant
from xsocket_tools.mutants.mutant import read as read_mutant
from xsocket_tools.mutants.reporting import reporting
from xsocket_tools.mutants.running import Told, environment_of, planted, told_by
from xsocket_tools.teaching.errors import LessonBrokenError, PlayFailedError
from xsocket_tools.teaching.lesson import OnMutant, Run, load
from xsocket_tools.teaching.lesson import play as play_here
from xsocket_tools.teaching.stage import Play

LIMIT_S: Final = 60.0
"""How long a play may take there; the longest takes two seconds."""
_NOTE: Final = "Both engines are copies with one bug in them."


class _Job(NamedTuple):
    """What to play: a function of a file, or a script if it has no name; and how, as `lesson.play` has it."""

    file: Path
    name: str
    rules: Mapping[str, Any]
    title: str
    seed: int


def play_planted(play: OnMutant, rules: Mapping[str, Any], *, title: str, seed: int) -> Run:
    """Let something happen on engines with a bug; see `xsocket_tools.teaching.lesson.play`.

    Raises:
        BadConfigError: A rule is none, or its value is outside its range.
        LessonBrokenError: What is to be played is no function of a file.
        MutantError: The bug cannot be put into the engine.
        PlayFailedError: It failed over there, or did not end.
    """
    TcpConfig(**rules)  # says here what is wrong with a name or a value
    job = _Job(*_found_in(play.play), dict(rules), title, seed)
    mutant = read_mutant(play.mutant)
    with planted(mutant) as place:
        run = _run_of(told_by(place, __name__, mutant.name, pickle.dumps(job), LIMIT_S))
    return Run(run.story._replace(notes=(_NOTE, *run.story.notes)), run.stage, run.error, run.found)


def _found_in(play: Play | Path) -> tuple[Path, str]:
    """Return the file that has it, and its name there."""
    if isinstance(play, Path):
        return play, ""
    file, name = inspect.getsourcefile(play), getattr(play, "__qualname__", "")
    if file is None or not name.isidentifier():
        raise LessonBrokenError(f"{name or play} is no function of a file, which is read again elsewhere")
    return Path(file).resolve(), name


def _run_of(told: Told) -> Run:
    last = told.lines[-1] if told.lines else {}
    if "error" in last:
        failed = PlayFailedError(last["error"], remedy=last["remedy"])
        failed.exit_status = last["status"]
        raise failed
    if "run" not in last:
        why = told.reason if told.in_time else f"it had not ended after {LIMIT_S:.0f} s"
        raise PlayFailedError(f"the play on the engine with a bug failed: {why}")
    run = pickle.loads(base64.b64decode(last["run"]))  # noqa: S301  # our own process wrote it
    assert isinstance(run, Run)
    return run


def command_on(mutant: Mutant, words: Sequence[str]) -> int:
    """Run a command of ``xsocket`` on a copy of the engine with a bug; return its exit status.

    Raises:
        MutantError: The bug cannot be put into the engine.
    """
    command = [sys.executable, "-P", "-m", "xsocket_tools.cli", *words]
    with planted(mutant) as place:
        return subprocess.run(command, env=environment_of(place), check=False).returncode  # noqa: S603


def main() -> None:
    """Do what the module says."""
    with reporting() as tell:
        job: _Job = pickle.load(sys.stdin.buffer)  # noqa: S301  # our parent wrote it
        try:
            play = getattr(load(job.file), job.name) if job.name else job.file
            run = play_here(play, "engine", job.rules, title=job.title, seed=job.seed)
        except Exception as error:
            if not hasattr(error, "remedy"):
                raise
            status = getattr(error, "exit_status", 1)
            tell({"error": str(error.args[0]), "remedy": error.remedy, "status": status})
        else:
            tell({"run": base64.b64encode(pickle.dumps(run)).decode()})


if __name__ == "__main__":
    main()
