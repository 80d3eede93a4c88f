"""Captures from a lab that is running: a packet socket in one of its hosts."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Final

from xsocket_netns import registry, stamps
from xsocket_netns.entry import host_namespace
from xsocket_tools.scenarios.conversations import Captured, RecordingError

_EVERYTHING: Final = 3  # linux/if_ether.h: ETH_P_ALL
_OUTGOING: Final = 4  # linux/if_packet.h: PACKET_OUTGOING
_IP: Final = (0x0800, 0x86DD)
_LONGEST: Final = 1 << 16
_BUFFER_OCTETS: Final = 1 << 23


class LiveCapture:
    """What goes through a host's interfaces, from now on. A context manager.

    Args:
        lab: The lab's name.
        host: The host's.
        interface: The interface to listen at; every one of the host if None.

    Raises:
        LabError: There is no such lab or host, or this process may not enter it.
        RecordingError: There is no such interface.
    """

    def __init__(self, lab: str, host: str, interface: str | None = None) -> None:
        record = registry.LabRecord.load(lab)
        with host_namespace(record, host) as namespace:
            self._socket = namespace.run(stamps.stamped, lambda: _packet_socket(interface))
        self._found: list[Captured] = []

    def __enter__(self) -> LiveCapture:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def listen(self, duration_s: float | None = None) -> None:
        """Take packets for a time, or until something such as Ctrl-C raises."""
        deadline = None if duration_s is None else time.monotonic() + duration_s
        while deadline is None or (left_s := deadline - time.monotonic()) > 0:
            self._socket.settimeout(None if deadline is None else left_s)
            try:
                self._take()
            except TimeoutError:
                return

    def packets(self) -> list[Captured]:
        """Return the IP packets that have come until now, those that were not taken yet included."""
        now_us = time.time_ns() // 1000
        self._socket.settimeout(0)
        with suppress(BlockingIOError):
            while not self._found or self._found[-1].at_us <= now_us:
                self._take()
        return self._found

    def _take(self) -> None:
        octets, ancillary, _, address = self._socket.recvmsg(_LONGEST, stamps.CONTROL_OCTETS)
        _, protocol, kind, *_ = address
        if protocol in _IP:
            self._found.append(Captured(stamps.stamp_ns(ancillary) // 1000, octets, kind == _OUTGOING))


def _packet_socket(interface: str | None) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERYTHING))
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
        if interface is not None:
            made.bind((interface, _EVERYTHING))
    except OSError as error:
        made.close()
        raise RecordingError(
            f"cannot capture on {interface}: {error.strerror}",
            remedy="`xsocket lab list --json` has the interfaces.",
        ) from error
    return made
