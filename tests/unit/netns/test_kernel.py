"""The system calls that Python lacks."""

import os
import time
from collections.abc import Iterator

import pytest

from xsocket_netns import kernel


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_descriptor_is_readable_when_there_is_something(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    assert not kernel.wait_readable(reading, 0.0)
    os.write(writing, b"x")
    assert kernel.wait_readable(reading, 10.0)


def test_waiting_takes_less_than_a_millisecond_when_it_is_to(pipe: tuple[int, int]) -> None:
    took_s = []
    for _ in range(20):
        began = time.monotonic()
        assert not kernel.wait_readable(pipe[0], 0.0002)
        took_s.append(time.monotonic() - began)
    assert 0.0002 <= min(took_s) < 0.001
