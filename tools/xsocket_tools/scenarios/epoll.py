"""An epoll descriptor of sockets that are not the kernel's: what it waits for, and what of that is news."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from xsocket_tools.scenarios.target import os_error

_ADD, _DELETE = 1, 2  # linux/eventpoll.h
_EDGE, _ONESHOT = 1 << 31, 1 << 30
_POLL_EVENTS: Final = 0xFFFF
_ALWAYS: Final = 0x18  # POLLERR, POLLHUP

Signs = tuple[int, ...]
"""What is another number where something has happened, such as RCV.NXT."""


@dataclass(slots=True)
class _Interest:
    events: int
    data: int
    seen: Signs = ()


class Epoll:
    """One of them; *look* says of a descriptor which events are there, as poll names them, and its signs."""

    def __init__(self, look: Callable[[int], tuple[int, Signs]]) -> None:
        self._look = look
        self._interests: dict[int, _Interest] = {}

    def control(self, operation: int, fd: int, events: int, data: int) -> None:
        """Add, change or remove a descriptor.

        Raises:
            OSError: EEXIST, or ENOENT.
        """
        if (operation == _ADD) is (fd in self._interests):
            raise os_error(errno.EEXIST if operation == _ADD else errno.ENOENT)
        if operation == _DELETE:
            self.forget(fd)
        else:
            self._interests[fd] = _Interest(events, data)

    def forget(self, fd: int) -> None:
        """Remove a descriptor, if it is there: it was closed."""
        self._interests.pop(fd, None)

    def ready(self, most: int) -> list[tuple[int, int]]:
        """Return events and data of the first *most* descriptors that have news; of others it stays news."""
        found: list[tuple[int, int]] = []
        for fd, interest in self._interests.items():
            if len(found) == most:
                break
            events, signs = self._look(fd)
            events &= interest.events & _POLL_EVENTS | _ALWAYS
            before, interest.seen = interest.seen, (events, *signs)
            if events and (not interest.events & _EDGE or before != interest.seen):
                found.append((events, interest.data))
                if interest.events & _ONESHOT:
                    interest.events &= _EDGE | _ONESHOT
        return found
