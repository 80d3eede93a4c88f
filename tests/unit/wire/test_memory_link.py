"""What is particular to the cable in memory; what every Link does is in `test_link`."""

import os
import threading
from pathlib import Path

from xsocket.clock import ManualClock
from xsocket.wire.memory_link import memory_pair

FRAME = bytes(60)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_virtual_time_needs_no_descriptor() -> None:
    before = open_descriptors()
    near, far = memory_pair()
    near.send([FRAME])
    assert far.receive()
    assert open_descriptors() == before
    assert os.get_blocking(far.fileno()) is False
    assert open_descriptors() == before + 1
    far.close()
    assert open_descriptors() == before


def test_the_time_of_arrival_is_that_of_the_clock() -> None:
    clock = ManualClock(2.0)
    near, far = memory_pair(now_ns=lambda: int(clock.now() * 1e9))
    near.send([FRAME])
    clock.advance_to(3.5)
    near.send([FRAME])
    assert [frame.at_ns for frame in far.receive()] == [2_000_000_000, 3_500_000_000]


def test_a_full_queue_drops_the_newest_and_counts() -> None:
    near, far = memory_pair(capacity=3)
    near.send([bytes([number]) * 60 for number in range(5)])
    assert [frame.data[0] for frame in far.receive()] == [0, 1, 2]
    assert far.statistics().dropped_by_kernel == 2


def test_what_is_sent_to_a_closed_end_is_a_failure() -> None:
    near, far = memory_pair()
    far.close()
    near.send([FRAME])
    assert near.statistics().send_failures == 1


def test_two_threads_lose_nothing() -> None:
    near, far = memory_pair(capacity=100_000)
    far.fileno()

    def send() -> None:
        for _ in range(1_000):
            near.send([FRAME] * 10)

    sender = threading.Thread(target=send)
    sender.start()
    received = 0
    while sender.is_alive():
        received += len(far.receive())
    sender.join()
    assert received + len(far.receive()) == 10_000
    far.close()
