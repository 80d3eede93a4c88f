"""Which rows of the table of states an exploration never looked up, and why."""

from collections.abc import Iterable
from typing import Final

from xsocket.state import State, Trigger
from xsocket.tcp.table import TABLE
from xsocket_tools.exploration.behaviour import Row

_AFTER_ITS_FIN: Final = (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK)
_SYNCHRONIZED: Final = (
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    *_AFTER_ITS_FIN,
    State.TIME_WAIT,
)
_BY_ROW: Final = {
    **dict.fromkeys(
        ((state, Trigger.WRONG_ACK) for state in _SYNCHRONIZED), "nobody forges an acknowledgment"
    ),
    **dict.fromkeys(
        ((state, Trigger.RST_IN_WINDOW) for state in _AFTER_ITS_FIN),
        "nothing of the peer's comes after its FIN, unless it is forged",
    ),
    (State.TIME_WAIT, Trigger.RST_IN_WINDOW): "no guard makes this of it: TIME-WAIT has no window",
    (State.LISTEN, Trigger.CLOSE): "Admission listens, and no connection",
    (State.LISTEN, Trigger.ABORT): "Admission listens, and no connection",
}
_BY_TRIGGER: Final = {
    Trigger.ACK_OF_COOKIE: "no SYN cookies are sent",
    Trigger.SYN_OF_OTHER_ECN: "nobody asks for ECN",
    Trigger.USER_TIMEOUT: "no user timeout is set",
    Trigger.PATH_ERROR: "the path reports no errors",
    Trigger.EVICTED: "there is room for all",
    Trigger.KEEP_ALIVE_FAILED: "keep-alive is turned on only where the peer is gone, and says so",
}
_OTHERWISE: Final = "not within these bounds"


def missing(rows: Iterable[Row]) -> dict[Row, str]:
    """Return every row that is not among *rows*, in the table's order, with the reason."""
    reached = frozenset(rows)
    return {
        row: _BY_ROW.get(row) or _BY_TRIGGER.get(row[1], _OTHERWISE) for row in TABLE if row not in reached
    }
