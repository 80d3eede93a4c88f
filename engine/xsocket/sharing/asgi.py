"""`serve_asgi`: web applications on claimed connections, in uvicorn or in hypercorn, with no listener."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from xsocket.errors import BadConfigError
from xsocket.sharing.serving import Pool
from xsocket.waiting import Wanted


def serve_asgi(
    app: Callable[..., Any] | str,
    pool: Pool,
    *,
    server: Literal["uvicorn", "hypercorn"] = "uvicorn",
    wanted: Wanted = None,
    concurrency: int = 1000,
    **settings: Any,  # noqa: ANN401
) -> None:
    """Serve an application until the pool is closed, or SIGINT or SIGTERM; then finish what is under way.

    Run it in as many processes as there should be: each claims what it has time for.

    Args:
        app: An ASGI application, such as one of FastAPI, or ``"module:name"``. Hypercorn takes WSGI
            applications, such as those of Flask, too; for uvicorn wrap them in ``a2wsgi.WSGIMiddleware``.
        pool: Where to claim: a `PoolClient`, or ``engine.pool``, whose connections go to the kernel then.
        server: Which package serves; it has to be installed.
        wanted: What to claim; as in `ConnectionPool.claim`.
        concurrency: How many connections are open at once; no other is claimed before one of them is closed.
        **settings: Those of `uvicorn.Config` or of `hypercorn.Config`, such as ``log_level`` or ``keyfile``.
            What is about listeners, workers and reloading has no effect.

    Raises:
        BadConfigError: There is no such server, or no such setting.
        ModuleNotFoundError: It is not installed.
        XsocketError: What a claim raises, other than `PoolClosed`.
    """
    if server == "uvicorn":
        from xsocket.sharing import on_uvicorn

        on_uvicorn.serve(app, pool, wanted, concurrency, settings)
    elif server == "hypercorn":
        from xsocket.sharing import on_hypercorn

        asyncio.run(on_hypercorn.serve(app, pool, wanted, concurrency, settings))
    else:
        raise BadConfigError(f"server is uvicorn or hypercorn, not {server!r}")
