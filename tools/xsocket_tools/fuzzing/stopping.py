"""Ctrl-C, SIGTERM and SIGHUP where work is to end well: after the case that is being played."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether somebody wants an end; to be asked now and then.

    Attributes:
        signal: By which signal; None as long as nobody does.
    """

    signal: signal.Signals | None = None

    def __call__(self) -> bool:
        """Whether to end."""
        return self.signal is not None


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Give what says whether SIGINT, SIGTERM or SIGHUP has come; the second one does what it did before.

    A signal that is ignored, as SIGHUP by nohup, stays so.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        stop.signal = signal.Signals(number)
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        restore()
