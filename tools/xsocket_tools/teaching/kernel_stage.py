"""The stage whose both ends are the Linux kernel, in namespaces of their own, in real time.

Where a host stands after each segment is not inferred: its kernel is asked; see `watched_path`.
"""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import fields
from errno import EOPNOTSUPP
from pathlib import Path
from struct import pack
from typing import Any, Final, TypeVar

from xsocket import FourTuple, TcpConfig
from xsocket.segment import Segment
from xsocket.seqnum import add
from xsocket.state import Trigger
from xsocket_netns import Host, Lab
from xsocket_tools.fuzzing.targets.kernel_rules import KernelRules, Sysctls, kernel_rules, sysctl_text
from xsocket_tools.path import Element, Lose
from xsocket_tools.teaching.errors import NotOnThisStageError
from xsocket_tools.teaching.flood import NOBODYS, Flood, dead_end
from xsocket_tools.teaching.orders import Order
from xsocket_tools.teaching.records import LEFT, RIGHT
from xsocket_tools.teaching.stage import ADDRESSES, FROM_PORT, PORT, bits
from xsocket_tools.teaching.story import Story
from xsocket_tools.teaching.telling import of_kernels
from xsocket_tools.teaching.variables import Onlooker
from xsocket_tools.teaching.watched_path import WatchedPath

QUIET_S: Final = 0.15
"""So long nothing happens when nothing is under way: less than the least retransmission timeout."""
LATE_S: Final = 0.08
"""If two segments in a row are as late, timers run out: they leave a round trip 0.2 s more than it takes."""
BACKLOG: Final = 128
OF_THE_LISTENER: Final = ("pool_capacity", "fastopen_qlen")
"""Rules that Linux has not as sysctls, but as what a listening socket is told."""
_MOST: Final = 65_536
_WITHOUT_IPV6: Final = ("net/ipv6/conf/all/disable_ipv6", "net/ipv6/conf/default/disable_ipv6")
_BUSY: Final = (
    "Segments came up to {:.2f} s late, as the machine or the play was busy. "
    "Timers may have run out for that alone."
)
_SO_COOKIE: Final = 57  # asm-generic/socket.h
_MSG_FASTOPEN: Final = 0x2000_0000  # linux/socket.h
_RESET: Final = pack("ii", 1, 0)
"""SO_LINGER: close with a reset."""

T = TypeVar("T")


class KernelStage:
    """A stage; see `xsocket_tools.teaching.stage.Stage`.

    Args:
        rules: Fields of `TcpConfig` that Linux has as sysctls, for both ends, and those `OF_THE_LISTENER`.
        traced: Whether the kernels tell at tracepoints, too, why they did something; if the machine lets us.

    Raises:
        NotOnThisStageError: Linux has nothing for a rule, or nothing with that value.
        BadConfigError: A value is outside its range.
        LabError: The machine allows no namespaces.
    """

    name = "kernel"

    def __init__(self, rules: Mapping[str, Any], *, traced: bool = True) -> None:
        _refuse_what_linux_has_not(rules)
        with ExitStack() as stack:
            lab = stack.enter_context(Lab())
            hosts = lab.host("client"), lab.host("server")
            for host in hosts:
                _silence_ipv6(host)
            path = WatchedPath(lab, hosts, traced=traced)
            stack.callback(path.close)
            for end, host in enumerate(hosts):
                _prepare(host, hosts[1 - end], rules)
            client, server = (
                KernelActor(host, path, end, stack.enter_context(ExitStack()))
                for end, host in enumerate(hosts)
            )
            server.host.route(NOBODYS, via=ADDRESSES["client"])
            server.serve(kernel_rules(tuple(rules.items())))
            path.start()
            stack.callback(path.stop)
            self._stack = stack.pop_all()
        self.client: Final = client
        self.server: Final = server
        self._path = path
        self._flood = Flood()

    def lose(self, flags: str, *, first: int = 1, count: int = 1) -> None:
        """See `Stage.lose`."""
        self.insert(Lose(flags, range(first, first + count)))

    def insert(self, element: Element) -> None:
        """See `Stage.insert`."""
        self._path.insert(element)

    def forge(self, victim: str, flags: str, *, seq: int, ack: int = 0) -> None:
        """See `Stage.forge`."""

        def segment(known: Onlooker) -> Segment:
            return Segment(add(known.rcv_nxt, seq), add(known.snd_nxt, ack), bits(flags), 65_535 >> 3)

        self._path.forge(RIGHT if victim == "server" else LEFT, segment)

    def flood(self, count: int) -> None:
        """See `Stage.flood`."""
        if not self._flood.four_tuples:
            self.insert(dead_end())
        self._path.spoof(RIGHT, self._flood.syns(count))

    def wait(self, seconds: float) -> None:
        """See `Stage.wait`."""
        self._path.wait(seconds)

    def settle(self) -> None:
        """See `Stage.settle`."""
        self._path.settle(QUIET_S)

    @property
    def was_late(self) -> bool:
        """See `Stage.was_late`."""
        return self._path.late_s >= LATE_S

    def story(self, title: str) -> Story:
        """See `Stage.story`; a note says so if the machine was too busy for real time."""
        story = self._flood.named_in(of_kernels(self._path.records(), title=title))
        if not self.was_late:
            return story
        return story._replace(notes=(*story.notes, _BUSY.format(self._path.late_s)))

    def close(self) -> None:
        """See `Stage.close`."""
        self._stack.close()


