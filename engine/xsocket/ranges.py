"""`PortSet` and `AddressSet`: ports and addresses as people write them, compiled for the path of a packet.

Values: nothing here knows of connections, patterns or policies. Compiled, a set is a sorted row of disjoint,
inclusive ranges of integers (two rows for addresses, one a family), and membership is one bisection.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from xsocket.errors import BadAddressError

HIGHEST_PORT: Final = 65_535


class _Ranges:
    """Disjoint, inclusive ranges of integers in rising order; ranges that touch are one."""

    __slots__ = ("ends", "starts")

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        starts: list[int] = []
        ends: list[int] = []
        for start, end in sorted(ranges):
            if ends and start <= ends[-1] + 1:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        self.starts = tuple(starts)
        self.ends = tuple(ends)

    def __contains__(self, value: int) -> bool:
        index = bisect_right(self.starts, value) - 1
        return index >= 0 and value <= self.ends[index]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts, self.ends, strict=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Ranges):
            return NotImplemented
        return self.starts == other.starts and self.ends == other.ends

    def __hash__(self) -> int:
        return hash((self.starts, self.ends))

    def overlaps(self, other: "_Ranges") -> bool:
        """Return whether a value is in both."""
        return any(start <= last and first <= end for start, end in self for first, last in other)

    def __and__(self, other: "_Ranges") -> "_Ranges":
        pairs = ((max(start, first), min(end, last)) for start, end in self for first, last in other)
        return _Ranges((start, end) for start, end in pairs if start <= end)

    @property
    def sole(self) -> int | None:
        """The only value; None when there are several, or none."""
        return self.starts[0] if len(self.starts) == 1 and self.starts == self.ends else None


class PortSet:
    """A set of ports: ``"80,8000-8099"``, ``80``, ``range(8000, 8100)``, or a list of those.

    Immutable and hashable. ``port in ports`` takes O(log ranges), and `str` gives the canonical spelling.

    Raises:
        BadAddressError: Some part is not a port from 1 to 65,535, or a range runs backward.
    """

    __slots__ = ("_ranges",)

    def __init__(self, ports: "Ports") -> None:
        self._ranges = _Ranges(_port_ranges(ports))

    @property
    def sole(self) -> int | None:
        """The only port in it; None when there are several, or none."""
        return self._ranges.sole

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """First and last port of each stretch, lowest first."""
        return tuple(self._ranges)

    def covers(self, first: int, last: int) -> bool:
        """Return whether every port from *first* to *last* is in it."""
        return any(start <= first and last <= end for start, end in self._ranges)

    def overlaps(self, other: "PortSet") -> bool:
        """Return whether a port is in both."""
        return self._ranges.overlaps(other._ranges)

    def __and__(self, other: "PortSet") -> "PortSet":
        """Return the ports that are in both."""
        both = PortSet(())
        both._ranges = self._ranges & other._ranges
        return both

    def __contains__(self, port: int) -> bool:
        return port in self._ranges

    def __iter__(self) -> Iterator[int]:
        return (port for start, end in self._ranges for port in range(start, end + 1))

    def __len__(self) -> int:
        return sum(end - start + 1 for start, end in self._ranges)

    def __eq__(self, other: object) -> bool:
        return self._ranges == other._ranges if isinstance(other, PortSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._ranges)

    def __str__(self) -> str:
        return ",".join(str(start) if start == end else f"{start}-{end}" for start, end in self._ranges)

    def __repr__(self) -> str:
        return f"PortSet({str(self)!r})"


Ports = PortSet | int | str | Iterable[PortSet | int | str]
"""What stands for a set of ports wherever one is asked for."""


def _port_ranges(ports: Any) -> Iterator[tuple[int, int]]:  # noqa: ANN401  # judged here, so that a wrong type gets a remedy
    if isinstance(ports, PortSet):
        yield from ports._ranges
    elif isinstance(ports, str):
        for part in ports.split(","):
            yield _port_range(part.strip())
    elif isinstance(ports, int) and not isinstance(ports, bool):
        yield _port(str(ports), ports), ports
    elif isinstance(ports, Iterable):
        for each in ports:
            yield from _port_ranges(each)
    else:
        raise BadAddressError(f"{ports!r} is not a port, nor a range of ports")


def _port_range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    start = _port(first.strip(), text)
    end = _port(last.strip(), text) if dash else start
    if end < start:
        raise BadAddressError(f"the range of ports {text!r} runs backward")
    return start, end


def _port(text: str, part: int | str) -> int:
    """Return the port that *text* spells; *part* is what the caller wrote, for the message."""
    # int() also reads signs, underscores and the digits of other scripts.
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= HIGHEST_PORT):
        raise BadAddressError(f"{part!r} is not a port from 1 to {HIGHEST_PORT:,}, nor a range of them")
    return int(text)


class AddressSet:
    """A set of IPv4 and IPv6 addresses, made of addresses, networks, ranges, or a list of those.

    Immutable and hashable. Text may be ``"10.0.0.1"``, ``"10.0.0.0/24"``, ``"10.0.0.1-10.0.0.9"``,
    ``"10.0.*.*"``, and several of them with commas between. A network with host bits set means the network.
    Objects of `ipaddress` and of netaddr stand for what they print. An empty list gives the empty set.

    ``address in addresses`` expects the canonical spelling, as `FourTuple` keeps it; 0.7 us for IPv4.

    Raises:
        BadAddressError: Some part is not an address, a network or a range, or it carries a zone.
    """

    __slots__ = ("_sole", "_v4", "_v6")

    def __init__(self, addresses: "Addresses") -> None:
        v4: list[tuple[int, int]] = []
        v6: list[tuple[int, int]] = []
        for version, start, end in _address_ranges(addresses):
            (v4 if version == 4 else v6).append((start, end))
        self._v4 = _Ranges(v4)
        self._v6 = _Ranges(v6)
        self._sole = self._find_sole()

    def _find_sole(self) -> str | None:
        if not self._v6.starts and (value := self._v4.sole) is not None:
            return str(IPv4Address(value))
        if not self._v4.starts and (value := self._v6.sole) is not None:
            return str(IPv6Address(value))
        return None

    @property
    def sole(self) -> str | None:
        """The only address in it, canonical; None when there are several, or none."""
        return self._sole

    def overlaps(self, other: "AddressSet") -> bool:
        """Return whether an address is in both."""
        return self._v4.overlaps(other._v4) or self._v6.overlaps(other._v6)

    def __and__(self, other: "AddressSet") -> "AddressSet":
        """Return the addresses that are in both."""
        both = AddressSet(())
        both._v4, both._v6 = self._v4 & other._v4, self._v6 & other._v6
        both._sole = both._find_sole()
        return both

    def __contains__(self, address: str) -> bool:
        if ":" in address:
            # Making an IPv6 number of text takes 3 us: not for a set that has none.
            return bool(self._v6.starts) and _v6_number(address) in self._v6
        try:
            a, b, c, d = address.split(".")
            return (int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d)) in self._v4
        except ValueError as error:
            raise BadAddressError(f"{address!r} is not an IP address") from error

    def __bool__(self) -> bool:
        return bool(self._v4.starts or self._v6.starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AddressSet):
            return NotImplemented
        return self._v4 == other._v4 and self._v6 == other._v6

    def __hash__(self) -> int:
        return hash((self._v4, self._v6))

    def __str__(self) -> str:
        v4 = [_spell(IPv4Address(start), IPv4Address(end)) for start, end in self._v4]
        v6 = [_spell(IPv6Address(start), IPv6Address(end)) for start, end in self._v6]
        return ",".join(v4 + v6)

    def __repr__(self) -> str:
        return f"AddressSet({str(self)!r})"


Addresses = AddressSet | str | IPv4Address | IPv6Address | IPv4Network | IPv6Network | Iterable[Any]
"""What stands for a set of addresses wherever one is asked for; netaddr's objects are among the iterables."""


