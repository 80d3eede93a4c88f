"""System calls of a script: their arguments, the call on the target, and whether it did what the script says.

A call's work is done through `Sockets`, so that every target makes the same call; here are the defaults for
``...``, the descriptors, and what is compared.
"""

from __future__ import annotations

import errno
import os
import socket as constants
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, NoReturn

from xsocket import FourTuple
from xsocket_tools.scenarios import symbols
from xsocket_tools.scenarios.errors import ScriptUsageError, UnsupportedError
from xsocket_tools.scenarios.outcome import Difference
from xsocket_tools.scenarios.script import (
    Apply,
    Array,
    Assign,
    Call,
    Dots,
    Either,
    Expression,
    Integer,
    Struct,
    Text,
    Word,
)
from xsocket_tools.scenarios.settings import FIRST_REMOTE_PORT, Settings
from xsocket_tools.scenarios.target import Address, Message, Returned, Sockets, os_error

_MAX_CONTROL: Final = 4096
_MOST_OCTETS: Final = 1 << 26
"""Of one call."""
_DOTS: Final = Dots()
_OPENS: Final = ("connect", "sendto", "sendmsg", "listen")
_MSG_FASTOPEN: Final = 0x20000000
_TIMEVAL_OPTIONS: Final = {(1, 20), (1, 21), (1, 66), (1, 67)}  # SO_RCVTIMEO, SO_SNDTIMEO, and the new ones


def _not_valid() -> NoReturn:
    raise os_error(errno.EINVAL)


class Begun(NamedTuple):
    """A call that is ready to be made.

    Attributes:
        work: Makes it.
        verdict: Compares what it returned with the script; an empty tuple if all is as it says.
        returns: Makes of what it gave what the call returns: of an option's value, success.
        opens: Whether what it returns is a descriptor, for which the script has a number of its own.
    """

    work: Callable[[], Any]
    verdict: Callable[[Returned], tuple[Difference, ...]]
    returns: Callable[[Returned], Returned] = lambda returned: returned
    opens: bool = False


