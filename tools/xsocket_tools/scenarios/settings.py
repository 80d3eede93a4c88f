"""What a run is like apart from its events: addresses, ports, sizes, tolerances. Packetdrill's flags set it.

The defaults are packetdrill's: documentation addresses for the remote end, private ones for the local.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from math import nan
from typing import Final, Literal

from xsocket_tools.scenarios.errors import ScriptUsageError, UnsupportedError
from xsocket_tools.scenarios.script import Flag, Script

IpVersion = Literal["ipv4", "ipv6", "ipv4-mapped-ipv6"]
IP_VERSIONS: Final[tuple[IpVersion, ...]] = ("ipv4", "ipv6", "ipv4-mapped-ipv6")
MSS: Final = 1460
"""What both IP versions announce where a script says nothing of MTU and MSS: so one script suits both."""
FIRST_REMOTE_PORT: Final = 40_000
"""Port of the remote end in connections that it opens, and that the script gives no ports."""

_LOCAL: Final = {4: "192.168.0.1", 6: "fd3d:fa7b:d17d::1"}
_REMOTE: Final = {4: "192.0.2.1", 6: "2001:db8::1"}
_HEADERS: Final = {4: 40, 6: 60}


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one run; immutable.

    Attributes:
        ip_version: Which IP carries the segments, and whether IPv4 does so for sockets of IPv6.
        local_ip, remote_ip: Addresses of the target and of the script; those of the version if empty.
        bind_port: Local port where a call says ``...``.
        connect_port: Remote port where a call says ``...``.
        given_mtu: Of the interface, octets; None for one that makes the MSS 1460, as in packetdrill's tests.
        tolerance_us: How far from its time an event may come; None for the target's own.
        tolerance_percent: The same as a share of the time since the event before; the larger counts.
        tcp_ts_tick_usecs: Microseconds a tick of the target's timestamps takes; 0 checks none.
        tcp_ts_ecr_scaled: Whether the script may echo what the target has not sent; counts from its first.
        strict_segments: Whether an outbound packet of the script is one on the wire; else text that follows
            without a gap in several packets may be one of the script's.
        definitions: Names and what stands for them.
        given: The flags that made these settings what they are, in order.
    """

    ip_version: IpVersion = "ipv4"
    local_ip: str = ""
    remote_ip: str = ""
    bind_port: int = 8080
    connect_port: int = 8080
    given_mtu: int | None = None
    tolerance_us: int | None = None
    tolerance_percent: float = 12.5
    tcp_ts_tick_usecs: int = 0
    tcp_ts_ecr_scaled: bool = False
    strict_segments: bool = False
    definitions: tuple[tuple[str, str], ...] = ()
    given: tuple[Flag, ...] = ()

    @property
    def version(self) -> Literal[4, 6]:
        """IP version of the packets."""
        return 6 if self.ip_version == "ipv6" else 4

    @property
    def local(self) -> str:
        """The target's address, canonical."""
        return self.local_ip or _LOCAL[self.version]

    @property
    def remote(self) -> str:
        """The script's address, canonical."""
        return self.remote_ip or _REMOTE[self.version]

    @property
    def mtu(self) -> int:
        """The MTU of the interface, octets."""
        return MSS + self.header_octets if self.given_mtu is None else self.given_mtu

    @property
    def header_octets(self) -> int:
        """What an MTU exceeds the MSS by (RFC 9293 section 3.7.1)."""
        return _HEADERS[self.version]


def with_flags(settings: Settings, flags: Iterable[Flag], *, version: IpVersion | None = None) -> Settings:
    """Return *settings* as the flags of a script, or of a command line, change them.

    Args:
        settings: To begin with.
        flags: In order; the last of a name counts, but every definition does.
        version: The IP version, whatever the flags say.

    Raises:
        ScriptUsageError: A flag does not exist, or its value makes no sense.
        UnsupportedError: A flag is packetdrill's, and nothing here does what it asks for.
    """
    for flag in flags:
        if flag.name in _UNSUPPORTED:
            raise UnsupportedError(f"flag --{flag.name}: {_UNSUPPORTED[flag.name]}", flag.line)
        if flag.name in _HARMLESS:
            continue
        if flag.name not in _READERS:
            raise ScriptUsageError(f"there is no flag --{flag.name}")
        try:
            settings = _READERS[flag.name](settings, flag.value or "")
        except ValueError as error:
            raise ScriptUsageError(f"--{flag.name}={flag.value}: {error}") from None
        settings = replace(settings, given=(*settings.given, flag))
    if version is not None:
        settings = replace(settings, ip_version=version)
    for address in filter(None, (settings.local_ip, settings.remote_ip)):
        if ip_address(address).version != settings.version:
            raise ScriptUsageError(f"{address} is no address for {settings.ip_version}")
    return settings


