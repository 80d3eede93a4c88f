"""The system calls that labs and tools need and Python lacks, through libc.

`os.setns` and `os.unshare` exist from Python 3.12 only, mount(2) in no version, and `select.poll` counts in
milliseconds, so all go one way. Each raises a plain `OSError`; what a refusal means is known to the caller.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000

MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000
MS_SHARED = 0x10_0000
MNT_DETACH = 2

_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432  # asm-generic/unistd.h
_CLOSE_ON_EXEC = 1
_CREATE = 6
"""FSCONFIG_CMD_CREATE (linux/mount.h)."""


class _PollEntry(ctypes.Structure):
    """struct pollfd (poll(2))."""

    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


class _Timespec(ctypes.Structure):
    """struct timespec (clock_gettime(2))."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Give the calling thread new namespaces (the system call of that name)."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(descriptor: int, flags: int) -> None:
    """Move the calling thread into the namespace behind *descriptor* (the system call of that name)."""
    _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(flags)), "setns")


def mount(source: str, target: str, kind: str = "none", flags: int = 0, options: str | None = None) -> None:
    """Attach *source* to *target* (the system call of that name)."""
    data = None if options is None else ctypes.c_char_p(options.encode())
    result = _libc.mount(
        ctypes.c_char_p(os.fsencode(source)),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_char_p(kind.encode()),
        ctypes.c_ulong(flags),
        data,
    )
    _check(result, target)


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """Take the topmost mount off *target*, as umount2(2) does."""
    _check(_libc.umount2(ctypes.c_char_p(os.fsencode(target)), ctypes.c_int(flags)), target)


def detached_mount(kind: str) -> int:
    """Mount a file system nowhere, and return a path descriptor of its root; it is gone when that is closed.

    Whoever uses it opens what lies below it with ``dir_fd``. Nobody else sees it, and a killed process leaves
    none behind. It takes Linux 5.2.
    """
    close_on_exec = ctypes.c_uint(_CLOSE_ON_EXEC)
    context = _system_call(_FSOPEN, kind, ctypes.c_char_p(kind.encode()), close_on_exec)
    try:
        created = ctypes.c_uint(_CREATE), None, None, ctypes.c_int(0)
        _system_call(_FSCONFIG, kind, ctypes.c_int(context), *created)
        return _system_call(_FSMOUNT, kind, ctypes.c_int(context), close_on_exec, ctypes.c_uint(0))
    finally:
        os.close(context)


def wait_readable(descriptor: int, timeout_s: float) -> bool:
    """Wait until *descriptor* has something to read, to the microsecond; return whether it has (ppoll(2)).

    Returns early, with False, when a signal comes.
    """
    entry = _PollEntry(descriptor, select.POLLIN, 0)
    whole, part = divmod(max(0, round(timeout_s * 1_000_000_000)), 1_000_000_000)
    result = _libc.ppoll(ctypes.byref(entry), ctypes.c_ulong(1), ctypes.byref(_Timespec(whole, part)), None)
    if result < 0 and ctypes.get_errno() != errno.EINTR:
        _check(result, "ppoll")
    return bool(result > 0)


def _system_call(number: int, subject: str, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    _check(min(result, 0), subject)
    return result


def _check(result: int, subject: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), subject)
