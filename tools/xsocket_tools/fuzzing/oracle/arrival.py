"""A segment arrives: RFC 9293 section 3.10.7 read anew, over a shadow. Returns what has to be answered."""

from __future__ import annotations

from math import inf
from typing import Final

from xsocket.segment import ACK, FIN, PSH, RST, SYN, URG, Segment
from xsocket.state import State
from xsocket_tools.fuzzing.options import Options
from xsocket_tools.fuzzing.oracle import ecn, fastopen, rules, timing
from xsocket_tools.fuzzing.oracle.edges import cookie_mss, first_window, is_acceptable, is_request
from xsocket_tools.fuzzing.oracle.expectation import Expected, Want
from xsocket_tools.fuzzing.oracle.habits import Habit
from xsocket_tools.fuzzing.oracle.rules import Rule
from xsocket_tools.fuzzing.oracle.shadow import (
    DEFAULT_MSS,
    HALF,
    MASK,
    TAKES_TEXT,
    Cookie,
    Piece,
    Shadow,
    World,
    ahead,
    length_of,
)
from xsocket_tools.fuzzing.oracle.signature import has_no_reset, is_refused

SLACK_MS: Final = 1_000
"""How far off the clock of a target in real time may seem."""
COOKIE_PERIOD_S: Final = 64.0
"""A cookie has to live that long at least, and not for longer than twice that."""
STAMP_LIFE_S: Final = 24 * 86_400.0
"""RFC 7323 section 5.5: after so long a silence TS.Recent says nothing."""


def arrives(world: World, shadow: Shadow, segment: Segment, options: Options, now: float) -> Expected:
    """Take *segment* in, and return what has to be answered."""
    expected = _arrives(world, shadow, segment, options, now)
    if (
        expected.want is Want.RESET
        and Habit.RESETS_NEED_SEARCH in world.habits
        and has_no_reset(segment.options, shadow.version)
    ):
        return _silence(expected.rule)
    return expected


def _arrives(world: World, shadow: Shadow, segment: Segment, options: Options, now: float) -> Expected:
    has_socket = shadow.is_half_open or not shadow.is_small
    signed_first = Habit.SIGNATURE_FIRST in world.habits and has_socket
    if signed_first and is_refused(segment.options, is_half_open=shadow.is_half_open):
        return _silence(rules.DAMAGED)
    if shadow.state is None:
        return _stranger(world, shadow, segment, options, now)
    if shadow.state is State.SYN_SENT:
        return _in_syn_sent(world, shadow, segment, options, now)
    return _known(world, shadow, segment, options, now)


def _silence(rule: Rule) -> Expected:
    return Expected(rule, Want.SILENCE)


def reset_for(rule: Rule, segment: Segment) -> Expected:
    """RFC 9293 section 3.5.2: the reset that answers a segment for nobody."""
    if segment.flags & ACK:
        return Expected(rule, Want.RESET, segment.acknowledgment, None)
    return Expected(rule, Want.RESET, 0, (segment.seq + length_of(segment)) & MASK)


# CLOSED and LISTEN


def _stranger(world: World, shadow: Shadow, segment: Segment, options: Options, now: float) -> Expected:
    flags = segment.flags
    listens = shadow.who.served
    if flags & RST:
        return _silence(rules.RST_LISTEN if listens else rules.RST_CLOSED)
    if not listens:
        return reset_for(rules.NOT_RST_CLOSED, segment)
    if flags & ACK:
        return _ack_in_listen(world, shadow, segment, options, now)
    if flags & SYN and not flags & FIN:
        return _syn_in_listen(world, shadow, segment, options, now)
    return _silence(rules.SYN_FIN_LISTEN if flags & SYN else rules.OTHER_LISTEN)


def _ack_in_listen(world: World, shadow: Shadow, segment: Segment, options: Options, now: float) -> Expected:
    cookie = None
    if not segment.flags & SYN:
        numbers = ((segment.seq - 1) & MASK, (segment.acknowledgment - 1) & MASK)
        cookie = next((each for each in shadow.cookies if (each.irs, each.iss) == numbers), None)
        near = any(_may_be(world, each, numbers) for each in shadow.cookies)
        if cookie is None and near:
            world.is_lost = True  # the number that means another MSS: a peer may say that it had that one
            return _silence(rules.COOKIE_ACK)
    if cookie is None:
        rule = rules.COOKIE_FORGED if shadow.cookies else rules.ACK_LISTEN
        return reset_for(rule, segment)
    age = now - cookie.at
    if age > 2 * COOKIE_PERIOD_S:
        return reset_for(rules.COOKIE_FORGED, segment)
    if age > COOKIE_PERIOD_S or cookie.used:
        world.is_lost = True  # whether its key is still in use, or what it is taken to say again
        return _silence(rules.COOKIE_ACK)
    return _open_by_cookie(world, shadow, segment, options, now, cookie)


