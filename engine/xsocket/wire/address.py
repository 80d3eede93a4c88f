"""IP addresses between their forms: octets on the wire, canonical text in a `FourTuple`, interface text.

What takes longer than a look into a cache is cached, and bounded: a flood may bring a new address with every
frame.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from socket import AF_INET, AF_INET6, inet_ntoa, inet_ntop, inet_pton
from typing import Final

from xsocket.errors import BadAddressError
from xsocket.fourtuple import canonical_address

REMEMBERED: Final = 8192
"""Addresses in each cache: more would cost the victim of a flood memory, and gain others next to nothing."""

LOOPBACK_V6: Final = bytes(15) + b"\x01"
IPV4_MAPPED: Final = bytes(10) + b"\xff\xff"
"""How an IPv4-mapped IPv6 address begins (RFC 4291 section 2.5.5.2); none ever stands on a wire."""

Interface = IPv4Interface | IPv6Interface


def address_text(packed: bytes) -> str:
    """Return four or sixteen octets as the spelling of `xsocket.fourtuple.canonical_address`."""
    return inet_ntoa(packed) if len(packed) == 4 else _text_of_ipv6(packed)


@lru_cache(maxsize=REMEMBERED)
def _text_of_ipv6(packed: bytes) -> str:
    text = inet_ntop(AF_INET6, packed)
    # The C library writes ::ffff:192.0.2.1; how `ipaddress` does depends on Python's version, and it decides.
    return canonical_address(text) if "." in text else text


def address_octets(text: str) -> bytes:
    """Return the four or sixteen octets of a canonical address.

    Raises:
        BadAddressError: It is not an address.
    """
    if ":" in text:
        return _octets_of_ipv6(text)
    try:
        return inet_pton(AF_INET, text)
    except OSError as error:
        raise BadAddressError(f"{text!r} is not an IP address") from error


@lru_cache(maxsize=REMEMBERED)
def _octets_of_ipv6(text: str) -> bytes:
    try:
        return inet_pton(AF_INET6, text)
    except OSError as error:
        raise BadAddressError(f"{text!r} is not an IP address") from error


def parse_interfaces(addresses: Iterable[str]) -> list[Interface]:
    """Read addresses with their prefix length, such as ``10.0.0.2/24``; without one, no network comes along.

    Raises:
        BadAddressError: One is not an address, is multicast, unspecified or loopback, or carries a zone.
    """
    return [_parse_interface(text) for text in addresses]


@lru_cache(maxsize=REMEMBERED)
def _parse_interface(text: str) -> Interface:
    try:
        interface = ip_interface(text)
    except ValueError as error:
        raise BadAddressError(f"{text!r} is not an interface address") from error
    canonical_address(text.partition("/")[0])  # refuses a zone
    address = interface.ip
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise BadAddressError(f"{text!r} cannot be the address of a host on a link")
    return interface
