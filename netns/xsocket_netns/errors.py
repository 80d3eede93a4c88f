"""What can go wrong with a lab, in three families: the caller erred, the machine refused, a wait ended.

Every class carries a one-line remedy, which `str(error)` prints. Nothing else lives here.
"""

from __future__ import annotations


class LabError(Exception):
    """Base of every error that `xsocket_netns` raises on purpose.

    Args:
        message: What happened, without advice.
        remedy: What to do about it; the class's own remedy when left out.
    """

    remedy: str = "Report this as a bug."

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        if remedy is not None:
            self.remedy = remedy

    @property
    def message(self) -> str:
        """What happened, without the remedy."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})"


class LabUsageError(LabError):
    """The caller asked for something that makes no sense."""

    remedy = "Correct the call."


class LabRefusedError(LabError):
    """The machine did not allow something."""

    remedy = "Run `xsocket doctor` to see what this machine allows."


class LabWaitError(LabError):
    """Something did not happen in time."""

    remedy = "Raise the timeout, or look at why it is slow."


class LabNameError(LabUsageError):
    """A name is taken, or has characters that a name may not have."""

    remedy = "Choose another name: lower-case letters, digits and hyphens, 1 to 32 of them."


class NoSuchLabError(LabUsageError):
    """No lab has that name."""

    remedy = "`xsocket lab list` names the labs there are."


class NoSuchHostError(LabUsageError):
    """The lab has no host, or the host no interface, of that name."""

    remedy = "`xsocket lab list` names the hosts of each lab."


class LabClosedError(LabUsageError):
    """The lab was used before its `with` block began or after it ended."""

    remedy = "Use the lab inside `with Lab() as lab:`."


class LabInUseError(LabUsageError):
    """The lab belongs to a process that is still running."""

    remedy = "End that process, or pass --all to remove its lab all the same."


class PrivilegeError(LabRefusedError):
    """The process may not make namespaces, and cannot enter a user namespace where it may."""

    remedy = (
        "Run as root, or allow unprivileged user namespaces; `xsocket doctor` says which switch forbids them."
    )


class NamespaceError(LabRefusedError):
    """The kernel refused to make, enter or hold a namespace."""


class NetlinkRefusedError(LabRefusedError):
    """The kernel refused a link, an address or a route."""

    remedy = (
        "Check names, addresses and prefix lengths; `xsocket doctor` says which link kinds this kernel has."
    )


class NetemUnavailableError(LabRefusedError):
    """The kernel does not have the queueing discipline netem, or may not load it from a user namespace."""

    remedy = (
        "Leave --netem away: user space impairs links as well, on every machine; or load the module: "
        "modprobe sch_netem."
    )


class TunError(LabRefusedError):
    """The machine makes no tun interface."""

    remedy = "Load the module tun, and let this user (and this container) read and write /dev/net/tun."


class SysctlError(LabRefusedError):
    """A sysctl does not exist in this namespace, or a write to it did not take."""

    remedy = (
        "Check the name and the value's range. Where /proc/sys is read-only, as in containers: start the "
        "container with --security-opt systempaths=unconfined."
    )


class RuntimeDirectoryError(LabRefusedError):
    """The directory in which labs are recorded is missing, not writable, or somebody else's."""

    remedy = "Set XSOCKET_RUNTIME_DIR to a directory that only you can write to."


class CommandFailedError(LabRefusedError):
    """A command run in a host with `check=True` ended with a status other than zero."""

    remedy = "Read what the command wrote to its standard error, or pass check=False."


class CommandTimeoutError(LabWaitError):
    """A command run in a host did not end in time; it was killed."""


class LinkTimeoutError(LabWaitError):
    """An interface got no carrier, or an address did not become usable, in time."""
