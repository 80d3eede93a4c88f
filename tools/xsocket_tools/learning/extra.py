"""What learns is an extra: imported when it is wanted, with a word on how to get it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Final

from xsocket_tools.learning.errors import LearningUnavailableError

NEEDED: Final = ("aalpy", "pydot")
"""What the extra ``learn`` installs."""


def imported_learner() -> ModuleType:
    """Return `xsocket_tools.learning.learner`.

    Raises:
        LearningUnavailableError: The extra is not installed.
    """
    try:
        return import_module("xsocket_tools.learning.learner")
    except ModuleNotFoundError as error:
        lacking = str(error.name).partition(".")[0]
        if lacking not in NEEDED:
            raise
        raise LearningUnavailableError(f"{lacking} is not installed") from None
