"""SIGTERM and SIGHUP end a process through every `finally`, wherever Python is when they arrive."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from types import FrameType

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_AGAIN_S: Final = 0.01


class Terminated(SystemExit):
    """SIGTERM or SIGHUP has arrived, within `termination_unwinds`.

    Attributes:
        number: Which of the two.
    """

    def __init__(self, status: int, number: signal.Signals) -> None:
        super().__init__(status)
        self.number = number


@contextmanager
def termination_unwinds(status: int | None = None) -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the program as Ctrl-C does: by an exception in the main thread.

    The second comes when a terminal is closed; where it is ignored, as by nohup, it stays so. Python calls
    handlers between any two steps, and drops what they raise in a destructor. What was dropped in the `with`
    block is raised again a moment later, be it of these or of SIGINT.

    Args:
        status: With which exit status; 128 and the number of the signal if none is given, as shells have it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ended = threading.Event()
    report = sys.unraisablehook

    def dropped(unraisable: sys.UnraisableHookArgs) -> None:
        number = _signal_of(unraisable.exc_value)
        if number is None:
            report(unraisable)
        else:
            # Not `threading`: what was interrupted may hold its lock.
            _thread.start_new_thread(_send_again, (number, ended))

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        raise Terminated(128 + number if status is None else status, signal.Signals(number))

    previous = {number: signal.getsignal(number) for number in _ENDING}
    previous = {number: handler for number, handler in previous.items() if handler is not signal.SIG_IGN}
    for number in previous:
        signal.signal(number, terminate)
    sys.unraisablehook = dropped
    try:
        yield
    finally:
        ended.set()
        sys.unraisablehook = report
        for number, handler in previous.items():
            signal.signal(number, handler)


def _signal_of(error: BaseException | None) -> signal.Signals | None:
    if isinstance(error, Terminated):
        return error.number
    return signal.SIGINT if isinstance(error, KeyboardInterrupt) else None


def _send_again(number: signal.Signals, ended: threading.Event) -> None:
    time.sleep(_AGAIN_S)
    main = threading.main_thread().ident
    if not ended.is_set() and main is not None:
        signal.pthread_kill(main, number)  # to this thread, so that what it waits for is interrupted
