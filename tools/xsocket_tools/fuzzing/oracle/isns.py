"""Initial sequence numbers over many cases: nobody who does not know the secret can tell one from another.

RFC 6528 section 3. Within a case the judge checks the clock; here is what one case cannot show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import combinations
from typing import Final, NamedTuple

from xsocket_tools.fuzzing.cast import PEERS
from xsocket_tools.fuzzing.oracle.shadow import MASK

ISN_PER_SECOND: Final = 250_000
"""The clock of RFC 9293 section 3.4.1."""
STAMPS_PER_SECOND: Final = 1000
"""The clock of the target's timestamps (RFC 7323 section 4.1)."""
OFTEN: Final = 3
"""How often a difference has to come back to count. By chance, one of 100,000 numbers does three times in a
campaign out of 20,000: (10^5)^3 / 6 / 2^64."""


class Start(NamedTuple):
    """What a connection began with: of which case, for which peer, when, and the number."""

    case: int
    peer: int
    at: float
    number: int


class StartStatistics:
    """What is known of the numbers of a target whose secret differs from case to case.

    Args:
        per_second: How much the numbers of one connection grow by themselves.
    """

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._alone: Counter[tuple[int, int]] = Counter()
        self._pairs: Counter[tuple[int, int, int]] = Counter()

    def add(self, starts: Iterable[Start]) -> str:
        """Take in the numbers of one case; return what is wrong with them, empty for nothing."""
        first: dict[int, int] = {}
        for each in starts:
            clock = int(each.at * self._per_second)
            first.setdefault(each.peer, (each.number - clock) & MASK)
        for peer, number in first.items():
            self._alone[peer, number] += 1
            if self._alone[peer, number] >= OFTEN:
                return f"peer {peer}: the same in {OFTEN} cases, less the clock, whatever the secret"
        for one, other in combinations(sorted(first), 2):
            if PEERS[one].version == PEERS[other].version:
                difference = (first[other] - first[one]) & MASK
                self._pairs[one, other, difference] += 1
                if self._pairs[one, other, difference] >= OFTEN:
                    return f"peers {one} and {other}: {difference} apart in {OFTEN} cases"
        return ""
