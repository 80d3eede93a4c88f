"""The half-open table: connections in SYN-RECEIVED by passive open, and how many each source has.

A plain structure. What to do when it is full is the stack's decision.
"""

from collections import Counter, OrderedDict
from ipaddress import IPv6Address

from xsocket.fourtuple import FourTuple
from xsocket.tcp.tcb import Tcb


class HalfOpenTable:
    """Half-open connections, and their number by source, which never has more entries than they.

    Args:
        by_source: Whether sources are counted; `from_source` is 0 otherwise.

    Attributes:
        high_water: The most there ever were.
    """

    def __init__(self, *, by_source: bool) -> None:
        self._tcbs: OrderedDict[FourTuple, Tcb] = OrderedDict()
        self._sources: Counter[str | bytes] | None = Counter() if by_source else None
        self.high_water = 0

    def count_sources(self, *, wanted: bool) -> None:
        """Count sources from now on, those of what is there included, or no longer."""
        if wanted and self._sources is None:
            self._sources = Counter(_source(four_tuple) for four_tuple in self._tcbs)
        elif not wanted:
            self._sources = None

    def __len__(self) -> int:
        return len(self._tcbs)

    def add(self, tcb: Tcb) -> None:
        """Add the youngest."""
        self._tcbs[tcb.four_tuple] = tcb
        if len(self._tcbs) > self.high_water:
            self.high_water = len(self._tcbs)
        if self._sources is not None:
            self._sources[_source(tcb.four_tuple)] += 1

    def discard(self, four_tuple: FourTuple) -> None:
        """Take one out, if it is there."""
        if self._tcbs.pop(four_tuple, None) is None or self._sources is None:
            return
        source = _source(four_tuple)
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]

    def oldest(self) -> Tcb:
        """Return the one that is there longest; there must be one."""
        return next(iter(self._tcbs.values()))

    def from_source(self, four_tuple: FourTuple) -> int:
        """Return how many there are from the source of *four_tuple*."""
        return 0 if self._sources is None else self._sources.get(_source(four_tuple), 0)

    @property
    def sources(self) -> int:
        """How many sources there are, where they are counted."""
        return len(self._sources or ())


def _source(four_tuple: FourTuple) -> str | bytes:
    """An IPv4 address, or the /64 of an IPv6 address: whoever has one address of it has them all."""
    remote = four_tuple.remote_address
    return IPv6Address(remote).packed[:8] if ":" in remote else remote
