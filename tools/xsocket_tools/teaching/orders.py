"""What a play orders the thread of a watched path to do, and how it waits for the outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import inf
from typing import Final, Generic, TypeVar

from xsocket.fourtuple import FourTuple
from xsocket.state import Trigger

PATIENCE_S: Final = 5.0

T = TypeVar("T")


class Order(Generic[T]):
    """Something that the path's thread is to do, as soon as it can be done.

    Args:
        attempt: Does it, or raises BlockingIOError; it is tried again then whenever something has happened.
        end: Whose kernel it may have send something.
        patience_s: How long to try.
        descriptor: Of the socket it is about: when there is something to be read or room to write, it is
            tried again, too.
        look_at: Says at which instant it is to be tried again in any case.
        four_tuple: The connection that it may move.
        trigger: As what it moves it.
    """

    def __init__(
        self,
        attempt: Callable[[], T],
        end: int | None = None,
        *,
        patience_s: float = PATIENCE_S,
        descriptor: int | None = None,
        look_at: Callable[[], float] = lambda: inf,
        four_tuple: FourTuple | None = None,
        trigger: Trigger | None = None,
    ) -> None:
        self.attempt, self.end, self.look_at = attempt, end, look_at
        self.deadline = time.monotonic() + patience_s
        self.descriptor, self.four_tuple, self.trigger = descriptor, four_tuple, trigger
        self.is_done = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None

    def finish(self, result: T | None = None, error: BaseException | None = None) -> None:
        """Give whoever waits for it what came of it."""
        self._result, self._error = result, error
        self.is_done.set()

    def outcome(self) -> T:
        """Wait for it; return or raise what it returned or raised."""
        self.is_done.wait()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # None only where T has it
