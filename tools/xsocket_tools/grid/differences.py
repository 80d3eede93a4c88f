"""Where Linux does otherwise than the engine: in which cells, what it does there, by which rule, and why.

A reason says what Linux does, cell by cell. One that another outcome could hide behind would be no reason.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from xsocket.segment import ACK, RST, SYN
from xsocket.state import State
from xsocket_tools.grid.cells import Cell, Outcome, Reply


class Difference(NamedTuple):
    """A reason for which Linux answers otherwise in some cells.

    Attributes:
        name: In a few words.
        rule: The section that the engine follows, of RFC 9293 where no other is named.
        reason: What either does, and why the engine stays with it.
        source: The functions of Linux 6.18 that do it.
        covers: Whether a cell is one of them.
        linux: What Linux makes of a cell that is.
    """

    name: str
    rule: str
    reason: str
    source: str
    covers: Callable[[Cell], bool]
    linux: Callable[[Cell], Outcome]


_AFTER_PEERS_FIN: Final = (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK)
_HAVE_A_SOCKET: Final = (State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2, *_AFTER_PEERS_FIN)
"""The synchronized states but TIME-WAIT, of which Linux keeps less."""


def _acceptable(cell: Cell) -> bool:
    return cell.sequence in ("next", "in window")


def _unmoved(cell: Cell) -> Outcome:
    return Outcome((), cell.state)


def _deleted(_: Cell) -> Outcome:
    return Outcome((), State.CLOSED)


def _reset(cell: Cell) -> Reply:
    """RFC 9293 section 3.5.2, groups 1 and 2."""
    if cell.flags & ACK:
        return Reply("R", cell.ack, None)
    return Reply("R.", None, cell.seq + cell.length)


def _is_another_syn(cell: Cell) -> bool:
    in_window = cell.state is State.SYN_RECEIVED and cell.flags & SYN and _acceptable(cell)
    return bool(in_window) and (not cell.flags & ACK or cell.acknowledgment == "good")


def _reset_and_dropped(cell: Cell) -> Outcome:
    return Outcome((_reset(cell),), State.LISTEN)


def _has_a_wrong_ack_first(cell: Cell) -> bool:
    wrong = cell.flags & ACK and not cell.flags & RST and cell.acknowledgment != "good"
    something_else_too = cell.flags & SYN or not _acceptable(cell)
    return cell.state is State.SYN_RECEIVED and bool(wrong) and bool(something_else_too)


def _reset_and_kept(cell: Cell) -> Outcome:
    return Outcome((_reset(cell),), State.SYN_RECEIVED)


def _has_no_flags(cell: Cell) -> bool:
    return cell.state in _HAVE_A_SOCKET and cell.segment == "no flags" and not _acceptable(cell)


def _is_old_but_acks_our_fin(cell: Cell) -> bool:
    ends_at_rcv_nxt = cell.segment in ("ACK+data", "FIN+ACK") and cell.sequence == "old"
    return ends_at_rcv_nxt and cell.acknowledgment == "good" and cell.state in _MOVED_BY_ACK_OF_FIN


_MOVED_BY_ACK_OF_FIN: Final = {
    State.FIN_WAIT_1: State.FIN_WAIT_2,
    State.CLOSING: State.TIME_WAIT,
    State.LAST_ACK: State.CLOSED,
}


def _moved_by_ack_of_fin(cell: Cell) -> Outcome:
    """Where it still has a socket after that, Linux acknowledges the old text, too."""
    answered = cell.state is State.FIN_WAIT_1
    replies = (Reply(".", cell.snd_nxt, cell.rcv_nxt),) if answered else ()
    return Outcome(replies, _MOVED_BY_ACK_OF_FIN[cell.state])


def _resets_at_the_fin(cell: Cell) -> bool:
    return cell.state in _AFTER_PEERS_FIN and bool(cell.flags & RST) and cell.sequence == "old"


def _is_future_ack_in_time_wait(cell: Cell) -> bool:
    return cell == Cell(State.TIME_WAIT, "ACK", "next", "future")


def _is_syn_with_fin_in_time_wait(cell: Cell) -> bool:
    later = cell.sequence in ("in window", "out of window")
    return cell.state is State.TIME_WAIT and cell.segment == "SYN+FIN" and later


DIFFERENCES: Final = (
    Difference(
        "another SYN where the third segment was due",
        "3.10.7.4 fourth",
        "The RFC returns a passive open to LISTEN and says nothing, so that the peer's next SYN finds it "
        "there. Linux sends a reset as well. The peer's SYN is repeated either way; silence leaves a peer "
        "that has merely restarted its attempt unharmed.",
        "tcp_check_req",
        _is_another_syn,
        _reset_and_dropped,
    ),
    Difference(
        "a wrong acknowledgment, and something else wrong, before ESTABLISHED",
        "3.10.7.4 first, fourth",
        "Linux looks at the acknowledgment before anything else and answers a wrong one with a reset, as "
        "section 3.5.2 has it for every state before ESTABLISHED. The order of section 3.10.7.4 judges "
        "sequence number and SYN first, and an off-path attacker learns nothing from an acknowledgment "
        "that he could not learn from any segment.",
        "tcp_check_req, tcp_rcv_state_process",
        _has_a_wrong_ack_first,
        _reset_and_kept,
    ),
    Difference(
        "no ACK, no RST, no SYN",
        "3.10.7.4 first",
        "Linux throws a segment without any of the three away before it looks at the sequence number. The "
        "RFC checks the number first, and acknowledges what lies outside the window.",
        "tcp_rcv_established, tcp_rcv_state_process",
        _has_no_flags,
        _unmoved,
    ),
    Difference(
        "old text or an old FIN that acknowledges our FIN",
        "3.10.7.4 first, appendix A.2",
        "What ends before RCV.NXT is outside the window: the RFC acknowledges it and reads no further. Linux "
        "lets in what ends just there, for the sake of its acknowledgment. Appendix A.2 knows the problem "
        "and leaves the rule as it is. Nothing is lost but time: the peer answers our FIN, sent again, with "
        "a number in the window.",
        "tcp_sequence",
        _is_old_but_acks_our_fin,
        _moved_by_ack_of_fin,
    ),
    Difference(
        "a reset with the number of the peer's FIN",
        "3.10.7.4 second, 1)",
        "A reset outside the window is dropped (RFC 5961 section 3.2). Linux makes one exception, for peers "
        "that do not count their own FIN when they reset afterwards. It gives an attacker a second number "
        "that hits.",
        "tcp_reset_check",
        _resets_at_the_fin,
        _deleted,
    ),
    Difference(
        "an acknowledgment of what was never sent, in TIME-WAIT",
        "3.10.7.4 fifth",
        "Linux keeps so little of a connection in TIME-WAIT that it does not look at acknowledgments. The "
        "RFC answers one of what was never sent.",
        "tcp_timewait_state_process",
        _is_future_ack_in_time_wait,
        _unmoved,
    ),
    Difference(
        "SYN and FIN together in TIME-WAIT",
        "3.10.7.4 fourth",
        "Linux lets the SYN end TIME-WAIT, as if it opened the connection anew, and then drops it for its "
        "FIN. A segment that cannot open a connection does not end one here.",
        "tcp_timewait_state_process, tcp_rcv_state_process",
        _is_syn_with_fin_in_time_wait,
        _deleted,
    ),
)


def explained_by(cell: Cell) -> Difference | None:
    """Return the reason for which Linux answers otherwise; None where it must not."""
    return next((each for each in DIFFERENCES if each.covers(cell)), None)
