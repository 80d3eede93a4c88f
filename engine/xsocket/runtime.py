"""`Engine`: the thread and the loop. The only file that knows every room of the data's way; read it first.

    frame -> Link -> codec -> Stack -> Tcb -> ConnectionPool -> consumer

One thread turns the loop: take all frames that are ready, feed the stack, fire timers, carry out the actions.
A consumer's call that wants an answer (read, write) runs in its own thread, under the lock; one that wants
none (close, abort) is posted to the loop, for consumers who queue at a lock cost the engine half its speed.
"""

import secrets
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Self, TypeVar

from xsocket.admission import Admission, AdmissionPolicy
from xsocket.bell import Bell
from xsocket.calls import PORTS_BESIDE_KERNEL, HostCalls
from xsocket.clock import Clock, MonotonicClock
from xsocket.config import TcpConfig
from xsocket.connection import Calls, Connection
from xsocket.errors import (
    BadAddressError,
    EngineStateError,
    LinkDownError,
    XsocketError,
)
from xsocket.fourtuple import FourTuple
from xsocket.handoff.kernel import HandoffStatistics, KernelTcp, kernel_addresses, new_socket
from xsocket.host import Host, HostCounters
from xsocket.pool import ConnectionPool, PoolEvent, PoolStatistics
from xsocket.ranges import HIGHEST_PORT, PortSet
from xsocket.stack import StackStatistics
from xsocket.state import State
from xsocket.tcp.isn import SECRET_OCTETS
from xsocket.tcp.keys import Key, check_together
from xsocket.tcp.tcb import Tcb
from xsocket.trace import Event, EventKind, Trace
from xsocket.wire.address import parse_interfaces
from xsocket.wire.link import Frame, Link, LinkStatistics
from xsocket.wire.packet_link import PacketLink

if TYPE_CHECKING:
    import asyncio

FRAMES_PER_TURN: Final = 64
"""How many frames are processed before consumers may have the lock, and the answers go out."""
KERNEL_INTERVAL_S: Final = 0.01
"""How often a loop that is told of one ended kernel socket after the other looks which they were."""
LOOK_AGAIN_S: Final = 0.25
"""How often a link is asked that was down when it was last heard of: nothing says when it goes away."""

T = TypeVar("T")


class EngineStatistics(NamedTuple):
    """Everything an engine counts, as it was at one moment."""

    host: HostCounters
    stack: StackStatistics
    pool: PoolStatistics
    link: LinkStatistics
    handoff: HandoffStatistics