def _may_be(world: World, cookie: Cookie, numbers: tuple[int, int]) -> bool:
    """Whether the numbers of an ACK may say of a cookie's SYN that it had another MSS."""
    further = ahead(cookie.irs, numbers[0])
    if further and Habit.COOKIE_IS_A_SUM not in world.habits:
        return False
    return abs(ahead((cookie.iss + further) & MASK, numbers[1])) < 8


def _open_by_cookie(
    world: World, shadow: Shadow, segment: Segment, options: Options, now: float, cookie: Cookie
) -> Expected:
    config = world.config
    if world.tcbs >= config.max_connections:
        return _silence(rules.CONNECTIONS_FULL)
    others: tuple[int, ...] = ()
    if world.is_pool_full(shadow):
        if config.pool_policy == "ignore":
            return _silence(rules.POOL_FULL)
        if config.pool_policy == "refuse":
            return reset_for(rules.POOL_FULL, segment)
        others = _evict_from_pool(world)
    from xsocket_tools.fuzzing.options import read

    offered, answered = read(cookie.syn.options), read(cookie.answer.options)
    shadow.cookies[shadow.cookies.index(cookie)] = cookie._replace(used=True)
    shadow.passive, shadow.from_cookie = True, True
    begin(world, shadow, cookie.syn, offered, now)
    if not shadow.ts:  # they stand in the timestamp
        shadow.scaled = shadow.sack = False
        shadow.peer_shift = 0
    note_answer(shadow, cookie.answer, answered)
    if answered.ts is not None:
        shadow.cookie_stamp = int(cookie.at * 1000), answered.ts[0]
    if shadow.ts and options.ts is None:
        world.is_lost = True  # without its echo nobody knows what the cookie had
    elif options.ts is not None:
        world.is_lost = not shadow.ts or answered.ts is None or options.ts[1] != answered.ts[0]
        shadow.ts_recent = options.ts[0]  # that of the SYN was not kept
    if Habit.COOKIE_MSS in world.habits:
        shadow.mss = cookie_mss(shadow)
    shadow.snd_una, shadow.snd_nxt = shadow.iss or 0, ((shadow.iss or 0) + 1) & MASK
    shadow.snd_wnd = shadow.max_wnd = segment.window
    world.enter(shadow, State.SYN_RECEIVED)
    return _establish(world, shadow, segment, options, now, rules.COOKIE_ACK, others)


def _kept_of(world: World, early: bytes) -> bytes:
    """Return what is kept of the text of a SYN (section 3.10.7.2 third) until its connection is open."""
    return b"" if Habit.SYN_TEXT_IS_DROPPED in world.habits else early


def _evict_from_pool(world: World) -> tuple[int, ...]:
    oldest = world.waiting[0]
    world.end(oldest)
    return (oldest.peer,)


def _syn_in_listen(world: World, shadow: Shadow, segment: Segment, options: Options, now: float) -> Expected:
    config = world.config
    if world.tcbs >= config.max_connections:
        return _silence(rules.CONNECTIONS_FULL)
    full = world.is_half_open_full(shadow)
    most = config.max_syn_backlog_per_source
    source_full = not full and bool(most) and world.from_source(shadow) >= most
    wants_cookie = config.syn_cookies == "always" or (config.syn_cookies == "auto" and (full or source_full))
    if Habit.ONE_BACKLOG in world.habits:
        if world.is_pool_full(shadow) and (wants_cookie or not full):
            return _silence(rules.POOL_FULL)
        full = full and shadow.reopened_from is None
    if wants_cookie and shadow.reopened_from is None:
        return Expected(rules.SYN_LISTEN, Want.SYN_ACK)
    if (full or source_full) and not (full and config.half_open_policy == "evict"):
        if config.half_open_policy == "refuse":
            return reset_for(rules.HALF_OPEN_FULL, segment)
        return _silence(rules.HALF_OPEN_FULL)
    if full:
        world.end(world.half_open[0])
    shadow.passive = True
    begin(world, shadow, segment, options, now)
    fastopen.judge(world, shadow, segment, options, now)
    if not shadow.fast:
        shadow.early = _kept_of(world, segment.payload)
    world.enter(shadow, State.SYN_RECEIVED)
    start_opening(shadow, now)
    if shadow.fast:
        _place(shadow, shadow.rcv_nxt, segment.payload[: min(config.rmem, 65_535)])
        shadow.was_established, shadow.heard_at = True, now
        world.wait_in_pool(shadow)
        return Expected(rules.TFO, Want.SYN_ACK)
    return Expected(rules.TFO_COOKIE if shadow.owes_cookie else rules.SYN_LISTEN, Want.SYN_ACK)


