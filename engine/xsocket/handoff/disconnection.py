"""Ending a TCP socket that others hold, too: closing a copy of it would not."""

import ctypes
import socket
from typing import Final

_SOCKADDR_OCTETS: Final = 16


def reset(made: socket.socket) -> None:
    """Reset the connection of *made* and close it; other copies of it are unconnected then."""
    # What connect(2) does for AF_UNSPEC, which Python's sockets cannot name. It fails where there is no
    # connection any more.
    nobody = bytes(_SOCKADDR_OCTETS)
    ctypes.CDLL(None).connect(made.fileno(), nobody, len(nobody))
    made.close()
