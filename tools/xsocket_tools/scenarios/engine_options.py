"""The options of a socket on the engine: the rules that each one sets, and what getsockopt says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from xsocket import TcpConfig
from xsocket_tools.scenarios import symbols

Option = tuple[int, int]
"""Level and number of an option."""


def option(level: str, name: str) -> Option:
    """Return the option that Linux calls so."""
    numbers = symbols.number(level), symbols.number(name)
    assert numbers[0] is not None, f"there is no level {level}"
    assert numbers[1] is not None, f"there is no option {name}"
    return numbers[0], numbers[1]


SO_ERROR: Final = option("SOL_SOCKET", "SO_ERROR")
SO_TYPE: Final = option("SOL_SOCKET", "SO_TYPE")
SO_ACCEPTCONN: Final = option("SOL_SOCKET", "SO_ACCEPTCONN")
SO_REUSEPORT: Final = option("SOL_SOCKET", "SO_REUSEPORT")
SO_LINGER: Final = option("SOL_SOCKET", "SO_LINGER")
SO_RCVTIMEO: Final = option("SOL_SOCKET", "SO_RCVTIMEO")
SO_SNDTIMEO: Final = option("SOL_SOCKET", "SO_SNDTIMEO")
TCP_CONGESTION: Final = option("SOL_TCP", "TCP_CONGESTION")
TCP_INFO: Final = option("SOL_TCP", "TCP_INFO")
TCP_INQ: Final = option("SOL_TCP", "TCP_INQ")
TCP_MAXSEG: Final = option("SOL_TCP", "TCP_MAXSEG")

UNSET: Final[Mapping[Option, bytes]] = {
    SO_LINGER: bytes(8),
    SO_RCVTIMEO: bytes(16),
    SO_SNDTIMEO: bytes(16),
    TCP_CONGESTION: b"reno".ljust(16, b"\0"),
}
"""What options hold that are no number, before they are set."""
_WITHOUT_RULE: Final = frozenset(
    {
        *UNSET,
        *(option("SOL_SOCKET", f"SO_{name}") for name in ("DEBUG", "REUSEADDR", "DONTROUTE", "BROADCAST")),
        *(option("SOL_SOCKET", f"SO_{name}") for name in ("OOBINLINE", "PRIORITY", "REUSEPORT", "MARK")),
        option("SOL_SOCKET", "SO_BUSY_POLL"),
        *(option("SOL_IP", f"IP_{name}") for name in ("FREEBIND", "BIND_ADDRESS_NO_PORT")),
        option("SOL_IPV6", "IPV6_V6ONLY"),
        TCP_INQ,
    }
)
"""Options that change nothing on the wire, or whose effect the calls themselves have."""


class _Rule(NamedTuple):
    """What an option has to do with rules.

    Attributes:
        changes: The rules that a value sets.
        value: What the option holds under given rules.
    """

    changes: Callable[[int, TcpConfig], dict[str, Any]]
    value: Callable[[TcpConfig], int]


_DSCP: Final = _Rule(lambda value, _: {"dscp": (value & 0xFF) >> 2}, lambda rules: rules.dscp << 2)
_TTL: Final = _Rule(lambda value, _: {"ttl": value}, lambda rules: rules.ttl)
_ALWAYS: Final = {
    option("SOL_TCP", "TCP_NODELAY"): _Rule(
        lambda value, _: {"nodelay": bool(value)}, lambda rules: rules.nodelay
    ),
    option("SOL_SOCKET", "SO_KEEPALIVE"): _Rule(
        lambda value, _: {"keepalive": bool(value)}, lambda rules: rules.keepalive
    ),
    option("SOL_TCP", "TCP_KEEPIDLE"): _Rule(
        lambda value, _: {"keepalive_time_s": float(value)}, lambda rules: int(rules.keepalive_time_s)
    ),
    option("SOL_TCP", "TCP_KEEPINTVL"): _Rule(
        lambda value, _: {"keepalive_intvl_s": float(value)}, lambda rules: int(rules.keepalive_intvl_s)
    ),
    option("SOL_TCP", "TCP_KEEPCNT"): _Rule(
        lambda value, _: {"keepalive_probes": value}, lambda rules: rules.keepalive_probes
    ),
    option("SOL_TCP", "TCP_LINGER2"): _Rule(
        lambda value, _: {"fin_timeout_s": float(max(value, 0))}, lambda rules: int(rules.fin_timeout_s)
    ),
    option("SOL_TCP", "TCP_USER_TIMEOUT"): _Rule(
        lambda value, _: {"user_timeout_s": value / 1000}, lambda rules: round(rules.user_timeout_s * 1000)
    ),
    option("SOL_IP", "IP_TOS"): _DSCP,
    option("SOL_IPV6", "IPV6_TCLASS"): _DSCP,
    option("SOL_IP", "IP_TTL"): _TTL,
    option("SOL_IPV6", "IPV6_UNICAST_HOPS"): _TTL,
}
"""Options that a connection that is there obeys, too."""
_AT_THE_OPENING: Final = {
    option("SOL_TCP", "TCP_SYNCNT"): _Rule(
        lambda value, _: {"syn_retries": value}, lambda rules: rules.syn_retries
    ),
    option("SOL_TCP", "TCP_WINDOW_CLAMP"): _Rule(
        lambda value, _: {"rmem": max(value, 2048)}, lambda rules: rules.rmem
    ),
    option("SOL_TCP", "TCP_FASTOPEN"): _Rule(
        lambda value, rules: {"fastopen_qlen": value, "fastopen": rules.fastopen | (2 if value else 0)},
        lambda rules: rules.fastopen_qlen,
    ),
    option("SOL_SOCKET", "SO_SNDBUF"): _Rule(
        lambda value, _: {"wmem": max(2 * value, 4608)}, lambda rules: rules.wmem
    ),
    option("SOL_SOCKET", "SO_RCVBUF"): _Rule(
        lambda value, _: {"rmem": max(value, 1152)}, lambda rules: 2 * rules.rmem
    ),
}
"""Options that count when a connection is opened. Buffers are twice as large as they are set, as in Linux;
windows are not."""
_RULES: Final = _ALWAYS | _AT_THE_OPENING


def is_long_enough(which: Option, value: bytes) -> bool:
    """Whether a value has the octets that the option takes; text may have any number."""
    return which == TCP_CONGESTION or len(value) >= len(UNSET.get(which, bytes(1)))


def is_known(which: Option) -> bool:
    """Whether the engine has the option, or does without it what it asks for."""
    return which in _RULES or which in _WITHOUT_RULE


def rules_of(which: Option, value: bytes, config: TcpConfig) -> dict[str, Any]:
    """Return the rules that an option sets for a connection that is there; none if it sets none."""
    return _changes(_ALWAYS, which, value, config)


def opening_rules(options: Mapping[Option, bytes], config: TcpConfig) -> TcpConfig:
    """Return the rules by which a socket with these options opens connections.

    Raises:
        BadConfigError: A value is outside the range of its rule.
    """
    for which, value in options.items():
        config = replace(config, **_changes(_RULES, which, value, config))
    return config


def value_of(which: Option, options: Mapping[Option, bytes], config: TcpConfig) -> bytes:
    """Return what getsockopt writes, of a known option."""
    rule = _RULES.get(which)
    if rule is None:
        return options.get(which, UNSET.get(which, bytes(4)))
    return int(rule.value(opening_rules(options, config))).to_bytes(4, "little", signed=True)


def _changes(rules: Mapping[Option, _Rule], which: Option, value: bytes, config: TcpConfig) -> dict[str, Any]:
    rule = rules.get(which)
    return {} if rule is None else rule.changes(as_int(value), config)


def as_int(value: bytes) -> int:
    """Return the number that an option's octets are."""
    return int.from_bytes(value[:4], "little", signed=True)
