"""Servers that claim instead of listening: `serve_forever` on threads, `serve_asyncio` in an event loop.

Each claims only what it can serve at once, so that connections wait in the pool, where another process may
take them, and not in a process that is busy.
"""

import asyncio
import inspect
import logging
import socket
import socketserver
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM
from time import sleep
from typing import Any, Final

from xsocket.connection import Connection
from xsocket.errors import HandoffError, PoolBusyError, PoolClosed
from xsocket.pool import ConnectionPool
from xsocket.sharing.client import PoolClient
from xsocket.waiting import Wanted

Pool = PoolClient | ConnectionPool[Connection]
"""Where connections are claimed: of an engine in another process, or of one in this."""
StreamHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]
ProtocolFactory = Callable[[], asyncio.BaseProtocol]

RETRY_S: Final = 0.5
"""When to claim again after there was no descriptor, or the kernel did not take the connection."""
_NO_DESCRIPTOR: Final = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM})

log = logging.getLogger("xsocket.serving")


def _may_pass(error: Exception) -> bool:
    """Whether a claim that ended so is worth another try."""
    if isinstance(error, HandoffError | PoolBusyError):
        return True
    return isinstance(error, OSError) and error.errno in _NO_DESCRIPTOR


# Threads


def serve_forever(
    handler: Callable[..., socketserver.BaseRequestHandler],
    pool: Pool,
    *,
    wanted: Wanted = None,
    concurrency: int = 32,
) -> None:
    """Serve claimed connections with a handler of `socketserver` or `http.server`, each in a thread.

    Ends when the pool is closed, after what was claimed has been served.

    Args:
        handler: A class such as `http.server.SimpleHTTPRequestHandler`. Its ``server`` is a `HandlerServer`.
        pool: Where to claim: a `PoolClient`, or ``engine.pool``, whose connections are not sockets but will
            do for most handlers.
        wanted: What; as in `ConnectionPool.claim`.
        concurrency: How many connections are served at once; no other is claimed before one of them ends.

    Raises:
        XsocketError: What a claim raises, other than `PoolClosed`. Where there is no descriptor, or the
            kernel does not take a connection, it is tried again.
    """
    HandlerServer(handler, pool, wanted=wanted, concurrency=concurrency).serve_forever()


class HandlerServer(socketserver.BaseServer):
    """What `serve_forever` runs; to derive from where a handler looks for more in its ``server``."""

    multithread = True
    multiprocess = True

    def __init__(
        self,
        handler: Callable[..., socketserver.BaseRequestHandler],
        pool: Pool,
        *,
        wanted: Wanted = None,
        concurrency: int = 32,
    ) -> None:
        super().__init__(("", 0), handler)
        self.server_name, self.server_port = socket.gethostname(), 0
        self._pool = pool
        self._wanted = wanted
        self._concurrency = concurrency
        self._slots = threading.Semaphore(concurrency)

    def serve_forever(self, poll_interval: float = 0.5) -> None:
        """Claim and serve, as the function of this name does; there is nothing to poll."""
        del poll_interval
        with suppress(PoolClosed):
            while True:
                self._slots.acquire()
                request = self._claimed()
                threading.Thread(target=self._serve, args=(request,), daemon=True).start()
        for _ in range(self._concurrency - 1):  # one slot is for what did not come
            self._slots.acquire()

    def _claimed(self) -> socket.socket | Connection:
        while True:
            try:
                return self._pool.claim(self._wanted)
            except (HandoffError, PoolBusyError, OSError) as error:
                if not _may_pass(error):
                    raise
                log.warning("no connection for now: %s", error)
                sleep(RETRY_S)

    def _serve(self, request: Any) -> None:  # noqa: ANN401  # a socket, or what has its methods
        address = ("", 0)
        try:
            address = request.getpeername()
            self.finish_request(request, address)
        except Exception:
            self.handle_error(request, address)
        finally:
            self.shutdown_request(request)
            self._slots.release()

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        """Finish sending, and close."""
        with suppress(OSError):
            request.shutdown(socket.SHUT_WR)
        self.close_request(request)

    def close_request(self, request: Any) -> None:  # noqa: ANN401
        """Close."""
        request.close()


# Asyncio


async def serve_asyncio(
    handler: StreamHandler | ProtocolFactory,
    pool: Pool,
    *,
    wanted: Wanted = None,
    concurrency: int = 1000,
    ssl: ssl.SSLContext | None = None,
) -> None:
    """Serve claimed connections in the running event loop.

    Ends when the pool is closed, after what was claimed has been served; or by cancellation.

    Args:
        handler: A function or coroutine of a reader and a writer, as `asyncio.start_server` takes it; or a
            factory of protocols, as `asyncio.loop.create_server` takes it.
        pool: Where to claim: a `PoolClient`, or ``engine.pool``, whose connections go to the kernel then.
        wanted: What; as in `ConnectionPool.claim`.
        concurrency: How many connections are open at once; no other is claimed before one of them is closed.
        ssl: For TLS.

    Raises:
        XsocketError: What a claim raises, other than `PoolClosed`. Where there is no descriptor, or the
            kernel does not take a connection, it is tried again.
    """
    async with start_server(handler, pool, wanted=wanted, concurrency=concurrency, ssl=ssl) as server:
        await server.serve_forever()
        await server.wait_idle()