def begin(world: World, shadow: Shadow, syn: Segment, options: Options, now: float) -> None:
    """Note what the peer's SYN says."""
    config = world.config
    shadow.irs, shadow.rcv_nxt = syn.seq, (syn.seq + 1) & MASK
    shadow.rcv_adv = shadow.last_ack_sent = shadow.rcv_nxt
    shadow.snd_wnd = shadow.max_wnd = syn.window
    shadow.wl1, shadow.wl2 = syn.seq, syn.acknowledgment
    shadow.sack = config.sack and options.sack_ok
    shadow.scaled = config.window_scaling and options.shift is not None
    shadow.peer_shift = min(options.shift or 0, 14) if shadow.scaled else 0
    shadow.mss = options.mss or DEFAULT_MSS[shadow.version]
    shadow.path_mss = min(shadow.path_mss, world.path_mss(shadow, now))
    shadow.ecn = ecn.is_agreed(shadow, syn)
    shadow.ts = config.timestamps and options.ts is not None
    if shadow.ts and options.ts is not None:
        shadow.ts_recent, shadow.ts_recent_at = options.ts[0], now


def note_answer(shadow: Shadow, answer: Segment, options: Options) -> None:
    """Note what the target's SYN or SYN+ACK says."""
    if shadow.iss is None or shadow.passive:
        shadow.iss = shadow.snd_una = answer.seq
        shadow.snd_nxt = (answer.seq + 1 + len(answer.payload)) & MASK
        shadow.early_sent = len(answer.payload)
    if not answer.flags & ACK:
        shadow.asked_fast = options.cookie is not None or bool(answer.payload)
        shadow.first_wnd = first_window(shadow, answer.window) if shadow.habits else 0
        shadow.said_mss = options.mss or 0
    if answer.flags & ACK:
        first = shadow.first_wnd or first_window(shadow, answer.window)
        shadow.rcv_adv = (answer.acknowledgment + first) & MASK
        shadow.last_ack_sent = answer.acknowledgment
    if options.shift is not None:
        shadow.own_shift = options.shift


def start_opening(shadow: Shadow, now: float) -> None:
    """Start the timer of the SYN or SYN+ACK."""
    if shadow.state is not State.SYN_RECEIVED or shadow.passive:
        shadow.waiting_since = now
    shadow.open_rtx = 0
    shadow.opening_due = timing.no_later(shadow, now + shadow.config.initial_rto_s)


# SYN-SENT


def _in_syn_sent(world: World, shadow: Shadow, segment: Segment, options: Options, now: float) -> Expected:
    flags = segment.flags
    if flags & ACK and _echoes_no_syn(shadow, options, now):
        return _silence(rules.OLD_TIMESTAMP) if flags & RST else reset_for(rules.WRONG_ACK_SYN_SENT, segment)
    if flags & ACK and not shadow.acks_our_syn(segment.acknowledgment):
        if flags & RST:
            return _silence(rules.WRONG_ACK_RST_SYN_SENT)
        return reset_for(rules.WRONG_ACK_SYN_SENT, segment)
    if flags & RST:
        if flags & ACK:
            world.end(shadow, "ConnectionRefusedError")
            return _silence(rules.RST_SYN_SENT)
        return _silence(rules.RST_NO_ACK_SYN_SENT)
    if not flags & SYN:
        return _silence(rules.OTHER_SYN_SENT)
    begin_active(world, shadow, segment, options, now)
    if flags & ACK:
        if Habit.SYN_TEXT_IS_DROPPED in world.habits and not shadow.asked_fast:
            segment = segment._replace(payload=b"", flags=flags & ~FIN)
        return _establish(world, shadow, segment, options, now, rules.SYN_ACK_SYN_SENT)
    shadow.early = _kept_of(world, segment.payload)
    world.enter(shadow, State.SYN_RECEIVED)
    start_opening(shadow, now)
    return Expected(rules.SYN_SYN_SENT, Want.SYN_ACK)


def _echoes_no_syn(shadow: Shadow, options: Options, now: float) -> bool:
    """Whether Linux is given back a timestamp that no SYN of its had, in SYN-SENT."""
    if Habit.ECHO_IS_CHECKED not in shadow.habits or options.ts is None or shadow.ts_zero is None:
        return False
    began, first = shadow.ts_zero
    latest = int(now * 1000) - began + SLACK_MS
    return options.ts[1] != 0 and not 0 <= ahead(first, options.ts[1]) <= latest


