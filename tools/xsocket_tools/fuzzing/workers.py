"""Shards in processes of their own, which take a shard as JSON and give its result as JSON.

`play_out` keeps them busy, be they on this machine or, by `cluster.py`, on others.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from queue import Empty, Queue
from typing import Any, Final, NamedTuple, Protocol

from xsocket_tools.errors import ToolError
from xsocket_tools.fuzzing.campaign import Campaign, Tell
from xsocket_tools.fuzzing.results import Result, result_of
from xsocket_tools.fuzzing.shard import UNAVAILABLE, Shard

RETRIES: Final = 2
"""How often a shard is played again whose process did not live."""
TELL_EVERY_S: Final = 0.25
LAST_CASE_S: Final = 20.0
"""How long a process may take to the end of its case when it is told to stop."""
_COMMAND: Final = (sys.executable, "-P", "-m", "xsocket_tools.fuzzing.shard")


class ShardFailedError(ToolError):
    """A shard's process could not play it."""

    remedy = "Run `xsocket doctor` where it ran; if all is well there, report this as a bug."
    exit_status = 3


class Ended(NamedTuple):
    """A shard that has been played, or an error in its result's place."""

    shard: Shard
    outcome: Result | Exception


class Workers(Protocol):
    """Whoever plays shards. All methods are for one thread."""

    def most(self) -> int:
        """How many shards they can use at once."""
        ...

    def start(self, shard: Shard) -> None:
        """Have *shard* played."""
        ...

    def next_ended(self, patience_s: float) -> Ended | None:
        """Wait for one to end; None if none has in time."""
        ...

    def stop(self) -> Iterator[Ended]:
        """Have no more played; yield what came of those under way, as far as they can say."""
        ...


def play_out(campaign: Campaign, workers: Workers, tell: Tell, stop: Callable[[], bool]) -> None:
    """Have the shards of *campaign* played.

    Args:
        campaign: What to play.
        workers: By whom.
        tell: Called about every quarter of a second.
        stop: Says whether to end early.

    Raises:
        ShardFailedError: A shard cannot be played.
    """
    under_way = 0
    try:
        while not stop():
            while under_way < workers.most() and (shard := campaign.next_shard()) is not None:
                workers.start(shard)
                under_way += 1
            if not under_way:
                return
            ended = workers.next_ended(TELL_EVERY_S)
            if ended is not None:
                under_way -= 1
                if isinstance(ended.outcome, Exception):
                    raise ended.outcome
                campaign.take(ended.shard, ended.outcome)
            tell(Result())
    finally:
        for shard, outcome in workers.stop():
            if isinstance(outcome, Result):
                campaign.take(shard, outcome)


def perform(shard: str, started: Callable[[subprocess.Popen[str]], object] | None = None) -> str:
    """Play a shard in a process of its own, both as JSON; it is this that runs on the workers of a cluster.

    Args:
        shard: What to play.
        started: Is given the process.

    Raises:
        ShardFailedError: The process ended without a result or a reason.
    """
    process = subprocess.Popen(  # noqa: S603  # this interpreter, and a module of ours
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for whoever started it
    )
    if started is not None:
        started(process)
    printed, problem = process.communicate(shard)
    if process.returncode in (0, UNAVAILABLE) and printed:
        return printed
    reason = problem.strip().rpartition("\n")[2] or f"exit status {process.returncode}"
    raise ShardFailedError(f"a shard's process has failed: {reason}")


def outcome_of(printed: str) -> Result | Exception:
    """Return what a shard's process has printed: a result, or a reason why there is none."""
    plain: dict[str, Any] = json.loads(printed)
    if "error" in plain:
        return ShardFailedError(plain["error"], remedy=plain["remedy"])
    return result_of(plain)


class LocalWorkers:
    """Processes on this machine.

    Args:
        jobs: How many at once.
        retries: How often a shard is played again whose process did not live.
    """

    def __init__(self, jobs: int, retries: int = RETRIES) -> None:
        self._jobs, self._retries = jobs, retries
        self._ended: Queue[Ended] = Queue()
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._stopping = False

    @property
    def pids(self) -> list[int]:
        """The processes that have been started and have not been heard of."""
        return [process.pid for process in list(self._processes.values())]

    def most(self) -> int:
        """See `Workers`."""
        return self._jobs

    def start(self, shard: Shard) -> None:
        """See `Workers`."""
        thread = threading.Thread(target=self._play, args=(shard,), daemon=True)
        self._threads[shard.first] = thread
        thread.start()

    def _play(self, shard: Shard) -> None:
        text = json.dumps(shard.as_dict())
        for left in reversed(range(1 + self._retries)):
            try:
                outcome = outcome_of(perform(text, lambda process: self._note(shard, process)))
            except (ShardFailedError, OSError, ValueError) as error:
                outcome = error
                if left and not self._stopping:
                    continue
            break
        self._ended.put(Ended(shard, outcome))

    def _note(self, shard: Shard, process: subprocess.Popen[str]) -> None:
        self._processes[shard.first] = process
        if self._stopping:
            process.terminate()

    def next_ended(self, patience_s: float) -> Ended | None:
        """See `Workers`."""
        try:
            ended = self._ended.get(timeout=patience_s)
        except Empty:
            return None
        self._forget(ended.shard)
        return ended

    def _forget(self, shard: Shard) -> None:
        self._threads.pop(shard.first).join()
        self._processes.pop(shard.first, None)

    def stop(self) -> Iterator[Ended]:
        """See `Workers`: each is told to end after its case, and is killed if it does not."""
        self._stopping = True
        for process in list(self._processes.values()):
            process.terminate()
        try:
            while self._threads:
                ended = self.next_ended(LAST_CASE_S)
                if ended is None:
                    return
                yield ended
        finally:
            for process in list(self._processes.values()):
                process.kill()
