"""Keys: which connections they protect, and with what. Values that never show their secret."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, get_args

from xsocket.errors import BadConfigError
from xsocket.pattern import Pattern
from xsocket.ranges import Addresses
from xsocket.tcp import ao, md5


@dataclass(frozen=True, slots=True, init=False)
class Md5Key:
    """A key for TCP MD5 signatures (RFC 2385): for peers that know nothing better.

    Args:
        peer: Which connections it protects: remote addresses such as ``"10.0.0.1"`` or ``"10.0.0.0/24"``, or
            a whole `xsocket.Pattern`, which it becomes.
        secret: What both ends know: octets, or ASCII text. Linux takes 80 octets at most.

    Raises:
        BadAddressError: *peer* is none.
        BadConfigError: The secret is empty, or text that is not ASCII.
        AlgorithmUnavailableError: This machine has no MD5.
    """

    peer: Pattern
    secret: bytes = field(repr=False)

    def __init__(self, *, peer: Pattern | Addresses, secret: bytes | str) -> None:
        keep = object.__setattr__  # frozen: the one way in
        keep(self, "peer", _pattern(peer))
        keep(self, "secret", _octets(secret))
        md5.require()


@dataclass(frozen=True, slots=True, init=False)
class AoKey:
    """A master key tuple of the TCP Authentication Option (RFC 5925 section 3.1).

    Args:
        peer: As in `Md5Key`.
        send_id: SendID, 0 to 255: the KeyID of segments we sign. It is the peer's *recv_id*.
        recv_id: RecvID, 0 to 255: the KeyID of segments the peer signs. It is the peer's *send_id*.
        secret: The master key: octets, or ASCII text. Linux takes 80 octets at most.
        algorithm: ``"SHA1"`` for HMAC-SHA-1-96 or ``"AES128"`` for AES-128-CMAC-96, each with its key
            derivation function (RFC 5926). AES needs the extra ``xsocket[ao]``.
        include_options: Whether the MAC covers the other TCP options, too; both ends must agree.
        accept_icmp: Whether to act on ICMP errors that RFC 5925 section 7.8 has ignored on a synchronized
            connection: ports and protocols that are unreachable and, over IPv4, packets that are too big.

    Raises:
        BadAddressError: *peer* is none.
        BadConfigError: An ID or the algorithm is none, the secret is empty, or text that is not ASCII.
        AlgorithmUnavailableError: This machine lacks the algorithm.
    """

    peer: Pattern
    send_id: int
    recv_id: int
    secret: bytes = field(repr=False)
    algorithm: ao.Algorithm
    include_options: bool
    accept_icmp: bool

    def __init__(
        self,
        *,
        peer: Pattern | Addresses,
        send_id: int,
        recv_id: int,
        secret: bytes | str,
        algorithm: ao.Algorithm = "SHA1",
        include_options: bool = True,
        accept_icmp: bool = False,
    ) -> None:
        if algorithm not in get_args(ao.Algorithm):
            raise BadConfigError(f"algorithm is SHA1 or AES128, not {algorithm!r}")
        keep = object.__setattr__
        keep(self, "peer", _pattern(peer))
        keep(self, "send_id", _id("send_id", send_id))
        keep(self, "recv_id", _id("recv_id", recv_id))
        keep(self, "secret", _octets(secret))
        keep(self, "algorithm", algorithm)
        keep(self, "include_options", include_options)
        keep(self, "accept_icmp", accept_icmp)
        ao.require(algorithm)


Key = Md5Key | AoKey
"""What `Engine` takes."""


def _pattern(peer: Pattern | Addresses) -> Pattern:
    return peer if isinstance(peer, Pattern) else Pattern(remote=peer)


def _id(name: str, value: int) -> int:
    if type(value) is not int or not 0 <= value <= 255:
        raise BadConfigError(f"{name} is a number from 0 to 255, not {value!r}")
    return value


def _octets(secret: Any) -> bytes:  # noqa: ANN401  # judged here, so that a wrong type gets a remedy
    if isinstance(secret, str) and secret.isascii():
        secret = secret.encode()
    if not isinstance(secret, bytes) or not secret:
        raise BadConfigError("a secret is octets or ASCII text, and not empty")  # never what it was
    return secret


def check_together(keys: Iterable[Key]) -> tuple[Key, ...]:
    """Return *keys*, which one engine may have together.

    Raises:
        BadConfigError: Two TCP-AO keys have an ID in common and may meet on one connection (RFC 5925
            section 3.1), or one is no key.
    """
    found = tuple(keys)
    for each in found:
        if not isinstance(each, Md5Key | AoKey):
            raise BadConfigError(f"a {type(each).__name__} is neither an Md5Key nor an AoKey")
    for one, other in combinations([each for each in found if isinstance(each, AoKey)], 2):
        shared = one.send_id == other.send_id or one.recv_id == other.recv_id
        if shared and one.peer.overlaps(other.peer):
            raise BadConfigError(f"{one} and {other} share an ID, and a connection may match both")
    return found
