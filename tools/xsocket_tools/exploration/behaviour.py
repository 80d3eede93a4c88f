"""What the real stack does. Each (state, stimulus) is put to it once, judged, and remembered.

An end's step depends on nothing but its own state and on what happens to it. So the search can put together
any number of states of the whole from the few thousand steps that the ends can make.
"""

import pickle
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from xsocket.actions import Action, Deleted, Dropped, Moved, Send, TimerFired
from xsocket.segment import RST, Segment
from xsocket.state import State, Timer, Trigger
from xsocket.tcp import guards
from xsocket.tcp.options import parse
from xsocket_tools.exploration.end import Call, End, Stimulus, Wait
from xsocket_tools.exploration.identity import identity
from xsocket_tools.exploration.soundness import complaint

Row = tuple[State, Trigger]


class Standing(NamedTuple):
    """A state that an end can be in.

    Attributes:
        frozen: The end, pickled: twice as fast as copying it.
        state: What the RFC calls it.
        due_s: How long it is until its next timer.
        awaits: Whether that timer sends something again which the peer ought to have answered.
        offers: What its user can do, as a sum of `Call`.
        snd_nxt, rcv_nxt: As the exploration counts.
        settled: Whether nothing that it has to say waits to be sent or to be acknowledged.
        generation: How many connections it has had.
        lost_patience: Of an end whose connection is gone; see `End`.
    """

    frozen: bytes
    state: State
    due_s: float
    awaits: bool
    offers: int
    snd_nxt: int
    rcv_nxt: int
    settled: bool
    generation: int
    lost_patience: bool


class Outcome(NamedTuple):
    """What came of a stimulus.

    Attributes:
        to: The standing after it, by number.
        sent: The segments that went out, by number.
        ended: Whether a connection ended.
        told: What else the stack did, in words.
        wrong: What rule that breaks; empty for none.
    """

    to: int
    sent: tuple[int, ...]
    ended: bool
    told: tuple[str, ...]
    wrong: str


class Behaviour:
    """The states and steps of both ends, as far as anybody asked.

    Attributes:
        standings: By number.
        segments: By number.
        rows: The rows of the table that were looked up.
    """

    def __init__(self) -> None:
        self.standings: list[Standing] = []
        self.segments: list[Segment] = []
        self.rows: set[Row] = set()
        self._standing_numbers: dict[Hashable, int] = {}
        self._segment_numbers: dict[Segment, int] = {}
        self._outcomes: dict[tuple[int, Hashable], Outcome] = {}

    @property
    def steps(self) -> int:
        """How many steps the stacks made."""
        return len(self._outcomes)

    def enter(self, end: End) -> int:
        """Return the number of the standing that *end* is in."""
        name = identity(end)
        number = self._standing_numbers.get(name)
        if number is None:
            number = self._standing_numbers[name] = len(self.standings)
            self.standings.append(_standing(end))
        return number

    def end(self, standing: int) -> End:
        """Return an end in that standing, to do with as one likes."""
        end: End = pickle.loads(self.standings[standing].frozen)  # noqa: S301  # pickled here
        return end

    def arrival(self, standing: int, segment: int) -> Outcome:
        """Return what comes of a segment, by its number."""
        key = (standing, segment)
        return self._outcomes.get(key) or self._ask(key, self.segments[segment])

    def call(self, standing: int, call: Call) -> Outcome:
        """Return what comes of a call."""
        key = (standing, ~call.value)  # no segment has that number
        return self._outcomes.get(key) or self._ask(key, call)

    def wait(self, standing: int, seconds: float, fires: bool) -> Outcome:
        """Return what comes of time passing, and of the timers that are due then if it *fires* them."""
        wait = Wait(seconds, fires)
        key = (standing, wait)
        return self._outcomes.get(key) or self._ask(key, wait)

    def _ask(self, key: tuple[int, Hashable], stimulus: Stimulus) -> Outcome:
        end = self.end(key[0])
        before = end.state
        self.rows |= set(_looked_up(end, stimulus))
        try:
            actions = end.meet(stimulus)
        except Exception as error:  # whatever it is, it is what the exploration is for
            outcome = Outcome(key[0], (), False, (), f"raises {type(error).__name__}: {error}")
        else:
            outcome = self._outcome(end, before, stimulus, actions)
        self._outcomes[key] = outcome
        return outcome

    def _outcome(self, end: End, before: State, stimulus: Stimulus, actions: Sequence[Action]) -> Outcome:
        wrong = complaint(end, before, stimulus, actions)
        self.rows |= {(action.before, action.trigger) for action in actions if isinstance(action, Moved)}
        sent = tuple(self._number_of(action.segment) for action in actions if isinstance(action, Send))
        ended = stimulus is Call.CRASH or any(isinstance(action, Deleted) for action in actions)
        end.settle()
        return Outcome(self.enter(end), sent, ended, tuple(_in_words(actions)), wrong)

    def _number_of(self, segment: Segment) -> int:
        number = self._segment_numbers.get(segment)
        if number is None:
            number = self._segment_numbers[segment] = len(self.segments)
            self.segments.append(segment)
        return number


def _standing(end: End) -> Standing:
    tcb, frozen = end.tcb, pickle.dumps(end, pickle.HIGHEST_PROTOCOL)
    numbers, awaits, settled = (0, 0), False, True
    if tcb is not None:
        numbers = end.own(tcb.snd_nxt), end.peers(tcb.rcv_nxt)
        awaits = tcb.timer is Timer.RETRANSMISSION and tcb.due == tcb.deadline
        settled = not (tcb.flight or tcb.unsent or tcb.ack_due or (tcb.closing and not tcb.fin_sent))
    return Standing(
        frozen, end.state, end.due_s, awaits, end.offers, *numbers, settled, end.generation, end.lost_patience
    )


def _looked_up(end: End, stimulus: Stimulus) -> Iterator[Row]:
    """Yield the row that a segment has looked up, which no action tells when the state stays as it is."""
    if not isinstance(stimulus, Segment):
        return
    state, verdict = _judged(end, end.inward(stimulus))
    if isinstance(verdict, Trigger):
        yield state, verdict


def _judged(end: End, segment: Segment) -> tuple[State, object]:
    tcb = end.tcb
    if tcb is None:
        return State.LISTEN, guards.in_listen(segment) if end.listens and not segment.flags & RST else None
    if tcb.state is State.SYN_SENT:
        return tcb.state, guards.in_syn_sent(tcb, segment)
    return tcb.state, guards.in_other_states(tcb, end.now, segment, parse(segment.options))


def _in_words(actions: Sequence[Action]) -> Iterator[str]:
    for action in actions:
        if isinstance(action, TimerFired):
            yield f"{action.timer.value} timer"
        elif isinstance(action, Dropped):
            yield action.reason.name
        elif isinstance(action, Moved):
            yield f"{action.after.value} by {action.rule}"
        elif isinstance(action, Deleted) and action.error is not None:
            yield action.error.__name__
