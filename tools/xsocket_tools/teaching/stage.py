"""The stage of a lesson: a client and a server on a link, which may lose segments and forge others.

`engine_stage` has both ends as engines in virtual time, `kernel_stage` both as Linux in namespaces. A lesson
says what happens in the words of this module, and so can be played on either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from xsocket.segment import ACK, FIN, PSH, RST, SYN
from xsocket_tools.path import Element
from xsocket_tools.teaching.story import Story

PORT: Final = 80
"""Where the server serves."""
FROM_PORT: Final = 40_000
"""The client's port of the first connection; each other one has the next."""
DELAY_S: Final = 0.05
"""How long a segment takes from one end to the other. Linux rounds timers of a second to 32 ms: of two that
one segment has set, at its departure and at its arrival, the first has to run out first."""
ADDRESSES: Final = {"client": "10.0.0.1", "server": "10.0.0.2"}
PREFIX: Final = 24

FLAGS: Final = {"SYN": SYN, "ACK": ACK, "FIN": FIN, "RST": RST, "PSH": PSH}


class Connection(Protocol):
    """One end of a connection, in its user's hands. Calls that wait let time pass, five seconds at most."""

    def wait_established(self) -> None:
        """Wait until the handshake is complete.

        Raises:
            OSError: It failed, or takes too long.
        """
        ...

    def send(self, text: bytes) -> None:
        """Give *text* to be sent, all of it."""
        ...

    def read(self) -> bytes:
        """Wait for text and return it; nothing at the end of the stream."""
        ...

    def close(self) -> None:
        """Close it; nobody reads any more."""
        ...

    def abort(self) -> None:
        """Reset it."""
        ...


class Worker(Protocol):
    """A process of a host that takes connections, beside others. They come from `Actor.workers`."""

    def accept(self) -> Connection:
        """Wait for a connection, claim or accept it, and return it."""
        ...

    def accept_waiting(self) -> Connection | None:
        """Do what `accept` does, and return None where that would wait."""
        ...

    def claim(self, from_port: int) -> Connection:
        """Wait for the one connection from that port of the other host, and claim it.

        It may be behind others, and its handshake need not have begun.

        Raises:
            NotOnThisStageError: With `accept`, one gets what is first in the queue.
        """
        ...

    def would_get(self, from_port: int) -> bool:
        """Return whether a connection from that port of the other host would fall to this worker.

        Where each has a queue the kernel is asked, and exactly one would get it. Else any of them may.
        """
        ...

    def end(self) -> None:
        """End as a process does: what it has taken is closed, and so is a listener of its own."""
        ...


class Actor(Protocol):
    """One of the two hosts."""

    def open(self, port: int = PORT, *, from_port: int | None = None, text: bytes = b"") -> Connection:
        """Send a SYN to the other host's *port*, and do not wait.

        Args:
            port: Of the other host.
            from_port: Of this one; the next of its own without it.
            text: What is sent first: with the SYN if the rules and a cookie allow it (RFC 7413), else after
                the handshake, by the next call that waits at the latest.
        """
        ...

    def accept(self) -> Connection:
        """Wait for an established connection, claim or accept it, and return it."""
        ...

    def workers(self, *names: str, own_queues: bool = False) -> Sequence[Worker]:
        """Have processes that take the connections, one of each name.

        Args:
            names: What the story calls them.
            own_queues: Whether each has a listener, and so a queue, of its own, by SO_REUSEPORT. The shared
                one is closed then. Without it they share the listener, or claim from the same pool.

        Raises:
            NotOnThisStageError: The engine has one pool, and no queue for each; on Linux, the host serves no
                port, or its workers have the queues already.
        """
        ...


class Stage(Protocol):
    """Where a lesson is played, once.

    Attributes:
        name: ``engine`` or ``kernel``.
        client: The host on the left.
        server: The host on the right. It serves `PORT` from the start, and refuses what is for other ports.
    """

    name: str

    @property
    def was_late(self) -> bool:
        """Whether the machine was too busy for real time, so that things may have happened otherwise."""
        ...

    @property
    def client(self) -> Actor:
        """The host on the left."""
        ...

    @property
    def server(self) -> Actor:
        """The host on the right."""
        ...

    def lose(self, flags: str, *, first: int = 1, count: int = 1) -> None:
        """Lose segments on their way from now on.

        Args:
            flags: Which, as tcpdump writes them: ``"S"`` a SYN, ``"S."`` a SYN+ACK, ``"."`` an ACK.
            first: The first of those that is lost, counted from 1.
            count: How many are lost.
        """
        ...

    def insert(self, element: Element) -> None:
        """Let every segment pass a middlebox or another element of a path from now on.

        Args:
            element: Such as ``StripOptions("sack")`` of `xsocket_tools.path`; the client is at its left.
        """
        ...

    def forge(self, victim: str, flags: str, *, seq: int, ack: int = 0) -> None:
        """Let a segment reach a host that the other one never sent, in the newest connection.

        Args:
            victim: ``client`` or ``server``.
            flags: Its flags by name, joined with a plus: ``"RST"``, ``"SYN+ACK"``.
            seq: Its sequence number, counted from RCV.NXT of the victim.
            ack: Its acknowledgment number, counted from SND.NXT of the victim; without ACK it says nothing.
        """
        ...

    def flood(self, count: int) -> None:
        """Let SYNs reach the server that somebody sends, each with another false address.

        The addresses belong to nobody, so nobody answers what comes back, not even with a reset.

        Args:
            count: How many come, one behind the other: at least one, and 254 in a run.

        Raises:
            ValueError: It is another number.
        """
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def settle(self) -> None:
        """Wait until nothing is under way any more, and no retransmission is near."""
        ...

    def story(self, title: str) -> Story:
        """Return what happened so far."""
        ...

    def close(self) -> None:
        """End everything."""
        ...


Play = Callable[[Stage], object]
"""What happens in a lesson; it may return `xsocket_tools.teaching.lesson.Found`."""


def bits(flags: str) -> int:
    """Return the flags of a segment, by name and joined with a plus.

    Raises:
        KeyError: One is none of `FLAGS`.
    """
    total = 0
    for name in flags.split("+"):
        total |= FLAGS[name]
    return total
