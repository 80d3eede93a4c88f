"""sock_diag(7): asks the kernel for its TCP sockets, or for one, and hears which ones have ended.

By `struct`, for the last two stand on the path of connections: one question takes 10 us so.
"""

import ctypes
import socket
from collections.abc import Iterator
from errno import ENOBUFS
from struct import Struct
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.state import SYNCHRONIZED, State
from xsocket.wire.address import address_octets, address_text

_NETLINK_SOCK_DIAG: Final = 4
_GROUPS_OF_ENDED_TCP: Final = 1 << 0 | 1 << 2  # SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST: Final = 1  # NLM_F_REQUEST
_DUMP: Final = 0x300  # NLM_F_DUMP
_HEADER: Final = Struct("=IHHII")  # struct nlmsghdr
_QUESTION: Final = Struct("=BBBxI")  # struct inet_diag_req_v2, up to the socket's name
_NAME: Final = Struct("!HH16s16s")  # struct inet_diag_sockid, up to the interface
_COOKIE: Final = Struct("=II")  # its end: the lower half comes first
_ANY_INTERFACE: Final = bytes(4)
_ANY_COOKIE: Final = b"\xff" * _COOKIE.size
_NO_NAME: Final = bytes(_NAME.size + len(_ANY_INTERFACE) + _COOKIE.size)
_ALL_STATES: Final = 0xFFFF_FFFF
_ANSWER_AT: Final = _HEADER.size
_NAME_AT: Final = _ANSWER_AT + 4  # struct inet_diag_msg: family, state, timer, retrans
_COOKIE_AT: Final = _NAME_AT + _NAME.size + len(_ANY_INTERFACE)
_INODE_AT: Final = _ANSWER_AT + 68
_INODE: Final = Struct("=I")
_ANSWER_OCTETS: Final = 4096
_DUMP_OCTETS: Final = 65_536

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
_CONNECTED: Final = frozenset(SYNCHRONIZED) - {State.TIME_WAIT}
_CONNECTED_STATES: Final = sum(1 << number for number, state in enumerate(_STATES) if state in _CONNECTED)


class SocketDiagnostics:
    """The TCP sockets of the network namespace in which this is made. One thread at a time."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._questions = socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG)
        self._news = socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG)
        self._news.bind((0, _GROUPS_OF_ENDED_TCP))
        self._buffer = ctypes.create_string_buffer(_ANSWER_OCTETS)
        # Keeps the interpreter lock, as the receive ring does: this never blocks, and to give the lock away
        # costs the engine's thread its turn.
        self._receive = ctypes.PyDLL(None, use_errno=True).recv
        self._receive.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        self._receive.restype = ctypes.c_ssize_t

    def fileno(self) -> int:
        """Return a descriptor that polls readable while there is word of sockets that ended."""
        return self._news.fileno()

    def state(self, four_tuple: FourTuple) -> State | None:
        """Return the state of the connection's socket, None when the kernel has none."""
        local, remote = address_octets(four_tuple.local_address), address_octets(four_tuple.remote_address)
        family = socket.AF_INET if len(local) == 4 else socket.AF_INET6
        name = _NAME.pack(four_tuple.local_port, four_tuple.remote_port, local, remote)
        question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, _ALL_STATES)
        octets = question + name + _ANY_INTERFACE + _ANY_COOKIE
        self._questions.send(_HEADER.pack(_HEADER.size + len(octets), _BY_FAMILY, _REQUEST, 0, 0) + octets)
        answer = self._questions.recv(_ANSWER_OCTETS)
        if _HEADER.unpack_from(answer)[1] != _BY_FAMILY or answer[_NAME_AT : _NAME_AT + len(name)] != name:
            return None  # ENOENT, or a listener that would take it
        number = answer[_ANSWER_AT + 1]
        return _STATES[number] if number < len(_STATES) else None

    def connected(self) -> Iterator[tuple[FourTuple, int]]:
        """Yield the 4-tuple and the cookie (SO_COOKIE) of every socket that has a connection.

        Those in FIN-WAIT-2 without a user are left out: such a socket may be half of one, of whose end nobody
        hears, and resets what comes.
        """
        for family in (socket.AF_INET, socket.AF_INET6):
            question = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, _CONNECTED_STATES)
            for message in _dumped(question + _NO_NAME):
                ownerless = not _INODE.unpack_from(message, _INODE_AT)[0]
                if not (ownerless and _STATES[message[_ANSWER_AT + 1]] is State.FIN_WAIT_2):
                    yield _name_and_cookie(message)

    def ended(self) -> tuple[list[int], bool]:
        """Return the cookies (SO_COOKIE) of the sockets that have ended, and whether some are missing.

        Not their names: one that was reset has lost its remote port when it ends.
        """
        found: list[int] = []
        missing = False
        number, buffer, receive = self._news.fileno(), self._buffer, self._receive
        while True:
            if receive(number, buffer, _ANSWER_OCTETS, socket.MSG_DONTWAIT) > 0:
                low, high = _COOKIE.unpack_from(buffer, _COOKIE_AT)
                found.append(high << 32 | low)
            elif ctypes.get_errno() == ENOBUFS:
                missing = True
            else:
                return found, missing

    def close(self) -> None:
        """Close its descriptors; safe to call twice."""
        self._questions.close()
        self._news.close()


def _dumped(question: bytes) -> Iterator[bytes]:
    """Ask for all sockets that fit; yield the message about each."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG) as asking:
        header = _HEADER.pack(_HEADER.size + len(question), _BY_FAMILY, _REQUEST | _DUMP, 0, 0)
        asking.send(header + question)
        while True:
            answer = asking.recv(_DUMP_OCTETS)
            while answer:
                length, kind, *_ = _HEADER.unpack_from(answer)
                if kind != _BY_FAMILY:  # NLMSG_DONE, or an error
                    return
                yield answer[:length]
                answer = answer[(length + 3) & ~3 :]


def _name_and_cookie(message: bytes) -> tuple[FourTuple, int]:
    local_port, remote_port, local, remote = _NAME.unpack_from(message, _NAME_AT)
    low, high = _COOKIE.unpack_from(message, _COOKIE_AT)
    octets = 4 if message[_ANSWER_AT] == socket.AF_INET else 16
    name = (address_text(local[:octets]), local_port, address_text(remote[:octets]), remote_port)
    return FourTuple.trusted(*name), high << 32 | low
