"""A thread that makes one system call after the other, which may have to wait, for one that may not."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from xsocket_tools.scenarios.target import Returned


class _Raised(NamedTuple):
    """What work raised that is no failure of a system call: it is for who asks."""

    error: BaseException


class _Outcome:
    """What became of one piece of work; asked for by one thread, any number of times."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._came: queue.SimpleQueue[Returned | _Raised] = queue.SimpleQueue()
        self._found: Returned | None = None

    def put(self, work: Callable[[], Any]) -> None:
        """Do the work; note what it returns or raises, and when."""
        outcome: Returned | _Raised
        try:
            value = work()
            outcome = Returned(self._now(), value)
        except OSError as error:
            outcome = Returned(self._now(), None, error)
        except BaseException as error:  # it is raised again in the thread that asks
            outcome = _Raised(error)
        self._came.put(outcome)

    def __call__(self, until: float) -> Returned | None:
        """Wait for the outcome until an instant of the same clock; see `Target.call`."""
        if self._found is None:
            try:
                came = self._came.get(timeout=max(0.0, until - self._now()))
            except queue.Empty:
                return None
            if isinstance(came, _Raised):
                raise came.error
            self._found = came
        return self._found


class Worker:
    """The thread; *now* is the clock of the outcomes. It makes no namespace its own."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._tasks: Final[queue.SimpleQueue[tuple[Callable[[], Any], _Outcome] | None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="xsocket-script-calls", daemon=True)
        self._thread.start()

    def begin(self, work: Callable[[], Any]) -> Callable[[float], Returned | None]:
        """Have *work* done as soon as what was begun before is; return what asks for its outcome."""
        outcome = _Outcome(self._now)
        self._tasks.put((work, outcome))
        return outcome

    def stop(self, wake: Callable[[], None], patience_s: float) -> bool:
        """End the thread; return whether it has ended.

        Args:
            wake: Lets a system call return that waits; called again and again, for it may come too early.
            patience_s: How long to try. After that the thread is left to itself; it does not keep the
                process.
        """
        self._tasks.put(None)
        pause_s = patience_s / 40
        for _ in range(40):
            wake()
            self._thread.join(pause_s)
            if not self._thread.is_alive():
                return True
        return False

    def _run(self) -> None:
        # A signal for the process would make a call return early, and its handler runs elsewhere anyway.
        with contextlib.suppress(OSError):
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while (task := self._tasks.get()) is not None:
            work, outcome = task
            outcome.put(work)
            del task, work, outcome