def begin_active(world: World, shadow: Shadow, segment: Segment, options: Options, now: float) -> None:
    """Note the peer's SYN where we had sent one."""
    own_shift = shadow.own_shift
    begin(world, shadow, segment, options, now)
    shadow.own_shift = own_shift if shadow.scaled else 0
    shadow.rcv_adv = (shadow.rcv_nxt + (shadow.first_wnd or min(world.config.rmem, 65_535))) & MASK


# Other states


def _known(world: World, shadow: Shadow, segment: Segment, options: Options, now: float) -> Expected:
    flags = segment.flags
    is_fresh = _is_fresh(shadow, options, now)
    ends_wait = flags & RST and shadow.state is State.TIME_WAIT and segment.seq == shadow.rcv_nxt
    if ends_wait and is_fresh and Habit.NO_ACK_IN_TIME_WAIT in world.habits:
        _note_stamp(shadow, segment, options, now)  # RFC 1337
    little = shadow.is_small or is_request(shadow)
    stamps_first = flags & RST and Habit.STAMPS_FIRST in world.habits and little
    if stamps_first and not (is_fresh and not _echoes_a_stranger(shadow, options)):
        return _silence(rules.OLD_TIMESTAMP)
    if flags & RST:
        return _reset_arrives(world, shadow, segment, now)
    if flags & SYN:
        return _syn_arrives(world, shadow, segment, options, now)
    if shadow.ts and options.ts is None and world.config.timestamps_required:
        return _silence(rules.NO_TIMESTAMP)
    fresh = _is_fresh(shadow, options, now) and not _echoes_a_stranger(shadow, options)
    if not fresh or not is_acceptable(shadow, segment):
        if shadow.state is State.TIME_WAIT and flags & FIN and flags & ACK:
            shadow.ends_at = now + world.config.time_wait_s
            return Expected(rules.FIN_TIME_WAIT, Want.ACK)
        return _invalid(shadow, segment, rules.UNACCEPTABLE if fresh else rules.OLD_TIMESTAMP, now)
    if not flags & ACK:
        if shadow.state is State.TIME_WAIT and Habit.NO_ACK_IN_TIME_WAIT in world.habits:
            _note_stamp(shadow, segment, options, now)
        return _silence(rules.NO_ACK)
    return _ack_arrives(world, shadow, segment, options, now)


def _is_fresh(shadow: Shadow, options: Options, now: float) -> bool:
    if not shadow.ts or options.ts is None:
        return True
    has_socket = not shadow.is_small and not is_request(shadow)
    oldest = -1 if Habit.OLDER_BY_ONE in shadow.habits and has_socket else 0
    return _newer_by(shadow, options.ts[0]) >= oldest or now - shadow.ts_recent_at > STAMP_LIFE_S


def _newer_by(shadow: Shadow, stamp: int) -> int:
    """Return how much newer a timestamp is than the last; half the circle away, it is newer to Linux."""
    newer = ahead(shadow.ts_recent, stamp)
    return HALF if newer == -HALF and Habit.OLDER_BY_ONE in shadow.habits else newer


def _echoes_a_stranger(shadow: Shadow, options: Options) -> bool:
    """Whether a half-open connection of Linux is given back a timestamp that it has not sent."""
    if not shadow.is_half_open or not shadow.ts or options.ts is None or shadow.ts_zero is None:
        return False
    first, echo = shadow.ts_zero[1], options.ts[1]
    between = 0 <= ahead(first, echo) <= ahead(first, shadow.last_stamp)
    return Habit.ECHO_IS_CHECKED in shadow.habits and bool(echo) and not between


_RESET_MEANS: Final = {
    State.SYN_RECEIVED: "ConnectionRefusedError",
    State.CLOSE_WAIT: "BrokenPipeError",
    State.TIME_WAIT: None,
}


def _meaning_of_reset(shadow: Shadow) -> str | None:
    """Return what the user is told; None where nobody can tell whether he knew the connection already."""
    assert shadow.state is not None
    return None if shadow.fast else _RESET_MEANS.get(shadow.state, "ConnectionResetError")


def _reset_arrives(world: World, shadow: Shadow, segment: Segment, now: float) -> Expected:
    in_time_wait = shadow.state is State.TIME_WAIT
    if in_time_wait and world.config.rfc1337:
        return _silence(rules.RST_TIME_WAIT)
    if segment.seq == shadow.rcv_nxt:
        is_queued = world.queues is not None and world.queues.holds(shadow.version, shadow.place)
        if shadow in world.pending and not is_queued:
            world.pending_until.append((shadow.version, now + fastopen.RESET_COUNTS_S))
        world.end(shadow, _meaning_of_reset(shadow))
        return _silence(rules.RST_EXACT)
    inside = shadow.in_window(segment.seq)
    if Habit.EDGES_COUNT in world.habits:
        inside = is_acceptable(shadow, segment)
    if inside and not in_time_wait:
        return _challenge(shadow, segment, rules.RST_IN_WINDOW, now)
    return _silence(rules.RST_OUTSIDE)


