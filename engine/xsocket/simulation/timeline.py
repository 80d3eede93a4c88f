"""Virtual time: what is going to happen, in order, on one clock. Idle time costs nothing.

Whatever is due at one instant happens in the order in which it was put there, so that every run is the same.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf

from xsocket.clock import ManualClock
from xsocket.errors import SimulationStalled, SimulationStateError


class Timeline:
    """A queue of calls, each with its instant, and the clock that jumps from one to the next.

    Attributes:
        clock: Where the time of a simulation comes from; starts at 0.
        now: `clock.now`, the instant in seconds.
    """

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.now = self.clock.now
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._pushed = 0
        self._working = False

    def at(self, instant: float, call: Callable[[], object]) -> None:
        """Let *call* happen at *instant* (seconds), which is not past."""
        self._pushed += 1
        heappush(self._queue, (instant, self._pushed, call))

    def next_at(self) -> float:
        """Return when something happens next, seconds; infinite for never."""
        return self._queue[0][0] if self._queue else inf

    def step(self) -> bool:
        """Let the next thing happen, at its instant; return False if nothing is left."""
        if self._working:
            raise SimulationStateError("the simulation cannot be run from within a host or a link")
        if not self._queue:
            return False
        instant, _, call = heappop(self._queue)
        self.clock.advance_to(instant)
        call()
        return True

    def run(self, for_s: float | None) -> None:
        """Let happen what is due in the next *for_s* seconds, and move the clock to their end.

        None: let everything happen, until nothing is left.
        """
        if for_s is None:
            while self.step():
                pass
            return
        end = self.now() + for_s
        while self.next_at() <= end:
            self.step()
        self.clock.advance_to(max(end, self.now()))  # a call may have run the simulation further

    def run_until(self, predicate: Callable[[], object], timeout_s: float | None) -> bool:
        """Let things happen until *predicate* holds, for *timeout_s* seconds at most; return whether it does.

        Raises:
            SimulationStalled: No timeout was given, and nothing is left that could make it hold.
        """
        end = inf if timeout_s is None else self.now() + timeout_s
        while not predicate():
            if self.next_at() <= end and self.step():
                continue
            if timeout_s is None:
                raise SimulationStalled(f"nothing happens after {self.now():.6f} s")
            self.clock.advance_to(max(end, self.now()))
            return False
        return True

    def begin(self) -> float:
        """Mark a host or a link as being in the midst of something, until `end`; return `now`.

        Raises:
            SimulationStateError: One is already.
        """
        if self._working:
            raise SimulationStateError("connections cannot be used from within a host or a link")
        self._working = True
        return self.now()

    def end(self) -> None:
        """Undo `begin`."""
        self._working = False
