"""Which labs there are: one directory per lab, written before its first namespace and removed after its last.

    <runtime>/labs/<lab>/lab.json               owner, hosts, links
    <runtime>/labs/<lab>/processes/<pid>.<start time>[.group]
    <namespaces>/xs-<8 hex digits>-<host>       the namespaces themselves

So a lab whose process was killed can be found and removed by another. Nothing here makes or removes a
namespace.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from xsocket_netns.errors import LabNameError, NoSuchHostError, NoSuchLabError, RuntimeDirectoryError
from xsocket_netns.processes import Process

RUNTIME_VARIABLE = "XSOCKET_RUNTIME_DIR"
NAMESPACE_PREFIX = "xs-"
LAB_VARIABLE = "XSOCKET_LAB"  # what runs in a lab has the lab's identity in its environment

_SYSTEM_RUNTIME = Path("/run/xsocket")
_SYSTEM_NAMESPACES = Path("/run/netns")  # where `ip netns` looks too


class LabState(Enum):
    """What may be done with a lab by somebody else."""

    RUNNING = "running"  # a process is using it: hands off
    PERSISTENT = "persistent"  # made to outlive its maker: `xsocket lab up`
    LEFTOVER = "leftover"  # its process is gone, or its namespaces are


@dataclass(frozen=True, slots=True)
class InterfaceRecord:
    """One interface of a host, as it was made."""

    host: str
    interface: str
    mac: str
    addresses: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CarrierRecord:
    """The process that carries the frames of a detour, and what it does to them, in words."""

    process: Process
    does: Sequence[str] = ()


@dataclass(slots=True)
class LabRecord:
    """All that another process needs to enter or remove a lab.

    Attributes:
        name: What people call it; unique in the runtime directory.
        identity: Eight hex digits, unique on the machine, in the names of its namespaces.
        owner: The process it ends with, or that holds it; None when nothing has to run for it.
        persistent: It outlives the command that made it.
        user_namespace: Its namespaces are named in the owner's own user and mount namespaces only.
        hosts: Host name to the path of its namespace.
        bridges: The same for the namespaces that bridges live in.
        links: The ends of each link; a bridge is a link with as many ends as it has hosts.
        carriers: Name of the middle of a detour, which is among `bridges`, to the process that serves it.
    """

    name: str
    identity: str
    owner: Process | None
    persistent: bool = False
    user_namespace: bool = False
    hosts: dict[str, str] = field(default_factory=dict)
    bridges: dict[str, str] = field(default_factory=dict)
    links: list[list[InterfaceRecord]] = field(default_factory=list)
    carriers: dict[str, CarrierRecord] = field(default_factory=dict)

    @property
    def state(self) -> LabState:
        """What the lab is now; looks at the machine."""
        if self.owner is not None and not self.owner.is_running():
            return LabState.LEFTOVER
        if not self.persistent:
            return LabState.RUNNING if self.owner is not None else LabState.LEFTOVER
        if not self.user_namespace and not all(path.exists() for path in self.namespaces()):
            return LabState.LEFTOVER
        return LabState.PERSISTENT

    def namespaces(self) -> list[Path]:
        """Return the path of each namespace of the lab, hosts first."""
        return [Path(path) for path in (*self.hosts.values(), *self.bridges.values())]

    def host_namespace(self, host: str) -> Path:
        """Return the path of the namespace of *host*.

        Raises:
            NoSuchHostError: The lab has no such host.
        """
        for hosts in (self.hosts, self.bridges):
            if host in hosts:
                return Path(hosts[host])
        known = ", ".join((*self.hosts, *self.bridges)) or "none"
        raise NoSuchHostError(f"lab {self.name} has no host {host}; it has: {known}")

    def save(self, directory: Path | None = None) -> None:
        """Write the record; a reader sees the old one or the new one, never half of one."""
        directory = directory or lab_directory(self.name)
        unfinished = directory / f"lab.json.{os.getpid()}"
        unfinished.write_text(json.dumps(asdict(self)))
        unfinished.replace(directory / "lab.json")

    @classmethod
    def load(cls, name: str) -> LabRecord:
        """Read the record of the lab *name*.

        Raises:
            NoSuchLabError: There is none, or another version of Xsocket wrote it.
        """
        try:
            fields = json.loads((lab_directory(name) / "lab.json").read_text())
            return _decoded(fields)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise NoSuchLabError(f"there is no lab {name}") from error


def _decoded(fields: dict[str, Any]) -> LabRecord:
    if fields["owner"] is not None:
        fields["owner"] = Process(**fields["owner"])
    fields["links"] = [[InterfaceRecord(**end) for end in ends] for ends in fields["links"]]
    fields["carriers"] = {
        middle: CarrierRecord(Process(**carrier["process"]), carrier["does"])
        for middle, carrier in fields["carriers"].items()
    }
    return LabRecord(**fields)


def create(record: LabRecord) -> None:
    """Record a new lab, all at once: there is never a directory without a record.

    Raises:
        LabNameError: A lab of that name exists.
    """
    directory = lab_directory(record.name)
    unfinished = _hidden(directory)
    (unfinished / "processes").mkdir(parents=True)
    try:
        record.save(unfinished)
        unfinished.rename(directory)  # refused when there is one: it is not empty
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise RuntimeDirectoryError(f"cannot record a lab in {directory}: {error.strerror}") from error
        remedy = f"Choose another name, or run `xsocket lab clean {record.name}`."
        raise LabNameError(f"there is a lab {record.name} already", remedy=remedy) from None


def forget_unfinished() -> None:
    """Remove what `create` and `forget` left when their process was killed in the middle."""
    for entry in _lab_directories():
        if entry.name.startswith("."):
            pid, started, _ = entry.name[1:].split(".")
            if not Process(int(pid), int(started)).is_running():
                shutil.rmtree(entry, ignore_errors=True)


def forget(name: str) -> None:
    """Remove the record of the lab *name*, all at once; its namespaces and processes must be gone."""
    directory = lab_directory(name)
    unfinished = _hidden(directory)
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        directory.rename(unfinished)
        shutil.rmtree(unfinished, ignore_errors=True)


def _hidden(directory: Path) -> Path:
    """Return where this process puts a record together, or takes it apart, out of sight."""
    worker = Process.current()
    return directory.parent / f".{worker.pid}.{worker.started}.{secrets.token_hex(4)}"


def lab_names() -> list[str]:
    """Return the name of each lab recorded here, sorted."""
    return [entry.name for entry in _lab_directories() if not entry.name.startswith(".")]


def _lab_directories() -> list[Path]:
    try:
        return sorted((runtime_directory() / "labs").iterdir())
    except FileNotFoundError:
        return []


def records() -> list[LabRecord]:
    """Return the readable records, sorted by name."""
    found = []
    for name in lab_names():
        with contextlib.suppress(NoSuchLabError):
            found.append(LabRecord.load(name))
    return found


def note_process(lab: str, process: Process) -> None:
    """Remember that *process* runs in a host of *lab* and ends with it."""
    with contextlib.suppress(FileExistsError):
        _process_file(lab, process).touch()


def drop_process(lab: str, process: Process) -> None:
    """Forget a process that has ended."""
    _process_file(lab, process).unlink(missing_ok=True)


def noted_processes(lab: str) -> Iterator[Process]:
    """Yield the processes that were started in hosts of *lab*; some may have ended."""
    directory = lab_directory(lab) / "processes"
    for entry in sorted(directory.iterdir()) if directory.exists() else ():
        pid, started, *group = entry.name.split(".")
        yield Process(int(pid), int(started), leads_group=bool(group))


def _process_file(lab: str, process: Process) -> Path:
    group = ".group" if process.leads_group else ""
    return lab_directory(lab) / "processes" / f"{process.pid}.{process.started}{group}"


def lab_directory(name: str) -> Path:
    """Return where the lab *name* is recorded, whether it exists or not."""
    return runtime_directory() / "labs" / name


def runtime_directory() -> Path:
    """Return the directory of everything Xsocket keeps while it runs; made when missing.

    It is `XSOCKET_RUNTIME_DIR` when that is set, /run/xsocket for root, `$XDG_RUNTIME_DIR/xsocket` for
    others, and /tmp/xsocket-<uid> where there is no such directory.

    Raises:
        RuntimeDirectoryError: It cannot be made, or others may write to it.
    """
    directory = _chosen_directory()
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise RuntimeDirectoryError(f"cannot use {directory}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise RuntimeDirectoryError(f"{directory} is not a directory that only this user may write to")
    return directory


def _chosen_directory() -> Path:
    chosen = os.environ.get(RUNTIME_VARIABLE)
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0 and os.access(_SYSTEM_RUNTIME.parent, os.W_OK):
        return _SYSTEM_RUNTIME
    session = os.environ.get("XDG_RUNTIME_DIR")
    if session and os.access(session, os.W_OK):
        return Path(session) / "xsocket"
    return Path(f"/tmp/xsocket-{os.geteuid()}")  # noqa: S108 - owner and mode are verified above


def namespace_directory() -> Path:
    """Return where namespaces are named: /run/netns for root, else (or as told) in the runtime directory."""
    runtime = runtime_directory()
    chosen = os.environ.get(RUNTIME_VARIABLE)
    return _SYSTEM_NAMESPACES if runtime == _SYSTEM_RUNTIME and not chosen else runtime / "netns"
