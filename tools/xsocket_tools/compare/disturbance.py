"""What happens to a worker while it serves: SIGSTOP, a look at what it holds, and SIGCONT or SIGKILL.

A worker that is to be killed is stopped first, for as long as the look takes (a millisecond or so). So it is
known exactly which connections it had taken: those that its descriptors refer to.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from xsocket_tools.compare.errors import ProcessFailedError
from xsocket_tools.compare.messages import Event, Order

_LISTEN: Final = "0A"  # include/net/tcp_states.h, as /proc/net/tcp has it


class Disturbance:
    """Carries out one order, a step at a time, beside a loop that must not wait."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._began_ns = 0
        self._held: list[int] | None = None
        self.event: Event | None = None

    def begin(self) -> None:
        """Ask the kernel to stop the worker."""
        self._began_ns = time.time_ns()
        os.kill(self._order.pid, signal.SIGSTOP)

    @property
    def pending(self) -> bool:
        """Whether it has begun and not ended."""
        return self._began_ns > 0 and self.event is None

    def step(self) -> None:
        """Do what can be done now."""
        if self._held is None:
            if not _is_stopped(self._order.pid):
                return
            self._held = connections_of(self._order.pid)
        for_s, now_ns = self._order.for_s, time.time_ns()
        if for_s is None or now_ns >= self._began_ns + for_s * 1e9:
            os.kill(self._order.pid, signal.SIGKILL if for_s is None else signal.SIGCONT)
            self.event = Event(
                self._began_ns, now_ns, self._held
            )  # the signal may cost this process its turn


def _is_stopped(pid: int) -> bool:
    """Whether a process does nothing any more (proc_pid_stat(5), field 3); raises if it has ended."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    if state in "ZX":
        raise ProcessFailedError("the worker that was to be disturbed had ended before")
    return state == "T"


def connections_of(pid: int) -> list[int]:
    """Return the remote ports of the IPv4 connections that a process has descriptors of."""
    inodes = set(_socket_inodes(pid))
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return [int(row[2].partition(":")[2], 16) for row in rows if row[9] in inodes and row[3] != _LISTEN]


def _socket_inodes(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            kind, _, inode = str(entry.readlink()).partition(":")
            if kind == "socket":
                found.append(inode.strip("[]"))
    return found