def _challenge(shadow: Shadow, segment: Segment, rule: Rule, now: float) -> Expected:
    """A challenge ACK, as far as RFC 5961 section 7 and the rules of the target let it go."""
    if Habit.LIMITED_CHALLENGES in shadow.habits:
        segment = segment._replace(payload=b"", flags=segment.flags & ~FIN)
    if not _may_answer(shadow, segment, now):
        return _silence(rules.INVALID_RATE)
    limit = shadow.config.challenge_ack_limit
    if limit == 0:
        return _silence(rules.CHALLENGE_LIMIT)
    shadow.asked += 1
    certain = limit >= NO_LIMIT or shadow.asked <= (limit + 1) // 2
    return Expected(rule, Want.CHALLENGE if certain else Want.CHALLENGE_OR_NOT)


NO_LIMIT: Final = 1 << 20
"""A limit on challenge ACKs that no case reaches."""


def _may_answer(shadow: Shadow, segment: Segment, now: float) -> bool:
    """Whether the rate of answers to invalid segments without text allows one; it is noted."""
    is_syn = segment.flags & SYN and Habit.LIMITED_CHALLENGES in shadow.habits
    if (segment.payload or segment.flags & FIN) and not is_syn:
        return True
    if now - shadow.invalid_at < shadow.config.invalid_ratelimit_s:
        return False
    shadow.invalid_at = now
    return True


def _invalid(shadow: Shadow, segment: Segment, rule: Rule, now: float) -> Expected:
    """Answered at once where the segment has text or FIN, and at a limited rate else."""
    answered = _may_answer(shadow, segment, now)
    return Expected(rule, Want.ACK) if answered else _silence(rules.INVALID_RATE)


def _syn_arrives(world: World, shadow: Shadow, segment: Segment, options: Options, now: float) -> Expected:
    flags = segment.flags
    if Habit.STAMPS_FIRST in world.habits and shadow.is_half_open:
        again = flags & (SYN | ACK) == SYN and segment.seq == shadow.irs
        if not _is_fresh(shadow, options, now) or (_echoes_a_stranger(shadow, options) and not again):
            return _invalid(shadow, segment, rules.OLD_TIMESTAMP, now)
    if shadow.state is State.TIME_WAIT and not flags & (ACK | FIN) and _is_new(shadow, segment, options):
        return _reopen(world, shadow, segment, options, now)
    if shadow.state is not State.SYN_RECEIVED:
        return _challenge(shadow, segment, rules.SYN_SYNCHRONIZED, now)
    if segment.seq == shadow.irs:
        if not flags & ACK:
            limited = Habit.LIMITED_CHALLENGES in world.habits and shadow.is_half_open
            if limited and not _may_answer(shadow, segment._replace(payload=b"", flags=SYN), now):
                return _silence(rules.INVALID_RATE)
            return Expected(rules.SYN_AGAIN, Want.SYN_ACK)
        if not shadow.passive and shadow.acks_our_syn(segment.acknowledgment):
            return _establish(world, shadow, segment, options, now, rules.SIMULTANEOUS)
    if not shadow.passive or shadow.fast:
        return _challenge(shadow, segment, rules.SYN_SYNCHRONIZED, now)
    if is_acceptable(shadow, segment):
        world.end(shadow)
        return _silence(rules.SYN_INSTEAD)
    return _invalid(shadow, segment, rules.UNACCEPTABLE, now)


def _is_new(shadow: Shadow, segment: Segment, options: Options) -> bool:
    """RFC 6191 section 2, with timestamps only where the old connection had them."""
    if shadow.ts and options.ts is not None and options.ts[0] != shadow.ts_recent:
        return _newer_by(shadow, options.ts[0]) > 0
    return ahead(shadow.rcv_nxt, segment.seq) > 0


def _reopen(world: World, shadow: Shadow, segment: Segment, options: Options, now: float) -> Expected:
    if not shadow.who.served:
        return _silence(rules.SYN_REOPENS)
    config, most = world.config, world.config.max_syn_backlog_per_source
    full = world.is_half_open_full(shadow) and Habit.ONE_BACKLOG not in world.habits
    if full and config.half_open_policy != "evict":
        return _silence(rules.HALF_OPEN_FULL)
    if not full and most and world.from_source(shadow) >= most:
        return _silence(rules.HALF_OPEN_FULL)
    end = shadow.snd_nxt
    world.end(shadow, "")
    shadow.reopened_from = end
    return _syn_in_listen(world, shadow, segment, options, now)._replace(rule=rules.SYN_REOPENS)


