"""The engine on the wire as a target: its thread, its packet socket and a veth of a lab, in real time.

Each case has an engine of its own. The packet socket stays, for to make one takes as long as some cases.

Of frames that it finds at once the engine answers pings first. It sends what answers them by one system call,
in which no other thread of this process runs, so that a ping's reply is never seen without the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final

from xsocket import Admission, Engine, TcpConfig, Trace
from xsocket.connection import Connection
from xsocket.fourtuple import FourTuple
from xsocket.state import State
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Lab
from xsocket_tools.fuzzing.cast import PREFIX, STATION, TARGET
from xsocket_tools.fuzzing.frames import Stations, introduction
from xsocket_tools.fuzzing.target import Counts
from xsocket_tools.fuzzing.targets.calls import UserCalls
from xsocket_tools.fuzzing.targets.fence import PINGING, FencedLink, Wire
from xsocket_tools.fuzzing.targets.neighbours import neighbours_answer
from xsocket_tools.fuzzing.targets.wired import LISTENING, Rules, WiredTarget

_INTERFACE: Final = "eth0"
_ADDRESSES: Final = tuple(f"{TARGET[version]}/{PREFIX[version]}" for version in TARGET)
_ADMISSION: Final = Admission(ports=f"{LISTENING[0]}-{LISTENING[-1]}")


@contextmanager
def wire_target(*, traced: bool = False) -> Iterator[WireTarget]:
    """Make a lab with an engine to put cases to, and remove it afterwards.

    Args:
        traced: Keep a trace of the case that runs.

    Raises:
        LabError: The machine gives no namespace.
        CaptureError: It gives no packet socket.
    """
    with Lab() as lab, ExitStack() as made:
        ours, peers = lab.host("engine"), lab.host("peers")
        for host in (ours, peers):
            host.sysctl("net.ipv6.conf.default.disable_ipv6", 1)  # or that kernel talks, too
        lab.link(ours, peers)
        link = ours.run(PacketLink, _INTERFACE, _ADDRESSES)
        made.callback(link.close)
        wire = peers.run(PacketLink, _INTERFACE, None)
        made.callback(wire.close)
        target = WireTarget(link, wire, traced=traced)
        made.callback(target.close)
        yield target


class _Lent:
    """A link that the engine may close, and that stays open; obeys `Link`."""

    def __init__(self, link: PacketLink) -> None:
        self._link = link
        self.mac, self.mtu = link.mac, link.mtu
        self.receive, self.send, self.shed = link.receive, link.send, link.shed
        self.fileno, self.statistics = link.fileno, link.statistics

    def close(self) -> None:
        """Leave it open."""


class WireTarget(WiredTarget):
    """An engine on a link; see `Target`. It is made by `wire_target`.

    Args:
        link: The engine's end.
        wire: The other end.
        traced: Keep a trace of the case that runs.
    """

    name = "wire"

    def __init__(self, link: PacketLink, wire: Wire, *, traced: bool = False) -> None:
        self._link = link
        self._traced = traced
        self._engine: Engine | None = None
        self._introduced: set[str] = set()
        stations = Stations(link.mac, STATION)
        answering = partial(neighbours_answer, stations)
        super().__init__(FencedLink(wire, stations, answering=answering), stations)

    @property
    def engine(self) -> Engine:
        """The engine of the case."""
        assert self._engine is not None, "there is one from the beginning on"
        return self._engine

    @property
    def trace(self) -> Trace | None:
        """What happened in the case, if it is traced."""
        return self.engine.trace

    def close(self) -> None:
        """See `Target.close`."""
        self.end_case()
        super().close()

    def unsupported(self, rules: Rules) -> list[str]:
        """See `WiredTarget.unsupported`: the engine has them all."""
        del rules
        return []

    def end_case(self) -> None:
        """See `WiredTarget.end_case`: nothing outlives its engine."""
        if self._engine is not None:
            self._engine.stop(linger=0)
            self._engine = None

    def begin_case(self) -> None:
        """See `WiredTarget.begin_case`."""
        self._engine = engine = Engine(
            addresses=_ADDRESSES,
            admission=_ADMISSION,
            config=TcpConfig(**dict(self.rules)),
            trace=Trace() if self._traced else None,
            link=_Lent(self._link),
        )
        engine.start()
        self._calls = UserCalls(self.four_tuples, self._open, self._claim)
        self._introduced = set()
        self.link.drain()
        self._introduce(PINGING[4])

    def four_tuple(self, peer: int) -> FourTuple:
        """See `Target.four_tuple`; the engine gets to know the peer's station address."""
        four_tuple = self.four_tuples[peer]
        if four_tuple.remote_address not in self._introduced:
            self._introduce(four_tuple.remote_address)
        return four_tuple

    def _introduce(self, address: str) -> None:
        self._introduced.add(address)
        self.link.exchange(introduction(self.stations, address, TARGET[6 if ":" in address else 4]))

    def make(self, peer: int, name: str, text: bytes, size: int) -> tuple[Any, str]:
        """See `WiredTarget.make`."""
        made = self._calls.make(peer, name, text, size)
        self.engine.connections()  # what the call has left to the engine's thread is done by then
        return made

    def _open(self, peer: int, text: bytes) -> Connection:
        local_address, local_port, remote_address, remote_port = self.four_tuples[peer]
        opened = self.engine.open(
            remote_address, remote_port, local_address=local_address, local_port=local_port, data=text or None
        )
        opened.setblocking(False)
        return opened

    def _claim(self, peer: int | None) -> tuple[Connection, FourTuple]:
        claimed = self.engine.pool.claim(None if peer is None else self.four_tuples[peer], timeout=0)
        claimed.setblocking(False)
        return claimed, claimed.four_tuple

    def state(self, peer: int) -> State | None:
        """See `Target.state`."""
        return self.engine.connections().get(self.four_tuples[peer])

    def counts(self) -> Counts:
        """See `Target.counts`; an engine tells nobody of its timers."""
        of_stack = self.engine.statistics().stack
        return Counts(of_stack.connections, of_stack.half_open, of_stack.time_wait, len(self.engine.pool))