class KernelActor:
    """A host whose TCP is its kernel's.

    Args:
        host: It.
        path: Does everything.
        end: Which end of the path it is.
        stack: Closes its sockets.
    """

    def __init__(self, host: Host, path: WatchedPath, end: int, stack: ExitStack) -> None:
        self.host: Final = host
        self._path, self._end, self._stack = path, end, stack
        self._own, self._other = list(ADDRESSES.values())[:: -1 if end == RIGHT else 1]
        self._listener: socket.socket | None = None
        self._rules: KernelRules | None = None
        self._opened = 0

    def serve(self, rules: KernelRules) -> None:
        """Listen on `PORT`, by *rules*."""
        self._rules = rules
        self._listener = self._listening(rules)

    def _listening(self, rules: KernelRules, *, beside_others: bool = False) -> socket.socket:
        listener = self._socket()
        if beside_others:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((self._own, PORT))
        for option in rules.options[4]:
            listener.setsockopt(*option)
        listener.listen(min(BACKLOG, rules.backlog))
        return listener

    def open(self, port: int = PORT, *, from_port: int | None = None, text: bytes = b"") -> KernelConnection:
        """See `Actor.open`."""
        if from_port is None:
            from_port = FROM_PORT + self._opened
            self._opened += 1
        opener = self._socket()
        opener.bind((self._own, from_port))
        four_tuple = FourTuple(self._own, from_port, self._other, port)

        def attempt() -> KernelConnection:
            gone = _connect(opener, (self._other, port), text)
            return self._connection(opener, four_tuple, text[gone:])

        return self._path.do(Order(attempt, self._end))

    def accept(self) -> KernelConnection:
        """See `Actor.accept`."""
        listener = self._shared()
        return self._path.do(Order(lambda: self.take(listener), self._end, descriptor=listener.fileno()))

    def workers(self, *names: str, own_queues: bool = False) -> list[KernelWorker]:
        """See `Actor.workers`."""
        shared = self._shared()
        if not own_queues:
            return [KernelWorker(self, self._path, self._end, name, shared) for name in names]
        rules, self._listener = self._rules, None
        assert rules is not None
        self._path.do(Order(shared.close, self._end))
        own = [self._listening(rules, beside_others=True) for _ in names]
        return [
            KernelWorker(self, self._path, self._end, name, listener, cookie=_cookie(listener))
            for name, listener in zip(names, own, strict=True)
        ]

    def _shared(self) -> socket.socket:
        if self._listener is None:
            raise NotOnThisStageError(f"the host {self.host.name} accepts no connections")
        return self._listener

    def take(self, listener: socket.socket, worker: str = "") -> KernelConnection:
        """Accept a connection and note which *worker* did it; for the attempts of orders."""
        accepted, (address, port) = listener.accept()
        self._stack.callback(accepted.close)
        accepted.setblocking(False)
        four_tuple = FourTuple(self._own, PORT, address, port)
        self._path.note(self._end, "accepted", four_tuple, worker)
        return self._connection(accepted, four_tuple)

    def from_port(self, port: int) -> FourTuple:
        """Return the connection from a port of the other host to `PORT`."""
        return FourTuple(self._own, PORT, self._other, port)

    def _connection(
        self, connected: socket.socket, four_tuple: FourTuple, unsent: bytes = b""
    ) -> KernelConnection:
        return KernelConnection(self._path, self._end, connected, four_tuple, unsent)

    def _socket(self) -> socket.socket:
        made = self.host.run(socket.socket, socket.AF_INET, socket.SOCK_STREAM)
        self._stack.callback(made.close)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return made


