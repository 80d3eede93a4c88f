"""SIGTERM ends a process through every `finally`, wherever Python is when it arrives."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from types import FrameType

TERMINATED: Final = 128 + signal.SIGTERM

_AGAIN_S: Final = 0.01


class Terminated(SystemExit):
    """SIGTERM has arrived, within `termination_unwinds`."""


_SIGNALS: Final[dict[type[BaseException], signal.Signals]] = {
    Terminated: signal.SIGTERM,
    KeyboardInterrupt: signal.SIGINT,
}


@contextmanager
def termination_unwinds(status: int = TERMINATED) -> Iterator[None]:
    """Let SIGTERM end the program with *status* as Ctrl-C does: by an exception in the main thread.

    Python calls handlers between any two steps, and drops what they raise in a destructor. What was dropped
    in the `with` block is raised again a moment later, be it of SIGTERM or of SIGINT.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ended = threading.Event()
    report = sys.unraisablehook

    def dropped(unraisable: sys.UnraisableHookArgs) -> None:
        number = _SIGNALS.get(unraisable.exc_type)
        if number is None:
            report(unraisable)
        else:
            # Not `threading`: what was interrupted may hold its lock.
            _thread.start_new_thread(_send_again, (number, ended))

    previous = signal.signal(signal.SIGTERM, _terminate_with(status))
    sys.unraisablehook = dropped
    try:
        yield
    finally:
        ended.set()
        sys.unraisablehook = report
        signal.signal(signal.SIGTERM, previous)


def _terminate_with(status: int) -> Callable[[int, FrameType | None], NoReturn]:
    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        del number, frame
        raise Terminated(status)

    return terminate


def _send_again(number: signal.Signals, ended: threading.Event) -> None:
    time.sleep(_AGAIN_S)
    main = threading.main_thread().ident
    if not ended.is_set() and main is not None:
        signal.pthread_kill(main, number)  # to this thread, so that what it waits for is interrupted
