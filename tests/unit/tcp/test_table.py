"""The table, every pair of it: the moves of RFC 9293 figure 5 and section 3.10, and no other."""

import re
from itertools import product
from typing import Final

import pytest

from xsocket.state import Reply, State, Trigger
from xsocket.tcp.table import TABLE

MOVES: Final[dict[State, dict[Trigger, tuple[State, Reply | None]]]] = {
    State.CLOSED: {
        Trigger.PASSIVE_OPEN: (State.LISTEN, None),
        Trigger.ACTIVE_OPEN: (State.SYN_SENT, Reply.SYN),
    },
    State.LISTEN: {
        Trigger.SYN: (State.SYN_RECEIVED, Reply.SYN_ACK),
        Trigger.ACK_OF_COOKIE: (State.ESTABLISHED, None),
        Trigger.WRONG_ACK: (State.LISTEN, Reply.RST),
        Trigger.CLOSE: (State.CLOSED, None),
        Trigger.ABORT: (State.CLOSED, None),
    },
    State.SYN_SENT: {
        Trigger.SYN: (State.SYN_RECEIVED, Reply.SYN_ACK),
        Trigger.SYN_ACK_OF_OURS: (State.ESTABLISHED, Reply.ACK),
        Trigger.WRONG_ACK: (State.SYN_SENT, Reply.RST),
        Trigger.RST_FOR_US: (State.CLOSED, None),
        Trigger.CLOSE: (State.CLOSED, None),
        Trigger.ABORT: (State.CLOSED, None),
        Trigger.PATH_ERROR: (State.CLOSED, None),
        Trigger.USER_TIMEOUT: (State.CLOSED, None),
        Trigger.GIVE_UP: (State.CLOSED, None),
    },
    State.SYN_RECEIVED: {
        Trigger.ACK_OF_SYN: (State.ESTABLISHED, None),
        Trigger.SYN_ACK_OF_OURS: (State.ESTABLISHED, None),
        Trigger.WRONG_ACK: (State.SYN_RECEIVED, Reply.RST),
        Trigger.UNACCEPTABLE: (State.SYN_RECEIVED, Reply.ACK),
        Trigger.RST_FOR_US: (State.CLOSED, None),
        Trigger.RST_IN_WINDOW: (State.SYN_RECEIVED, Reply.CHALLENGE_ACK),
        Trigger.SYN_AGAIN: (State.SYN_RECEIVED, Reply.SYN_ACK),
        Trigger.SYN_OF_OTHER_ECN: (State.CLOSED, Reply.RST),
        Trigger.SYN_INSTEAD: (State.CLOSED, None),
        Trigger.SYN_IN_WINDOW: (State.SYN_RECEIVED, Reply.CHALLENGE_ACK),
        Trigger.CLOSE: (State.FIN_WAIT_1, Reply.FIN),
        Trigger.ABORT: (State.CLOSED, Reply.RST),
        Trigger.PATH_ERROR: (State.CLOSED, None),
        Trigger.USER_TIMEOUT: (State.CLOSED, None),
        Trigger.GIVE_UP: (State.CLOSED, None),
        Trigger.EVICTED: (State.CLOSED, None),
    },
    State.ESTABLISHED: {
        Trigger.FIN: (State.CLOSE_WAIT, Reply.ACK),
        Trigger.CLOSE: (State.FIN_WAIT_1, Reply.FIN),
        Trigger.KEEP_ALIVE_FAILED: (State.CLOSED, Reply.RST),
        Trigger.ABORT: (State.CLOSED, Reply.RST),
        Trigger.USER_TIMEOUT: (State.CLOSED, None),
        Trigger.GIVE_UP: (State.CLOSED, None),
    },
    State.FIN_WAIT_1: {
        Trigger.ACK_OF_FIN: (State.FIN_WAIT_2, None),
        Trigger.FIN: (State.CLOSING, Reply.ACK),
        Trigger.TEXT_FOR_NOBODY: (State.CLOSED, Reply.RST),
        Trigger.ABORT: (State.CLOSED, Reply.RST),
        Trigger.USER_TIMEOUT: (State.CLOSED, None),
        Trigger.GIVE_UP: (State.CLOSED, None),
    },
    State.FIN_WAIT_2: {
        Trigger.FIN: (State.TIME_WAIT, Reply.ACK),
        Trigger.TEXT_FOR_NOBODY: (State.CLOSED, Reply.RST),
        Trigger.KEEP_ALIVE_FAILED: (State.CLOSED, Reply.RST),
        Trigger.ABORT: (State.CLOSED, Reply.RST),
        Trigger.ORPHAN_OVER: (State.CLOSED, None),
    },
    State.CLOSE_WAIT: {
        Trigger.CLOSE: (State.LAST_ACK, Reply.FIN),
        Trigger.KEEP_ALIVE_FAILED: (State.CLOSED, Reply.RST),
        Trigger.ABORT: (State.CLOSED, Reply.RST),
        Trigger.USER_TIMEOUT: (State.CLOSED, None),
        Trigger.GIVE_UP: (State.CLOSED, None),
    },
    State.CLOSING: {
        Trigger.ACK_OF_FIN: (State.TIME_WAIT, None),
        Trigger.ABORT: (State.CLOSED, None),
        Trigger.USER_TIMEOUT: (State.CLOSED, None),
        Trigger.GIVE_UP: (State.CLOSED, None),
    },
    State.LAST_ACK: {
        Trigger.ACK_OF_FIN: (State.CLOSED, None),
        Trigger.ABORT: (State.CLOSED, None),
        Trigger.USER_TIMEOUT: (State.CLOSED, None),
        Trigger.GIVE_UP: (State.CLOSED, None),
    },
    State.TIME_WAIT: {
        Trigger.FIN: (State.TIME_WAIT, Reply.ACK),
        Trigger.SYN_REOPENS: (State.CLOSED, None),
        Trigger.ABORT: (State.CLOSED, None),
        Trigger.TIME_WAIT_OVER: (State.CLOSED, None),
    },
}
"""What each state does, written down apart from the table. Synchronized states have `IN_ALL` besides."""