class Calls:
    """The calls of one run: descriptors of the script, and those of the target.

    Args:
        sockets: The target's.
        settings: Of the run.

    Attributes:
        under_test: Descriptor on the target of the socket that code looks at; None before there is one.
    """

    def __init__(self, sockets: Sockets, settings: Settings) -> None:
        self._sockets = sockets
        self._settings = settings
        self._fds: dict[int, int] = {}
        self._opened: set[int] = set()
        self.under_test: int | None = None

    def begin(self, call: Call) -> Begun:
        """Return *call*, its arguments understood.

        Raises:
            UnsupportedError: There is no such call, or not with these arguments.
        """
        make = getattr(self, f"_do_{call.name}", None)
        if make is None:
            raise UnsupportedError(f"system call {call.name}")
        with _understood(call):
            begun = make(call)
        assert isinstance(begun, Begun)

        def verdict(returned: Returned) -> tuple[Difference, ...]:
            with _understood(call):
                return begun.verdict(returned)

        return begun._replace(verdict=verdict)

    def opens(self, call: Call) -> bool:
        """Whether *call* may go on to another connection; asked before each, for a socket opens but one."""
        if call.name not in _OPENS or not call.arguments:
            return False
        fd = self._fd(call.arguments[0])
        if call.name == "listen":
            return True
        if call.name == "connect":
            begins = self._address(call.arguments[1], self._remote) is not None
        else:
            begins = _MSG_FASTOPEN & self._int(call.arguments[2 if call.name == "sendmsg" else 3]) != 0
        if not begins:
            self._opened.discard(fd)
            return False
        is_new = fd not in self._opened
        self._opened.add(fd)
        return is_new

    def close_all(self) -> None:
        """Give up every descriptor that the script left."""
        for fd in list(self._fds.values()):
            try:
                self._sockets.close(fd)
            except OSError:
                continue
        self._fds.clear()

    # Arguments

    def _fd(self, expression: Expression) -> int:
        """Return the target's descriptor; one that no target has, where the script has none."""
        return self._fds.get(self._int(expression), -1)

    def _int(self, expression: Expression) -> int:
        match expression:
            case Integer(value):
                return value
            case Word(name):
                number = symbols.number(name)
                if number is None:
                    raise UnsupportedError(f"constant {name}")
                return number
            case Either(parts):
                value = 0
                for part in parts:
                    value |= self._int(part)
                return value
            case Apply("htons", (argument,)):
                return self._int(argument)
            case Array((only,)):
                return self._int(only)
            case _:
                raise ValueError("a number was expected")

    def _family(self, expression: Expression) -> int:
        if isinstance(expression, Dots):
            return int(constants.AF_INET if self._settings.ip_version == "ipv4" else constants.AF_INET6)
        return self._int(expression)

    def _address(self, expression: Expression, default: Address) -> Address | None:
        """Return a socket address; None for one of AF_UNSPEC."""
        if isinstance(expression, Dots):
            return default
        if expression == Word("AF_UNSPEC"):
            return None
        fields = _fields(expression)
        family = fields.get("sa_family", Word("AF_INET"))
        if family == Word("AF_UNSPEC"):
            return None
        port = self._int(fields.get("sin_port", Integer(0, "0")))
        host = fields.get("sin_addr") or fields.get("sin6_addr")
        match host:
            case Apply("inet_addr" | "inet6_addr", (Text(value),)):
                return value.decode(), port
            case Word("INADDR_ANY") | None:
                return default[0], port
            case _:
                raise ValueError('an address is inet_addr("...")')

    @property
    def _local(self) -> Address:
        return self._mapped(self._settings.local), self._settings.bind_port

    @property
    def _remote(self) -> Address:
        return self._mapped(self._settings.remote), self._settings.connect_port

    def _mapped(self, address: str) -> str:
        return f"::ffff:{address}" if self._settings.ip_version == "ipv4-mapped-ipv6" else address

    def _size(self, expression: Expression) -> int:
        """Return how many octets a call is about."""
        size = self._int(expression)
        if not 0 <= size <= _MOST_OCTETS:
            raise ValueError(f"{size} octets: 0 to {_MOST_OCTETS} are possible")
        return size

    def _data(self, buffer: Expression, length: Expression) -> bytes:
        """Return the text to send: the script's own, else letters."""
        count = self._size(length)
        if isinstance(buffer, Text):
            return buffer.value.ljust(count, b"\0")[:count]
        return (b"abcdefghijklmnopqrstuvwxyz" * (count // 26 + 1))[:count]

    # Outcomes

    def _begun(
        self, call: Call, work: Callable[[], Any], *, outputs: Callable[[Any], list[Difference]] | None = None
    ) -> Begun:
        """Return a call whose result is a number, or success, and whose outputs are compared by *outputs*."""

        def verdict(returned: Returned) -> tuple[Difference, ...]:
            found = self._result_differences(call, returned)
            if not found and outputs is not None and returned.error is None:
                found = outputs(returned.value)
            return tuple(found)

        return Begun(work, verdict)

    def _result_differences(self, call: Call, returned: Returned) -> list[Difference]:
        if isinstance(call.result, Dots):
            return []
        wanted = self._int(call.result)
        shown = result_text(returned)
        if returned.error is not None:
            name = symbols.errno_name(returned.error.errno)
            if wanted == -1 and (not call.errno or symbols.is_errno(call.errno, returned.error.errno)):
                return []
            if wanted == -1:
                return [Difference("errno", call.errno, name)]
            return [Difference("result", str(wanted), shown)]
        if call.errno or wanted != as_number(returned.value):
            expected = f"{wanted} {call.errno}".rstrip()
            return [Difference("result", expected, shown)]
        return []

    def _new_descriptor(self, call: Call, work: Callable[[], int], *, tested: bool = True) -> Begun:
        """Return a call whose result is a descriptor: the script's number stands for whatever it is."""

        def verdict(returned: Returned) -> tuple[Difference, ...]:
            wanted = self._int(call.result)
            if returned.error is None and wanted >= 0:
                self._fds[wanted] = returned.value
                if tested:
                    self.under_test = returned.value
                return ()
            return tuple(self._result_differences(call, returned))

        return Begun(work, verdict, opens=True)

    # The calls

    def _do_socket(self, call: Call) -> Begun:
        family, kind, protocol = call.arguments
        domain, type_, proto = self._family(family), self._int(kind), self._int(protocol)
        if type_ & 0xF != constants.SOCK_STREAM or proto not in (0, constants.IPPROTO_TCP):
            raise UnsupportedError(f"sockets other than of TCP (type {type_ & 0xF}, protocol {proto})")
        return self._new_descriptor(call, lambda: self._sockets.socket(domain, type_, proto))

    def _do_bind(self, call: Call) -> Begun:
        fd, address = self._fd(call.arguments[0]), self._address(call.arguments[1], self._local)
        if address is None:
            raise UnsupportedError("bind with AF_UNSPEC")
        return self._begun(call, lambda: self._sockets.bind(fd, address))

    def _do_listen(self, call: Call) -> Begun:
        fd, backlog = self._fd(call.arguments[0]), self._int(call.arguments[1])
        return self._begun(call, lambda: self._sockets.listen(fd, backlog))

    def _do_accept(self, call: Call) -> Begun:
        fd = self._fd(call.arguments[0])
        return self._new_descriptor(call, lambda: self._sockets.accept(fd))

    def _do_accept4(self, call: Call) -> Begun:
        fd, flags = self._fd(call.arguments[0]), self._int(call.arguments[3])
        return self._new_descriptor(call, lambda: self._sockets.accept(fd, flags))

    def _do_connect(self, call: Call) -> Begun:
        fd, address = self._fd(call.arguments[0]), self._address(call.arguments[1], self._remote)
        return self._begun(call, lambda: self._sockets.connect(fd, address))

    def _do_claim(self, call: Call) -> Begun:
        """Claim by local and remote end, an extension: dots for any."""
        local, remote = call.arguments
        if isinstance(local, Dots) and isinstance(remote, Dots):
            return self._new_descriptor(call, lambda: self._sockets.claim(None))
        settings = self._settings
        ends = (
            self._end(local, (settings.local, settings.bind_port)),
            self._end(remote, (settings.remote, FIRST_REMOTE_PORT)),
        )
        wanted = FourTuple(*ends[0], *ends[1])
        return self._new_descriptor(call, lambda: self._sockets.claim(wanted))

    def _end(self, expression: Expression, default: Address) -> Address:
        """Return one end of a 4-tuple: a port, or text such as ``192.0.2.1:80``."""
        if isinstance(expression, Text):
            host, _, port = expression.value.decode().rpartition(":")
            return host.strip("[]") or default[0], int(port)
        if isinstance(expression, Dots):
            return default
        return default[0], self._int(expression)

    def _do_write(self, call: Call) -> Begun:
        fd, data = self._fd(call.arguments[0]), self._data(call.arguments[1], call.arguments[2])
        return self._begun(call, lambda: self._sockets.send(fd, data))

    def _do_writev(self, call: Call) -> Begun:
        fd, data = self._fd(call.arguments[0]), self._gathered(call.arguments[1])
        return self._begun(call, lambda: self._sockets.send(fd, data))

    def _do_send(self, call: Call) -> Begun:
        fd, data = self._fd(call.arguments[0]), self._data(call.arguments[1], call.arguments[2])
        flags = self._int(call.arguments[3])
        return self._begun(call, lambda: self._sockets.send(fd, data, flags))

    def _do_sendto(self, call: Call) -> Begun:
        fd, data = self._fd(call.arguments[0]), self._data(call.arguments[1], call.arguments[2])
        flags = self._int(call.arguments[3])
        address = call.arguments[4]
        if self._address(address, self._remote) is None:
            raise UnsupportedError("sendto with AF_UNSPEC")
        given = isinstance(address, Dots) and not flags & _MSG_FASTOPEN
        to = None if given or address == Word("NULL") else self._address(address, self._remote)
        return self._begun(call, lambda: self._sockets.send(fd, data, flags, to))

    def _do_sendmsg(self, call: Call) -> Begun:
        fd, header, flags = (
            self._fd(call.arguments[0]),
            _fields(call.arguments[1]),
            self._int(call.arguments[2]),
        )
        data = self._gathered(header.get("msg_iov", Array(())))
        ancillary = [self._control(each) for each in _items(header.get("msg_control", Array(())))]
        to = self._remote if flags & _MSG_FASTOPEN else None
        return self._begun(call, lambda: self._sockets.sendmsg(fd, data, ancillary, flags, to))

    def _gathered(self, vectors: Expression) -> bytes:
        """Return the text of a list of buffers with their lengths."""
        parts = []
        for vector in _items(vectors):
            base, length = _items(vector)
            parts.append(self._data(base, length))
        return b"".join(parts)

    def _control(self, expression: Expression) -> tuple[int, int, bytes]:
        fields = _fields(expression)
        data = fields["cmsg_data"]
        value = data.value if isinstance(data, Text) else struct.pack("=I", self._int(data))
        return self._int(fields["cmsg_level"]), self._int(fields["cmsg_type"]), value

    def _do_read(self, call: Call) -> Begun:
        return self._receive(call, 0)

    def _do_recv(self, call: Call) -> Begun:
        return self._receive(call, self._int(call.arguments[3]))

    def _do_recvfrom(self, call: Call) -> Begun:
        return self._receive(call, self._int(call.arguments[3]))

    def _receive(self, call: Call, flags: int) -> Begun:
        fd, buffer, size = self._fd(call.arguments[0]), call.arguments[1], self._size(call.arguments[2])

        def outputs(data: bytes) -> list[Difference]:
            if not isinstance(buffer, Text):
                return []
            matches = data.startswith(buffer.value) if buffer.cut else data == buffer.value
            return [] if matches else [Difference("data", repr(buffer.value), repr(data))]

        return self._begun(call, lambda: self._sockets.recv(fd, size, flags), outputs=outputs)

    def _do_readv(self, call: Call) -> Begun:
        fd, size = self._fd(call.arguments[0]), self._room(call.arguments[1])
        return self._begun(call, lambda: self._sockets.recv(fd, size))

    def _room(self, vectors: Expression) -> int:
        return sum(self._size(_items(vector)[1]) for vector in _items(vectors))

    def _do_recvmsg(self, call: Call) -> Begun:
        fd, header, flags = (
            self._fd(call.arguments[0]),
            _fields(call.arguments[1]),
            self._int(call.arguments[2]),
        )
        size = self._room(header.get("msg_iov", Array(())))
        wanted = [self._control(each) for each in _items(header.get("msg_control", Array(())))]

        def outputs(message: Message) -> list[Difference]:
            found = []
            got = [(level, kind, data) for level, kind, data in message.ancillary]
            if "msg_control" in header and wanted != got:
                found.append(Difference("msg_control", str(wanted), str(got)))
            flags_wanted = header.get("msg_flags", _DOTS)
            if not isinstance(flags_wanted, Dots) and self._int(flags_wanted) != message.flags:
                found.append(Difference("msg_flags", str(self._int(flags_wanted)), str(message.flags)))
            return found

        return self._begun(
            call, lambda: self._sockets.recvmsg(fd, size, _MAX_CONTROL, flags), outputs=outputs
        )

    def _do_shutdown(self, call: Call) -> Begun:
        fd, how = self._fd(call.arguments[0]), self._int(call.arguments[1])
        return self._begun(call, lambda: self._sockets.shutdown(fd, how))

    def _do_close(self, call: Call) -> Begun:
        script_fd = self._int(call.arguments[0])
        fd = self._fds.pop(script_fd, -1)
        self._opened.discard(fd)
        return self._begun(call, lambda: self._sockets.close(fd))

    def _do_fcntl(self, call: Call) -> Begun:
        fd, command = self._fd(call.arguments[0]), self._int(call.arguments[1])
        argument = self._int(call.arguments[2]) if len(call.arguments) > 2 else 0
        return self._begun(call, lambda: self._sockets.fcntl(fd, command, argument))

    def _do_ioctl(self, call: Call) -> Begun:
        fd, request = self._fd(call.arguments[0]), self._int(call.arguments[1])
        wanted = call.arguments[2] if len(call.arguments) > 2 else _DOTS

        def verdict(returned: Returned) -> tuple[Difference, ...]:
            value = returned.value
            found = self._result_differences(call, _success(returned))
            if (
                not found
                and returned.error is None
                and not isinstance(wanted, Dots)
                and self._int(wanted) != value
            ):
                found = [Difference("value", str(self._int(wanted)), str(value))]
            return tuple(found)

        return Begun(lambda: self._sockets.ioctl(fd, request), verdict, _success)

    def _do_setsockopt(self, call: Call) -> Begun:
        fd, level, name = (self._option_argument(at, each) for at, each in enumerate(call.arguments[:3]))
        value = self._option_value(call.arguments[3], level, name)
        return self._begun(call, lambda: self._sockets.setsockopt(fd, level, name, value))

    def _option_argument(self, at: int, expression: Expression) -> int:
        return self._fd(expression) if at == 0 else self._int(expression)

    def _option_value(self, expression: Expression, level: int, name: int) -> bytes:
        match expression:
            case Text(value):
                return value
            case Struct():
                fields = _fields(expression)
                if {"tv_sec", "tv_usec"} <= fields.keys():
                    return struct.pack("=qq", self._int(fields["tv_sec"]), self._int(fields["tv_usec"]))
                if {"onoff", "linger"} <= fields.keys():
                    return struct.pack("=ii", self._int(fields["onoff"]), self._int(fields["linger"]))
                return b"".join(struct.pack("=I", self._int(each)) for each in _items(expression))
            case Array(items):
                form = "=q" if (level, name) in _TIMEVAL_OPTIONS else "=i"
                return b"".join(struct.pack(form, _signed(self._int(each))) for each in items)
            case Dots():
                raise ValueError("an option needs a value")
            case _:
                return struct.pack("=i", _signed(self._int(expression)))

    def _do_getsockopt(self, call: Call) -> Begun:
        fd, level, name = (self._option_argument(at, each) for at, each in enumerate(call.arguments[:3]))
        wanted = call.arguments[3]
        size = 256 if isinstance(wanted, Dots | Text) else len(self._option_value(wanted, level, name))

        def verdict(returned: Returned) -> tuple[Difference, ...]:
            found = self._result_differences(call, _success(returned))
            if found or returned.error is not None or isinstance(wanted, Dots):
                return tuple(found)
            return tuple(self._option_differences(wanted, level, name, returned.value))

        return Begun(lambda: self._sockets.getsockopt(fd, level, name, size), verdict, _success)

    def _option_differences(
        self, wanted: Expression, level: int, name: int, value: bytes
    ) -> list[Difference]:
        if isinstance(wanted, Text):
            found = value.rstrip(b"\0")
            return [] if found == wanted.value else [Difference("value", repr(wanted.value), repr(found))]
        octets = self._option_value(wanted, level, name)
        if value == octets:
            return []
        form = "=q" if (level, name) in _TIMEVAL_OPTIONS else "=i"
        return [Difference("value", _numbers(form, octets), _numbers(form, value))]

    def _do_poll(self, call: Call) -> Begun:
        entries = [_fields(each) for each in _items(call.arguments[0])]
        asked = [(self._fd(each["fd"]), self._int(each["events"])) for each in entries]
        timeout_ms = self._int(call.arguments[2])

        def verdict(returned: Returned) -> tuple[Difference, ...]:
            found = self._result_differences(call, _ready(returned))
            if not found and returned.error is None:
                for entry, events in zip(entries, returned.value, strict=True):
                    wanted = entry.get("revents")
                    if wanted is not None and not isinstance(wanted, Dots) and self._int(wanted) != events:
                        found.append(Difference("revents", hex(self._int(wanted)), hex(events)))
            return tuple(found)

        return Begun(lambda: self._sockets.poll(asked, timeout_ms), verdict, _ready)

    def _do_epoll_create(self, call: Call) -> Begun:
        if self._int(call.arguments[0]) <= 0:  # a size that Linux checks and does not use
            return self._new_descriptor(call, _not_valid, tested=False)
        return self._do_epoll_create1(call)

    def _do_epoll_create1(self, call: Call) -> Begun:
        return self._new_descriptor(call, self._sockets.epoll_create, tested=False)

    def _do_epoll_ctl(self, call: Call) -> Begun:
        epfd, operation, fd = (
            self._fd(call.arguments[0]),
            self._int(call.arguments[1]),
            self._fd(call.arguments[2]),
        )
        events, data = self._epoll_event(call.arguments[3]) if len(call.arguments) > 3 else (0, 0)
        return self._begun(call, lambda: self._sockets.epoll_ctl(epfd, operation, fd, events, data))

    def _epoll_event(self, expression: Expression) -> tuple[int, int]:
        if isinstance(expression, Dots):
            return 0, 0
        fields = _fields(expression)
        data = next((fields[name] for name in ("fd", "u32", "u64", "ptr") if name in fields), None)
        return self._int(fields["events"]), 0 if data is None or isinstance(data, Dots) else self._int(data)

    def _do_epoll_wait(self, call: Call) -> Begun:
        epfd, expected = self._fd(call.arguments[0]), call.arguments[1]
        most, timeout_ms = self._int(call.arguments[2]), self._int(call.arguments[3])

        def verdict(returned: Returned) -> tuple[Difference, ...]:
            ready = returned if returned.error else returned._replace(value=len(returned.value))
            found = self._result_differences(call, ready)
            if not found and returned.value and not isinstance(expected, Dots):
                wanted = (
                    [self._epoll_event(expected)]
                    if not isinstance(expected, Array)
                    else [self._epoll_event(each) for each in _items(expected)]
                )
                if wanted != returned.value[: len(wanted)]:
                    found.append(Difference("events", str(wanted), str(returned.value)))
            return tuple(found)

        return Begun(lambda: self._sockets.epoll_wait(epfd, most, timeout_ms), verdict)


@contextmanager
def _understood(call: Call) -> Iterator[None]:
    """Say that the call is not supported, where its arguments or its outputs are not what it has."""
    try:
        yield
    except (LookupError, ValueError, TypeError, OverflowError, struct.error) as error:
        raise UnsupportedError(f"{call.name} with these arguments ({error})") from error


def _success(returned: Returned) -> Returned:
    return returned._replace(value=None)


def _ready(returned: Returned) -> Returned:
    """Return how many descriptors have events."""
    return returned if returned.error else returned._replace(value=sum(map(bool, returned.value)))


def result_text(returned: Returned) -> str:
    """Return a result as scripts write it."""
    if returned.error is not None:
        reason = os.strerror(returned.error.errno or 0)
        return f"-1 {symbols.errno_name(returned.error.errno)} ({reason})"
    return str(as_number(returned.value))


def as_number(value: object) -> int:
    """Return what a call that gave *value* returned as a number: 0 for nothing, the length of text."""
    match value:
        case None:
            return 0
        case int():
            return value
        case Message(data):
            return len(data)
        case bytes() | list():
            return len(value)
        case _:
            raise ScriptUsageError(f"a call returned {value!r}", remedy="Report this as a bug.")


def _numbers(form: str, octets: bytes) -> str:
    """Return the numbers of an option's value as scripts write them."""
    whole = octets[: len(octets) // struct.calcsize(form) * struct.calcsize(form)]
    return str([number for (number,) in struct.iter_unpack(form, whole)])


def _signed(value: int) -> int:
    return value - (1 << 32) if value > 0x7FFFFFFF and value < 1 << 32 else value


def _items(expression: Expression) -> Sequence[Expression]:
    match expression:
        case Array(items) | Struct(items):
            return items
        case _:
            return (expression,)


def _fields(expression: Expression) -> dict[str, Expression]:
    """Return the named fields of a structure; ``msg_iov(1) = ...`` is named ``msg_iov``."""
    found = {}
    for item in _items(expression):
        if isinstance(item, Assign) and isinstance(item.target, Word | Apply):
            found[item.target.name] = item.value
    return found
