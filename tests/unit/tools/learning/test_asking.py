"""Putting words to a target: what is remembered, what is played again, and what is no answer."""

from collections.abc import Sequence
from itertools import count

import pytest

from xsocket.segment import SYN, Segment
from xsocket.wire.link import Frame
from xsocket_tools.fuzzing.frames import segment_frame
from xsocket_tools.fuzzing.target import StalledError
from xsocket_tools.fuzzing.targets.engine import EngineTarget
from xsocket_tools.learning.alphabet import alphabet_of
from xsocket_tools.learning.asking import ATTEMPTS, Teacher
from xsocket_tools.learning.errors import LearningError, NonDeterminismError
from xsocket_tools.learning.learner import RULES


def teacher(target: EngineTarget, role: str = "server", alphabet: str = "calls") -> Teacher:
    return Teacher(target, alphabet_of(alphabet, role), role, RULES)


class Moody(EngineTarget):
    """Says nothing in every other case, once a connection is established."""

    def __init__(self) -> None:
        self._cases = count()
        self._is_moody = False
        super().__init__()

    def begin(self, rules: tuple[tuple[str, object], ...], seed: int) -> None:
        super().begin(rules, seed)
        self._is_moody = next(self._cases) % 2 == 0

    def step(self, frame: bytes | None, now: float) -> Sequence[Frame]:
        known = any(state.value == "ESTABLISHED" for state in self._host.connections().values())
        sent = super().step(frame, now)
        return [] if known and self._is_moody else sent


class Stalling(EngineTarget):
    """Does not answer in time, so many times."""

    def __init__(self, times: int) -> None:
        self._left = times
        super().__init__()

    def step(self, frame: bytes | None, now: float) -> Sequence[Frame]:
        if self._left:
            self._left -= 1
            raise StalledError("the fence")
        return super().step(frame, now)


class Repeating(EngineTarget):
    """Sends its SYN again with whatever it answers."""

    def step(self, frame: bytes | None, now: float) -> Sequence[Frame]:
        ours = self.four_tuple(4)
        again = segment_frame(self.stations, ours, Segment(1, 0, SYN))
        return [Frame(again, 0), *super().step(frame, now)]


WORDS = [
    ("SYN, ACK", "SA(iss, +1) then SYN-RECEIVED, - then ESTABLISHED"),
    ("SYN, SYN", "SA(iss, +1) then SYN-RECEIVED, - then LISTEN"),
    ("ACK, SYN+FIN", "R(seg.ack) then LISTEN, - then LISTEN"),
    ("SYN, FIN+ACK, RST", "SA(iss, +1) then SYN-RECEIVED, A(+len) then CLOSE-WAIT, - then LISTEN"),
    ("claim, close, send", "refused then LISTEN, - then LISTEN, refused then LISTEN"),
    (
        "SYN, ACK+data, claim, send, close",
        "SA(iss, +1) then SYN-RECEIVED, A(+len) then ESTABLISHED, - then ESTABLISHED, "
        "PA(text) then ESTABLISHED, RA(nxt, rcv) then LISTEN",
    ),
    (
        "SYN, ACK, claim, shutdown, FIN+ACK crossing, ACK",
        "SA(iss, +1) then SYN-RECEIVED, - then ESTABLISHED, - then ESTABLISHED, FA then FIN-WAIT-1, "
        "A(+len) then CLOSING, - then TIME-WAIT",
    ),
]


@pytest.mark.parametrize(("word", "answers"), WORDS, ids=[word for word, _ in WORDS])
def test_words_to_a_server(word: str, answers: str) -> None:
    assert ", ".join(map(str, teacher(EngineTarget()).ask(word.split(", ")))) == answers


@pytest.mark.parametrize(
    ("word", "answers"),
    [
        ("SYN, open", "RA(0, +len) then CLOSED, S(iss) then SYN-SENT"),
        ("open, open", "S(iss) then SYN-SENT, refused then SYN-SENT"),
        ("open, SYN, ACK", "S(iss) then SYN-SENT, SA(iss, +1) then SYN-RECEIVED, - then ESTABLISHED"),
        ("open, ACK future, RST+ACK", "S(iss) then SYN-SENT, R(seg.ack) then SYN-SENT, - then CLOSED"),
    ],
)
def test_words_to_a_client(word: str, answers: str) -> None:
    assert ", ".join(map(str, teacher(EngineTarget(), "client").ask(word.split(", ")))) == answers


def test_what_is_known_is_not_asked_again() -> None:
    asked = teacher(EngineTarget())
    whole = asked.ask(["SYN", "ACK", "RST"])
    assert asked.ask(["SYN", "ACK"]) == whole[:2]
    assert (asked.queries, asked.steps) == (1, 3)
    asked.ask(["SYN", "SYN"])
    assert (asked.queries, asked.steps) == (2, 5)


def test_two_answers_are_reported_with_both_traces() -> None:
    asked = teacher(Moody())
    asked.ask(["SYN", "ACK", "SYN", "ACK+data"])
    with pytest.raises(NonDeterminismError) as caught:
        asked.ask(["SYN", "ACK", "SYN", "RST"])
    begin = ("SA(iss, +1) then SYN-RECEIVED", "- then ESTABLISHED")
    assert caught.value.word == ("SYN", "ACK", "SYN")
    assert {caught.value.first, caught.value.second} == {
        (*begin, "A then ESTABLISHED"),
        (*begin, "- then ESTABLISHED"),
    }


def test_a_stalled_word_is_played_again() -> None:
    asked = teacher(Stalling(ATTEMPTS - 1))
    assert [str(seen) for seen in asked.ask(["SYN"])] == ["SA(iss, +1) then SYN-RECEIVED"]
    assert asked.queries == ATTEMPTS


def test_a_word_that_is_always_stalled_is_given_up() -> None:
    with pytest.raises(LearningError, match=f"{ATTEMPTS} times the target took too long for SYN, ACK"):
        teacher(Stalling(10 * ATTEMPTS)).ask(["SYN", "ACK"])


def test_a_syn_that_comes_again_is_no_answer() -> None:
    word = ["open", "ACK future", "SYN+ACK"]
    assert teacher(Repeating(), "client").ask(word) == teacher(EngineTarget(), "client").ask(word)