def ip_versions(script: Script) -> tuple[IpVersion, ...]:
    """Return the IP versions that *script* is for: the one it names, else IPv4 and IPv6."""
    named = [flag.value for flag in script.flags if flag.name == "ip_version"]
    return tuple(each for each in IP_VERSIONS if each == named[-1]) if named else ("ipv4", "ipv6")


def _address(text: str) -> str:
    return str(ip_address(text.partition("/")[0]))


def _number(text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ValueError(f"it is a whole number from {low} to {high}")
    return int(text)


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not 0 <= value <= 1000:
        raise ValueError("it is a number from 0 to 1000")
    return value


def _version(settings: Settings, value: str) -> Settings:
    chosen = next((each for each in IP_VERSIONS if each == value), None)
    if chosen is None:
        raise ValueError(f"it is one of {', '.join(IP_VERSIONS)}")
    return replace(settings, ip_version=chosen)


def _define(settings: Settings, value: str) -> Settings:
    name, equals, meaning = value.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError("write it NAME=VALUE")
    return replace(settings, definitions=(*settings.definitions, (name, meaning)))


def _checked_mss(settings: Settings, value: str) -> Settings:
    _number(value, 48, 65_495)  # how packetdrill cuts what it injects; here a packet is injected whole
    return settings


def _checked_gateway(settings: Settings, value: str) -> Settings:
    _address(value)  # the remote end is on the target's link, or reached through whatever is at its end
    return settings


def _checked_network(settings: Settings, value: str) -> Settings:
    ip_network(f"0.0.0.0/{value}")  # the local network is made to hold the local address, whatever it is
    return settings


_READERS: Final[dict[str, Callable[[Settings, str], Settings]]] = {
    "ip_version": _version,
    "local_ip": lambda settings, value: replace(settings, local_ip=_address(value)),
    "remote_ip": lambda settings, value: replace(settings, remote_ip=_address(value)),
    "gateway_ip": _checked_gateway,
    "netmask_ip": _checked_network,
    "bind_port": lambda settings, value: replace(settings, bind_port=_number(value, 1, 65_535)),
    "connect_port": lambda settings, value: replace(settings, connect_port=_number(value, 1, 65_535)),
    "mtu": lambda settings, value: replace(settings, given_mtu=_number(value, 128, 65_535)),
    "mss": _checked_mss,
    "tolerance_usecs": lambda settings, value: replace(settings, tolerance_us=_number(value, 0, 10**9)),
    "tolerance_percent": lambda settings, value: replace(settings, tolerance_percent=_percent(value)),
    "tcp_ts_tick_usecs": lambda settings, value: replace(
        settings, tcp_ts_tick_usecs=_number(value, 0, 10**6)
    ),
    "tcp_ts_ecr_scaled": lambda settings, _: replace(settings, tcp_ts_ecr_scaled=True),
    "strict_segments": lambda settings, _: replace(settings, strict_segments=True),
    "define": _define,
    "D": _define,
}
_HARMLESS: Final = frozenset({"verbose", "v", "debug", "speed", "send_omit_free", "code_command"})
"""Flags of packetdrill that change how it works and not what a script means."""
_UNSUPPORTED: Final = {
    "wire_client": "`--on wire` runs the engine on a link",
    "wire_server": "`--on wire` runs the engine on a link",
    "wire_server_ip": "`--on wire` runs the engine on a link",
    "wire_server_at": "`--on wire` runs the engine on a link",
    "wire_server_port": "`--on wire` runs the engine on a link",
    "wire_client_dev": "`--on wire` runs the engine on a link",
    "wire_server_dev": "`--on wire` runs the engine on a link",
    "so_filename": "the engine is the stack in user space; use --on sim",
    "so_flags": "the engine is the stack in user space; use --on sim",
    "non_fatal": "every difference counts here",
    "init_scripts": "begin the script with the commands, in backticks",
    "code_sockopt": "assertions see TCP_INFO",
    "code_format": "assertions are Python",
    "is_anyip": "the target has one address",
    "dry_run": "use `xsocket fmt --check`, which reads a script and runs nothing",
}
