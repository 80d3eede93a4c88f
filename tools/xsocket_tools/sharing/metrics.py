"""What a pool server counts, for Prometheus: an HTTP endpoint, off unless it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from xsocket.errors import to_install
from xsocket_tools.errors import ToolError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from xsocket import Engine, PoolServer

GAUGES: Final = frozenset(
    {
        "waiting_connections",
        "waiting_claims",
        "owned_connections",
        "high_water",
        "clients",
        "unacknowledged",
        "watchers",
        "in_kernel",
    }
)
"""Among what is counted, that which can fall; high_water begins anew with the engine."""


class MetricsError(ToolError):
    """There can be no metrics endpoint."""

    remedy = "Name an address and a free port of this network namespace."


class Collector:
    """Reads the counters whenever Prometheus asks."""

    def __init__(self, engine: Engine, server: PoolServer) -> None:
        self._engine = engine
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """Yield each counter and gauge, as it is now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counted = self._server.statistics()
        for prefix, part in counted._asdict().items():
            for name, value in part._asdict().items():
                family = GaugeMetricFamily if name in GAUGES else CounterMetricFamily
                yield family(f"xsocket_{prefix}_{name}", _sentence(prefix, name), value=value)
        host = self._engine.statistics().host
        for name in ("established", "resets_sent"):
            yield CounterMetricFamily(
                f"xsocket_engine_{name}", _sentence("engine", name), value=getattr(host, name)
            )
        drops = CounterMetricFamily(
            "xsocket_engine_drops", "What the engine ignored, by reason.", labels=["reason"]
        )
        for reason, count in host.drops.items():
            drops.add_metric([reason.name], count)
        yield drops


def _sentence(prefix: str, name: str) -> str:
    return f"{prefix}: {name.replace('_', ' ')}"


def begin(engine: Engine, server: PoolServer, address: str, port: int) -> Callable[[], None]:
    """Answer on *address* and *port* from now on; return what ends that.

    Raises:
        MetricsError: The library is missing, or the kernel does not give that address and port.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as error:
        remedy = to_install("metrics")
        raise MetricsError("the package prometheus_client is missing", remedy=remedy) from error
    registry = CollectorRegistry()
    registry.register(Collector(engine, server))
    try:
        http, thread = start_http_server(port, address, registry)
    except OSError as error:
        raise MetricsError(f"no metrics on {address} port {port}: {error.strerror}") from error

    def end() -> None:
        http.shutdown()
        http.server_close()
        thread.join()

    return end
