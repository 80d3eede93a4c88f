"""A cable in memory: two Links joined without sockets or namespaces, for two engines in one process."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.wire.ethernet import HEADER_OCTETS, TAG_OCTETS
from xsocket.wire.link import Frame, LinkStatistics

DEFAULT_CAPACITY: Final = 4096


class MemoryLink:
    """One end of a pair made by `memory_pair`; obeys the `Link` protocol.

    It takes no descriptor until `fileno` is asked for. The two ends may belong to different threads.
    """

    def __init__(self, mac: bytes, mtu: int, capacity: int, now_ns: Callable[[], int]) -> None:
        self._mac = mac
        self._mtu = mtu
        self._capacity = capacity
        self._now_ns = now_ns
        self._peer: MemoryLink | None = None
        self._arrived: deque[Frame] = deque()
        self._event = -1
        # Not for the frames: so that the peer's thread never writes to a descriptor just closed here.
        self._open = threading.Lock()
        self._closed = False
        self._received = self._sent = self._overflowed = self._failures = 0

    def join(self, peer: "MemoryLink") -> None:
        """Plug the other end of the cable into *peer*."""
        self._peer = peer
        peer._peer = self

    @property
    def mac(self) -> bytes:
        """Our own station address, six octets."""
        return self._mac

    @property
    def mtu(self) -> int:
        """The largest IP packet it carries, in octets."""
        return self._mtu

    def receive(self) -> list[Frame]:
        """Return all frames that are ready, oldest first."""
        if self._event >= 0:
            # Clear before draining: a frame that arrives in between sets it again.
            with suppress(BlockingIOError):
                os.eventfd_read(self._event)
        frames = [self._arrived.popleft() for _ in range(len(self._arrived))]
        self._received += len(frames)
        return frames

    def send(self, frames: Sequence[bytes]) -> None:
        """Hand *frames* to the other end; what exceeds the MTU or finds it closed is counted as a failure."""
        peer = self._peer
        for data in frames:
            fits = HEADER_OCTETS <= len(data) <= self._mtu + HEADER_OCTETS + TAG_OCTETS
            if peer is None or peer._closed or self._closed or not fits:
                self._failures += 1
                continue
            self._sent += 1
            peer._arrive(Frame(data, self._now_ns()))

    def shed(self, connections: Sequence[FourTuple]) -> None:
        """Leave out nothing: no kernel has connections on this cable."""

    def _arrive(self, frame: Frame) -> None:
        if len(self._arrived) >= self._capacity:
            self._overflowed += 1
            return
        self._arrived.append(frame)
        if self._event >= 0:
            with self._open:
                if self._event >= 0:
                    os.eventfd_write(self._event, 1)

    def fileno(self) -> int:
        """Return an eventfd that polls readable while frames are ready; made at the first call."""
        if self._event < 0 and not self._closed:
            self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            if self._arrived:
                os.eventfd_write(self._event, 1)
        return self._event

    def statistics(self) -> LinkStatistics:
        """Return the counters so far; an overflowing queue counts as dropped by the kernel."""
        return LinkStatistics(self._received, self._sent, self._overflowed, 0, self._failures)

    def close(self) -> None:
        """Unplug this end; safe to call twice."""
        self._closed = True
        self._arrived.clear()
        with self._open:
            if self._event >= 0:
                os.close(self._event)
            self._event = -1


def memory_pair(
    *,
    mtu: int = 1500,
    capacity: int = DEFAULT_CAPACITY,
    macs: tuple[bytes, bytes] = (b"\x02\x00\x00\x00\x00\x01", b"\x02\x00\x00\x00\x00\x02"),
    now_ns: Callable[[], int] = time.time_ns,
) -> tuple[MemoryLink, MemoryLink]:
    """Return two Links joined by a cable that neither loses nor delays.

    Args:
        mtu: The largest IP packet, in octets.
        capacity: Frames at most that wait at each end; more are dropped and counted.
        macs: The station addresses of the two ends.
        now_ns: Clock for the time of arrival, in nanoseconds; give a virtual one for virtual time.
    """
    left, right = (MemoryLink(mac, mtu, capacity, now_ns) for mac in macs)
    left.join(right)
    return left, right
