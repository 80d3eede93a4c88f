"""The 4-tuple that names a connection, as seen from this end: local address and port, then remote."""

from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple, Self

from xsocket.errors import BadAddressError


@lru_cache(maxsize=4096)
def canonical_address(text: str) -> str:
    """Return *text* as the one spelling the engine uses (RFC 5952 for IPv6).

    Raises:
        BadAddressError: It is not an IPv4 or IPv6 address, or it carries a zone.
    """
    try:
        address = ip_address(text)
    except ValueError as error:
        raise BadAddressError(f"{text!r} is not an IP address") from error
    if address.version == 6 and address.scope_id is not None:
        raise BadAddressError(f"{text!r} carries a zone; the interface is the engine's")
    return str(address)


class _Fields(NamedTuple):
    local_address: str
    local_port: int
    remote_address: str
    remote_port: int


class FourTuple(_Fields):
    """Local address, local port, remote address, remote port; hashable, immutable.

    Addresses are kept in their canonical spelling, so that equal connections have equal 4-tuples.
    `FourTuple.trusted` skips the checks for values that come out of a decoded packet.

    Raises:
        BadAddressError: An address is not one, they are of different families, or a port is not 1 to 65,535.
    """

    __slots__ = ()

    def __new__(cls, local_address: str, local_port: int, remote_address: str, remote_port: int) -> Self:
        """Make one from any spelling of the addresses; raises `BadAddressError` as the class says."""
        local, remote = canonical_address(local_address), canonical_address(remote_address)
        if (":" in local) != (":" in remote):
            raise BadAddressError(f"{local} and {remote} are of different families")
        for port in (local_port, remote_port):
            if not 1 <= port <= 65_535:
                raise BadAddressError(f"{port} is not a port")
        return super().__new__(cls, local, local_port, remote, remote_port)

    @classmethod
    def trusted(cls, local_address: str, local_port: int, remote_address: str, remote_port: int) -> Self:
        """Make one from canonical values without checking them; for the path of a packet."""
        return tuple.__new__(cls, (local_address, local_port, remote_address, remote_port))

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.local_address else 4

    @property
    def reversed(self) -> "FourTuple":
        """The same connection as the other end names it."""
        return FourTuple.trusted(self.remote_address, self.remote_port, self.local_address, self.local_port)

    def __str__(self) -> str:
        if ":" in self.local_address:
            return f"[{self.local_address}]:{self.local_port} <- [{self.remote_address}]:{self.remote_port}"
        return f"{self.local_address}:{self.local_port} <- {self.remote_address}:{self.remote_port}"
