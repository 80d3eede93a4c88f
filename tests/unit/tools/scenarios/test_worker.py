"""A thread that makes calls which may have to wait."""

import errno
import itertools
import threading
from collections.abc import Iterator

import pytest

from xsocket_tools.scenarios.target import Returned
from xsocket_tools.scenarios.worker import Worker

PATIENCE_S = 10.0
FOR_EVER = 1e6


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker whose clock goes on by one with each look at it."""
    ticks = itertools.count()
    made = Worker(lambda: float(next(ticks)))
    yield made
    made.stop(lambda: None, PATIENCE_S)


def test_a_call_gives_its_value_and_when_it_returned(worker: Worker) -> None:
    returned = worker.begin(lambda: 5)(FOR_EVER)
    assert returned is not None
    assert (returned.value, returned.error) == (5, None)
    assert returned.at in (0.0, 1.0)  # the clock was looked at twice: by the worker and by who asked


def test_a_call_that_failed_gives_its_error(worker: Worker) -> None:
    def refused() -> None:
        raise OSError(errno.EAGAIN, "not now")

    returned = worker.begin(refused)(FOR_EVER)
    assert returned is not None
    assert isinstance(returned.error, BlockingIOError)


def test_what_is_no_failure_of_a_call_is_raised_for_who_asks(worker: Worker) -> None:
    with pytest.raises(ZeroDivisionError):
        worker.begin(lambda: 1 / 0)(FOR_EVER)


def test_a_call_that_waits_has_no_outcome_yet_and_keeps_it_afterwards(worker: Worker) -> None:
    gate = threading.Event()
    ask = worker.begin(lambda: gate.wait(PATIENCE_S))
    assert ask(-1.0) is None
    gate.set()
    returned = ask(FOR_EVER)
    assert isinstance(returned, Returned)
    assert ask(-1.0) is returned


def test_calls_are_made_one_after_the_other(worker: Worker) -> None:
    made: list[int] = []
    asks = [worker.begin(lambda number=number: made.append(number)) for number in range(3)]  # type: ignore[misc]
    asks[-1](FOR_EVER)
    assert made == [0, 1, 2]


def test_a_call_that_waits_is_woken_at_the_end(worker: Worker) -> None:
    gate = threading.Event()
    worker.begin(lambda: gate.wait(PATIENCE_S))
    assert worker.stop(gate.set, PATIENCE_S)


def test_a_call_that_cannot_be_woken_is_left_to_itself(worker: Worker) -> None:
    gate = threading.Event()
    worker.begin(lambda: gate.wait(PATIENCE_S))
    assert not worker.stop(lambda: None, 0.01)
    gate.set()
