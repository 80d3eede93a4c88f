"""When two ends are in the same state: in all that can make a difference to what they do next.

Numbers count from where the exploration begins to count, instants from now. A field that is not named here is
compared as it is: one that is new to the engine may make two states out of one, but never one out of two.
"""

from collections import deque
from collections.abc import Hashable
from math import inf
from typing import Final

from xsocket.tcp.tcb import Tcb
from xsocket_tools.exploration.end import End

_OWN: Final = frozenset(
    {"iss", "snd_una", "snd_nxt", "snd_wl2", "short_right", "seq", "right", "left", "recover"}
)
"""Fields of the TCB, and of what hangs on it, that hold one of the end's own numbers."""
_PEERS: Final = frozenset({"irs", "rcv_nxt", "rcv_adv", "last_ack_sent", "snd_wl1", "fin_at"})
"""Fields that hold one of the peer's."""
_INSTANTS: Final = frozenset({"deadline", "ack_at"})

_ELSEWHERE: Final = frozenset({"timed", "established_at", "invalid_at", "heard_at", "config"})
"""Fields of which `_rest` says what counts."""
_WITHOUT_EFFECT: Final = frozenset(
    {
        "four_tuple",  # the same throughout
        "scheduled",  # a timer is looked at no later than it is due: `soundness` sees to that
        "waiting_since",  # read only with user_timeout_s
        "ts_recent_at",  # read only with timestamps
        "challenges",  # their limit is out of reach
        "quickacks",  # likewise
        "order",  # the order of sending is read only with SACK
        "_next_order",
        "_delivered",
        "_lowered_at",
        "_turns",  # the order in which stretches are reported, likewise
        "_arrivals",
        "came_twice",
        "sent_at",  # read only with slow_start_after_idle
    }
)


def identity(end: End) -> Hashable:
    """Return a value that is equal for two ends exactly if they are in the same state."""
    tcb = end.tcb
    if tcb is None:
        return end.side, end.listens, end.generation, end.lost_patience
    return end.side, end.listens, end.generation, end.taken, _of_slots(end, tcb), _rest(end, tcb)


def _rest(end: End, tcb: Tcb) -> Hashable:
    timed = None if tcb.timed is None else (end.own(tcb.timed[0]), _ago(end, tcb.timed[1]))
    heard = _ago(end, tcb.heard_at) if tcb.config.keepalive else None
    return timed, tcb.established_at is not None, _holds_back_s(end, tcb), heard


def _ago(end: End, instant: float) -> float:
    return round(end.now - instant, 6)


def _holds_back_s(end: End, tcb: Tcb) -> float:
    """For how long segments that are not acceptable get no answer (`TcpConfig.invalid_ratelimit_s`)."""
    if tcb.invalid_at is None:
        return 0.0
    return max(0.0, round(tcb.invalid_at + tcb.config.invalid_ratelimit_s - end.now, 6))


def _of_slots(end: End, thing: object) -> Hashable:
    left_out = _ELSEWHERE | _WITHOUT_EFFECT
    names = [name for name in type(thing).__slots__ if name not in left_out]  # type: ignore[attr-defined]
    return tuple(_of_field(end, name, getattr(thing, name)) for name in names)


def _of_field(end: End, name: str, value: object) -> Hashable:
    if name in _OWN and isinstance(value, int):
        return end.own(value) if value else None  # 0 stands for no number yet, whatever the numbers are
    if name in _PEERS and isinstance(value, int):
        return end.peers(value)
    if isinstance(value, float):
        return round(value - end.now if name in _INSTANTS and value != inf else value, 6)
    return _of_value(end, value)


def _of_value(end: End, value: object) -> Hashable:
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, deque | list | tuple):
        return tuple(_of_value(end, each) for each in value)
    if type(value).__module__.startswith("xsocket.tcp."):
        return _of_slots(end, value)
    assert isinstance(value, Hashable), f"{value!r} has no identity yet"
    return value