def start_server(
    handler: StreamHandler | ProtocolFactory,
    pool: Pool,
    *,
    wanted: Wanted = None,
    concurrency: int = 1000,
    ssl: ssl.SSLContext | None = None,
) -> "ClaimingServer":
    """Begin to serve in the running event loop; arguments are those of `serve_asyncio`.

    Returns:
        What `asyncio.start_server` would: a server, to be closed.
    """
    factory = _streams(handler) if _takes_streams(handler) else handler
    return ClaimingServer(factory, pool, wanted, concurrency, ssl)  # type: ignore[arg-type]


class ClaimingServer(asyncio.AbstractServer):
    """An asyncio server without a listener."""

    def __init__(
        self,
        factory: ProtocolFactory,
        pool: Pool,
        wanted: Wanted,
        concurrency: int,
        ssl: ssl.SSLContext | None,
    ) -> None:
        self._factory = factory
        self._pool = pool
        self._wanted = wanted
        self._ssl = ssl
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(concurrency)
        self._beginning: set[asyncio.Task[None]] = set()
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._claiming = self._loop.create_task(self._claim_for_ever())

    def close(self) -> None:
        """Claim no more; connections that are open stay so."""
        self._claiming.cancel()

    def close_clients(self) -> None:
        """Nothing: connections are their protocols' business."""

    def abort_clients(self) -> None:
        """Nothing, as `close_clients`."""

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop it runs in."""
        return self._loop

    def is_serving(self) -> bool:
        """Return whether it claims."""
        return not self._claiming.done()

    async def start_serving(self) -> None:
        """Nothing: it claims from the first."""

    async def serve_forever(self) -> None:
        """Wait until the pool is closed; raise what ends the claims otherwise."""
        try:
            await self._claiming
        finally:
            self.close()

    async def wait_closed(self) -> None:
        """Wait until nothing is claimed any more; raise nothing."""
        await asyncio.wait([self._claiming])

    async def wait_idle(self) -> None:
        """Wait until no connection is open."""
        await self._idle.wait()

    @property
    def failure(self) -> BaseException | None:
        """What ended the claims; None while they go on, and after `close` or the pool's end."""
        over = self._claiming.done() and not self._claiming.cancelled()
        return self._claiming.exception() if over else None

    async def _claim_for_ever(self) -> None:
        with suppress(PoolClosed):
            while True:
                await self._slots.acquire()
                held = _Held(await claim_patiently(self._pool, self._wanted), self._closed)
                self._open += 1
                self._idle.clear()
                task = self._loop.create_task(self._begin(held))
                self._beginning.add(task)
                task.add_done_callback(self._beginning.discard)

    def _closed(self) -> None:
        """Take note that a connection is closed; a destructor may call this in any thread."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._make_room)

    def _make_room(self) -> None:
        self._slots.release()
        self._open -= 1
        if not self._open:
            self._idle.set()

    async def _begin(self, held: "_Held") -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, held, ssl=self._ssl)
        except OSError as error:  # also what TLS has to say; the transport, if any, has closed it
            log.info("a connection did not begin: %s", error)
            held.close()
        except BaseException:
            held.close()
            raise


class _Held(socket.socket):
    """A claimed socket that says when it is closed: a transport does that last, whosever it is."""

    def __init__(self, made: socket.socket, closed: Callable[[], None]) -> None:
        super().__init__(made.family, made.type, made.proto, fileno=made.detach())
        self._tell: Callable[[], None] | None = closed

    def close(self) -> None:
        super().close()
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()


async def claim_patiently(pool: Pool, wanted: Wanted = None) -> socket.socket:
    """Claim, and try again where there is no descriptor or the kernel does not take a connection."""
    while True:
        try:
            if isinstance(pool, PoolClient):
                return await pool.claim_async(wanted)
            return await _to_kernel(await pool.claim_async(wanted), pool)
        except (HandoffError, PoolBusyError, OSError) as error:
            if not _may_pass(error):
                raise
            log.warning("no connection for now: %s", error)
            await asyncio.sleep(RETRY_S)


async def _to_kernel(connection: Connection, pool: "ConnectionPool[Connection]") -> socket.socket:
    try:
        return await connection.to_kernel_async()
    except BaseException:
        if not pool.give_back(connection):
            connection.abort()
        raise


def _takes_streams(handler: Callable[..., Any]) -> bool:
    try:
        inspect.signature(handler).bind(None, None)
    except (TypeError, ValueError):  # a factory takes nothing; some of those in C do not say what they take
        return False
    return True


def _streams(handler: Callable[..., Any]) -> ProtocolFactory:
    def factory() -> asyncio.BaseProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), handler)

    return factory
