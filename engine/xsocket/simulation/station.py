"""`Station`: drives one `Host` in virtual time, as the engine's loop does with a thread in real time."""

import threading
from collections.abc import Callable
from contextlib import nullcontext
from math import inf
from typing import TypeVar

from xsocket.calls import HostCalls
from xsocket.connection import Calls
from xsocket.fourtuple import FourTuple
from xsocket.host import Host
from xsocket.simulation.timeline import Timeline
from xsocket.tcp.tcb import Tcb
from xsocket.wire.link import Frame

T = TypeVar("T")


class Station(HostCalls):
    """A host on the timeline: frames arrive, timers run out, calls are made; what it sends goes to the link.

    A call that waits lets virtual time pass until what it waits for is there.

    Args:
        timeline: The simulation's.
        host_for: Makes the host, given this object and what to tell changes to.
        transmit: Takes the frames that the host sends.
        randbelow: Gives random numbers for local ports, by seed.
    """

    def __init__(
        self,
        timeline: Timeline,
        host_for: Callable[[Calls, Callable[[FourTuple], None]], Host],
        transmit: Callable[[list[bytes]], None],
        randbelow: Callable[[int], int],
    ) -> None:
        super().__init__(nullcontext(), randbelow)
        self.host = host_for(self, self._ring)
        self._timeline = timeline
        self._transmit = transmit
        self._timer_at = inf
        self.host.pool.call_when_given_back(self._look_again)

    def announce(self) -> None:
        """Tell the neighbours who has the host's addresses."""
        self._call(self.host.announce)

    def add_neighbour(self, address: str, mac: bytes) -> None:
        """Let the host know a station for good."""
        self._call(lambda now: self.host.add_neighbour(now, address, mac))

    def arrive(self, frames: list[Frame]) -> None:
        """Feed the host what reaches it at this instant."""
        now = self._timeline.begin()
        try:
            self.host.receive(now, frames)
            self._settle(now)
        finally:
            self._timeline.end()

    def _settle(self, now: float) -> None:
        """Send what the host has to send, and mind its next timer."""
        host = self.host
        if host.has_frames:
            self._transmit(host.take_frames())
        due = host.deadline
        if due < self._timer_at:
            self._timer_at = max(due, now)
            self._timeline.at(self._timer_at, self._timer_due)

    def _look_again(self) -> None:
        """Let the host look at its timers at this instant, once whoever calls is done."""
        self._timer_at = self._timeline.now()
        self._timeline.at(self._timer_at, self._timer_due)

    def _timer_due(self) -> None:
        now = self._timeline.begin()
        try:
            if now == self._timer_at:  # else an earlier one took its place
                self._timer_at = inf
                self.host.timers_fired(now)
                self._settle(now)
        finally:
            self._timeline.end()

    # How the calls get at the host

    def _call(self, call: Callable[[float], T]) -> T:
        now = self._timeline.begin()
        try:
            result = call(now)
            self._settle(now)
            return result
        finally:
            self._timeline.end()

    def _post(self, call: Callable[[float, Tcb], None], tcb: Tcb) -> None:
        self._call(lambda now: call(now, tcb))

    def abandon(self, tcb: Tcb) -> bool:
        """Leave *tcb* as it is: what happens must not depend on when the garbage collector comes."""
        del tcb
        return False

    def _now_for_waits(self) -> float:
        return self._timeline.now()

    def _sleep_on(self, bell: threading.Lock, timeout: float | None) -> bool:
        return self._timeline.run_until(lambda: not bell.locked(), timeout)

    async def wait_async(self, tcb: Tcb, attempt: Callable[[], T | None], timeout: float | None) -> T | None:
        """See `Calls.wait_async`: here, too, virtual time passes meanwhile, and no other task runs."""
        return self.wait(tcb, attempt, timeout)

    def _check_running(self) -> None:
        """A host in a simulation always runs."""
