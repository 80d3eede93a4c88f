"""Everything that Linux 6.18 does otherwise than the rules have it."""

from __future__ import annotations

from typing import Final

from xsocket_tools.fuzzing.deviations.linux_data import DATA
from xsocket_tools.fuzzing.deviations.linux_ending import ENDING
from xsocket_tools.fuzzing.deviations.linux_opening import OPENING
from xsocket_tools.fuzzing.deviations.mechanism import Deviation
from xsocket_tools.fuzzing.oracle.habits import Habit

LINUX: Final[tuple[Deviation, ...]] = (*OPENING, *DATA, *ENDING)
LINUX_HABITS: Final = frozenset(Habit)
