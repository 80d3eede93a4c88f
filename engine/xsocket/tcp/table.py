"""The transition table: what a trigger does in a state, and the rule that says so.

Every change of state of every connection is a row here; `move` is the only function that reads it, and the
diagram in `docs/reference/states.md` is drawn from it. A pair that is missing cannot happen:
the guards never make that trigger in that state.
"""

from typing import Final, NamedTuple

from xsocket.state import SYNCHRONIZED, Reply, State, Trigger


class Move(NamedTuple):
    """Where to go, what to send, and the section of RFC 9293 (or another RFC, then named) that says so."""

    to: State
    reply: Reply | None
    rule: str


_UNFINISHED: Final = (
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
)
"""Where text or a FIN may wait for the peer's acknowledgment."""
_OPEN_FOR_THE_PEER: Final = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_2)
"""Where both ends may be silent for ever."""

_OPENING: Final[dict[tuple[State, Trigger], Move]] = {
    (State.CLOSED, Trigger.PASSIVE_OPEN): Move(State.LISTEN, None, "3.10.1"),
    (State.CLOSED, Trigger.ACTIVE_OPEN): Move(State.SYN_SENT, Reply.SYN, "3.10.1"),
    (State.LISTEN, Trigger.SYN): Move(State.SYN_RECEIVED, Reply.SYN_ACK, "3.10.7.2 third"),
    # Nothing was kept of the SYN and of the SYN+ACK: the cookie says that they were, and what was in them.
    (State.LISTEN, Trigger.ACK_OF_COOKIE): Move(State.ESTABLISHED, None, "RFC 4987 3.6"),
    (State.LISTEN, Trigger.WRONG_ACK): Move(State.LISTEN, Reply.RST, "3.10.7.2 second"),
    (State.LISTEN, Trigger.CLOSE): Move(State.CLOSED, None, "3.10.4"),
    (State.LISTEN, Trigger.ABORT): Move(State.CLOSED, None, "3.10.5"),
    (State.SYN_SENT, Trigger.WRONG_ACK): Move(State.SYN_SENT, Reply.RST, "3.10.7.3 first"),
    (State.SYN_SENT, Trigger.RST_FOR_US): Move(State.CLOSED, None, "3.10.7.3 second"),
    (State.SYN_SENT, Trigger.SYN_ACK_OF_OURS): Move(State.ESTABLISHED, Reply.ACK, "3.10.7.3 fourth"),
    (State.SYN_SENT, Trigger.SYN): Move(State.SYN_RECEIVED, Reply.SYN_ACK, "3.10.7.3 fourth"),
    (State.SYN_SENT, Trigger.CLOSE): Move(State.CLOSED, None, "3.10.4"),
    (State.SYN_SENT, Trigger.ABORT): Move(State.CLOSED, None, "3.10.5"),
    (State.SYN_SENT, Trigger.GIVE_UP): Move(State.CLOSED, None, "3.8.3"),
    (State.SYN_SENT, Trigger.USER_TIMEOUT): Move(State.CLOSED, None, "3.10.8"),
    # The RFC sends a passive open back to LISTEN. Nothing listens here: Admission judges the next SYN, so
    # LISTEN is left behind with the TCB.
    (State.SYN_RECEIVED, Trigger.RST_FOR_US): Move(State.CLOSED, None, "3.10.7.4 second"),
    (State.SYN_RECEIVED, Trigger.SYN_INSTEAD): Move(State.CLOSED, None, "3.10.7.4 fourth"),
    (State.SYN_RECEIVED, Trigger.UNACCEPTABLE): Move(State.SYN_RECEIVED, Reply.ACK, "3.10.7.4 first"),
    (State.SYN_RECEIVED, Trigger.RST_IN_WINDOW): Move(
        State.SYN_RECEIVED, Reply.CHALLENGE_ACK, "3.10.7.4 second, 3)"
    ),
    # The first check would answer a bare ACK; the SYN+ACK may be what was lost, and Linux repeats it.
    (State.SYN_RECEIVED, Trigger.SYN_AGAIN): Move(State.SYN_RECEIVED, Reply.SYN_ACK, "3.8.1"),
    # It asks for the feedback of RFC 3168 after that of RFC 9768, or the other way round.
    (State.SYN_RECEIVED, Trigger.SYN_OF_OTHER_ECN): Move(State.CLOSED, Reply.RST, "RFC 9768 3.1.5"),
    (State.SYN_RECEIVED, Trigger.SYN_ACK_OF_OURS): Move(
        State.ESTABLISHED, None, "3.5 figure 7, appendix A.2"
    ),
    (State.SYN_RECEIVED, Trigger.SYN_IN_WINDOW): Move(
        State.SYN_RECEIVED, Reply.CHALLENGE_ACK, "3.10.7.4 fourth"
    ),
    (State.SYN_RECEIVED, Trigger.WRONG_ACK): Move(State.SYN_RECEIVED, Reply.RST, "3.10.7.4 fifth"),
    (State.SYN_RECEIVED, Trigger.ACK_OF_SYN): Move(State.ESTABLISHED, None, "3.10.7.4 fifth"),
    (State.SYN_RECEIVED, Trigger.CLOSE): Move(State.FIN_WAIT_1, Reply.FIN, "3.10.4"),
    (State.SYN_RECEIVED, Trigger.ABORT): Move(State.CLOSED, Reply.RST, "3.10.5"),
    (State.SYN_RECEIVED, Trigger.GIVE_UP): Move(State.CLOSED, None, "3.8.3"),
    (State.SYN_RECEIVED, Trigger.USER_TIMEOUT): Move(State.CLOSED, None, "3.10.8"),
    (State.SYN_RECEIVED, Trigger.EVICTED): Move(State.CLOSED, None, "RFC 4987 3.4"),
}

