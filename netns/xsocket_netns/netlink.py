"""Links, addresses and routes through pyroute2, inside a namespace given as an argument.

Each call opens its netlink socket in a thread of its own that has entered the namespace: the socket stays
bound to that namespace, and pyroute2's event loop never meets one that the caller may be running. pyroute2
takes 0.2 s to import and is imported where it is used.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from xsocket_netns import threads
from xsocket_netns.errors import LabUsageError, LinkTimeoutError, NetlinkRefusedError
from xsocket_netns.namespace import Namespace

if TYPE_CHECKING:
    from pyroute2 import IPRoute  # type: ignore[import-untyped]

T = TypeVar("T")

LOOPBACK_INDEX = 1  # LOOPBACK_IFINDEX in net/flow.h: lo is the first interface of every namespace
NAME_LIMIT = 15  # IFNAMSIZ of linux/if.h, less the final zero

_NO_DAD = 0x02  # IFA_F_NODAD, linux/if_addr.h
_NUD_PERMANENT = 0x80  # linux/neighbour.h
_RTN_LOCAL = 2  # linux/rtnetlink.h
_UNUSABLE = 0x08 | 0x40  # IFA_F_DADFAILED, IFA_F_TENTATIVE
_PATIENCE_S = 5.0


class Device(NamedTuple):
    """An interface to make: its name and its Ethernet address."""

    name: str
    mac: str


def on(namespace: Namespace, action: Callable[[IPRoute], T]) -> T:
    """Call *action* with a netlink socket of *namespace*; return what it returns.

    Raises:
        NetlinkRefusedError: The kernel answered with an error.
    """
    with threads.uninterrupted():
        return namespace.run(_with_socket, action)


def _with_socket(action: Callable[[IPRoute], T]) -> T:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

    try:
        with IPRoute() as route:
            return action(route)
    except NetlinkError as error:
        raise NetlinkRefusedError(f"the kernel refused: {error.args[-1]}") from error


def set_up(index: int) -> Callable[[IPRoute], None]:
    """Return the action that sets the interface *index* up."""

    def action(route: IPRoute) -> None:
        route.link("set", index=index, state="up")

    return action


def add_veth(
    near: Namespace, device: Device, far: Namespace, far_device: Device, *, mtu: int
) -> tuple[int, int]:
    """Join two namespaces by a veth pair, both ends up and with carrier; return their interface indexes."""

    def action(route: IPRoute) -> None:
        peer = {"ifname": far_device.name, "address": far_device.mac, "mtu": mtu, "net_ns_fd": far.fileno()}
        route.link("add", ifname=device.name, kind="veth", address=device.mac, mtu=mtu, peer=peer)

    with _naming(f"the link {device.name} to {far_device.name}"):
        on(near, action)
        indexes = on(near, _index_of(device.name)), on(far, _index_of(far_device.name))
        for namespace, index in zip((near, far), indexes, strict=True):
            on(namespace, set_up(index))
        for namespace, index in zip((near, far), indexes, strict=True):
            on(namespace, _wait_for_carrier(index))
    return indexes


def add_bridge(namespace: Namespace, name: str, *, mtu: int) -> int:
    """Make a bridge that forwards from the first frame on: no spanning tree, no multicast snooping."""

    def action(route: IPRoute) -> int:
        route.link(
            "add",
            ifname=name,
            kind="bridge",
            mtu=mtu,
            br_stp_state=0,
            br_forward_delay=0,
            br_mcast_snooping=0,
        )
        index = _index_of(name)(route)
        route.link("set", index=index, state="up")
        return index

    with _naming(f"the bridge {name}"):
        return on(namespace, action)


def enslave(namespace: Namespace, port: int, bridge: int) -> None:
    """Make the interface *port* a port of *bridge*."""

    def action(route: IPRoute) -> None:
        route.link("set", index=port, master=bridge)
        _wait_for_carrier(bridge)(route)

    on(namespace, action)


def add_addresses(namespace: Namespace, index: int, addresses: Sequence[str]) -> None:
    """Give an interface addresses with prefix lengths, usable on return.

    Duplicate address detection (RFC 4862 section 5.4) is left out: a lab knows its addresses.
    """
    interfaces = [_parsed(address) for address in addresses]

    def action(route: IPRoute) -> None:
        for interface in interfaces:
            _add_address(route, index, interface)
        _wait_until_usable(route, index)
        for interface in interfaces:
            if interface.version == 6:
                _wait_for_local_route(route, str(interface.ip))

    with _naming(f"the addresses {', '.join(addresses)}"):
        on(namespace, action)


def _add_address(
    route: IPRoute, index: int, interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface
) -> None:
    options: dict[str, Any] = {"address": str(interface.ip), "prefixlen": interface.network.prefixlen}
    if interface.version == 6:
        options["flags"] = _NO_DAD
    elif interface.network.prefixlen < 31:  # RFC 3021: a /31 has no broadcast address
        options["broadcast"] = str(interface.network.broadcast_address)
    route.addr("add", index=index, **options)


def add_route(
    namespace: Namespace, destination: str, *, via: str | None, index: int | None, quickack: bool = False
) -> None:
    """Add a route to a network, or to "default" in the family of *via*; *quickack* as in ip-route(8)."""
    if via is None and index is None:
        raise LabUsageError(
            "a route needs a gateway or an interface", remedy="Pass via=, interface=, or both."
        )
    options: dict[str, Any] = {}
    if via is not None:
        options["gateway"] = str(_parsed(via).ip)
    if index is not None:
        options["oif"] = index
    if quickack:
        options["metrics"] = {"quickack": 1}
    if destination == "default":
        version = 4 if via is None else _parsed(via).version
        destination = "0.0.0.0/0" if version == 4 else "::/0"
    network = _parsed(destination).network
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6

    def action(route: IPRoute) -> None:
        route.route("add", family=family, dst=str(network), **options)

    with _naming(f"the route to {destination}"):
        on(namespace, action)


def add_neighbour(namespace: Namespace, index: int, address: str, mac: str) -> None:
    """Say which station has an address on an interface's link, for good: nobody asks for it any more."""
    family = socket.AF_INET if _parsed(address).version == 4 else socket.AF_INET6

    def action(route: IPRoute) -> None:
        route.neigh("replace", family=family, dst=address, lladdr=mac, ifindex=index, state=_NUD_PERMANENT)

    with _naming(f"the neighbour {address}"):
        on(namespace, action)


