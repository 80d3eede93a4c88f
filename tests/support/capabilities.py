"""A thread without privileges, in a process that has them."""

import ctypes
import os
import struct
from collections.abc import Collection
from typing import Final

CAP_NET_RAW: Final = 13  # linux/capability.h
_LINUX_CAPABILITY_VERSION_3: Final = 0x2008_0522


def drop_capabilities(keep: Collection[int] = ()) -> None:
    """Give up the capabilities of the calling thread but for *keep*; for good, and for threads it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = ctypes.create_string_buffer(struct.pack("Ii", _LINUX_CAPABILITY_VERSION_3, 0))
    kept = sum(1 << bit for bit in keep)
    low, high = kept & 0xFFFF_FFFF, kept >> 32
    data = ctypes.create_string_buffer(struct.pack("6I", low, low, 0, high, high, 0))
    if libc.capset(header, data):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
