"""What trials have in common: each writes objects of JSON, one a line; the first names the engine it has."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import xsocket

_MOST_MEMORY: Final = 2 << 30
"""A mutant that never ends may ask for more and more."""

Tell = Callable[[dict[str, Any]], None]


@contextmanager
def reporting() -> Iterator[Tell]:
    """Tell which engine this process has, and give what tells more; what others print goes elsewhere."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = _MOST_MEMORY if limit == resource.RLIM_INFINITY else min(limit, _MOST_MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (most, limit))
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as report:
        sys.stdout = sys.stderr

        def tell(line: dict[str, Any]) -> None:
            print(json.dumps(line), file=report, flush=True)

        tell({"engine": xsocket.__file__})
        yield tell
