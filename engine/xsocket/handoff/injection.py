"""`Injector`: gives the kernel segments of a peer that it missed, as if they had just come.

They go out of a raw socket, over the loopback interface and up again: the packet socket of the engine does
not see them. The guard judges them as it does those of the peer, by their mark, so that one for a socket that
has just ended gets no reset.
"""

import socket
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.handoff.guard import MARK
from xsocket.segment import FIN, Segment
from xsocket.seqnum import add
from xsocket.wire.codec import encode_segment

_SO_MARK: Final = 36  # asm-generic/socket.h
_MOST: Final = 32_768
"""Octets of text in one packet; the loopback interface takes 65,536 with all headers."""


class Injector:
    """Raw sockets of the network namespace in which this is made. One thread at a time.

    Raises:
        OSError: EPERM: they take CAP_NET_RAW, and CAP_NET_ADMIN for the mark.
    """

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        try:
            for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
                kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
                self._sockets[version] = socket.socket(family, kind, socket.IPPROTO_RAW)
                self._sockets[version].setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK)
        except OSError:
            self.close()
            raise
        self.sent = self.failures = 0

    def inject(self, four_tuple: FourTuple, segment: Segment) -> None:
        """Let *segment* come from the remote end of *four_tuple*; what the kernel refuses is counted."""
        destination = (four_tuple.local_address, 0)
        for piece in _pieces(segment):
            packet = encode_segment(b"", four_tuple.reversed, piece)
            try:
                self._sockets[four_tuple.family].sendto(packet, destination)
            except OSError:
                self.failures += 1
            else:
                self.sent += 1

    def close(self) -> None:
        """Close its descriptors; safe to call twice."""
        for each in self._sockets.values():
            each.close()


def _pieces(segment: Segment) -> list[Segment]:
    """Cut what a local kernel has sent uncut to what fits a packet."""
    text = segment.payload
    if len(text) <= _MOST:
        return [segment]
    starts = range(0, len(text), _MOST)
    pieces = [
        segment._replace(seq=add(segment.seq, at), payload=text[at : at + _MOST], flags=segment.flags & ~FIN)
        for at in starts
    ]
    pieces[-1] = pieces[-1]._replace(flags=segment.flags)
    return pieces
