"""A bell that wakes the engine's loop: an eventfd, rung by any thread."""

import ctypes
import os
import weakref
from contextlib import suppress

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.eventfd_write.argtypes = (ctypes.c_int, ctypes.c_uint64)


class Bell:
    """Something to sleep on beside a Link. Once rung it stays so until `hush`."""

    def __init__(self) -> None:
        self._number = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._number)

    def fileno(self) -> int:
        """Return the descriptor that polls readable while the bell is rung."""
        return self._number

    def ring(self) -> None:
        """Ring; takes no lock, and does not let go of the interpreter.

        `os.eventfd_write` does, and so hands it to the loop that has just been woken: a consumer with ten
        connections to close would see ten turns of the loop, and cost it a sixth of its speed.
        """
        _libc.eventfd_write(self._number, 1)

    def hush(self) -> None:
        """Forget that it was rung."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._number)
