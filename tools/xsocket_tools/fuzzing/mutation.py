"""Variations of cases that have shown something new: operations left out, repeated, exchanged, spliced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from xsocket_tools.fuzzing.case import Case, Operation

MOST_OPERATIONS: Final = 40


def mutated(random: Random, corpus: Sequence[Case], fresh: Case) -> Case:
    """Return a variation of one case of *corpus*, with operations of *fresh*.

    Args:
        random: Decides.
        corpus: Cases that are worth it; not empty.
        fresh: A case of the generator.
    """
    case = corpus[int(random.random() * len(corpus))]
    operations = list(case.operations)
    for _ in range(1 + int(random.random() * 3)):
        change = _CHANGES[int(random.random() * len(_CHANGES))]
        change(random, operations, fresh.operations)
    rules = fresh.rules if random.random() < 0.1 else case.rules
    return Case(tuple(operations[:MOST_OPERATIONS]), rules, fresh.isn, fresh.seed)


def _at(random: Random, operations: Sequence[Operation]) -> int:
    return int(random.random() * len(operations))


def _insert(random: Random, operations: list[Operation], fresh: Sequence[Operation]) -> None:
    operations.insert(_at(random, [*operations, *operations[:1]]), fresh[_at(random, fresh)])


def _append(random: Random, operations: list[Operation], fresh: Sequence[Operation]) -> None:
    del random
    operations.extend(fresh[-3:])


def _remove(random: Random, operations: list[Operation], fresh: Sequence[Operation]) -> None:
    del fresh
    if len(operations) > 1:
        del operations[_at(random, operations)]


def _repeat(random: Random, operations: list[Operation], fresh: Sequence[Operation]) -> None:
    del fresh
    at = _at(random, operations)
    operations[at:at] = operations[at : at + 1]


def _swap(random: Random, operations: list[Operation], fresh: Sequence[Operation]) -> None:
    del fresh
    one, other = _at(random, operations), _at(random, operations)
    operations[one], operations[other] = operations[other], operations[one]


def _cut(random: Random, operations: list[Operation], fresh: Sequence[Operation]) -> None:
    del operations[1 + _at(random, operations) :]
    operations.append(fresh[_at(random, fresh)])


_CHANGES: Final[tuple[Callable[[Random, list[Operation], Sequence[Operation]], None], ...]] = (
    _insert,
    _append,
    _remove,
    _repeat,
    _swap,
    _cut,
)
