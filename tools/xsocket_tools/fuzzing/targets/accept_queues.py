"""`AcceptQueues`: what Linux has established and nobody has claimed, as one pool of both IP versions."""

from __future__ import annotations

import socket
from collections import deque
from struct import unpack_from
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.state import State
from xsocket_tools.fuzzing.targets.kernel_connection import KernelConnection
from xsocket_tools.sockdiag import SockDiag

_UNACKED_AT: Final = 24
"""Where struct tcp_info (linux/tcp.h) has, of a listener, the length of its queue."""


class AcceptQueues:
    """The queues of one listener for each IP version. A connection that was reset meanwhile is passed over.

    Args:
        diag: Asks the kernel.
    """

    def __init__(self, diag: SockDiag) -> None:
        self._diag = diag
        self._listeners: dict[int, socket.socket] = {}
        self._places: dict[int, deque[int]] = {}
        self._kept: list[tuple[int, KernelConnection]] = []
        self._next_place = 0

    def __contains__(self, version: int) -> bool:
        return version in self._listeners

    def add(self, version: int, listener: socket.socket) -> None:
        """Take from *listener*, too, which does not wait."""
        self.note()
        self._listeners[version] = listener
        self._places[version] = deque()

    def drop(self) -> None:
        """Close the listeners, and with them what they have not given away."""
        for listener in self._listeners.values():
            listener.close()
        for _, kept in self._kept:
            kept.drop()
        for collection in (self._listeners, self._places, self._kept):
            collection.clear()

    @property
    def is_mixed(self) -> bool:
        """Whether there are two queues, so that somebody has to `note` who came first."""
        return len(self._listeners) > 1

    def note(self) -> None:
        """Note that what is new in either queue has come after all that was noted before."""
        for version, listener in self._listeners.items():
            places = self._places[version]
            info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED_AT + 4)
            for _ in range(unpack_from("=I", info, _UNACKED_AT)[0] - len(places)):
                places.append(self._next_place)
                self._next_place += 1

    def take(self, wanted: FourTuple) -> KernelConnection | None:
        """Accept the connection *wanted*, and those before it, which are kept; None if it is not there."""
        for entry in tuple(self._kept):
            if entry[1].four_tuple == wanted:
                self._kept.remove(entry)
                if entry[1].is_alive:
                    return entry[1]
                entry[1].drop()
        if self._diag.state(wanted) in (None, State.TIME_WAIT):
            return None
        self.note()
        version = wanted.family
        while self._places.get(version):
            place, accepted = self._accept(version)
            if accepted.four_tuple == wanted and accepted.is_alive:
                return accepted
            self._kept.append((place, accepted))
        return None

    def take_oldest(self) -> KernelConnection | None:
        """Accept the connection that was established first; None if there is none."""
        self.note()
        while True:
            heads = [(places[0], version) for version, places in self._places.items() if places]
            first = min(heads, default=None)
            oldest_kept = min(self._kept, key=lambda entry: entry[0], default=None)
            if oldest_kept is not None and (first is None or oldest_kept[0] < first[0]):
                self._kept.remove(oldest_kept)
                found = oldest_kept[1]
            elif first is not None:
                _, found = self._accept(first[1])
            else:
                return None
            if found.is_alive:
                return found
            found.drop()

    def _accept(self, version: int) -> tuple[int, KernelConnection]:
        listener = self._listeners[version]
        made, (remote_address, remote_port, *_) = listener.accept()
        made.setblocking(False)
        local_address, local_port, *_ = listener.getsockname()
        four_tuple = FourTuple.trusted(local_address, local_port, remote_address, remote_port)
        return self._places[version].popleft(), KernelConnection(made, four_tuple, self._diag)
