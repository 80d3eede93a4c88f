"""`ConnectionPool`: established connections wait here for whoever claims them, by 4-tuple.

One lock, owned by the pool, guards everything in it; what to do is decided under the lock, and waiters are
woken outside it, each by a lock (or an event loop) of its own, so that nobody wakes in vain. What waits is
kept in the structures of `xsocket.waiting`, which know no threads.

What always holds: no claim waits that a waiting connection matches, so a new claim may take what it finds
without overtaking anybody (a claim that still looks through a long pool for its pattern is the exception);
and no exact claim waits for a 4-tuple whose connection has an owner.
"""

import threading
from collections.abc import Callable, Iterator
from enum import Enum
from math import inf
from typing import Final, Generic, NamedTuple

from xsocket.config import PoolPolicy
from xsocket.errors import AddressInUseError, AlreadyClaimedError, ClaimTimeout, PoolClosed, XsocketError
from xsocket.fourtuple import FourTuple
from xsocket.pattern import Pattern
from xsocket.waiting import Ages, C, Claimable, Claims, Shelf, Ticket, Wanted

__all__ = [
    "Claimable",
    "ConnectionPool",
    "Observer",
    "PoolEvent",
    "PoolStatistics",
    "Wanted",
]


class PoolEvent(Enum):
    """What happened in a pool; each is counted, and an observer is told."""

    PUT = "a connection came in"
    CLAIMED = "a connection went to a claim"
    GIVEN_BACK = "a connection came back from a claim that ended before it was collected, or from its owner"
    DIED = "a waiting connection died"
    EVICTED = "full: the oldest waiting connection made room"
    EXPIRED = "a connection waited for too long"
    REFUSED = "full: a connection is to be refused"
    IGNORED = "full: a connection is to be ignored"
    CLAIM_WAITS = "a claim found nothing and began to wait"
    CLAIM_ENDS = "a claim waits no longer, whatever ended it"
    TIMED_OUT = "a claim ended without a connection"
    CLOSED = "the pool closed"

    # Enum hashes the name in Python code; every event is counted.
    __hash__ = object.__hash__


Observer = Callable[[PoolEvent, FourTuple | None], None]
Sleep = Callable[[threading.Lock, float | None], bool]
"""Waits until a lock is released, for some seconds at most or (None) for ever; says whether it was."""


def _block(bell: threading.Lock, timeout: float | None) -> bool:
    """Wait as threads do."""
    return bell.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))


class PoolStatistics(NamedTuple):
    """A pool's counters since it was made, and its gauges, all of one instant.

    Every connection put was claimed, died, was evicted, expired, or waits: ``put + given_back ==
    claimed + died + evicted + expired + waiting_connections`` until the pool is closed.
    """

    put: int
    claimed: int
    given_back: int
    died: int
    evicted: int
    expired: int
    refused: int
    ignored: int
    claims_waited: int
    """How many claims had to wait; ``claims_waited - waiting_claims`` of them wait no longer."""
    timed_out: int
    waiting_connections: int
    waiting_claims: int
    owned_connections: int
    """Claimed, and neither dead nor released."""
    high_water: int
    """The most connections that ever waited at once."""


class _Watcher:
    """One `wait_for`: how many it wants, how to wake it, and how many there were when it was woken."""

    __slots__ = ("count", "reached", "ring")

    def __init__(self, count: int, ring: Callable[[], None]) -> None:
        self.count = count
        self.ring = ring
        self.reached: int | None = None


