"""`Engine`: its life and its public face. It alone knows every room of the data's way; read it first.

    frame -> Link -> codec -> Stack -> Tcb -> ConnectionPool -> consumer

One thread turns the loop (`xsocket.loop`): take all frames that are ready, feed the stack, fire timers, carry
out the actions.
"""

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from xsocket.admission import Admission, AdmissionPolicy
from xsocket.calls import PORTS_BESIDE_KERNEL
from xsocket.clock import Clock, MonotonicClock
from xsocket.config import TcpConfig
from xsocket.connection import Calls, Connection
from xsocket.errors import (
    BadAddressError,
    CaptureError,
    EngineStateError,
    XsocketError,
)
from xsocket.fourtuple import FourTuple
from xsocket.handoff.kernel import HandoffStatistics, KernelTcp, kernel_addresses
from xsocket.host import Host, HostCounters
from xsocket.loop import FairLock, Loop
from xsocket.pool import ConnectionPool, PoolEvent, PoolStatistics
from xsocket.ranges import HIGHEST_PORT, PortSet
from xsocket.stack import StackStatistics
from xsocket.state import State
from xsocket.tcp.isn import SECRET_OCTETS
from xsocket.tcp.keys import Key, check_together
from xsocket.trace import Event, EventKind, Trace
from xsocket.wire.address import parse_interfaces
from xsocket.wire.link import Link, LinkStatistics
from xsocket.wire.packet_link import PacketLink


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
        self._lock = FairLock()
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
            CaptureError: The kernel gives no packet socket, or no descriptor.
            GuardError: The kernel has one of the addresses, and cannot be kept off.
        """
        if self._thread is not None:
            raise EngineStateError("the engine was started before")
        link = self._link
        if link is None:
            assert self._interface is not None
            link = PacketLink(self._interface, self.addresses)
        try:
            kernel = None if self._interface is None else self._kernel_beside()
            loop = Loop(link, self._clock, self._lock, partial(self._host_for, kernel))
        except OSError as error:
            link.close()
            raise CaptureError(f"nothing to run an engine with: {error.strerror}") from error
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
            config=_with_room(self.config, kernel),
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

    def _run(self, loop: Loop) -> None:
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
        loop.look(lambda: loop.host.set_config(_with_room(config, loop.host.kernel)))
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

    def _running(self, *, ever: bool = False) -> Loop:
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


def _with_room(config: TcpConfig, kernel: KernelTcp | None) -> TcpConfig:
    """Return *config*, with a shift count that the kernel can work with once it has the connection."""
    if kernel is None or config.rmem_max:
        return config
    return replace(config, rmem_max=kernel.rmem_max)


def _ports_of(admission: AdmissionPolicy) -> PortSet:
    """Return the local ports that are the engine's where it shares an address with the kernel."""
    ports: PortSet | None = getattr(admission, "ports", None)
    if ports is None:
        return PortSet(f"1-{HIGHEST_PORT}")
    return PortSet([ports, f"{PORTS_BESIDE_KERNEL[0]}-{PORTS_BESIDE_KERNEL[-1]}"])
