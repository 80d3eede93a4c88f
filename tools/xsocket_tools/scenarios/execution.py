"""Carries out the runs of a plan: one after the other here, or several at once in processes of their own.

A worker removes what it made, whatever ends it: its parent, Ctrl-C, SIGTERM, or the loss of its parent.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from xsocket_tools.scenarios.outcome import Outcome, Status
from xsocket_tools.scenarios.plan import Job
from xsocket_tools.unwinding import termination_unwinds

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

Work = Callable[[Job], Outcome]
Ended = Generator[tuple[int, Outcome]]
"""Outcomes with the places of their jobs."""

MOST_WAITING: Final = 8
"""Runs at once where they mostly wait for real time to pass."""


def workers_for(targets: Sequence[str]) -> int:
    """Return how many runs at once suit *targets*: virtual time takes a core, real time is spent waiting."""
    if set(targets) <= {"sim"}:
        return 1
    return min(3 * len(os.sched_getaffinity(0)), MOST_WAITING)


def perform(job: Job) -> Outcome:
    """Do one run and write its capture; never raises for what happens in it.

    Returns:
        The outcome; where nothing is wrong without trace and frames, and in repetitions without path, for
        nobody will look at them, and a plan may have a million runs.
    """
    from xsocket_tools.scenarios.running import run

    try:
        outcome = run(job.script, job.target, job.settings, directory=job.directory)
        if job.capture is not None:
            write_packets_of(outcome, job.capture)
    except Exception as error:  # a fault of ours, or of the machine, must not end all the other runs
        return _error(job, str(error) if hasattr(error, "remedy") else traceback.format_exc())
    if not outcome.status.is_good:
        return outcome
    return replace(outcome, events=(), frames=(), path=outcome.path if job.number <= 1 else ())


def write_packets_of(outcome: Outcome, path: Path) -> int:
    """Write the packets of a run to the pcapng file *path*; return how many they are.

    What the engine did has states and rules as comments. Nothing is written where there was no packet.

    Raises:
        OSError: The file cannot be written.
    """
    from xsocket_tools.capture import write_capture, write_packets

    if outcome.events:
        return write_capture(path, outcome.events)
    return write_packets(path, outcome.frames) if outcome.frames else 0


def outcomes(jobs: Sequence[Job], workers: int = 1, work: Work = perform) -> Ended:
    """Do all of *jobs*; yield the place of each in the list with its outcome, in the order in which they end.

    Args:
        jobs: What to do.
        workers: How many at once. More than one are done in processes of their own, which end when this
            iterator is closed, and remove what they have made before that.
        work: What does one; for more than one worker a function of a module.
    """
    workers = min(workers, len(jobs))
    if workers > 1:
        yield from _alone_if_late(jobs, _at_once(jobs, workers, work), work)
        return
    for place, job in enumerate(jobs):
        yield place, work(job)


class _Worker(NamedTuple):
    """A process that does one job after the other, and the pipe to it."""

    process: BaseProcess
    pipe: Connection

    def dismiss(self) -> None:
        """End it, who has nothing to do."""
        self.pipe.close()
        self.end()

    def interrupt(self) -> None:
        """Have it leave whatever it is doing; it removes what it made."""
        self.pipe.close()
        self.process.terminate()

    def end(self) -> None:
        """Wait for its end."""
        self.process.join()


class _Crew:
    """The workers, and which job each of them is doing."""

    def __init__(self, jobs: Sequence[Job], work: Work) -> None:
        self._context = multiprocessing.get_context("forkserver")  # a fork of this process would have threads
        self._context.set_forkserver_preload([work.__module__, *_modules_for(jobs)])
        self._jobs, self._work = jobs, work
        self._next = 0
        self._busy: dict[Connection, tuple[_Worker, int]] = {}

    def begin(self) -> None:
        """Start one more worker, on the next job."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._work), daemon=True)
        process.start()
        theirs.close()
        self._give(_Worker(process, ours))

    def finished(self) -> Iterator[tuple[int, Outcome]]:
        """Yield what is done until everything is."""
        while self._busy:
            for pipe in wait(list(self._busy)):
                worker, place = self._busy.pop(pipe)  # type: ignore[call-overload]  # only pipes are waited for
                try:
                    outcome = worker.pipe.recv()
                except (EOFError, ConnectionError):
                    worker.dismiss()
                    status = worker.process.exitcode
                    reason = f"the process of this run ended by itself, with status {status}"
                    outcome = _error(self._jobs[place], reason)
                    if self._next < len(self._jobs):
                        self.begin()
                else:
                    self._give(worker)
                    outcome = replace(outcome, script=self._jobs[place].script)  # of which it has a copy
                yield place, outcome

    def _give(self, worker: _Worker) -> None:
        """Have *worker* do the next job, or end it where there is none."""
        if self._next == len(self._jobs):
            worker.dismiss()
            return
        self._busy[worker.pipe] = worker, self._next
        self._next += 1
        with suppress(BrokenPipeError):  # it is gone, and reading will tell
            worker.pipe.send(self._jobs[self._busy[worker.pipe][1]])

    def end(self) -> None:
        """End everything that still runs; all are told before any is waited for."""
        for worker, _ in self._busy.values():
            worker.interrupt()
        for worker, _ in self._busy.values():
            worker.end()


def _modules_for(jobs: Iterable[Job]) -> list[str]:
    """Return what runs import, and what takes long to import: once is enough for all workers."""
    real = [f"xsocket_tools.scenarios.targets.{job.target}" for job in jobs if job.target != "sim"]
    return ["xsocket_tools.scenarios.running", *dict.fromkeys(real), *(["pyroute2"] if real else [])]


def _at_once(jobs: Sequence[Job], workers: int, work: Work) -> Ended:
    crew = _Crew(jobs, work)
    try:
        for _ in range(workers):
            crew.begin()
        yield from crew.finished()
    finally:
        crew.end()


def _alone_if_late(jobs: Sequence[Job], ended: Ended, work: Work) -> Ended:
    """Pass *ended* on, but do again what was late among the others: at the end, one by one."""
    late: list[tuple[int, Outcome]] = []
    with closing(ended):
        for place, outcome in ended:
            if outcome.was_late and not outcome.status.is_good:
                late.append((place, outcome))
            else:
                yield place, outcome
    again = [jobs[place] for place, _ in late]
    with closing(_at_once(again, 1, work) if again else _nothing()) as repeated:
        for which, outcome in repeated:
            place, first = late[which]
            yield place, replace(outcome, runs=first.runs + outcome.runs)


def _nothing() -> Ended:
    yield from ()


def _error(job: Job, reason: str) -> Outcome:
    return Outcome(job.script, job.target, job.settings.ip_version, Status.ERROR, reason)


def _serve(pipe: Connection, work: Work) -> None:
    """Do what comes through *pipe* until its other end is closed: the life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells everyone; the parent tells us
    with termination_unwinds(0), suppress(EOFError, ConnectionError):
        while True:
            pipe.send(work(pipe.recv()))
