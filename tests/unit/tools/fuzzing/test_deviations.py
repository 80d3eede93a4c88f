"""What Linux is allowed: each deviation says why, and covers what it describes and nothing else."""

from __future__ import annotations

import pytest
from linux_from_code import AFTERWARDS, LinuxDeviations

from xsocket import TcpConfig
from xsocket.segment import ACK, PSH, RST, Segment
from xsocket.state import State
from xsocket_tools.fuzzing.case import Say
from xsocket_tools.fuzzing.deviations import LINUX, LINUX_HABITS, Deviation, Moment, explained_by
from xsocket_tools.fuzzing.deviations.linux_habits import LINUX_WAYS
from xsocket_tools.fuzzing.deviations.mechanism import Way
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.expectation import Expected, Want
from xsocket_tools.fuzzing.oracle.habits import Habit
from xsocket_tools.fuzzing.oracle.shadow import Shadow, Violation
from xsocket_tools.fuzzing.targets.engine import EngineTarget

BY_NAME = {each.name: each for each in LINUX}


@pytest.mark.parametrize("each", LINUX, ids=lambda each: each.name)
def test_each_says_what_where_and_why(each: Deviation) -> None:
    assert each.rule.startswith(("RFC ", "tcp_"))
    assert each.reason.endswith(".")
    assert each.source
    assert each.then in AFTERWARDS


@pytest.mark.parametrize("way", LINUX_WAYS, ids=lambda way: way.habit.name)
def test_each_habit_says_why_and_where(way: Way) -> None:
    assert way.rule
    assert way.reason.endswith(".")
    assert way.source


def test_every_habit_has_one_reason() -> None:
    assert sorted(way.habit.name for way in LINUX_WAYS) == sorted(habit.name for habit in Habit)


def test_no_two_have_one_name() -> None:
    assert len(BY_NAME) == len(LINUX)


def test_the_page_has_all_of_them() -> None:
    page = LinuxDeviations.text()
    assert [each.name for each in LINUX if f"### {each.name[0].upper()}{each.name[1:]}\n" not in page] == []
    assert page.count("\n### ") == len(LINUX) + len(LINUX_HABITS)


@pytest.mark.parametrize("state", [State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.TIME_WAIT])
@pytest.mark.parametrize("after", [None, State.CLOSE_WAIT])
def test_a_reset_for_the_next_text_is_no_deviation(state: State, after: State | None) -> None:
    shadow = Shadow(0, EngineTarget().four_tuple(0), TcpConfig())
    shadow.state = state
    text = Segment(shadow.rcv_nxt, shadow.snd_nxt, ACK | PSH, 65_535, b"", b"text", 0, 0)
    reset = Segment(shadow.snd_nxt + 1, shadow.rcv_nxt, ACK | RST, 0, b"", b"", 0, 0)
    violation = Violation(rules.SENT_ACK, 0, 0, state, "text", "an ACK", "a reset")
    moment = Moment(
        violation,
        Say(0, ACK | PSH),
        text,
        Expected(rules.SENT_ACK, Want.ACK),
        (reset,),
        state,
        after,
        shadow,
    )
    assert explained_by(moment, LINUX) is None
