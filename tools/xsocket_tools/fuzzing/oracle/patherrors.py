"""ICMP errors: RFC 9293 section 3.9.2.2, RFC 5927, and path MTU discovery."""

from __future__ import annotations

from typing import Final, NamedTuple

from xsocket.state import State
from xsocket_tools.fuzzing.case import Icmp
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.edges import mss_in_use
from xsocket_tools.fuzzing.oracle.expectation import Expected, Want
from xsocket_tools.fuzzing.oracle.habits import Habit
from xsocket_tools.fuzzing.oracle.shadow import Shadow, World, ahead

LEAST_QUOTED: Final = 8
"""Ports and sequence number: without them nobody knows what the error is about."""
PLATEAU: Final = 1492
"""What a router means that says no MTU: the plateau below the packet's 1,500 octets (RFC 1191 section 7)."""
_HEADERS: Final = {4: 40, 6: 60}
_LEAST_V6: Final = 1280


class Meaning(NamedTuple):
    """What an error means: the name of what the user is told, and whether it is for good."""

    error: str
    hard: bool


_GONE = Meaning("HostUnreachableError", hard=False)
_MEANINGS: Final = {
    (4, "net unreachable"): Meaning("NetworkUnreachableError", hard=False),
    (6, "net unreachable"): Meaning("NetworkUnreachableError", hard=False),
    (4, "protocol unreachable"): Meaning("ConnectionRefusedError", hard=True),
    (4, "port unreachable"): Meaning("ConnectionRefusedError", hard=True),
    (6, "port unreachable"): Meaning("ConnectionRefusedError", hard=True),
    (4, "prohibited"): Meaning("HostUnreachableError", hard=True),
    (6, "prohibited"): Meaning("PermissionError", hard=True),
}


_END_REQUESTS: Final = {
    4: ("net unreachable", "host unreachable", "time exceeded", "parameter problem"),
    6: ("port unreachable", "prohibited", "protocol unreachable", "parameter problem"),
}
"""What ends a half-open connection of Linux: ``tcp_v4_err``, ``icmpv6_err_convert``."""


def arrives(world: World, shadow: Shadow, icmp: Icmp, seq: int, now: float) -> Expected:
    """Take an error about the number *seq* in; nothing but smaller segments ever answers one."""
    silence = Expected(rules.ICMP_IN_FLIGHT, Want.SILENCE)
    if shadow.state is None or shadow.iss is None or icmp.quoted < LEAST_QUOTED:
        return silence
    most = shadow.flight + (Habit.ERRORS_AT_NEXT in world.habits and not shadow.is_half_open)
    if not 0 <= ahead(shadow.snd_una, seq) < most or icmp.kind == "source quench":
        return silence
    if Habit.ERRORS_OF_REQUESTS in world.habits and shadow.is_small:
        if shadow.is_half_open and icmp.kind in _END_REQUESTS[shadow.version]:
            world.end(shadow, "")
        return Expected(rules.ICMP_HARD, Want.SILENCE)
    if icmp.kind == "too big":
        return _too_big(world, shadow, icmp, now)
    error, hard = _MEANINGS.get((shadow.version, icmp.kind), _GONE)
    queues = world.queues
    is_served = shadow.fast and queues is not None and not queues.holds(shadow.version, shadow.place)
    opening = shadow.state in (State.SYN_SENT, State.SYN_RECEIVED) and not is_served
    if opening and (hard or world.config.soft_errors_abort):
        world.end(shadow, error)
        return Expected(rules.ICMP_HARD, Want.SILENCE)
    shadow.soft_error = error
    return Expected(rules.ICMP_SOFT, Want.SILENCE)


def _share(world: World, shadow: Shadow) -> None:
    """Let the other connections with the host know of the path."""
    for each in world.shadows.values():
        is_same = each.four_tuple.remote_address == shadow.four_tuple.remote_address
        if is_same and (each.is_half_open or not each.is_small):
            each.path_mss = min(each.path_mss, shadow.path_mss)


def _too_big(world: World, shadow: Shadow, icmp: Icmp, now: float) -> Expected:
    if shadow.version == 6 and icmp.mtu < _LEAST_V6:
        return Expected(rules.ICMP_MTU, Want.SILENCE)
    unknown = shadow.config.min_pmtu if Habit.ZERO_MTU_IS_LEAST in world.habits else PLATEAU
    mtu = max(icmp.mtu or unknown, shadow.config.min_pmtu)
    smaller_only = shadow.version == 6 and Habit.PATH_BELOW_MSS in world.habits
    if smaller_only and mtu - _HEADERS[shadow.version] >= mss_in_use(shadow):
        return Expected(rules.ICMP_MTU, Want.SILENCE)
    was_most, was_path = shadow.most_text, shadow.path_mss
    shadow.path_mss = min(shadow.path_mss, mtu - _HEADERS[shadow.version])
    if Habit.PATH_IS_SHARED in world.habits:
        _share(world, shadow)
    if shadow.path_mss != was_path:
        until = now + world.config.mtu_expires_s
        world.paths[shadow.four_tuple.remote_address] = shadow.path_mss, until
    most = shadow.most_text
    too_big = any(shadow.left_of(seq, size) > most for seq, size in shadow.sent_sizes)
    clock = shadow.clock  # after a timeout the congestion window has a say
    if most < was_most and too_big and shadow.snd_wnd and clock is not None and not clock.has_timed_out:
        return Expected(rules.ICMP_MTU, Want.TEXT)
    return Expected(rules.ICMP_MTU, Want.SILENCE)
