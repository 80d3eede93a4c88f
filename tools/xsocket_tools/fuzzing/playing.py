"""A case is played: each operation becomes a frame, a call or time, and the judge hears what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.segment import Segment
from xsocket.seqnum import MASK
from xsocket.state import State
from xsocket.wire.link import Frame
from xsocket_tools.fuzzing.case import DAMAGES, ICMP_KINDS, ONLY_IN, Call, Case, Icmp, Operation, Say, Tick
from xsocket_tools.fuzzing.cast import PEERS, TARGET
from xsocket_tools.fuzzing.coverage import Triple
from xsocket_tools.fuzzing.deviations import Deviation, Moment, Then, explained_by
from xsocket_tools.fuzzing.frames import Heard, icmp_frame, quoted_packet, read, segment_frame
from xsocket_tools.fuzzing.oracle import rules
from xsocket_tools.fuzzing.oracle.habits import Habit
from xsocket_tools.fuzzing.oracle.judge import Judge, Sent
from xsocket_tools.fuzzing.oracle.shadow import Violation
from xsocket_tools.fuzzing.target import Answer, TakesBatches, Target
from xsocket_tools.fuzzing.view import View, targets_text
from xsocket_tools.fuzzing.watch import OverrunError

PEER_SPACING: Final = 0x1000_0001
"""How far apart the initial numbers of two peers are."""


class Step(NamedTuple):
    """One operation, and what came of it.

    Attributes:
        operation: It.
        at: When it began and ended, seconds since the case began; the same but for time that passes.
        frame: What was sent to the target; None for calls and time.
        sent: What the target sent.
        answer: What came of a call.
        before, after: Where the target said that the connection stood; None for nowhere, or unknown.
        raw: What the target sent, as it stood on the link; also what nobody could read.
    """

    operation: Operation
    at: tuple[float, float]
    frame: bytes | None
    sent: tuple[Sent, ...]
    answer: Answer | None
    before: State | None
    after: State | None
    raw: tuple[bytes, ...] = ()


class Played(NamedTuple):
    """A case that has been played, up to its end or to the first violation.

    Attributes:
        case: It.
        steps: What happened; empty if nobody wanted to know.
        violation: What was wrong; None for nothing.
        coverage: State, event and reply of each step.
        rules: How often each rule had its say.
        isns: Peer, instant and number of each initial sequence number that the target chose.
        stamps: The same of the first timestamps.
        allowed: The deviations that were allowed, by name.
    """

    case: Case
    steps: tuple[Step, ...]
    violation: Violation | None
    coverage: frozenset[Triple]
    rules: dict[rules.Rule, int]
    isns: tuple[tuple[int, float, int], ...] = ()
    stamps: tuple[tuple[int, float, int], ...] = ()
    allowed: tuple[str, ...] = ()


def play(case: Case, target: Target, *, judged: bool = True, with_steps: bool = False) -> Played:
    """Put *case* to *target*.

    Args:
        case: What to do.
        target: Forgets what it was doing.
        judged: Whether the oracles look on; without them it is faster, and nothing is ever wrong.
        with_steps: Whether to keep what happened.

    Raises:
        StalledError: The target did not answer in time.
    """
    return Player(case, target, judged=judged, with_steps=with_steps).play()


class _Said(NamedTuple):
    """A frame that a peer sends, and what a receiver has to read in it."""

    peer: int
    four_tuple: FourTuple
    frame: bytes
    understood: Segment | str | None


class Player:
    """Plays one case, operation by operation.

    Args:
        case: Its rules and numbers; `play` takes its operations, too.
        target: Forgets what it was doing.
        judged, with_steps: See `play`.
    """

    def __init__(self, case: Case, target: Target, *, judged: bool, with_steps: bool) -> None:
        self._case = case
        self._target = target
        self._deviations: Sequence[Deviation] = getattr(target, "deviations", ())
        self._habits: frozenset[Enum] = getattr(target, "habits", frozenset())
        self._has_states: bool = getattr(target, "tells_states", True)
        self._judge = (
            Judge(case.config, is_virtual=target.is_virtual, habits=self._habits) if judged else None
        )
        self._allowed: list[str] = []
        self._with_steps = with_steps
        self._views: dict[int, View] = {}
        self._peers: dict[FourTuple, int] = {}
        self._given: dict[int, int] = {}
        self._steps: list[Step] = []
        self._now = 0.0
        self._spoke: View | None = None
        self._skipped = -1
        self._following: Operation | None = None
        self._sent: Sequence[Sent] = ()
        self._segment: Segment | None = None
        self._raw: tuple[bytes, ...] = ()
        self._answer: Answer | None = None
        target.begin(case.rules, case.seed)

    def play(self) -> Played:
        """Play every operation of the case, up to the first violation."""
        violation = None
        for at, operation in enumerate(self._case.operations):
            if at == self._skipped:
                continue  # it came together with the one before
            following = self._case.operations[at + 1 : at + 2]
            violation = self.do(at, operation, following[0] if following else None)
            if violation is not None:
                break
        judge = self._judge
        if judge is None:
            return Played(self._case, tuple(self._steps), violation, frozenset(), {})
        return Played(
            self._case,
            tuple(self._steps),
            violation,
            frozenset(judge.coverage),
            judge.rules_hit,
            tuple(judge.isns),
            tuple(judge.stamps),
            tuple(self._allowed),
        )

    def do(self, at: int, operation: Operation, following: Operation | None = None) -> Violation | None:
        """Play one operation; return what was wrong, None for nothing, or nothing that is not allowed.

        Args:
            at: Its number.
            operation: It.
            following: The next one, with which it may arrive together.
        """
        self._following = following
        try:
            violation = self._play(at, operation)
        except Exception as error:
            if hasattr(error, "remedy"):
                raise
            rule = rules.ENDS if isinstance(error, OverrunError) else rules.NEVER_RAISES
            violation = Violation(rule, at, None, None, str(operation), "no exception", repr(error))
        return self._unexplained(at, operation, violation) if violation is not None else None

    def _unexplained(self, at: int, operation: Operation, violation: Violation) -> Violation | None:
        """Note a deviation that is allowed, and go on as it says; return what is none."""
        then = self._allowed_as(operation, violation)
        if then is None:
            return violation
        if then is not Then.GOES_ON or violation.peer is None:
            return None
        further = self._check(at, (violation.peer,), violation.stimulus)
        return further if further is not None and self._allowed_as(operation, further) is None else None

    def _allowed_as(self, operation: Operation, violation: Violation) -> Then | None:
        """Note a deviation that is allowed; return what is known after it, None if it is none."""
        judge = self._judge
        if not self._deviations or judge is None:
            return None
        peer = violation.peer
        shadow = None if peer is None else judge.world.shadows.get(peer)
        sent = tuple(each.segment for each in self._sent if each.peer == peer)
        after = None if peer is None else self._target.state(peer)
        moment = Moment(
            violation,
            operation,
            self._segment,
            judge.expected,
            sent,
            violation.state,
            after,
            shadow,
            self._answer if isinstance(operation, Call) else None,
        )
        deviation = explained_by(moment, self._deviations)
        if deviation is None:
            return None
        self._allowed.append(deviation.name)
        if shadow is not None:
            judge.excuse(shadow, deviation.then, sent)
        return deviation.then

    def _play(self, at: int, operation: Operation) -> Violation | None:
        if isinstance(operation, Say):
            return self._say(at, operation)
        if isinstance(operation, Tick):
            return self._tick(at, operation)
        if isinstance(operation, Call):
            return self._call(at, operation)
        return self._icmp(at, operation)

    def _meet(self, peer: int) -> tuple[FourTuple, View]:
        """Return the peer's 4-tuple, its own end first, and what it knows."""
        four_tuple = self._target.four_tuple(peer)
        view = self._views.get(peer)
        if view is None:
            view = self._views[peer] = View((self._case.isn + peer * PEER_SPACING) & MASK)
        self._peers[four_tuple] = peer
        return four_tuple, view

    # What peers send

    def _say(self, at: int, say: Say) -> Violation | None:
        if say.joined and (second := self._joins(say)) is not None:
            return self._say_together(at, say, second)
        said = self._frame_of(say)
        before = self._target.state(say.peer) if self._with_steps else None
        sent, fault = self._heard(self._target.step(said.frame, self._now))
        violation = self._wrong_frame(at, say.peer, fault) if fault else None
        violation = violation or self._arrived(at, said, sent)
        self._listen(sent)
        self._note(say, sent, said.frame, None, before, (self._now, self._now))
        return violation

    def _joins(self, say: Say) -> Say | None:
        """Return the segment that arrives together with *say*; None for none."""
        if self._case.config.pool_policy == "evict":
            return None  # whom the second evicts would be the first's to answer for
        following = self._following
        return following if isinstance(following, Say) and following.peer != say.peer else None

    def _say_together(self, at: int, first: Say, second: Say) -> Violation | None:
        """Two segments of different peers arrive at the same instant; each is judged by its own answers."""
        target = self._target
        said = [self._frame_of(first), self._frame_of(second)]
        befores = [target.state(each.peer) if self._with_steps else None for each in (first, second)]
        frames = [each.frame for each in said]
        if isinstance(target, TakesBatches):
            came = target.batch(frames, self._now)
        else:
            came = [each for frame in frames for each in target.step(frame, self._now)]
        sent, fault = self._heard(came)
        violation = self._wrong_frame(at, first.peer, fault) if fault else None
        own = [each for each in sent if each.peer == first.peer]
        rest = [each for each in sent if each.peer != first.peer]
        violation = violation or self._arrived(at, said[0], own, check=False)
        violation = violation or self._arrived(at + 1, said[1], rest)
        self._listen(sent)
        self._note(first, own, frames[0], None, befores[0], (self._now, self._now))
        self._raw = ()  # all of it is with the first
        self._note(second, rest, frames[1], None, befores[1], (self._now, self._now))
        self._skipped = at + 1
        return violation

    def _frame_of(self, say: Say) -> _Said:
        """Make the frame of an operation, and note that its peer has sent it."""
        four_tuple, view = self._meet(say.peer)
        if "tfo other" in say.options:
            view.other_cookie = self._other_cookie(say.peer)
        segment = view.say(say, self._now, self._spoke)
        self._spoke = view
        frame = segment_frame(self._target.stations, four_tuple.reversed, segment, say.twist)
        understood = _understood(say, segment, frame, four_tuple)
        if say.twist == "port zero" and Habit.PORT_ZERO in self._habits:
            understood = "another connection's"
        if say.twist == "destination options" and Habit.LONG_PADDING in self._habits:
            understood = segment if PEERS[say.peer].version == 4 else None
        view.said(segment, understood is segment)
        return _Said(say.peer, four_tuple, frame, understood)

    def _arrived(self, at: int, said: _Said, sent: Sequence[Sent], *, check: bool = True) -> Violation | None:
        """Let the judge hear what came of a frame."""
        judge, understood = self._judge, said.understood
        if judge is None:
            return None
        if isinstance(understood, str):  # another connection's: the answer is not for any peer of the case
            understood, sent = None, [each for each in sent if each.peer >= 0]
            if self._habits and judge.world.is_narrow:
                judge.world.is_lost = True  # the stranger may take a place
        self._segment = understood
        violation = judge.said(at, said.peer, said.four_tuple, understood, self._now, sent)
        return violation or (self._check(at, (said.peer,), "a segment") if check else None)

    def _other_cookie(self, peer: int) -> bytes:
        """Return a Fast Open cookie that was given to another address of the same version."""
        address = PEERS[peer].address
        others = (view.cookie for each, view in self._views.items() if PEERS[each].address != address)
        return next((cookie for cookie in others if cookie), b"")

    def _heard(self, frames: Sequence[Frame]) -> tuple[list[Sent], str]:
        """Return what the target has sent to the peers, and what is wrong with a frame of it."""
        sent, fault = [], ""
        self._raw = tuple(frame.data for frame in frames)
        for frame in frames:
            heard = read(frame.data)
            if isinstance(heard, Heard):
                peer = self._peers.get(heard.four_tuple, -1)
                sent.append(Sent(peer, frame.at_ns / 1e9, heard.segment))
            elif heard is not None:
                fault = heard
        self._sent, self._segment = sent, None
        return sent, fault

    def _wrong_frame(self, at: int, peer: int, fault: str) -> Violation:
        return Violation(rules.FRAME_SENT, at, peer, None, "a step", "a well-formed frame", fault)

    def _listen(self, sent: Sequence[Sent]) -> None:
        for each in sent:
            view = self._views.get(each.peer)
            if view is not None:
                view.heard(each.segment)

    def _icmp(self, at: int, icmp: Icmp) -> Violation | None:
        target = self._target
        four_tuple, view = self._meet(icmp.peer)
        quoted = quoted_packet(four_tuple, view.ack(icmp.seq), icmp.quoted)
        version = PEERS[icmp.peer].version
        code = ICMP_KINDS[icmp.kind] if version == 4 else _ICMPV6[icmp.kind]
        frame = icmp_frame(target.stations, PEERS[icmp.peer].address, TARGET[version], code, icmp.mtu, quoted)
        before = target.state(icmp.peer) if self._with_steps else None
        sent, fault = self._heard(target.step(frame, self._now))
        violation = self._wrong_frame(at, icmp.peer, fault) if fault else None
        if self._judge is not None and violation is None:
            violation = self._judge.router_said(at, icmp, four_tuple, view.ack(icmp.seq), self._now, sent)
            violation = violation or self._check(at, (icmp.peer,), f"ICMP {icmp.kind}")
        self._listen(sent)
        self._note(icmp, sent, frame, None, before, (self._now, self._now))
        return violation

    # Calls and time

    def _call(self, at: int, call: Call) -> Violation | None:
        target = self._target
        before = target.state(call.peer) if self._with_steps else None
        self._meet(call.peer)
        text = b""
        if call.name in ("send", "open"):
            given = self._given.get(call.peer, 0) if call.name == "send" else 0
            text = targets_text(given, call.size)
        self._answer = answer = target.call(call.peer, call.name, self._now, text, call.size)
        four_tuple, _ = self._meet(call.peer)
        if call.name in ("open", "claim") and not answer.error:
            self._given[call.peer] = len(text)
        elif call.name == "claim any" and not answer.error:
            self._given[self._peers[answer.value]] = 0
        elif call.name == "send" and isinstance(answer.value, int):
            self._given[call.peer] = self._given.get(call.peer, 0) + answer.value
        sent, fault = self._heard(answer.frames)
        violation = self._wrong_frame(at, call.peer, fault) if fault else None
        if self._judge is not None and violation is None:
            violation = self._judge.called(
                at, call.peer, four_tuple, call.name, call.size, answer, self._now, sent
            )
            violation = violation or self._check(at, (call.peer,), f"call {call.name}")
        self._listen(sent)
        self._note(call, sent, None, answer, before, (self._now, self._now))
        return violation

    def _tick(self, at: int, tick: Tick) -> Violation | None:
        began = self._now
        self._now = began + tick.seconds
        sent, fault = self._heard(self._target.step(None, self._now))
        violation = self._wrong_frame(at, 0, fault) if fault else None
        if self._judge is not None and violation is None:
            violation = self._judge.time_passed(at, self._now, sent)
            stimulus = f"{tick.seconds:g} s pass"
            violation = violation or self._check(at, [*self._views], stimulus)
            violation = violation or self._judge.check_timers(at, self._target.timers(), stimulus)
        self._listen(sent)
        self._note(tick, sent, None, None, None, (began, self._now))
        return violation

    def _check(self, at: int, peers: Sequence[int], stimulus: str) -> Violation | None:
        judge = self._judge
        assert judge is not None
        for peer in peers if self._has_states else ():
            violation = judge.check_state(at, peer, self._target.state(peer), stimulus)
            if violation is not None:
                return violation
        counts = self._target.counts()
        return None if counts is None else judge.check_counts(at, counts, stimulus)

    def _note(
        self,
        operation: Operation,
        sent: Sequence[Sent],
        frame: bytes | None,
        answer: Answer | None,
        before: State | None,
        at: tuple[float, float],
    ) -> None:
        if not self._with_steps:
            return
        peer = None if isinstance(operation, Tick) else operation.peer
        after = None if peer is None else self._target.state(peer)
        self._steps.append(Step(operation, at, frame, tuple(sent), answer, before, after, self._raw))


def _understood(say: Say, segment: Segment, frame: bytes, four_tuple: FourTuple) -> Segment | str | None:
    """Return what a receiver has to read: a segment of the connection, nothing, or something of nobody's."""
    twist = say.twist
    if ONLY_IN.get(twist) not in (None, PEERS[say.peer].version):
        return segment
    if not twist or twist in DAMAGES:
        return None if twist else segment
    if twist == "reserved":
        return segment._replace(flags=segment.flags | 0x200)
    if not twist.startswith("flip"):
        return segment
    heard = read(frame)
    if not isinstance(heard, Heard):
        return None
    return heard.segment if heard.four_tuple == four_tuple.reversed else "another connection's"


_ICMPV6: Final = {
    "net unreachable": (1, 0),
    "host unreachable": (1, 3),
    "protocol unreachable": (4, 1),
    "port unreachable": (1, 4),
    "too big": (2, 0),
    "prohibited": (1, 1),
    "source quench": (100, 0),
    "time exceeded": (3, 0),
    "parameter problem": (4, 0),
}
