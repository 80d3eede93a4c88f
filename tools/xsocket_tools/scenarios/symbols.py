"""Names of constants that scripts use, and their numbers on Linux, whatever this machine is."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
from typing import Final

_LINUX: Final = {
    # Sockets, see socket(7)
    "SOL_IP": 0, "SOL_TCP": 6, "SOL_UDP": 17, "SOL_IPV6": 41, "SOL_SOCKET": 1, "IPPROTO_IP": 0,
    "IPPROTO_TCP": 6,
    "IPPROTO_UDP": 17, "IPPROTO_IPV6": 41, "IPPROTO_MPTCP": 262, "IPPROTO_ICMP": 1,
    "AF_UNSPEC": 0, "AF_INET": 2, "AF_INET6": 10, "PF_INET": 2, "PF_INET6": 10,
    "SOCK_STREAM": 1, "SOCK_DGRAM": 2, "SOCK_RAW": 3, "SOCK_NONBLOCK": 0x800, "SOCK_CLOEXEC": 0x80000,
    "SHUT_RD": 0, "SHUT_WR": 1, "SHUT_RDWR": 2,
    "SO_DEBUG": 1, "SO_REUSEADDR": 2, "SO_TYPE": 3, "SO_ERROR": 4, "SO_DONTROUTE": 5, "SO_BROADCAST": 6,
    "SO_SNDBUF": 7, "SO_RCVBUF": 8, "SO_KEEPALIVE": 9, "SO_OOBINLINE": 10, "SO_PRIORITY": 12,
    "SO_LINGER": 13,
    "SO_REUSEPORT": 15, "SO_RCVLOWAT": 18, "SO_SNDLOWAT": 19, "SO_RCVTIMEO": 20, "SO_SNDTIMEO": 21,
    "SO_ACCEPTCONN": 30, "SO_SNDBUFFORCE": 32, "SO_RCVBUFFORCE": 33, "SO_TIMESTAMP": 29,
    "SO_TIMESTAMPNS": 35,
    "SO_MARK": 36, "SO_TIMESTAMPING": 37, "SO_PROTOCOL": 38, "SO_DOMAIN": 39, "SO_BUSY_POLL": 46,
    "SO_MAX_PACING_RATE": 47, "SO_INCOMING_CPU": 49, "SO_ZEROCOPY": 60, "SO_TXTIME": 61,
    "SCM_TIMESTAMPING": 37,
    # See ip(7) and ipv6(7)
    "IP_TOS": 1, "IP_TTL": 2, "IP_RECVTTL": 12, "IP_RECVTOS": 13, "IP_MTU_DISCOVER": 10,
    "IP_RECVERR": 11, "IP_MTU": 14,
    "IP_FREEBIND": 15, "IP_TRANSPARENT": 19, "IP_MINTTL": 21, "IP_BIND_ADDRESS_NO_PORT": 24,
    "IP_PMTUDISC_DONT": 0, "IP_PMTUDISC_WANT": 1, "IP_PMTUDISC_DO": 2, "IP_PMTUDISC_PROBE": 3,
    "IPV6_MTU_DISCOVER": 23, "IPV6_MTU": 24, "IPV6_RECVERR": 25, "IPV6_V6ONLY": 26, "IPV6_TCLASS": 67,
    "IPV6_UNICAST_HOPS": 16, "IPV6_AUTOFLOWLABEL": 70, "IPV6_FLOWINFO_SEND": 33, "IPV6_FLOWLABEL_MGR": 32,
    # See tcp(7)
    "TCP_NODELAY": 1, "TCP_MAXSEG": 2, "TCP_CORK": 3, "TCP_KEEPIDLE": 4, "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 6,
    "TCP_SYNCNT": 7, "TCP_LINGER2": 8, "TCP_DEFER_ACCEPT": 9, "TCP_WINDOW_CLAMP": 10, "TCP_INFO": 11,
    "TCP_QUICKACK": 12, "TCP_CONGESTION": 13, "TCP_MD5SIG": 14, "TCP_THIN_LINEAR_TIMEOUTS": 16,
    "TCP_THIN_DUPACK": 17,
    "TCP_USER_TIMEOUT": 18, "TCP_REPAIR": 19, "TCP_REPAIR_QUEUE": 20, "TCP_QUEUE_SEQ": 21,
    "TCP_REPAIR_OPTIONS": 22,
    "TCP_FASTOPEN": 23, "TCP_TIMESTAMP": 24, "TCP_NOTSENT_LOWAT": 25, "TCP_CC_INFO": 26, "TCP_SAVE_SYN": 27,
    "TCP_SAVED_SYN": 28, "TCP_FASTOPEN_CONNECT": 30, "TCP_ULP": 31, "TCP_FASTOPEN_KEY": 33,
    "TCP_FASTOPEN_NO_COOKIE": 34, "TCP_ZEROCOPY_RECEIVE": 35, "TCP_INQ": 36, "TCP_CM_INQ": 36,
    "TCP_TX_DELAY": 37,
    # flags of send and recv
    "MSG_OOB": 1, "MSG_PEEK": 2, "MSG_DONTROUTE": 4, "MSG_CTRUNC": 8, "MSG_TRUNC": 0x20,
    "MSG_DONTWAIT": 0x40,
    "MSG_EOR": 0x80, "MSG_WAITALL": 0x100, "MSG_ERRQUEUE": 0x2000, "MSG_NOSIGNAL": 0x4000,
    "MSG_MORE": 0x8000,
    "MSG_ZEROCOPY": 0x4000000, "MSG_FASTOPEN": 0x20000000,
    # fcntl, ioctl
    "F_GETFL": 3, "F_SETFL": 4, "O_RDONLY": 0, "O_WRONLY": 1, "O_RDWR": 2, "O_NONBLOCK": 0x800,
    "FIONREAD": 0x541B, "SIOCINQ": 0x541B, "SIOCOUTQ": 0x5411, "SIOCOUTQNSD": 0x894B,
    # poll, epoll
    "POLLIN": 1, "POLLPRI": 2, "POLLOUT": 4, "POLLERR": 8, "POLLHUP": 0x10, "POLLNVAL": 0x20,
    "POLLRDNORM": 0x40,
    "POLLRDBAND": 0x80, "POLLWRNORM": 0x100, "POLLWRBAND": 0x200, "POLLRDHUP": 0x2000,
    "EPOLLIN": 1, "EPOLLPRI": 2, "EPOLLOUT": 4, "EPOLLERR": 8, "EPOLLHUP": 0x10, "EPOLLRDNORM": 0x40,
    "EPOLLRDBAND": 0x80, "EPOLLWRNORM": 0x100, "EPOLLWRBAND": 0x200, "EPOLLRDHUP": 0x2000,
    "EPOLLET": 1 << 31,
    "EPOLLONESHOT": 1 << 30, "EPOLL_CTL_ADD": 1, "EPOLL_CTL_DEL": 2, "EPOLL_CTL_MOD": 3,
    # values of TCP_INFO, under the names that scripts use in code
    "TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5,
    "TCP_TIME_WAIT": 6, "TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10,
    "TCP_CLOSING": 11,
    "TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2, "TCP_CA_Recovery": 3, "TCP_CA_Loss": 4,
    "TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2, "TCPI_OPT_WSCALE": 4, "TCPI_OPT_ECN": 8,
    "TCPI_OPT_ECN_SEEN": 16,
    "TCPI_OPT_SYN_DATA": 32,
}  # fmt: skip
"""Linux's numbers, from its include/uapi headers; those of most architectures."""

