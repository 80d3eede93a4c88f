"""Shards on the workers of a Dask cluster. The only module that imports `distributed`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any, Final

from xsocket.errors import to_install
from xsocket_tools.errors import ToolError
from xsocket_tools.fuzzing.campaign import MOST_AHEAD
from xsocket_tools.fuzzing.opening import IN_NAMESPACES
from xsocket_tools.fuzzing.shard import Shard
from xsocket_tools.fuzzing.workers import RETRIES, Ended, ShardFailedError, outcome_of, perform

if TYPE_CHECKING:
    from distributed import Client, Future

NAMESPACE_RESOURCE: Final = "netns"
"""The Dask resource of workers that can make network namespaces."""
CONNECT_S: Final = 10.0
RESULT_S: Final = 60.0
"""How long the result of a shard that has ended may be on its way."""


class ClusterError(ToolError):
    """There is no cluster to play shards."""

    remedy = "docs/how-to/fuzz.md says how to start one."
    exit_status = 3


class ClusterWorkers:
    """The workers of a Dask cluster; see `Workers`. They are had from `cluster_workers`.

    Args:
        client: Connected to its scheduler.
        retries: How often a shard is played again that did not end well.
    """

    def __init__(self, client: Client, retries: int = RETRIES) -> None:
        self._client, self._retries = client, retries
        self._ended: Queue[tuple[Shard, Future[str]]] = Queue()
        self._under_way: dict[int, Future[str]] = {}

    def most(self) -> int:
        """See `Workers`: the scheduler knows best who is idle."""
        return MOST_AHEAD

    def start(self, shard: Shard) -> None:
        """See `Workers`."""
        future = self._client.submit(
            perform,
            json.dumps(shard.as_dict()),
            resources={NAMESPACE_RESOURCE: 1} if shard.target in IN_NAMESPACES else None,
            retries=self._retries,
            pure=False,
        )
        self._under_way[shard.first] = future
        future.add_done_callback(  # type: ignore[no-untyped-call]
            lambda done: self._ended.put((shard, done))
        )

    def next_ended(self, patience_s: float) -> Ended | None:
        """See `Workers`."""
        try:
            shard, future = self._ended.get(timeout=patience_s)
        except Empty:
            return None
        del self._under_way[shard.first]
        try:
            return Ended(shard, outcome_of(future.result(timeout=RESULT_S)))
        except ShardFailedError as error:
            return Ended(shard, error)
        except Exception as error:  # whatever happened on a worker, or to it
            return Ended(shard, ShardFailedError(f"the cluster does not play a shard: {error!r}"))

    def stop(self) -> Iterator[Ended]:
        """See `Workers`: what has ended counts, and the rest is given up."""
        while (ended := self.next_ended(0)) is not None:
            yield ended
        self._client.cancel(  # type: ignore[no-untyped-call]
            list(self._under_way.values()), force=True
        )
        self._under_way.clear()


@contextmanager
def cluster_workers(address: str, target: str, retries: int = RETRIES) -> Iterator[ClusterWorkers]:
    """Connect to the scheduler at *address*, such as ``tcp://10.0.0.1:8786``.

    Args:
        address: Where it is.
        target: What is to be played on; some take workers that can make namespaces.
        retries: See `ClusterWorkers`.

    Raises:
        ClusterError: `distributed` is not installed, nobody answers, or there are no workers.
    """
    if find_spec("distributed") is None:
        raise ClusterError("a cluster takes distributed", remedy=to_install("campaign"))
    from distributed import Client

    try:
        client = Client(  # type: ignore[no-untyped-call]
            address, timeout=CONNECT_S, set_as_default=False
        )
    except (OSError, ValueError) as error:
        raise ClusterError(f"no scheduler answers at {address}: {error}") from error
    with client:
        _check(client.scheduler_info(n_workers=-1)["workers"], address, target)
        yield ClusterWorkers(client, retries)


def _check(workers: dict[str, Any], address: str, target: str) -> None:
    if not workers:
        raise ClusterError(f"the scheduler at {address} has no workers", remedy=f"dask worker {address}")
    if target in IN_NAMESPACES and not any(
        each["resources"].get(NAMESPACE_RESOURCE) for each in workers.values()
    ):
        raise ClusterError(
            f"no worker of {address} has the resource {NAMESPACE_RESOURCE}",
            remedy=f"Where namespaces can be made: dask worker {address} --resources netns=1",
        )
