"""`Loop`: what the engine's thread does, turn after turn, and the calls that come from other threads.

The thread takes all frames that are ready, feeds the host, fires timers, and sleeps. A consumer's call that
wants an answer (read, write) runs in its own thread, under the lock; one that wants none (close, abort) is
posted to the loop, for consumers who queue at a lock cost the engine half its speed.
"""

import secrets
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from xsocket.bell import Bell
from xsocket.calls import HostCalls
from xsocket.clock import Clock
from xsocket.connection import Calls
from xsocket.errors import EngineStateError, LinkDownError
from xsocket.fourtuple import FourTuple
from xsocket.handoff.repair import new_socket
from xsocket.host import Host
from xsocket.moderation import LONGEST_PAUSE_MS, Moderation
from xsocket.tcp.tcb import Tcb
from xsocket.wire.link import Frame, Link

if TYPE_CHECKING:
    import asyncio

FRAMES_PER_TURN: Final = 64
"""How many frames are processed before consumers may have the lock, and the answers go out."""
KERNEL_INTERVAL_S: Final = 0.01
"""How often a loop that is told of one ended kernel socket after the other looks which they were."""
LOOK_AGAIN_S: Final = 0.25
"""How often a link is asked that was down when it was last heard of: nothing says when it goes away."""

T = TypeVar("T")


