"""Everything that Linux 6.18 does otherwise than the rules have it."""

from __future__ import annotations

import platform
from typing import Final

from xsocket_tools.fuzzing.deviations.linux_calls import CALLS
from xsocket_tools.fuzzing.deviations.linux_data import DATA
from xsocket_tools.fuzzing.deviations.linux_ending import ENDING
from xsocket_tools.fuzzing.deviations.linux_habits import LINUX_WAYS
from xsocket_tools.fuzzing.deviations.linux_opening import OPENING
from xsocket_tools.fuzzing.deviations.linux_orphans import ORPHANS
from xsocket_tools.fuzzing.deviations.linux_time_wait import TIME_WAIT
from xsocket_tools.fuzzing.deviations.mechanism import Deviation

LISTED: Final = "6.18"
"""The release of Linux that is meant."""
LINUX_PARTS: Final[dict[str, tuple[Deviation, ...]]] = {
    "Opening a connection": OPENING,
    "Segments, text and numbers": DATA,
    "Closing": ENDING,
    "Orphans in FIN-WAIT-2": ORPHANS,
    "TIME-WAIT": TIME_WAIT,
    "Calls": CALLS,
}
LINUX: Final = tuple(each for part in LINUX_PARTS.values() for each in part)
LINUX_HABITS: Final = frozenset(each.habit for each in LINUX_WAYS)


def other_release() -> str:
    """Return the release of this machine's kernel if it is not the listed one; empty if it is."""
    release = platform.release()
    return "" if release.startswith(f"{LISTED}.") else release
