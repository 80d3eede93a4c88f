"""Putting words to a target: every answer is remembered, and must be the same when it is asked again.

What the target answers is seen from outside, and after each letter the stack is asked where the connection
stands. So no two states of different names are taken for one, though from outside they may be the same.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from xsocket.segment import ACK, SYN, Segment
from xsocket.state import State
from xsocket.wire.link import Frame
from xsocket_tools.fuzzing.case import ODDITIES, Call, Place, Say
from xsocket_tools.fuzzing.frames import read, segment_frame
from xsocket_tools.fuzzing.target import StalledError, Target
from xsocket_tools.fuzzing.view import View, targets_text
from xsocket_tools.learning.alphabet import PEERS, Letter
from xsocket_tools.learning.errors import LearningError, NonDeterminismError
from xsocket_tools.learning.notation import REFUSED, SILENCE, in_words

PEER_ISN: Final = 0xFFFF_FFC0
"""The peer's initial sequence number: just below the seam of the circle, so that windows span the seam."""
STEP_S: Final = 50e-6
"""From one letter to the next, in virtual time: as on a fast wire. No timer is that short, and an initial
sequence number is not the one before."""
PATIENCE_S: Final = 0.05
"""A word that took longer than this, in real time, is played again: a timer may have had its say."""
ATTEMPTS: Final = 20
"""How often a word is played that does not come to its end in time."""

_TAKING: Final = ("open", "claim")
"""Calls that put a connection into the user's hands."""
_LETTING_GO: Final = ("close", "abort")
"""Calls after which the user has none. Nobody is refused them."""


class PeerView(View):
    """A view in which ``next`` is what the target has last said that it expects, and not what was last sent.

    So nothing depends on whether the target took what it did not answer, and the states that are learned are
    the target's.
    """

    __slots__ = ()

    def __init__(self, isn: int) -> None:
        super().__init__(isn)
        self.nxt = self.acked

    def said(self, segment: Segment, now_valid: bool) -> None:
        """See `View.said`."""
        super().said(segment, now_valid)
        self.nxt = self.acked


class Seen(NamedTuple):
    """What came of a letter.

    Attributes:
        output: What was answered, in the words of `notation`.
        state: Where the connection stands now, by the stack's own word. Where there is none, a server has
            its listener.
    """

    output: str
    state: str

    def __str__(self) -> str:
        return f"{self.output} then {self.state}"


class Teacher:
    """Answers what words do to a target.

    Args:
        target: Whom to ask.
        letters: What there is to say.
        role: The target's, one of `alphabet.PEERS`: says whose connection it is about.
        rules: What the target plays by.

    Attributes:
        queries: How many words were played.
        steps: How many letters they had, together.
    """

    def __init__(
        self, target: Target, letters: Mapping[str, Letter], role: str, rules: tuple[tuple[str, Any], ...]
    ) -> None:
        self._target, self._letters, self._rules = target, letters, rules
        self._peer = PEERS[role]
        self._nothing = State.LISTEN.value if role == "server" else State.CLOSED.value
        self._known: _Known = {}
        self.queries = self.steps = 0

    @property
    def at_first(self) -> str:
        """The state before the first letter."""
        return self._nothing

    def ask(self, word: Sequence[str]) -> tuple[Seen, ...]:
        """Return what comes of each letter of *word*; what is known is not asked again.

        Raises:
            NonDeterminismError: The target contradicts what it answered before.
            LearningError: It does not come to an end of the word in time.
        """
        known = _recall(self._known, word)
        if len(known) == len(word):
            return known
        answers = self._played(word)
        self._remember(word, answers)
        return answers

    def _remember(self, word: Sequence[str], answers: Sequence[Seen]) -> None:
        node = self._known
        so_far: list[str] = []
        for at, (letter, answer) in enumerate(zip(word, answers, strict=True)):
            before, below = node.setdefault(letter, (answer, {}))
            if before != answer:
                now = [*so_far, str(answer)]
                raise NonDeterminismError(word[: at + 1], [*so_far, str(before)], now)
            so_far.append(str(answer))
            node = below

    def _played(self, word: Sequence[str]) -> tuple[Seen, ...]:
        for _ in range(ATTEMPTS):
            began = time.monotonic()
            try:
                answers = self._play(word)
            except StalledError:
                continue
            if self._target.is_virtual or time.monotonic() - began < PATIENCE_S:
                return answers
        raise LearningError(
            f"{ATTEMPTS} times the target took too long for {', '.join(word) or 'nothing'}",
            remedy="Try again when the machine has less to do.",
        )

    def _play(self, word: Sequence[str]) -> tuple[Seen, ...]:
        self.queries += 1
        self.steps += len(word)
        self._target.begin(self._rules, seed=0)
        self._target.four_tuple(self._peer)
        talk = _Talk(self._target, self._peer)
        return tuple(Seen(talk.put(self._letters[name]), self._state()) for name in word)

    def _state(self) -> str:
        state = self._target.state(self._peer)
        return self._nothing if state is None else state.value


