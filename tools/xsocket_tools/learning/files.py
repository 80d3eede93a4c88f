"""Writing a machine: as JSON, for Graphviz, and as a picture."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from xsocket_tools.learning.drawing import dot, svg
from xsocket_tools.learning.errors import CannotWriteError
from xsocket_tools.learning.machine import Machine, as_json

FORMATS: Final[dict[str, Callable[[Machine], str]]] = {".json": as_json, ".dot": dot, ".svg": svg}


def files_for(output: Path, name: str) -> list[Path]:
    """Return the files that *output* asks for: itself, or each of `FORMATS` in the directory that it is.

    The directory is made; nothing is written yet.

    Raises:
        CannotWriteError: They could not be written.
    """
    if output.suffix in FORMATS and not output.is_dir():
        files = [output]
    else:
        files = [output / f"{name}{suffix}" for suffix in FORMATS]
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWriteError(f"{output}: {error.strerror}") from None
    for file in files:
        if not file.parent.is_dir():
            raise CannotWriteError(f"there is no directory {file.parent}")
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise CannotWriteError(f"{file} may not be written to")
    return files


def write(machine: Machine, files: list[Path]) -> None:
    """Write *machine* to each of *files*, as its suffix says.

    Raises:
        CannotWriteError: It cannot be written.
    """
    for file in files:
        try:
            file.write_text(FORMATS[file.suffix](machine))
        except OSError as error:
            raise CannotWriteError(f"{file}: {error.strerror}") from None
