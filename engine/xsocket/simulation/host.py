"""`SimulatedHost`: in virtual time what `xsocket.Engine` is on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2s
from random import Random
from typing import TYPE_CHECKING, Final

from xsocket.connection import Calls, Connection
from xsocket.errors import SimulationStateError
from xsocket.fourtuple import FourTuple
from xsocket.host import Host, HostCounters
from xsocket.pool import ConnectionPool, PoolEvent
from xsocket.simulation.station import Station
from xsocket.stack import StackStatistics
from xsocket.state import State, Timer
from xsocket.tcp.isn import SECRET_OCTETS
from xsocket.trace import Event, EventKind, Trace
from xsocket.wire.address import parse_interfaces
from xsocket.wire.link import Frame

if TYPE_CHECKING:
    from xsocket.admission import AdmissionPolicy
    from xsocket.config import TcpConfig
    from xsocket.simulation.timeline import Timeline
    from xsocket.tcp.keys import Key


class SimulatedHost:
    """One host of a simulation, with one interface. Made by `Simulation.host`.

    Where a method shares its name with one of `xsocket.Engine`, it does the same, and its connections and
    its pool are the same. Whatever waits there lets virtual time pass here, for the whole simulation, until
    what it waits for is there; a timeout is one in virtual time. A connection that is never closed stays
    open, even when nobody holds it any more.

    Attributes:
        name: Its name in the trace.
        mac: Its station address, six octets.
        addresses: Its own, with prefix lengths.
        config: The rules it plays by.
        pool: Where the connections wait that peers have opened; its asyncio forms are for live engines.
    """

    def __init__(
        self,
        timeline: Timeline,
        *,
        name: str,
        mac: bytes,
        mtu: int | None,
        addresses: Sequence[str],
        gateways: Sequence[str],
        admission: AdmissionPolicy,
        config: TcpConfig,
        keys: tuple[Key, ...],
        seed: str,
        record: Callable[[Event], None] | None,
    ) -> None:
        self.name: Final = name
        self.mac: Final = mac
        self.addresses: Final = tuple(addresses)
        self.config = config
        self._timeline = timeline
        self._mtu = mtu
        self._gateways = gateways
        self._admission = admission
        self._keys = keys
        self._own = {str(interface.ip) for interface in parse_interfaces(addresses)}
        self._seed = seed
        self._trace = None if record is None else Trace(0, lambda event: record(event._replace(host=name)))
        self.pool: ConnectionPool[Connection] = ConnectionPool(
            config.pool_capacity,
            config.pool_policy,
            observer=None if record is None else self._pool_event,
            sleep=lambda bell, timeout: timeline.run_until(lambda: not bell.locked(), timeout),
        )
        self._station: Station | None = None

    # On a link

    @property
    def is_linked(self) -> bool:
        """Whether it is on a link; it has one interface, so on one at most."""
        return self._station is not None

    def join(self, mtu: int, transmit: Callable[[list[bytes]], None]) -> Callable[[list[Frame]], None]:
        """Plug it into a link that takes frames by *transmit*; return what takes those for it."""
        own_mtu = self._mtu or mtu

        def host_for(calls: Calls, on_change: Callable[[FourTuple], None]) -> Host:
            return Host(
                mac=self.mac,
                mtu=own_mtu,
                addresses=self.addresses,
                gateways=self._gateways,
                config=self.config,
                admission=self._admission,
                pool=self.pool,
                calls=calls,
                secret=blake2s(f"{self._seed} secret".encode(), digest_size=SECRET_OCTETS).digest(),
                on_change=on_change,
                trace=self._trace,
                wall_ns=self._now_ns,
                keys=self._keys,
            )

        randbelow = Random(f"{self._seed} ports").randrange
        self._station = Station(self._timeline, host_for, transmit, randbelow)
        return self._station.arrive

    def announce(self) -> None:
        """Tell everybody on the link who has its addresses; done when the link is made."""
        self._running().announce()

    def add_neighbour(self, address: str, mac: bytes) -> None:
        """Let it know the station of *address* for good: it asks nobody, and believes nothing else.

        Raises:
            BadAddressError: *address* is on no network of its own.
            SimulationStateError: It is on no link.
        """
        self._running().add_neighbour(address, mac)

    def has_address(self, address: str) -> bool:
        """Whether the canonical *address* is one of its own."""
        return address in self._own

    # As an engine has them

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
        """Open a connection, let virtual time pass until it is established, and return it.

        Arguments and errors are those of `xsocket.Engine.connect`, and one more:

        Raises:
            SimulationStateError: The host is not on a link.
        """
        return self._running().connect(remote_address, remote_port, timeout, local_address, local_port, data)

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

        No time passes. Text may be given to it and waits; what ends it is raised by its next call. Arguments
        are those of `connect`.
        """
        station = self._running()
        tcb = station.open(remote_address, remote_port, local_address, local_port, data)
        return Connection(tcb, station)

    def set_config(self, config: TcpConfig) -> None:
        """Let connections that are opened from now on play by *config*; see `xsocket.Engine.set_config`."""
        self._running().host.set_config(config)
        self.config = config

    def set_admission(self, admission: AdmissionPolicy) -> None:
        """Let *admission* judge SYNs from now on."""
        self._running().host.stack.admission = admission
        self._admission = admission

    def fastopen_cookie(self, remote_address: str) -> bytes | None:
        """Return the Fast Open cookie that a server gave; see `xsocket.Engine.fastopen_cookie`."""
        return self._running().fastopen_cookie(remote_address)

    def set_fastopen_keys(self, primary: bytes, backup: bytes | None = None) -> None:
        """Make Fast Open cookies with *primary* from now on; see `xsocket.Engine.set_fastopen_keys`."""
        self._running().host.stack.set_fastopen_keys(primary, backup)

    def set_keys(self, keys: Iterable[Key]) -> None:
        """Let *keys* protect connections from now on; see `xsocket.Engine.set_keys`."""
        self._running().host.stack.set_keys(keys)

    def connections(self) -> dict[FourTuple, State]:
        """Return the state of every connection there is, half-open and closing ones included."""
        return {tcb.four_tuple: tcb.state for tcb in self._running().host.stack.tcbs()}

    def state(self, four_tuple: FourTuple) -> State | None:
        """Return the state of one connection, None if there is none."""
        tcb = self._running().host.stack.tcb(four_tuple)
        return None if tcb is None else tcb.state

    def timers(self) -> tuple[tuple[FourTuple, Timer, float], ...]:
        """Return each connection whose timer runs, which timer, and the virtual instant at which it fires."""
        tcbs = self._running().host.stack.tcbs()
        return tuple((tcb.four_tuple, tcb.timer, tcb.deadline) for tcb in tcbs if tcb.timer is not None)

    def counters(self) -> HostCounters:
        """Return what it has counted: segments, resets, drops by reason."""
        return self._running().host.counters()

    def table_sizes(self) -> tuple[int, int, int]:
        """Return how many connections there are, how many half-open, and how many in TIME-WAIT."""
        return self._running().host.stack.table_sizes()

    def statistics(self) -> StackStatistics:
        """Return the sizes of its tables, and what it has counted."""
        return self._running().host.stack.statistics()

    def _running(self) -> Station:
        if self._station is None:
            raise SimulationStateError(f"{self.name} is not on a link")
        return self._station

    def _now_ns(self) -> int:
        return round(self._timeline.now() * 1e9)

    def _pool_event(self, event: PoolEvent, four_tuple: FourTuple | None) -> None:
        if self._trace is not None:
            name = event.name.lower()
            self._trace.record(
                Event(kind=EventKind.POOL, at_ns=self._now_ns(), four_tuple=four_tuple, pool_event=name)
            )

    def __repr__(self) -> str:
        return f"<xsocket.SimulatedHost {self.name}: {' '.join(self.addresses)}>"
