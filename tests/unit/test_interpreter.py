"""The check that shows who holds the interpreter can fail."""

import os

from support.interpreter import lets_go


def test_a_system_call_of_the_standard_library_lets_go() -> None:
    event = os.eventfd(0)
    try:
        assert any(
            lets_go(lambda: os.eventfd_write(event, 1)) for _ in range(10_000)
        )  # on a busy machine the other one seldom gets a processor
    finally:
        os.close(event)
