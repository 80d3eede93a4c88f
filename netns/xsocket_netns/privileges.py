"""The right to make namespaces: as root, or as an ordinary user inside a user namespace of one's own.

user_namespaces(7): whoever makes a user namespace has every capability in it, and over the network namespaces
made from it; over nothing else on the machine.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import NoReturn

from xsocket_netns import kernel, netlink, registry
from xsocket_netns.errors import LabError, PrivilegeError
from xsocket_netns.namespace import Namespace

_NEEDED_CAPABILITIES = {12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW", 21: "CAP_SYS_ADMIN"}  # capability.h
_STARTED_AGAIN = "XSOCKET_STARTED_AGAIN"
_IN_USER_NAMESPACE = "XSOCKET_USER_NAMESPACE"

_START_AGAIN = """\
import sys
sys.path.insert(0, sys.argv[1])
from xsocket_netns.privileges import run_inside
run_inside(sys.argv[2:])
"""


def missing_capabilities() -> list[str]:
    """Return those that labs need and the calling thread lacks."""
    status = Path("/proc/thread-self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return [name for bit, name in _NEEDED_CAPABILITIES.items() if not effective >> bit & 1]


def in_user_namespace() -> bool:
    """Return whether `ensure_privileges` moved this process, or a forebear, into a user namespace."""
    return os.environ.get(_IN_USER_NAMESPACE) == _user_namespace_number()


def ensure_privileges(*, restart: bool = True) -> None:
    """Return once this process may make namespaces; call it first of all.

    Root returns at once. An ordinary user's process moves into new user, mount and network namespaces, in
    which it appears as root and owns every network namespace it makes. While it has one thread it can do so
    where it stands. The kernel refuses that to a process with several (`unshare(2)`), which therefore starts
    itself again, once, from its own command line: what it did before is done twice.

    Args:
        restart: Whether it may start itself again; False raises instead.

    Raises:
        PrivilegeError: User namespaces are forbidden here; the remedy names the switch.
    """
    missing = missing_capabilities()
    if not missing:
        return
    if _STARTED_AGAIN in os.environ or in_user_namespace():
        raise PrivilegeError(f"{', '.join(missing)} still missing inside a user namespace")
    if len(list(Path("/proc/self/task").iterdir())) == 1:
        enter_user_namespace()
    elif restart:
        _start_again()
    else:
        raise PrivilegeError(
            "a process with several threads cannot enter a user namespace",
            remedy="Call ensure_privileges() before anything starts a thread, or allow it to restart.",
        )


def enter_user_namespace() -> None:
    """Move this process, which must have one thread, into user, mount and network namespaces of its own.

    The caller's user and group become root there. The directory that names namespaces gets a file system that
    only this process and its children see, so nothing is left of it after them. The network namespace, with
    lo and nothing else, is what a thread returns to from a lab's host: going back to the machine's own is
    forbidden.

    Raises:
        PrivilegeError: The kernel refused; the process must not carry on as if nothing had happened.
    """
    runtime = registry.runtime_directory()
    namespaces = runtime / "netns"
    namespaces.mkdir(exist_ok=True)
    user, group = os.geteuid(), os.getegid()
    try:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")  # user_namespaces(7): before gid_map
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        kernel.mount("xsocket", str(namespaces), "tmpfs", options="mode=0700")
    except OSError as error:
        raise PrivilegeError(
            f"cannot enter a user namespace: {error.strerror}", remedy=_remedy(error)
        ) from error
    _remember_inside(runtime)
    with Namespace.open(Path("/proc/self/ns/net")) as own:
        netlink.on(own, netlink.set_up(netlink.LOOPBACK_INDEX))


def shares_mounts_with(pid: int) -> bool:
    """Return whether the process *pid* sees the same names of namespaces as this one."""
    here, there = (Path(f"/proc/{process}/ns/mnt") for process in ("self", pid))
    try:
        return here.readlink() == there.readlink()
    except OSError:
        return False


def join_user_namespace(pid: int) -> None:
    """Move this process, which must have one thread, into the user and mount namespaces of the process *pid*.

    Raises:
        PrivilegeError: They belong to another user.
    """
    runtime = registry.runtime_directory()
    here = Path.cwd()
    try:
        for kind, flag in (("user", kernel.CLONE_NEWUSER), ("mnt", kernel.CLONE_NEWNS)):
            descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
            try:
                kernel.setns(descriptor, flag)
            finally:
                os.close(descriptor)
    except OSError as error:
        raise PrivilegeError(
            f"cannot enter the user namespace of process {pid}: {error.strerror}",
            remedy="Run this as the user who made the lab.",
        ) from error
    os.chdir(here)  # setns(2) into a mount namespace goes to its root
    _remember_inside(runtime)


def _remember_inside(runtime: Path) -> None:
    """Tell this process and its children where they are; as root in there they would look elsewhere."""
    os.environ[registry.RUNTIME_VARIABLE] = str(runtime)
    os.environ[_IN_USER_NAMESPACE] = _user_namespace_number()


def _user_namespace_number() -> str:
    return str(Path("/proc/self/ns/user").stat().st_ino)


def user_namespace_refusal() -> PrivilegeError | None:
    """Try to enter a user namespace in a child process; return None, or why it did not work."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _report_attempt(writer)
    os.close(writer)
    with os.fdopen(reader) as report:
        message, _, remedy = report.read().partition("\n")
    os.waitpid(child, 0)
    return PrivilegeError(message, remedy=remedy) if message else None


