"""Who holds the interpreter: shown without a clock."""

import sys
import threading
from collections.abc import Callable


def lets_go(call: Callable[[], object]) -> bool:
    """Return whether *call* lets another thread that wants to compute run meanwhile."""
    running, steps = threading.Event(), [0]
    most = sys.maxsize

    def compute() -> None:
        while steps[0] < most:
            steps[0] += 1
            running.set()

    computing = threading.Thread(target=compute)
    interval = sys.getswitchinterval()
    computing.start()
    running.wait()
    sys.setswitchinterval(1_000)  # from here on only who lets go is interrupted
    try:
        before = steps[0]
        most = before + 1_000
        call()
        return steps[0] != before
    finally:
        most = 0
        sys.setswitchinterval(interval)
        computing.join()