class FairLock:
    """A lock that is had in turn: whoever waits gets it before the one who has just let go and asks again.

    With a plain lock a busy loop starves the consumers: it takes the lock back before a waiter has woken.
    """

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._gate:
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Loop(HostCalls):
    """The loop of the engine's thread, and the calls of its connections' owners.

    Args:
        link: Where frames come from and go to.
        clock: Where `now` comes from.
        lock: Held around everything that touches the host.
        host_for: Makes the host, given the link, this object and what to tell changes to.
    """

    def __init__(
        self,
        link: Link,
        clock: Clock,
        lock: FairLock,
        host_for: Callable[[Link, Calls, Callable[[FourTuple], None]], Host],
    ) -> None:
        super().__init__(lock, secrets.randbelow)
        self.link = link
        self._now = clock.now
        self._bell = Bell()
        self._poll = select.poll()
        self._bell_number, self._link_number = self._bell.fileno(), link.fileno()
        self._poll.register(self._bell_number, select.POLLIN)
        self._poll.register(self._link_number, select.POLLIN)
        self._bell_poll = select.poll()
        self._bell_poll.register(self._bell_number, select.POLLIN)
        self._sleeps_until = -inf
        self._link_is_down = False
        self._moderation = Moderation()
        self._is_gathering = False
        self._look_at_kernel_at = inf
        self._sending = threading.Lock()
        self._posted: deque[Callable[[float], None]] = deque()
        self._errands: deque[Callable[[float], None]] = deque()
        self._rung = self._over = False
        self.host = host_for(link, self, self._ring)
        self.host.pool.call_when_claim_waits(self._claim_waits)
        self.host.pool.call_when_given_back(self._given_back)
        self.host.announce(self._now())
        self._begun = threading.Lock()
        self._begun.acquire()
        self._refusal: Exception | None = None

    # The engine's thread

    def begin(self) -> bool:
        """Do what the engine's thread has to do before its first turn; return whether that went well."""
        try:
            if self.host.kernel is not None:
                self.host.kernel.open()
                self._look_at_kernel_at = -inf
        except Exception as refusal:  # whatever it is, who waits in another thread has to hear of it
            self._refusal = refusal
            self.link.close()
        finally:
            self._begun.release()
        return self._refusal is None

    def begun(self) -> Exception | None:
        """Wait until `begin` is done, in another thread; return why it failed, None if it did not."""
        with self._begun:
            return self._refusal

    def in_thread(self, call: Callable[[float], T]) -> T:
        """Run *call* with `now` in the engine's thread, after the frames that are ready; return what it does.

        Raises:
            EngineStateError: The engine ended before.
        """
        errand = _Errand(call)
        self._errands.append(errand.run)
        self.wake()
        with self._lock:
            if self._over and not errand.is_done:
                raise EngineStateError("the engine has ended")
        return errand.outcome()

    def _new_socket(self, version: int) -> socket.socket:
        """Sockets belong to the network namespace of the thread that makes them."""
        assert self.host.kernel is not None
        made = new_socket(version)
        if self.host.kernel.can_use(made):
            return made
        made.close()
        return self.in_thread(lambda _now: new_socket(version))

    def turn(self, until: float = inf) -> None:
        """Do one round: take all frames that are ready, or sleep for some, for a timer, or for *until*."""
        kernel = self.host.kernel
        if kernel is not None and self._moderation.is_due(self._now(), kernel.handed_over):
            self._let_frames_gather()
        frames = self._receive()
        for start in range(0, len(frames), FRAMES_PER_TURN):
            with self._lock:
                self.host.receive(self._now(), frames[start : start + FRAMES_PER_TURN])
            self._flush()
        with self._lock:
            now = self._now()
            self._carry_out_posted(now)
            self._run_errands(now)
            self.host.timers_fired(now)
            if kernel is not None and (busy := kernel.take_busy()) is not None:
                self.link.shed(busy)
            if self._look_at_kernel_at <= now:
                self._attend_to_kernel(now)
            look_again = now + LOOK_AGAIN_S if self._link_is_down else inf
            due = min(until, self.host.deadline, self._look_at_kernel_at, look_again)
            self._sleeps_until = -inf if frames else due
        self._flush()
        if self._sleeps_until > now and not self._posted and not self._errands:
            self._sleep(self._sleeps_until - now)

    def _let_frames_gather(self) -> None:
        """Pause, until there is something else to do or somebody waits for a connection."""
        self._is_gathering = True
        if not self.host.pool.has_waiting_claims and self._bell_poll.poll(LONGEST_PAUSE_MS):
            self._hear_bell()
        self._is_gathering = False

    def _claim_waits(self) -> None:
        """Called by the pool, in any thread."""
        if self._is_gathering:
            self.wake()

    def _given_back(self) -> None:
        """Called by the pool, in any thread: a connection's time in the pool begins anew."""
        if self.host.stack.config.pool_timeout_s:
            self.wake()

    def _attend_to_kernel(self, now: float) -> None:
        """Let go of connections whose kernel socket has ended.

        Each is news that could wake this thread; while there is some, it is looked at now and then instead.
        """
        assert self.host.kernel is not None
        if not self.host.collect_from_kernel(now):
            self._poll.register(self.host.kernel.fileno(), select.POLLIN)
            self._look_at_kernel_at = inf
        else:
            self._look_at_kernel_at = now + KERNEL_INTERVAL_S

    def _carry_out_posted(self, now: float) -> None:
        while self._posted:
            self._posted.popleft()(now)

    def _run_errands(self, now: float) -> None:
        """Do what only this thread can; what is posted, whoever looks at the host does."""
        while self._errands:
            self._errands.popleft()(now)

    def _receive(self) -> list[Frame]:
        try:
            frames = self.link.receive()
        except LinkDownError:
            self._link_is_down = True  # said once; frames come again when the interface is up
            return []
        self._link_is_down = self._link_is_down and not frames
        return frames

    def _sleep(self, seconds: float) -> None:
        ready = self._poll.poll(None if seconds == inf else max(1, min(int(seconds * 1000) + 1, 3_600_000)))
        self._sleeps_until = -inf
        for number, _ in ready:
            if number == self._bell_number:
                self._hear_bell()
            elif number != self._link_number:
                self._poll.unregister(number)
                self._look_at_kernel_at = -inf

    def _hear_bell(self) -> None:
        self._rung = False
        self._bell.hush()

    def wake(self) -> None:
        """Let the thread's sleep end; any thread may call it, and takes no lock for it."""
        if not self._rung:
            self._rung = True
            self._bell.ring()

    def finish(self, linger_s: float) -> None:
        """Turn on until every closed connection has sent all it had, for *linger_s* seconds at most."""
        until = self._now() + linger_s
        with self._lock:
            self.host.refuse_all()
        while self._now() < until:
            with self._lock:
                self._carry_out_posted(self._now())
                if not self.host.is_closing:
                    break
            self.turn(until)

    def shut_down(self) -> None:
        """Reset what is left, wake everybody, let go of the link."""
        for unclaimed in self.host.pool.close():
            unclaimed.abort()
        with self._lock:
            now = self._now()
            self._carry_out_posted(now)
            self._run_errands(now)
            self.host.abort_all(now)
            self._over = True
            for four_tuple in list(self._waiting):
                self._ring(four_tuple)
        self._flush()
        with self._sending:
            self.link.close()
        if self.host.kernel is not None:
            self.host.kernel.close()

    def _flush(self) -> None:
        """Send what the host has to send, in order and without holding up who wants the lock.

        One thread sends at a time. Another does not wait for it: whoever is sending looks again when done.
        """
        while self.host.has_frames and self._sending.acquire(blocking=False):
            try:
                with self._lock:
                    frames = self.host.take_frames()
                self.link.send(frames)
            finally:
                self._sending.release()

    # Calls

    def _call(self, call: Callable[[float], T]) -> T:
        """Run *call* with `now` under the lock; send what it brings about, mind an earlier timer.

        While the loop turns it does both itself before it sleeps, many frames to a system call.
        """
        with self._lock:
            result = call(self._now())
            asleep = (self._sleeps_until != -inf or self._is_gathering) and not self._over
            must_wake = asleep and self.host.deadline < self._sleeps_until
        if asleep:
            self._flush()
        if must_wake:
            self.wake()
        return result

    def _post(self, call: Callable[[float, Tcb], None], tcb: Tcb) -> None:
        """Let the loop run *call*; takes no lock, so that a destructor may do it."""
        if self._over:
            return
        self._posted.append(lambda now: call(now, tcb))
        if self._sleeps_until != -inf:
            self.wake()

    def look(self, reading: Callable[[], T]) -> T:
        """Return what *reading* finds once all that was posted before is done."""

        def call(now: float) -> T:
            self._carry_out_posted(now)
            return reading()

        return self._call(call)

    def _check_running(self) -> None:
        if self._over:
            raise EngineStateError("the engine has ended")

    # Waiting

    def _now_for_waits(self) -> float:
        return time.monotonic()

    def _sleep_on(self, bell: threading.Lock, timeout: float | None) -> bool:
        return bell.acquire(timeout=-1 if timeout is None else timeout)

    async def wait_async(self, tcb: Tcb, attempt: Callable[[], T | None], timeout: float | None) -> T | None:
        """See `Calls.wait_async`."""
        import asyncio  # here, for it costs a third of what `import xsocket` may take

        result = attempt()
        if result is not None or timeout == 0:
            return result
        loop = asyncio.get_running_loop()
        scope = asyncio.timeout(timeout)
        try:
            async with scope:
                while True:
                    changed = loop.create_future()
                    ring = _bell_for(loop, changed)
                    self._watch(tcb.four_tuple, ring)
                    try:
                        result = attempt()
                        if result is not None:
                            return result
                        await changed
                    finally:
                        self._unwatch(tcb.four_tuple, ring)
        except TimeoutError:
            if not scope.expired():
                raise  # the connection's own: its peer no longer answers
            return attempt()


class _Errand(Generic[T]):
    """A call that another thread runs, and what comes of it."""

    def __init__(self, call: Callable[[float], T]) -> None:
        self._call = call
        self._done = threading.Lock()
        self._done.acquire()
        self._error: BaseException | None = None
        self._result: T

    @property
    def is_done(self) -> bool:
        """Whether it was run."""
        return not self._done.locked()

    def run(self, now: float) -> None:
        """Run it, once."""
        try:
            self._result = self._call(now)
        except BaseException as error:
            self._error = error
        finally:
            self._done.release()

    def outcome(self) -> T:
        """Wait until it was run; return or raise what it did."""
        with self._done:
            if self._error is not None:
                raise self._error
            return self._result


def _bell_for(loop: "asyncio.AbstractEventLoop", changed: "asyncio.Future[None]") -> Callable[[], object]:
    """Return what wakes the task that awaits *changed*, from any thread."""

    def settle() -> None:
        if not changed.done():
            changed.set_result(None)

    def ring() -> None:
        with suppress(RuntimeError):  # the loop was closed, and its tasks with it
            loop.call_soon_threadsafe(settle)

    return ring
