"""What tests of simulations need: two hosts on a link, an open connection, text in both directions."""

from typing import NamedTuple, Unpack

from xsocket import Connection, Simulation, TcpConfig
from xsocket.simulation import SimulatedHost, SimulatedLink
from xsocket.simulation.port import ImpairmentFields

NEAR, FAR = "10.0.0.1", "10.0.0.2"
PORT = 80
DAY_S = 86_400.0
PROMPT = TcpConfig(nodelay=True, delayed_ack_s=0, syn_linear_timeouts=0)
"""Rules by which segments go at once, so that a test sees what its link does to them."""


class World(NamedTuple):
    """A client and a server on one link."""

    sim: Simulation
    near: SimulatedHost
    far: SimulatedHost
    link: SimulatedLink

    def open(self) -> tuple[Connection, Connection]:
        """Return both ends of a new connection."""
        ours = self.near.connect(FAR, PORT, timeout=DAY_S)
        return ours, self.far.pool.claim(ours.four_tuple.reversed, timeout=DAY_S)


def world(
    seed: int = 1,
    *,
    mtu: int = 1500,
    config: TcpConfig = PROMPT,
    trace_limit: int = 1_000_000,
    **impairments: Unpack[ImpairmentFields],
) -> World:
    """Return two hosts, ``near`` and ``far``, on a link."""
    sim = Simulation(seed, trace_limit=trace_limit)
    near = sim.host(f"{NEAR}/24", name="near", config=config)
    far = sim.host(f"{FAR}/24", name="far", config=config)
    return World(sim, near, far, sim.link(near, far, mtu=mtu, **impairments))


class Flow:
    """Text from one connection to another, as fast as the two take it."""

    def __init__(self, source: Connection, sink: Connection, text: bytes) -> None:
        self._source, self._sink = source, sink
        self._size, self._left = len(text), memoryview(text)
        self.arrived = bytearray()
        source.settimeout(0)
        sink.settimeout(0)

    def is_through(self) -> bool:
        """Send and read what can be now; return whether all has arrived."""
        try:
            while self._left:
                self._left = self._left[self._source.send(self._left) :]
        except BlockingIOError:
            pass
        try:
            while len(self.arrived) < self._size:
                self.arrived += self._sink.recv(1 << 20)
        except BlockingIOError:
            return False
        return True


def are_through(*flows: Flow) -> bool:
    """Let every one of *flows* go on; return whether all of them are through."""
    return False not in [flow.is_through() for flow in flows]
