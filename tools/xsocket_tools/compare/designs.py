"""The designs that are compared, and how each is started in a lab's server.

To add one: a member of `Design`, a command of `origin`, and what has to run before it, in `serving`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from xsocket_netns import Host
from xsocket_tools import processors
from xsocket_tools.compare.children import Child

ADDRESS: Final = "10.0.0.2"
"""The kernel's own, in every design."""
PORT: Final = 80

_MIGRATE: Final = "net.ipv4.tcp_migrate_req"


class Design(Enum):
    """A way to share the connections of a port; the value is its name on the command line and in JSON."""

    SHARED = "shared"
    REUSEPORT = "reuseport"
    MIGRATE = "reuseport-migrate"
    POOL = "pool"

    @property
    def title(self) -> str:
        """A few words."""
        return _TITLES[self]


_TITLES: Final = {
    Design.SHARED: "shared listener",
    Design.REUSEPORT: "SO_REUSEPORT",
    Design.MIGRATE: "SO_REUSEPORT with tcp_migrate_req=1",
    Design.POOL: "Xsocket pool",
}


class Serving(NamedTuple):
    """The workers of a design, at work.

    Attributes:
        pids: Their process ids, by number.
        origin: The process that has them.
        engine: The one that has the pool, where there is one.
    """

    pids: list[int]
    origin: Child
    engine: Child | None

    def stop(self) -> Stopped:
        """End the workers, then the engine; raises `ProcessFailedError` if one does not end as it should."""
        ended = json.loads(self.origin.finish())
        return Stopped(ended, json.loads(self.engine.finish()) if self.engine else {})


class Stopped(NamedTuple):
    """What was found at the end.

    Attributes:
        ended: The numbers of the workers that had ended before.
        pool: What the pool's server counted, as in `xsocket.PoolServer.statistics`, and ``cpu_us``: the
            processor time of engine and server, microseconds. Nothing without a pool.
    """

    ended: list[int]
    pool: dict[str, int]


def can_migrate() -> bool:
    """Return whether this kernel has net.ipv4.tcp_migrate_req (Linux 5.14)."""
    return Path("/proc/sys", _MIGRATE.replace(".", "/")).exists()


@contextmanager
def serving(
    design: Design, server: Host, interface: str, workers: int, odd_block_s: float
) -> Iterator[Serving]:
    """Have *workers* serve on `PORT` of `ADDRESS` in *server* as *design* has it.

    Args:
        design: Which.
        server: Its kernel has `ADDRESS` on *interface*.
        interface: The server's.
        workers: How many.
        odd_block_s: How long each request blocks worker 0, seconds.

    Raises:
        ProcessFailedError: A process did not start.
    """
    if design is Design.MIGRATE:
        server.sysctl(_MIGRATE, 1)
    options = ["--workers", str(workers), "--block", str(odd_block_s)]
    with TemporaryDirectory(prefix="xsocket-compare-") as directory:
        engine = None
        if design is Design.POOL:
            path = str(Path(directory, "pool"))
            here, _ = processors.apart()
            where = [*here, interface, f"{ADDRESS}/24", str(PORT), path]
            engine = Child(server, "xsocket_tools.compare.pool", where)
            engine.first_line()
            command = ["pool", path]
        else:
            command = ["shared" if design is Design.SHARED else "reuseport", ADDRESS, str(PORT)]
        origin = Child(server, "xsocket_tools.compare.origin", [*command, *options])
        yield Serving(json.loads(origin.first_line()), origin, engine)
