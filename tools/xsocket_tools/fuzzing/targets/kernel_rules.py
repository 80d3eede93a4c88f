"""What Linux has of the rules of a case: as sysctls of its namespace, or as options of its sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import fields
from functools import lru_cache
from struct import pack
from typing import Any, Final, NamedTuple

from xsocket.config import Rule, Sysctl, TcpConfig
from xsocket_netns import Host
from xsocket_tools.fuzzing.target import TargetError

Option = tuple[int, int, int | bytes]
"""Level, name and value of a socket option."""

DETERMINED: Final = {
    "ipv4/tcp_challenge_ack_limit": str(0x7FFF_FFFF),
    "ipv4/tcp_no_metrics_save": "1",
    "ipv4/tcp_moderate_rcvbuf": "0",
    "ipv4/tcp_autocorking": "0",
    "ipv4/tcp_comp_sack_nr": "0",
    "ipv4/tcp_congestion_control": "reno",
    "ipv4/tcp_max_syn_backlog": str(1 << 16),
    "ipv4/tcp_tw_reuse": "0",
    "ipv4/icmp_ratelimit": "0",
    "ipv4/icmp_msgs_per_sec": str(1 << 30),
    "ipv4/icmp_msgs_burst": str(1 << 30),
    "ipv4/icmp_echo_ignore_all": "0",
    "ipv6/icmp/ratelimit": "0",
    "ipv6/icmp/echo_ignore_all": "0",
    "core/somaxconn": "65535",
}
"""What makes answers depend on nothing but the case, where no rule does: no limits on them, nothing that the
clock decides within a step, no memory of peers. ``tcp_max_syn_backlog`` is not the limit, but the listener's
backlog."""

UNLIMITED: Final = 1_000_000
_MOST_BACKLOG: Final = 65_535
_RULES: Final[dict[str, tuple[Rule, Any]]] = {
    each.name: (each.metadata["rule"], each.default) for each in fields(TcpConfig)
}
LEAST_BUFFER: Final = 1 << 17
"""In a smaller buffer it matters how much memory a segment takes, which is far more than its text, and the
window is smaller than 16 bits can say."""
_TCP_USER_TIMEOUT: Final = 18  # linux/tcp.h
_TCP_FASTOPEN: Final = 23
_ON_BACKLOG: Final = ("max_syn_backlog", "pool_capacity")
_AT_ONCE: Final[dict[str, Callable[[Any], bool]]] = {
    "delayed_ack_s": lambda value: value == 0,
    "quickacks": lambda value: value >= UNLIMITED,
    "challenge_ack_limit": lambda value: value >= UNLIMITED,
    "challenge_ack_period_s": lambda _: True,
}
"""Rules of which Linux here does one thing alone, with the values that ask for it: it acknowledges at once,
and as often as there is reason to."""
_HOP_LIMIT: Final = "ipv6/conf/eth0/hop_limit"


class KernelRules(NamedTuple):
    """Rules as Linux has them.

    Attributes:
        sysctls: Path below ``/proc/sys/net`` to text, beside `DEFAULTS`.
        options: Of a listener, and so of the sockets that it makes, by IP version.
        backlog: Of a listener.
    """

    sysctls: Mapping[str, str]
    options: Mapping[int, tuple[Option, ...]]
    backlog: int


@lru_cache(maxsize=1024)
def kernel_rules(rules: tuple[tuple[str, Any], ...]) -> KernelRules:
    """Return *rules* as Linux has them; those by which it cannot play are left out."""
    sysctls: dict[str, str] = {}
    for name, value in rules:
        rule, _ = _RULES[name]
        text = None if rule.sysctl is None else sysctl_text(rule.sysctl, value)
        if rule.sysctl is not None and text is not None and name not in _ON_BACKLOG:
            sysctls[rule.sysctl.path] = text
            if name == "ttl":
                sysctls[_HOP_LIMIT] = text
    given = dict(rules)
    # Linux has one number for both tables, and lets each have one connection more than that.
    backlog = min(given.get(name, _MOST_BACKLOG + 1) for name in _ON_BACKLOG) - 1
    options = {version: tuple(_options(given, version)) for version in (4, 6)}
    return KernelRules(sysctls, options, min(backlog, _MOST_BACKLOG))


def is_possible(name: str, value: Any) -> bool:  # noqa: ANN401
    """Return whether Linux can play by the rule *name* with *value*: by a sysctl, an option, or anyway."""
    rule, default = _RULES[name]
    if value == default or name in _ON_BACKLOG or name in _OF_SOCKETS:
        return True
    if name in ("rmem", "wmem") and value < LEAST_BUFFER:
        return False
    if name in _AT_ONCE:
        return _AT_ONCE[name](value)
    return rule.sysctl is not None and sysctl_text(rule.sysctl, value) is not None


def sysctl_text(sysctl: Sysctl, value: Any) -> str | None:  # noqa: ANN401
    """Return what makes a sysctl stand for a rule's *value*; None for nothing.

    Of a buffer's size Linux offers about half as the window, for it counts what a segment takes in memory.
    """
    for text in _candidates(value):
        with suppress(ValueError, IndexError):
            if sysctl.convert(text) == value:
                return text
    return None


def _candidates(value: Any) -> Iterable[str]:  # noqa: ANN401
    if isinstance(value, bool):
        return ("1", "3") if value else ("0",)
    if isinstance(value, str):
        return map(str, range(4))
    scaled = (str(round(value * per_second)) for per_second in (1, 1000, 1_000_000))
    return (*scaled, f"{min(4096, value)} {value} {value}")


def _options(given: Mapping[str, Any], version: int) -> Iterable[Option]:
    for name, value in given.items():
        if name in _OF_SOCKETS:
            yield from _OF_SOCKETS[name](value, version)


def _of_tcp(name: int, scale: int = 1) -> Any:  # noqa: ANN401
    return lambda value, _: [(socket.IPPROTO_TCP, name, round(value * scale))]


def _traffic_class(value: int, version: int) -> list[Option]:
    if version == 4:
        return [(socket.IPPROTO_IP, socket.IP_TOS, value << 2)]
    return [(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, value << 2)]


_OF_SOCKETS: Final[dict[str, Any]] = {
    "user_timeout_s": _of_tcp(_TCP_USER_TIMEOUT, 1000),
    "nodelay": _of_tcp(socket.TCP_NODELAY),
    "fastopen_qlen": _of_tcp(_TCP_FASTOPEN),
    "keepalive": lambda value, _: [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(value))],
    "dscp": _traffic_class,
}

RESET_ON_CLOSE: Final[Option] = (socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
FINISH_ON_CLOSE: Final[Option] = (socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 0, 0))


def _defaults() -> dict[str, str]:
    found = {}
    for rule, default in _RULES.values():
        if rule.sysctl is not None:
            text = sysctl_text(rule.sysctl, default)
            assert text is not None, "each default can be had"
            found[rule.sysctl.path] = text
    return found | {_HOP_LIMIT: str(_RULES["ttl"][1])} | DETERMINED


DEFAULTS: Final = _defaults()
"""What a namespace begins with, whatever the machine has; those that it lacks are left out."""


class Sysctls:
    """The sysctls of *host*, each kept open and written only when its value changes."""

    def __init__(self, host: Host) -> None:
        self._files: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._taken: dict[tuple[str, str], bool] = {}
        with host.enter():
            for path in DEFAULTS:
                with suppress(FileNotFoundError, PermissionError):  # not there, or not for a user namespace
                    self._files[path] = os.open(f"/proc/sys/net/{path}", os.O_RDWR | os.O_CLOEXEC)
        try:
            self.set({})
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the files."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def lack(self, name: str, value: Any) -> bool:  # noqa: ANN401
        """Return whether *value* of the rule *name* needs what this kernel does not take in a namespace."""
        rule, default = _RULES[name]
        if value == default or rule.sysctl is None or name in _ON_BACKLOG:
            return False
        path, text = rule.sysctl.path, sysctl_text(rule.sysctl, value)
        return path not in self._files or (text is not None and not self._takes(path, text))

    def _takes(self, path: str, text: str) -> bool:
        """Return whether the kernel takes a value, by trying; what it had before comes back."""
        if (path, text) not in self._taken:
            before = self._texts[path]
            try:
                self._write(path, text)
                self._taken[path, text] = True
            except TargetError:
                self._taken[path, text] = False
            self._write(path, before)
        return self._taken[path, text]

    def set(self, changes: Mapping[str, str]) -> None:
        """Let everything be as in `DEFAULTS` but for *changes*.

        Raises:
            TargetError: The kernel refused a value.
        """
        for path, text in {**DEFAULTS, **changes}.items():
            if path in self._files and self._texts.get(path) != text:
                self._write(path, text)

    def _write(self, path: str, text: str) -> None:
        descriptor = self._files[path]
        self._texts.pop(path, None)
        try:
            os.pwrite(descriptor, text.encode(), 0)
        except OSError as error:
            raise TargetError(f"the kernel refused {text!r} for net/{path}: {error.strerror}") from error
        if os.pread(descriptor, 256, 0).decode().split() != text.split():
            raise TargetError(f"the kernel ignored {text!r} for net/{path}")
        self._texts[path] = text
