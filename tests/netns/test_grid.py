"""The grid against the kernel of this machine: no cell differs without a reason."""

import json
import subprocess
from collections.abc import Callable

import pytest

from xsocket_tools.grid.cells import ask, cells
from xsocket_tools.grid.differences import DIFFERENCES
from xsocket_tools.grid.kernel import kernel_target
from xsocket_tools.grid.report import comparisons

pytestmark = pytest.mark.netns

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_every_difference_has_a_reason_and_every_reason_a_difference() -> None:
    with kernel_target() as kernel:
        compared = list(comparisons(cells(), kernel))
    assert len(compared) == 1188
    assert [each.as_dict() for each in compared if each.verdict == "unexplained"] == []
    used = {each.difference for each in compared if each.verdict == "explained"}
    assert used == set(DIFFERENCES)


def test_the_kernel_says_the_same_twice() -> None:
    with kernel_target() as kernel:
        first = [ask(kernel, cell) for cell in cells()]
        second = [ask(kernel, cell) for cell in cells()]
    assert first == second


def test_the_command_counts(xsocket: Run) -> None:
    found = json.loads(xsocket("grid", "--against", "kernel", "--json").stdout)
    assert found["cells"] == found["equal"] + found["explained"] == 1188
    assert found["unexplained"] == 0
    assert len(found["differences"]) == found["explained"]


def test_an_ordinary_user_can_compare(as_ordinary_user: Run) -> None:
    done = as_ordinary_user("-m", "xsocket_tools.cli", "grid", "--against", "kernel", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["unexplained"] == 0