class ConnectionPool(Generic[C]):
    """Where established connections wait, and where any thread or task claims them.

    Any thread may call any method. `claim`, `claim_async`, `wait_for`, `statistics` and the container
    methods are for consumers; `put`, `has_room`, `remove` and `close` are for the engine that fills it.

    Args:
        capacity: How many connections may wait at once; `TcpConfig.pool_capacity`. Connections given back
            may exceed it, by as many as claims ended before they collected theirs.
        policy: What happens to a connection for which there is no room; `TcpConfig.pool_policy`.
        observer: Told of every event, with the 4-tuple where one is concerned. Called with the pool's lock
            held, so that events arrive in the order in which they happened: it must be quick (append to a
            queue), must not call the pool, and must not raise. `add_observer` adds others.
        sleep: How `claim` and `wait_for` wait: by blocking their thread, if not given.

    The waiting claims are the consumers' own doing and are not bounded.
    """

    def __init__(
        self,
        capacity: int = 65_536,
        policy: PoolPolicy = "ignore",
        *,
        observer: Observer | None = None,
        sleep: Sleep = _block,
    ) -> None:
        self.capacity: Final = capacity
        self.policy: Final = policy
        self._observers: tuple[Observer, ...] = () if observer is None else (observer,)
        self._sleep = sleep
        self._lock = threading.Lock()
        self._shelf: Shelf[C] = Shelf()
        self._claims: Claims[C] = Claims()
        # By id, for a strong reference would keep alive what its owner has dropped. An id is compared only
        # with that of an object in the caller's hands, so that a dead one's cannot be mistaken for it.
        self._owned: dict[FourTuple, int] = {}
        self._watchers: list[_Watcher] = []
        self._counts = dict.fromkeys(PoolEvent, 0)
        self._high_water = 0
        self._next_number = 0
        self._closed = False
        self._when_claim_waits: Callable[[], object] = _do_nothing
        self._when_given_back: Callable[[], object] = _do_nothing

    # For consumers

    def claim(self, wanted: Wanted = None, timeout: float | None = None) -> C:
        """Return a connection that has no other owner, from now on the caller's.

        Args:
            wanted: A `FourTuple`; a `Pattern`, for the oldest connection that it matches; or None, for the
                oldest of all. The handshake need not have begun.
            timeout: Seconds to wait; None waits for ever, 0 does not wait.

        A connection that comes while claims wait goes to the earliest of those it matches. A claim that
        ends by an exception, Ctrl-C included, leaves its connection to the next claim, or first in the pool.

        A claim by 4-tuple or by None takes O(1) time. A pattern looks at the connections of its local port or
        its remote address, where it names one, else at all, oldest first, 1 to 2 us each; only for the first
        200 of them are others kept out of the pool.

        Raises:
            ClaimTimeout: Nothing that matches was there in time.
            AlreadyClaimedError: *wanted* is a 4-tuple, and its connection is or came to be another's. Once
                that owner has closed it, the same claim waits for the next connection with this 4-tuple.
            PoolClosed: The pool is closed, or was closed during the wait.
            ValueError: *timeout* is negative.
            TypeError: *wanted* is nothing of the three.
        """
        bell = threading.Lock()
        bell.acquire()
        taken = self._take_or_wait(wanted, timeout, bell.release)
        if not isinstance(taken, Ticket):
            return taken
        try:
            self._look_on(taken)
            if taken.outcome is None and not self._sleep(bell, timeout):
                self._expire(taken, timeout)
            return taken.collect()
        except BaseException:
            self._withdraw(taken)
            raise

    def claim_waiting(self, wanted: Wanted = None) -> C | None:
        """Do what ``claim(wanted, timeout=0)`` does, and return None where that raises; it counts no timeout.

        For who will wait otherwise: `claim` and `claim_async` find it, too, but prepare to wait. A pattern is
        compared with the first 200 connections that it may match.

        Raises:
            TypeError: *wanted* is nothing that can be claimed.
        """
        check_wanted(wanted)
        with self._lock:
            key, _ = self._shelf.find(wanted)
            if key is None:
                return None
            connection = self._shelf.pop(key)
            self._own(key, connection)
            return connection

    async def claim_async(self, wanted: Wanted = None, timeout: float | None = None) -> C:
        """Do what `claim` does, without blocking the event loop; cancellation loses no connection."""
        import asyncio  # 50 ms to import, and whoever comes here has paid for it

        loop = asyncio.get_running_loop()
        bell = asyncio.Event()
        taken = self._take_or_wait(wanted, timeout, lambda: loop.call_soon_threadsafe(bell.set))
        if not isinstance(taken, Ticket):
            return taken
        try:
            self._look_on(taken)
            try:
                async with asyncio.timeout(timeout):
                    if taken.outcome is None:
                        await bell.wait()
            except TimeoutError:
                self._expire(taken, timeout)
            return taken.collect()
        except GeneratorExit:
            # The garbage collector ends a coroutine wherever it runs, in the midst of our own methods too:
            # with the lock held by this very thread, waiting for it would be for ever.
            self._withdraw(taken, patience_s=1.0)
            raise
        except BaseException:
            self._withdraw(taken)
            raise

    def give_back(self, connection: C) -> bool:
        """Return a claimed connection to the pool: to the next claim that matches, else first in the pool.

        Returns:
            Whether the pool has it again. False when it died meanwhile, was never claimed, or the pool is
            closed: then it stays with the caller.
        """
        with self._lock:
            returned, tickets = self._return(connection)
        self._ring(tickets)
        return returned

    def wait_for(self, count: int, timeout: float | None = None) -> int:
        """Block until at least *count* connections wait in the pool; return how many did then.

        Consumers may claim some before the caller looks. *timeout* is as in `claim`.

        Raises:
            ClaimTimeout: There were fewer all the time.
            PoolClosed: The pool is closed, or was closed during the wait.
            ValueError: *timeout* is negative.
        """
        check_timeout(timeout)
        bell = threading.Lock()
        bell.acquire()
        watcher = _Watcher(count, bell.release)
        with self._lock:
            self._raise_if_closed()
            self._watchers.append(watcher)
            self._wake_watchers()
        try:
            self._sleep(bell, timeout)
        finally:
            with self._lock:
                if watcher in self._watchers:
                    self._watchers.remove(watcher)
        if watcher.reached is None:
            self._raise_if_closed()
            raise ClaimTimeout(f"{len(self)} of {count} connections wait after {timeout} s")
        return watcher.reached

    def statistics(self) -> PoolStatistics:
        """Return all counters and gauges as they are at one instant."""
        with self._lock:
            counts = self._counts
            return PoolStatistics(
                put=counts[PoolEvent.PUT],
                claimed=counts[PoolEvent.CLAIMED],
                given_back=counts[PoolEvent.GIVEN_BACK],
                died=counts[PoolEvent.DIED],
                evicted=counts[PoolEvent.EVICTED],
                expired=counts[PoolEvent.EXPIRED],
                refused=counts[PoolEvent.REFUSED],
                ignored=counts[PoolEvent.IGNORED],
                claims_waited=counts[PoolEvent.CLAIM_WAITS],
                timed_out=counts[PoolEvent.TIMED_OUT],
                waiting_connections=len(self._shelf.by_key),
                waiting_claims=self._claims.count,
                owned_connections=len(self._owned),
                high_water=self._high_water,
            )

    def add_observer(self, observer: Observer) -> None:
        """Tell *observer*, too, of every event from now on; it must be as the class says."""
        with self._lock:
            self._observers += (observer,)

    def remove_observer(self, observer: Observer) -> None:
        """Tell *observer* nothing more; it is not called any more once this returns."""
        with self._lock:
            self._observers = tuple(each for each in self._observers if each != observer)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def __len__(self) -> int:
        return len(self._shelf.by_key)

    def __bool__(self) -> bool:
        # An empty pool is still a pool: `if pool` asks whether there is one.
        return True

    def __contains__(self, four_tuple: object) -> bool:
        with self._lock:
            return four_tuple in self._shelf.by_key

    def __iter__(self) -> Iterator[FourTuple]:
        """Iterate over the 4-tuples that wait at this instant, oldest first; a snapshot."""
        with self._lock:
            return iter(list(self._shelf.by_key))

    def __repr__(self) -> str:
        now = self.statistics()
        return (
            f"<ConnectionPool{' closed' if self._closed else ''}: "
            f"{now.waiting_connections} of {self.capacity} connections wait, "
            f"{now.owned_connections} are claimed, {now.waiting_claims} claims wait>"
        )

    # For the engine

    @property
    def has_waiting_claims(self) -> bool:
        """Whether any claim waits, as it was a moment ago; takes no lock."""
        return self._claims.count > 0

    def call_when_claim_waits(self, call: Callable[[], object]) -> None:
        """Let *call* be called whenever a claim begins to wait, in its thread, without the pool's lock."""
        self._when_claim_waits = call

    def call_when_given_back(self, call: Callable[[], object]) -> None:
        """Let *call* be called whenever a connection waits again, in its consumer's thread.

        With the pool's lock held: it must be quick, and must not call the pool.
        """
        self._when_given_back = call

    def put(self, connection: C) -> C | None:
        """Hand in an established connection: to the earliest waiting claim that it matches, else to wait.

        O(1), and without a system call unless somebody is woken.

        Returns:
            The connection that found no place, for the caller to abort: the oldest, evicted; or *connection*
            itself, when the pool is full under another policy, or closed. None when there is none.

        Raises:
            AddressInUseError: A connection with that 4-tuple waits already.
        """
        key = connection.four_tuple
        with self._lock:
            if self._closed:
                return connection
            if key in self._shelf.by_key:
                raise AddressInUseError(f"a connection {key} waits in the pool already")
            self._owned.pop(key, None)
            ticket = self._claims.first_for(key)
            left_over = self._make_room(key, connection) if ticket is None else None
            if left_over is connection:
                return connection
            self._note(PoolEvent.PUT, key)
            if ticket is None:
                self._shelf.add(key, connection)
                self._mark_high_water()
                return left_over
            tickets = self._serve(ticket, key, connection)
        self._ring(tickets)
        return None

    def has_room(self, four_tuple: FourTuple, promised: int = 0) -> bool:
        """Return whether a connection would find a place: ask once, before its handshake is completed.

        There is room below capacity, when a waiting claim matches, and always under the policy ``"evict"``.
        False is counted and observed as the policy says, refused or ignored; the caller does it.

        Args:
            four_tuple: The connection's.
            promised: How many places the caller has been told of and has not put a connection into yet.
        """
        with self._lock:
            if self._closed:
                return False
            if len(self._shelf.by_key) + promised < self.capacity or self.policy == "evict":
                return True
            if self._claims.first_for(four_tuple) is not None:
                return True
            self._note(PoolEvent.REFUSED if self.policy == "refuse" else PoolEvent.IGNORED, four_tuple)
            return False

    def remove(self, four_tuple: FourTuple) -> C | None:
        """Strike a connection out: it died, or its owner has let go of it. Unknown ones do no harm.

        Call it for claimed ones too; until then exact claims of the 4-tuple raise `AlreadyClaimedError`.

        Returns:
            The connection, if it waited in the pool; nobody will get it.
        """
        with self._lock:
            self._owned.pop(four_tuple, None)
            if four_tuple not in self._shelf.by_key:
                return None
            self._note(PoolEvent.DIED, four_tuple)
            return self._shelf.pop(four_tuple)

    def let_go(self, connection: C) -> None:
        """Strike *connection* out: whoever had it has closed it. Harmless for one that the pool never had.

        Unlike `remove` it is about this very connection. Its 4-tuple may have a newer one by now, which
        waits or is another's.
        """
        key = connection.four_tuple
        with self._lock:
            if self._owned.get(key) == id(connection):
                del self._owned[key]
            elif self._shelf.by_key.get(key) is connection:
                self._note(PoolEvent.DIED, key)
                self._shelf.pop(key)

    def expire(self, now: float, after_s: float) -> list[C]:
        """Strike out the connections that nobody claimed in time, oldest first, for the caller to abort.

        A connection's time begins with the first call after it came or was given back.

        Args:
            now: Seconds, by any clock that does not go back.
            after_s: How long a connection may wait.
        """
        with self._lock:
            shelf = self._shelf
            if shelf.ages is None:
                shelf.ages = Ages(shelf.by_key)
            expired = [shelf.pop(key) for key in shelf.ages.over(now, after_s)]
            for connection in expired:
                self._note(PoolEvent.EXPIRED, connection.four_tuple)
            return expired

    def expires_at(self, after_s: float) -> float:
        """Return when `expire` wants to be called, seconds: at once for what it has not seen yet.

        Infinite while nothing waits.
        """
        with self._lock:
            ages = self._shelf.ages
            if ages is None:
                return -inf if self._shelf.by_key else inf
            return ages.due(after_s)

    def close(self) -> list[C]:
        """Close for good: every waiting claim ends with `PoolClosed`, and so does every later one.

        Returns:
            The connections that waited, oldest first, for the caller to abort. One whose claim is cancelled
            at this moment may be missing here: it counts as claimed.
        """
        with self._lock:
            if self._closed:
                return []
            self._closed = True
            self._note(PoolEvent.CLOSED, None)
            tickets = self._claims.all()
            for ticket in tickets:
                self._settle(ticket, PoolClosed("the pool was closed during the wait"))
            left, self._shelf = list(self._shelf.by_key.values()), Shelf()
            for watcher in self._watchers:
                watcher.ring()
            self._watchers.clear()
        self._ring(tickets)
        return left

    # Tickets

    def _take_or_wait(
        self, wanted: Wanted, timeout: float | None, ring: Callable[[], object]
    ) -> C | Ticket[C]:
        """Take what is there, or queue a ticket; raise as `claim` does."""
        check_wanted(wanted)
        check_timeout(timeout)
        with self._lock:
            self._raise_if_closed()
            key, unseen = self._shelf.find(wanted)
            if key is not None:
                connection = self._shelf.pop(key)
                self._own(key, connection)
                return connection
            if isinstance(wanted, FourTuple) and wanted in self._owned:
                raise AlreadyClaimedError(f"the connection {wanted} has an owner")
            if timeout == 0 and not unseen:
                self._note(PoolEvent.TIMED_OUT, None)
                raise ClaimTimeout(f"{_spell(wanted)} waits")
            self._next_number += 1
            ticket: Ticket[C] = Ticket(self._next_number, wanted, ring)
            ticket.unseen = unseen
            self._claims.add(ticket)
            self._note(PoolEvent.CLAIM_WAITS, ticket.names)
        self._when_claim_waits()
        return ticket

    def _look_on(self, ticket: Ticket[C]) -> None:
        """Compare a waiting claim with what it has not yet seen; without the lock, for that may take long."""
        pattern, unseen = ticket.wanted, ticket.unseen
        ticket.unseen = []
        for key in unseen:
            if ticket.outcome is not None:
                return
            if isinstance(pattern, Pattern) and pattern.matches(key):
                with self._lock:
                    if ticket.outcome is None and key in self._shelf.by_key:
                        self._own(key, connection := self._shelf.pop(key))
                        self._settle(ticket, connection)

    def _expire(self, ticket: Ticket[C], timeout: float | None) -> None:
        """End a claim whose time is over, unless it ended otherwise at the last moment."""
        with self._lock:
            if ticket.outcome is None:
                error = ClaimTimeout(f"{_spell(ticket.wanted)} came in {timeout} s")
                self._settle(ticket, error)
                self._note(PoolEvent.TIMED_OUT, None)

    def _withdraw(self, ticket: Ticket[C], patience_s: float = -1) -> None:
        """Let a claim end that will not collect; what it was given goes on to others."""
        if not self._lock.acquire(timeout=patience_s):
            return
        try:
            tickets = self._undo(ticket)
        finally:
            self._lock.release()
        self._ring(tickets)

    def _ring(self, tickets: list[Ticket[C]]) -> None:
        """Wake the owners of settled *tickets*. Without the lock, for this may take a system call each."""
        for ticket in tickets:  # the list grows below
            try:
                ticket.ring()
            except RuntimeError:  # its event loop was closed: nobody will collect
                with self._lock:
                    tickets += self._undo(ticket)

    # Under the lock

    def _serve(self, ticket: Ticket[C], key: FourTuple, connection: C) -> list[Ticket[C]]:
        """Give *connection* to *ticket*; return whom to ring: it, and the exact claims that lost."""
        self._settle(ticket, connection)
        self._own(key, connection)
        losers = self._claims.exactly(key)
        for loser in losers:
            self._settle(loser, AlreadyClaimedError(f"the connection {key} went to another claim"))
        return [ticket, *losers]

    def _settle(self, ticket: Ticket[C], outcome: C | XsocketError) -> None:
        ticket.outcome = outcome
        self._unqueue(ticket)

    def _unqueue(self, ticket: Ticket[C]) -> None:
        if self._claims.discard(ticket):
            self._note(PoolEvent.CLAIM_ENDS, ticket.names)

    def _undo(self, ticket: Ticket[C]) -> list[Ticket[C]]:
        """Take *ticket* out, or return its connection, once; return the tickets to ring."""
        outcome, ticket.outcome = ticket.outcome, None
        if outcome is None:
            self._unqueue(ticket)
            return []
        return [] if isinstance(outcome, XsocketError) else self._return(outcome)[1]

    def _return(self, connection: C) -> tuple[bool, list[Ticket[C]]]:
        """Take *connection* back, if it lives; return whether, and the tickets to ring."""
        key = connection.four_tuple
        if self._closed or self._owned.get(key) != id(connection):
            return False, []
        del self._owned[key]
        self._note(PoolEvent.GIVEN_BACK, key)
        ticket = self._claims.first_for(key)
        if ticket is not None:
            return True, self._serve(ticket, key, connection)
        self._shelf.add_first(key, connection)
        self._mark_high_water()
        self._when_given_back()
        return True, []

    def _make_room(self, key: FourTuple, connection: C) -> C | None:
        """Return the connection that has to go before *connection* may wait: that one itself, perhaps."""
        if len(self._shelf.by_key) < self.capacity:
            return None
        if self.policy != "evict":
            self._note(PoolEvent.REFUSED, key)
            return connection
        oldest = self._shelf.oldest()
        assert oldest is not None
        self._note(PoolEvent.EVICTED, oldest)
        return self._shelf.pop(oldest)

    def _own(self, key: FourTuple, connection: C) -> None:
        self._owned[key] = id(connection)
        self._note(PoolEvent.CLAIMED, key)

    def _note(self, event: PoolEvent, four_tuple: FourTuple | None) -> None:
        self._counts[event] += 1
        for observer in self._observers:
            observer(event, four_tuple)

    def _mark_high_water(self) -> None:
        waiting = len(self._shelf.by_key)
        self._high_water = max(self._high_water, waiting)
        if self._watchers:
            self._wake_watchers()

    def _wake_watchers(self) -> None:
        waiting = len(self._shelf.by_key)
        for watcher in [each for each in self._watchers if each.count <= waiting]:
            self._watchers.remove(watcher)
            watcher.reached = waiting
            watcher.ring()

    def _raise_if_closed(self) -> None:
        if self._closed:
            raise PoolClosed("the pool is closed")


def _do_nothing() -> None:
    """What is called when a claim waits, and nobody wants to know."""


def check_wanted(wanted: object) -> None:
    """Raise a `TypeError` if that is nothing that can be claimed."""
    if wanted is not None and not isinstance(wanted, FourTuple | Pattern):
        raise TypeError(f"a claim is by FourTuple, Pattern or None, not {wanted!r}")


def check_timeout(timeout: float | None) -> None:
    """Raise a `ValueError` if that is no time to wait."""
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")


def _spell(wanted: Wanted) -> str:
    return "no connection" if wanted is None else f"nothing that matches {wanted}"
