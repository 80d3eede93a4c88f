"""Uvicorn on claimed connections: its own server, which begins by claiming where it would listen."""

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import uvicorn

from xsocket.errors import BadConfigError
from xsocket.sharing.serving import ClaimingServer, Pool, start_server
from xsocket.waiting import Wanted

_STARTUP_FAILURE: Final = 3
"""What uvicorn exits with when an application does not start, and has said why."""


def serve(
    app: Callable[..., Any] | str, pool: Pool, wanted: Wanted, concurrency: int, settings: Mapping[str, Any]
) -> None:
    """Do what `xsocket.serve_asgi` says."""
    try:
        config = uvicorn.Config(app, **settings)
    except TypeError as error:
        raise BadConfigError(f"uvicorn: {error}") from error
    server = _Server(config, pool, wanted, concurrency)
    server.run()
    if not server.started:
        sys.exit(_STARTUP_FAILURE)
    if server.claiming is not None and server.claiming.failure is not None:
        raise server.claiming.failure


class _Server(uvicorn.Server):
    """Uvicorn's server, but for where connections come from.

    Attributes:
        claiming: What claims for it; None before the application has started.
    """

    claiming: ClaimingServer | None = None

    def __init__(self, config: uvicorn.Config, pool: Pool, wanted: Wanted, concurrency: int) -> None:
        super().__init__(config)
        self._pool = pool
        self._wanted = wanted
        self._concurrency = concurrency

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, and claim for it."""
        del sockets
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return
        self.claiming = start_server(
            self._protocol,
            self._pool,
            wanted=self._wanted,
            concurrency=self._concurrency,
            ssl=self.config.ssl,
        )
        self.servers = [self.claiming]  # type: ignore[list-item]  # uvicorn closes it, and waits for that
        self.started = True

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def on_tick(self, counter: int) -> bool:
        """Return whether to exit: also when there is nothing to claim any more."""
        return await super().on_tick(counter) or not (self.claiming and self.claiming.is_serving())
