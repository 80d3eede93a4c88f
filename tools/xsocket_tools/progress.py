"""What commands say while they work: a spinner where the end is not known, a bar where it is.

Both are shown on a terminal only, and on standard error, so that a result can be piped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Report = Callable[[str], None]


class progress:  # noqa: N801  # a context manager, read as a verb
    """A spinner that says what is being measured."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console

        self._status = Console(stderr=True, quiet=quiet and not sys.stderr.isatty()).status("starting")

    def __enter__(self) -> Report:
        self._status.start()
        return self._status.update

    def __exit__(self, *_: object) -> None:
        self._status.stop()


class Bar:
    """A bar that `progress_bar` shows."""

    def __init__(self, shown: Progress, task: TaskID) -> None:
        self._shown, self._task = shown, task

    def advance(self) -> None:
        """Let one more be done."""
        self._shown.advance(self._task)

    def describe(self, text: str) -> None:
        """Say what is being done now."""
        self._shown.update(self._task, description=text)


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Bar]:
    """Show how many of *total* are done while the block runs."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    errors = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as shown:
        yield Bar(shown, shown.add_task(description, total=total))
