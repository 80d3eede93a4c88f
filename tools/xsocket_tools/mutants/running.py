"""Trying mutants: each in a copy of the engine, in a process of its own, with every script of the library.

`planted`, `told_by` and `tried` are the same whatever they are tried with; see `fuzzed`.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, Final, NamedTuple, TypeVar

import xsocket
from xsocket_tools.mutants.mutant import Mutant, MutantError, mutated
from xsocket_tools.scenarios.plan import files_in, jobs_for, read_all

PACKAGE: Final = Path(xsocket.__file__).parent
"""The engine that mutants are put into a copy of."""
LEAST_LIMIT_S: Final = 3.0
SLOWNESS: Final = 10
"""How many limits of a script all of them may take together."""

_TRIAL: Final = "xsocket_tools.mutants.trial"

T = TypeVar("T")


class Library(NamedTuple):
    """Scripts to try engines with.

    Attributes:
        scripts: How many they are.
        jobs: Their runs in virtual time, pickled once for all trials.
    """

    scripts: int
    jobs: bytes


class Verdict(NamedTuple):
    """What became of one trial.

    Attributes:
        script: The one that failed; None if all are well.
        line: Of that script; 0 where no line can be named.
        message: Why it failed; empty if it did not.
    """

    script: str | None = None
    line: int = 0
    message: str = ""


class Result(NamedTuple):
    """A mutant, and what became of it: the verdict of the script that killed it, or none."""

    mutant: Mutant
    verdict: Verdict

    @property
    def survived(self) -> bool:
        """Whether no script noticed, and one could have."""
        return self.verdict.script is None and not self.mutant.beyond_scripts

    @property
    def beyond_scripts(self) -> bool:
        """Whether no script noticed because none can."""
        return self.verdict.script is None and bool(self.mutant.beyond_scripts)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        mutant, verdict = self
        beyond = {"beyond_scripts": mutant.beyond_scripts} if mutant.beyond_scripts else {}
        return {
            "name": mutant.name,
            "file": mutant.file,
            "rule": mutant.rule,
            "what": mutant.what,
            "killed_by": verdict.script,
            "line": verdict.line,
            "message": verdict.message,
            **beyond,
        }


def library(paths: Sequence[Path]) -> Library:
    """Return the scripts that *paths* name, read and with their runs planned.

    Raises:
        ScriptError: A path leads nowhere, or a file is no script.
    """
    reading = read_all(files_in(paths))
    for error in reading.broken.values():
        raise error
    return Library(len(reading.scripts), pickle.dumps(jobs_for(reading.scripts, ["sim"])))


def time_limit(scripts: Library) -> float:
    """Try the engine as it is; return how long a mutant may take for one script, seconds of a processor.

    It is what the engine takes for all of them: who takes longer for one is held never to end.

    Raises:
        MutantError: A script fails, so that it could not tell a mutant.
    """
    began = time.perf_counter()
    with copied() as place:
        verdict = _try(place, scripts, limit_s=None)
    if verdict.script is not None:
        raise MutantError(
            f"the engine without a bug fails {verdict.script}:{verdict.line}: {verdict.message}",
            remedy=f"See `xsocket run {verdict.script}`; scripts that pass are needed to tell mutants.",
        )
    return max(LEAST_LIMIT_S, time.perf_counter() - began)


def results(
    mutants: Sequence[Mutant], scripts: Library, *, limit_s: float, workers: int = 1
) -> Generator[tuple[int, Result]]:
    """Try every mutant; yield the place of each in the list with its result, in the order in which they end.

    Args:
        mutants: What to try.
        scripts: What to try them with.
        limit_s: How long one may take for a script, seconds of a processor; who takes longer is killed by it.
        workers: How many at once.

    Raises:
        MutantError: A mutant cannot be put into the engine, which is found out before any is tried, or the
            engine cannot be imported with it.
    """
    return tried(mutants, lambda mutant, _: attempt(mutant, scripts, limit_s=limit_s), workers)


def tried(
    mutants: Sequence[Mutant], attempted: Callable[[Mutant, Event], T], workers: int
) -> Generator[tuple[int, T]]:
    """Try every mutant; yield the place of each in the list with what became of it, as they end.

    Args:
        mutants: What to try.
        attempted: Tries one; the event is set when nobody wants to know any more.
        workers: How many at once.

    Raises:
        MutantError: See `results`.
    """
    check(mutants)
    pool, stopped = ThreadPoolExecutor(workers), Event()
    try:
        waiting: dict[Future[T], int] = {
            pool.submit(attempted, mutant, stopped): at for at, mutant in enumerate(mutants)
        }
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def check(mutants: Sequence[Mutant]) -> None:
    """Find out whether every mutant can be put into the engine.

    Raises:
        MutantError: One or several cannot; the message is about all of them.
    """
    problems: list[MutantError] = []
    for mutant in mutants:
        try:
            mutated(mutant, PACKAGE)
        except MutantError as error:
            problems.append(error)
    if problems:
        messages = "\n".join(problem.message for problem in problems)
        raise MutantError(messages, remedy=problems[0].remedy)


def attempt(mutant: Mutant, scripts: Library, *, limit_s: float) -> Result:
    """Try one mutant; see `results`."""
    with planted(mutant) as place:
        return Result(mutant, _try(place, scripts, limit_s, mutant.name, mutant.rule))


@contextmanager
def planted(mutant: Mutant) -> Iterator[Path]:
    """Make a copy of the engine with the bug in it; give the directory that it lies in."""
    with copied() as place:
        path = place / mutant.file
        text = mutated(mutant, place / PACKAGE.name)
        path.unlink()  # it is a link to that of the engine
        path.write_text(text, encoding="utf-8")
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()
        yield place


@contextmanager
def copied() -> Iterator[Path]:
    """Make a copy of the engine, with what is compiled of it; give the directory that it lies in.

    Its files are links to those of the engine: whoever changes one has to take that away first.
    """
    with tempfile.TemporaryDirectory(prefix="xsocket-mutant-") as place:
        shutil.copytree(PACKAGE, Path(place, PACKAGE.name), copy_function=os.symlink)
        yield Path(place)


def environment_of(place: Path) -> dict[str, str]:
    """Return the environment of a process whose engine is that in *place*; see `planted`."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), *filter(None, sys.path)])}


