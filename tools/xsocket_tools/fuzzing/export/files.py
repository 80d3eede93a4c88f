"""The script and the capture of a played case, as two files side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from xsocket_tools.fuzzing.directory import write_whole
from xsocket_tools.fuzzing.export.captures import write_pcapng
from xsocket_tools.fuzzing.export.script import Exported, exported
from xsocket_tools.fuzzing.playing import Played
from xsocket_tools.fuzzing.target import Target

SUFFIXES: Final = ("pkt", "pcapng")


def files_of(directory: Path, name: str) -> tuple[Path, Path]:
    """Return where `write_files` puts the script and the capture of the case *name*."""
    script, capture = (directory / f"{name}.{suffix}" for suffix in SUFFIXES)
    return script, capture


def write_files(played: Played, target: Target, directory: Path, name: str) -> Exported:
    """Write the script and the capture of a played case; each file is whole or as it was.

    Args:
        played: With its steps.
        target: Where it was played; see `exported`.
        directory: Where the files go.
        name: What they are called, without a suffix.

    Returns:
        The script, and what of the case it cannot say.

    Raises:
        StalledError: The target did not answer in time; nothing is written.
        OSError: A file cannot be written.
    """
    script, capture = files_of(directory, name)
    found = exported(played, target)
    write_whole(script, found.text)
    beside = capture.with_name(f".{capture.name}.new")
    write_pcapng(played, beside)
    beside.replace(capture)
    return found
