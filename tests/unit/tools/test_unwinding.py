"""SIGTERM, SIGHUP and Ctrl-C end a program wherever they arrive, also where Python drops exceptions."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from xsocket_tools.unwinding import termination_unwinds

PATIENCE_S = 20.0


class Interrupted:
    """An object in whose destructor a signal arrives."""

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def __del__(self) -> None:
        signal.raise_signal(self._number)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str)
def test_termination_raises_with_the_status(number: signal.Signals, status: int) -> None:
    with pytest.raises(SystemExit) as caught, termination_unwinds():
        signal.raise_signal(number)
    assert caught.value.code == status
    with pytest.raises(SystemExit) as caught, termination_unwinds(0):
        signal.raise_signal(number)
    assert caught.value.code == 0


def test_a_hangup_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with termination_unwinds():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit), (signal.SIGINT, KeyboardInterrupt)],
    ids=["SIGTERM", "SIGHUP", "Ctrl-C"],
)
def test_what_a_destructor_dropped_is_raised_afterwards(
    number: signal.Signals, raised: type[BaseException]
) -> None:
    def drop_and_wait() -> None:
        Interrupted(number)
        threading.Event().wait(PATIENCE_S)

    with pytest.raises(raised), termination_unwinds():
        drop_and_wait()


def test_other_errors_of_destructors_are_reported_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []

    class Faulty:
        def __del__(self) -> None:
            raise ValueError

    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(unraisable.exc_type))
    with termination_unwinds():
        Faulty()
    assert reported == [ValueError]


def test_what_was_before_is_so_again() -> None:
    before = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    with termination_unwinds():
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert (signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before


def test_elsewhere_than_in_the_main_thread_nothing_changes() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def look() -> None:
        with termination_unwinds():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]
