"""`Pattern`: which connections a claim would take, with any field of the 4-tuple left open."""

from dataclasses import dataclass
from typing import TypeVar

from xsocket.fourtuple import FourTuple
from xsocket.ranges import Addresses, AddressSet, Ports, PortSet


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Pattern:
    """A 4-tuple with open fields; None leaves one open. Immutable, hashable, equal when it means the same.

    Ports are what `xsocket.ranges.PortSet` takes (``80``, ``"80,8000-8099"``), addresses what
    `xsocket.ranges.AddressSet` takes (``"10.0.0.1"``, ``"10.0.0.0/24"``, a list of networks).

    Raises:
        BadAddressError: A port, an address, a network or a range is not one.
    """

    local_port: PortSet | None
    remote: AddressSet | None
    local: AddressSet | None
    remote_port: PortSet | None

    def __init__(
        self,
        local_port: Ports | None = None,
        remote: Addresses | None = None,
        local: Addresses | None = None,
        remote_port: Ports | None = None,
    ) -> None:
        keep = object.__setattr__  # frozen: the one way in
        keep(self, "local_port", None if local_port is None else PortSet(local_port))
        keep(self, "remote", None if remote is None else AddressSet(remote))
        keep(self, "local", None if local is None else AddressSet(local))
        keep(self, "remote_port", None if remote_port is None else PortSet(remote_port))

    def matches(self, four_tuple: FourTuple) -> bool:
        """Return whether every field that is not open holds the one of *four_tuple*; about 0.5 us."""
        local_address, local_port, remote_address, remote_port = four_tuple
        return (
            (self.local_port is None or local_port in self.local_port)
            and (self.remote_port is None or remote_port in self.remote_port)
            and (self.remote is None or remote_address in self.remote)
            and (self.local is None or local_address in self.local)
        )

    def overlaps(self, other: "Pattern") -> bool:
        """Return whether some 4-tuple matches both."""
        return (
            _meet(self.local_port, other.local_port)
            and _meet(self.remote, other.remote)
            and _meet(self.local, other.local)
            and _meet(self.remote_port, other.remote_port)
        )

    def __and__(self, other: "Pattern") -> "Pattern | None":
        """Return the pattern of what matches both; None when nothing does."""
        if not self.overlaps(other):
            return None
        return Pattern(
            _both(self.local_port, other.local_port),
            _both(self.remote, other.remote),
            _both(self.local, other.local),
            _both(self.remote_port, other.remote_port),
        )

    def __repr__(self) -> str:
        named = [
            ("local_port", _ports(self.local_port)),
            ("remote", None if self.remote is None else str(self.remote)),
            ("local", None if self.local is None else str(self.local)),
            ("remote_port", _ports(self.remote_port)),
        ]
        return f"Pattern({', '.join(f'{name}={value!r}' for name, value in named if value is not None)})"


_Set = TypeVar("_Set", PortSet, AddressSet)


def _meet(one: _Set | None, other: _Set | None) -> bool:
    return one is None or other is None or one.overlaps(other)


def _both(one: _Set | None, other: _Set | None) -> _Set | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _ports(ports: PortSet | None) -> int | str | None:
    if ports is None:
        return None
    return str(ports) if ports.sole is None else ports.sole