def _ack_arrives(world: World, shadow: Shadow, segment: Segment, options: Options, now: float) -> Expected:
    ack = segment.acknowledgment
    shadow.had_urgent = shadow.had_urgent or bool(segment.flags & URG)
    if shadow.state is State.SYN_RECEIVED:
        if not shadow.acks_our_syn(ack):
            if shadow.is_half_open and Habit.COOKIE_IS_A_SUM in world.habits and shadow.cookies:
                return _ack_in_listen(world, shadow, segment, options, now)  # it is offered to the listener
            return reset_for(rules.WRONG_ACK_SYN_RECEIVED, segment)
        others: tuple[int, ...] = ()
        if shadow.passive and not shadow.fast and world.is_pool_full(shadow):
            if world.config.pool_policy == "ignore":
                return _silence(rules.POOL_FULL)
            if world.config.pool_policy == "refuse":
                return Expected(rules.POOL_FULL, Want.OWN_RESET)
            others = _evict_from_pool(world)
        return _establish(world, shadow, segment, options, now, rules.ACK_OF_SYN, others)
    if shadow.state is State.TIME_WAIT and Habit.NO_ACK_IN_TIME_WAIT in world.habits:
        _note_stamp(shadow, segment, options, now)
        return _silence(rules.ACK_PLAIN)
    if ahead(shadow.snd_nxt, ack) > 0:
        return _challenge(shadow, segment, rules.ACK_UNSENT, now)
    first = (shadow.iss or 0) + (shadow.passive or Habit.SYN_IS_TEXT not in world.habits)
    acked = max(0, ahead(first & MASK, shadow.snd_una))  # none is older than the connection
    if (shadow.snd_nxt - ack) & MASK > shadow.flight + min(shadow.max_wnd, acked):
        return _challenge(shadow, segment, rules.ACK_TOO_OLD, now)
    at_once = ecn.note_mark(shadow, segment)
    rule = _take_ack(world, shadow, segment, options, now)
    if shadow.state is None:
        return _silence(rule)
    expected = _take_text(world, shadow, segment, now, rule)
    if shadow.owes_ack:
        shadow.owes_ack = False
        expected = expected._replace(want=max_want(Want.ACK_SOON, expected.want))
    return Expected(rules.ECN_ECHO, max_want(Want.ACK, expected.want)) if at_once else expected


def _note_stamp(shadow: Shadow, segment: Segment, options: Options, now: float) -> None:
    """RFC 7323 section 4.3: of a segment that covers what was last acknowledged."""
    if not shadow.ts or options.ts is None or ahead(segment.seq, shadow.last_ack_sent) < 0:
        return
    value = options.ts[0]
    if now - shadow.ts_recent_at > STAMP_LIFE_S or _newer_by(shadow, value) > 0:
        shadow.ts_recent = value
    shadow.ts_recent_at = now


def _take_ack(world: World, shadow: Shadow, segment: Segment, options: Options, now: float) -> Rule:
    ack = segment.acknowledgment
    is_noted = bool(segment.flags & FIN) if shadow.is_small else ahead(shadow.snd_una, ack) >= 0
    if is_noted or Habit.OLD_ACKS_HAVE_NO_STAMP not in world.habits:
        _note_stamp(shadow, segment, options, now)
    shadow.heard_at, shadow.soft_error = now, ""
    acks_fin = shadow.fin_sent and ack == shadow.snd_nxt
    was_una, was_wnd = shadow.snd_una, shadow.snd_wnd
    if ahead(shadow.snd_una, ack) > 0:
        shadow.snd_una = ack
        shadow.sent_sizes = [each for each in shadow.sent_sizes if ahead(ack, each[0] + each[1]) > 0]
        if shadow in world.pending:
            world.pending.remove(shadow)
    if ack == shadow.snd_una:
        _take_window(shadow, segment, is_new=ack != was_una)
    if shadow.keep_alive_at < inf:
        shadow.probes = 0
    echo = None if options.ts is None or not shadow.ts else options.ts[1]
    timing.acknowledged(shadow, was_una, was_wnd, echo, now)
    if was_una == shadow.iss and shadow.snd_una != was_una and shadow.early and not shadow.user_gone:
        text, shadow.early = shadow.early, b""
        _place(shadow, (shadow.irs + 1) & MASK, text[: shadow.rcv_wnd])
        shadow.owes_ack = True
    if not acks_fin:
        return rules.ACK_PLAIN
    if shadow.state is State.FIN_WAIT_1:
        world.enter(shadow, State.FIN_WAIT_2)
        shadow.is_whole = shadow.user_gone and bool(segment.flags & FIN)
        if Habit.LIMITED_CHALLENGES in world.habits and shadow.is_small:
            shadow.invalid_at = -inf
        if shadow.user_gone:
            shadow.ends_at = now + world.config.fin_timeout_s
    elif shadow.state is State.CLOSING:
        enter_time_wait(world, shadow, now)
    elif shadow.state is State.LAST_ACK:
        world.end(shadow, "")
    else:
        return rules.ACK_PLAIN
    return rules.ACK_OF_FIN


