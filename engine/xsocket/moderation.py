"""`Moderation`: whether the loop should let frames gather before it takes them. Pure.

A turn of the loop costs as much as several frames, and who hands connections over has to wait for the
interpreter meanwhile. Where many are handed over, and nobody waits for one, a pause before each turn makes
one of many; network cards hold their interrupts back for the same reason.
"""

from math import inf
from typing import Final

LONGEST_PAUSE_MS: Final = 5
"""How long frames gather; until a claim has to wait, if that is earlier.

The ring of a `PacketLink` holds what comes meanwhile, at up to 800,000 frames a second."""
WINDOW_S: Final = 0.01
"""How long connections are counted for each judgement."""
LEAST_PER_SECOND: Final = 1000
"""From how many hand-overs on frames gather."""


class Moderation:
    """Judges by how many connections went to the kernel lately."""

    def __init__(self) -> None:
        self._since = -inf
        self._counted = 0
        self._is_due = False

    def is_due(self, now: float, handed_over: int) -> bool:
        """Return whether frames should gather.

        Args:
            now: Monotonic seconds.
            handed_over: How many connections went to the kernel so far.
        """
        passed = now - self._since
        if passed >= WINDOW_S:
            self._is_due = handed_over - self._counted >= LEAST_PER_SECOND * passed
            self._since, self._counted = now, handed_over
        return self._is_due
