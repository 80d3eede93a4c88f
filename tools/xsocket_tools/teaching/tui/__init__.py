"""A story to step through in the terminal: the ladder, and all there is to say of one step.

What it is made with, textual, is an extra, and is imported only when it is used.
"""

from xsocket_tools.teaching.tui.errors import NoTerminalError, TuiError, TuiUnavailableError
from xsocket_tools.teaching.tui.stepping import check_terminal, step_through

__all__ = [
    "NoTerminalError",
    "TuiError",
    "TuiUnavailableError",
    "check_terminal",
    "step_through",
]
