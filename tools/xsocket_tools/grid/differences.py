"""Where the engine follows the RFC and Linux does not: which cells, by which rule, and why."""

from collections.abc import Callable
from typing import Final, NamedTuple

from xsocket.segment import ACK, RST, SYN
from xsocket.state import State
from xsocket_tools.grid.cells import Cell


class Difference(NamedTuple):
    """A reason for which Linux answers otherwise in some cells.

    Attributes:
        name: In a few words.
        rule: The section of RFC 9293 that the engine follows.
        reason: What either does, and why the engine stays with it.
        covers: Whether a cell is one of them.
    """

    name: str
    rule: str
    reason: str
    covers: Callable[[Cell], bool]


def _acceptable(cell: Cell) -> bool:
    return cell.sequence in ("next", "in window")


def _another_syn(cell: Cell) -> bool:
    in_window = cell.state is State.SYN_RECEIVED and cell.flags & SYN and _acceptable(cell)
    return bool(in_window) and (not cell.flags & ACK or cell.acknowledgment == "good")


def _wrong_ack_first(cell: Cell) -> bool:
    if cell.state is not State.SYN_RECEIVED or cell.flags & RST or not cell.flags & ACK:
        return False
    if cell.acknowledgment == "good":
        return False
    if cell.flags & SYN:
        return True
    reaches_the_window = cell.segment == "ACK+data" and cell.sequence == "old"
    return not _acceptable(cell) and not reaches_the_window


def _no_flags(cell: Cell) -> bool:
    synchronized = cell.state in _SYNCHRONIZED
    return synchronized and cell.segment == "no flags" and not _acceptable(cell)


def _future_in_time_wait(cell: Cell) -> bool:
    return cell == Cell(State.TIME_WAIT, "ACK", "next", "future")


def _syn_with_fin_in_time_wait(cell: Cell) -> bool:
    later = cell.sequence in ("in window", "out of window")
    return cell.state is State.TIME_WAIT and cell.segment == "SYN+FIN" and later


_SYNCHRONIZED: Final = (
    State.ESTABLISHED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.CLOSE_WAIT,
    State.CLOSING,
    State.LAST_ACK,
)

DIFFERENCES: Final = (
    Difference(
        "another SYN where the third segment was due",
        "3.10.7.4 fourth",
        "The RFC returns a passive open to LISTEN and says nothing, so that the peer's next SYN finds it "
        "there. Linux sends a reset as well. The peer's SYN is repeated either way; silence leaves a peer "
        "that has merely restarted its attempt unharmed.",
        _another_syn,
    ),
    Difference(
        "an acknowledgment of what was never sent, before ESTABLISHED",
        "3.10.7.4 first, fourth",
        "Linux looks at the acknowledgment before anything else and answers a wrong one with a reset, as "
        "section 3.5.2 has it for every state before ESTABLISHED. The order of section 3.10.7.4 judges "
        "sequence number and SYN first, and an off-path attacker learns nothing from an acknowledgment "
        "that he could not learn from any segment.",
        _wrong_ack_first,
    ),
    Difference(
        "no ACK, no RST, no SYN",
        "3.10.7.4 first",
        "Linux throws a segment without any of the three away before it looks at the sequence number. The "
        "RFC checks the number first, and acknowledges what lies outside the window.",
        _no_flags,
    ),
    Difference(
        "an acknowledgment of what was never sent, in TIME-WAIT",
        "3.10.7.4 fifth",
        "Linux keeps so little of a connection in TIME-WAIT that it does not look at acknowledgments. The "
        "RFC answers one of what was never sent.",
        _future_in_time_wait,
    ),
    Difference(
        "SYN and FIN together in TIME-WAIT",
        "3.10.7.4 fourth",
        "Linux lets the SYN end TIME-WAIT, as if it opened the connection anew, and then drops it for its "
        "FIN. A segment that cannot open a connection does not end one here.",
        _syn_with_fin_in_time_wait,
    ),
)


def explained_by(cell: Cell) -> Difference | None:
    """Return the reason for which Linux answers otherwise; None where it must not."""
    return next((each for each in DIFFERENCES if each.covers(cell)), None)
