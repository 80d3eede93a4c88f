"""sock_diag(7): asks the kernel for one TCP socket, and hears which ones have ended.

By `struct`, for both stand on the path of connections: one question takes 10 us so.
"""

import socket
from contextlib import suppress
from errno import ENOBUFS
from struct import Struct
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.state import State
from xsocket.wire.address import address_octets, address_text

_NETLINK_SOCK_DIAG: Final = 4
_GROUPS_OF_ENDED_TCP: Final = 1 << 0 | 1 << 2  # SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST: Final = 1  # NLM_F_REQUEST
_HEADER: Final = Struct("=IHHII")  # struct nlmsghdr
_QUESTION: Final = Struct("=BBBxI")  # struct inet_diag_req_v2, up to the socket's name
_NAME: Final = Struct("!HH16s16s")  # struct inet_diag_sockid, up to the interface
_INTERFACE_AND_COOKIE: Final = Struct("=III")  # its rest; the cookie's lower half comes first
_ANY_INTERFACE_AND_COOKIE: Final = _INTERFACE_AND_COOKIE.pack(0, 0xFFFF_FFFF, 0xFFFF_FFFF)
_ALL_STATES: Final = 0xFFFF_FFFF
_ANSWER_AT: Final = _HEADER.size
_NAME_AT: Final = _ANSWER_AT + 4  # struct inet_diag_msg: family, state, timer, retrans
_ANSWER_OCTETS: Final = 4096

_STATES: Final = (
    None,
    State.ESTABLISHED,
    State.SYN_SENT,
    State.SYN_RECEIVED,
    State.FIN_WAIT_1,
    State.FIN_WAIT_2,
    State.TIME_WAIT,
    State.CLOSED,
    State.CLOSE_WAIT,
    State.LAST_ACK,
    State.LISTEN,
    State.CLOSING,
    State.SYN_RECEIVED,
)
"""By number, as linux/net/tcp_states.h has them."""


class SocketDiagnostics:
    """The TCP sockets of the network namespace in which this is made. One thread at a time."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._questions = socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG)
        self._news = socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG)
        self._news.bind((0, _GROUPS_OF_ENDED_TCP))

    def fileno(self) -> int:
        """Return a descriptor that polls readable while there is word of sockets that ended."""
        return self._news.fileno()

    def state(self, four_tuple: FourTuple) -> State | None:
        """Return the state of the connection's socket, None when the kernel has none."""
        local, remote = address_octets(four_tuple.local_address), address_octets(four_tuple.remote_address)
        family = socket.AF_INET if len(local) == 4 else socket.AF_INET6
        name = _NAME.pack(four_tuple.local_port, four_tuple.remote_port, local, remote)
        question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, _ALL_STATES)
        octets = question + name + _ANY_INTERFACE_AND_COOKIE
        self._questions.send(_HEADER.pack(_HEADER.size + len(octets), _BY_FAMILY, _REQUEST, 0, 0) + octets)
        answer = self._questions.recv(_ANSWER_OCTETS)
        if _HEADER.unpack_from(answer)[1] != _BY_FAMILY or answer[_NAME_AT : _NAME_AT + len(name)] != name:
            return None  # ENOENT, or a listener that would take it
        number = answer[_ANSWER_AT + 1]
        return _STATES[number] if number < len(_STATES) else None

    def ended(self) -> tuple[list[tuple[FourTuple, int]], bool]:
        """Return 4-tuples and cookies (SO_COOKIE) of sockets that ended, and whether some are missing."""
        found: list[tuple[FourTuple, int]] = []
        missing = False
        with suppress(BlockingIOError):
            while True:
                try:
                    found.append(_read(self._news.recv(_ANSWER_OCTETS)))
                except OSError as error:
                    if error.errno != ENOBUFS:
                        raise
                    missing = True
        return found, missing

    def close(self) -> None:
        """Close its descriptors; safe to call twice."""
        self._questions.close()
        self._news.close()


def _read(message: bytes) -> tuple[FourTuple, int]:
    local_port, remote_port, local, remote = _NAME.unpack_from(message, _NAME_AT)
    _, low, high = _INTERFACE_AND_COOKIE.unpack_from(message, _NAME_AT + _NAME.size)
    octets = 4 if message[_ANSWER_AT] == socket.AF_INET else 16
    name = (address_text(local[:octets]), local_port, address_text(remote[:octets]), remote_port)
    return FourTuple.trusted(*name), high << 32 | low
