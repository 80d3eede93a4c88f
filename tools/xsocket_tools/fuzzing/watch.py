"""A time limit for code that may never end: in the main thread of a process, by one of its alarm clocks."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class OverrunError(Exception):
    """Something took longer than it may."""


@contextmanager
def time_limit(seconds: float | None, *, of_processor: bool = False) -> Iterator[None]:
    """Raise `OverrunError` in the block when *seconds* have passed; None, or another thread, is no limit.

    Args:
        seconds: How many.
        of_processor: Whether those count that this process has a processor, and not those that pass.
    """
    timer, number = (
        (signal.ITIMER_PROF, signal.SIGPROF) if of_processor else (signal.ITIMER_REAL, signal.SIGALRM)
    )
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, _overrun)
    signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)
        signal.signal(number, before)


def _overrun(number: int, frame: object) -> None:
    del number, frame
    raise OverrunError
