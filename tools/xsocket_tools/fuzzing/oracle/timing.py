"""Timers of a connection by the RFCs: when what is not answered goes again, and when patience ends.

The estimate of the round trip is that of RFC 6298. Exact in virtual time, unless loss probes come between.
"""

from __future__ import annotations

from math import inf
from typing import Final

from xsocket.state import State
from xsocket_tools.fuzzing.oracle.shadow import MASK, MAY_SEND, Shadow, ahead

GRANULARITY_S: Final = 0.001
EPSILON_S: Final = 1e-6
RESTART_RTO_S: Final = 3.0
"""RFC 6298 section 5.7: the timeout where the SYN had to go again."""


class Clock:
    """The retransmission timer of one connection (RFC 6298), and its estimate of the round trip.

    Attributes:
        due: When it runs out; infinite while it does not run.
        rto_s: The timeout, not backed off.
        retries: How often it has run out since it was last answered.
        unanswered: The same for the patience: answers to window probes count.
        is_exact: Whether *due* can be told.
        is_last: Whether it runs to the end of the user timeout, before the next retransmission would be due.
        has_timed_out: Whether anything has gone again.
    """

    def __init__(self, shadow: Shadow) -> None:
        config = shadow.config
        self._least, self._most = config.min_rto_s, config.max_rto_s
        self.due = inf
        self.rto_s = config.initial_rto_s
        self.retries = self.unanswered = 0
        self.srtt: float | None = None
        self.rttvar = 0.0
        self.timed: tuple[int, float] | None = None
        self.is_exact = True
        self.is_last = False
        self.is_shut = False
        self.has_timed_out = False

    @property
    def backed_off_s(self) -> float:
        """The timeout as it is now, doubled for each time that it ran out."""
        return min(self._most, self.rto_s * 2.0 ** min(self.retries, 32))

    def sample(self, seconds: float) -> None:
        """Take in one round trip."""
        if self.srtt is None:
            self.srtt, self.rttvar = seconds, seconds / 2
        else:
            self.rttvar += (abs(self.srtt - seconds) - self.rttvar) / 4
            self.srtt += (seconds - self.srtt) / 8
        self.rto_s = min(self._most, max(self._least, self.srtt + max(GRANULARITY_S, 4 * self.rttvar)))

    def start(self, now: float, latest: float = inf) -> None:
        """Let it run, anew, and no longer than until *latest*."""
        at = now + self.backed_off_s
        self.due, self.is_last = min(at, latest), at > latest + EPSILON_S


def round_trip(shadow: Shadow, clock: Clock, ack: int, echo: int | None, now: float) -> bool:
    """Take a sample by the segment that is timed, or by the timestamp echoed; return whether there is one."""
    if clock.timed is not None and ahead(clock.timed[0], ack) >= 0:
        clock.sample(now - clock.timed[1])
        clock.timed = None
        return True
    if not echo or shadow.ts_zero is None:
        return False
    began, first = shadow.ts_zero
    age_s = ((first + int(now * 1000) - began - echo) & MASK) / 1000
    if age_s >= shadow.config.max_rto_s:
        return False
    clock.sample(age_s)
    return True


def gives_up_at(shadow: Shadow) -> float:
    """Return when the user timeout ends the wait for an acknowledgment (RFC 5482); infinite without one."""
    timeout_s = shadow.config.user_timeout_s
    return shadow.waiting_since + timeout_s if timeout_s else inf


def no_later(shadow: Shadow, at: float) -> float:
    """Return *at*, or when the user timeout comes before."""
    return min(at, gives_up_at(shadow))


def retry_limit(shadow: Shadow) -> float:
    """How often text or FIN goes again without an answer."""
    config = shadow.config
    if shadow.user_gone:
        return min(config.retries2, config.orphan_retries)
    return inf if config.user_timeout_s else config.retries2


def is_over(shadow: Shadow, clock: Clock) -> bool:
    """Whether the connection is given up when its clock runs out next."""
    return clock.due >= gives_up_at(shadow) - EPSILON_S or clock.unanswered >= retry_limit(shadow)


def opening_limit(shadow: Shadow) -> int:
    """How often a SYN or SYN+ACK goes again."""
    config = shadow.config
    if shadow.state is State.SYN_SENT:
        return config.syn_retries + config.syn_linear_timeouts
    return config.synack_retries


def opening_timeout_s(shadow: Shadow) -> float:
    """How long after a SYN or SYN+ACK has gone the next is due."""
    config = shadow.config
    doublings = shadow.open_rtx
    if shadow.state is State.SYN_SENT:
        doublings = max(0, doublings - config.syn_linear_timeouts)
    return min(config.max_rto_s, config.initial_rto_s * 2.0 ** min(doublings, 32))


def must_run(shadow: Shadow) -> bool:
    """Whether something waits for the peer, so that a timer has to run."""
    return shadow.state in MAY_SEND and (shadow.flight > 0 or shadow.unsent > 0)