class KernelWorker:
    """A process that accepts connections, played by the sockets that it would have.

    Args:
        actor: Its host.
        path: Does everything.
        end: Which end of the path it is at.
        name: Its own.
        listener: That it accepts from.
        cookie: SO_COOKIE of the listener, if it has that alone.
    """

    def __init__(
        self,
        actor: KernelActor,
        path: WatchedPath,
        end: int,
        name: str,
        listener: socket.socket,
        *,
        cookie: int | None = None,
    ) -> None:
        self._actor, self._path, self._end = actor, path, end
        self._name, self._listener, self._cookie = name, listener, cookie
        self._taken: list[KernelConnection] | None = []
        if cookie is not None:
            path.do(Order(lambda: path.belongs(cookie, name)))

    def accept(self) -> KernelConnection:
        """See `Worker.accept`."""
        self._alive()
        try:
            return self._path.do(Order(self._take, self._end, descriptor=self._listener.fileno()))
        except TimeoutError:
            self._path.do(Order(self._note_none))
            raise

    def accept_waiting(self) -> KernelConnection | None:
        """See `Worker.accept_waiting`."""
        self._alive()

        def attempt() -> KernelConnection | None:
            try:
                return self._take()
            except BlockingIOError:
                self._note_none()
                return None

        return self._path.do(Order(attempt, self._end))

    def _note_none(self) -> None:
        self._path.note(self._end, "timed_out", worker=self._name)

    def _take(self) -> KernelConnection:
        self._alive().append(taken := self._actor.take(self._listener, self._name))
        return taken

    def claim(self, from_port: int) -> KernelConnection:
        """See `Worker.claim`."""
        raise NotOnThisStageError(
            f"{self._name} cannot ask for the connection from port {from_port}: accept takes what is first"
        )

    def would_get(self, from_port: int) -> bool:
        """See `Worker.would_get`."""
        if self._cookie is None:
            return True
        four_tuple = self._actor.from_port(from_port)
        return self._path.do(Order(lambda: self._path.listener(self._end, four_tuple))) == self._cookie

    def end(self) -> None:
        """See `Worker.end`."""
        taken, self._taken = self._alive(), None

        def attempt() -> None:
            self._path.note(self._end, "ended", worker=self._name)
            for connection in taken:
                connection.let_go()
            if self._cookie is not None:
                self._listener.close()

        self._path.do(Order(attempt, self._end))

    def _alive(self) -> list[KernelConnection]:
        if self._taken is None:
            raise LookupError(f"{self._name} has ended")
        return self._taken


