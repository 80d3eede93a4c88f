"""The lab of the page: an engine that serves a port, a Linux client, and whoever forges segments.

No HTTP here, and no words for people but errors. Any thread may call it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from ipaddress import IPv4Network
from itertools import count
from types import TracebackType
from typing import Final, Self

from xsocket import Admission, ClaimTimeout, Connection, Engine, Event, FourTuple, State, Trace
from xsocket.wire.arp import NO_MAC, REQUEST, ArpPacket
from xsocket.wire.codec import encode, encode_segment
from xsocket.wire.ethernet import IPV4, Ethernet, build_ethernet
from xsocket_netns import Host, Lab
from xsocket_tools.live.errors import CannotDoError
from xsocket_tools.live.segment_form import Net, Order
from xsocket_tools.path import Impair, Path

PORT: Final = 80
NET: Final = Net(IPv4Network("10.0.0.0/24"), engine="10.0.0.2", client="10.0.0.1")
MOST_CLIENTS: Final = 256
"""Sockets of the client that may be open at once."""
MOST_SAID: Final = 1000
"""Octets that are said at once."""
_AT_ONCE: Final = 65_536


class World:
    """A lab with an engine, for the length of a `with` block.

    Args:
        listener: Told of every event of the engine's trace; see `xsocket.Trace`.
        delay_s: How long a packet takes either way. Without it the link is a mere veth, and a handshake is
            over before anybody could see it half-open.

    Raises:
        LabError: The machine does not allow labs; at the start of the block.
    """

    engine: Engine

    def __init__(self, listener: Callable[[Event], None], *, delay_s: float = 0.0) -> None:
        self._listener, self._delay_s = listener, delay_s
        self._lock = threading.Lock()
        self._clients: dict[FourTuple, socket.socket] = {}
        self._held: dict[FourTuple, Connection] = {}
        self._idents = count(1)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            lab = stack.enter_context(Lab())
            client, server = lab.host("client"), lab.host("server")
            ends: tuple[list[str], list[str]] = ([f"{NET.client}/{NET.network.prefixlen}"], [])
            if self._delay_s:
                slow = Impair(delay_s=self._delay_s)
                path = stack.enter_context(Path(lab, client, server, addresses=ends, elements=[slow]))
                near, far = path["client"], path["server"]
            else:
                link = lab.link(client, server, addresses=ends)
                near, far = link["client"], link["server"]
            client.neighbour(near.name, NET.engine, far.mac)
            self._start_engine(stack, server, far.name)
            self._client = client
            self._stations = Ethernet(_octets(far.mac), _octets(near.mac))
            self._raw = stack.enter_context(client.run(_packet_socket, near.name))
            stack.callback(self._let_go)
            self._introduce(NET.client)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _start_engine(self, stack: ExitStack, server: Host, interface: str) -> None:
        self.engine = Engine(
            interface,
            [f"{NET.engine}/{NET.network.prefixlen}"],
            admission=Admission(ports=str(PORT)),
            trace=Trace(1, self._listener),
        )
        with server.enter():
            self.engine.start()
        stack.callback(self.engine.stop, 0.0)

    def _let_go(self) -> None:
        """Close what clients and owners have, so that nothing is left to complain."""
        with self._lock:
            for made in self._clients.values():
                made.close()
            for connection in self._held.values():
                connection.abort()

    # The client

    def connect(self, how_many: int) -> list[FourTuple]:
        """Let sockets of the client's kernel begin to connect; return the connections as the engine has them.

        Raises:
            CannotDoError: There are too many.
        """
        with self._lock:
            if len(self._clients) + how_many > MOST_CLIENTS:
                raise CannotDoError(f"The client has {len(self._clients)} sockets. Let it close some first.")
            made = self._client.run(lambda: dict(_connecting() for _ in range(how_many)))
            self._clients.update(made)
        return list(made)

    def clients(self) -> frozenset[FourTuple]:
        """Return the connections of which the client has a socket."""
        with self._lock:
            return frozenset(self._clients)

    def close_client(self, four_tuple: FourTuple) -> None:
        """Let the client's kernel close its end, after it has read what came.

        Raises:
            CannotDoError: It has none.
        """
        with self._lock:
            made = self._clients.pop(four_tuple, None)
        if made is None:
            raise CannotDoError("The client has no socket of this connection.")
        with made, suppress(OSError):  # BlockingIOError when all is read, or what else has ended it
            while made.recv(_AT_ONCE):
                pass

    # Whoever claims

    def claim_next(self) -> FourTuple:
        """Claim whichever connection is next, and hold it.

        Raises:
            CannotDoError: None waits.
        """
        try:
            connection = self.engine.pool.claim(timeout=0)
        except ClaimTimeout as error:
            raise CannotDoError("No connection waits in the pool.") from error
        connection.settimeout(0)
        with self._lock:
            self._held[connection.four_tuple] = connection
        return connection.four_tuple

    def held(self) -> frozenset[FourTuple]:
        """Return the connections that were claimed and not closed."""
        with self._lock:
            return frozenset(self._held)

    def say(self, four_tuple: FourTuple, text: str) -> None:
        """Send text on a claimed connection.

        Raises:
            CannotDoError: It is not held, or takes no text, or there is too much.
        """
        octets = text.encode("utf-8", "replace")
        if not 1 <= len(octets) <= MOST_SAID:
            raise CannotDoError(f"Say something, and no more than {MOST_SAID:,} octets.")
        with self._lock:
            connection = self._held.get(four_tuple)
        if connection is None:
            raise CannotDoError("Nobody holds this connection.")
        try:
            connection.sendall(octets)
        except OSError as error:
            raise CannotDoError(f"The connection takes no text: {error.strerror or error}.") from error

    def close(self, four_tuple: FourTuple) -> None:
        """Close a claimed connection, after what came was read.

        Raises:
            CannotDoError: It is not held.
        """
        with self._lock:
            connection = self._held.pop(four_tuple, None)
        if connection is None:
            raise CannotDoError("Nobody holds this connection.")
        with connection, suppress(OSError):
            while connection.recv(_AT_ONCE):
                pass

    def let_go_of_dead(self) -> None:
        """Hold connections no longer that have ended. The client may not know that, and keeps its socket."""
        with self._lock:
            dead = [key for key, each in self._held.items() if each.state is State.CLOSED]
            for key in dead:
                self._held.pop(key).close()

    # Whoever forges

    def frame_of(self, order: Order) -> bytes:
        """Return the frame that carries a segment; no two are the same."""
        prefix = build_ethernet(self._stations, IPV4)
        return encode_segment(prefix, order.four_tuple, order.segment, ident=next(self._idents) & 0xFFFF)

    def send(self, order: Order, frame: bytes) -> None:
        """Send *frame*, which `frame_of` made of *order*; the engine learns where to answer first."""
        self._introduce(order.four_tuple.local_address)
        self._raw.send(frame)

    def _introduce(self, address: str) -> None:
        """Let the engine know that *address* is at the client's station, whose kernel ignores what comes."""
        asks = ArpPacket(self._stations, REQUEST, self._stations.source, address, NO_MAC, NET.engine)
        self._raw.send(encode(asks))


def _octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _packet_socket(interface: str) -> socket.socket:
    """Return a socket that sends frames and hears none."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    made.bind((interface, 0))
    return made


def _connecting() -> tuple[FourTuple, socket.socket]:
    made = socket.socket()
    made.setblocking(False)
    made.connect_ex((NET.engine, PORT))
    address, port = made.getsockname()
    return FourTuple(NET.engine, PORT, address, port), made