_Known = dict[str, tuple[Seen, "_Known"]]
"""Letters, what each was answered, and what is known of the letters behind it."""


def _recall(known: _Known, word: Sequence[str]) -> tuple[Seen, ...]:
    """Return the answers to as much of the beginning of *word* as was asked before."""
    answers = []
    for letter in word:
        if letter not in known:
            break
        answer, known = known[letter]
        answers.append(answer)
    return tuple(answers)


class _Talk:
    """One connection, from its first letter on; its user makes calls only on what is in hand."""

    def __init__(self, target: Target, peer: int) -> None:
        self._target, self._peer = target, peer
        self._view = PeerView(PEER_ISN)
        self._now = 0.0
        self._is_held = False

    def put(self, letter: Letter) -> str:
        """Let it happen; return what came of it."""
        if self._target.is_virtual:
            self._now += STEP_S
        return self._say(letter) if isinstance(letter, Say) else self._call(letter)

    def _say(self, letter: Say) -> str:
        view = self._view
        segment = view.say(letter, self._now)
        peer = self._target.four_tuple(self._peer).reversed
        frame = segment_frame(self._target.stations, peer, segment, letter.twist)
        came = self._target.step(frame, self._now)
        view.said(segment, not letter.twist or letter.twist in ODDITIES)
        return " ".join(self._heard(came, segment)) or SILENCE

    def _call(self, letter: Call) -> str:
        name = letter.name
        is_letting_go = name in _LETTING_GO
        if not self._is_held and name not in _TAKING:
            return SILENCE if is_letting_go else REFUSED
        view = self._view
        text = b""
        if name == "send":
            text = targets_text(view.ack(Place("next")) - view.target_isn - 1, letter.size)
        answer = self._target.call(self._peer, name, self._now, text, letter.size)
        if is_letting_go or (name in _TAKING and not answer.error):
            self._is_held = not is_letting_go
        refused = [REFUSED] if answer.error and not is_letting_go else []
        is_opening = name == "open" and not answer.error
        return " ".join(refused + self._heard(answer.frames, is_opening=is_opening)) or SILENCE

    def _heard(
        self, frames: Sequence[Frame], said: Segment | None = None, *, is_opening: bool = False
    ) -> list[str]:
        """Return in words what came for this connection; what came for another answers no letter of this one.

        A SYN without ACK answers nothing but ``open``. It is one that comes again: Linux has its timer run
        for as little as 4 ms once an acknowledgment was wrong.
        """
        ours = self._target.four_tuple(self._peer)
        words = []
        for frame in frames:
            heard = read(frame.data)
            if heard is None:
                continue
            if isinstance(heard, str):
                words.append(f"<{heard}>")
            elif heard.four_tuple == ours and (is_opening or heard.segment.flags & (SYN | ACK) != SYN):
                words.append(in_words(self._view, said, heard.segment))
                self._view.heard(heard.segment)
        return words