def answered(shadow: Shadow, now: float) -> Clock:
    """Start the clock of a connection whose SYN or SYN+ACK has gone."""
    clock = shadow.clock = Clock(shadow)
    clock.timed = (((shadow.iss or 0) + 1) & MASK, now)
    return clock


def established(shadow: Shadow, ack: int, now: float) -> None:
    """Our SYN is acknowledged: the first round trip is known, if it went once."""
    clock = shadow.clock
    if clock is None:
        clock = shadow.clock = Clock(shadow)
    sampled = round_trip(shadow, clock, ack, None, now)
    if shadow.open_rtx and not sampled and clock.srtt is None:
        clock.rto_s = max(clock.rto_s, RESTART_RTO_S)
    clock.retries = clock.unanswered = 0
    clock.due = inf
    if shadow.flight:
        clock.start(now, gives_up_at(shadow))
        clock.is_exact = False
    rest(shadow, now)


def acknowledged(shadow: Shadow, was_una: int, was_wnd: int, echo: int | None, now: float) -> None:
    """An acceptable ACK has been taken in: restart, stop or turn the timer."""
    clock = shadow.clock
    if clock is None:
        return
    shut = shadow.snd_wnd == 0
    if ahead(was_una, shadow.snd_una) > 0:
        sampled = round_trip(shadow, clock, shadow.snd_una, echo, now)
        if not sampled and clock.due < inf and not clock.is_shut:
            clock.rto_s = clock.backed_off_s
        clock.retries = clock.unanswered = 0
        if shadow.flight:
            shadow.waiting_since = now
            clock.start(now, gives_up_at(shadow))
        else:
            clock.due, clock.is_exact = inf, True
            rest(shadow, now)
    elif clock.due < inf:
        if clock.is_shut and not shadow.user_gone:
            clock.unanswered = 0
        if (was_wnd == 0) != shut and shadow.flight:
            clock.retries = clock.unanswered = 0
            clock.start(now, gives_up_at(shadow))
    clock.is_shut = shut


def has_sent(shadow: Shadow, was_flight: int, at: float) -> None:
    """New text, or the FIN, has gone."""
    clock = shadow.clock
    if clock is None:
        return
    if clock.timed is None and not shadow.ts:
        clock.timed = (shadow.snd_nxt, at)
    if was_flight == 0:
        if clock.due == inf:
            shadow.waiting_since = at
        clock.start(at, gives_up_at(shadow))
        clock.is_shut = shadow.snd_wnd == 0
    shadow.keep_alive_at = inf
    if shadow.sack and shadow.config.loss_probe:
        clock.is_exact = False


def has_sent_again(shadow: Shadow, at: float, *, by_timer: bool) -> None:
    """Something went again."""
    clock = shadow.clock
    if clock is None:
        return
    clock.timed, clock.has_timed_out = None, True
    if by_timer:
        clock.retries += 1
        clock.unanswered += 1
        clock.start(at, gives_up_at(shadow))
    else:
        clock.is_exact = False


def has_probed(shadow: Shadow, at: float) -> None:
    """New text has gone because a timer ran out: against a window that has no room for it, or too little."""
    clock = shadow.clock
    if clock is None:
        return
    clock.timed = None if shadow.ts else (shadow.snd_nxt, at)
    clock.retries += 1
    clock.unanswered += 1
    clock.start(at, gives_up_at(shadow))
    clock.is_shut = shadow.snd_wnd == 0


def watch_window(shadow: Shadow, now: float) -> None:
    """Start the timer where a window keeps text from going."""
    clock = shadow.clock
    if clock is not None and clock.due == inf and shadow.unsent and shadow.state in MAY_SEND:
        shadow.waiting_since = now
        clock.start(now, gives_up_at(shadow))
        clock.is_shut = True
        shadow.keep_alive_at = inf


def rest(shadow: Shadow, now: float) -> None:
    """Nothing is in flight: watch for a peer that vanishes, if that is wanted."""
    if shadow.config.keepalive and shadow.state in KEPT_ALIVE:
        shadow.probes = 0
        shadow.keep_alive_at = now + shadow.config.keepalive_time_s
    else:
        shadow.keep_alive_at = inf


KEPT_ALIVE: Final = frozenset({State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_2})

_OPENING: Final = (State.SYN_SENT, State.SYN_RECEIVED)
RUNS_IN: Final = {
    "retransmission": (*_OPENING, *MAY_SEND),
    "tail loss probe": tuple(MAY_SEND),
    "persist": tuple(MAY_SEND),
    "delayed ACK": (State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2),
    "keep-alive": tuple(KEPT_ALIVE),
    "time-wait": (State.TIME_WAIT,),
    "orphan": (State.FIN_WAIT_2,),
}
"""The states in which a timer has anything to do, by its name."""
