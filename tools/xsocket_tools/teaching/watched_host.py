"""One of the two hosts of a watched path: frames go there one at a time, and its kernel is asked."""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack
from itertools import count
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.wire.link import Frame
from xsocket.wire.packet_link import PacketLink
from xsocket_netns import Host
from xsocket_tools.path.errors import PathBrokenError
from xsocket_tools.sockdiag import SockDiag, Told
from xsocket_tools.teaching.orders import PATIENCE_S

_MARKER: Final = 0x88B5
"""IEEE 802 gives this EtherType to experiments; no host answers it."""
_INTERFACE: Final = "eth0"


class WatchedHost:
    """One of the two hosts, seen from the path.

    Args:
        stack: Closes what is opened here.
        middle: Where the path is.
        port: The interface of the middle that leads to the host.
        host: The host; its interface is ``eth0``.
    """

    def __init__(self, stack: ExitStack, middle: Host, port: str, host: Host) -> None:
        self.mac = bytes.fromhex(host.interface(_INTERFACE).mac.replace(":", ""))
        self._link = middle.run(PacketLink, port, None)
        stack.callback(self._link.close)
        self._diag = SockDiag(host.namespace)
        stack.callback(self._diag.close)
        self._echo = host.run(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_MARKER))
        stack.callback(self._echo.close)
        self._echo.bind((_INTERFACE, _MARKER))
        self._echo.settimeout(PATIENCE_S)
        self._numbers = count()
        self._poll = select.poll()
        self._poll.register(self._link.fileno(), select.POLLIN)

    def fileno(self) -> int:
        """Return a descriptor that is readable while frames are waiting."""
        return self._link.fileno()

    def ask(self, four_tuple: FourTuple) -> Told | None:
        """Ask the host's kernel."""
        return self._diag.told(four_tuple)

    def end_connections(self) -> None:
        """End those of the host: one that waits for an acknowledgment would keep the namespace."""
        self._diag.destroy()

    def take(self) -> list[Frame]:
        """Return the frames that are waiting."""
        return self._link.receive()

    def hand_over(self, frame: bytes) -> None:
        """Give the host a frame, and return when its kernel is through with it."""
        marker = self._marker()
        self._link.send([frame, marker])
        try:
            while self._echo.recv(2048) != marker:
                pass
        except TimeoutError:
            raise PathBrokenError("a host's kernel takes no frames any more") from None

    def all_sent(self) -> list[Frame]:
        """Return all frames that the host has sent by now."""
        marker, frames = self._marker(), list[Frame]()
        self._echo.send(marker)
        while True:
            for frame in (found := self._link.receive()):
                if frame.data == marker:
                    return frames + [each for each in found[found.index(frame) :] if each is not frame]
                frames.append(frame)
            if not self._poll.poll(PATIENCE_S * 1000):
                raise PathBrokenError("a host's kernel sends no frames any more")

    def _marker(self) -> bytes:
        ethernet = self.mac + self.mac + _MARKER.to_bytes(2)
        return ethernet + next(self._numbers).to_bytes(46)
