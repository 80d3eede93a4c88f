"""What a target may do otherwise than the rules have it: what it does, where, and why that is known.

A deviation covers what it describes and nothing else: state, segment, what was due and what came instead.
What changes how all that follows has to be read is a `Habit`, by which the shadows go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from xsocket.segment import Segment
from xsocket.state import State
from xsocket_tools.fuzzing.case import Operation
from xsocket_tools.fuzzing.oracle.expectation import Expected
from xsocket_tools.fuzzing.oracle.habits import Habit
from xsocket_tools.fuzzing.oracle.shadow import Shadow, Violation
from xsocket_tools.fuzzing.oracle.then import Then
from xsocket_tools.fuzzing.target import Answer


class Moment(NamedTuple):
    """A violation, and all that is known of it.

    Attributes:
        violation: It.
        operation: What was done.
        segment: What the target had to read; None for a call, for time, and for what it could not read.
        expected: What the rule wanted; None where it was about something else, such as a state.
        sent: What the target sent to the peer.
        before: Where the connection stood before.
        after: Where the target says that it stands.
        shadow: The connection as the rules have it, after the step.
        answer: What came of a call; None for all else.
    """

    violation: Violation
    operation: Operation
    segment: Segment | None
    expected: Expected | None
    sent: tuple[Segment, ...]
    before: State | None
    after: State | None
    shadow: Shadow | None
    answer: Answer | None = None


class Deviation(NamedTuple):
    """One thing that a target does otherwise.

    Attributes:
        name: In a few words.
        rule: The section that it departs from.
        reason: What it does, and why.
        source: Where its source does it, or what shows it.
        covers: Whether a violation is one of it.
        then: What is known of the connection afterwards.
        finding: The page of ``docs/findings`` that is about it; empty for none.
    """

    name: str
    rule: str
    reason: str
    source: str
    covers: Callable[[Moment], bool]
    then: Then = Then.UNKNOWN
    finding: str = ""


class Way(NamedTuple):
    """A habit of a target, with the rule that it departs from, why, and where; see `Deviation`."""

    habit: Habit
    rule: str
    reason: str
    source: str
    finding: str = ""


def explained_by(moment: Moment, deviations: Sequence[Deviation]) -> Deviation | None:
    """Return the deviation that a violation is one of; None where it is none."""
    return next((each for each in deviations if each.covers(moment)), None)