class Engine:
    """Completes handshakes on an interface, and belongs to nobody: whoever wants a connection claims it.

    Args:
        interface: Of the current network namespace, such as ``"veth0"``; opened by `start`.
        addresses: The engine's own, with prefix lengths; it answers ARP and neighbour discovery for them.
            Of those that the kernel has, too, the engine takes the ports that *admission* names, and keeps
            the kernel off them by a rule of nftables; only connections of these can go `to_kernel`. Do not
            name a port on which a kernel socket listens.
        gateway: Where packets for other networks go: one address, or one for each IP version.
        admission: Judges each SYN; everything is admitted without one.
        config: The rules; see `TcpConfig`.
        keys: What protects connections, in order of preference: `AoKey` and `Md5Key`. Segments of others are
            as without keys; see `set_keys`.
        trace: Where to record everything that happens; nothing is recorded without one.
        link: Frames' way in and out, instead of a packet socket on *interface*.
        clock: Where the time comes from.

    Raises:
        BadAddressError: An address is not one, or there is none.
        BadConfigError: Two of the keys do not go together.
        EngineStateError: Neither an interface nor a link was given, or both.
    """

    def __init__(
        self,
        interface: str | None = None,
        addresses: Iterable[str] = (),
        *,
        gateway: str | Iterable[str] | None = None,
        admission: AdmissionPolicy | None = None,
        config: TcpConfig | None = None,
        keys: Iterable[Key] = (),
        trace: Trace | None = None,
        link: Link | None = None,
        clock: Clock | None = None,
    ) -> None:
        if (interface is None) == (link is None):
            raise EngineStateError("name an interface or give a link, one of the two")
        self.addresses = tuple(addresses)
        if not parse_interfaces(self.addresses):
            raise BadAddressError("an engine needs at least one address")
        self.config = config or TcpConfig()
        self.trace = trace
        self._keys = check_together(keys)
        self.pool: ConnectionPool[Connection] = ConnectionPool(
            self.config.pool_capacity,
            self.config.pool_policy,
            observer=None if trace is None else self._pool_event,
        )
        self._interface = interface
        self._gateways = (gateway,) if isinstance(gateway, str) else tuple(gateway or ())
        self._admission = admission or Admission()
        self._clock = clock or MonotonicClock()
        self._link = link
        self._lock = _FairLock()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._linger_s = 0.0
        self._failure: XsocketError | None = None

    # Life

    def start(self) -> None:
        """Open the interface, announce the addresses and start the thread.

        Raises:
            EngineStateError: It was started before.
            NoSuchInterfaceError: The current namespace has no such interface.
            CaptureError: The kernel gives no packet socket.
            GuardError: The kernel has one of the addresses, and cannot be kept off.
        """
        if self._thread is not None:
            raise EngineStateError("the engine was started before")
        link, kernel = self._link, None
        if link is None:
            assert self._interface is not None
            link = PacketLink(self._interface, self.addresses)
            kernel = self._kernel_beside()
        try:
            loop = _Loop(link, self._clock, self._lock, partial(self._host_for, kernel))
        except BaseException:
            link.close()
            raise
        thread = threading.Thread(target=self._run, args=(loop,), name="xsocket-engine", daemon=True)
        thread.start()
        refusal = loop.begun()
        if refusal is not None:
            thread.join()
            raise refusal
        self._loop, self._thread = loop, thread

    def _kernel_beside(self) -> KernelTcp | None:
        """Return the kernel's TCP if it has addresses of ours, too."""
        shared = kernel_addresses(str(interface.ip) for interface in parse_interfaces(self.addresses))
        return KernelTcp(shared, _ports_of(self._admission)) if shared else None

    def _host_for(
        self,
        kernel: KernelTcp | None,
        link: Link,
        calls: Calls,
        on_change: Callable[[FourTuple], None],
    ) -> Host:
        return Host(
            kernel=kernel,
            mac=link.mac,
            mtu=link.mtu,
            addresses=self.addresses,
            gateways=self._gateways,
            config=self.config,
            admission=self._admission,
            pool=self.pool,
            calls=calls,
            secret=secrets.token_bytes(SECRET_OCTETS),
            on_change=on_change,
            trace=self.trace,
            wall_ns=time.time_ns,
            keys=self._keys,
        )

    def stop(self, linger: float = 2.0) -> None:
        """Close the pool, let closed connections finish, reset the rest, end the thread. Safe to call twice.

        Args:
            linger: How long, in seconds, connections that their owners have closed may go on sending what
                they were given; a kernel would do so after its process has ended.

        Raises:
            XsocketError: What ended the loop before, such as an interface that went away.
        """
        if self._thread is None or self._stopping:
            return
        self._linger_s = linger
        self._stopping = True
        for unclaimed in self.pool.close():
            unclaimed.abort()
        self._loop.wake()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except XsocketError:
            if value is None:
                raise

    def _run(self, loop: "_Loop") -> None:
        if not loop.begin():
            return
        try:
            while not self._stopping:
                loop.turn()
            loop.finish(self._linger_s)
        except XsocketError as failure:
            self._failure = failure
        finally:
            loop.shut_down()

    # For consumers

    def connect(
        self,
        remote_address: str,
        remote_port: int,
        timeout: float | None = None,
        *,
        local_address: str | None = None,
        local_port: int | None = None,
        data: bytes | None = None,
    ) -> Connection:
        """Open a connection actively and return it; the caller is its owner.

        Args:
            remote_address: Where to.
            remote_port: 1 to 65,535.
            timeout: Seconds to wait; None waits until `TcpConfig.syn_retries` SYNs went unanswered.
            local_address: One of the engine's own; the first of the right version without it.
            local_port: Any that is free (RFC 6056 section 3.3.1) without it.
            data: What to send first, at most `TcpConfig.wmem` octets. With Fast Open (RFC 7413) it goes in
                the SYN as soon as the server has given a cookie, so that it may arrive twice; see
                `TcpConfig.fastopen`. Even when empty, it asks for a cookie. None does neither.

        Raises:
            ConnectionRefusedError: The peer answered with a reset.
            TimeoutError: Nobody answered in time.
            HostUnreachableError: There is no way to the address, or nobody has it.
            AddressInUseError: There is a connection with this 4-tuple, or no port is free.
            EngineStateError: The engine does not run.
            BadAddressError: An address or a port is not one.
            OSError: EMSGSIZE: *data* does not fit the send buffer.
        """
        loop = self._running()
        return loop.connect(remote_address, remote_port, timeout, local_address, local_port, data)

    def open(
        self,
        remote_address: str,
        remote_port: int,
        *,
        local_address: str | None = None,
        local_port: int | None = None,
        data: bytes | None = None,
    ) -> Connection:
        """Send the SYN of a new connection and return it at once, in SYN-SENT (RFC 9293 section 3.10.1).

        Text may be given to it and waits; what ends it is raised by its next call. Arguments and errors are
        those of `connect`.
        """
        loop = self._running()
        return Connection(loop.open(remote_address, remote_port, local_address, local_port, data), loop)

    def set_config(self, config: TcpConfig) -> None:
        """Let connections that are opened from now on play by *config*; any thread may call this.

        Those there are keep their rules; `Connection.configure` changes what can be changed for one.

        Raises:
            BadConfigError: It changes `TcpConfig.pool_capacity` or `TcpConfig.pool_policy`.
            EngineStateError: The engine does not run.
        """
        loop = self._running()
        loop.look(lambda: loop.host.set_config(config))
        self.config = config

    def set_admission(self, admission: AdmissionPolicy) -> None:
        """Let *admission* judge SYNs from now on; any thread may call this.

        Where the kernel has the addresses, too, ports that were the engine's stay so.

        Raises:
            EngineStateError: The engine does not run.
            GuardError: The kernel could not be kept off the new ports; nothing has changed then.
        """
        loop = self._running()
        kernel = loop.host.kernel
        if kernel is not None:
            loop.in_thread(lambda _now: kernel.cover(_ports_of(admission)))
        loop.look(lambda: setattr(loop.host.stack, "admission", admission))
        self._admission = admission

    def fastopen_cookie(self, remote_address: str) -> bytes | None:
        """Return the Fast Open cookie that the server at *remote_address* gave, None if it gave none.

        Raises:
            BadAddressError: It is no address, or of a version that the engine has no address of.
            EngineStateError: The engine does not run.
        """
        return self._running().fastopen_cookie(remote_address)

    def set_fastopen_keys(self, primary: bytes, backup: bytes | None = None) -> None:
        """Make Fast Open cookies with *primary* from now on; any thread may call this.

        Without it an engine draws a key when it starts. Cookies of a key that is neither *primary* nor
        *backup* are worth nothing any more: their clients get a new one, and an ordinary handshake.

        Args:
            primary: 16 octets that no client knows (RFC 7413 section 4.1.2).
            backup: The key before, whose cookies are taken for a while; None for none.

        Raises:
            BadConfigError: A key has not 16 octets.
            EngineStateError: The engine does not run.
        """
        loop = self._running()
        loop.look(lambda: loop.host.stack.set_fastopen_keys(primary, backup))

    def set_keys(self, keys: Iterable[Key]) -> None:
        """Let *keys* protect connections from now on, those there are included; any thread may call this.

        A connection stays what it was opened as: unprotected, or protected by MD5 or by TCP-AO. On one that
        TCP-AO protects, the keys that match it take the place of those it had, if any does: the first is
        named to the peer as RNextKeyID, and the current key stays if it is among them.

        Raises:
            BadConfigError: Two of the keys do not go together; nothing has changed then.
            EngineStateError: The engine was stopped.
        """
        checked = check_together(keys)
        if self._thread is not None:
            loop = self._running()
            loop.look(lambda: loop.host.stack.set_keys(checked))
        self._keys = checked

    def statistics(self) -> EngineStatistics:
        """Return every counter as it is now; after `stop`, as it was at the end."""
        loop = self._running(ever=True)
        host = loop.host
        return loop.look(
            lambda: EngineStatistics(
                host.counters(),
                host.stack.statistics(),
                self.pool.statistics(),
                loop.link.statistics(),
                host.kernel.statistics() if host.kernel is not None else HandoffStatistics(),
            )
        )

    def connections(self) -> dict[FourTuple, State]:
        """Return the state of every connection there is, half-open and closing ones included."""
        loop = self._running(ever=True)
        return loop.look(lambda: {tcb.four_tuple: tcb.state for tcb in loop.host.stack.tcbs()})

    def _running(self, *, ever: bool = False) -> "_Loop":
        if self._thread is None or (self._stopping and not ever):
            raise EngineStateError("the engine does not run")
        return self._loop

    def __repr__(self) -> str:
        state = "new" if self._thread is None else "stopped" if self._stopping else "running"
        where = self._interface or type(self._link).__name__
        return f"<xsocket.Engine on {where} {' '.join(self.addresses)}: {state}>"

    def _pool_event(self, event: PoolEvent, four_tuple: FourTuple | None) -> None:
        if self.trace is not None:
            name = event.name.lower()
            self.trace.record(
                Event(kind=EventKind.POOL, at_ns=time.time_ns(), four_tuple=four_tuple, pool_event=name)
            )


