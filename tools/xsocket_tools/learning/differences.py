"""Telling two machines apart: the shortest words that do, each with the rule that it is about."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from xsocket_tools.learning.errors import MachineError
from xsocket_tools.learning.machine import Machine, Move, state_of
from xsocket_tools.learning.rules import Rule, rule_of

LINUX: Final = "Linux"
"""What ``system`` begins with where a kernel was learned."""

Pair = tuple[str, str]


class Difference(NamedTuple):
    """A word to which two machines answer differently, at its last letter.

    Attributes:
        word: The letters.
        first, second: What each does in either machine.
        parting: Which letter sets them apart, counted from 0: the last one, or one before it that led to
            states of different names, though its answer is the same.
        states: Where the two are before that letter.
        rule: About that letter.
    """

    word: tuple[str, ...]
    first: tuple[Move, ...]
    second: tuple[Move, ...]
    parting: int
    states: Pair
    rule: Rule

    @property
    def letter(self) -> str:
        """The letter that sets them apart."""
        return self.word[self.parting]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {
            "word": list(self.word),
            "first": [list(move) for move in self.first],
            "second": [list(move) for move in self.second],
            "parting": self.parting,
            "states": list(self.states),
            "rule": self.rule.section,
            "why": self.rule.why,
        }


class Comparison(NamedTuple):
    """What comes of two machines.

    Attributes:
        differences: Shortest first; for each pair of states, and each letter that sets them apart, one.
        left_out: Letters that only one of the two knows.
    """

    differences: list[Difference]
    left_out: list[str]


def compare(first: Machine, second: Machine) -> Comparison:
    """Return what tells *first* and *second* apart.

    Raises:
        MachineError: They have no letter in common, or are of different roles.
    """
    letters = _in_common(first, second)
    left_out = [name for name in {**first.alphabet, **second.alphabet} if name not in letters]
    kept: dict[tuple[Pair, str], Difference] = {}
    for word in _telling_words(first, second, letters):
        found = _difference(first, second, word)
        kept.setdefault((found.states, found.letter), found)
    return Comparison(list(kept.values()), left_out)


def _in_common(first: Machine, second: Machine) -> list[str]:
    if first.role != second.role:
        raise MachineError(
            f"one is of a {first.role}, the other of a {second.role}", remedy="Compare two of the same role."
        )
    letters = [name for name in first.alphabet if name in second.alphabet]
    if not letters:
        raise MachineError("the two have no letter in common", remedy="Compare two of the same alphabet.")
    for name in letters:
        if first.alphabet[name] != second.alphabet[name]:
            raise MachineError(
                f"the letter {name!r} is not the same in both", remedy="Compare two of the same alphabet."
            )
    return letters


def _telling_words(first: Machine, second: Machine, letters: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield words on which the two agree but for the last letter: one for each pair of states, and letter.

    The shortest come first. The search does not go on where the answers differ: what follows there would
    be told apart as well.
    """
    start = (first.initial, second.initial)
    words: dict[Pair, tuple[str, ...]] = {start: ()}
    waiting = deque([start])
    while waiting:
        pair = waiting.popleft()
        for letter in letters:
            one, other = first.table[pair[0]][letter], second.table[pair[1]][letter]
            word = (*words[pair], letter)
            below = (one.to, other.to)
            if one.output != other.output:
                yield word
            elif below not in words:
                words[below] = word
                waiting.append(below)


def _difference(first: Machine, second: Machine, word: tuple[str, ...]) -> Difference:
    ones, others = tuple(first.run(word)), tuple(second.run(word))
    parting = next(
        at
        for at, (one, other) in enumerate(zip(ones, others, strict=True))
        if state_of(one.to) != state_of(other.to) or one.output != other.output
    )
    before = (ones[parting - 1].to, others[parting - 1].to) if parting else (first.initial, second.initial)
    linux = _of_linux((first, ones[parting]), (second, others[parting]))
    letter = first.alphabet[word[parting]]
    return Difference(word, ones, others, parting, before, rule_of(before[0], letter, linux))


def _of_linux(*moves: tuple[Machine, Move]) -> Move | None:
    """Return the move of the machine that is Linux, if the other one is not."""
    found = [move for machine, move in moves if str(machine.facts.get("system", "")).startswith(LINUX)]
    return found[0] if len(found) == 1 else None


def rows_of(differences: Iterable[Difference]) -> list[list[Difference]]:
    """Put those together that differ only in the letter that sets the two apart."""
    rows: dict[tuple[object, ...], list[Difference]] = {}
    for each in differences:
        word, first, second, at, states, rule = each
        look = (word[:at], word[at + 1 :], first[at:], second[at:], states, rule)
        rows.setdefault(look, []).append(each)
    return list(rows.values())
