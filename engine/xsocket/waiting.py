"""What waits in a pool: connections on the `Shelf`, claims among the `Claims`.

Plain structures that know no threads and no time; `xsocket.pool` keeps them under its lock. OrderedDict
throughout: the first of a plain dict is found in O(n) once many before it were deleted.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import islice
from math import inf
from typing import Final, Generic, Protocol, TypeVar

from xsocket.errors import XsocketError
from xsocket.fourtuple import FourTuple
from xsocket.pattern import Pattern

GLANCE: Final = 200
"""How many connections a pattern is compared with at once: 0.2 ms, for which others may have to wait."""


class Claimable(Protocol):
    """What a pool can hold: anything with a 4-tuple that does not change."""

    @property
    def four_tuple(self) -> FourTuple:
        """The name it is claimed by."""
        ...


C = TypeVar("C", bound=Claimable)
Wanted = FourTuple | Pattern | None
"""What a claim asks for: one 4-tuple, any that a pattern matches, or (None) whichever is next."""


class Ticket(Generic[C]):
    """One waiting claim: its place in the queue, how to wake it, and how it ended."""

    __slots__ = ("number", "outcome", "ring", "unseen", "wanted")

    def __init__(self, number: int, wanted: Wanted, ring: Callable[[], object]) -> None:
        self.number = number
        self.wanted = wanted
        self.ring = ring
        self.outcome: C | XsocketError | None = None
        self.unseen: list[FourTuple] = []
        """What waited when the claim was placed and was not yet compared with its pattern, oldest first."""

    @property
    def names(self) -> FourTuple | None:
        """The one connection that the claim wants; None if several may be it."""
        return self.wanted if isinstance(self.wanted, FourTuple) else None

    def collect(self) -> C:
        """Return the connection it was given, or raise what ended it."""
        outcome = self.outcome
        assert outcome is not None
        if isinstance(outcome, XsocketError):
            raise outcome
        return outcome


class Ages:
    """How long connections have waited, by the clock of whoever asks now and then.

    Consumers return connections, and have no clock: so a connection's time begins when it is first seen here.
    """

    __slots__ = ("_since", "_unseen")

    def __init__(self, waiting: Iterable[FourTuple]) -> None:
        self._since: OrderedDict[FourTuple, float] = OrderedDict()
        self._unseen: dict[FourTuple, None] = dict.fromkeys(waiting)

    def add(self, key: FourTuple) -> None:
        """Begin to wait."""
        self._unseen[key] = None

    def discard(self, key: FourTuple) -> None:
        """Wait no longer."""
        if self._since.pop(key, None) is None:
            self._unseen.pop(key, None)

    def over(self, now: float, after_s: float) -> list[FourTuple]:
        """Return what has waited for *after_s* seconds, oldest first, and see what came since the last call.

        O(1) for each that is returned or new.
        """
        found = []
        for key, since in self._since.items():
            if since + after_s > now:
                break
            found.append(key)
        self._since.update(dict.fromkeys(self._unseen, now))
        self._unseen.clear()
        return found

    def due(self, after_s: float) -> float:
        """Return when `over` finds something or has something to see, seconds; infinite for never."""
        if self._unseen:
            return -inf
        return next(iter(self._since.values()), inf) + after_s


class Shelf(Generic[C]):
    """The waiting connections, oldest first, with an index on local port and one on remote address.

    A remote address that has one connection is indexed by the 4-tuple alone, which saves a container each.

    Attributes:
        by_key: Them all.
        ages: How long they have waited; None while nobody wants to know, which saves memory.
    """

    __slots__ = ("_by_port", "_by_remote", "ages", "by_key")

    def __init__(self) -> None:
        self.by_key: OrderedDict[FourTuple, C] = OrderedDict()
        self.ages: Ages | None = None
        self._by_port: dict[int, OrderedDict[FourTuple, None]] = {}
        self._by_remote: dict[str, FourTuple | OrderedDict[FourTuple, None]] = {}

    def add(self, key: FourTuple, connection: C) -> None:
        """Add the youngest."""
        self.by_key[key] = connection
        if self.ages is not None:
            self.ages.add(key)
        same_port = self._by_port.get(key.local_port)
        if same_port is None:
            same_port = self._by_port[key.local_port] = OrderedDict()
        same_port[key] = None
        neighbours = self._by_remote.setdefault(key.remote_address, key)
        if isinstance(neighbours, OrderedDict):
            neighbours[key] = None
        elif neighbours is not key:
            self._by_remote[key.remote_address] = OrderedDict.fromkeys((neighbours, key))

    def add_first(self, key: FourTuple, connection: C) -> None:
        """Add one that stands before the oldest."""
        self.add(key, connection)
        self.by_key.move_to_end(key, last=False)
        self._by_port[key.local_port].move_to_end(key, last=False)
        neighbours = self._by_remote[key.remote_address]
        if isinstance(neighbours, OrderedDict):
            neighbours.move_to_end(key, last=False)

    def pop(self, key: FourTuple) -> C:
        """Take out the one named *key*, which is there."""
        if self.ages is not None:
            self.ages.discard(key)
        same_port = self._by_port[key.local_port]
        del same_port[key]
        if not same_port:
            del self._by_port[key.local_port]
        neighbours = self._by_remote[key.remote_address]
        if isinstance(neighbours, OrderedDict):
            del neighbours[key]
        if not isinstance(neighbours, OrderedDict) or not neighbours:
            del self._by_remote[key.remote_address]
        return self.by_key.pop(key)

    def oldest(self) -> FourTuple | None:
        """Return the one that waits longest; O(1)."""
        return next(iter(self.by_key), None)

    def find(self, wanted: Wanted) -> tuple[FourTuple | None, list[FourTuple]]:
        """Return the oldest that *wanted* matches, and what was not looked at; O(1).

        Only a pattern leaves something: what may match beyond the first `GLANCE`, when none of those does.
        """
        if wanted is None:
            return self.oldest(), []
        if isinstance(wanted, FourTuple):
            return (wanted if wanted in self.by_key else None), []
        candidates = iter(self._candidates(wanted))
        for key in islice(candidates, GLANCE):
            if wanted.matches(key):
                return key, []
        return None, list(candidates)

    def _candidates(self, pattern: Pattern) -> "OrderedDict[FourTuple, C] | OrderedDict[FourTuple, None]":
        """Return the smallest collection, oldest first, that holds all that *pattern* may match."""
        smallest: OrderedDict[FourTuple, C] | OrderedDict[FourTuple, None] = self.by_key
        if pattern.local_port is not None and (port := pattern.local_port.sole) is not None:
            smallest = self._by_port.get(port) or OrderedDict()
        if pattern.remote is not None and (remote := pattern.remote.sole) is not None:
            neighbours = self._by_remote.get(remote) or OrderedDict()
            if not isinstance(neighbours, OrderedDict):
                return OrderedDict.fromkeys((neighbours,))
            smallest = min(smallest, neighbours, key=len)
        return smallest


class Claims(Generic[C]):
    """The waiting claims: for each thing wanted a queue of tickets, first come first served.

    Patterns are also grouped by the one local port they want (None: another number of ports, or all), so a
    connection meets only patterns that may match it, and equal patterns are tried once however many wait.
    """

    __slots__ = ("_patterns", "_queues", "count")

    def __init__(self) -> None:
        self.count = 0
        self._queues: dict[Wanted, OrderedDict[int, Ticket[C]]] = {}
        self._patterns: dict[int | None, OrderedDict[Pattern, OrderedDict[int, Ticket[C]]]] = {}

    def add(self, ticket: Ticket[C]) -> None:
        """Let *ticket* wait behind all others."""
        wanted = ticket.wanted
        queue = self._queues.get(wanted)
        if queue is None:
            queue = self._queues[wanted] = OrderedDict()
            if isinstance(wanted, Pattern):
                self._patterns.setdefault(_port_group(wanted), OrderedDict())[wanted] = queue
        queue[ticket.number] = ticket
        self.count += 1

    def discard(self, ticket: Ticket[C]) -> bool:
        """Take *ticket* out, if it is there; return whether it was."""
        wanted = ticket.wanted
        queue = self._queues.get(wanted)
        if queue is None or queue.pop(ticket.number, None) is None:
            return False
        self.count -= 1
        if not queue:
            del self._queues[wanted]
            if isinstance(wanted, Pattern):
                group = self._patterns[_port_group(wanted)]
                del group[wanted]
                if not group:
                    del self._patterns[_port_group(wanted)]
        return True

    def first_for(self, key: FourTuple) -> Ticket[C] | None:
        """Return the earliest ticket that *key* would serve; O(distinct patterns of its port)."""
        if not self.count:
            return None
        best: Ticket[C] | None = None
        for wanted in (key, None):
            if (queue := self._queues.get(wanted)) is not None:
                best = _earlier(best, queue)
        for port in (key.local_port, None) if self._patterns else ():
            for pattern, queue in self._patterns.get(port, {}).items():
                if (found := _earlier(best, queue)) is not best and pattern.matches(key):
                    best = found
        return best

    def exactly(self, key: FourTuple) -> list[Ticket[C]]:
        """Return all tickets that want *key* and nothing else."""
        return list(self._queues.get(key, {}).values())

    def all(self) -> list[Ticket[C]]:
        """Return all tickets, earliest first."""
        tickets = [ticket for queue in self._queues.values() for ticket in queue.values()]
        return sorted(tickets, key=lambda ticket: ticket.number)


def _port_group(pattern: Pattern) -> int | None:
    return None if pattern.local_port is None else pattern.local_port.sole


def _earlier(best: Ticket[C] | None, queue: "OrderedDict[int, Ticket[C]]") -> Ticket[C]:
    first = next(iter(queue.values()))
    return first if best is None or first.number < best.number else best
