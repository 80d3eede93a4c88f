"""Ending a TCP socket that other processes hold, too: closing a copy of it would not."""

import ctypes
import os
import socket
from contextlib import suppress
from typing import Final

_SOCKADDR_OCTETS: Final = 16
_CONNECT: Final = ctypes.PyDLL(None, use_errno=True).connect


def disconnect(made: socket.socket) -> None:
    """Do what connect(2) does for AF_UNSPEC, which Python's sockets cannot name.

    All copies of *made* are unconnected then. Its peer is reset, unless it is in repair mode.

    Raises:
        OSError: It has no connection.
    """
    nobody = bytes(_SOCKADDR_OCTETS)
    if _CONNECT(made.fileno(), nobody, len(nobody)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def reset(made: socket.socket) -> None:
    """Reset the connection of *made*, if it has one, and close it."""
    with suppress(OSError):
        disconnect(made)
    made.close()
