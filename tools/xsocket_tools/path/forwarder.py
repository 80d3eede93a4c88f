"""The loop that carries frames between two Links, by way of a chain of elements.

At each turn it wakes the elements that are due, takes all frames that are ready at either end, and sends what
came out, many to a system call.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable
from math import ceil, inf
from typing import Final

from xsocket.clock import Clock, MonotonicClock
from xsocket.errors import LinkDownError, NoSuchInterfaceError
from xsocket.wire.link import Link
from xsocket_tools.capture import INBOUND, OUTBOUND, finished
from xsocket_tools.path.element import Element
from xsocket_tools.path.parcel import Parcel, Towards

_LONGEST_WAIT_MS: Final = 3_600_000
_WHILE_DOWN_MS: Final = 100
"""How often to ask after an interface that is down: nothing says that it is removed then."""

Observe = Callable[[Towards, int, int, bytes], object]
"""Is told of each frame that passes an end of the path: which end, the direction as the host there sees it
(`INBOUND`, `OUTBOUND`), Unix time in nanoseconds, the frame."""


class Forwarder:
    """Carries frames from one Link to the other until it is told to stop. One thread runs it.

    Args:
        left: Frames of the left host come from here.
        right: Frames of the right host come from here.
        element: What happens to them in between, mostly a `Chain`.
        clock: Where `now` comes from.
        observe: Is told of every frame at both ends.

    Attributes:
        broken: Whether an interface was removed, so that nothing can be carried any more.
    """

    def __init__(
        self,
        left: Link,
        right: Link,
        element: Element,
        *,
        clock: Clock | None = None,
        observe: Observe | None = None,
    ) -> None:
        self._links = {Towards.LEFT: left, Towards.RIGHT: right}
        self._element = element
        self._clock = clock or MonotonicClock()
        self._observe = observe
        self._down: set[Towards] = set()
        self.broken = False

    def run(self, until: Iterable[int]) -> None:
        """Carry frames until one of the descriptors *until* is readable, or an interface is removed."""
        poll = select.poll()
        ends = set(until)
        for number in ends | {link.fileno() for link in self._links.values()}:
            poll.register(number, select.POLLIN)
        while not self.broken:
            ready = {number for number, _ in poll.poll(self._patience_ms())}
            self.turn()  # at the end, too, for what has come by then
            if ready & ends:
                return

    def _patience_ms(self) -> int | None:
        longest = _WHILE_DOWN_MS if self._down else _LONGEST_WAIT_MS
        deadline = self._element.deadline
        if deadline == inf:
            return longest if self._down else None
        return max(0, min(ceil((deadline - self._clock.now()) * 1000), longest))

    def turn(self) -> None:
        """Do one round; never blocks."""
        element = self._element
        out = list(element.wake(self._clock.now()))
        for end, link in self._links.items():
            for parcel in self._arrivals(end, link):
                out += element.take(self._clock.now(), parcel)
        self._send(out)

    def _arrivals(self, end: Towards, link: Link) -> list[Parcel]:
        try:
            frames = link.receive()
        except LinkDownError:
            self._down.add(end)  # frames come again when it is up
            return []
        except NoSuchInterfaceError:
            self.broken = True
            return []
        if frames:
            self._down.discard(end)
        parcels = []
        for frame in frames:
            data = finished(frame.data, frame.checksum_ready)
            if self._observe is not None:
                self._observe(end, OUTBOUND, frame.at_ns, data)
            parcels.append(Parcel(end.opposite, data))
        return parcels

    def _send(self, parcels: Iterable[Parcel]) -> None:
        going: dict[Towards, list[bytes]] = {towards: [] for towards in Towards}
        for parcel in parcels:
            going[parcel.towards].append(parcel.frame)
        for towards, frames in going.items():
            if frames:
                at_ns = time.time_ns()  # beforehand: the answer may be stamped before `send` returns
                self._links[towards].send(frames)
                if self._observe is not None:
                    for frame in frames:
                        self._observe(towards, INBOUND, at_ns, frame)
