"""The targets by name, as ``--on`` has them. Each is imported when it is wanted."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Final, cast

from xsocket_tools.fuzzing.target import Target, TargetError

TARGETS: Final = ("engine", "wire", "kernel", "foreign")
IN_NAMESPACES: Final = frozenset({"wire", "kernel", "foreign"})
"""Those that make network namespaces."""


@contextmanager
def opened(name: str, command: str = "") -> Iterator[Target]:
    """Open the target *name*, one of `TARGETS`, and close it afterwards.

    Args:
        name: Which.
        command: What starts a stack of somebody else's, for the target ``foreign``.

    Raises:
        TargetError: It cannot be had.
    """
    with ExitStack() as stack:
        try:
            target = stack.enter_context(_made(name, command))
        except Exception as error:
            raise _unavailable(error) from error
        yield target


def _made(name: str, command: str) -> AbstractContextManager[Target]:
    if name == "engine":
        from xsocket_tools.fuzzing.targets.engine import EngineTarget

        return closing(cast("Target", EngineTarget()))
    if name == "kernel":
        from xsocket_tools.fuzzing.targets.kernel import kernel_target

        return kernel_target()
    if name == "wire":
        from xsocket_tools.fuzzing.targets.wire import wire_target

        return wire_target()
    from xsocket_tools.fuzzing.targets.foreign import foreign_target

    try:
        words = shlex.split(command)
    except ValueError as error:
        raise TargetError(f"no command line: {error}", remedy="Correct --command.") from error
    if not words:
        raise TargetError("nobody says how to start the other stack", remedy="Name it: --command CMD.")
    return foreign_target(words)


def ensure_allowed(targets: Iterable[str]) -> None:
    """Return once this process may open *targets*; to be called before it has threads.

    Raises:
        TargetError: The machine gives no namespace to it.
    """
    from xsocket_netns import LabError, ensure_privileges

    if IN_NAMESPACES.isdisjoint(targets):
        return
    try:
        ensure_privileges()
    except LabError as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> Exception:
    """Return an error of ours as one about a target; any other as it is."""
    remedy = getattr(error, "remedy", None)
    if remedy is None or isinstance(error, TargetError):
        return error
    return TargetError(getattr(error, "message", str(error)), remedy=remedy)
