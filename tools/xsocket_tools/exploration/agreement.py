"""How it may end: which two states the ends may rest in, once nothing more happens by itself.

The ends *agree*

- if both connections are gone;
- if both are there with the same numbers, and both are ESTABLISHED, or one of them has closed and the
  other has not: FIN-WAIT-2 and CLOSE-WAIT. Both may be silent for ever.

One end may be gone while the other is there, which is *half-open* (RFC 9293 section 3.5.1):

- in CLOSE-WAIT, after its peer has lost patience with a user who never closes (`ORPHAN_OVER`);
- in CLOSE-WAIT, ESTABLISHED or FIN-WAIT-2, but only if something went wrong: a reset was lost, or an end
  crashed, or had no answer and gave up.

Then the one that is left must find out as soon as it says anything: the keep-alive probes that its user turns
on, and its next text where it may still send, must lead to two ends that are gone. Nothing else may be.
"""

from typing import Final

from xsocket.state import State
from xsocket_tools.exploration.behaviour import Standing
from xsocket_tools.exploration.end import Call
from xsocket_tools.exploration.whole import Whole, World

_AGREE: Final = frozenset(
    {
        (State.ESTABLISHED, State.ESTABLISHED),
        (State.FIN_WAIT_2, State.CLOSE_WAIT),
        (State.CLOSE_WAIT, State.FIN_WAIT_2),
    }
)
_HALF_OPEN: Final = frozenset({State.ESTABLISHED, State.FIN_WAIT_2, State.CLOSE_WAIT})
_MOST_STEPS: Final = 100


def disagreement(world: World, whole: Whole) -> str:
    """Return why the ends may not rest like this; empty if they may.

    Args:
        world: Theirs.
        whole: Nothing happens in it by itself.
    """
    a, b = world.behaviour.standings[whole.a], world.behaviour.standings[whole.b]
    pair = f"A is {a.state.value} and B is {b.state.value}"
    if not a.settled or not b.settled:
        return f"{pair}, something is unsaid or not acknowledged, and no timer runs"
    if State.CLOSED not in (a.state, b.state):
        return "" if _agree(a, b) else f"{pair}, and they do not agree"
    if a.state is b.state:
        return ""
    survivor = 0 if b.state is State.CLOSED else 1
    left, gone = (a, b) if b.state is State.CLOSED else (b, a)
    no_reason = whole.faults == world.faults and not (left.state is State.CLOSE_WAIT and gone.lost_patience)
    if left.state not in _HALF_OPEN or no_reason:
        return f"{pair} for no reason"
    return "" if _finds_out(world, whole, survivor) else f"{pair}, and it never finds out"


def _agree(a: Standing, b: Standing) -> bool:
    same_numbers = a.snd_nxt == b.rcv_nxt and b.snd_nxt == a.rcv_nxt
    return (a.state, b.state) in _AGREE and same_numbers


def _finds_out(world: World, whole: Whole, survivor: int) -> bool:
    ways = [Call.WATCH]
    if world.behaviour.standings[whole.ends[survivor]].offers & Call.SEND:
        ways.append(Call.SEND)
    return all(_both_gone(world, _run_on(world, world.call(whole, survivor, way)[1])) for way in ways)


def _run_on(world: World, whole: Whole) -> Whole:
    """Let things take their course on a good path; return what comes of it."""
    whole = whole._replace(a_late=(), b_late=())
    for _ in range(_MOST_STEPS):
        if whole.a_line or whole.b_line:
            _, whole, _ = world.arrival(whole, 0 if whole.a_line else 1)
            continue
        later = next(world.time(whole), None)
        if later is None:
            break
        whole = later[1]
    return whole


def _both_gone(world: World, whole: Whole) -> bool:
    standings = world.behaviour.standings
    return standings[whole.a].state is standings[whole.b].state is State.CLOSED
