"""`Simulation`: hosts on links in virtual time, the same every time for the same seed.

Each host is the `xsocket.host.Host` that runs live, and each frame a whole one, with checksums, ARP and
neighbour discovery. No thread, no socket, no clock, no randomness but that of the seed.
"""

from collections.abc import Callable, Iterable
from typing import Unpack

from xsocket.admission import Admission, AdmissionPolicy
from xsocket.config import TcpConfig
from xsocket.errors import BadAddressError, BadConfigError, SimulationStateError
from xsocket.simulation.cable import Cable
from xsocket.simulation.host import SimulatedHost
from xsocket.simulation.link import SimulatedLink
from xsocket.simulation.port import ImpairmentFields, Impairments, LinkCounts
from xsocket.simulation.script import Hold, Script, Sent
from xsocket.simulation.timeline import Timeline
from xsocket.tcp.keys import Key, check_together
from xsocket.trace import Trace
from xsocket.wire.address import parse_interfaces

__all__ = [
    "Cable",
    "Hold",
    "Impairments",
    "LinkCounts",
    "Script",
    "Sent",
    "SimulatedHost",
    "SimulatedLink",
    "Simulation",
]


class Simulation:
    """Hosts, the links between them, and one virtual clock, which starts at 0 and runs only when told to.

    Calls of connections, pools and hosts that have to wait let virtual time pass; so do `run`, `run_until`
    and `step`. Nothing happens otherwise. Not for several threads, and not for asyncio.

    Args:
        seed: Of everything that is left to chance: sequence numbers, local ports, faults of links.
        trace_limit: How many events the trace keeps; with 0 there is none, and everything is faster.

    Attributes:
        trace: What happened at all hosts, in order; each event names its host.
    """

    def __init__(self, seed: int = 0, *, trace_limit: int = 1_000_000) -> None:
        self.trace = Trace(trace_limit)
        self._seed = seed
        self._is_traced = trace_limit > 0
        self._timeline = Timeline()
        self._hosts: dict[str, SimulatedHost] = {}
        self._links = 0

    # What there is

    def host(
        self,
        *addresses: str,
        name: str | None = None,
        gateway: str | Iterable[str] | None = None,
        admission: AdmissionPolicy | None = None,
        config: TcpConfig | None = None,
        keys: Iterable[Key] = (),
        mtu: int | None = None,
    ) -> SimulatedHost:
        """Add a host; nothing happens to it before it is on a link.

        Args:
            *addresses: Its own, with prefix lengths, such as ``"10.0.0.1/24"``.
            name: In the trace; its first address if not given.
            gateway: See `xsocket.Engine`.
            admission: Judges each SYN; everything is admitted without one.
            config: The rules; see `xsocket.TcpConfig`.
            keys: What protects connections; see `xsocket.Engine`.
            mtu: The largest IP packet it sends, octets; the link's if not given.

        Raises:
            BadAddressError: An address is not one, or there is none.
            BadConfigError: There is a host of that name, or two of the keys do not go together.
        """
        interfaces = parse_interfaces(addresses)
        if not interfaces:
            raise BadAddressError("a host needs at least one address")
        name = name or str(interfaces[0].ip)
        if name in self._hosts:
            raise BadConfigError(f"there is a host {name!r} already")
        host = self._hosts[name] = SimulatedHost(
            self._timeline,
            name=name,
            mac=b"\x02" + (len(self._hosts) + 1).to_bytes(5),
            mtu=mtu,
            addresses=addresses,
            gateways=(gateway,) if isinstance(gateway, str) else tuple(gateway or ()),
            admission=admission or Admission(),
            config=config or TcpConfig(),
            keys=check_together(keys),
            seed=f"{self._seed} {name}",
            record=self.trace.record if self._is_traced else None,
        )
        return host

    def link(
        self, *hosts: SimulatedHost, mtu: int = 1500, **impairments: Unpack[ImpairmentFields]
    ) -> SimulatedLink:
        """Join two or more hosts; they announce their addresses.

        Args:
            *hosts: Of this simulation, and on no link yet.
            mtu: The largest IP packet it carries, octets; a longer one is lost.
            **impairments: Fields of `Impairments`, for every direction, such as ``delay_s=0.01, loss=0.02``.
                `SimulatedLink.impair` changes them, for one direction or all.

        Raises:
            SimulationStateError: A host is on a link already, or in another simulation.
            BadConfigError: A value is outside its range, or there are less than two hosts.
        """
        if len(set(hosts)) < 2:
            raise BadConfigError("a link joins at least two hosts")
        for host in hosts:
            if self._hosts.get(host.name) is not host or host.is_linked:
                raise SimulationStateError(f"{host.name} is on a link already, or in another simulation")
        self._links += 1
        seed = f"{self._seed} link {self._links}"
        made = SimulatedLink(self._timeline, hosts, mtu, Impairments(**impairments), seed)
        for host in hosts:
            host.announce()
        return made

    def cable(self, host: SimulatedHost, *, mtu: int = 1500, announced: bool = True) -> Cable:
        """Give the other end of a host's cable to the caller, who sends and receives frames there.

        Args:
            host: Of this simulation, and on no link yet.
            mtu: The largest IP packet it carries, octets.
            announced: Whether the host announces its addresses.

        Raises:
            SimulationStateError: The host is on a link already, or in another simulation.
        """
        if self._hosts.get(host.name) is not host or host.is_linked:
            raise SimulationStateError(f"{host.name} is on a link already, or in another simulation")
        made = Cable(self._timeline, host, mtu)
        if announced:
            host.announce()
        return made

    @property
    def hosts(self) -> tuple[SimulatedHost, ...]:
        """Every host, in the order in which they were made."""
        return tuple(self._hosts.values())

    # Time

    @property
    def now(self) -> float:
        """The instant it is, virtual seconds from the start."""
        return self._timeline.now()

    def run(self, for_s: float | None = None) -> None:
        """Let *for_s* seconds pass; without it, let everything happen until nothing is left to.

        A network falls silent once TIME-WAIT and the neighbour tables' timers have run out; with keep-alive
        it never does.
        """
        self._timeline.run(for_s)

    def run_until(self, predicate: Callable[[], object], timeout_s: float | None = None) -> bool:
        """Let time pass until *predicate* holds, *timeout_s* seconds at most; return whether it does.

        It is asked at the start and after each thing that happened, and may act itself: make calls that do
        not wait, for instance.

        Raises:
            SimulationStalled: Without a timeout: nothing is left to happen, and it still does not hold.
        """
        return self._timeline.run_until(predicate, timeout_s)

    def step(self) -> bool:
        """Let the next thing happen, at its instant: frames arrive at a host, a timer runs out, or the like.

        Returns:
            False if nothing was left to happen.
        """
        return self._timeline.step()

    def after(self, delay_s: float, call: Callable[[], object]) -> None:
        """Let *call* happen *delay_s* seconds from now."""
        if delay_s < 0:
            raise BadConfigError(f"{delay_s} s from now is past")
        self._timeline.at(self.now + delay_s, call)

    def __repr__(self) -> str:
        return f"<xsocket.Simulation: {len(self._hosts)} hosts, {self.now:.6f} s>"
