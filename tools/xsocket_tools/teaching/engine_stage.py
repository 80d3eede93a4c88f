"""The stage whose both ends are engines, in virtual time: the same each time for the same seed."""

from __future__ import annotations

from math import inf
from typing import Final

import xsocket
from xsocket import Admission, ClaimTimeout, FourTuple, Simulation, State, TcpConfig
from xsocket.info import Info
from xsocket.segment import Segment
from xsocket.seqnum import add
from xsocket.simulation import SimulatedHost
from xsocket.trace import Event, EventKind
from xsocket_tools.path import Chain, Element, Lose
from xsocket_tools.teaching.errors import NotOnThisStageError
from xsocket_tools.teaching.flood import Flood, dead_end
from xsocket_tools.teaching.stage import ADDRESSES, DELAY_S, FROM_PORT, PORT, PREFIX, bits
from xsocket_tools.teaching.story import Story
from xsocket_tools.teaching.telling import of_simulation

PATIENCE_S: Final = 5.0
QUIET_S: Final = 0.15
"""So long nothing happens when nothing is under way: less than the least retransmission timeout."""
_MOST: Final = 65_536
_OPENING: Final = (State.SYN_SENT, State.SYN_RECEIVED)


class EngineStage:
    """A stage; see `xsocket_tools.teaching.stage.Stage`.

    Args:
        config: The rules of both ends.
        seed: Of what is left to chance.
    """

    name = "engine"
    was_late = False

    def __init__(self, config: TcpConfig, seed: int = 1) -> None:
        self._simulation = Simulation(seed)
        client, server = (self._host(name, config) for name in ADDRESSES)
        self._link = self._simulation.link(client.host, server.host, delay_s=DELAY_S)
        self._way = Chain()
        self._link.insert(self._way.boxed())
        self._flood = Flood()
        client.other, server.other = server, client
        self.client: Final = client
        self.server: Final = server

    def _host(self, name: str, config: TcpConfig) -> EngineActor:
        is_server = name == "server"
        host = self._simulation.host(
            f"{ADDRESSES[name]}/{PREFIX}",
            name=name,
            gateway=ADDRESSES["client"] if is_server else None,  # the way to those who flood it
            admission=Admission(ports=(PORT,) if is_server else ()),
            config=config,
        )
        return EngineActor(host, self._simulation)

    def lose(self, flags: str, *, first: int = 1, count: int = 1) -> None:
        """See `Stage.lose`."""
        self.insert(Lose(flags, range(first, first + count)))

    def insert(self, element: Element) -> None:
        """See `Stage.insert`."""
        self._way.append(element)

    def forge(self, victim: str, flags: str, *, seq: int, ack: int = 0) -> None:
        """See `Stage.forge`."""
        four_tuple = self._newest(victim)
        info = self._last_info(victim, four_tuple)
        segment = Segment(add(info.rcv_nxt, seq), add(info.snd_nxt, ack), bits(flags), 65_535 >> 3)
        self._link.inject(four_tuple.reversed, segment)

    def flood(self, count: int) -> None:
        """See `Stage.flood`."""
        if not self._flood.four_tuples:
            self.insert(dead_end())
        for four_tuple, segment in self._flood.syns(count):
            self._link.inject(four_tuple, segment)
        self._simulation.run(for_s=0)

    def _newest(self, victim: str) -> FourTuple:
        """Return the connection that was opened last, as the victim names it."""
        opened = max((self.client, self.server), key=lambda each: each.opened_at)
        if opened.newest is None:
            raise LookupError("there is no connection yet")
        return opened.newest if opened.host.name == victim else opened.newest.reversed

    def _last_info(self, victim: str, four_tuple: FourTuple) -> Info:
        """Return what the trace has last of the victim's end."""
        own = (event for event in self._simulation.trace if event.host == victim)
        known = [event.info for event in own if event.four_tuple == four_tuple and event.info is not None]
        if not known:
            raise LookupError(f"the {victim} knows nothing of the connection yet")
        return known[-1]

    def wait(self, seconds: float) -> None:
        """See `Stage.wait`."""
        self._simulation.run(for_s=seconds)

    def settle(self) -> None:
        """See `Stage.settle`."""
        trace, seen = self._simulation.trace, -1
        while len(trace) != seen:
            seen = len(trace)
            self._simulation.run(for_s=QUIET_S)

    def story(self, title: str) -> Story:
        """See `Stage.story`."""
        did = (*self.client.did, *self.server.did)
        story = of_simulation(self._simulation.trace, "client", "server", title=title, did=did)
        return self._flood.named_in(story)

    def close(self) -> None:
        """See `Stage.close`: there is nothing to end."""