def _is_predicted(shadow: Shadow, segment: Segment, *, is_new: bool) -> bool:
    """Whether a segment goes Linux's fast path (``tcp_rcv_established``): no peer has aligned timestamps."""
    plain = segment.flags & ~PSH == ACK and not segment.options and not shadow.pieces
    in_order = segment.seq == shadow.rcv_nxt and shadow.state is State.ESTABLISHED and not shadow.ts
    same = segment.window == shadow.snd_wnd >> shadow.peer_shift
    return plain and in_order and same and (is_new or bool(segment.payload))


def _take_window(shadow: Shadow, segment: Segment, *, is_new: bool) -> None:
    newer, window = ahead(shadow.wl1, segment.seq), segment.window << shadow.peer_shift
    fresh = newer > 0 or (newer == 0 and ahead(shadow.wl2, segment.acknowledgment) >= 0)
    if Habit.WINDOW_BY_ACK in shadow.habits:
        fresh = is_new or newer > 0 or (newer == 0 and not 0 < window <= shadow.snd_wnd)
    if Habit.PREDICTION in shadow.habits and _is_predicted(shadow, segment, is_new=is_new):
        same = window == shadow.snd_wnd if fresh else shadow.wl1 == segment.seq
        shadow.is_known = shadow.is_known and same
    if fresh:
        shadow.snd_wnd = window
        shadow.max_wnd = max(shadow.max_wnd, shadow.snd_wnd)
        shadow.wl1, shadow.wl2 = segment.seq, segment.acknowledgment


def enter_time_wait(world: World, shadow: Shadow, now: float) -> None:
    """Both streams have ended."""
    if Habit.LIMITED_CHALLENGES in world.habits and not shadow.is_small:
        shadow.invalid_at = -inf
    world.enter(shadow, State.TIME_WAIT)
    shadow.ends_at = now + world.config.time_wait_s


def _establish(
    world: World,
    shadow: Shadow,
    segment: Segment,
    options: Options,
    now: float,
    rule: Rule,
    others: tuple[int, ...] = (),
) -> Expected:
    syn = segment.flags & SYN
    if not syn or (rule is rules.SIMULTANEOUS and Habit.SYN_ACK_HAS_STAMP in world.habits):
        _note_stamp(shadow, segment, options, now)
    if shadow in world.pending:
        world.pending.remove(shadow)
    was_flight = shadow.flight
    shadow.snd_una = segment.acknowledgment
    unscaled = syn and not (rule is rules.SIMULTANEOUS and Habit.SYN_ACK_IS_SCALED in world.habits)
    shadow.snd_wnd = segment.window << (0 if unscaled else shadow.peer_shift)
    shadow.max_wnd = max(shadow.max_wnd, shadow.snd_wnd)
    if Habit.WINDOW_BY_ACK in world.habits and shadow.passive and not shadow.fast:
        shadow.max_wnd = shadow.snd_wnd
    shadow.wl1, shadow.wl2 = segment.seq, segment.acknowledgment
    shadow.established_at = shadow.heard_at = now
    shadow.told_blocks = bool(options.sack)
    shadow.opening_due = inf
    if Habit.LIMITED_CHALLENGES in world.habits and shadow.passive:
        shadow.invalid_at = -inf  # what little was kept had a limit of its own
    if Habit.PATH_IS_SHARED in world.habits:
        shadow.path_mss = min(shadow.path_mss, world.path_mss(shadow, now))
    world.enter(shadow, State.ESTABLISHED)
    timing.established(shadow, segment.acknowledgment, now)
    if shadow.passive and not shadow.fast:
        world.wait_in_pool(shadow)
    shadow.was_established = True
    owes = Want.ACK if syn and rule is rules.SYN_ACK_SYN_SENT else Want.SILENCE
    if shadow.early_sent and 0 < shadow.flight < was_flight:
        owes = Want.TEXT  # what the SYN carried in vain goes again at once
    shadow.early_sent = 0
    if shadow.early:
        text, shadow.early = shadow.early, b""
        _place(shadow, (shadow.irs + 1) & MASK, text[: shadow.rcv_wnd])
        owes = max_want(owes, Want.ACK_SOON)
    if shadow.closing and shadow.state is State.ESTABLISHED:
        world.enter(shadow, State.FIN_WAIT_1)
    if ecn.note_mark(shadow, segment):
        owes = max_want(owes, Want.ACK)
    got = _take_text(world, shadow, segment, now, rule)
    return Expected(rule, max_want(owes, got.want), others=others)


