"""The bell that wakes the loop."""

import select
from pathlib import Path

from support.interpreter import lets_go
from xsocket.bell import Bell


def is_rung(bell: Bell) -> bool:
    waiter = select.poll()
    waiter.register(bell.fileno(), select.POLLIN)
    return bool(waiter.poll(0))


def test_it_stays_rung_until_it_is_hushed() -> None:
    bell = Bell()
    assert not is_rung(bell)
    bell.ring()
    bell.ring()
    assert is_rung(bell)
    bell.hush()
    assert not is_rung(bell)


def test_a_silent_bell_may_be_hushed() -> None:
    bell = Bell()
    bell.hush()
    assert not is_rung(bell)


def test_it_closes_its_descriptor() -> None:
    bell = Bell()
    entry = Path(f"/proc/self/fd/{bell.fileno()}")
    assert entry.exists()
    del bell
    assert not entry.exists()


def test_ringing_does_not_let_go_of_the_interpreter() -> None:
    assert not lets_go(Bell().ring)
