"""Takes labs down: one's own at its end, and those that others left or asked to be rid of."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from xsocket_netns import privileges, registry
from xsocket_netns.errors import LabError, LabInUseError, LabRefusedError
from xsocket_netns.namespace import unpin
from xsocket_netns.processes import Process, with_variable
from xsocket_netns.registry import LabRecord, LabState

_OURS = re.compile(re.escape(registry.NAMESPACE_PREFIX) + r"[0-9a-f]{8}-")
_HOLDER_GRACE_S = 5.0


@dataclass(slots=True)
class Removed:
    """What `clean` did.

    Attributes:
        labs: The names of the labs that are gone.
        namespaces: How many namespaces were removed; those of a killed ordinary user's process went with it.
        kept: The names of the labs that running processes own.
    """

    labs: list[str] = field(default_factory=list)
    namespaces: int = 0
    kept: list[str] = field(default_factory=list)


def clean(names: Sequence[str] = (), *, everything: bool = False) -> Removed:
    """Remove persistent and left-over labs; those of running processes only when *everything* is true.

    Args:
        names: Only these; all when empty.
        everything: Also what a running process is using. The process itself is left alone.

    Raises:
        NoSuchLabError: One of *names* is not there.
        LabInUseError: One of *names* belongs to a running process, and *everything* is false.
    """
    removed = Removed()
    for record in [LabRecord.load(name) for name in names] or registry.records():
        if everything or record.state is not LabState.RUNNING:
            removed.namespaces += remove(record)
            removed.labs.append(record.name)
        elif names:
            assert record.owner is not None, "only an owner makes a lab run"
            raise LabInUseError(f"lab {record.name} belongs to process {record.owner.pid}, which is running")
        else:
            removed.kept.append(record.name)
    if not names:
        registry.forget_unfinished()
        removed.namespaces += _remove_strays()
    return removed


def remove(record: LabRecord) -> int:
    """Remove a lab of another process; return how many namespaces were removed."""
    owner = record.owner
    for process in with_variable(registry.LAB_VARIABLE, record.identity):
        process.end()
    if not record.user_namespace or owner is None or not owner.is_running():
        return remove_from_here(record)
    if record.persistent and owner != Process.current():
        owner.end(grace_s=_HOLDER_GRACE_S)  # it holds the namespaces, which end with it
    elif not privileges.shares_mounts_with(owner.pid):
        _unpin_from_inside(record, owner.pid)
    remove_from_here(record)
    return len(record.namespaces())


def remove_from_here(record: LabRecord) -> int:
    """End what was started in the lab, remove its names that are seen from here, then its record."""
    for process in registry.noted_processes(record.name):
        if process.pid != os.getpid():
            process.end()
    present = [path for path in record.namespaces() if path.exists()]
    for path in record.namespaces():
        unpin(path)
    registry.forget(record.name)
    return len(present)


def _unpin_from_inside(record: LabRecord, pid: int) -> None:
    """Remove names that only the mount namespace of the process *pid* has, from a child that enters it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            privileges.join_user_namespace(pid)
            for path in record.namespaces():
                unpin(path)
            status = 0
        except LabError:
            pass
        finally:
            os._exit(status)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise LabRefusedError(
            f"cannot enter the namespaces of lab {record.name}",
            remedy=f"End process {pid}; they end with it.",
        )


def _remove_strays() -> int:
    """Remove namespaces that have our kind of name and no record.

    A record is written before its first namespace is made, so names read before the records miss none of
    them.
    """
    directory = registry.namespace_directory()
    found = [path for path in directory.iterdir() if _OURS.match(path.name)] if directory.is_dir() else []
    recorded = {path for record in registry.records() for path in record.namespaces()}
    strays = [path for path in found if path not in recorded]
    for path in strays:
        unpin(path)
    return len(strays)
