"""The processes of a trial, as who starts them sees them: a line at the beginning, another at the end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from select import select
from typing import Final

from xsocket_netns import Host
from xsocket_tools.compare.errors import ProcessFailedError

PATIENCE_S: Final = 30.0


class Child:
    """A Python module that runs in a host of a lab, and ends with that at the latest.

    Args:
        host: Where.
        module: Which.
        arguments: Its own.
    """

    def __init__(self, host: Host, module: str, arguments: Sequence[str] = ()) -> None:
        self._module = module
        self._process = host.popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def first_line(self) -> str:
        """Wait until it says something; return that.

        Raises:
            ProcessFailedError: It ended, or said nothing for too long.
        """
        assert self._process.stdout is not None
        if not select([self._process.stdout], (), (), PATIENCE_S)[0]:
            raise ProcessFailedError(f"{self._module} did not start within {PATIENCE_S:.0f} s")
        line: str = self._process.stdout.readline()
        if not line:
            raise self._failure(self._communicate("", PATIENCE_S)[1])
        return line

    def finish(self, text: str = "", patience_s: float = PATIENCE_S) -> str:
        """Give it *text* and the end of its input; return what it says until it ends.

        Raises:
            ProcessFailedError: It does not end within *patience_s* seconds, or with an error.
        """
        said, complaints = self._communicate(text, patience_s)
        if self._process.returncode:
            raise self._failure(complaints)
        return said

    def _communicate(self, text: str, patience_s: float) -> tuple[str, str]:
        try:
            return self._process.communicate(text, timeout=patience_s)
        except subprocess.TimeoutExpired as error:
            raise ProcessFailedError(f"{self._module} did not end within {patience_s:.0f} s") from error

    def _failure(self, complaints: str) -> ProcessFailedError:
        last_words = complaints.strip().rpartition("\n")[2] or f"status {self._process.returncode}"
        return ProcessFailedError(f"{self._module}: {last_words}")
