"""`Judge`: tells the shadows what happened, and says what a rule would have had otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from math import inf
from typing import Final, NamedTuple

from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, FIN, RST, SYN, Segment
from xsocket.state import State
from xsocket_tools.fuzzing.case import Icmp, letters_of
from xsocket_tools.fuzzing.coverage import Triple, event_name, state_name
from xsocket_tools.fuzzing.options import Options, read
from xsocket_tools.fuzzing.oracle import patherrors, rules, timing
from xsocket_tools.fuzzing.oracle.arrival import arrives, note_answer
from xsocket_tools.fuzzing.oracle.calls import called
from xsocket_tools.fuzzing.oracle.edges import acceptable_seq, offered_mss
from xsocket_tools.fuzzing.oracle.expectation import Expected, Want
from xsocket_tools.fuzzing.oracle.habits import Habit
from xsocket_tools.fuzzing.oracle.output import Fault, clock_fault, fault_in, syn_options
from xsocket_tools.fuzzing.oracle.rules import Rule
from xsocket_tools.fuzzing.oracle.shadow import (
    MASK,
    MAY_SEND,
    Cookie,
    Shadow,
    Violation,
    World,
    ahead,
)
from xsocket_tools.fuzzing.oracle.then import Then
from xsocket_tools.fuzzing.target import Answer, Counts

NOTHING: Final = Expected(rules.NOT_CAUSED, Want.SILENCE)


class Sent(NamedTuple):
    """A segment that the target has sent.

    Attributes:
        peer: To whom.
        at: When, seconds since the case began.
        segment: It.
    """

    peer: int
    at: float
    segment: Segment


class WrongError(Exception):
    """Carries a violation to where the step is judged; never leaves this module."""

    def __init__(self, rule: Rule, expected: str, got: str, shadow: Shadow | None = None) -> None:
        super().__init__(rule, expected, got)
        self.rule, self.expected, self.got, self.shadow = rule, expected, got, shadow


class Judge:
    """Follows one case.

    Args:
        config: The rules of the target.
        is_virtual: Whether instants are exact.
        habits: Ways of the target that are allowed; see `xsocket_tools.fuzzing.deviations.Habit`.

    Attributes:
        expected: What was due in the last step, where that is known.
        world: The shadows.
        rules_hit: How often each rule had its say.
        coverage: What met what, and what answered.
        isns: Peer, instant and number of each initial sequence number.
    """

    def __init__(self, config: TcpConfig, *, is_virtual: bool, habits: frozenset[Enum] = frozenset()) -> None:
        self.world = World(config, habits)
        self.expected: Expected | None = None
        self.is_virtual = is_virtual
        self.rules_hit: dict[Rule, int] = {}
        self.coverage: set[Triple] = set()
        self.isns: list[tuple[int, float, int]] = []
        self.stamps: list[tuple[int, float, int]] = []
        self._at = 0
        self._now = 0.0

    # The three inputs

    def said(
        self,
        at: int,
        peer: int,
        four_tuple: FourTuple,
        segment: Segment | None,
        now: float,
        sent: Sequence[Sent],
    ) -> Violation | None:
        """A peer's frame has arrived; *segment* is what a receiver has to read in it, None for nothing."""
        shadow = self.world.shadow(peer, four_tuple)
        self._cover(shadow, event_name(shadow, segment), peer, sent)
        return self._judged(
            at, shadow, segment, now, lambda: self._segment_arrives(shadow, segment, now, sent)
        )

    def called(
        self,
        at: int,
        peer: int,
        four_tuple: FourTuple,
        name: str,
        size: int,
        answer: Answer,
        now: float,
        sent: Sequence[Sent],
    ) -> Violation | None:
        """The target's user has made a call."""
        shadow = self.world.shadow(peer, four_tuple)
        shadow.four_tuple = four_tuple
        if name in ("open", "claim") or (shadow.claimed and shadow.state is not None):
            self._cover(shadow, f"call {name}", peer, sent)
        return self._judged(
            at, shadow, f"call {name}", now, lambda: self._call(shadow, name, size, answer, now, sent)
        )

    def router_said(
        self, at: int, icmp: Icmp, four_tuple: FourTuple, seq: int, now: float, sent: Sequence[Sent]
    ) -> Violation | None:
        """An ICMP error about the number *seq* has arrived."""
        shadow = self.world.shadow(icmp.peer, four_tuple)
        self._cover(shadow, f"ICMP {icmp.kind}", icmp.peer, sent)
        return self._judged(
            at, shadow, f"ICMP {icmp.kind}", now, lambda: self._error_arrives(shadow, icmp, seq, now, sent)
        )

    def time_passed(self, at: int, now: float, sent: Sequence[Sent]) -> Violation | None:
        """Time has passed since the last step, until *now*."""
        for peer, shadow in self.world.shadows.items():
            if shadow.state is not None:
                self._cover(shadow, "time", peer, sent)
        return self._judged(at, None, f"time passes to {now:g} s", now, lambda: self._time_passes(now, sent))

    def check_state(self, at: int, peer: int, state: State | None, stimulus: str) -> Violation | None:
        """Compare where the target says that a connection stands."""
        shadow = self.world.shadows.get(peer)
        if self.world.is_lost or shadow is None or not shadow.is_known or shadow.state is state:
            return None
        if state is None and self._may_have_given_up(shadow):
            self.world.end(shadow)
            return None
        expected, got = (each.value if each else "CLOSED" for each in (shadow.state, state))
        return Violation(rules.STATE, at, peer, shadow.state, stimulus, expected, got)

    def _may_have_given_up(self, shadow: Shadow) -> bool:
        """Whether a connection may be gone because of a timer whose instants only the target knows."""
        clock = shadow.clock
        if clock is None or not timing.must_run(shadow):
            return False
        if clock.is_exact:  # it ends with this step, or by rounding just behind it
            return timing.is_over(shadow, clock) and clock.due <= self._now + timing.EPSILON_S
        patience_ends = timing.gives_up_at(shadow)
        return patience_ends == inf or self._now >= patience_ends - timing.EPSILON_S

    def excuse(self, shadow: Shadow, then: Then, sent: Sequence[Segment]) -> None:
        """Go on after a deviation that is allowed, in which *sent* went to the peer."""
        for segment in sent:
            if segment.flags & (ACK | RST | SYN) == ACK:
                shadow.last_ack_sent = segment.acknowledgment
                edge = (segment.acknowledgment + (segment.window << shadow.own_shift)) & MASK
                shadow.rcv_adv = edge if ahead(shadow.rcv_adv, edge) > 0 else shadow.rcv_adv
        if then is Then.GOES_ON and shadow.config.invalid_ratelimit_s:
            shadow.is_known = False  # nobody knows which answers the target counts
        elif then is Then.GONE:
            self.world.end(shadow)
        elif then is Then.UNKNOWN:
            shadow.is_known = False
            self.world.is_lost = self.world.is_lost or self.world.is_narrow
        elif then is Then.LOST:
            shadow.is_known, self.world.is_lost = False, True

    def check_counts(self, at: int, counts: Counts, stimulus: str) -> Violation | None:
        """Compare how full the target's tables are."""
        world = self.world
        if world.is_lost or not all(shadow.is_known for shadow in world.shadows.values()):
            return None
        due_now = (world.tcbs, len(world.half_open), len(world.time_wait), len(world.waiting))
        if due_now == counts:
            return None
        for rule, due, got in (
            (rules.TCB_COUNT, world.tcbs, counts.connections),
            (rules.HALF_OPEN_COUNT, len(world.half_open), counts.half_open),
            (rules.TIME_WAIT_COUNT, len(world.time_wait), counts.time_wait),
            (rules.POOL_COUNT, len(world.waiting), counts.waiting),
        ):
            if due != got:
                return Violation(rule, at, None, None, stimulus, f"{due}", f"{got}")
        return None

    def check_timers(
        self, at: int, timers: Sequence[tuple[FourTuple, str, float]], stimulus: str
    ) -> Violation | None:
        """See that timers run only in states that have them."""
        if not timers or self.world.is_lost:
            return None
        by_name = {shadow.four_tuple: shadow for shadow in self.world.shadows.values()}
        for four_tuple, name, _ in timers:
            shadow = by_name.get(four_tuple)
            states = timing.RUNS_IN[name]
            if shadow is not None and shadow.is_known and shadow.state not in states:
                expected = f"the {name} timer in {', '.join(state.value for state in states)} only"
                where = shadow.state.value if shadow.state else "CLOSED"
                return Violation(
                    rules.TIMER_IN_STATE, at, shadow.peer, shadow.state, stimulus, expected, where
                )
        return None

    def _judged(
        self,
        at: int,
        shadow: Shadow | None,
        stimulus: str | Segment | None,
        now: float,
        judge: Callable[[], None],
    ) -> Violation | None:
        if self.world.is_lost:
            return None
        before = shadow.state if shadow is not None else None
        self._at, self.expected = at, None
        if shadow is not None:
            shadow.rcv_was = shadow.rcv_nxt
        try:
            judge()
        except WrongError as error:
            about = error.shadow or shadow
            state = before if about is shadow else about.state if about is not None else None
            peer = None if about is None else about.peer
            words = stimulus if isinstance(stimulus, str) else described(stimulus)
            return Violation(error.rule, at, peer, state, words, error.expected, error.got)
        finally:
            self._now = now
        return None

    def _cover(self, shadow: Shadow, event: str, peer: int, sent: Sequence[Sent]) -> None:
        if shadow.is_known and not self.world.is_lost:
            reply = "-"
            if sent:
                flags = {letters_of(each.segment.flags): 0 for each in sent if each.peer == peer}
                reply = " ".join(flags) or "-"
            self.coverage.add(Triple(state_name(shadow), event, reply))

    def _hit(self, rule: Rule) -> None:
        self.rules_hit[rule] = self.rules_hit.get(rule, 0) + 1

    # A segment arrives

    def _segment_arrives(
        self, shadow: Shadow, segment: Segment | None, now: float, sent: Sequence[Sent]
    ) -> None:
        if not shadow.is_known:
            return
        if segment is None:
            expected = Expected(rules.DAMAGED, Want.SILENCE)
        else:
            expected = arrives(self.world, shadow, segment, read(segment.options), now)
        self.expected = expected
        self._hit(expected.rule)
        if self.world.is_lost:
            return
        own = [each for each in sent if each.peer == shadow.peer]
        if len(own) != len(sent):
            self._others(expected, sent, shadow)
        if segment is not None:
            self._soundness(segment, own)
        self._match(shadow, expected, own, now, segment)
        self.world.limit_time_wait(shadow)

    def _others(self, expected: Expected, sent: Sequence[Sent], shadow: Shadow) -> None:
        for each in sent:
            if each.peer == shadow.peer:
                continue
            if each.peer not in expected.others or not each.segment.flags & RST:
                raise WrongError(rules.NOT_CAUSED, f"nothing to peer {each.peer}", described(each.segment))

    def _soundness(self, segment: Segment, own: Sequence[Sent]) -> None:
        """What must hold of every answer, whatever else does."""
        if segment.flags & RST and any(each.segment.flags & RST for each in own):
            raise WrongError(rules.RST_FOR_RST, "no reset", "a reset")
        bare = sum(not each.segment.payload and not each.segment.flags & FIN for each in own)
        if bare > 1:
            raise WrongError(rules.ONE_REPLY, "one at most", f"{bare}")

    def _match(
        self, shadow: Shadow, expected: Expected, own: Sequence[Sent], now: float, cause: Segment | None
    ) -> None:
        want = expected.want
        if want is Want.RESET:
            self._match_reset(expected, own, expected.seq, expected.ack)
            return
        if want in (Want.OWN_RESET, Want.FIN_AND_RESET):
            self._match_own_reset(shadow, expected, own)
            return
        if want in (Want.SYN_ACK, Want.SYN):
            self._match_syn(shadow, expected, own, now, cause)
            return
        if want is Want.LAST_WORDS:
            for each in own:
                self._take_sent(shadow, each, by_timer=False)
            self.world.end(shadow)
            return
        bare = 0
        for each in own:
            segment = each.segment
            if segment.flags & (RST | SYN):
                raise WrongError(expected.rule, want.value, described(segment))
            bare += not segment.payload and not segment.flags & FIN
            self._take_sent(shadow, each, by_timer=False)
        self._match_acks(shadow, expected, own, bare, now)
        if shadow.state is not None:
            timing.watch_window(shadow, now)

    def _match_acks(
        self, shadow: Shadow, expected: Expected, own: Sequence[Sent], bare: int, now: float
    ) -> None:
        want = expected.want
        if want is Want.TEXT and not any(each.segment.payload for each in own):
            raise WrongError(expected.rule, want.value, "nothing")
        if bare and want is Want.SILENCE:
            raise WrongError(expected.rule, want.value, described(own[-1].segment))
        if want in (Want.ACK, Want.CHALLENGE) and not own:
            raise WrongError(expected.rule, want.value, "nothing")
        if want is Want.CHALLENGE_OR_NOT and own:
            self._count_challenge(shadow, now)
        if want is Want.ACK_SOON and expected.rule is not rules.RECEIVE and not own:
            shadow.ack_by = min(shadow.ack_by, now + 0.5)
            if not shadow.config.delayed_ack_s:
                raise WrongError(expected.rule, "an ACK at once", "nothing")

    def _count_challenge(self, shadow: Shadow, now: float) -> None:
        """Two periods that touch may have had one and a half times their limit each."""
        config = shadow.config
        most = 2 * ((config.challenge_ack_limit + 1) // 2 + config.challenge_ack_limit)
        shadow.challenges = [at for at in shadow.challenges if now - at < config.challenge_ack_period_s]
        shadow.challenges.append(now)
        if len(shadow.challenges) > most:
            raise WrongError(rules.CHALLENGE_LIMIT, f"{most} at most", f"{len(shadow.challenges)}", shadow)

    def _match_reset(self, expected: Expected, own: Sequence[Sent], seq: int, ack: int | None) -> None:
        due = f"a reset with seq {seq}" + (f" ack {ack}" if ack is not None else "")
        if len(own) != 1:
            got = ", ".join(described(each.segment) for each in own) or "nothing"
            raise WrongError(expected.rule, due, got)
        segment = own[0].segment
        if not segment.flags & RST:
            raise WrongError(expected.rule, due, described(segment))
        if (segment.seq, segment.ack) != (seq, ack) or segment.flags & (SYN | FIN) or segment.payload:
            raise WrongError(rules.RESET_NUMBERS, due, described(segment))

    def _match_own_reset(self, shadow: Shadow, expected: Expected, own: Sequence[Sent]) -> None:
        """A reset at SND.NXT, and with timestamps where they were agreed on (RFC 7323 section 3.2)."""
        first = own[:-1] if expected.want is Want.FIN_AND_RESET else ()
        for each in first:
            self._take_sent(shadow, each, by_timer=False)
        self._match_reset(expected, own[len(first) :], acceptable_seq(shadow), shadow.rcv_nxt)
        if shadow.ts and read(own[-1].segment.options).ts is None:
            raise WrongError(rules.TS_MISSING, "timestamps", "none", shadow)
        self.world.end(shadow)

    def _match_syn(
        self, shadow: Shadow, expected: Expected, own: Sequence[Sent], now: float, cause: Segment | None
    ) -> None:
        answers = expected.want is Want.SYN_ACK
        if len(own) != 1 or own[0].segment.flags & (SYN | RST | FIN | ACK) != SYN | (ACK if answers else 0):
            got = ", ".join(described(each.segment) for each in own) or "nothing"
            raise WrongError(expected.rule, expected.want.value, got)
        segment = own[0].segment
        options = read(segment.options)
        if shadow.state is None:
            assert cause is not None
            self._note_cookie(shadow, cause, segment, options, now)
            return
        is_first = shadow.iss is None
        shadow.last_stamp = options.ts[0] if options.ts is not None else 0
        self._raise(shadow, fault_in(shadow, segment, options, now, is_virtual=self.is_virtual))
        if is_first or expected.rule is rules.SYN_SYN_SENT:
            if is_first:
                self._note_isn(shadow, segment.seq, now)
            note_answer(shadow, segment, options)
            if options.cookie and shadow.passive:
                self.world.cookies[shadow.four_tuple.remote_address] = options.cookie
            shadow.owes_cookie = False
            if is_first:
                timing.answered(shadow, now)
            if options.ts is not None and shadow.ts_zero is None:
                shadow.ts_zero = int(now * 1000), options.ts[0]
                self.stamps.append((shadow.peer, now, options.ts[0]))

    def _note_cookie(
        self, shadow: Shadow, syn: Segment, answer: Segment, options: Options, now: float
    ) -> None:
        """The SYN+ACK is a cookie: nothing is kept but what is in it."""
        if answer.acknowledgment != (syn.seq + 1) & MASK:
            raise WrongError(
                rules.SYN_LISTEN, f"ack {(syn.seq + 1) & MASK}", f"ack {answer.acknowledgment}", shadow
            )
        asked = read(syn.options)
        config = self.world.config
        probe = Shadow(shadow.peer, shadow.four_tuple, config, shadow.habits)
        probe.path_mss = self.world.path_mss(shadow, now)
        probe.ts = config.timestamps and asked.ts is not None
        probe.ts_recent = asked.ts[0] if asked.ts is not None else 0
        probe.scaled = probe.ts and config.window_scaling and asked.shift is not None
        probe.sack = probe.ts and config.sack and asked.sack_ok
        most, echo = offered_mss(probe), probe.ts_recent
        self._raise(shadow, syn_options(probe, answer, options, most, agreed=True, echo=echo))
        shadow.cookies.append(Cookie(answer.seq, syn.seq, now, syn, answer))

    def _note_isn(self, shadow: Shadow, iss: int, now: float) -> None:
        if shadow.reopened_from is not None:
            if ahead(shadow.reopened_from, iss) <= 0:
                raise WrongError(rules.ISN_REOPENED, f"beyond {shadow.reopened_from}", f"{iss}", shadow)
            shadow.reopened_from = None
            return
        if shadow.isns and self.is_virtual:
            was_at, was = shadow.isns[-1]
            ticks = ahead(was, iss)
            due = int((now - was_at) * 250_000) & MASK
            if abs(ahead(due, ticks & MASK)) > 2:
                raise WrongError(rules.ISN, f"{due} after the last of this 4-tuple", f"{ticks}", shadow)
        shadow.isns.append((now, iss))
        self.isns.append((shadow.peer, now, iss))

    def _raise(self, shadow: Shadow, fault: Fault | None) -> None:
        if fault is not None:
            raise WrongError(*fault, shadow)

    def _take_sent(self, shadow: Shadow, sent: Sent, *, by_timer: bool) -> None:
        """Judge a segment that is neither SYN nor reset, and follow it."""
        segment = sent.segment
        if shadow.state is None or shadow.iss is None:
            raise WrongError(rules.NOT_CAUSED, "nothing without a connection", described(segment), shadow)
        was_nxt, was_flight = shadow.snd_nxt, shadow.flight
        fault = fault_in(shadow, segment, read(segment.options), sent.at, is_virtual=self.is_virtual)
        self._raise(shadow, fault)
        if segment.payload or segment.flags & FIN:
            if ahead(was_nxt, shadow.snd_nxt) > 0:
                if by_timer:  # against a window that is closed, or too small
                    timing.has_probed(shadow, sent.at)
                else:
                    timing.has_sent(shadow, was_flight, sent.at)
            else:
                timing.has_sent_again(shadow, sent.at, by_timer=by_timer)
        shadow.ack_by = inf

    # An ICMP error

    def _error_arrives(self, shadow: Shadow, icmp: Icmp, seq: int, now: float, sent: Sequence[Sent]) -> None:
        if not shadow.is_known:
            shared = icmp.kind == "too big" and Habit.PATH_IS_SHARED in self.world.habits
            self.world.is_lost = self.world.is_lost or shared
            return
        expected = patherrors.arrives(self.world, shadow, icmp, seq, now)
        self._hit(expected.rule)
        own = [each for each in sent if each.peer == shadow.peer]
        if len(own) != len(sent):
            self._others(expected, sent, shadow)
        self._match(shadow, expected, own, now, None)

    # A call

    def _call(
        self, shadow: Shadow, name: str, size: int, answer: Answer, now: float, sent: Sequence[Sent]
    ) -> None:
        if not shadow.is_known:
            return
        expected, complaint = called(self.world, shadow, name, size, answer, now)
        self.expected = expected
        self._hit(expected.rule)
        if complaint:
            raise WrongError(expected.rule, "what the call is for", complaint)
        own = [each for each in sent if each.peer == shadow.peer]
        if len(own) != len(sent):
            self._others(expected, sent, shadow)
        self._match(shadow, expected, own, now, None)
        self.world.limit_time_wait(shadow)
        if name in ("send", "shutdown", "close") and shadow.state in MAY_SEND:
            self._must_send(shadow)

    def _must_send(self, shadow: Shadow) -> None:
        """What fits goes at once when nothing is in flight; and the FIN behind it."""
        if shadow.flight:
            return
        fin = shadow.closing and Habit.FIN_IN_WINDOW in self.world.habits
        if shadow.unsent and shadow.snd_wnd >= min(shadow.unsent + fin, shadow.most_text):
            raise WrongError(rules.MUST_SEND, "text", "nothing", shadow)
        if not shadow.snd_wnd and Habit.FIN_IN_WINDOW in self.world.habits:
            return
        if not shadow.unsent and shadow.closing and not shadow.fin_sent:
            raise WrongError(rules.CLOSE, "a FIN", "nothing", shadow)

    # Time

    def _time_passes(self, now: float, sent: Sequence[Sent]) -> None:
        for each in sorted(sent, key=lambda each: each.at):
            self._run_timers(each.at)
            shadow = self.world.shadows.get(each.peer)
            if shadow is None:
                raise WrongError(rules.SENT_TO_NOBODY, "nothing", described(each.segment))
            if shadow.is_known:
                self._timer_sent(shadow, each)
        self._run_timers(now)

    def _run_timers(self, now: float) -> None:
        """Let everything happen that makes no noise until *now*, and miss what should have made some."""
        limit = now - timing.EPSILON_S
        for shadow in self.world.shadows.values():
            if shadow.state is None or not shadow.is_known:
                continue
            if shadow.ends_at <= now:
                self._hit(rules.TIME_WAIT if shadow.state is State.TIME_WAIT else rules.ORPHAN)
                self.world.end(shadow, "")
            elif shadow.opening_due <= now:
                self._opening_is_due(shadow, limit)
            elif self.is_virtual:
                self._is_overdue(shadow, now, limit)

    def _opening_is_due(self, shadow: Shadow, limit: float) -> None:
        over = shadow.opening_due >= timing.gives_up_at(shadow) - timing.EPSILON_S
        if over or shadow.open_rtx >= timing.opening_limit(shadow):
            self._hit(rules.GIVES_UP)
            self.world.end(shadow, shadow.soft_error or "TimeoutError")
        elif self.is_virtual and shadow.opening_due < limit:
            raise WrongError(
                rules.SYN_RETRANSMISSION, f"at {shadow.opening_due:g} s again", "nothing", shadow
            )

    def _is_overdue(self, shadow: Shadow, now: float, limit: float) -> None:
        timeout_s = shadow.config.pool_timeout_s
        if shadow.waiting and timeout_s and shadow.established_at + timeout_s < limit:
            self._waited(shadow, limit)
        if shadow.ack_by < limit:
            raise WrongError(rules.DELAYED_ACK, f"by {shadow.ack_by:g} s", "nothing", shadow)
        clock = shadow.clock
        if clock is None or not clock.is_exact or not timing.must_run(shadow):
            return
        if clock.due > now + timing.EPSILON_S:
            return
        if timing.is_over(shadow, clock):
            if clock.due <= limit:
                self._hit(rules.GIVES_UP)
                self.world.end(shadow, shadow.soft_error or "TimeoutError")
        elif clock.due < limit:
            rule = rules.PERSIST if clock.is_shut else rules.RETRANSMISSION
            raise WrongError(rule, f"at {clock.due:g} s", "nothing", shadow)

    def _timer_sent(self, shadow: Shadow, each: Sent) -> None:
        segment = each.segment
        if segment.flags & RST:
            self._timer_reset(shadow, each)
        elif segment.flags & SYN:
            self._opening_again(shadow, each)
        elif segment.payload or segment.flags & FIN:
            self._text_again(shadow, each)
        elif shadow.config.keepalive and segment.seq == (shadow.snd_nxt - 1) & MASK:
            self._hit(rules.KEEP_ALIVE)
            self._take_sent(shadow, each, by_timer=True)
        elif shadow.ack_by == inf:
            raise WrongError(rules.NOT_CAUSED, "nothing", described(segment), shadow)
        else:
            self._hit(rules.DELAYED_ACK)
            self._take_sent(shadow, each, by_timer=True)

    def _timer_reset(self, shadow: Shadow, each: Sent) -> None:
        config = shadow.config
        if shadow.state is None or not (config.pool_timeout_s or config.keepalive or config.orphan_timeout_s):
            raise WrongError(rules.NOT_CAUSED, "no reset", described(each.segment), shadow)
        numbers = (each.segment.seq, each.segment.ack)
        if numbers != (shadow.snd_nxt, shadow.rcv_nxt):
            due = f"seq {shadow.snd_nxt} ack {shadow.rcv_nxt}"
            raise WrongError(rules.RESET_NUMBERS, due, described(each.segment), shadow)
        if shadow.waiting and config.pool_timeout_s:
            self._hit(rules.POOL_TIMEOUT)
            self._waited(shadow, each.at)
        self.world.end(shadow)

    def _waited(self, shadow: Shadow, until: float) -> None:
        """A connection has waited in the pool: for its time, no less and no more."""
        due = shadow.established_at + shadow.config.pool_timeout_s
        if abs(until - due) > timing.EPSILON_S:
            raise WrongError(rules.POOL_TIMEOUT, f"a reset at {due:g} s", f"at {until:g} s", shadow)

    def _opening_again(self, shadow: Shadow, each: Sent) -> None:
        options = read(each.segment.options)
        if (
            shadow.state not in (State.SYN_SENT, State.SYN_RECEIVED) and shadow.snd_una == shadow.iss
        ):  # CLOSE before the SYN was acknowledged
            fault = fault_in(shadow, each.segment, options, each.at, is_virtual=self.is_virtual)
            self._raise(shadow, fault)
            return
        if abs(each.at - shadow.opening_due) > (timing.EPSILON_S if self.is_virtual else 0.5):
            raise WrongError(
                rules.SYN_RETRANSMISSION, f"at {shadow.opening_due:g} s", f"at {each.at:g} s", shadow
            )
        if shadow.open_rtx >= timing.opening_limit(shadow):
            raise WrongError(rules.GIVES_UP, "the end", described(each.segment), shadow)
        fault = fault_in(shadow, each.segment, options, each.at, is_virtual=self.is_virtual)
        self._raise(shadow, fault)
        if options.ts is not None and shadow.ts_zero is not None:
            self._raise(shadow, clock_fault(shadow, options.ts[0], each.at, is_virtual=self.is_virtual))
        self._hit(rules.SYN_RETRANSMISSION)
        shadow.open_rtx += 1
        if shadow.clock is not None:
            shadow.clock.timed = None
        shadow.opening_due = timing.no_later(shadow, each.at + timing.opening_timeout_s(shadow))

    def _text_again(self, shadow: Shadow, each: Sent) -> None:
        clock = shadow.clock
        if clock is not None and clock.is_exact and self.is_virtual:
            if abs(each.at - clock.due) > timing.EPSILON_S:
                rule = rules.PERSIST if clock.is_shut else rules.RETRANSMISSION
                raise WrongError(rule, f"at {clock.due:g} s", f"at {each.at:g} s", shadow)
            if clock.is_last or clock.unanswered >= timing.retry_limit(shadow):
                raise WrongError(rules.GIVES_UP, "the end", described(each.segment), shadow)
            self._hit(rules.PERSIST if clock.is_shut else rules.RETRANSMISSION)
        shadow.probes += 1
        self._take_sent(shadow, each, by_timer=True)


def described(segment: Segment | None) -> str:
    """Return a segment in words: flags and numbers; None is what could not be read."""
    if segment is None:
        return "a damaged frame"
    text = f"{letters_of(segment.flags)} seq {segment.seq}"
    if segment.flags & ACK:
        text += f" ack {segment.acknowledgment}"
    return text + (f" len {len(segment.payload)}" if segment.payload else "")
