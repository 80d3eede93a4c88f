"""What a comparison is run with; the same for each of its trials."""

from __future__ import annotations

from typing import Final, NamedTuple

MOST_WORKERS: Final = 64
MOST_REQUESTS: Final = 20_000
"""Each has a source port of its own, of some 28,000."""


class Parameters(NamedTuple):
    """What a comparison is run with.

    Attributes:
        workers: Processes that serve, in each design.
        requests: In each trial, those that come in crowds included.
        rate: Requests a second, on average.
        crowd: How many come together, three times in a trial.
        seed: Of the instants at which requests come.
        slow_s: How long each request blocks the slow worker, seconds.
        stop_s: How long the stopped worker is stopped, seconds.
        patience_s: How long a client waits for the first byte, from its SYN, seconds.
    """

    workers: int = 4
    requests: int = 3_300
    rate: float = 1_100.0
    crowd: int = 64
    seed: int = 1
    slow_s: float = 0.1
    stop_s: float = 2.0
    patience_s: float = 4.0

    @property
    def duration_s(self) -> float:
        """From the first request to the last, seconds."""
        return self.requests / self.rate
