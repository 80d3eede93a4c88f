"""What can go wrong before a story can be stepped through."""

from __future__ import annotations

from xsocket.errors import to_install
from xsocket_tools.errors import ToolError


class TuiError(ToolError):
    """Base of the errors about stepping through a story in the terminal."""

    exit_status = 3


class TuiUnavailableError(TuiError):
    """What it is made with is not installed."""

    remedy = to_install("tui")


class NoTerminalError(TuiError):
    """Input or output is no terminal, so there are no keys to step with."""

    remedy = "Run it in a terminal; without one, use xsocket lesson run."
