"""Equivalence queries: looking for a word on which a target and what was learned of it so far differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from random import Random
from typing import Final

from aalpy.automata import MealyMachine  # type: ignore[import-untyped]
from aalpy.base import SUL, Oracle  # type: ignore[import-untyped]

from xsocket_tools.learning.asking import Seen, Teacher
from xsocket_tools.learning.errors import TooManyStatesError
from xsocket_tools.progress import Report

MOST_STATES: Final = 300
"""More are no machine that anybody could read; something grows without end."""
RANDOM_STEPS: Final = 10_000
RESET_PROBABILITY: Final = 0.09
"""How likely a random walk ends after each letter."""

RANDOM_WORDS: Final = 100
"""How many random words the W-method has for each state, as long as that is enough for four a letter."""
RANDOM_LETTERS: Final = 10
"""The most letters that one of them has behind the transition."""
MANY_LETTERS: Final = 100
"""With more letters than these, not every pair of letters is tried in every state."""

Word = tuple[str, ...]


class _Words(Oracle):  # type: ignore[misc]
    """Asks words until one of them tells the two apart."""

    def __init__(self, alphabet: Sequence[str], sul: SUL, report: Report) -> None:
        super().__init__(list(alphabet), sul)
        self._report = report

    def find_cex(self, hypothesis: MealyMachine) -> Word | None:
        """Return a word whose last letter is answered in two ways; None if there is none among those asked.

        Raises:
            TooManyStatesError: The hypothesis has grown beyond measure.
        """
        if len(hypothesis.states) > MOST_STATES:
            raise TooManyStatesError(f"more than {MOST_STATES} states")
        self._report(f"{len(hypothesis.states)} states, looking for more")
        for word in self.words(hypothesis):
            found = self._told_apart(hypothesis, word)
            if found:
                return self._shortened(hypothesis, found)
        return None

    def _told_apart(self, hypothesis: MealyMachine, word: Word) -> Word:
        """Return *word* up to the letter that is answered in two ways; nothing if there is none."""
        self.num_queries += 1
        self.num_steps += len(word)
        expected = hypothesis.compute_output_seq(hypothesis.initial_state, word)
        for at, (first, second) in enumerate(zip(expected, self.sul.query(word), strict=True), start=1):
            if first != second:
                return word[:at]
        return ()

    def _shortened(self, hypothesis: MealyMachine, word: Word) -> Word:
        """Return what is left of *word* without letters that it does not take: less to ask from now on."""
        at = 0
        while at < len(word):
            shorter = self._told_apart(hypothesis, word[:at] + word[at + 1 :])
            if shorter:
                word = shorter
            else:
                at += 1
        return word

    def words(self, hypothesis: MealyMachine) -> Iterator[Word]:
        """Yield the words to ask."""
        raise NotImplementedError


class WMethod(_Words):
    """The W-method of Chow: what it accepts is right, unless the target has more than *extra* states more.

    Every transition, then every word of up to *extra* letters, then each word of a set that tells all states
    of the hypothesis apart. Where *extra* is 0 the set has each single letter as well, and random words come
    last: what is missed then takes more than two letters to see.
    """

    def __init__(self, alphabet: Sequence[str], sul: SUL, report: Report, *, extra: int, seed: int) -> None:
        super().__init__(alphabet, sul, report)
        self._extra, self._random = extra, Random(seed)

    def words(self, hypothesis: MealyMachine) -> Iterator[Word]:
        """See `_Words.words`."""
        apart = list(hypothesis.compute_characterization_set() or ())
        if not self._extra:
            apart += [(letter,) for letter in self._one_more(hypothesis) if (letter,) not in apart]
        for length in range(1, self._extra + 2):
            for state in hypothesis.states:
                for middle in product(self.alphabet, repeat=length):
                    for word in apart or [()]:
                        yield (*state.prefix, *middle, *word)
        if not self._extra:
            yield from self._random_words(hypothesis)

    def _one_more(self, hypothesis: MealyMachine) -> list[str]:
        """Return all letters; of more than `MANY_LETTERS` one of each kind that the hypothesis has."""
        if len(self.alphabet) <= MANY_LETTERS:
            return self.alphabet  # type: ignore[no-any-return]
        kinds: dict[tuple[object, ...], str] = {}
        for letter in self.alphabet:
            does = ((state.output_fun[letter], state.transitions[letter]) for state in hypothesis.states)
            kinds.setdefault(tuple(does), letter)
        return list(kinds.values())

    def _random_words(self, hypothesis: MealyMachine) -> Iterator[Word]:
        """Yield words that go on at random after each transition."""
        for state, letter in product(hypothesis.states, self.alphabet):
            for _ in range(max(4, RANDOM_WORDS // len(self.alphabet))):
                length = self._random.randint(1, RANDOM_LETTERS)
                yield (*state.prefix, letter, *(self._random.choice(self.alphabet) for _ in range(length)))


class RandomWalks(_Words):
    """Random words, the same for the same *seed*: *steps* letters for each hypothesis."""

    def __init__(
        self, alphabet: Sequence[str], sul: SUL, report: Report, *, seed: int, steps: int = RANDOM_STEPS
    ) -> None:
        super().__init__(alphabet, sul, report)
        self._random = Random(seed)
        self._steps = steps

    def words(self, hypothesis: MealyMachine) -> Iterator[Word]:
        """See `_Words.words`."""
        del hypothesis
        left = self._steps
        while left > 0:
            word = [self._random.choice(self.alphabet)]
            while self._random.random() > RESET_PROBABILITY:
                word.append(self._random.choice(self.alphabet))
            left -= len(word)
            yield tuple(word)


class Asked(SUL):  # type: ignore[misc]
    """What AALpy asks, put to *teacher*, which remembers."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self._teacher = teacher

    def query(self, word: Word) -> list[Seen]:
        """Return what comes of each letter of *word*."""
        return list(self._teacher.ask(word))

    def pre(self) -> None:
        """Nothing: a word is asked as a whole."""

    def post(self) -> None:
        """Nothing: a word is asked as a whole."""

    def step(self, letter: str) -> Seen:
        """Never called: a word is asked as a whole."""
        raise NotImplementedError(letter)
