"""Nothing is kept of cases that are over, and nothing of connections that are gone."""

import gc
from functools import lru_cache

from xsocket.tcp.tcb import Tcb
from xsocket_tools.fuzzing.generation import Generator
from xsocket_tools.fuzzing.playing import play
from xsocket_tools.fuzzing.targets.engine import EngineTarget

BOUNDED = type(lru_cache(lambda: None))
"""Caches, which have limits of their own."""


def objects_after(target: EngineTarget, first: int, count: int) -> int:
    """Play cases of rules that are always the same; return how many objects there are then."""
    generator = Generator(7, rules=())
    for number in range(first, first + count):
        play(generator.case(number)._replace(rules=()), target)
    for each in gc.get_objects():
        if isinstance(each, BOUNDED) and each.__module__.startswith("xsocket"):
            each.cache_clear()
    gc.collect()
    return len(gc.get_objects())


def test_memory_is_flat() -> None:
    target = EngineTarget()
    warm = objects_after(target, 0, 300)
    assert objects_after(target, 300, 600) - warm < 1_000


def test_no_connection_of_a_case_outlives_it() -> None:
    target = EngineTarget()
    objects_after(target, 0, 50)
    target.begin((), 0)
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Tcb)]
