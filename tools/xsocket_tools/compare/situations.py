"""The four situations that designs are compared in. Worker 0 is the odd one in three of them."""

from __future__ import annotations

from enum import Enum
from typing import Final

ODD: Final = 0
"""The worker to which something happens."""


class Situation(Enum):
    """What happens to one of the workers; the value is its name on the command line and in JSON."""

    EVEN = "even"
    SLOW = "slow"
    STOPPED = "stopped"
    KILLED = "killed"

    @property
    def title(self) -> str:
        """A few words."""
        return _TITLES[self]

    @property
    def disturbed_with(self) -> int | None:
        """With which of the crowds it happens, right after the last of it has sent its SYN; or None."""
        return _DISTURBED_WITH.get(self)


_TITLES: Final = {
    Situation.EVEN: "even load",
    Situation.SLOW: "one worker slow",
    Situation.STOPPED: "one worker stopped",
    Situation.KILLED: "one worker killed",
}
_DISTURBED_WITH: Final = {Situation.STOPPED: 0, Situation.KILLED: 1}