_ANY_SYNCHRONIZED: Final[dict[tuple[State, Trigger], Move]] = {
    (state, trigger): Move(to or state, reply, rule)
    for state in SYNCHRONIZED
    for trigger, to, reply, rule in (
        (Trigger.UNACCEPTABLE, None, Reply.ACK, "3.10.7.4 first"),
        (Trigger.RST_FOR_US, State.CLOSED, None, "3.10.7.4 second"),
        (Trigger.RST_IN_WINDOW, None, Reply.CHALLENGE_ACK, "3.10.7.4 second, 3)"),
        (Trigger.SYN_IN_WINDOW, None, Reply.CHALLENGE_ACK, "3.10.7.4 fourth"),
        (Trigger.WRONG_ACK, None, Reply.ACK, "3.10.7.4 fifth"),
    )
}

_CLOSING: Final[dict[tuple[State, Trigger], Move]] = {
    (State.ESTABLISHED, Trigger.CLOSE): Move(State.FIN_WAIT_1, Reply.FIN, "3.10.4"),
    (State.ESTABLISHED, Trigger.ABORT): Move(State.CLOSED, Reply.RST, "3.10.5"),
    (State.ESTABLISHED, Trigger.FIN): Move(State.CLOSE_WAIT, Reply.ACK, "3.10.7.4 eighth"),
    (State.FIN_WAIT_1, Trigger.ACK_OF_FIN): Move(State.FIN_WAIT_2, None, "3.10.7.4 fifth"),
    (State.FIN_WAIT_1, Trigger.FIN): Move(State.CLOSING, Reply.ACK, "3.10.7.4 eighth"),
    (State.FIN_WAIT_1, Trigger.ABORT): Move(State.CLOSED, Reply.RST, "3.10.5"),
    (State.FIN_WAIT_1, Trigger.TEXT_FOR_NOBODY): Move(State.CLOSED, Reply.RST, "3.6.1"),
    (State.FIN_WAIT_2, Trigger.FIN): Move(State.TIME_WAIT, Reply.ACK, "3.10.7.4 eighth"),
    (State.FIN_WAIT_2, Trigger.ABORT): Move(State.CLOSED, Reply.RST, "3.10.5"),
    (State.FIN_WAIT_2, Trigger.TEXT_FOR_NOBODY): Move(State.CLOSED, Reply.RST, "3.6.1"),
    # The RFC lets FIN-WAIT-2 last for ever; Linux ends it when the user has gone (tcp_fin_timeout).
    (State.FIN_WAIT_2, Trigger.ORPHAN_OVER): Move(State.CLOSED, None, "3.6.1"),
    (State.CLOSE_WAIT, Trigger.CLOSE): Move(State.LAST_ACK, Reply.FIN, "3.10.4"),
    (State.CLOSE_WAIT, Trigger.ABORT): Move(State.CLOSED, Reply.RST, "3.10.5"),
    (State.CLOSING, Trigger.ACK_OF_FIN): Move(State.TIME_WAIT, None, "3.10.7.4 fifth"),
    (State.CLOSING, Trigger.ABORT): Move(State.CLOSED, None, "3.10.5"),
    (State.LAST_ACK, Trigger.ACK_OF_FIN): Move(State.CLOSED, None, "3.10.7.4 fifth"),
    (State.LAST_ACK, Trigger.ABORT): Move(State.CLOSED, None, "3.10.5"),
    (State.TIME_WAIT, Trigger.FIN): Move(State.TIME_WAIT, Reply.ACK, "3.10.7.4 eighth"),
    (State.TIME_WAIT, Trigger.SYN_REOPENS): Move(State.CLOSED, None, "3.6.1"),
    (State.TIME_WAIT, Trigger.ABORT): Move(State.CLOSED, None, "3.10.5"),
    (State.TIME_WAIT, Trigger.TIME_WAIT_OVER): Move(State.CLOSED, None, "3.10.8"),
}

_GIVEN_UP: Final[dict[tuple[State, Trigger], Move]] = {
    (state, trigger): Move(State.CLOSED, reply, rule)
    for trigger, reply, rule, states in (
        (Trigger.GIVE_UP, None, "3.8.3", _UNFINISHED),
        (Trigger.USER_TIMEOUT, None, "3.10.8", _UNFINISHED),
        (Trigger.PATH_ERROR, None, "3.9.2.2", (State.SYN_SENT, State.SYN_RECEIVED)),
        # Whether the peer crashed or merely lost its way: should it come back, it must not go on. So Linux.
        (Trigger.KEEP_ALIVE_FAILED, Reply.RST, "3.8.4", _OPEN_FOR_THE_PEER),
    )
    for state in states
}

TABLE: Final[dict[tuple[State, Trigger], Move]] = _OPENING | _ANY_SYNCHRONIZED | _CLOSING | _GIVEN_UP
