"""What the kernel tells at its tracepoints, through an instance of tracefs that is ours alone.

The instance has its own small buffer and its own events; the machine's other tracing stays as it is. Nothing
here knows what the events mean.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from errno import EAGAIN
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from xsocket_netns import kernel
from xsocket_tools.errors import ToolError

MOUNTED: Final = Path("/sys/kernel/tracing")
"""Where most machines have it; where they have not, it is mounted for ourselves."""
BUFFER_KB: Final = 64
"""Of the instance, for each processor; the newest events stay."""
MOST_READ_OCTETS: Final = 1 << 20
"""So much is read at a time at most; what the others of the machine do must not keep anybody for long."""
_INSTANCES: Final = "instances"
_OURS: Final = re.compile(r"xsocket-(\d+)-\d+")
_LINE: Final = re.compile(
    r"\s*(?P<task>.+)-(?P<pid>\d+) +\[\d+\] +(?P<flags>\S+) +[\d.]+: (?P<name>\w+): (?P<told>.*)"
)
_FIELD: Final = re.compile(r"(\w+)(?:=|: )(\S+)")
_SOFTIRQ: Final = 2
"""The place of the letter that says by what the task was interrupted."""
_numbers = count()
_making = threading.Lock()
"""What one thread has made and not opened yet, another one would take for something left."""


class TracefsError(ToolError):
    """The kernel lets nobody trace here: not root, a container, or a kernel without tracepoints."""

    remedy = "Run as root, outside of containers, on a kernel with CONFIG_FTRACE. Nothing needs it."


class Told(NamedTuple):
    """One event.

    Attributes:
        pid: The thread that ran, or that a softirq has interrupted.
        is_call: Whether the thread itself did it, in a system call, and no interrupt.
        name: Of the event, such as ``kfree_skb``.
        fields: Its fields by name, as text.
    """

    pid: int
    is_call: bool
    name: str
    fields: Mapping[str, str]


def told(line: str) -> Told | None:
    """Return the event in a line of ``trace_pipe``; None for any other, such as that events were lost."""
    match = _LINE.fullmatch(line.rstrip("\n"))
    if match is None:
        return None
    flags = match["flags"]
    is_call = flags[_SOFTIRQ : _SOFTIRQ + 1] == "."
    return Told(int(match["pid"]), is_call, match["name"], dict(_FIELD.findall(match["told"])))


class Tracing:
    """An instance: enable events, and read what they tell. One thread at a time.

    Instances that killed processes have left are removed first.

    Attributes:
        name: Of the instance.
        malformed: How many lines could not be read so far.

    Raises:
        TracefsError: This is not to be had here.
    """

    def __init__(self) -> None:
        self.malformed = 0
        self._rest = b""
        self._pipe = self._instance = -1
        self.name: Final = f"xsocket-{os.getpid()}-{next(_numbers)}"
        self._path = f"{_INSTANCES}/{self.name}"
        self._root = -1
        try:
            self._root = _open_root()
            with _making:
                _remove_left_over(self._root)
                os.mkdir(self._path, dir_fd=self._root)
                self._instance = os.open(self._path, os.O_PATH | os.O_DIRECTORY, dir_fd=self._root)
                self._pipe = os.open("trace_pipe", os.O_RDONLY | os.O_NONBLOCK, dir_fd=self._instance)
            self._write("buffer_size_kb", str(BUFFER_KB))
        except OSError as error:
            self.close()
            raise TracefsError(f"no tracing: {error.strerror}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the instance. Twice is once."""
        for descriptor in (self._pipe, self._instance):
            if descriptor >= 0:
                os.close(descriptor)
        self._pipe = self._instance = -1
        if self._root >= 0:
            with suppress(OSError):  # it was never made; or somebody reads it, and the next of us removes it
                os.rmdir(self._path, dir_fd=self._root)
            os.close(self._root)
            self._root = -1

    def instances(self) -> list[str]:
        """Return the names of all instances of this machine, whoever made them."""
        return _names(self._root)

    def fields(self, event: str) -> frozenset[str]:
        """Return the fields of an event such as ``skb/kfree_skb``; none where the kernel has it not."""
        text = self._read(f"events/{event}/format")
        return frozenset(re.findall(r"field:[^;]*?(\w+)(?:\[\w*\])?;", text))

    def number(self, event: str, symbol: str) -> int | None:
        """Return the number by which an event knows *symbol*; None where it knows it not."""
        match = re.search(rf'{{ (\d+), "{re.escape(symbol)}" }}', self._read(f"events/{event}/format"))
        return None if match is None else int(match[1])

    def enable(self, event: str, only: str) -> bool:
        """Have an event told, where the condition *only* holds; return whether the kernel can."""
        try:
            self._write(f"events/{event}/filter", only)
            self._write(f"events/{event}/enable", "1")
        except OSError:
            return False
        return True

    def read(self) -> Iterator[Told]:
        """Yield what was told since the last time; never wait, and never raise for what it is."""
        got = 0
        while got < MOST_READ_OCTETS:
            try:
                text = os.read(self._pipe, 1 << 16)
            except OSError as error:
                if error.errno == EAGAIN:
                    return
                raise TracefsError(f"no tracing any more: {error.strerror}") from error
            if not text:
                return
            got += len(text)
            *lines, self._rest = (self._rest + text).split(b"\n")
            for line in lines:
                event = told(line.decode(errors="replace"))
                self.malformed += event is None
                if event is not None:
                    yield event

    def _read(self, path: str) -> str:
        try:
            descriptor = os.open(path, os.O_RDONLY, dir_fd=self._instance)
        except OSError:
            return ""
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
            return file.read()

    def _write(self, path: str, text: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC, dir_fd=self._instance)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _open_root() -> int:
    """Return a path descriptor of tracefs: where it is mounted, or else mounted for this process alone."""
    with suppress(OSError):
        root = os.open(MOUNTED, os.O_PATH | os.O_DIRECTORY)
        try:
            os.stat(_INSTANCES, dir_fd=root)  # it may be an empty directory
        except OSError:
            os.close(root)
        else:
            return root
    return kernel.detached_mount("tracefs")


def _remove_left_over(root: int) -> None:
    """Remove the instances of processes that are gone, ours before us among them; what is in use stays."""
    own = str(os.getpid())
    for name in _names(root):
        match = _OURS.fullmatch(name)
        if match is not None and (match[1] == own or not Path("/proc", match[1]).exists()):
            with suppress(OSError):
                os.rmdir(f"{_INSTANCES}/{name}", dir_fd=root)


def _names(root: int) -> list[str]:
    directory = os.open(_INSTANCES, os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries]
    finally:
        os.close(directory)
