"""Calls in a thread of their own, and stretches of code that Ctrl-C may not cut in the middle."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Generic, TypeVar

T = TypeVar("T")

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Call(Generic[T]):
    """A function call that happens in a thread, and its outcome."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._results: list[T] = []
        self._error: BaseException | None = None

    def __call__(self) -> None:
        try:
            self._results.append(self._function())
        except BaseException as error:  # it is raised again in the thread that asked
            self._error = error

    def result(self) -> T:
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # break the cycle error -> traceback -> frame -> self
        return self._results[0]


def call(function: Callable[[], T]) -> T:
    """Call *function* in a new thread; return or raise what it does. An interrupt abandons it."""
    running = _Call(function)
    thread = threading.Thread(target=running, name="xsocket-netns", daemon=True)
    thread.start()
    thread.join()
    return running.result()


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off what SIGINT, SIGTERM and SIGHUP do in Python until the end of the `with` block. May be nested.

    Python runs signal handlers in the main thread, between any two steps: a process may have been started and
    not yet be remembered. Elsewhere than in the main thread there is nothing to put off.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in _INTERRUPTS}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in handlers:
            signal.signal(number, lambda *arguments: arrived.append(arguments))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for which, frame in arrived[:1]:
            _invoke(handlers[signal.Signals(which)], which, frame)


def _invoke(handler: object, number: int, frame: FrameType | None) -> None:
    assert callable(handler), "only handlers that can be called were replaced"
    handler(number, frame)
