"""What the benches say while they measure."""

import sys
from collections.abc import Callable

Report = Callable[[str], None]


class progress:  # noqa: N801  # a context manager, read as a verb
    """A spinner that says what is being measured; on a terminal only, and on standard error."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console

        self._status = Console(stderr=True, quiet=quiet and not sys.stderr.isatty()).status("starting")

    def __enter__(self) -> Report:
        self._status.start()
        return self._status.update

    def __exit__(self, *_: object) -> None:
        self._status.stop()
