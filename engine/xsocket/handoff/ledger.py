"""`Ledger`: which connections are the kernel's now, so that the engine leaves their segments alone.

Pure: whoever keeps it says when a socket has ended, and how to ask the kernel for one. A 4-tuple stays here
while its socket lives and, after that, for as long as the kernel has it in TIME-WAIT; nobody says when that
ends, so the kernel is asked at the next segment, or after a while.
"""

from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.state import State

LOOK_AGAIN_S: Final = 61.0
"""When to ask again for a socket in TIME-WAIT: Linux keeps it for 60 s."""
BUSY_FRAMES: Final = 64
"""From how many frames on the engine would rather not see a connection at all."""
CAPACITY: Final = 65_536
"""How many ended connections are remembered; the oldest make room."""


_GONE: Final = (None, State.TIME_WAIT)
"""What the kernel says of a socket that has ended."""


class _Living:
    """A kernel socket that lives: its cookie, since when it gets what comes, and how much came."""

    __slots__ = ("at_ns", "cookie", "frames")

    def __init__(self, cookie: int, at_ns: int) -> None:
        self.cookie, self.at_ns, self.frames = cookie, at_ns, 0


class Ledger:
    """The 4-tuples that were handed over.

    Args:
        ask: Returns the state of the kernel's socket for a 4-tuple, None when there is none.
        most_busy: How many busy connections to name; the latest that became so.

    Attributes:
        forgotten: How many ended connections made room for others.
        deadline: When `look_again` wants to be called; infinite for never.
    """

    def __init__(self, ask: Callable[[FourTuple], State | None], most_busy: int = 0) -> None:
        self._ask = ask
        self._most_busy = most_busy
        self._alive: dict[FourTuple, _Living] = {}
        self._names: dict[int, FourTuple] = {}
        self._busy: OrderedDict[FourTuple, None] = OrderedDict()
        self._busy_changed = False
        self._ended: OrderedDict[FourTuple, tuple[float, int]] = OrderedDict()
        self.forgotten = 0
        self.deadline = inf

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
                What a socket is called when it ends may be another name.
            at_ns: Since when segments reach the socket, Unix time.
        """
        self._ended.pop(four_tuple, None)
        self._alive[four_tuple] = _Living(cookie, at_ns)
        self._names[cookie] = four_tuple

    def cookie(self, four_tuple: FourTuple) -> int | None:
        """Return that of the socket that has it and lives, None without one."""
        living = self._alive.get(four_tuple)
        return None if living is None else living.cookie

    def take_busy(self) -> list[FourTuple] | None:
        """Return the connections that much comes for, None if they are those of the last call."""
        changed, self._busy_changed = self._busy_changed, False
        return list(self._busy) if changed else None

    def remove(self, four_tuple: FourTuple) -> None:
        """Note that it is the engine's again."""
        self._ended.pop(four_tuple, None)
        self._let_go(four_tuple)

    def _let_go(self, four_tuple: FourTuple) -> None:
        living = self._alive.pop(four_tuple, None)
        if living is not None:
            del self._names[living.cookie]
        if four_tuple in self._busy:
            del self._busy[four_tuple]
            self._busy_changed = True

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
            opens: Whether it is a SYN. The kernel, where nobody listens, answers it in TIME-WAIT with an
                acknowledgment, upon which the peer's reset ends that: the next answer is ours.
        """
        living = self._alive.get(four_tuple)
        if living is not None:
            if opens and self._ask(four_tuple) in _GONE:
                self._let_go(four_tuple)  # of which one will hear later
                return False
            living.frames += 1
            if living.frames == BUSY_FRAMES and self._most_busy:
                self._add_busy(four_tuple)
            return True
        ended = self._ended.get(four_tuple)
        if ended is None:
            return False
        if at_ns <= ended[1] and not opens:
            return True
        state = self._ask(four_tuple)
        if state is None or (opens and state in _GONE):
            del self._ended[four_tuple]
            return False
        return True

    def _add_busy(self, four_tuple: FourTuple) -> None:
        self._busy[four_tuple] = None
        self._busy_changed = True
        if len(self._busy) > self._most_busy:
            oldest, _ = self._busy.popitem(last=False)
            self._alive[oldest].frames = 0  # it may become busy again

    def missed(self, four_tuple: FourTuple, at_ns: int) -> bool:
        """Return whether what came at *at_ns* came before the kernel's socket could get it."""
        living = self._alive.get(four_tuple)
        return living is not None and at_ns <= living.at_ns

    def end(self, cookie: int, now: float, now_ns: int) -> FourTuple | None:
        """Note that a socket has ended; return its connection, None when it was none of these.

        *now* is monotonic seconds, *now_ns* Unix time.
        """
        four_tuple = self._names.get(cookie)
        if four_tuple is None:
            return None
        self._let_go(four_tuple)
        self._ended[four_tuple] = now + LOOK_AGAIN_S, now_ns
        self.deadline = min(self.deadline, now + LOOK_AGAIN_S)
        if len(self._ended) > CAPACITY:
            self._ended.popitem(last=False)
            self.forgotten += 1
        return four_tuple

    def review(self) -> list[int]:
        """Ask the kernel for every one, for word of some was lost; return the cookies of those that ended."""
        return [living.cookie for four_tuple, living in self._alive.items() if self._ask(four_tuple) in _GONE]

    def look_again(self, now: float) -> None:
        """Forget what the kernel no longer has in TIME-WAIT."""
        while self._ended:
            four_tuple, (due, ended_ns) = next(iter(self._ended.items()))
            if due > now:
                self.deadline = due
                return
            del self._ended[four_tuple]
            if self._ask(four_tuple) is not None:
                self._ended[four_tuple] = now + LOOK_AGAIN_S, ended_ns
        self.deadline = inf
