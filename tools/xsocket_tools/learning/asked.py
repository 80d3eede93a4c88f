"""Targets by name: whom `xsocket learn` can ask, and what there is to know of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Final

from xsocket_netns import ensure_privileges
from xsocket_tools.fuzzing.target import Target

TARGETS: Final = ("engine", "wire", "kernel")


@contextmanager
def target_named(name: str) -> Iterator[Target]:
    """Make the target *name*, one of `TARGETS`, and let go of it afterwards.

    Raises:
        PrivilegeError: It takes a namespace, and the machine gives none.
    """
    if name == "engine":
        from xsocket_tools.fuzzing.targets.engine import EngineTarget

        engine = EngineTarget()
        try:
            yield engine
        finally:
            engine.close()
        return
    ensure_privileges()
    if name == "wire":
        from xsocket_tools.fuzzing.targets.wire import wire_target

        with wire_target() as wire:
            yield wire
        return
    from xsocket_tools.fuzzing.targets.kernel import kernel_target

    with kernel_target() as kernel:
        yield kernel


def facts_of(name: str) -> dict[str, Any]:
    """Return what a machine's file says of the target *name*."""
    if name == "kernel":
        release = os.uname().release
        return {"target": name, "system": f"Linux {release.partition('-')[0]}", "release": release}
    return {"target": name, "system": f"Xsocket {version('xsocket')}"}