SYNCHRONIZED: Final = (
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
    State.TIME_WAIT,
)
SECTIONS: Final = (
    *("3.5", "3.6.1", "3.8.1", "3.8.3", "3.8.4", "3.9.2.2", "3.10.1", "3.10.4", "3.10.5", "3.10.8"),
    *("3.10.7.2", "3.10.7.3", "3.10.7.4"),
)
IN_ALL: Final[dict[Trigger, Reply | None]] = {
    Trigger.UNACCEPTABLE: Reply.ACK,
    Trigger.RST_IN_WINDOW: Reply.CHALLENGE_ACK,
    Trigger.SYN_IN_WINDOW: Reply.CHALLENGE_ACK,
    Trigger.WRONG_ACK: Reply.ACK,
}


def expected(state: State, trigger: Trigger) -> tuple[State, Reply | None] | None:
    if trigger in MOVES[state]:
        return MOVES[state][trigger]
    if state in SYNCHRONIZED and trigger in IN_ALL:
        return state, IN_ALL[trigger]
    if state in SYNCHRONIZED and trigger is Trigger.RST_FOR_US:
        return State.CLOSED, None
    return None


@pytest.mark.parametrize(
    ("state", "trigger"),
    [pytest.param(*pair, id=f"{pair[0].value}, {pair[1].value}") for pair in product(State, Trigger)],
)
def test_each_pair_does_what_the_rfc_says(state: State, trigger: Trigger) -> None:
    move = TABLE.get((state, trigger))
    assert (None if move is None else (move.to, move.reply)) == expected(state, trigger)


@pytest.mark.parametrize("pair", TABLE, ids=lambda pair: f"{pair[0].value}, {pair[1].value}")
def test_each_row_cites_a_section(pair: tuple[State, Trigger]) -> None:
    rule = TABLE[pair].rule
    assert rule.split()[0] in SECTIONS or re.match(r"RFC \d+ \d", rule)


def test_every_state_is_reached() -> None:
    reached, waiting = {State.CLOSED}, [State.CLOSED]
    while waiting:
        state = waiting.pop()
        new = {move.to for (start, _), move in TABLE.items() if start is state} - reached
        reached |= new
        waiting += new
    assert reached == set(State)


@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_every_state_leads_back_to_closed(state: State) -> None:
    ends = {State.CLOSED}
    while True:
        more = {start for (start, _), move in TABLE.items() if move.to in ends} - ends
        if not more:
            break
        ends |= more
    assert state in ends


@pytest.mark.parametrize("trigger", Trigger, ids=lambda trigger: trigger.value)
def test_every_trigger_has_a_row(trigger: Trigger) -> None:
    assert any(pair[1] is trigger for pair in TABLE)


def test_only_an_open_leaves_closed() -> None:
    out = {trigger for state, trigger in TABLE if state is State.CLOSED}
    assert out == {Trigger.PASSIVE_OPEN, Trigger.ACTIVE_OPEN}


def test_a_connection_is_established_from_two_states_and_by_cookie() -> None:
    into = {start for (start, _), move in TABLE.items() if move.to is State.ESTABLISHED}
    assert into - {State.ESTABLISHED} == {State.SYN_SENT, State.SYN_RECEIVED, State.LISTEN}
