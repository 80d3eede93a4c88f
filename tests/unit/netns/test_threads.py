from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import pytest

from xsocket_netns import threads


class Terminated(BaseException):
    """What SIGTERM raises in these tests."""


def terminate(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise Terminated


@pytest.fixture(autouse=True)
def _sigterm_raises() -> Iterator[None]:
    previous = signal.signal(signal.SIGTERM, terminate)
    yield
    signal.signal(signal.SIGTERM, previous)


def steps_around(number: signal.Signals, steps: list[str]) -> None:
    with threads.uninterrupted():
        with threads.uninterrupted():
            signal.raise_signal(number)
            steps.append("inner")
        steps.append("outer")
    steps.append("after")


@pytest.mark.parametrize(
    ("number", "error"),
    [
        pytest.param(signal.SIGINT, KeyboardInterrupt, id="interrupt"),
        pytest.param(signal.SIGTERM, Terminated, id="termination"),
    ],
)
def test_an_interrupt_waits_for_the_end_of_the_outermost_block(
    number: signal.Signals, error: type[BaseException]
) -> None:
    steps: list[str] = []
    handler = signal.getsignal(number)
    with pytest.raises(error):
        steps_around(number, steps)
    assert steps == ["inner", "outer"]
    assert signal.getsignal(number) is handler


def test_without_an_interrupt_nothing_happens() -> None:
    with threads.uninterrupted():
        assert signal.getsignal(signal.SIGTERM) is not terminate
    assert signal.getsignal(signal.SIGTERM) is terminate


def test_other_threads_leave_the_handlers_alone() -> None:
    def handler_inside() -> object:
        with threads.uninterrupted():
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handler_inside).result() is terminate


def test_a_call_in_a_thread_returns_and_raises() -> None:
    assert threads.call(lambda: divmod(7, 3)) == (2, 1)
    with pytest.raises(ZeroDivisionError):
        threads.call(lambda: divmod(7, 0))
