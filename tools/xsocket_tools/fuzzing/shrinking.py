"""A case that finds something, made as small as it gets while it still finds the same.

Delta debugging (Zeller and Hildebrandt, 2002) over the operations, then over what they are made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from xsocket_tools.fuzzing.case import NEXT, Call, Case, Icmp, Operation, Say, Tick

MOST_TRIES: Final = 2_000
"""How many cases are played at most to make one smaller."""

Finds = Callable[[Case], bool]


def shrunk(case: Case, finds: Finds, most_tries: int = MOST_TRIES) -> Case:
    """Return the smallest case that still *finds* what *case* does.

    Args:
        case: It does.
        finds: Whether a case does; it is asked *most_tries* times at most.
        most_tries: See above.
    """
    tries = _Tries(finds, most_tries)
    smaller = case
    while True:
        before = smaller
        smaller = _without_operations(smaller, tries)
        smaller = _simpler(smaller, tries)
        if smaller == before or tries.left <= 0:
            return smaller


class _Tries:
    """Asks, and counts how often."""

    def __init__(self, finds: Finds, most: int) -> None:
        self._finds = finds
        self.left = most

    def __call__(self, case: Case) -> bool:
        self.left -= 1
        return self.left >= 0 and self._finds(case)


def _without_operations(case: Case, finds: Finds) -> Case:
    """Leave out as many operations as possible: halves, quarters, and so on to single ones."""
    operations = case.operations
    size = max(1, len(operations) // 2)
    while True:
        at, removed = 0, False
        while at < len(operations):
            fewer = operations[:at] + operations[at + size :]
            if finds(case._replace(operations=fewer)):
                operations, removed = fewer, True
            else:
                at += size
        if size == 1 and not removed:
            return case._replace(operations=operations)
        size = max(1, size // 2)


_USUAL: Final[tuple[Callable[[Case], Case], ...]] = (
    lambda case: case._replace(isn=1000),
    lambda case: case._replace(seed=0),
)


def _simpler(case: Case, finds: Finds) -> Case:
    """Make everything usual that need not be unusual."""
    for rule in case.rules:
        fewer = case._replace(rules=tuple(each for each in case.rules if each != rule))
        if finds(fewer):
            case = fewer
    for usual in _USUAL:
        simpler = usual(case)
        if simpler != case and finds(simpler):
            case = simpler
    for at, operation in enumerate(case.operations):
        for variant in _variants(operation):
            changed = (*case.operations[:at], variant(case.operations[at]), *case.operations[at + 1 :])
            simpler = case._replace(operations=changed)
            if simpler != case and finds(simpler):
                case = simpler
    return case


_Variant = Callable[[Operation], Operation]


def _variants(operation: Operation) -> Iterator[_Variant]:
    """Yield what may be simpler about an operation, each to be tried on what is left of it by then."""
    if isinstance(operation, Say):
        for name, value in (
            ("twist", ""),
            ("options", ()),
            ("text", 0),
            ("window", 65_535),
            ("urgent", 0),
            ("joined", False),
            ("ecn", 0),
            ("seq", NEXT),
            ("ack", NEXT),
        ):
            yield _with(name, value)
        yield _with("text", 1, unless=(0,))
        for token in operation.options:
            yield _without_option(token)
    elif isinstance(operation, Call):
        sizes = [size for size in (0, 1, 10) if size < operation.size]
        yield from (_with("size", size, unless=sizes[:place]) for place, size in enumerate(sizes))
    elif isinstance(operation, Icmp):
        yield _with("quoted", 20)
    elif isinstance(operation, Tick):
        yield _with("seconds", 1.0)
        yield _with("seconds", 100.0, unless=(1.0,))


def _with(name: str, value: object, unless: Sequence[object] = ()) -> _Variant:
    """Return what sets a field, but where it has one of the values that are simpler still."""

    def change(operation: Operation) -> Operation:
        if getattr(operation, name) in unless:
            return operation
        return operation._replace(**{name: value})  # type: ignore[arg-type]

    return change


def _without_option(token: str) -> _Variant:
    def change(operation: Operation) -> Operation:
        assert isinstance(operation, Say)
        return operation._replace(options=tuple(each for each in operation.options if each != token))

    return change
