"""Whom `xsocket learn` can ask, and what there is to know of each."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any, Final

TARGETS: Final = ("engine", "wire", "kernel")


def facts_of(name: str) -> dict[str, Any]:
    """Return what a machine's file says of the target *name*."""
    if name == "kernel":
        release = os.uname().release
        return {"target": name, "system": f"Linux {release.partition('-')[0]}", "release": release}
    return {"target": name, "system": f"Xsocket {version('xsocket')}"}
