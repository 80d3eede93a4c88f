"""Clocks: where `now` comes from. The core takes `now` as an argument and reads none of these."""

import time
from typing import Protocol


class Clock(Protocol):
    """Gives the current instant in seconds; only differences mean anything."""

    def now(self) -> float:
        """Return the current instant in seconds; never less than the time before."""
        ...


class MonotonicClock:
    """The machine's monotonic clock (CLOCK_MONOTONIC)."""

    now = staticmethod(time.monotonic)


class ManualClock:
    """A clock that moves only when told to; for tests and demonstrations."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the instant it was last moved to, in seconds."""
        return self._now

    def advance_to(self, instant: float) -> None:
        """Move forward to *instant* (seconds).

        Raises:
            ValueError: *instant* lies in the past.
        """
        if instant < self._now:
            raise ValueError(f"cannot move from {self._now} back to {instant}")
        self._now = instant