_STRENGTH: Final = {Want.SILENCE: 0, Want.ACK_SOON: 1, Want.ACK: 2, Want.TEXT: 3, Want.OWN_RESET: 4}


def max_want(first: Want, second: Want) -> Want:
    """Return whichever wants more."""
    return first if _STRENGTH[first] >= _STRENGTH[second] else second


# Seventh and eighth: text and FIN


def _take_text(world: World, shadow: Shadow, segment: Segment, now: float, rule: Rule) -> Expected:
    flags, text = segment.flags, segment.payload
    if not text and not flags & FIN:
        return _silence(rule)
    if _is_old(shadow, segment):
        return _silence(rule) if shadow.is_small else Expected(rules.UNACCEPTABLE, Want.ACK)
    if shadow.state not in TAKES_TEXT:
        return _silence(rules.TEXT_AFTER_FIN if text else rule)
    seq = (segment.seq + (1 if flags & SYN else 0)) & MASK
    fin_at = (seq + len(text)) & MASK if flags & FIN else None
    before = ahead(seq, shadow.rcv_nxt)
    if before > 0:
        text, seq = text[before:], shadow.rcv_nxt
    if text and shadow.user_gone:
        return Expected(rules.TEXT_AFTER_CLOSE, Want.OWN_RESET)
    room = max(0, ahead(seq, shadow.rcv_adv))
    if len(text) > room and not (room and Habit.EDGES_COUNT in shadow.habits):
        text, fin_at = text[:room], None
    if not room and not text and seq != shadow.rcv_nxt and Habit.EDGES_COUNT in shadow.habits:
        fin_at = None  # at the right edge
    if fin_at is not None:
        shadow.fins.add(fin_at)
    if fin_at is not None and not text and seq != shadow.rcv_nxt and Habit.FIN_IN_BLOCKS in shadow.habits:
        shadow.pieces.append(Piece(fin_at, b""))
    if fin_at is not None and (shadow.fin_at is None or seq == shadow.rcv_nxt):
        shadow.fin_at = fin_at
    had_gap, in_order = bool(shadow.pieces), seq == shadow.rcv_nxt
    _place(shadow, seq, text)
    if _reach_fin(world, shadow, now):
        return Expected(rules.FIN, Want.ACK)
    if not in_order or had_gap:
        return Expected(rules.TEXT_OUT_OF_ORDER, Want.ACK)
    return Expected(rules.TEXT, Want.ACK_SOON if text else Want.ACK)


def _is_old(shadow: Shadow, segment: Segment) -> bool:
    """Whether a segment that Linux has let in for its end is all old, and so has to be acknowledged."""
    end = (segment.seq + length_of(segment)) & MASK
    return Habit.EDGES_COUNT in shadow.habits and ahead(end, shadow.rcv_nxt) >= 0


def _place(shadow: Shadow, seq: int, text: bytes) -> None:
    """Put *text* where it belongs, and move RCV.NXT on as far as there is no gap."""
    if not text:
        return
    if seq == shadow.rcv_nxt:
        shadow.text += text
        shadow.rcv_nxt = (seq + len(text)) & MASK
        _close_gaps(shadow)
    else:
        shadow.pieces.append(Piece(seq, text))


def _close_gaps(shadow: Shadow) -> None:
    moved = True
    while moved:
        moved = False
        for piece in shadow.pieces:
            over = ahead(piece.seq, shadow.rcv_nxt)
            if over >= 0:
                rest = piece.text[over:]
                shadow.text += rest
                shadow.rcv_nxt = (shadow.rcv_nxt + len(rest)) & MASK
                shadow.pieces.remove(piece)
                moved = True
                break


def _reach_fin(world: World, shadow: Shadow, now: float) -> bool:
    if shadow.fin_at != shadow.rcv_nxt:
        return False
    shadow.fin_at, shadow.fin_waits, shadow.fin_is_joined = None, True, bool(shadow.text)
    shadow.rcv_nxt = (shadow.rcv_nxt + 1) & MASK
    shadow.past_fin = {(each.seq + len(each.text)) & MASK for each in shadow.pieces}
    shadow.pieces.clear()
    if ahead(shadow.rcv_adv, shadow.rcv_nxt) > 0:
        shadow.rcv_adv = shadow.rcv_nxt
    if shadow.state is State.ESTABLISHED:
        world.enter(shadow, State.CLOSE_WAIT)
    elif shadow.state is State.FIN_WAIT_1:
        world.enter(shadow, State.CLOSING)
    else:
        enter_time_wait(world, shadow, now)
    return True
