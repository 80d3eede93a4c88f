"""This machine's kernel, judged: what it does otherwise than the rules is in the list, or is a finding."""

from __future__ import annotations

from collections import Counter

import pytest

from xsocket_tools.fuzzing.deviations import LINUX
from xsocket_tools.fuzzing.fitting import fits
from xsocket_tools.fuzzing.generation import Generator
from xsocket_tools.fuzzing.opening import opened
from xsocket_tools.fuzzing.playing import play
from xsocket_tools.fuzzing.target import StalledError

pytestmark = pytest.mark.netns

CASES = 2_000


def test_the_list_explains_what_linux_does_otherwise() -> None:
    cases, allowed = Generator(1), Counter[str]()
    unexplained, judged = [], 0
    with opened("kernel") as target:
        for number in range(CASES):
            case = fits(cases.case(number), target)
            if case is None:
                continue
            try:
                played = play(case, target)
            except StalledError:
                continue
            judged += 1
            allowed.update(played.allowed)
            if played.violation is not None:
                unexplained.append((number, played.violation))
    assert unexplained == []
    assert judged > CASES // 2
    assert set(allowed) <= {each.name for each in LINUX}
    assert len(allowed) > 10