class Told(NamedTuple):
    """What a trial has told.

    Attributes:
        lines: The lines that it wrote whole, without that on its engine.
        in_time: Whether it ended by itself.
        reason: Why it ended, if it was not because it was done: the last line of its error, or its status.
    """

    lines: list[dict[str, Any]]
    in_time: bool
    reason: str


def told_by(place: Path, module: str, argument: str, data: bytes, limit_s: float | None) -> Told:
    """Run a trial on the engine in *place*.

    Args:
        place: Has a copy of the engine; see `planted`.
        module: The trial; it begins by `reporting.reporting`.
        argument: For it.
        data: What it reads on standard input.
        limit_s: How long it may take, seconds; None for any time.
    """
    command = [sys.executable, "-P", "-m", module, argument]
    try:
        ended = subprocess.run(  # noqa: S603  # this interpreter, and a module of ours
            command, input=data, env=environment_of(place), capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired as late:
        return Told(_lines_of(place, late.stdout or b""), False, "")
    reason = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return Told(_lines_of(place, ended.stdout), True, reason or f"exit status {ended.returncode}")


def _lines_of(place: Path, output: bytes) -> list[dict[str, Any]]:
    lines = _lines(output)
    if lines:
        engine = Path(lines[0]["engine"])
        assert engine.is_relative_to(place), f"the engine that was tried is {engine}, not the copy"
    return lines[1:]


def _try(
    place: Path, scripts: Library, limit_s: float | None, name: str = "the engine", rule: str = ""
) -> Verdict:
    """Run the scripts on the engine in *place*, those of *rule* first."""
    most_s = None if limit_s is None else SLOWNESS * limit_s
    told = told_by(place, _TRIAL, json.dumps([rule, name, limit_s]), scripts.jobs, most_s)
    last = told.lines[-1] if told.lines else {}
    if not told.in_time:
        if "script" not in last:
            raise MutantError(f"{name}: nothing ran within {most_s:.0f} s")
        return Verdict(last["script"], 0, f"time limit: it had not ended after {most_s:.0f} s")
    if told.reason == MemoryError.__name__ and "script" in last:  # before its time was over
        return Verdict(last["script"], 0, "memory limit: it asked for more and more")
    if "failed" not in last:
        raise MutantError(f"{name} cannot be tried: {told.reason}")
    return Verdict() if last["failed"] is None else Verdict(last["failed"], last["line"], last["message"])


def _lines(output: bytes) -> list[dict[str, Any]]:
    """Return the whole lines that a trial wrote."""
    return [json.loads(line) for line in output.splitlines(keepends=True) if line.endswith(b"\n")]
