"""Deviations: what a target may do otherwise than the rules have it, and why."""

from xsocket_tools.fuzzing.deviations.linux import LINUX, LINUX_HABITS, LINUX_WAYS
from xsocket_tools.fuzzing.deviations.mechanism import Deviation, Moment, Way, explained_by
from xsocket_tools.fuzzing.oracle.then import Then

__all__ = ["LINUX", "LINUX_HABITS", "LINUX_WAYS", "Deviation", "Moment", "Then", "Way", "explained_by"]
