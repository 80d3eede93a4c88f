"""One host of a lab: a namespace with interfaces, in which functions and commands run.

A host knows nothing of the other hosts; `lab.py` joins them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

from xsocket_netns import netem as netems
from xsocket_netns import netlink, registry, threads
from xsocket_netns.errors import (
    CommandFailedError,
    CommandTimeoutError,
    LabClosedError,
    LabUsageError,
    NoSuchHostError,
    SysctlError,
)
from xsocket_netns.namespace import Namespace
from xsocket_netns.netem import Netem
from xsocket_netns.processes import Process
from xsocket_netns.registry import LabRecord

P = ParamSpec("P")
T = TypeVar("T")

Stream = int | IO[Any] | None

# A new namespace takes over some IPv4 settings of the machine (net.core.devconf_inherit_init_net); a lab must
# not depend on the machine. Without detection and solicitation an IPv6 address works at once and the link
# stays quiet.
_DEFAULTS = {
    "net/ipv4/ip_forward": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv6/conf/all/forwarding": "0",
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/dad_transmits": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/router_solicitations": "0",
}


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface of a host.

    Attributes:
        host: The name of its host.
        name: As the host's namespace knows it, such as "eth0".
        mac: Ethernet address, "02:00:00:00:01:00".
        index: As the host's namespace numbers it.
        addresses: Those the kernel was given, with prefix lengths; empty where an engine is to answer.
    """

    host: str
    name: str
    mac: str
    index: int
    addresses: tuple[str, ...] = ()