class KernelConnection:
    """A connection of a kernel's, by its socket.

    Args:
        path: Does everything.
        end: Which end of the path it is.
        connected: The socket.
        four_tuple: Of the connection.
        unsent: Text that comes before any other, and that the socket has not taken yet.
    """

    def __init__(
        self,
        path: WatchedPath,
        end: int,
        connected: socket.socket,
        four_tuple: FourTuple,
        unsent: bytes = b"",
    ) -> None:
        self._path, self._end = path, end
        self._socket, self._four_tuple = connected, four_tuple
        self._unsent = unsent

    def wait_established(self) -> None:
        """See `Connection.wait_established`."""
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)

        def attempt() -> None:
            if not poll.poll(0):
                raise BlockingIOError
            error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            self._flush()

        self._do(attempt)

    def send(self, text: bytes) -> None:
        """See `Connection.send`."""
        self._unsent += text
        self._do(self._flush)

    def read(self) -> bytes:
        """See `Connection.read`."""

        def attempt() -> bytes:
            self._flush()
            return self._socket.recv(_MOST)

        return self._do(attempt)

    def close(self) -> None:
        """See `Connection.close`."""
        self._do(self.let_go, Trigger.CLOSE)

    def let_go(self) -> None:
        """Close the socket; for the attempts of orders."""
        self._socket.close()

    def abort(self) -> None:
        """See `Connection.abort`."""

        def attempt() -> None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._socket.close()

        self._do(attempt, Trigger.ABORT)

    def _flush(self) -> None:
        while self._unsent:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]

    def _do(self, attempt: Callable[[], T], trigger: Trigger | None = None) -> T:
        descriptor = self._socket.fileno() if trigger is None else None
        return self._path.do(
            Order(attempt, self._end, descriptor=descriptor, four_tuple=self._four_tuple, trigger=trigger)
        )


def _cookie(listener: socket.socket) -> int:
    return int.from_bytes(listener.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder)


def _connect(opener: socket.socket, remote: tuple[str, int], text: bytes) -> int:
    """Send the SYN, with as much of *text* as goes with it; return how much that is, octets."""
    with suppress(BlockingIOError):  # EINPROGRESS
        if text:
            try:
                return opener.sendto(text, _MSG_FASTOPEN, remote)
            except OSError as error:
                if error.errno != EOPNOTSUPP:  # the client's part is switched off
                    raise
        opener.connect(remote)
    return 0


def _refuse_what_linux_has_not(rules: Mapping[str, Any]) -> None:
    TcpConfig(**rules)  # says what is wrong with a name or a value
    known = {each.name: each.metadata["rule"].sysctl for each in fields(TcpConfig)}
    for name, value in rules.items():
        if name in OF_THE_LISTENER:
            continue
        if known[name] is None:
            raise NotOnThisStageError(f"Linux has no sysctl for the rule {name}")
        if sysctl_text(known[name], value) is None:
            raise NotOnThisStageError(f"Linux cannot be told {name} = {value!r} by {known[name].path}")


def _silence_ipv6(host: Host) -> None:
    for name in _WITHOUT_IPV6:
        if host.run(Path("/proc/sys", name).exists):
            host.sysctl(name, 1)


def _for_those_it_knows(rules: Mapping[str, Any]) -> dict[str, str]:
    """Return what lets Linux keep the last quarter of a small table, without cookies, for peers it remembers.

    The size of the table is that of the listener; see `kernel_rules`.
    """
    if "max_syn_backlog" not in rules:
        return {}
    return {"ipv4/tcp_max_syn_backlog": str(rules["max_syn_backlog"]), "ipv4/tcp_no_metrics_save": "0"}


def _prepare(host: Host, other: Host, rules: Mapping[str, Any]) -> None:
    """Let *host* play by *rules*, acknowledge at once, and ask nobody for the other's station address."""
    sysctls = Sysctls(host)
    try:
        for name, value in rules.items():
            if sysctls.lack(name, value):
                raise NotOnThisStageError(f"this kernel does not take {name} = {value!r}")
        sysctls.set({**kernel_rules(tuple(rules.items())).sysctls, **_for_those_it_knows(rules)})
    finally:
        sysctls.close()
    end = other.interface("eth0")
    (address,) = (each.partition("/")[0] for each in end.addresses)
    host.route(f"{address}/32", interface="eth0", quickack=True)
    host.neighbour("eth0", address, end.mac)
