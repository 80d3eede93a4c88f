"""The sockets of one case in Linux: listeners, what they have accepted, and what was opened from here."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from xsocket.errors import AddressInUseError, AlreadyClaimedError, ClaimTimeout
from xsocket.fourtuple import FourTuple
from xsocket.state import State
from xsocket_netns import Host
from xsocket_tools.fuzzing.cast import PEERS
from xsocket_tools.fuzzing.targets.accept_queues import AcceptQueues
from xsocket_tools.fuzzing.targets.kernel_connection import KernelConnection
from xsocket_tools.fuzzing.targets.kernel_rules import RESET_ON_CLOSE, KernelRules, Option, kernel_rules
from xsocket_tools.sockdiag import SockDiag

_SPARES: Final = 16
"""How many sockets are made at once: to enter a namespace takes as long as to make a few."""
_BUFFERS: Final = ("ipv4/tcp_rmem", "ipv4/tcp_wmem")
"""Sysctls that a socket takes its buffers' sizes from when it is made."""
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_REUSE: Final[Option] = (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
_SHARE: Final[Option] = (socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
"""So that a connection can be opened from a port that is listened at."""
_IN_USE: Final = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EISCONN})
_OPENING: Final = (State.SYN_SENT, State.SYN_RECEIVED)
_SENDING: Final = (State.ESTABLISHED, State.CLOSE_WAIT)
_MSG_FASTOPEN: Final = 0x2000_0000  # linux/socket.h


class KernelSockets:
    """Sockets in *host*, those of one case at a time.

    Args:
        host: Whose kernel it is.
        diag: Asks that kernel.
    """

    def __init__(self, host: Host, diag: SockDiag) -> None:
        self._host = host
        self._diag = diag
        self._spares: dict[tuple[object, ...], list[socket.socket]] = {}
        self._queues = AcceptQueues(diag)
        self._made: list[KernelConnection] = []
        self._claimed: dict[FourTuple, KernelConnection] = {}
        self._unsent: dict[int, tuple[KernelConnection, bytes]] = {}
        self._four_tuples: Sequence[FourTuple] = ()
        self._rules = kernel_rules(())

    def drop(self) -> None:
        """Let go of everything, with resets.

        What is half-open goes with its listener: by itself when the kernel comes to look, and it is not sent
        again. What its owner has closed is nobody's any more, and stays if it is not aborted.
        """
        self._queues.drop()
        for made in self._made:
            made.drop()
        for collection in (self._made, self._claimed, self._unsent):
            collection.clear()

    def prepare(self, four_tuples: Sequence[FourTuple], rules: KernelRules) -> None:
        """Be ready for the connections *four_tuples*, by peer, which are new."""
        self._four_tuples, self._rules = four_tuples, rules

    def close(self) -> None:
        """Close everything."""
        self.drop()
        for spares in self._spares.values():
            while spares:
                spares.pop().close()

    def listen(self, peer: int) -> None:
        """Listen where *peer* expects it, if it is served and nobody does yet."""
        version = PEERS[peer].version
        if not PEERS[peer].served or version in self._queues:
            return
        listener = self._take(version)
        self._queues.add(version, listener)
        address, port, *_ = self._four_tuples[peer]
        for option in self._rules.options[version]:
            listener.setsockopt(*option)
        listener.bind((address, port))
        listener.listen(self._rules.backlog)

    def open(self, peer: int, text: bytes) -> KernelConnection:
        """Open the connection to *peer* from its local port, without waiting; see `UserCalls`.

        Text goes by Fast Open (RFC 7413), as far as that is on and there is a cookie. The rest is for
        `send_rest`.

        Raises:
            AddressInUseError: There is a connection with this 4-tuple.
        """
        four_tuple = self._four_tuples[peer]
        made = self._take(four_tuple.family)
        opened = KernelConnection(made, four_tuple, self._diag)
        self._made.append(opened)
        for option in self._rules.options[four_tuple.family]:
            made.setsockopt(*option)
        try:
            made.bind(four_tuple[:2])
            sent = _connect(made, four_tuple[2:], text)
        except OSError as error:
            made.close()
            if error.errno in _IN_USE:
                raise AddressInUseError(f"there is a connection {four_tuple}") from None
            raise
        if sent < len(text):
            self._unsent[peer] = opened, text[sent:]
        return opened

    @property
    def has_rest(self) -> bool:
        """Whether `open` was given text that has not gone yet."""
        return bool(self._unsent)

    def owes(self, peer: int) -> bool:
        """Return whether `open` was given text for *peer* that has not gone yet: none may go before it."""
        return peer in self._unsent

    def send_rest(self) -> bool:
        """Send the text that `open` was given, where that can go by now; return whether any did."""
        went = False
        for peer, (opened, text) in tuple(self._unsent.items()):
            state = self._diag.state(opened.four_tuple)
            if state in _OPENING:
                continue
            left = b""
            if state in _SENDING:
                left = _left_after_sending(opened, text)
                went = went or len(left) < len(text)
            if left:
                self._unsent[peer] = opened, left
            else:
                del self._unsent[peer]
        return went

    def claim(self, peer: int | None) -> tuple[KernelConnection, FourTuple]:
        """Accept the connection of *peer*, or for None the oldest there is; see `UserCalls`.

        Raises:
            ClaimTimeout: There is none.
            AlreadyClaimedError: It has an owner.
        """
        if peer is None:
            found = self._queues.take_oldest()
        else:
            owned = self._claimed.get(self._four_tuples[peer])
            if owned is not None and owned.is_alive:
                raise AlreadyClaimedError(f"the connection {owned.four_tuple} has an owner")
            found = self._queues.take(self._four_tuples[peer])
        if found is None:
            raise ClaimTimeout("no such connection waits to be accepted")
        self._made.append(found)
        self._claimed[found.four_tuple] = found
        return found, found.four_tuple

    def note_arrivals(self) -> None:
        """Note who came first, where that cannot be seen later."""
        if self._queues.is_mixed:
            self._queues.note()

    def _take(self, version: int) -> socket.socket:
        """Return a socket that does not wait, and resets its connection when it is closed.

        A connection inherits both from its listener, but not that accept(2) gives a descriptor that waits.
        """
        sizes = self._rules.sysctls
        spares = self._spares.setdefault((version, *map(sizes.get, _BUFFERS)), [])
        if not spares:
            with self._host.enter():
                for _ in range(_SPARES):
                    spares.append(
                        made := socket.socket(_FAMILIES[version], socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                    )
                    for option in (RESET_ON_CLOSE, _REUSE, _SHARE):
                        made.setsockopt(*option)
        return spares.pop()


def _left_after_sending(opened: KernelConnection, text: bytes) -> bytes:
    """Send as much of *text* as there is room for; return the rest, none where the connection is closed."""
    try:
        return text[opened.send(text) :]
    except BlockingIOError:
        return text
    except OSError:
        return b""


def _connect(made: socket.socket, remote: tuple[str, int], text: bytes) -> int:
    """Send the SYN, with as much of *text* as goes with it; return how much that is, octets."""
    with suppress(BlockingIOError):  # EINPROGRESS
        if text:
            try:
                return made.sendto(text, _MSG_FASTOPEN, remote)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
        made.connect(remote)
    return 0