def _report_attempt(writer: int) -> NoReturn:
    try:
        enter_user_namespace()
    except LabError as error:
        os.write(writer, f"{error.message}\n{error.remedy}".encode())
    except Exception as error:  # there is nobody else to tell
        os.write(writer, f"{error!r}\n{LabError.remedy}".encode())
    finally:
        os._exit(0)
    raise AssertionError("unreachable")


def run_inside(command: list[str]) -> NoReturn:
    """Enter a user namespace and become *command*: what `ensure_privileges` starts anew."""
    try:
        enter_user_namespace()
    except LabError as error:
        sys.exit(f"error: {error.message}\nremedy: {error.remedy}")
    os.execv(sys.executable, command)  # noqa: S606 - it is this very program


def _start_again() -> NoReturn:
    """Replace this process by a single-threaded one, which enters a user namespace and becomes this one."""
    if len(sys.orig_argv) < 2 or sys.orig_argv[-1] == "-":
        raise PrivilegeError(
            "a program read from standard input cannot be started again inside a user namespace",
            remedy="Put it in a file, or call ensure_privileges() before anything starts a thread.",
        )
    os.environ[_STARTED_AGAIN] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    source_root = str(Path(__file__).resolve().parents[1])
    restart = [sys.executable, "-c", _START_AGAIN, source_root, *sys.orig_argv]
    os.execv(sys.executable, restart)  # noqa: S606 - it is this very program


# Each is the switch that forbids unprivileged user namespaces, its forbidding value, and what to do.
_SWITCHES = (
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def _remedy(error: OSError) -> str:
    for name, forbids, allow in _SWITCHES:
        switch = Path("/proc/sys") / name
        if switch.exists() and switch.read_text().strip() == forbids:
            return f"Run as root, or have root run `{allow}`."
    if error.errno in {errno.ENOSPC, errno.EUSERS}:
        return "Too many user namespaces (user.max_user_namespaces), or nested too deep: run as root outside."
    if error.errno == errno.EINVAL:
        return "Enter before anything starts a thread (unshare(2))."
    return (
        "Run as root. In a container: start it with --cap-add SYS_ADMIN --cap-add NET_ADMIN"
        " --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
        " --security-opt systempaths=unconfined."
    )
