"""Steps through a story in the terminal, or says why that cannot be."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Final

from xsocket_tools.teaching.story import Story
from xsocket_tools.teaching.tui.errors import NoTerminalError, TuiUnavailableError

NEEDED: Final = "textual"


def check_terminal(*, otherwise: str = "xsocket lesson run") -> None:
    """Raise if nothing can be stepped through here.

    Args:
        otherwise: The command that shows the same without a terminal.

    Raises:
        TuiUnavailableError: A library is missing.
        NoTerminalError: Input or output is no terminal.
    """
    if find_spec(NEEDED) is None:
        raise TuiUnavailableError(f"stepping through a story takes {NEEDED}")
    # Textual draws on standard error, which a shell may have sent elsewhere on its own.
    for name in ("stdin", "stdout", "stderr"):
        if not getattr(sys, name).isatty():
            remedy = f"Run it in a terminal; without one, use {otherwise}."
            raise NoTerminalError(f"{name} is no terminal", remedy=remedy)


def step_through(story: Story, *, connection: int | None = None, absolute: bool = False) -> None:
    """Show a story and let the user step through it, until the user quits.

    Args:
        story: What to show.
        connection: The number of the only one to show, from 0; all of them without it.
        absolute: Whether sequence numbers are as they are on the wire, to begin with.

    Raises:
        TuiUnavailableError: A library is missing.
        NoTerminalError: Input or output is no terminal.
    """
    check_terminal()
    from xsocket_tools.teaching.tui.app import Stepper

    Stepper(story, connection=connection, absolute=absolute).run()
