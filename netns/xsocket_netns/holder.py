"""Keeps an ordinary user's lab after the command that made it has ended.

A user namespace ends with its last process, so one small process stays and waits to be told to stop. Root
needs
none: the names in /run/netns hold the namespaces.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import NoReturn

from xsocket_netns import privileges
from xsocket_netns.errors import LabError, LabRefusedError
from xsocket_netns.lab import Lab
from xsocket_netns.registry import LabRecord

_STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_READY = b"\0"


def keep(name: str | None, build: Callable[[Lab], object]) -> LabRecord:
    """Make a lab that stays until `xsocket lab clean`; return its record.

    Args:
        name: Of the lab; made up when left out.
        build: Makes its hosts and links.

    Raises:
        PrivilegeError: This machine allows no user namespaces.
        LabError: As `build` raised it.
    """
    lab = Lab(name, persistent=True)
    if privileges.missing_capabilities() or privileges.in_user_namespace():
        _start_holder(lab, build)
    else:
        with lab:
            build(lab)
    return LabRecord.load(lab.name)


def _start_holder(lab: Lab, build: Callable[[Lab], object]) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _hold(lab, build, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as report:
        answer = report.read()
    if answer != _READY:
        os.waitpid(child, 0)
        message, _, remedy = answer.decode().partition("\n")
        raise LabRefusedError(message or "the process that holds the lab ended early", remedy=remedy or None)


def _hold(lab: Lab, build: Callable[[Lab], object], writer: int) -> NoReturn:
    """Be the holder: build, report, wait, remove. Never returns into the program that was forked."""
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
        _leave_the_terminal(writer)
        privileges.ensure_privileges(restart=False)
        with lab:
            build(lab)
            os.write(writer, _READY)
            os.close(writer)
            signal.sigwait(_STOP)
            lab.close()
    except LabError as error:
        os.write(writer, f"{error.message}\n{error.remedy}".encode())
    except Exception as error:  # there is nobody else to tell
        os.write(writer, f"the process that holds the lab failed: {error!r}".encode())
    finally:
        os._exit(0)
    raise AssertionError("unreachable")


def _leave_the_terminal(writer: int) -> None:
    """Hold nothing that others wait for: session, standard streams, other descriptors, directory."""
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.closerange(3, writer)
    os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))
