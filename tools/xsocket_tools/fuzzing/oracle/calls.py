"""Calls of the target's user: RFC 9293 sections 3.10.1 to 3.10.5, and the pool. What has to come of them."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from xsocket.state import State
from xsocket_tools.fuzzing.oracle import rules, timing
from xsocket_tools.fuzzing.oracle.expectation import Expected, Want
from xsocket_tools.fuzzing.oracle.habits import Habit
from xsocket_tools.fuzzing.oracle.rules import Rule
from xsocket_tools.fuzzing.oracle.shadow import ORPHANED, Shadow, World
from xsocket_tools.fuzzing.target import Answer


class Outcome(NamedTuple):
    """What a call has to lead to.

    Attributes:
        expected: What has to be sent.
        complaint: What is wrong with the answer itself; empty for nothing.
    """

    expected: Expected
    complaint: str = ""


def _silence(rule: Rule, complaint: str = "") -> Outcome:
    return Outcome(Expected(rule, Want.SILENCE), complaint)


def called(world: World, shadow: Shadow, name: str, size: int, answer: Answer, now: float) -> Outcome:
    """Follow a call, and return what has to come of it."""
    return _CALLS[name](world, shadow, size, answer, now)


def _may_be_reused(world: World, shadow: Shadow, now: float) -> bool:
    """RFC 6191 section 2: the timestamp of our SYN will show that it is a new one."""
    config = world.config
    if Habit.PORTS_TAKE_TIME_WAIT in world.habits:
        return shadow.is_small and not shadow.is_half_open and shadow.ts
    is_old = shadow.state is State.TIME_WAIT and shadow.ts and config.timestamps
    return is_old and config.tw_reuse and now - shadow.ts_recent_at > 1.0


def _open(world: World, shadow: Shadow, size: int, answer: Answer, now: float) -> Outcome:
    reused, stamp = None, 0
    if shadow.state is not None:
        if not _may_be_reused(world, shadow, now):
            return _silence(rules.REUSE, "" if answer.error else "opened what exists")
        reused = shadow.snd_nxt
        stamp = shadow.ts_recent if Habit.PORTS_TAKE_TIME_WAIT in world.habits else 0
    if answer.error:
        return _silence(rules.OPEN, "" if size > world.config.wmem else f"raised {answer.error}")
    if reused is not None:
        world.end(shadow, "")
    shadow.forget()
    shadow.left, shadow.reopened_from, shadow.ts_recent = None, reused, stamp
    shadow.path_mss = min(shadow.path_mss, world.path_mss(shadow, now))
    shadow.waiting_since = now
    shadow.queued = size
    shadow.passive, shadow.claimed, shadow.took_over = False, True, bool(stamp)
    world.enter(shadow, State.SYN_SENT)
    shadow.opening_due = timing.no_later(shadow, now + world.config.initial_rto_s)
    return Outcome(Expected(rules.OPEN, Want.SYN))


def _claim(world: World, shadow: Shadow, size: int, answer: Answer, now: float) -> Outcome:
    del size, now
    if world.queues is not None and _is_looked_for(shadow):
        world.queues.take(shadow.version, shadow.place if shadow.waiting else 0)
    if not shadow.waiting:
        return _silence(rules.CLAIM, "" if answer.error else f"gave {answer.value}, which does not wait")
    if answer.error:
        return _silence(rules.CLAIM, f"raised {answer.error}, and {shadow.four_tuple} waits")
    shadow.waiting, shadow.claimed, shadow.left = False, True, None
    world.waiting.remove(shadow)
    wrong = answer.value != shadow.four_tuple
    return _silence(rules.CLAIM, f"gave {answer.value} for {shadow.four_tuple}" if wrong else "")


def _is_looked_for(shadow: Shadow) -> bool:
    """Whether who claims a connection of Linux accepts those before it: not what is none, or has an owner."""
    owned = shadow.claimed and shadow.passive and not shadow.user_gone
    return shadow.state not in (None, State.TIME_WAIT) and not owned


def _claim_any(world: World, shadow: Shadow, size: int, answer: Answer, now: float) -> Outcome:
    """Whichever is next: the one that has waited for longest.

    Where nobody knows of some connections whether they wait, it may be one of those.
    """
    del shadow
    if not all(each.is_known for each in world.shadows.values()):
        given = next((each for each in world.waiting if each.four_tuple == answer.value), None)
        return _silence(rules.CLAIM) if given is None else _claim(world, given, size, answer, now)
    if world.queues is not None:
        world.queues.take_oldest(world.waiting[0].place if world.waiting else 0)
    if not world.waiting:
        return _silence(rules.CLAIM, "" if answer.error else f"gave {answer.value}, and nothing waits")
    return _claim(world, world.waiting[0], size, answer, now)


def _send(world: World, shadow: Shadow, size: int, answer: Answer, now: float) -> Outcome:
    del now
    if not _is_in_hand(shadow):
        if shadow.left is not None and shadow.left.error and size:
            return _told(shadow, answer)
        return _silence(rules.SEND, "" if answer.error else "took text for no connection")
    if shadow.closing or shadow.user_gone:
        return _silence(rules.SEND, "" if answer.error else "took text after CLOSE")
    if answer.error:
        full = shadow.queued - _acknowledged(shadow) >= world.config.wmem
        return _silence(rules.SEND, "" if full or not size else f"raised {answer.error}")
    if not isinstance(answer.value, int) or not 0 <= answer.value <= size:
        return _silence(rules.SEND, f"took {answer.value} of {size} octets")
    shadow.queued += answer.value
    return _silence(rules.SEND)


def _acknowledged(shadow: Shadow) -> int:
    return max(0, shadow.queued - shadow.flight - shadow.unsent)


def _receive(world: World, shadow: Shadow, size: int, answer: Answer, now: float) -> Outcome:
    del world, now
    if not _is_in_hand(shadow) and shadow.left is not None and not shadow.left.has_text and size:
        if shadow.left.has_ended and Habit.END_IS_SAID_FIRST in shadow.habits:
            return _silence(rules.ERROR, f"raised {answer.error} after the end" if answer.error else "")
        return _told(shadow, answer)
    if not _is_in_hand(shadow) and shadow.left is not None and (answer.error or not answer.value):
        shadow.left = None  # with that the user has been told
    if not _is_in_hand(shadow) or not shadow.was_established or shadow.user_gone:
        return _silence(rules.RECEIVE)
    if answer.error:
        blocked = answer.error == "BlockingIOError" and not shadow.text
        return _silence(rules.RECEIVE, "" if blocked or not size else f"raised {answer.error}")
    got = bytes(answer.value)
    due = bytes(shadow.text[:size])
    ended = not shadow.text and shadow.state in _AFTER_FIN
    if got != due or (size and not got and not ended):
        return _silence(rules.RECEIVE, f"gave {len(got)} octets {got[:16]!r}, not {len(due)} {due[:16]!r}")
    del shadow.text[: len(got)]
    if ended or (got and not shadow.text and shadow.fin_is_joined):
        shadow.fin_waits = False
    return Outcome(Expected(rules.RECEIVE, Want.ACK_SOON))


def _told(shadow: Shadow, answer: Answer) -> Outcome:
    """The first call after a connection has ended says why, once."""
    assert shadow.left is not None
    due = "" if shadow.left.error == "BrokenPipeError" else shadow.left.error
    shadow.left = None
    if answer.error == due or (answer.error == "BrokenPipeError" and not due):
        return _silence(rules.ERROR)
    return _silence(rules.ERROR, f"{due or 'the end'} was due, and it {answer.error or 'gave text'}")


_AFTER_FIN = frozenset({State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT})


def _is_in_hand(shadow: Shadow) -> bool:
    """Whether the user has the connection, and it exists."""
    return shadow.claimed and not shadow.waiting and shadow.state is not None


def _shutdown(world: World, shadow: Shadow, size: int, answer: Answer, now: float) -> Outcome:
    del size
    if not _is_in_hand(shadow) or shadow.state is State.TIME_WAIT or shadow.user_gone:
        return _silence(rules.CLOSE)
    if answer.error:
        return _silence(rules.CLOSE, f"raised {answer.error}")
    if shadow.state is State.SYN_RECEIVED and Habit.LATE_SHUTDOWN in world.habits:
        shadow.closing = True
        return _silence(rules.CLOSE)
    return _finish(world, shadow, now)


def _finish(world: World, shadow: Shadow, now: float) -> Outcome:
    if shadow.closing:
        return _silence(rules.CLOSE)
    if shadow.state is State.SYN_SENT:
        world.end(shadow)
        return _silence(rules.CLOSE)
    shadow.closing = True
    if shadow.state is State.SYN_RECEIVED and shadow.unsent and not shadow.fast:
        return _silence(rules.CLOSE)
    if shadow.state in (State.ESTABLISHED, State.SYN_RECEIVED):
        if shadow.state is State.SYN_RECEIVED and shadow.clock is not None:
            shadow.clock.is_exact = False
        shadow.opening_due = inf
        world.enter(shadow, State.FIN_WAIT_1)
    elif shadow.state is State.CLOSE_WAIT:
        world.enter(shadow, State.LAST_ACK)
    del now
    return _silence(rules.CLOSE)


def _close(world: World, shadow: Shadow, size: int, answer: Answer, now: float) -> Outcome:
    del size
    shadow.left = None
    if not _is_in_hand(shadow):
        return _silence(rules.CLOSE)
    if answer.error:
        return _silence(rules.CLOSE, f"raised {answer.error}")
    if shadow.user_gone:
        return _silence(rules.CLOSE)
    if shadow.text and shadow.state in _CAN_LOSE:
        return Outcome(Expected(rules.CLOSE_UNREAD, Want.OWN_RESET))
    shadow.user_gone, shadow.fin_waits = True, False
    if shadow.state is State.SYN_RECEIVED and Habit.LATE_SHUTDOWN in world.habits:
        shadow.closing = False  # that was put off, and CLOSE is not
    outcome = _finish(world, shadow, now)
    if shadow.state in ORPHANED:
        if len(world.orphans) >= world.config.max_orphans:
            return _one_orphan_too_many(world, shadow)
        world.orphans.append(shadow)
    if shadow.state is State.FIN_WAIT_2:
        if Habit.LIMITED_CHALLENGES in world.habits:
            shadow.invalid_at = -inf
        shadow.ends_at = now + world.config.fin_timeout_s
        shadow.keep_alive_at = inf
    return outcome


def _one_orphan_too_many(world: World, shadow: Shadow) -> Outcome:
    del world
    if shadow.state in (State.CLOSING, State.LAST_ACK):
        return Outcome(Expected(rules.ORPHANS, Want.LAST_WORDS))
    return Outcome(Expected(rules.ORPHANS, Want.FIN_AND_RESET))


_CAN_LOSE = frozenset(
    {State.SYN_RECEIVED, State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSE_WAIT}
)


def _abort(world: World, shadow: Shadow, size: int, answer: Answer, now: float) -> Outcome:
    del size, now
    shadow.left = None
    if not _is_in_hand(shadow):
        return _silence(rules.ABORT)
    if answer.error:
        return _silence(rules.ABORT, f"raised {answer.error}")
    if shadow.state in _CAN_LOSE:
        return Outcome(Expected(rules.ABORT, Want.OWN_RESET))
    world.end(shadow)
    return _silence(rules.ABORT)


_CALLS = {
    "open": _open,
    "claim": _claim,
    "claim any": _claim_any,
    "send": _send,
    "receive": _receive,
    "shutdown": _shutdown,
    "close": _close,
    "abort": _abort,
}
