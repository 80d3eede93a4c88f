"""Programs of the system that some tests need."""

import os
import shutil

import pytest

from xsocket_tools.pytest_plugin import REQUIRED

_SYSTEM = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin"])


def found(program: str) -> str | None:
    """Return the path of *program*, None when there is none."""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), _SYSTEM]))


def needed(program: str) -> str:
    """Return the path of *program*; without it skip the test, or fail it where skips are not allowed."""
    path = found(program)
    if path is None:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED}=1, and this machine has no {program}", pytrace=False)
        pytest.skip(f"no {program} here")
    return path
