"""The calls of a case as system calls: descriptors, what they return, and which of them change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.state import State
from xsocket_tools.fuzzing.case import Call as Said
from xsocket_tools.fuzzing.cast import PEERS
from xsocket_tools.fuzzing.export.rules import Option, Rules
from xsocket_tools.fuzzing.export.segments import Inexpressible
from xsocket_tools.fuzzing.export.stage import Role, Stage
from xsocket_tools.fuzzing.playing import Step
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

_DOTS: Final = Dots()
_LISTENING: Final = 3
_ERRNOS: Final = {
    "BlockingIOError": "EAGAIN",
    "BrokenPipeError": "EPIPE",
    "ConnectionAbortedError": "ECONNABORTED",
    "ConnectionRefusedError": "ECONNREFUSED",
    "ConnectionResetError": "ECONNRESET",
    "ENOTCONN": "ENOTCONN",
    "TimeoutError": "ETIMEDOUT",
}
"""By exceptions. One that is missing has several; of that a script only says that the call fails."""
_OPENING: Final = (State.SYN_SENT, State.SYN_RECEIVED)
_NONBLOCKING: Final = Either((Word("O_RDWR"), Word("O_NONBLOCK")))


class Means(NamedTuple):
    """What a script depends on beside its case.

    Attributes:
        rules: What it sets.
        backlog: Of its listening socket.
        on_kernel: Whether it is for Linux, which has no pool.
        is_virtual: Whether the times are those of the target alone.
    """

    rules: Rules
    backlog: int
    on_kernel: bool
    is_virtual: bool


class Nothing(NamedTuple):
    """A call that changes nothing, and that a script does not make; why."""

    why: str


Made = list[Call] | Nothing | Inexpressible


class Calls:
    """The descriptors of a script, and the calls with them.

    Args:
        stage: Who is there.
        means: What it has.
        peers: Peers of the case by their connections, the target's end first.
    """

    def __init__(self, stage: Stage, means: Means, peers: Mapping[FourTuple, int]) -> None:
        self._stage, self._means, self._peers = stage, means, peers
        self._next = _LISTENING
        self._fds: dict[int, int] = {}
        self._closed: set[int] = set()
        self._dissolved: set[int] = set()
        self._opening: set[int] = set()

    def prologue(self) -> list[Call]:
        """Return what comes before everything: the target listens, if it does."""
        if not self._stage.listens:
            return []
        fd = self._new()
        made = self._bound(fd, self._stage.listening_port)
        made += [_option(fd, each) for each in (*self._means.rules.options, *self._means.rules.listening)]
        return [*made, _call("listen", fd, _number(self._means.backlog))]

    def made(self, role: Role, step: Step) -> Made:
        """Return what becomes of a call."""
        said, answer = step.operation, step.answer
        assert isinstance(said, Said)
        assert answer is not None
        if said.name == "open":
            return self._open(role, said, step)
        if said.name in ("claim", "claim any"):
            return self._claim(role, said, step)
        fd = self._fds.get(role.peer)
        if fd is None:
            return Nothing("no connection to it is in hand")
        if fd in self._dissolved:
            return Nothing("nothing is left of it")
        if fd in self._closed:
            return self._on_closed(fd, said, step)
        return self._on_open(fd, said, step)

    def _new(self) -> int:
        fd, self._next = self._next, self._next + 1
        return fd

    # Opening

    def _bound(self, fd: int, port: int) -> list[Call]:
        """Return what makes a socket with a port of the target's."""
        made = [_socket(fd), _nonblocking(fd)]
        if port in self._stage.shared:
            made.append(_option(fd, Option("SOL_SOCKET", "SO_REUSEPORT", 1)))
        return [*made, _call("bind", fd, self._own(port), _DOTS)]

    def _own(self, port: int) -> Expression:
        """Return the target's address with *port*; dots where they stand for it."""
        if port == self._stage.settings.bind_port:
            return _DOTS
        return Struct(
            (_family(self._stage.version), _port(port), Assign(Word("sin_addr"), Word("INADDR_ANY")))
        )

    def _open(self, role: Role, said: Said, step: Step) -> Made:
        assert step.answer is not None
        error = step.answer.error
        if error not in ("", "AddressInUseError"):
            return Inexpressible(f"an open that fails by {error}")
        fast = any(each.segment.payload for each in step.sent)
        if said.size and not fast and not error:
            return Inexpressible("an open with text that waits for the handshake")
        fd = self._new()
        opened = self._bound(fd, role.local_port)
        opened += [_option(fd, each) for each in self._means.rules.options]
        if fast:
            arguments = (
                _number(fd),
                _DOTS,
                _number(said.size),
                Word("MSG_FASTOPEN"),
                self._other(role),
                _DOTS,
            )
            opened.append(Call("sendto", arguments, _number(said.size)))
        else:
            errno = "EADDRNOTAVAIL" if error else "EINPROGRESS"
            opened.append(Call("connect", (_number(fd), self._other(role), _DOTS), _number(-1), errno))
        if not error:
            self._fds[role.peer] = fd
            if not fast:
                self._opening.add(fd)
        return opened

    def _other(self, role: Role) -> Expression:
        """Return the peer's address."""
        if self._stage.is_alone:
            return _DOTS
        six = self._stage.version == 6
        address = Apply("inet6_addr" if six else "inet_addr", (Text(self._stage.settings.remote.encode()),))
        field = Assign(Word("sin6_addr" if six else "sin_addr"), address)
        return Struct((_family(self._stage.version), _port(role.remote_port), field))

    # Claiming

    def _claim(self, role: Role, said: Said, step: Step) -> Made:
        assert step.answer is not None
        answer = step.answer
        only = self._stage.is_alone and PEERS[role.peer].served
        if answer.error:
            if not only:
                return Nothing(f"nothing is claimed, {answer.error}")
            return [Call("accept", (_number(_LISTENING), _DOTS, _DOTS), _number(-1), "EAGAIN")]
        claimed = self._peers.get(answer.value, role.peer)
        if claimed not in self._stage.roles:
            return Inexpressible("a claim of a connection that is not in the script")
        fd = self._fds[claimed] = self._new()
        if only:
            return [Call("accept", (_number(_LISTENING), _DOTS, _DOTS), _number(fd)), _nonblocking(fd)]
        if self._means.on_kernel:
            return Inexpressible("one of several connections is claimed, and Linux gives the oldest")
        ports = (_number(role.local_port), _number(role.remote_port))
        arguments = (_DOTS, _DOTS) if said.name == "claim any" else ports
        return [Call("claim", arguments, _number(fd)), _nonblocking(fd)]

    # On a connection

    def _on_closed(self, fd: int, said: Said, step: Step) -> Made:
        assert step.answer is not None
        if step.sent or step.before is not step.after:
            return Inexpressible("an abort of a connection whose descriptor is closed")
        if not step.answer.error:
            return Nothing("it is closed already")
        return [_transfer(said, fd, -1, "EBADF")]

    def _on_open(self, fd: int, said: Said, step: Step) -> Made:
        answer = step.answer
        assert answer is not None
        name, error = said.name, answer.error
        if name == "send" and not error and fd in self._opening and step.before in _OPENING:
            return Inexpressible("text that is given before the connection is established")
        if name in ("send", "receive"):
            value = answer.value if isinstance(answer.value, int) else len(answer.value or b"")
            return [_transfer(said, fd, -1 if error else value, _ERRNOS.get(error, ""))]
        if name == "shutdown":
            if fd in self._opening and step.before is State.SYN_SENT:
                self._dissolved.add(fd)
            return [_transfer(said, fd, -1 if error else 0, _ERRNOS.get(error, ""))]
        self._closed.add(fd)
        linger = Struct((Assign(Word("onoff"), _number(1)), Assign(Word("linger"), _number(0))))
        lingers = (_number(fd), Word("SOL_SOCKET"), Word("SO_LINGER"), linger, _number(8))
        first = [Call("setsockopt", lingers, _number(0))] if name == "abort" else []
        return [*first, _call("close", fd)]


