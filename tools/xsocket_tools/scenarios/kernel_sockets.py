"""The system calls of the target `kernel`: Linux's own, on sockets that belong to a host of a lab."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from xsocket_tools.scenarios import tcpinfo
from xsocket_tools.scenarios.target import Address, Message, Sockets, os_error

if TYPE_CHECKING:
    from xsocket_netns import Host

_Socket = socket.socket
"""By a name that the method `socket` does not hide."""

_libc: Final = ctypes.CDLL(None, use_errno=True)
_UNSPECIFIED: Final = bytes(16)
"""struct sockaddr of the family AF_UNSPEC, which is 0."""
_LARGEST_OPTION: Final = 1024
"""What `socket.getsockopt` takes."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_INT: Final = struct.Struct("i")
_EPOLL_CTL_ADD: Final = 1  # sys/epoll.h
_EPOLL_CTL_DEL: Final = 2
_EPOLL_CTL_MOD: Final = 3
_ALWAYS_POLLED: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL


class KernelSockets(Sockets):
    """Sockets in *host*, used by one thread at a time; `wake` and `close_all` may come from another.

    Descriptors are this process's. Python's socket objects never wait by themselves here: they have no
    timeout, so O_NONBLOCK decides.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._sockets: dict[int, _Socket] = {}
        self._epolls: dict[int, select.epoll] = {}
        self._data: dict[tuple[int, int], int] = {}
        self._waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def wake(self) -> None:
        """Let whatever waits in a call here return; what it returns is of no use any more."""
        os.eventfd_write(self._waker, 1)
        for made in tuple(self._sockets.values()):
            with contextlib.suppress(OSError):  # ENOTCONN
                made.shutdown(socket.SHUT_RDWR)
        for epoll in tuple(self._epolls.values()):
            with contextlib.suppress(OSError, ValueError):  # it is in there already; it is closed
                epoll.register(self._waker, select.EPOLLIN)

    def close_all(self) -> None:
        """Close what is open, with resets and without waiting."""
        for made in self._sockets.values():
            with contextlib.suppress(OSError):
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            with contextlib.suppress(OSError):
                made.close()
        for epoll in self._epolls.values():
            epoll.close()
        self._sockets.clear()
        self._epolls.clear()
        os.close(self._waker)

    def socket(self, family: int, kind: int, protocol: int) -> int:
        """See `Sockets.socket`."""
        with self._host.enter():
            return self._kept(socket.socket(family, kind, protocol))

    def bind(self, fd: int, address: Address) -> None:
        """See `Sockets.bind`."""
        made = self._socket(fd)
        made.bind(_for_family(made.family, address))

    def listen(self, fd: int, backlog: int) -> None:
        """See `Sockets.listen`."""
        self._socket(fd).listen(backlog)

    def accept(self, fd: int, flags: int = 0) -> int:
        """See `Sockets.accept`."""
        result = _libc.accept4(ctypes.c_int(fd), None, None, ctypes.c_int(flags | socket.SOCK_CLOEXEC))
        return self._kept(socket.socket(fileno=_checked(result)))

    def connect(self, fd: int, address: Address | None) -> None:
        """See `Sockets.connect`."""
        made = self._socket(fd)
        if address is not None:
            made.connect(_for_family(made.family, address))
        else:
            _checked(_libc.connect(ctypes.c_int(fd), ctypes.c_char_p(_UNSPECIFIED), len(_UNSPECIFIED)))

    def send(self, fd: int, data: bytes, flags: int = 0, to: Address | None = None) -> int:
        """See `Sockets.send`."""
        made = self._socket(fd)
        if to is None:
            return made.send(data, flags)
        return made.sendto(data, flags, _for_family(made.family, to))

    def sendmsg(
        self,
        fd: int,
        data: bytes,
        ancillary: Sequence[tuple[int, int, bytes]],
        flags: int = 0,
        to: Address | None = None,
    ) -> int:
        """See `Sockets.sendmsg`."""
        made = self._socket(fd)
        where = None if to is None else _for_family(made.family, to)
        return made.sendmsg([data], ancillary, flags, where)

    def recv(self, fd: int, size: int, flags: int = 0) -> bytes:
        """See `Sockets.recv`."""
        return self._socket(fd).recvmsg(size, 0, flags)[0]  # Python's recv makes no call for no octets

    def recvmsg(self, fd: int, size: int, control_size: int, flags: int = 0) -> Message:
        """See `Sockets.recvmsg`."""
        data, ancillary, came, _ = self._socket(fd).recvmsg(size, control_size, flags)
        return Message(data, tuple(ancillary), came)

    def shutdown(self, fd: int, how: int) -> None:
        """See `Sockets.shutdown`."""
        self._socket(fd).shutdown(how)

    def close(self, fd: int) -> None:
        """See `Sockets.close`."""
        epoll = self._epolls.pop(fd, None)
        if epoll is not None:
            epoll.close()
            return
        made = self._socket(fd)
        del self._sockets[fd]
        made.close()

    def fcntl(self, fd: int, command: int, argument: int) -> int:
        """See `Sockets.fcntl`."""
        return fcntl.fcntl(self._descriptor(fd), command, argument)

    def ioctl(self, fd: int, request: int) -> int:
        """See `Sockets.ioctl`."""
        (value,) = _INT.unpack(fcntl.ioctl(self._descriptor(fd), request, bytes(_INT.size)))
        return int(value)

    def getsockopt(self, fd: int, level: int, name: int, size: int) -> bytes:
        """See `Sockets.getsockopt`; Python gives 1024 octets at most."""
        return self._socket(fd).getsockopt(level, name, min(max(size, 1), _LARGEST_OPTION))[:size]

    def setsockopt(self, fd: int, level: int, name: int, value: bytes) -> None:
        """See `Sockets.setsockopt`."""
        self._socket(fd).setsockopt(level, name, value)

    def poll(self, entries: Sequence[tuple[int, int]], timeout_ms: int) -> list[int]:
        """See `Sockets.poll`."""
        poll = select.poll()
        wanted: dict[int, int] = {self._waker: select.POLLIN}
        for fd, events in entries:
            if fd >= 0:
                wanted[fd] = wanted.get(fd, 0) | events
        for fd, events in wanted.items():
            poll.register(fd, events)
        there = dict(poll.poll(timeout_ms))
        return [there.get(fd, 0) & (events | _ALWAYS_POLLED) for fd, events in entries]

    def epoll_create(self) -> int:
        """See `Sockets.epoll_create`."""
        epoll = select.epoll()
        self._epolls[epoll.fileno()] = epoll
        return epoll.fileno()

    def epoll_ctl(self, epfd: int, operation: int, fd: int, events: int, data: int) -> None:
        """See `Sockets.epoll_ctl`."""
        epoll = self._epoll(epfd)
        if operation == _EPOLL_CTL_ADD:
            epoll.register(fd, events)
        elif operation == _EPOLL_CTL_MOD:
            epoll.modify(fd, events)
        elif operation == _EPOLL_CTL_DEL:
            epoll.unregister(fd)
        else:
            raise os_error(errno.EINVAL)
        self._data[epfd, fd] = data

    def epoll_wait(self, epfd: int, most: int, timeout_ms: int) -> list[tuple[int, int]]:
        """See `Sockets.epoll_wait`."""
        epoll = self._epoll(epfd)
        if most <= 0:
            raise os_error(errno.EINVAL)
        there = epoll.poll(-1 if timeout_ms < 0 else timeout_ms / 1000, most)
        return [(events, self._data[epfd, fd]) for fd, events in there if fd != self._waker]

    def tcp_info(self, fd: int) -> Mapping[str, int]:
        """See `Sockets.tcp_info`."""
        return tcpinfo.parsed(self.getsockopt(fd, socket.IPPROTO_TCP, socket.TCP_INFO, _LARGEST_OPTION))

    def _kept(self, made: _Socket) -> int:
        self._sockets[made.fileno()] = made
        return made.fileno()

    def _socket(self, fd: int) -> _Socket:
        """Return the socket with a descriptor; raises as the kernel does for a descriptor that is none."""
        found = self._sockets.get(fd)
        if found is None:
            raise os_error(errno.ENOTSOCK if fd in self._epolls else errno.EBADF)
        return found

    def _descriptor(self, fd: int) -> int:
        if fd not in self._sockets and fd not in self._epolls:
            raise os_error(errno.EBADF)
        return fd

    def _epoll(self, epfd: int) -> select.epoll:
        found = self._epolls.get(epfd)
        if found is None:
            raise os_error(errno.EINVAL if epfd in self._sockets else errno.EBADF)
        return found


def _for_family(family: int, address: Address) -> Address:
    """Return *address* for a socket of *family*: an IPv4 one is mapped for IPv6 (RFC 4291 section 2.5.5.2).

    Raises:
        OSError: It is an IPv6 address, and the socket is of IPv4 (EAFNOSUPPORT).
    """
    host, port = address
    version = ip_address(host).version
    if family == socket.AF_INET6 and version == 4:
        return f"::ffff:{host}", port
    if family == socket.AF_INET and version == 6:
        raise os_error(errno.EAFNOSUPPORT)
    return address


def _checked(result: int) -> int:
    if result < 0:
        raise os_error(ctypes.get_errno())
    return result
