"""A lab: hosts, links and bridges in namespaces of their own, removed at the end whatever happens.

The record goes first and leaves last (`registry.py`), so that `removal.clean` finds what a killed process
left.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from xsocket_netns import kernel, netlink, privileges, registry, removal, threads
from xsocket_netns.errors import (
    LabClosedError,
    LabNameError,
    LabUsageError,
    NamespaceError,
    NoSuchHostError,
    PrivilegeError,
)
from xsocket_netns.host import Host, Interface
from xsocket_netns.namespace import Namespace
from xsocket_netns.offload import disable_offload
from xsocket_netns.processes import Process
from xsocket_netns.registry import CarrierRecord, InterfaceRecord, LabRecord

MTU = 1500

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_SHARED_DIRECTORY = Path("/run/netns")


@dataclass(frozen=True, slots=True)
class Link:
    """A veth pair: what goes in at one end comes out at the other."""

    left: Interface
    right: Interface

    def __getitem__(self, host: str) -> Interface:
        """Return the end in *host*."""
        for end in (self.left, self.right):
            if end.host == host:
                return end
        raise NoSuchHostError(f"the link joins {self.left.host} and {self.right.host}, not {host}")


@dataclass(frozen=True, slots=True)
class Bridge:
    """An Ethernet switch in a host of its own, `switch`, which has no addresses and only forwards.

    Attributes:
        switch: Where captures of everything, and impairments of a port, go.
        interfaces: Host name to its interface on the bridge.
        ports: Host name to the port that leads to it.
    """

    switch: Host
    interfaces: dict[str, Interface] = field(default_factory=dict)
    ports: dict[str, Interface] = field(default_factory=dict)

    def __getitem__(self, host: str) -> Interface:
        """Return the interface of *host*."""
        try:
            return self.interfaces[host]
        except KeyError:
            raise NoSuchHostError(f"host {host} is not on bridge {self.switch.name}") from None


@dataclass(frozen=True, slots=True)
class Detour:
    """A link by way of a third host, `middle`, in which a program carries the frames; by itself nothing does.

    Attributes:
        middle: Has no addresses and answers nobody.
        left: The end in one host.
        right: The end in the other.
        left_port: The interface of the middle that leads to the left end.
        right_port: The one that leads to the right end.
    """

    middle: Host
    left: Interface
    right: Interface
    left_port: Interface
    right_port: Interface

    def __getitem__(self, host: str) -> Interface:
        """Return the end in *host*."""
        return Link(self.left, self.right)[host]


class Lab:
    """Hosts joined by links, for the length of a `with` block.

    Any thread may use it. A process forked inside the block leaves it alone when it ends. Nothing in it
    touches the interfaces, addresses or sysctls of the machine itself.

    Args:
        name: What `xsocket lab list` calls it; made up when left out.
        persistent: Whether it stays when the block ends without an error, until `xsocket lab clean`. In a
            user namespace it lives in the process that made it, and `clean` ends that; see `holder.keep`.
    """

    def __init__(self, name: str | None = None, *, persistent: bool = False) -> None:
        self.identity = secrets.token_hex(4)
        self.name = self.identity if name is None else _checked(name)
        self._persistent = persistent
        self._record: LabRecord | None = None
        self._maker = 0
        self._building = threading.RLock()
        self._hosts: dict[str, Host] = {}
        self._switches: dict[str, Host] = {}

    def __repr__(self) -> str:
        return f"<Lab {self.name} with {', '.join(self._hosts) or 'no hosts'}>"

    def __enter__(self) -> Lab:
        if self._record is not None:
            raise LabClosedError(f"lab {self.name} was entered before", remedy="Make another Lab().")
        missing = privileges.missing_capabilities()
        if missing:
            raise PrivilegeError(
                f"cannot make a lab without {', '.join(missing)}",
                remedy="Run as root, or call xsocket_netns.ensure_privileges() at the start of the program.",
            )
        inside = privileges.in_user_namespace()
        owner = None if self._persistent and not inside else Process.current()
        record = LabRecord(
            self.name, self.identity, owner, persistent=self._persistent, user_namespace=inside
        )
        try:
            with threads.uninterrupted():
                registry.create(record)
                self._maker, self._record = os.getpid(), record
        except BaseException:
            self._close_for_certain()  # interrupted: the block will neither begin nor end
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._persistent:
            self._let_go()
        else:
            self._close_for_certain()

    @property
    def hosts(self) -> Mapping[str, Host]:
        """The hosts by name, in the order they were made."""
        return MappingProxyType(self._hosts)

    @property
    def record(self) -> LabRecord:
        """What other processes know of the lab.

        Raises:
            LabClosedError: Outside its `with` block.
        """
        if self._record is None or not self._maker:
            raise LabClosedError(f"lab {self.name} is not open")
        return self._record

    def close(self) -> None:
        """End what runs in the hosts and remove everything, also when interrupted. May be called twice."""
        if self._maker == os.getpid():
            with threads.uninterrupted():
                self._remove()
        else:
            self._let_go()

    def _close_for_certain(self) -> None:
        """Close, also when the interrupt comes before the first step of closing."""
        try:
            self.close()
        except BaseException:
            self.close()
            raise

    def _remove(self) -> None:
        record = self.record
        try:
            for host in self._all_hosts():
                host.end_processes()
        finally:
            self._let_go()
            removal.remove_from_here(record)

    def host(self, name: str) -> Host:
        """Make a host: a namespace with lo up, no other interface, and forwarding off.

        Raises:
            LabNameError: The lab has one of that name.
        """
        with self._building, threads.uninterrupted():
            host = self._make_host(name, self.record.hosts)
            self._hosts[name] = host
            return host

    def link(
        self,
        left: Host,
        right: Host,
        *,
        addresses: tuple[Sequence[str], Sequence[str]] = ((), ()),
        names: tuple[str | None, str | None] = (None, None),
        mtu: int = MTU,
    ) -> Link:
        """Join two hosts by a veth pair; both ends have carrier, and their addresses work, on return.

        Args:
            left: One host.
            right: The other.
            addresses: What the kernel answers for at either end, with prefix lengths: (["10.0.0.1/24",
                "fd00::1/64"], []). Leave an end empty where an engine is to answer: its address must not be
                the kernel's.
            names: Of the interfaces; eth0, eth1, ... by default.
            mtu: Of both ends, bytes.
        """
        with self._building:
            ends = self._join(left, right, names, mtu)
            link = Link(*(self._address(end, own) for end, own in zip(ends, addresses, strict=True)))
            self._note_link([link.left, link.right])
            return link

    def bridge(
        self,
        name: str,
        hosts: Sequence[Host] = (),
        *,
        addresses: Sequence[Sequence[str]] | None = None,
        mtu: int = MTU,
    ) -> Bridge:
        """Join any number of hosts by a switch in a namespace of its own.

        Args:
            name: Of the bridge, among hosts and bridges.
            hosts: Each gets an interface on it.
            addresses: One list for each of *hosts*, as for `link`; none by default.
            mtu: Of every port, bytes.
        """
        addresses = [()] * len(hosts) if addresses is None else addresses
        if len(addresses) != len(hosts):
            raise LabUsageError(f"{len(addresses)} lists of addresses for {len(hosts)} hosts")
        with self._building, threads.uninterrupted():
            switch = self._make_host(name, self.record.bridges)
            self._switches[name] = switch
            _silence(switch)
            index = netlink.add_bridge(switch.namespace, "bridge", mtu=mtu)
            bridge = Bridge(switch)
            for host, own in zip(hosts, addresses, strict=True):
                outer, port = self._join(host, switch, (None, None), mtu)
                netlink.enslave(switch.namespace, port.index, index)
                bridge.ports[host.name] = port
                bridge.interfaces[host.name] = self._address(outer, own)
            self._note_link(list(bridge.interfaces.values()))
            return bridge

    def detour(
        self,
        name: str,
        left: Host,
        right: Host,
        *,
        addresses: tuple[Sequence[str], Sequence[str]] = ((), ()),
        names: tuple[str | None, str | None] = (None, None),
        mtu: int = MTU,
    ) -> Detour:
        """Join two hosts by way of a third, in which the caller has something carry the frames.

        The ends finish what they send: each frame has its checksums and is no longer than the MTU allows.

        Args:
            name: Of the host in the middle, among hosts and bridges.
            left: One host.
            right: The other.
            addresses: As for `link`.
            names: As for `link`.
            mtu: Of all four interfaces, bytes.
        """
        if left is right:
            raise LabUsageError(f"a detour from host {left.name} to itself", remedy="Join two hosts.")
        with self._building, threads.uninterrupted():
            middle = self._make_host(name, self.record.bridges)
            self._switches[name] = middle
            _silence(middle)
            near, left_port = self._join(left, middle, (names[0], None), mtu)
            far, right_port = self._join(right, middle, (names[1], None), mtu)
            for host, end in ((left, near), (right, far)):
                host.run(disable_offload, end.name)
            ends = self._address(near, addresses[0]), self._address(far, addresses[1])
            self._note_link(ends)
            return Detour(middle, *ends, left_port, right_port)

    def note_carrier(self, detour: Detour, process: Process, does: Sequence[str]) -> None:
        """Let `xsocket lab list` know which process carries the frames of *detour*, and what it *does*."""
        record = self.record
        record.carriers[detour.middle.name] = CarrierRecord(process, list(does))
        record.save()

    def _make_host(self, name: str, kind: dict[str, str]) -> Host:
        record = self.record
        if _checked(name) in record.hosts or name in record.bridges:
            raise LabNameError(f"lab {self.name} has a host {name} already")
        path = _prepared_directory() / f"{registry.NAMESPACE_PREFIX}{self.identity}-{name}"
        kind[name] = str(path)
        record.save()  # before there is anything to find
        namespace = Namespace.create()
        try:
            namespace.pin(path)
            host = Host(record, name, namespace, path)
            host.prepare()
        except BaseException:
            namespace.close()
            raise
        return host

    def _join(
        self, left: Host, right: Host, names: tuple[str | None, str | None], mtu: int
    ) -> list[Interface]:
        hosts = (left, right)
        for host in hosts:
            if host not in self._all_hosts():
                raise NoSuchHostError(
                    f"host {host.name} is not of lab {self.name}", remedy="Join hosts of one lab."
                )
        if left is right:
            raise LabUsageError(f"a link from host {left.name} to itself", remedy="Join two hosts.")
        devices = [self._device(host, name) for host, name in zip(hosts, names, strict=True)]
        indexes = netlink.add_veth(left.namespace, devices[0], right.namespace, devices[1], mtu=mtu)
        ends = [
            Interface(host.name, device.name, device.mac, index)
            for host, device, index in zip(hosts, devices, indexes, strict=True)
        ]
        for host, end in zip(hosts, ends, strict=True):
            host.interfaces[end.name] = end
        return ends

    def _device(self, host: Host, name: str | None) -> netlink.Device:
        """Name an interface; its Ethernet address, host and interface number, is the same in every run."""
        number = len(host.interfaces)
        name = f"eth{number}" if name is None else name
        if len(name) > netlink.NAME_LIMIT or name in host.interfaces:
            raise LabNameError(f"host {host.name} cannot have an interface {name}")
        position = self._all_hosts().index(host) + 1
        return netlink.Device(name, f"02:00:00:{position >> 8:02x}:{position & 0xFF:02x}:{number:02x}")

    def _address(self, end: Interface, addresses: Sequence[str]) -> Interface:
        host = self._switches.get(end.host) or self._hosts[end.host]
        if addresses:
            host.address(end.name, *addresses)
        return host.interfaces[end.name]

    def _note_link(self, ends: Sequence[Interface]) -> None:
        record = self.record
        record.links.append([InterfaceRecord(end.host, end.name, end.mac, end.addresses) for end in ends])
        record.save()

    def _all_hosts(self) -> list[Host]:
        return [*self._hosts.values(), *self._switches.values()]

    def _let_go(self) -> None:
        self._maker = 0
        for host in self._all_hosts():
            host.namespace.close()


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise LabNameError(f"not a name: {name!r}")
    return name


def _silence(switch: Host) -> None:
    """Keep a bridge's namespace out of the traffic: it speaks no IPv6 and filters nothing it forwards."""
    for name in ("net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6"):
        _set_where_present(switch, name, 1)
    for family in ("arp", "ip", "ip6"):
        _set_where_present(switch, f"net.bridge.bridge-nf-call-{family}tables", 0)


def _set_where_present(host: Host, name: str, value: int) -> None:
    if host.run(Path("/proc/sys", name.replace(".", "/")).exists):
        host.sysctl(name, value)


def _prepared_directory() -> Path:
    """Return the directory of namespace names, made when missing.

    /run/netns becomes a shared mount, as `ip netns add` makes it: names then come and go in every mount
    namespace alike, and a later `ip netns add` does not mount over ours. The lock is the one `ip` takes.
    """
    directory = registry.namespace_directory()
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        if directory == _SHARED_DIRECTORY:
            _locked(directory, _share)
    except OSError as error:
        raise NamespaceError(f"cannot keep namespaces in {directory}: {error.strerror}") from error
    return directory


def _share(directory: Path) -> None:
    try:
        kernel.mount("", str(directory), flags=kernel.MS_SHARED | kernel.MS_REC)
    except OSError:  # EINVAL: not a mount of its own yet
        kernel.mount(str(directory), str(directory), flags=kernel.MS_BIND | kernel.MS_REC)
        kernel.mount("", str(directory), flags=kernel.MS_SHARED | kernel.MS_REC)


def _locked(directory: Path, action: Callable[[Path], None]) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        action(directory)
    finally:
        os.close(descriptor)