def _transfer(said: Said, fd: int, value: int, errno: str) -> Call:
    """Return a call on a descriptor, and what it returns."""
    if said.name == "send":
        return Call("write", (_number(fd), _DOTS, _number(said.size)), _number(value), errno)
    if said.name == "receive":
        return Call("read", (_number(fd), _DOTS, _number(said.size)), _number(value), errno)
    if said.name == "shutdown":
        return Call("shutdown", (_number(fd), Word("SHUT_WR")), _number(value), errno)
    return Call("close", (_number(fd),), _number(value), errno)


def _call(name: str, fd: int, *arguments: Expression) -> Call:
    return Call(name, (_number(fd), *arguments), _number(0))


def _socket(fd: int) -> Call:
    return Call("socket", (_DOTS, Word("SOCK_STREAM"), Word("IPPROTO_TCP")), _number(fd))


def _nonblocking(fd: int) -> Call:
    return _call("fcntl", fd, Word("F_SETFL"), _NONBLOCKING)


def _option(fd: int, option: Option) -> Call:
    value = Array((_number(option.value),))
    return _call("setsockopt", fd, Word(option.level), Word(option.name), value, _number(4))


def _family(version: int) -> Assign:
    return Assign(Word("sa_family"), Word("AF_INET" if version == 4 else "AF_INET6"))


def _port(port: int) -> Assign:
    return Assign(Word("sin_port"), Apply("htons", (_number(port),)))


def _number(value: int) -> Integer:
    return Integer(value, str(value))
