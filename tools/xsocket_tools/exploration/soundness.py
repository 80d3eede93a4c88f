"""What must hold of every single step of an end, whatever the other end does."""

from collections.abc import Sequence

from xsocket.actions import Action, Deleted, Moved, Send
from xsocket.segment import Segment
from xsocket.seqnum import distance
from xsocket.state import State
from xsocket.tcp.table import TABLE
from xsocket_tools.exploration.end import Call, End, Stimulus


def complaint(end: End, before: State, stimulus: Stimulus, actions: Sequence[Action]) -> str:
    """Return what is wrong with a step; empty for nothing.

    Args:
        end: After it.
        before: The state before it.
        stimulus: What happened to the end.
        actions: What the stack did.
    """
    found = "" if stimulus is Call.CRASH else _about_moves(before, actions, end.state)
    if isinstance(stimulus, Segment):
        found = found or _about_replies(stimulus, actions)
    return found or _about_tables(end) or _about_timers(end) or _about_text(end)


def _about_moves(before: State, actions: Sequence[Action], after: State) -> str:
    """Each change of state is a row of the table, and none goes unsaid."""
    moves = [action for action in actions if isinstance(action, Moved)]
    at = before
    for move in moves:
        row = TABLE.get((at, move.trigger))
        if row is None or (at, row.to, row.rule) != (move.before, move.after, move.rule):
            return f"moves from {move.before.value} to {move.after.value} outside the table"
        at = move.after
    if at is not after:
        return f"is in {after.value}, and nothing led there from {at.value}"
    ends = sum(move.after is State.CLOSED for move in moves)
    told = sum(isinstance(action, Deleted) for action in actions)
    return "" if told == ends else f"says {told} times that its connection is gone, and {ends} are"


def _about_replies(segment: Segment, actions: Sequence[Action]) -> str:
    replies = [action.segment for action in actions if isinstance(action, Send)]
    bare = [reply for reply in replies if not reply.payload and not reply.fin]
    if len(bare) > 1:
        return f"answers one segment with {len(bare)}"
    if segment.rst and any(reply.rst for reply in replies):
        return "answers a reset with a reset"
    return ""


def _about_tables(end: End) -> str:
    """The stack's tables have the connection where it belongs, and nothing once it is gone."""
    tcb, counted = end.tcb, end.stack.statistics()
    half_open = tcb is not None and tcb.state is State.SYN_RECEIVED and tcb.passive
    time_wait = tcb is not None and tcb.state is State.TIME_WAIT
    expected = (int(tcb is not None), int(half_open), int(time_wait))
    if (counted.connections, counted.half_open, counted.time_wait) != expected:
        return f"has {counted.half_open} half-open and {counted.time_wait} in TIME-WAIT in {end.state.value}"
    if counted.orphans and (tcb is None or not tcb.user_gone):
        return "counts an orphan whose user has not gone"
    return ""


def _about_timers(end: End) -> str:
    tcb = end.tcb
    if tcb is not None and tcb.due < end.stack.deadline:
        return f"would let the {tcb.timer.value if tcb.timer else 'delayed ACK'} timer pass"
    return ""


def _about_text(end: End) -> str:
    """What is acknowledged, the user has got, once."""
    tcb = end.tcb
    if tcb is None or tcb.established_at is None:
        return ""
    come = distance(tcb.irs, tcb.rcv_nxt) - 1 - int(tcb.peer_finished)
    return "" if come == end.taken else f"acknowledges {come} octets, and its user has {end.taken}"