class Host:
    """A network namespace that a lab made. Any thread may use it.

    Args:
        lab: Whose host it is; its processes are noted and marked.
        name: What the lab calls it.
        namespace: Held open by this object from now on.
        path: Where the namespace is pinned.
    """

    def __init__(self, lab: LabRecord, name: str, namespace: Namespace, path: Path) -> None:
        self.name = name
        self.path = path
        self.interfaces: dict[str, Interface] = {}
        self.namespace = namespace
        self._lab, self._identity = lab.name, lab.identity
        self._children: list[tuple[Process, subprocess.Popen[Any]]] = []
        self._starting = threading.Lock()
        self._ended = False

    def __repr__(self) -> str:
        return f"<Host {self.name} at {self.path} with {', '.join(self.interfaces) or 'no interface'}>"

    def prepare(self) -> None:
        """Set lo up and the sysctls that make a lab the same on every machine."""
        netlink.on(self.namespace, netlink.set_up(netlink.LOOPBACK_INDEX))
        with self.enter():
            for name, value in _DEFAULTS.items():
                if Path("/proc/sys", name).exists():  # no net/ipv6 where the kernel was started without it
                    _write_sysctl(name, value)

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function* in a new thread inside the host; return or raise what it returns or raises.

        Sockets it makes belong to the host wherever they are used later.
        """
        return self.namespace.run(function, *args, **kwargs)

    def enter(self) -> contextlib.AbstractContextManager[None]:
        """Move the calling thread into the host for the length of a `with` block. May be nested."""
        return self.namespace.entered()

    def command(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        timeout: float | None = 60.0,
        check: bool = True,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the host to its end; its output is in the result.

        Args:
            argv: The program and its arguments. No shell.
            timeout: Seconds; None waits for ever.
            check: Whether a status other than zero is an error.
            stdin: Text for its standard input; nothing by default.
            env: Its environment; the caller's by default.

        Raises:
            CommandFailedError: It ended with a status other than zero.
            CommandTimeoutError: It did not end in time. It and its children were killed.
            FileNotFoundError: There is no such program.
        """
        source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        child = self.popen(argv, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        try:
            stdout, stderr = child.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as error:
            raise CommandTimeoutError(f"{argv[0]} in host {self.name} ran longer than {timeout} s") from error
        finally:
            self._end(child)
        if check and child.returncode != 0:
            last_words = stderr.strip().rpartition("\n")[2]
            raise CommandFailedError(
                f"{argv[0]} in host {self.name}: status {child.returncode}: {last_words}"
            )
        return subprocess.CompletedProcess(child.args, child.returncode, stdout, stderr)

    def popen(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        env: Mapping[str, str] | None = None,
        text: bool = True,
    ) -> subprocess.Popen[Any]:
        """Start a program in the host. It leads a process group that ends with the lab, at the latest."""
        marked = {**(os.environ if env is None else env), registry.LAB_VARIABLE: self._identity}

        def spawn() -> subprocess.Popen[Any]:
            return subprocess.Popen(  # noqa: S603 - running what the caller names is the purpose
                argv, stdin=stdin, stdout=stdout, stderr=stderr, env=marked, text=text, process_group=0
            )

        with threads.uninterrupted():
            return self.namespace.run(self._start, spawn)

    def release(self, child: subprocess.Popen[Any]) -> Process:
        """Let a program that `popen` started outlive this process; it ends with the lab, at the latest.

        Its streams are left as they are, and nobody waits for it any more.
        """
        with self._starting:
            (entry,) = (each for each in self._children if each[1] is child)
            self._children.remove(entry)
        child.returncode = 0  # unknown from now on; without any it would be an error that nobody waited
        return entry[0]

    def _start(self, spawn: Callable[[], subprocess.Popen[Any]]) -> subprocess.Popen[Any]:
        """Start a child and remember it, in one step as seen by `end_processes`."""
        with self._starting:
            if self._ended:
                raise LabClosedError(f"host {self.name} is closed")
            child = spawn()
            process = Process.of(child.pid, leads_group=True)
            assert process is not None, "an unreaped child has an entry in /proc"
            self._children.append((process, child))
            registry.note_process(self._lab, process)
            return child

    def sysctl(self, name: str, value: str | int | None = None) -> str:
        """Return a sysctl of the host, after setting it when *value* is given.

        Args:
            name: Dotted, "net.ipv4.ip_forward"; with slashes when a part has a dot,
                "net/ipv4/conf/eth0.5/forwarding".
            value: What to write; several numbers are separated by blanks.

        Raises:
            SysctlError: There is none of that name, or it reads back as something else.
        """
        path = name if "/" in name else name.replace(".", "/")
        if not path.startswith("net/"):
            raise LabUsageError(
                f"{name} is not a host's own sysctl",
                remedy="Only those under net. belong to a network namespace.",
            )
        with self.enter():
            return _read_sysctl(path) if value is None else _write_sysctl(path, str(value))

    def address(self, interface: str, *addresses: str) -> None:
        """Add addresses with prefix lengths to an interface; they are usable on return."""
        end = self.interface(interface)
        netlink.add_addresses(self.namespace, end.index, addresses)
        self.interfaces[interface] = replace(end, addresses=(*end.addresses, *addresses))

    def route(
        self,
        destination: str,
        *,
        via: str | None = None,
        interface: str | None = None,
        quickack: bool = False,
    ) -> None:
        """Add a route to a network such as "10.1.0.0/16", or to "default".

        Args:
            destination: The network.
            via: The gateway.
            interface: The way out.
            quickack: Whether the host's TCP acknowledges at once, and not with a delay, what comes this way.
        """
        index = None if interface is None else self.interface(interface).index
        netlink.add_route(self.namespace, destination, via=via, index=index, quickack=quickack)

    def neighbour(self, interface: str, address: str, mac: str) -> None:
        """Tell the kernel which station on the link has *address*, such as an engine's: it will not ask."""
        netlink.add_neighbour(self.namespace, self.interface(interface).index, address, mac)

    def impair(self, interface: str, netem: Netem) -> None:
        """Let the kernel hurt what leaves by *interface*, if it has netem.

        Raises:
            NetemUnavailableError: It has not; `xsocket_tools.path` needs none.
        """
        netems.add(self.namespace, self.interface(interface).index, netem)

    def interface(self, name: str) -> Interface:
        """Return the interface *name*.

        Raises:
            NoSuchHostError: There is none.
        """
        try:
            return self.interfaces[name]
        except KeyError:
            known = ", ".join(self.interfaces) or "none"
            raise NoSuchHostError(f"host {self.name} has no interface {name}; it has: {known}") from None

    def end_processes(self) -> None:
        """End what was started here and still runs, and start nothing more."""
        with self._starting:
            self._ended = True
        for _, child in tuple(self._children):
            self._end(child)

    def _end(self, child: subprocess.Popen[Any]) -> None:
        """End one child with its process group, close its pipes and forget it; it may have ended."""
        for entry in tuple(self._children):
            if entry[1] is child:
                self._children.remove(entry)
                _end_group(*entry)
                registry.drop_process(self._lab, entry[0])


def _end_group(process: Process, child: subprocess.Popen[Any]) -> None:
    """End a child and its group. It is reaped last: until then nobody else can get its number."""
    if child.poll() is None:
        process.end()
        child.wait()
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # what was still to be written has no reader any more
                pipe.close()


def _read_sysctl(path: str) -> str:
    try:
        return Path("/proc/sys", path).read_text().strip()
    except OSError as error:
        raise SysctlError(f"cannot read {path}: {error.strerror}") from error


def _write_sysctl(path: str, value: str) -> str:
    """Write and read back: a write may be ignored, or cut to a range, without an error."""
    try:
        Path("/proc/sys", path).write_text(value)
    except OSError as error:
        raise SysctlError(f"cannot write {value!r} to {path}: {error.strerror}") from error
    found = _read_sysctl(path)
    if found.split() != value.split():
        raise SysctlError(f"wrote {value!r} to {path}, and it reads {found!r}")
    return found