_OPTION_PREFIXES: Final = {0: "IP_", 1: "SO_", 6: "TCP_", 41: "IPV6_"}
"""By level. The names of options stand before others with the same prefix."""
FOR_CODE: Final = {name: value for name, value in _LINUX.items() if name.startswith(("TCP_", "TCPI_"))}
"""What assertions may name beside the fields of TCP_INFO."""


def number(name: str) -> int | None:
    """Return the number of a constant, None if there is no such name."""
    if name in _LINUX:
        return _LINUX[name]
    for module in (socket, os, fcntl, select, errno):
        value = getattr(module, name, None)
        if isinstance(value, int) and name.isupper():
            return int(value)
    return None


def option_name(level: int, option: int) -> str:
    """Return the name of a socket's option, such as ``TCP_CORK``; its numbers if it has none here."""
    prefix = _OPTION_PREFIXES.get(level)
    named = (name for name, value in _LINUX.items() if prefix and name.startswith(prefix) and value == option)
    return next(named, f"level {level} option {option}")


def errno_name(code: int | None) -> str:
    """Return the name of an error number, such as ``EAGAIN``."""
    return errno.errorcode.get(code or 0, f"errno {code}")


def is_errno(name: str, code: int | None) -> bool:
    """Whether *name* is one of the names of an error number."""
    return getattr(errno, name, None) == code
