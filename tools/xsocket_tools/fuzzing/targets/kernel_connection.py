"""`KernelConnection`: a socket of Linux, as the user of a target has it in hand."""

from __future__ import annotations

import socket
import sys
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket_tools.fuzzing.targets.kernel_rules import FINISH_ON_CLOSE
from xsocket_tools.sockdiag import SockDiag

_SO_COOKIE: Final = 57  # asm-generic/socket.h


class KernelConnection:
    """A socket in its owner's hands; obeys `calls.Held`.

    Args:
        made: It is reset when it is closed, unless told otherwise, and does not wait.
        four_tuple: Its own.
        diag: Resets it after its owner has closed it.
    """

    def __init__(self, made: socket.socket, four_tuple: FourTuple, diag: SockDiag) -> None:
        self._socket = made
        self._diag = diag
        self._cookie: int | None = None
        self.four_tuple = four_tuple
        self.send = made.send
        self.recv = made.recv
        self.shutdown = made.shutdown

    @property
    def is_alive(self) -> bool:
        """Whether it is open here, and a connection."""
        try:
            self._socket.getpeername()
        except OSError:  # EBADF, or ENOTCONN
            return False
        return True

    def close(self) -> None:
        """Let go of it: what was sent goes out, then FIN. Closing twice is harmless."""
        if self._socket.fileno() >= 0:
            self._cookie = int.from_bytes(
                self._socket.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder
            )
            self._socket.setsockopt(*FINISH_ON_CLOSE)
            self._socket.close()

    def abort(self) -> None:
        """Reset it; what its owner has closed before, too, but no later connection with its 4-tuple."""
        if self._socket.fileno() < 0 and self._cookie is not None:
            self._diag.abort([self.four_tuple], self._cookie)
        self._socket.close()

    def drop(self) -> None:
        """Close what is open, with a reset if it takes one."""
        self._socket.close()
