"""The page over HTTP, for one person at this machine: who may ask, and what is answered.

Only who has the token is let in, from a page of this very server. `Serving` runs it in a thread of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import socket
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from xsocket_tools.live.errors import CannotDoError, ServingError
from xsocket_tools.live.watching import Verdict, plain_row

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from xsocket_tools.live.segment_form import Wrong

HOST: Final = "127.0.0.1"
TOKEN_HEADER: Final = "x-xsocket-token"  # noqa: S105  # the name of a header
MOST_OCTETS: Final = 16_384
"""Of a request's body."""
MOST_STREAMS: Final = 8
"""Pages that may look on at once."""
INTERVAL_S: Final = 0.1
"""The shortest time between two updates of a page."""
_SILENCE_S: Final = 15.0
"""After which a stream says something, so that one whose page has gone is noticed."""
_DIRECTORY: Final = Path(__file__).parent


class Watched(Protocol):
    """What is shown, and acted on: a `Watching`. Any thread may call it."""

    @property
    def version(self) -> int:
        """Counts up whenever there is something new to see."""
        ...

    def look(self) -> bool:
        """Take in what happened since the last time; return whether there is something new."""
        ...

    def state(self) -> dict[str, Any]:
        """Return all but the rows, as plain values that JSON can hold."""
        ...

    def rows_after(self, number: int) -> tuple[list[dict[str, Any]], int]:
        """Return what happened after the row *number*, and how much of that is not kept any more."""
        ...

    def connect(self, how_many: object) -> str:
        """Let clients connect; return what is to be said of it."""
        ...

    def claim(self) -> str:
        """Claim the next connection."""
        ...

    def say(self, name: object, text: object) -> str:
        """Say something on a claimed connection."""
        ...

    def close(self, name: object) -> str:
        """Close a claimed connection."""
        ...

    def close_client(self, name: object) -> str:
        """Let the client close its end."""
        ...

    def send(self, form: object) -> Verdict | Wrong:
        """Send the segment that *form* asks for; return what the engine did with it, or what is wrong."""
        ...


class Refused(Exception):  # noqa: N818  # it is what is answered, and no error of ours
    """A request is not answered; says why, with its status."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Guard:
    """Lets in who has the token and asks this server by its own name, from its own page.

    Args:
        app: Whom it guards.
        token: What a request must have: one that changes something in a header, others in the query.
        port: Of the server.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{name}{at}" for name in (HOST, "localhost") for at in ("", f":{port}")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application do so."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_safety())
            await send(message)

        try:
            self._check(scope)
        except Refused as refused:
            await PlainTextResponse(refused.why, refused.status)(scope, receive, send_safely)
        else:
            await self._app(scope, receive, send_safely)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if scope["type"] != "http":
            raise Refused(403, "Only HTTP is spoken here.\n")
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            raise Refused(403, "This server has another name.\n")
        if headers.get("origin", f"http://{hosts[0]}") != f"http://{hosts[0]}":
            raise Refused(403, "Only its own page may ask this server.\n")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Refused(403, "Only its own page may ask this server.\n")
        if not secrets.compare_digest(self._token_in(scope, headers), self._token):
            raise Refused(403, "The address needs the token that `xsocket live` has printed.\n")

    def _token_in(self, scope: Scope, headers: Headers) -> bytes:
        if scope["method"] not in ("GET", "HEAD"):
            return headers.get(TOKEN_HEADER, "").encode()
        query = parse_qs(str(scope["query_string"], "latin-1"))
        return query.get("token", [""])[0].encode()


@cache
def page() -> str:
    """Return the page: one document that fetches nothing but its own events."""
    text = (_DIRECTORY / "page.html").read_text(encoding="utf-8")
    return text.replace("{{ style }}", _part("page.css")).replace("{{ script }}", _part("page.js"))


@cache
def _part(name: str) -> str:
    return "\n" + (_DIRECTORY / name).read_text(encoding="utf-8")


