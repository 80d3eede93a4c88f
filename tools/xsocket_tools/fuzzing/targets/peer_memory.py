"""What Linux remembers of its peers beyond a connection: path MTUs, and cookies of Fast Open. How it forgets.

By netlink, in messages made by hand: one takes some 10 us, and pyroute2 a thousand times as long.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from struct import Struct, pack, unpack_from
from typing import Final

from xsocket_netns import Host
from xsocket_tools.fuzzing.target import TargetError

_HEADER: Final = Struct("=IHHII")
_REQUEST, _ACK, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400  # linux/netlink.h
_ERROR: Final = 2
_NETLINK_GENERIC: Final = 16

_RTM_NEWROUTE: Final = 24  # linux/rtnetlink.h
_TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_LINK, _UNICAST = 254, 4, 253, 1
_DESTINATION, _OUTPUT, _METRICS, _QUICKACK = 1, 4, 8, 15

_CONTROLLER, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2  # linux/genetlink.h
_DELETE_METRICS: Final = 2  # linux/tcp_metrics.h
_FLUSH_V4: Final = "/proc/sys/net/ipv4/route/flush"


class PeerMemory:
    """What the kernel of *host* knows of *addresses*, which it reaches by the interface *index*.

    Each gets a route on which acknowledgments are not delayed.

    Raises:
        TargetError: The kernel took a route for none.
    """

    def __init__(self, host: Host, index: int, addresses: Sequence[str]) -> None:
        with host.enter():
            self._routes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self._generic = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC)
            self._flush_v4 = os.open(_FLUSH_V4, os.O_WRONLY | os.O_CLOEXEC)
        self._messages = [_route(address, index) for address in addresses]
        self._metrics_family = self._family("tcp_metrics")
        for message in self._messages:
            self._make(message)

    def close(self) -> None:
        """Let go of the sockets."""
        self._routes.close()
        self._generic.close()
        os.close(self._flush_v4)

    def forget_paths(self) -> None:
        """Let every path have the link's MTU. For IPv6 it takes new routes: its cache cannot be flushed."""
        os.pwrite(self._flush_v4, b"1", 0)
        for message in self._messages:
            self._make(message)

    def forget_cookies(self) -> None:
        """Forget the cookies that servers gave, as far as this user may: not in a user namespace."""
        if self._metrics_family:
            _ask(self._generic, self._metrics_family, _REQUEST | _ACK, pack("=BBH", _DELETE_METRICS, 1, 0))

    def _make(self, message: bytes) -> None:
        error = _error(_ask(self._routes, _RTM_NEWROUTE, _REQUEST | _ACK | _REPLACE | _CREATE, message))
        if error:
            raise TargetError(f"the kernel makes no route: {os.strerror(error)}")

    def _family(self, name: str) -> int:
        body = pack("=BBH", _GET_FAMILY, 1, 0) + _attribute(_FAMILY_NAME, name.encode() + b"\0")
        answer = _ask(self._generic, _CONTROLLER, _REQUEST, body)
        at = _HEADER.size + 4
        while at + 4 <= len(answer) and not _error(answer):
            length, kind = unpack_from("=HH", answer, at)
            if kind == _FAMILY_ID:
                return int(unpack_from("=H", answer, at + 4)[0])
            at += max(length + 3 & ~3, 4)
        return 0


def _route(address: str, index: int) -> bytes:
    """Return the body of a request for a route to one address: struct rtmsg and its attributes."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    octets = socket.inet_pton(family, address)
    scope = 0 if ":" in address else _SCOPE_LINK
    head = pack(
        "=BBBBBBBBI", family, len(octets) * 8, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, scope, _UNICAST, 0
    )
    metrics = _attribute(_METRICS, _attribute(_QUICKACK, pack("=I", 1)))
    return head + _attribute(_DESTINATION, octets) + _attribute(_OUTPUT, pack("=I", index)) + metrics


def _attribute(kind: int, data: bytes) -> bytes:
    return pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _ask(channel: socket.socket, kind: int, flags: int, body: bytes) -> bytes:
    """Send a request; return its one answer."""
    channel.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
    return channel.recv(1 << 16)


def _error(answer: bytes) -> int:
    """Return the number of the error that an answer is, 0 if it is none."""
    _, kind, *_ = _HEADER.unpack_from(answer)
    return -int(unpack_from("=i", answer, _HEADER.size)[0]) if kind == _ERROR else 0
