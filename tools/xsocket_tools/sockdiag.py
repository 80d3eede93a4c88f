"""What the kernel knows of the TCP connections of a namespace, through sock_diag(7)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from xsocket.state import State
from xsocket_tools.scenarios import tcpinfo

if TYPE_CHECKING:
    from xsocket import FourTuple
    from xsocket_netns import Namespace

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_SOCK_DESTROY: Final = 21
_NLM_F_REQUEST: Final = 0x001
_NLM_F_ACK: Final = 0x004
_NLM_F_DUMP: Final = 0x300
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI")
_SOCKET_ID_OCTETS: Final = 48
_ENTRY: Final = struct.Struct(f"=BBBB{_SOCKET_ID_OCTETS}sII")
_MESSAGE_OCTETS: Final = 72
"""All of struct inet_diag_msg; attributes follow."""
_ATTRIBUTE: Final = struct.Struct("=HH")
_COOKIE: Final = struct.Struct("=II")
_INFO: Final = 2
"""INET_DIAG_INFO: the attribute that holds struct tcp_info; asked for by bit number one less."""
_ANY_SOCKET: Final = bytes(_SOCKET_ID_OCTETS)
_NO_COOKIE: Final = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_EVERY_STATE: Final = 0xFFFFFFFF
_LISTEN: Final = 10
_RETRANSMISSION: Final = 1
"""The timer, as struct inet_diag_msg numbers it."""
_STATES: Final = {
    1: State.ESTABLISHED,
    2: State.SYN_SENT,
    3: State.SYN_RECEIVED,
    4: State.FIN_WAIT_1,
    5: State.FIN_WAIT_2,
    6: State.TIME_WAIT,
    8: State.CLOSE_WAIT,
    9: State.LAST_ACK,
    11: State.CLOSING,
    12: State.SYN_RECEIVED,
}
"""Linux's numbers (include/net/tcp_states.h) without CLOSE and LISTEN, which are no connection; 12 is a
request that has no socket yet."""


class _Entry(NamedTuple):
    """struct inet_diag_msg (linux/inet_diag.h) as far as it is read here."""

    family: int
    state: int
    timer: int
    retransmits: int
    socket_id: bytes
    expires_ms: int
    receive_queue: int
    attributes: bytes


class Told(NamedTuple):
    """What the kernel says of a connection.

    Attributes:
        state: Where it stands; LISTEN where there is no connection, and a listener would get its SYN.
        retransmissions: How often what is due now was sent again.
        timer_s: When it is due again, seconds from now; infinite if nothing is. The kernel may be later by an
            eighth of the time that it waited.
        tcp_info: The fields of struct tcp_info by name; empty for what has no socket (half-open, TIME-WAIT)
            and for a listener.
        listener: Of a listener its SO_COOKIE: of several with SO_REUSEPORT that which the hash of this very
            4-tuple chooses. 0 for a connection.
    """

    state: State
    retransmissions: int = 0
    timer_s: float = inf
    tcp_info: Mapping[str, int] = {}
    listener: int = 0


class SockDiag:
    """Asks about *namespace*, and keeps it alive. One thread at a time may use it, from anywhere."""

    def __init__(self, namespace: Namespace) -> None:
        self._socket = namespace.run(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def state(self, four_tuple: FourTuple) -> State | None:
        """Return the state of a connection, local end first; None where there is none.

        It finds what has no socket, too: half-open, TIME-WAIT.
        """
        found = next(iter(self._ask(_SOCK_DIAG_BY_FAMILY, 0, _request_for(four_tuple))), None)
        return None if found is None else _STATES.get(found.state)

    def told(self, four_tuple: FourTuple) -> Told | None:
        """Return what there is to know of a connection, local end first; None where there is nothing."""
        found = next(iter(self._ask(_SOCK_DIAG_BY_FAMILY, 0, _request_for(four_tuple, info=True))), None)
        if found is None:
            return None
        if found.state == _LISTEN:
            low, high = _COOKIE.unpack_from(found.socket_id, _SOCKET_ID_OCTETS - _COOKIE.size)
            return Told(State.LISTEN, listener=low | high << 32)
        state = _STATES.get(found.state)
        if state is None:
            return None
        timer_s = found.expires_ms / 1000 if found.timer == _RETRANSMISSION else inf
        return Told(state, found.retransmits, timer_s, _tcp_info(found.attributes))

    def abort(self, four_tuples: Iterable[FourTuple], cookie: int | None = None) -> None:
        """Abort connections, local end first, in whatever state, as far as the kernel can; see `destroy`.

        One that is none is passed over: the kernel would take its listener for what is meant. So is one whose
        socket has not the *cookie* (SO_COOKIE), if that is given.
        """
        for four_tuple in four_tuples:
            if self.state(four_tuple) is not None:
                list(self._ask(_SOCK_DESTROY, _NLM_F_ACK, _request_for(four_tuple, cookie)))

    def waiting(self) -> int:
        """Return how many connections wait to be accepted, all listeners together."""
        return sum(entry.receive_queue for entry in self._every(1 << _LISTEN))

    def destroy(self) -> None:
        """Abort every connection and listener, as far as the kernel can (CONFIG_INET_DIAG_DESTROY).

        What waits in a call on one of them gets ECONNABORTED. A connection that its user has closed keeps its
        network namespace for as long as it goes on, which may be minutes.
        """
        for entry in self._every(_EVERY_STATE):
            list(self._ask(_SOCK_DESTROY, _NLM_F_ACK, _request(entry.family, entry.socket_id)))

    def _every(self, states: int) -> list[_Entry]:
        return [
            entry
            for family in (socket.AF_INET, socket.AF_INET6)
            for entry in self._ask(_SOCK_DIAG_BY_FAMILY, _NLM_F_DUMP, _request(family, _ANY_SOCKET, states))
        ]

    def _ask(self, kind: int, flags: int, body: bytes) -> Iterator[_Entry]:
        """Send one request; yield what the kernel has to say, nothing for an error such as ENOENT."""
        header = _HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST | flags, 1, 0)
        self._socket.send(header + body)
        while True:
            answer = self._socket.recv(1 << 18)
            at = 0
            while at < len(answer):
                length, message, *_ = _HEADER.unpack_from(answer, at)
                if message in (_NLMSG_DONE, _NLMSG_ERROR):
                    return
                attributes = answer[at + _HEADER.size + _MESSAGE_OCTETS : at + length]
                yield _Entry._make((*_ENTRY.unpack_from(answer, at + _HEADER.size), attributes))
                at += length + 3 & ~3
            if not flags & _NLM_F_DUMP:
                return


def _tcp_info(attributes: bytes) -> dict[str, int]:
    at = 0
    while at + _ATTRIBUTE.size <= len(attributes):
        length, kind = _ATTRIBUTE.unpack_from(attributes, at)
        if kind == _INFO:
            return tcpinfo.parsed(attributes[at + _ATTRIBUTE.size : at + length])
        at += max(length, _ATTRIBUTE.size) + 3 & ~3
    return {}


def _request_for(four_tuple: FourTuple, cookie: int | None = None, *, info: bool = False) -> bytes:
    family = socket.AF_INET if four_tuple.family == 4 else socket.AF_INET6
    local, remote = (
        socket.inet_pton(family, address).ljust(16, b"\0")
        for address in (four_tuple.local_address, four_tuple.remote_address)
    )
    ports = struct.pack("!HH", four_tuple.local_port, four_tuple.remote_port)
    ending = _NO_COOKIE if cookie is None else struct.pack("=III", 0, cookie & 0xFFFFFFFF, cookie >> 32)
    return _request(family, ports + local + remote + ending, extensions=1 << _INFO - 1 if info else 0)


def _request(family: int, socket_id: bytes, states: int = _EVERY_STATE, extensions: int = 0) -> bytes:
    """Return struct inet_diag_req_v2 (linux/inet_diag.h)."""
    return _REQUEST.pack(family, socket.IPPROTO_TCP, extensions, 0, states) + socket_id