@lru_cache(maxsize=4096)
def _v6_number(address: str) -> int:
    try:
        return int(IPv6Address(address))
    except ValueError as error:
        raise BadAddressError(f"{address!r} is not an IP address") from error


def _spell(start: IPv4Address | IPv6Address, end: IPv4Address | IPv6Address) -> str:
    if start == end:
        return str(start)
    size = int(end) - int(start) + 1
    is_network = size & (size - 1) == 0 and int(start) % size == 0
    return f"{start}/{start.max_prefixlen - size.bit_length() + 1}" if is_network else f"{start}-{end}"


def _address_ranges(addresses: Any) -> Iterator[tuple[int, int, int]]:  # noqa: ANN401  # as for ports
    """Yield (version, first, last) for every part."""
    if isinstance(addresses, AddressSet):
        yield from ((4, start, end) for start, end in addresses._v4)
        yield from ((6, start, end) for start, end in addresses._v6)
    elif isinstance(addresses, str):
        for part in addresses.split(","):
            yield _address_range(part.strip())
    elif hasattr(addresses, "iter_cidrs"):  # netaddr.IPSet, which would print as a call
        yield from _address_ranges(list(addresses.iter_cidrs()))
    elif isinstance(addresses, list | tuple | set | frozenset):
        for each in addresses:
            yield from _address_ranges(each)
    else:  # a network is iterable too, address by address: it stands for what it prints
        yield _address_range(str(addresses))


def _address_range(text: str) -> tuple[int, int, int]:
    try:
        address = ip_address(text)
    except ValueError:
        return _netaddr_range(text)
    if address.version == 6 and address.scope_id is not None:
        raise BadAddressError(f"{text!r} carries a zone; the interface is the engine's")
    return address.version, int(address), int(address)


def _netaddr_range(text: str) -> tuple[int, int, int]:
    # 40 ms to import, and a lone address does not need it.
    import netaddr  # type: ignore[import-untyped,unused-ignore]

    try:
        if "*" in text:
            found = netaddr.IPGlob(text)
        elif "-" in text:
            first, _, last = text.partition("-")
            found = netaddr.IPRange(first.strip(), last.strip())
        else:
            found = netaddr.IPNetwork(text)
    except (netaddr.AddrFormatError, ValueError, TypeError) as error:
        raise BadAddressError(f"{text!r} is not an address, a network or a range of addresses") from error
    return found.version, found.first, found.last
