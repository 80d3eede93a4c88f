"""The file of a Unix socket: made with mode and group, in the place of a dead server's, and removed.

Nothing here touches what is not a socket, follows a link in its place, or takes a living server's.
"""

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from xsocket.errors import PoolSocketError

LONGEST_PATH: Final = 107
"""Octets of a Unix socket's path, without the zero at its end (unix(7))."""


class SocketFile:
    """A listening socket of type SOCK_SEQPACKET and the file that names it.

    Args:
        path: Where the file is to be.
        mode: Its permissions; whoever may write to it may connect.
        gid: Its group; that of the process without it.
        backlog: How many may wait to be accepted.

    Attributes:
        listener: The socket; it does not block.

    Raises:
        PoolSocketError: There is something else, or a living server, or it is not allowed.
    """

    def __init__(self, path: Path, *, mode: int, gid: int | None, backlog: int) -> None:
        self.path = path
        if not 0 < len(os.fsencode(path)) <= LONGEST_PATH or "\0" in str(path):
            raise PoolSocketError(f"{path} is no path of a socket: it has 1 to {LONGEST_PATH} octets")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        try:
            with _alone_in(path.parent):
                _remove_dead(path)
                self._make(mode, gid, backlog)
        except OSError as error:
            self.listener.close()
            raise PoolSocketError(f"no socket {path}: {error.strerror}") from error
        except BaseException:
            self.listener.close()
            raise

    def _make(self, mode: int, gid: int | None, backlog: int) -> None:
        os.fchmod(self.listener.fileno(), 0o600)  # from the first moment: the file gets it from here
        self.listener.bind(os.fspath(self.path))
        descriptor = os.open(self.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            made = os.fstat(descriptor)
            self._identity = made.st_dev, made.st_ino
            this = f"/proc/self/fd/{descriptor}"  # not by name, in the place of which there could be a link
            if gid is not None:
                os.chown(this, -1, gid)
            os.chmod(this, mode)  # noqa: PTH101
            self.listener.listen(backlog)
        except BaseException:
            self.path.unlink()
            raise
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Close the socket and remove the file, if it is still the one that was made. Safe to call twice."""
        self.listener.close()
        with suppress(OSError, PoolSocketError), _alone_in(self.path.parent):
            found = self.path.lstat()
            is_ours = stat.S_ISSOCK(found.st_mode) and (found.st_dev, found.st_ino) == self._identity
            if is_ours and not _is_alive(self.path):  # numbers of inodes are given out again
                self.path.unlink()


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Keep other servers from looking at the same file meanwhile; the lock ends with its process."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PoolSocketError(f"another server is just being started in {directory}") from error
        yield
    finally:
        os.close(descriptor)


def _remove_dead(path: Path) -> None:
    """Remove a socket on which nobody listens.

    Raises:
        PoolSocketError: Somebody does, or it is no socket.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise PoolSocketError(f"{path} is there, and is no socket")
    if _is_alive(path):
        raise PoolSocketError(f"another server listens on {path}")
    path.unlink()


def _is_alive(path: Path) -> bool:
    """Whether a connection would be taken, or could not be made for another reason than a dead server."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return False
        except OSError:  # its backlog is full, it is of another type, or it is not ours to ask
            return True
        return True
