"""`Settings`: what `xsocket serve` was asked for, on its command line and in a file; judged beforehand."""

from __future__ import annotations

import grp
import pwd
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from xsocket import Admission, ClaimPolicy, FourTuple, Pattern, TcpConfig, XsocketError
from xsocket_tools.errors import ToolError
from xsocket_tools.sharing.specs import HOW_TO_WRITE, default_socket, parse_claim

RELOADED: Final = frozenset({"ports", "sources", "ignored_ports", "otherwise", "allow"})
"""What can change while a server runs."""
_OCTAL: Final = 8

T = TypeVar("T")


class SettingsError(ToolError):
    """A setting makes no sense."""

    remedy = "See `xsocket serve --help`, and the page on serving in the documentation."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `xsocket serve` was asked for. Names are those of the options, and the keys of the file.

    Attributes:
        interface: Of the engine; needed.
        addresses: Of the engine and the kernel, with prefix lengths; needed.
        ports: Which are served, such as ``80,8000-8099``; needed.
        gateways: Where packets for other networks go, one for each IP version.
        sources: Networks that are served; all of them without it.
        ignored_ports: Ports on which a SYN gets no answer.
        otherwise: What other SYNs get: ``refuse`` or ``ignore``.
        pool_capacity, pool_policy, pool_timeout_s: Rules of `TcpConfig` by the same names.
        socket: Path of the pool server's socket.
        mode: Its permissions, in octal; 0600, or 0660 with a group, if not given.
        group: Its group.
        allow: What each user, or group with an @ before its name, may claim: a table.
        acknowledge_s: How long a client may take to say that a connection has come, seconds.
        max_clients: At once.
        max_clients_per_user: At once, of one user.
        metrics: Where Prometheus is answered, ``[ADDR:]PORT``; nowhere without it.
        log_format: ``text`` or ``json``.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
    """

    interface: str
    addresses: tuple[str, ...]
    ports: str
    gateways: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    ignored_ports: str | None = None
    otherwise: Literal["refuse", "ignore"] = "refuse"
    pool_capacity: int | None = None
    pool_policy: str | None = None
    pool_timeout_s: float | None = None
    socket: Path = field(default_factory=default_socket)
    mode: int | None = None
    group: str | None = None
    allow: Mapping[str, str] = field(default_factory=dict)
    acknowledge_s: float = 5.0
    max_clients: int = 1024
    max_clients_per_user: int = 512
    metrics: tuple[str, int] | None = None
    log_format: Literal["text", "json"] = "text"
    log_level: str = "info"

    @classmethod
    def made_of(cls, given: Mapping[str, Any], file: Path | None) -> Settings:
        """Return those *given* on the command line (None: not given), and for the rest those of *file*.

        Raises:
            SettingsError: One makes no sense, or one that is needed is missing.
        """
        merged = {} if file is None else _read(file)
        for name, value in given.items():
            if value not in (None, ()):
                merged[name] = _judged("", name, value)
        for needed in ("interface", "addresses", "ports"):
            if needed not in merged:
                raise SettingsError(f"{needed} is missing")
        settings = cls(**merged)
        settings.admission()
        settings.policy()
        settings.config()
        return settings

    def admission(self) -> Admission:
        """Return what judges SYNs."""
        return _ours(
            lambda: Admission(
                ports=self.ports,
                sources=list(self.sources) or None,
                ignored_ports=self.ignored_ports,
                otherwise=self.otherwise,
            )
        )

    def config(self) -> TcpConfig:
        """Return the engine's rules."""
        given = {name: getattr(self, name) for name in ("pool_capacity", "pool_policy", "pool_timeout_s")}
        return _ours(lambda: TcpConfig(**{name: value for name, value in given.items() if value is not None}))

    def policy(self) -> ClaimPolicy | None:
        """Return who may claim what; None for whoever the file's permissions let in."""
        if not self.allow:
            return None
        users: dict[int, Pattern | None] = {}
        groups: dict[int, Pattern | None] = {}
        for name, spec in self.allow.items():
            if name.startswith("@"):
                groups[_gid(name[1:])] = _pattern(name, spec)
            else:
                users[_uid(name)] = _pattern(name, spec)
        return ClaimPolicy(users, groups)

    @property
    def permissions(self) -> int:
        """The mode of the socket's file."""
        if self.mode is not None:
            return self.mode
        return 0o600 if self.group is None else 0o660

    def fixed(self) -> dict[str, Any]:
        """Return what cannot change while a server runs."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in RELOADED}


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            plain = tomllib.load(opened)
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from error
    return {name: _judged(f"{file}: ", name, value) for name, value in plain.items()}


def _judged(where: str, name: str, value: object) -> Any:  # noqa: ANN401  # what the setting has
    judge = _SETTINGS.get(name)
    if judge is None:
        raise SettingsError(f"{where}there is no setting {name!r}; there are {', '.join(sorted(_SETTINGS))}")
    try:
        return judge(value)
    except ValueError as error:
        raise SettingsError(f"{where}{name}: {error}") from error


def _ours(make: Callable[[], T]) -> T:
    try:
        return make()
    except XsocketError as error:
        raise SettingsError(str(error.args[0]), remedy=error.remedy) from error


# What a setting may be: each returns its value, or raises a `ValueError` that says what is wrong


def _text(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is no text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(_text(each) for each in value)
    return (_text(value),)


def _path(value: object) -> Path:
    return value if isinstance(value, Path) else Path(_text(value))


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is no number from 1 on")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f"{value!r} is no number of seconds")
    return float(value)


def _mode(value: object) -> int:
    text = _text(value)
    if not text.isascii() or not text.isdecimal() or len(text) > 4 or set(text) & {"8", "9"}:
        raise ValueError(f'{text!r} is no mode such as "0660"')
    mode = int(text, _OCTAL)
    if mode & ~0o666:
        raise ValueError(f"{text!r} has more than permissions to read and write")
    return mode


def _one_of(*choices: str) -> Callable[[object], str]:
    def judge(value: object) -> str:
        if value not in choices:
            raise ValueError(f"{value!r} is not among {', '.join(choices)}")
        return str(value)

    return judge


def _endpoint(value: object) -> tuple[str, int]:
    address, _, port = _text(value).rpartition(":")
    address = address.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isascii() or not port.isdecimal() or not 1 <= int(port[:6]) <= 65_535:
        raise ValueError(f"{value!r} has no port; write 127.0.0.1:9464, or 9464")
    return str(ip_address(address)), int(port)


def _allowances(value: object) -> dict[str, str]:
    if isinstance(value, tuple):  # from the command line
        pairs = [tuple(each.split("=", 1)) for each in value]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("write USER=SPEC, such as www-data=80 or @ops=any")
        return dict(pairs)
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no table of users")  # noqa: TRY004  # whatever is wrong, a value is
    return {name: _text(spec) for name, spec in value.items()}


_SETTINGS: Final[dict[str, Callable[[object], Any]]] = {
    "interface": _text,
    "addresses": _texts,
    "gateways": _texts,
    "ports": _text,
    "sources": _texts,
    "ignored_ports": _text,
    "otherwise": _one_of("refuse", "ignore"),
    "pool_capacity": _count,
    "pool_policy": _one_of("refuse", "ignore", "evict"),
    "pool_timeout_s": _seconds,
    "socket": _path,
    "mode": _mode,
    "group": _text,
    "allow": _allowances,
    "acknowledge_s": _seconds,
    "max_clients": _count,
    "max_clients_per_user": _count,
    "metrics": _endpoint,
    "log_format": _one_of("text", "json"),
    "log_level": _one_of("debug", "info", "warning", "error"),
}


def _pattern(name: str, spec: str) -> Pattern | None:
    try:
        wanted = parse_claim(spec)
    except ValueError as error:
        raise SettingsError(f"allow: {name}: {error}", remedy=HOW_TO_WRITE) from error
    if isinstance(wanted, FourTuple):
        local, local_port, remote, remote_port = wanted
        return Pattern(local_port=local_port, remote=remote, local=local, remote_port=remote_port)
    return wanted


def _uid(name: str) -> int:
    if name.isascii() and name.isdecimal():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise SettingsError(f"allow: there is no user {name}") from None


def _gid(name: str) -> int:
    if name.isascii() and name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise SettingsError(f"allow: there is no group {name}") from None
