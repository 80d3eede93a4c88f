"""What the kernel's routing tables say of an address (rtnetlink(7))."""

import socket
from struct import Struct
from typing import Final

from xsocket.wire.address import address_octets

_NETLINK_ROUTE: Final = 0  # linux/netlink.h, here and below
_HEADER: Final = Struct("=IHHII")  # struct nlmsghdr
_REQUEST: Final = 1
_NEW_ROUTE: Final = 24  # linux/rtnetlink.h, here and below
_GET_ROUTE: Final = 26
_ROUTE: Final = Struct("=BBBBBBBBI")  # struct rtmsg
_TYPE_AT: Final = _HEADER.size + 7
_LOCAL: Final = 2
_ATTRIBUTE: Final = Struct("=HH")  # struct rtattr
_DESTINATION: Final = 1
_ANSWER_OCTETS: Final = 8192


def is_local(address: str) -> bool:
    """Return whether packets to *address* stay in the calling thread's network namespace: it is the kernel's.

    To bind a socket to it says less: with ip_nonlocal_bind any address can be bound to. So does the source of
    what is sent to it: that is another if the address is not the first of its network.

    Raises:
        OSError: There is no netlink socket to be had.
    """
    octets = address_octets(address)
    family = socket.AF_INET if len(octets) == 4 else socket.AF_INET6
    question = _ROUTE.pack(family, 8 * len(octets), 0, 0, 0, 0, 0, 0, 0)
    question += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(octets), _DESTINATION) + octets
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, _NETLINK_ROUTE) as asking:
        asking.send(_HEADER.pack(_HEADER.size + len(question), _GET_ROUTE, _REQUEST, 0, 0) + question)
        answer = asking.recv(_ANSWER_OCTETS)
    return _HEADER.unpack_from(answer)[1] == _NEW_ROUTE and answer[_TYPE_AT] == _LOCAL
