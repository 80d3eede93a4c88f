"""The rules of a case, as a script sets them: by sysctls, and by options of its sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final, NamedTuple

from xsocket.config import TcpConfig
from xsocket_tools.fuzzing.targets.kernel_rules import sysctl_text
from xsocket_tools.scenarios.target import BUFFERS

_USUAL: Final = TcpConfig.of_sysctls(BUFFERS)
"""What scripts begin with on an engine."""
_FIXED: Final = ("pool_capacity", "pool_policy", "pool_timeout_s")
"""Rules that an engine keeps for as long as it lives."""
_BESIDE: Final = {"challenge_ack_limit": "ipv4/tcp_challenge_ack_limit"}
"""Sysctls of Linux by which an engine's rule is not set, for it counts by connection."""


class Option(NamedTuple):
    """An option of a socket, and its value."""

    level: str
    name: str
    value: int


class Rules(NamedTuple):
    """What a script does about rules.

    Attributes:
        sysctls: Name and text of each.
        options: Of every socket.
        listening: Of the listening socket beside these.
        missing: What nothing in the language sets, by name.
    """

    sysctls: tuple[tuple[str, str], ...]
    options: tuple[Option, ...]
    listening: tuple[Option, ...]
    missing: dict[str, Any]


def rules_in_script(config: TcpConfig, version: int, *, on_kernel: bool = False) -> Rules:
    """Return how a script has a target play by *config*.

    Args:
        config: What to play by.
        version: Of IP.
        on_kernel: Whether the target is Linux, and no engine.
    """
    sysctls: list[tuple[str, str]] = []
    options: list[Option] = []
    listening: list[Option] = []
    missing: dict[str, Any] = {}
    for each in fields(TcpConfig):
        name, value, rule = each.name, getattr(config, each.name), each.metadata["rule"]
        if value == getattr(_USUAL, name):
            continue
        is_fixed = rule.sysctl is None or name in _FIXED
        text = None if is_fixed else sysctl_text(rule.sysctl, value)
        if text is not None:
            sysctls.append((_dotted(rule.sysctl.path), text))
            continue
        if name in _BESIDE:
            sysctls.append((_dotted(_BESIDE[name]), str(value)))
            if on_kernel:
                continue
        option = _OF_SOCKETS[name](value, version) if name in _OF_SOCKETS else None
        if option is not None:
            options.append(option)
        elif name == "fastopen_qlen" and config.fastopen & 2:
            listening.append(Option("SOL_TCP", "TCP_FASTOPEN", value))
        else:
            missing[name] = value
    return Rules(tuple(sysctls), tuple(options), tuple(listening), missing)


def _dotted(path: str) -> str:
    return f"net.{path.replace('/', '.')}"


def _traffic_class(value: int, version: int) -> Option:
    return (
        Option("SOL_IP", "IP_TOS", value << 2)
        if version == 4
        else Option("SOL_IPV6", "IPV6_TCLASS", value << 2)
    )


def _milliseconds(value: float, version: int) -> Option | None:
    del version
    whole = round(value * 1000)
    return Option("SOL_TCP", "TCP_USER_TIMEOUT", whole) if whole == value * 1000 else None


_OF_SOCKETS: Final[dict[str, Callable[[Any, int], Option | None]]] = {
    "nodelay": lambda value, _: Option("SOL_TCP", "TCP_NODELAY", int(value)),
    "keepalive": lambda value, _: Option("SOL_SOCKET", "SO_KEEPALIVE", int(value)),
    "user_timeout_s": _milliseconds,
    "dscp": _traffic_class,
}
