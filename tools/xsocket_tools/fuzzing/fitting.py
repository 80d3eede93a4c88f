"""What of a case a target can play: cases are made for time that costs nothing, and the engine's rules."""

from __future__ import annotations

from collections.abc import Container
from functools import cache
from typing import Any, Final, NamedTuple, Protocol, cast, runtime_checkable

from xsocket_tools.fuzzing.case import Call, Case, Operation, Say, Tick, rules_of
from xsocket_tools.fuzzing.cast import PEERS
from xsocket_tools.fuzzing.options import MOST_OCTETS
from xsocket_tools.fuzzing.profiles import BASE
from xsocket_tools.fuzzing.target import TakesBatches, Target

Rules = tuple[tuple[str, Any], ...]

MOST_WAITING_S: Final = 0.001
"""How long one case may let real time pass, in all: as long as the rest of it takes."""


LINK_MSS: Final = {4: 1460, 6: 1440}
_MOST_EXTENSION: Final = 16


@runtime_checkable
class _Choosy(Protocol):
    """A target that lacks some of the rules."""

    def unsupported(self, rules: Rules) -> list[str]:
        """Return the names of those of *rules* by which it cannot play."""
        ...


class _Abilities(NamedTuple):
    """What a class of targets can do beside `Target`."""

    choose: bool
    take_batches: bool
    take_calls: bool


@cache
def _abilities(target: type) -> _Abilities:
    """Return what targets of one class can do; to look at a protocol takes long."""
    return _Abilities(
        issubclass(target, _Choosy), issubclass(target, TakesBatches), getattr(target, "takes_calls", True)
    )


def fits(case: Case, target: Target) -> Case:
    """Return *case* as *target* can play it.

    A target in real time waits no longer than `MOST_WAITING_S`: what would pass beyond that is left out, and
    nothing that takes longer than a moment happens by itself. Segments that should arrive together come one
    after the other where the target takes one at a time. Calls are left out where nobody makes them. Rules
    that it lacks are those of every case instead, or are left out.
    """
    can = _abilities(type(target))
    rules = _playable(case.rules, cast("_Choosy", target)) if can.choose else case.rules
    operations = case.operations
    if not can.take_calls:
        operations = tuple(each for each in operations if not isinstance(each, Call))
    if not can.take_batches:
        operations = tuple(_one_by_one(each) for each in operations)
    if not target.is_virtual:
        operations = _hurried(tuple(_short_enough(each) for each in operations))
    return case._replace(operations=operations, rules=rules)


def _playable(rules: Rules, target: _Choosy) -> Rules:
    """Return those of *rules* by which *target* can play, and of every case what it lacks otherwise."""
    lacks = target.unsupported(rules)
    if not lacks:
        return rules
    usual = {name: BASE[name] for name in lacks if name in BASE}
    usual = _without(rules_of(usual), target.unsupported(rules_of(usual)))
    return rules_of(_without(rules, lacks) | usual)


def _without(rules: Rules, names: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in rules if name not in names}


def _one_by_one(operation: Operation) -> Operation:
    return operation._replace(joined=False) if isinstance(operation, Say) and operation.joined else operation


def _short_enough(operation: Operation) -> Operation:
    """Return a segment with no more text than a frame of the link holds, whatever its headers have."""
    if not isinstance(operation, Say):
        return operation
    most = LINK_MSS[PEERS[operation.peer].version] - (MOST_OCTETS if operation.options else 0)
    if operation.twist:
        most -= _MOST_EXTENSION
    return operation._replace(text=most) if operation.text > most else operation


def _hurried(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Return *operations* with no more time between them than there is."""
    left = MOST_WAITING_S
    kept: list[Operation] = []
    for operation in operations:
        if isinstance(operation, Tick):
            seconds = min(operation.seconds, left)
            if seconds <= 0:
                continue
            left -= seconds
            operation = Tick(seconds)
        kept.append(operation)
    return tuple(kept)
