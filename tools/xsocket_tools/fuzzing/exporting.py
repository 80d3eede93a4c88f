"""Case files are written as scripts and captures, by `xsocket fuzz export`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from xsocket_tools.errors import ToolError
from xsocket_tools.fuzzing.export import Exported, files_of, write_files
from xsocket_tools.fuzzing.replaying import Read, judged
from xsocket_tools.fuzzing.target import Target


class ExportError(ToolError):
    """A script or a capture cannot be written where it should be."""

    remedy = "Name another directory with --into."
    exit_status = 3


class Written(NamedTuple):
    """A case that is written.

    Attributes:
        file: Where it was read.
        target: Where it was played.
        script: The script's file.
        capture: The capture's file.
        exported: The script.
        left_out: What of the case the target cannot play; empty for nothing.
    """

    file: Path
    target: str
    script: Path
    capture: Path
    exported: Exported
    left_out: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "file": str(self.file),
            "target": self.target,
            "script": str(self.script),
            "capture": str(self.capture),
            "gaps": list(self.exported.gaps),
            "holds": self.exported.holds,
            "left_out": self.left_out or None,
        }


class Exports:
    """Where cases are written, each under the name of its file.

    Args:
        directory: Where; it is made if need be.
        files: The cases' files.
        overwrite: Whether files that are there may be lost.

    Raises:
        ExportError: The directory cannot be made, a file is there, or two would have one name.
    """

    def __init__(self, directory: Path, files: Sequence[Path], *, overwrite: bool) -> None:
        self._directory = directory
        names = Counter(path.stem for path in files)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ExportError(f"several cases are called {twice[0]}", remedy="Export one of them at a time.")
        there = [path for name in names for path in files_of(directory, name) if path.exists()]
        if there and not overwrite:
            raise ExportError(
                f"{there[0]} is there already",
                remedy="Name another directory with --into, or write over it with --force.",
            )
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExportError(f"cannot make {directory}: {error.strerror}") from error

    def write(self, read: Read, target: Target) -> Written:
        """Play a case and write what came of it.

        Raises:
            StalledError: The target did not answer, again and again.
            ExportError: A file cannot be written.
        """
        verdict = judged(read.case, target)
        name = read.path.stem
        try:
            exported = write_files(verdict.played, target, self._directory, name)
        except OSError as error:
            raise ExportError(f"cannot write to {self._directory}: {error.strerror}") from error
        script, capture = files_of(self._directory, name)
        return Written(read.path, target.name, script, capture, exported, verdict.left_out)