def _index_of(name: str) -> Callable[[IPRoute], int]:
    def action(route: IPRoute) -> int:
        index: int = route.link_lookup(ifname=name)[0]
        return index

    return action


def _wait_for_carrier(index: int) -> Callable[[IPRoute], None]:
    """Wait until an interface takes frames: before its operational state is up they may be dropped."""

    def action(route: IPRoute) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while route.get_links(index)[0].get("operstate") not in {"UP", "UNKNOWN"}:
            _check_patience(deadline, f"interface {index} has no carrier")

    return action


def _wait_until_usable(route: IPRoute, index: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while any(_flags(entry) & _UNUSABLE for entry in route.get_addr(index=index, family=socket.AF_INET6)):
        _check_patience(deadline, f"an address of interface {index} is still tentative")


def _wait_for_local_route(route: IPRoute, address: str) -> None:
    """Wait until the kernel takes packets for *address*: its route comes a moment after the address.

    A packet that comes in between is counted as one with a wrong address, and lost.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while not any(entry["type"] == _RTN_LOCAL for entry in route.route("get", dst=address)):
        _check_patience(deadline, f"{address} has no local route")


def _flags(entry: Any) -> int:  # noqa: ANN401 - pyroute2's messages have no type
    """Return the flags of an address; IFA_FLAGS has all 32 bits, the header's field only 8."""
    return int(entry.get("IFA_FLAGS") or entry["flags"])


def _check_patience(deadline: float, complaint: str) -> None:
    if time.monotonic() > deadline:
        raise LinkTimeoutError(f"{complaint} after {_PATIENCE_S} s")


def _parsed(address: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    try:
        return ipaddress.ip_interface(address)
    except ValueError as error:
        raise LabUsageError(
            f"not an address: {address!r}", remedy="Write it like 10.0.0.1/24 or fd00::1/64."
        ) from error


@contextlib.contextmanager
def _naming(subject: str) -> Iterator[None]:
    """Say in an error of the kernel's what it was about."""
    try:
        yield
    except NetlinkRefusedError as error:
        raise NetlinkRefusedError(f"cannot make {subject}: {error.message}") from error