class EngineActor:
    """A host of the simulation.

    Attributes:
        host: It.
        other: The other one.
        newest: The connection that it opened last; None before.
        opened_at: When that was.
        did: Events in the trace that its workers brought about, each with the worker's name.
    """

    def __init__(self, host: SimulatedHost, simulation: Simulation) -> None:
        self.host: Final = host
        self._simulation = simulation
        self.other: EngineActor = self
        self._opened = 0
        self.newest: FourTuple | None = None
        self.opened_at = -inf
        self.did: Final[list[tuple[Event, str]]] = []

    def open(self, port: int = PORT, *, from_port: int | None = None, text: bytes = b"") -> EngineConnection:
        """See `Actor.open`."""
        if from_port is None:
            from_port = FROM_PORT + self._opened
            self._opened += 1
        address = self.other.host.addresses[0].partition("/")[0]
        opened = self.host.open(address, port, local_port=from_port, data=text or None)
        self.newest, self.opened_at = opened.four_tuple, self._simulation.now
        return self._kept(opened)

    def accept(self) -> EngineConnection:
        """See `Actor.accept`: here, the connection is claimed."""
        return self.claim(None)

    def workers(self, *names: str, own_queues: bool = False) -> list[EngineWorker]:
        """See `Actor.workers`."""
        if own_queues:
            raise NotOnThisStageError(
                "the engine has one pool, and no queue for each worker", remedy="Run it with --on kernel."
            )
        return [EngineWorker(self, name) for name in names]

    def claim(
        self, from_port: int | None, worker: str = "", patience_s: float = PATIENCE_S
    ) -> EngineConnection:
        """Claim the connection from a port of the other host, or the oldest; note which *worker* did it.

        Raises:
            ClaimTimeout: There was none in time.
        """
        own, other = (actor.host.addresses[0].partition("/")[0] for actor in (self, self.other))
        wanted = None if from_port is None else FourTuple(own, PORT, other, from_port)
        try:
            claimed = self.host.pool.claim(wanted, timeout=patience_s)
        except ClaimTimeout:
            self._note("timed_out", worker)
            raise
        self._note("claimed", worker)
        return self._kept(claimed)

    def ended(self, worker: str) -> None:
        """Put the end of a worker into the trace."""
        at_ns = round(self._simulation.now * 1e9)
        event = Event(EventKind.POOL, at_ns, pool_event="ended", host=self.host.name)
        self._simulation.trace.record(event)
        self._note("ended", worker)

    def _note(self, what: str, worker: str) -> None:
        """Keep in mind who brought about the last event of that name."""
        if worker:
            own = (each for each in self._simulation.trace if each.host == self.host.name)
            self.did.append(([each for each in own if each.pool_event == what][-1], worker))

    def _kept(self, connection: xsocket.Connection) -> EngineConnection:
        connection.settimeout(PATIENCE_S)
        return EngineConnection(connection, self._simulation)


class EngineWorker:
    """A consumer of a host's pool.

    Args:
        actor: The host.
        name: Its own.
    """

    def __init__(self, actor: EngineActor, name: str) -> None:
        self._actor, self._name = actor, name
        self._taken: list[EngineConnection] | None = []

    def accept(self) -> EngineConnection:
        """See `Worker.accept`."""
        return self._claim(None)

    def accept_waiting(self) -> EngineConnection | None:
        """See `Worker.accept_waiting`."""
        try:
            return self._claim(None, patience_s=0)
        except ClaimTimeout:
            return None

    def claim(self, from_port: int) -> EngineConnection:
        """See `Worker.claim`."""
        return self._claim(from_port)

    def _claim(self, from_port: int | None, patience_s: float = PATIENCE_S) -> EngineConnection:
        taken = self._alive()
        taken.append(claimed := self._actor.claim(from_port, self._name, patience_s))
        return claimed

    def would_get(self, from_port: int) -> bool:  # noqa: ARG002
        """See `Worker.would_get`: whoever claims it first has it."""
        return True

    def end(self) -> None:
        """See `Worker.end`."""
        taken, self._taken = self._alive(), None
        self._actor.ended(self._name)
        for connection in taken:
            connection.close()

    def _alive(self) -> list[EngineConnection]:
        if self._taken is None:
            raise LookupError(f"{self._name} has ended")
        return self._taken


class EngineConnection:
    """A connection of an engine."""

    def __init__(self, connection: xsocket.Connection, simulation: Simulation) -> None:
        self._connection = connection
        self._simulation = simulation

    def wait_established(self) -> None:
        """See `Connection.wait_established`."""
        connection = self._connection
        self._simulation.run_until(lambda: connection.state not in _OPENING, PATIENCE_S)
        if connection.state is State.CLOSED:
            raise (connection.info.error or ConnectionError)()
        if connection.state in _OPENING:
            raise TimeoutError(f"still in {connection.state.value} after {PATIENCE_S:g} s")

    def send(self, text: bytes) -> None:
        """See `Connection.send`."""
        self._connection.sendall(text)

    def read(self) -> bytes:
        """See `Connection.read`."""
        return self._connection.recv(_MOST)

    def close(self) -> None:
        """See `Connection.close`."""
        self._connection.close()

    def abort(self) -> None:
        """See `Connection.abort`."""
        self._connection.abort()
