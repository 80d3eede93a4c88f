"""Each deviation that Linux is allowed is one that it shows: this machine's kernel, by one case for each."""

from __future__ import annotations

import pytest

from support.linux import only_there
from support.linux_cases import CASES
from xsocket_tools.fuzzing.deviations import LINUX
from xsocket_tools.fuzzing.replaying import judged
from xsocket_tools.fuzzing.target import Target

pytestmark = [pytest.mark.netns, only_there]


@pytest.mark.parametrize("name", CASES)
def test_linux_shows_it(name: str, linux: Target) -> None:
    verdict = judged(CASES[name], linux)
    assert verdict.violation is None
    assert name in verdict.played.allowed
    assert verdict.left_out == ""


def test_each_has_a_case() -> None:
    assert sorted(CASES) == sorted(each.name for each in LINUX)
