"""The way into a lab that another process made: become a command in one of its hosts."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import NoReturn

from xsocket_netns import kernel, privileges, registry
from xsocket_netns.errors import LabRefusedError, NamespaceError
from xsocket_netns.namespace import Namespace
from xsocket_netns.processes import Process
from xsocket_netns.registry import LabRecord


class CommandNotFoundError(LabRefusedError):
    """There is no such program, or it may not be executed."""

    remedy = "Check the spelling and PATH; a lab's hosts have the files of this machine."
    exit_status = 127  # as a shell says it


def host_namespace(record: LabRecord, host: str) -> Namespace:
    """Return the namespace of *host*, held open, and this process where it may enter it.

    For a lab in a user namespace this process, which must have one thread, moves into it.

    Raises:
        NoSuchHostError: The lab has no such host.
        NamespaceError: The host's namespace is gone.
        PrivilegeError: The lab is another user's.
    """
    path = record.host_namespace(host)
    if (
        record.user_namespace
        and record.owner is not None
        and not privileges.shares_mounts_with(record.owner.pid)
    ):
        privileges.join_user_namespace(record.owner.pid)
    return Namespace.open(path)


def become(record: LabRecord, host: str, argv: Sequence[str]) -> NoReturn:
    """Replace this process, which must have one thread, by the command *argv* in *host*.

    The command keeps the pid, the terminal and the working directory, and ends with the lab.

    Raises:
        CommandNotFoundError: There is no such program.
        NoSuchHostError: The lab has no such host.
        NamespaceError: The host's namespace is gone.
    """
    with host_namespace(record, host) as namespace:
        try:
            kernel.setns(namespace.fileno(), kernel.CLONE_NEWNET)
        except OSError as error:
            raise NamespaceError(f"cannot enter host {host}: {error.strerror}") from error
    registry.note_process(record.name, Process.current())
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would hand that on
        signal.signal(number, signal.SIG_DFL)
    os.environ[registry.LAB_VARIABLE] = record.identity
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606 - running what the caller names is the purpose
    except OSError as error:
        registry.drop_process(record.name, Process.current())
        raise CommandNotFoundError(f"cannot run {argv[0]}: {error.strerror}") from error
