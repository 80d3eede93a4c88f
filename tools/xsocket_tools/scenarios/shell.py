"""Commands of scripts in a lab's host: sysctls without any program, the rest by /bin/sh."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Final

from xsocket_netns import CommandTimeoutError, Host, LabError
from xsocket_tools.scenarios.commands import SysctlSet
from xsocket_tools.scenarios.errors import CommandError

_TIMEOUT_S: Final = 60.0


def set_sysctl(host: Host, step: SysctlSet) -> None:
    """Set a sysctl of *host*.

    Raises:
        CommandError: It is required, and there is none of that name, or it does not take the value.
    """
    try:
        host.sysctl(step.name, step.value)
    except LabError as error:
        if step.required:
            raise CommandError(f"sysctl {step.name}: {error.message}", remedy=error.remedy) from error


def run_shell(host: Host, text: str, directory: str, environment: Mapping[str, str]) -> None:
    """Have a shell in *host* run *text*, in *directory*.

    Raises:
        CommandError: It ended with a status other than zero, or not in a minute.
    """
    there = f"cd -- {shlex.quote(directory)} || exit\n{text}"
    try:
        done = host.command(
            ["/bin/sh", "-c", there], timeout=_TIMEOUT_S, check=False, env={**os.environ, **environment}
        )
    except CommandTimeoutError as error:
        raise CommandError(f"`{text}` ran longer than {_TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        last_words = done.stderr.strip().rpartition("\n")[2]
        raise CommandError(f"`{text}`: status {done.returncode}: {last_words or 'without a word'}")
