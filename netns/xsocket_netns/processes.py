"""Processes named so that the name cannot come to mean another one: a pid together with its start time.

Ending goes through a pidfd, so a pid that was given out again is never hit.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_START_TIME_FIELD = 22  # of /proc/<pid>/stat, counted from 1: proc_pid_stat(5)
_ZOMBIE_STATES = frozenset("ZX")


@dataclass(frozen=True, slots=True)
class Process:
    """One process on this machine, also after its pid was given to another.

    Attributes:
        pid: As this process's pid namespace numbers it.
        started: Clock ticks after boot (proc_pid_stat(5), field 22).
        leads_group: It leads a process group that was made for it, which ends with it.
    """

    pid: int
    started: int
    leads_group: bool = False

    @classmethod
    def of(cls, pid: int, *, leads_group: bool = False) -> Process | None:
        """Return the process that has *pid* now, or None."""
        fields = _stat(pid)
        return None if fields is None else cls(pid, int(fields[_START_TIME_FIELD - 3]), leads_group)

    @classmethod
    def current(cls) -> Process:
        """Return the calling process."""
        process = cls.of(os.getpid())
        assert process is not None, "/proc is not mounted"
        return process

    def is_running(self) -> bool:
        """Return whether it still runs; a zombie does not."""
        fields = _stat(self.pid)
        if fields is None or fields[0] in _ZOMBIE_STATES:
            return False
        return int(fields[_START_TIME_FIELD - 3]) == self.started

    def end(self, *, grace_s: float = 2.0) -> None:
        """Ask it to terminate, and kill it after *grace_s* seconds. Returns when it is gone."""
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            return
        try:
            if self.is_running():
                self._signal(handle, signal.SIGTERM)
                ended = _has_ended(handle, grace_s)
                if self.leads_group or not ended:  # members of the group may outlive their leader
                    self._signal(handle, signal.SIGKILL)
                    _has_ended(handle, grace_s)
        finally:
            os.close(handle)

    def _signal(self, handle: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.leads_group:
                os.killpg(self.pid, number)
            else:
                signal.pidfd_send_signal(handle, number)


def with_variable(name: str, value: str) -> Iterator[Process]:
    """Yield the processes, but for this one, that were started with an environment variable of that value.

    Processes of other users, whose environment may not be read, are passed over.
    """
    wanted = f"{name}={value}".encode()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        process = Process.of(int(entry.parent.name))
        with contextlib.suppress(OSError):
            if (
                process is not None
                and process.pid != os.getpid()
                and wanted in entry.read_bytes().split(b"\0")
            ):
                yield process


def _has_ended(handle: int, patience_s: float) -> bool:
    """Wait for the process behind the pidfd; it becomes readable at the end (pidfd_open(2))."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(patience_s * 1000))


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the third, state, on; the second may hold spaces."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
