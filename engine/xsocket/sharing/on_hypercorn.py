"""Hypercorn on claimed connections: what its `worker_serve` does, with claims in the place of listeners."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import LifespanState
from hypercorn.utils import load_application, wrap_app

from xsocket.errors import BadConfigError
from xsocket.sharing.serving import Pool, start_server
from xsocket.waiting import Wanted


async def serve(
    app: Callable[..., Any] | str, pool: Pool, wanted: Wanted, concurrency: int, settings: Mapping[str, Any]
) -> None:
    """Do what `xsocket.serve_asgi` says."""
    worker = _Worker(app, _config(settings))
    tls = worker.config.create_ssl_context()
    async with worker.running():
        claiming = start_server(worker.serve, pool, wanted=wanted, concurrency=concurrency, ssl=tls)
        async with claiming:
            await _first_of(claiming.wait_closed(), _signalled(), worker.context.terminate.wait())
    if claiming.failure is not None:
        raise claiming.failure


class _Worker:
    """An application in hypercorn, and the connections to it.

    Attributes:
        config: Its settings.
        context: What its connections share.
    """

    def __init__(self, app: Callable[..., Any] | str, config: Config) -> None:
        self.config = config
        self.context = WorkerContext(config.max_requests)
        self._loop = asyncio.get_running_loop()
        self._state: LifespanState = {}
        self._connections: set[asyncio.Task[Any]] = set()
        if isinstance(app, str):
            self._app = load_application(app, config.wsgi_max_body_size)
        else:
            self._app = wrap_app(app, config.wsgi_max_body_size, None)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        await TCPServer(self._app, self._loop, self.config, self.context, self._state, reader, writer)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the application; at the end, let its connections finish and stop it."""
        lifespan = Lifespan(self._app, self.config, self._loop, self._state)
        life = self._loop.create_task(lifespan.handle_lifespan())
        await lifespan.wait_for_startup()
        if life.done():
            life.result()
        try:
            yield
            await self._finish()
        finally:
            await lifespan.wait_for_shutdown()
            life.cancel()
            await asyncio.wait([life])

    async def _finish(self) -> None:
        await self.context.terminated.set()
        if self._connections:
            _, unfinished = await asyncio.wait(self._connections, timeout=self.config.graceful_timeout)
            for task in unfinished:
                task.cancel()


def _config(settings: Mapping[str, Any]) -> Config:
    unknown = [name for name in settings if not hasattr(Config, name)]
    if unknown:
        raise BadConfigError(f"hypercorn: there is no setting {unknown[0]!r}")
    return Config.from_mapping(settings)


async def _first_of(*events: Awaitable[object]) -> None:
    """Wait until one of *events* has come."""
    tasks = [asyncio.ensure_future(event) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _signalled() -> None:
    """Wait for SIGINT or SIGTERM; for ever outside of the main thread, which alone gets them."""
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    with suppress(ValueError, RuntimeError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, came.set)
    await came.wait()
