"""Whether a case comes out the same without what a script cannot say: it is played again on its target."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from xsocket_tools.fuzzing.case import Case, Icmp, Operation, Say
from xsocket_tools.fuzzing.playing import Played, play
from xsocket_tools.fuzzing.target import StalledError, Target, TargetError

LEAST_QUOTED: Final = 8
"""Octets of TCP that an ICMP error quotes at least, so that ports and number are there (RFC 792)."""
WHOLE_HEADER: Final = 20
"""What those of scripts quote."""

_AT_WORST: Final = {"challenge_ack_limit": 3}
"""What rules by which the engine draws lots may come to where they are as usual: half of what they say."""

Told = Callable[[Played], list[str]]
"""What a script tells of a played case."""


class Again:
    """Plays a case in other words.

    Args:
        played: As it was, with its steps.
        target: Where.
        told: What is to be the same.
    """

    def __init__(self, played: Played, target: Target, told: Told) -> None:
        self._played, self._target, self._told = played._replace(violation=None), target, told
        self._before = told(self._played)

    def is_same(
        self, *, rules: Collection[str] = (), operations: Collection[int] = (), plainly: bool = False
    ) -> bool:
        """Return whether nothing that is left becomes another.

        Args:
            rules: Which are left as they usually are.
            operations: Which are left out.
            plainly: Whether those that are left are said as a script says them; see `is_plain`.
        """
        case = self._played.case
        reduced = Case(
            tuple(
                _plain(each) if plainly else each
                for at, each in enumerate(case.operations)
                if at not in operations
            ),
            tuple(
                (name, _AT_WORST[name]) if name in rules else (name, value)
                for name, value in case.rules
                if name not in rules or name in _AT_WORST
            ),
            case.isn,
            case.seed,
        )
        try:
            again = play(reduced, self._target, judged=False, with_steps=True)
        except StalledError:
            raise
        except TargetError:  # it cannot play by what is usual
            return False
        count = sum(at not in operations for at in range(len(self._played.steps)))
        return self._told(Played(reduced, again.steps[:count], None, frozenset(), {})) == self._before


def is_plain(operation: Operation) -> bool:
    """Return whether a script says *operation* just so: ICMP quotes a whole header, segments come singly."""
    return _plain(operation) == operation


def _plain(operation: Operation) -> Operation:
    if isinstance(operation, Icmp) and LEAST_QUOTED <= operation.quoted < WHOLE_HEADER:
        return operation._replace(quoted=WHOLE_HEADER)
    return operation._replace(joined=False) if isinstance(operation, Say) else operation
