"""The only two ways in which a TCB changes its state or ends: a move by the table, and deletion."""

from math import inf

from xsocket.actions import Action, Changed, Deleted, Moved
from xsocket.state import Trigger
from xsocket.tcp.table import TABLE, Move
from xsocket.tcp.tcb import Tcb


def move(tcb: Tcb, trigger: Trigger, out: list[Action]) -> Move:
    """Change state as the table says; the only place where a state changes."""
    before = tcb.state
    step = TABLE[before, trigger]
    if step.to is not before:
        tcb.state = step.to
        out.append(Moved(tcb.four_tuple, before, step.to, trigger, step.rule))
    return step


def delete(tcb: Tcb, error: type[OSError] | None, out: list[Action]) -> None:
    """Let go of the connection; *error* is what its user gets told."""
    tcb.stop_timer()
    tcb.error = error
    tcb.ack_due, tcb.ack_at = None, inf
    out.append(Changed(tcb.four_tuple))
    out.append(Deleted(tcb.four_tuple, error))
