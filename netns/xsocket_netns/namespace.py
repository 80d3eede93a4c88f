"""One network namespace: made, entered by any thread, kept under a name.

A namespace lives as long as a descriptor, a thread or a mount refers to it. Enter it by descriptor only:
pyroute2's `pushns` and `popns` remember the *main* thread's namespace and go wrong between threads.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

from xsocket_netns import kernel, threads
from xsocket_netns.errors import NamespaceError

P = ParamSpec("P")
T = TypeVar("T")

# A thread's own namespace; /proc/self/ns/net would be the main thread's.
_CURRENT = "/proc/thread-self/ns/net"


class Namespace:
    """A network namespace held by a file descriptor.

    Any thread may enter it, several at once. `close` lets go of the descriptor; the namespace goes with
    whatever held it last. Usable as a context manager.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def create(cls) -> Namespace:
        """Make a namespace that nothing but the returned object holds.

        Raises:
            NamespaceError: The kernel refused (CAP_SYS_ADMIN is needed).
        """
        try:
            with threads.uninterrupted():
                return cls(threads.call(_unshare_and_open))
        except OSError as error:
            raise NamespaceError(f"cannot make a network namespace: {error.strerror}") from error

    @classmethod
    def open(cls, path: Path) -> Namespace:
        """Take hold of the namespace that is pinned at *path*."""
        try:
            return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise NamespaceError(f"cannot open the namespace {path}: {error.strerror}") from error

    def fileno(self) -> int:
        """Return the descriptor; it stays this object's."""
        return self._descriptor

    def close(self) -> None:
        """Let go of the namespace. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Move the calling thread in, and back at the end. May be nested: each level knows its way back."""
        back = os.open(_CURRENT, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._enter_for_good()
            try:
                yield
            finally:
                kernel.setns(back, kernel.CLONE_NEWNET)
        finally:
            os.close(back)

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function* in a new thread inside the namespace; return or raise what it returns or raises."""

        def inside() -> T:
            self._enter_for_good()
            return function(*args, **kwargs)

        return threads.call(inside)

    def pin(self, path: Path) -> None:
        """Keep the namespace under *path* until `unpin`, whoever ends (the way of `ip netns`).

        Raises:
            NamespaceError: *path* exists, or mounting is forbidden.
        """
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o444))
            kernel.mount(f"/proc/self/fd/{self._descriptor}", str(path), flags=kernel.MS_BIND)
        except FileExistsError as error:
            raise NamespaceError(f"{path} exists", remedy="Run `xsocket lab clean`.") from error
        except OSError as error:
            path.unlink(missing_ok=True)
            raise NamespaceError(f"cannot keep a namespace at {path}: {error.strerror}") from error

    def _enter_for_good(self) -> None:
        try:
            kernel.setns(self._descriptor, kernel.CLONE_NEWNET)
        except OSError as error:
            raise NamespaceError(f"cannot enter the network namespace: {error.strerror}") from error


def unpin(path: Path) -> None:
    """Remove the name *path* from a namespace, if there is one. May race with another remover."""
    with contextlib.suppress(OSError):  # EINVAL: pinned in a mount namespace that is gone, or not pinned yet
        kernel.umount(str(path))
    path.unlink(missing_ok=True)


def _unshare_and_open() -> int:
    kernel.unshare(kernel.CLONE_NEWNET)
    return os.open(_CURRENT, os.O_RDONLY | os.O_CLOEXEC)