@cache
def _safety() -> dict[str, str]:
    """Return the headers that keep the page to itself."""
    style, script = (
        f"'sha256-{b64encode(sha256(_part(name).encode()).digest()).decode()}'"
        for name in ("page.css", "page.js")
    )
    policy = (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "content-security-policy": policy,
        "cache-control": "no-store",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


class Pages:
    """What is answered.

    Args:
        watching: What is shown.
        fail: Called when nothing can be seen any more.

    Attributes:
        is_closing: Set by any thread; streams end then.
        failure: Why nothing can be seen any more.
    """

    def __init__(self, watching: Watched, fail: Callable[[], object]) -> None:
        self._watching = watching
        self._fail = fail
        self._streams = 0
        self.is_closing = False
        self.failure: Exception | None = None

    def application(self) -> Starlette:
        """Return it, without a guard."""
        acts: dict[str, Callable[[dict[str, Any]], str]] = {
            "connect": lambda form: self._watching.connect(form.get("clients")),
            "claim": lambda _form: self._watching.claim(),
            "say": lambda form: self._watching.say(form.get("name"), form.get("text")),
            "close": lambda form: self._watching.close(form.get("name")),
            "close-client": lambda form: self._watching.close_client(form.get("name")),
        }
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/events", self._events),
                Route("/segment", self._segment, methods=["POST"]),
                *(Route(f"/{name}", _doing(act), methods=["POST"]) for name, act in acts.items()),
            ],
            exception_handlers={Refused: _refused, CannotDoError: _cannot},
            lifespan=self._looking,
        )

    @asynccontextmanager
    async def _looking(self, _app: Starlette) -> AsyncIterator[None]:
        """Take in what happens, for as long as the server runs."""
        task = asyncio.create_task(self._look())
        yield
        task.cancel()

    async def _look(self) -> None:
        try:
            while True:
                self._watching.look()
                await asyncio.sleep(INTERVAL_S)
        except Exception as failure:  # whatever it is, who waits in another thread has to hear of it
            self.failure = failure
            self._fail()

    async def _page(self, _request: Request) -> Response:
        return HTMLResponse(page())

    async def _events(self, request: Request) -> Response:
        if self._streams >= MOST_STREAMS:
            raise Refused(503, f"{MOST_STREAMS} pages look on already.\n")
        last = request.headers.get("last-event-id", "")
        seen = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else 0
        return StreamingResponse(self._stream(seen), media_type="text/event-stream")

    async def _stream(self, seen: int) -> AsyncIterator[str]:
        self._streams += 1
        try:
            shown, silent_s = -1, 0.0
            while not self.is_closing:
                if self._watching.version != shown:
                    shown, silent_s = self._watching.version, 0.0
                    rows, missed = self._watching.rows_after(seen)
                    seen = rows[-1]["number"] if rows else seen
                    news = {"state": self._watching.state(), "rows": rows, "missed": missed}
                    yield f"id: {seen}\ndata: {json.dumps(news)}\n\n"
                elif silent_s > _SILENCE_S:
                    silent_s = 0.0
                    yield ": still here\n\n"
                await asyncio.sleep(INTERVAL_S)
                silent_s += INTERVAL_S
        finally:
            self._streams -= 1

    async def _segment(self, request: Request) -> Response:
        form = await _form_of(request)
        came = await run_in_threadpool(self._watching.send, form)
        if not isinstance(came, Verdict):
            return JSONResponse({"wrong": came})
        return JSONResponse({"said": came.said, "rows": [plain_row(each) for each in came.rows]})


def _doing(act: Callable[[dict[str, Any]], str]) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        form = await _form_of(request)
        return JSONResponse({"said": await run_in_threadpool(act, form)})

    return answer


async def _form_of(request: Request) -> dict[str, Any]:
    """Return the object that a request holds as JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "Send JSON.\n")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_OCTETS:
            raise Refused(413, f"Send no more than {MOST_OCTETS:,} octets.\n")
    try:
        form = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "This is no JSON.\n") from error
    if not isinstance(form, dict):
        raise Refused(400, "Send an object.\n")
    return form


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return PlainTextResponse(error.why, error.status)


async def _cannot(_request: Request, error: Exception) -> Response:
    assert isinstance(error, CannotDoError)
    return JSONResponse({"error": error.message})  # not 4xx: browsers log that as a failure of the page


class Serving:
    """A server in a thread of its own, for the length of a `with` block.

    Args:
        watching: What it shows.
        at: Where it listens; it is closed at the end.

    Attributes:
        url: Of the page, with the token.
    """

    def __init__(self, watching: Watched, at: socket.socket) -> None:
        token, port = secrets.token_urlsafe(32), at.getsockname()[1]
        self.url = f"http://{HOST}:{port}/?token={token}"
        self._pages = Pages(watching, self._stop)
        config = uvicorn.Config(
            Guard(self._pages.application(), token=token, port=port),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=2,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._at = at
        self._server = uvicorn.Server(config)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="xsocket-live", daemon=True)

    def _run(self) -> None:
        try:
            self._server.run([self._at])
        finally:
            self._ended.set()

    def _stop(self) -> None:
        self._pages.is_closing = self._server.should_exit = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._thread.join()
        self._at.close()

    def wait(self) -> None:
        """Wait until the server ends, which it does not do unless something is wrong.

        Raises:
            ServingError: It did.
        """
        self._ended.wait()
        why = f": {self._pages.failure!r}" if self._pages.failure is not None else ""
        raise ServingError(f"the server of the page has ended{why}") from self._pages.failure
