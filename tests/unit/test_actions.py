"""What the core answers: values in the order in which they must be carried out."""

from typing import get_args

import pytest

from support.pair import SERVER, End
from support.peer import Peer
from xsocket import actions
from xsocket.actions import Action, Changed, Deleted, Dropped, Established, Moved, Send, TimerFired
from xsocket.state import State


def kinds(end: End) -> list[type]:
    return [type(action) for action in end.actions]


@pytest.mark.parametrize("kind", get_args(Action), ids=lambda kind: kind.__name__)
def test_every_action_names_its_connection_first(kind: type) -> None:
    assert kind._fields[0] == "four_tuple"  # type: ignore[attr-defined]
    assert getattr(actions, kind.__name__) is kind


def test_the_order_of_a_passive_open() -> None:
    end = End("end")
    Peer(end).reach(State.ESTABLISHED)
    assert kinds(end) == [Moved, Moved, Send, Moved, Established]


def test_an_end_is_announced_last() -> None:
    end = End("end")
    Peer(end).reach(State.ESTABLISHED).send("R")
    assert kinds(end)[-3:] == [Moved, Changed, Deleted]


def test_text_changes_something_before_it_is_acknowledged() -> None:
    end = End("end")
    Peer(end).reach(State.ESTABLISHED).send("P.", text=b"x")
    assert kinds(end)[-2:] == [Changed, Send]


def test_a_timer_is_seen_before_what_it_does() -> None:
    end = End("end")
    Peer(end).reach(State.SYN_RECEIVED).advance(1)
    assert kinds(end)[-2:] == [TimerFired, Send]


def test_a_drop_is_seen_before_its_answer() -> None:
    end = End("end")
    Peer(end).reach(State.ESTABLISHED).send("S", 0)
    assert kinds(end)[-2:] == [Dropped, Send]


def test_every_segment_sent_cites_its_rule() -> None:
    end = End("end")
    peer = Peer(end).reach(State.ESTABLISHED)
    peer.send("P.", text=b"x")
    peer.send("S", 0)
    peer.write(b"y")
    peer.close()
    peer.advance(1)
    peer.abort()
    assert all(action.rule for action in end.actions if isinstance(action, Send | Moved))
    assert {action.four_tuple for action in end.actions} == {SERVER}
