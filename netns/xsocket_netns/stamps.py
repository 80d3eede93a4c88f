"""The kernel's time of each packet that a socket receives: when it came or was sent, not when it was read.

Linux begins to stamp packets when the first socket asks for it, and it does so later, in a thread of its own
(net/core/dev.c, net_enable_timestamp): on a busy machine 11 ms later. A packet from before that has the time
at which it is *read*, without a word about it. `stamped` waits until that is over.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable
from typing import Final

_SO_TIMESTAMPNS_NEW: Final = 64  # asm-generic/socket.h: 64 bits for the seconds on every machine
_TIMESPEC: Final = struct.Struct("=qq")
CONTROL_OCTETS: Final = socket.CMSG_SPACE(_TIMESPEC.size)
"""What `socket.recvmsg` has to have room for, besides the packet."""
_PATIENCE_S: Final = 1.0
_LOOPBACK: Final = "127.0.0.1"


def stamped(make: Callable[[], socket.socket]) -> socket.socket:
    """Return the socket that *make* makes; each packet that it receives is stamped, from the first on.

    Call it in the socket's namespace. Something is sent there on the loopback interface beforehand, to see
    whether packets are stamped already; if that is down nobody waits. Nor does anybody wait for longer than a
    second: a stamp that is late is better than none.

    Raises:
        OSError: Whatever *make* raises.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        _ask(probe)
        probe.settimeout(_PATIENCE_S)
        deadline = time.monotonic() + _PATIENCE_S
        with contextlib.suppress(OSError):  # no loopback
            probe.bind((_LOOPBACK, 0))
            while not _is_stamped(probe) and time.monotonic() < deadline:
                pass
        made = make()
        _ask(made)
        return made


def stamp_ns(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Return the stamp of a packet, nanoseconds since 1970, from what `socket.recvmsg` returned beside it."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS_NEW):
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return time.time_ns()


def _ask(receiver: socket.socket) -> None:
    receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS_NEW, 1)


def _is_stamped(probe: socket.socket) -> bool:
    """Return whether a datagram to oneself is stamped when it is sent, rather than when it is read."""
    probe.sendto(b"stamp", probe.getsockname())
    sent_ns = time.time_ns()
    _, ancillary, _, _ = probe.recvmsg(8, CONTROL_OCTETS)
    return stamp_ns(ancillary) <= sent_ns
