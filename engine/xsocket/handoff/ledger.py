"""`Ledger`: which connections are the kernel's now, so that the engine leaves their segments alone.

Pure: whoever keeps it says when a socket has ended, and how to ask the kernel for one. A 4-tuple stays here
while its socket lives and, after that, for as long as the kernel has it in TIME-WAIT; nobody says when that
ends, so the kernel is asked at the next segment, or after a while.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.state import State

LOOK_AGAIN_S: Final = 61.0
"""When to ask again for a socket in TIME-WAIT: Linux keeps it for 60 s."""
CAPACITY: Final = 65_536
"""How many ended connections are remembered; the oldest make room."""


class Ledger:
    """The 4-tuples that were handed over.

    Args:
        ask: Returns the state of the kernel's socket for a 4-tuple, None when there is none.

    Attributes:
        forgotten: How many ended connections made room for others.
    """

    def __init__(self, ask: Callable[[FourTuple], State | None]) -> None:
        self._ask = ask
        self._alive: dict[FourTuple, tuple[int, int]] = {}
        self._ended: OrderedDict[FourTuple, tuple[float, int]] = OrderedDict()
        self.forgotten = 0

    def __len__(self) -> int:
        """How many sockets are alive, as far as is known."""
        return len(self._alive)

    def __contains__(self, four_tuple: FourTuple) -> bool:
        return four_tuple in self._alive or four_tuple in self._ended

    def add(self, four_tuple: FourTuple, cookie: int, at_ns: int) -> None:
        """Note that the kernel has it.

        Args:
            four_tuple: The connection.
            cookie: The socket's own (SO_COOKIE): a 4-tuple may have had another, of whose end one hears late.
            at_ns: Since when segments reach the socket, Unix time.
        """
        self._ended.pop(four_tuple, None)
        self._alive[four_tuple] = cookie, at_ns

    def remove(self, four_tuple: FourTuple) -> None:
        """Note that it is the engine's again."""
        self._alive.pop(four_tuple, None)
        self._ended.pop(four_tuple, None)

    def has(self, four_tuple: FourTuple) -> bool:
        """Return whether the kernel has it."""
        if four_tuple in self._alive:
            return True
        if four_tuple not in self._ended:
            return False
        if self._ask(four_tuple) is None:
            del self._ended[four_tuple]
            return False
        return True

    def takes(self, four_tuple: FourTuple, at_ns: int, *, opens: bool) -> bool:
        """Return whether a segment is the kernel's.

        Args:
            four_tuple: What it came for.
            at_ns: When it came, Unix time. What came while the socket lived, and is looked at later, the
                kernel has seen.
            opens: Whether it is a SYN.
        """
        ended = self._ended.get(four_tuple)
        if ended is not None and not opens and at_ns <= ended[1]:
            return True
        return self.has(four_tuple)

    def missed(self, four_tuple: FourTuple, at_ns: int) -> bool:
        """Return whether what came at *at_ns* came before the kernel's socket could get it."""
        return four_tuple in self._alive and at_ns <= self._alive[four_tuple][1]

    def end(self, four_tuple: FourTuple, now: float, now_ns: int, cookie: int | None = None) -> bool:
        """Note that the socket with *cookie*, or whichever it is, has ended; return whether it was here.

        *now* is monotonic seconds, *now_ns* Unix time.
        """
        if four_tuple not in self._alive or cookie not in (None, self._alive[four_tuple][0]):
            return False
        del self._alive[four_tuple]
        self._ended[four_tuple] = now + LOOK_AGAIN_S, now_ns
        if len(self._ended) > CAPACITY:
            self._ended.popitem(last=False)
            self.forgotten += 1
        return True

    def review(self) -> list[FourTuple]:
        """Ask the kernel for every one, for word of some that ended was lost; return those that have."""
        return [four_tuple for four_tuple in self._alive if self._ask(four_tuple) in (None, State.TIME_WAIT)]

    @property
    def deadline(self) -> float | None:
        """When `look_again` wants to be called; None for never."""
        return next(iter(self._ended.values()))[0] if self._ended else None

    def look_again(self, now: float) -> None:
        """Forget what the kernel no longer has in TIME-WAIT."""
        while self._ended:
            four_tuple, (due, ended_ns) = next(iter(self._ended.items()))
            if due > now:
                return
            del self._ended[four_tuple]
            if self._ask(four_tuple) is not None:
                self._ended[four_tuple] = now + LOOK_AGAIN_S, ended_ns
