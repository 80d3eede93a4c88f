"""Deviations: what a target may do otherwise than the rules have it, and why."""

from xsocket_tools.fuzzing.deviations.linux import LINUX, LINUX_HABITS
from xsocket_tools.fuzzing.deviations.mechanism import Deviation, Moment, explained_by
from xsocket_tools.fuzzing.oracle.then import Then

__all__ = ["LINUX", "LINUX_HABITS", "Deviation", "Moment", "Then", "explained_by"]