class _FairLock:
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


class _Loop(HostCalls):
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
        lock: _FairLock,
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
        self._sleeps_until = -inf
        self._link_is_down = False
        self._look_at_kernel_at = inf
        self._sending = threading.Lock()
        self._posted: deque[Callable[[float], None]] = deque()
        self._errands: deque[Callable[[float], None]] = deque()
        self._rung = self._over = False
        self.host = host_for(link, self, self._ring)
        self.host.announce(self._now())
        self._begun = threading.Lock()
        self._begun.acquire()
        self._refusal: XsocketError | None = None

    # The engine's thread

    def begin(self) -> bool:
        """Do what the engine's thread has to do before its first turn; return whether that went well."""
        try:
            if self.host.kernel is not None:
                self.host.kernel.open()
                self._look_at_kernel_at = -inf
        except XsocketError as refusal:
            self._refusal = refusal
            self.link.close()
        finally:
            self._begun.release()
        return self._refusal is None

    def begun(self) -> XsocketError | None:
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
            if self.host.kernel is not None and (busy := self.host.kernel.take_busy()) is not None:
                self.link.shed(busy)
            if self._look_at_kernel_at <= now:
                self._attend_to_kernel(now)
            look_again = now + LOOK_AGAIN_S if self._link_is_down else inf
            due = min(until, self.host.deadline, self._look_at_kernel_at, look_again)
            self._sleeps_until = -inf if frames else due
        self._flush()
        if self._sleeps_until > now and not self._posted and not self._errands:
            self._sleep(self._sleeps_until - now)

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
                self._rung = False
                self._bell.hush()
            elif number != self._link_number:
                self._poll.unregister(number)
                self._look_at_kernel_at = -inf

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
            asleep = self._sleeps_until != -inf and not self._over
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


def _ports_of(admission: AdmissionPolicy) -> PortSet:
    """Return the local ports that are the engine's where it shares an address with the kernel."""
    ports: PortSet | None = getattr(admission, "ports", None)
    if ports is None:
        return PortSet(f"1-{HIGHEST_PORT}")
    return PortSet([ports, f"{PORTS_BESIDE_KERNEL[0]}-{PORTS_BESIDE_KERNEL[-1]}"])


def _bell_for(loop: "asyncio.AbstractEventLoop", changed: "asyncio.Future[None]") -> Callable[[], object]:
    """Return what wakes the task that awaits *changed*, from any thread."""

    def settle() -> None:
        if not changed.done():
            changed.set_result(None)

    def ring() -> None:
        with suppress(RuntimeError):  # the loop was closed, and its tasks with it
            loop.call_soon_threadsafe(settle)

    return ring
