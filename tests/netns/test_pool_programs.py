"""Programs that would listen elsewhere, on connections of a pool: web frameworks, asyncio, TLS."""

import asyncio
import http.server
import re
import resource
import signal
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

import xsocket
from support.certificates import certificate_for
from support.live import OURS, PATIENCE_S, Task, tcp_counters, until
from support.programs import needed
from support.sharing import Scene, Started, echoes, exchanged, programs, scene
from xsocket import PoolClient, serve_asyncio, serve_forever

pytestmark = pytest.mark.netns

PROCESSES: Final = 4
CROWD: Final = 1000

FASTAPI = """
import os, sys, fastapi, xsocket
from fastapi.responses import PlainTextResponse
app = fastapi.FastAPI()

@app.get("/", response_class=PlainTextResponse)
async def root(request: fastapi.Request):
    return f"{os.getpid()} {request.client.host} {request.url.port}"

with xsocket.PoolClient(sys.argv[1]) as pool:
    xsocket.serve_asgi(app, pool, server=<server>, <settings>)
print("ended", flush=True)
"""
FLASK = """
import os, sys, flask, xsocket
app = flask.Flask(__name__)

@app.get("/")
def root():
    return f"{os.getpid()} {flask.request.remote_addr} {flask.request.environ['SERVER_PORT']}"

with xsocket.PoolClient(sys.argv[1]) as pool:
    xsocket.serve_asgi(<app>, pool, server=<server>, <settings>)
print("ended", flush=True)
"""
UVICORN = {"<server>": "'uvicorn'", "<settings>": "log_level='warning'"}
HYPERCORN = {"<server>": "'hypercorn'", "<settings>": "loglevel='WARNING'"}
WSGI_TO_ASGI = "__import__('a2wsgi').WSGIMiddleware(app)"

APPLICATIONS = [
    pytest.param(FASTAPI, UVICORN, id="FastAPI, uvicorn"),
    pytest.param(
        FASTAPI, {**UVICORN, "<settings>": "log_level='warning', loop='asyncio'"}, id="without uvloop"
    ),
    pytest.param(FASTAPI, HYPERCORN, id="FastAPI, hypercorn"),
    pytest.param(FLASK, {**HYPERCORN, "<app>": "app"}, id="Flask, hypercorn"),
    pytest.param(FLASK, {**UVICORN, "<app>": WSGI_TO_ASGI}, id="Flask, uvicorn"),
]


@pytest.fixture
def live() -> Iterator[Scene]:
    with scene() as made:
        yield made


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Started]:
    with programs(environment) as started:
        yield started


@contextmanager
def workers(live: Scene, start: Started, program: str, words: dict[str, str]) -> Iterator[set[int]]:
    """Run four processes; yield their numbers, once all of them claim. They have to end well."""
    for word, replacement in words.items():
        program = program.replace(word, replacement)
    running = [start(program, live.path) for _ in range(PROCESSES)]
    until(lambda: live.counts().waiting_claims == PROCESSES)
    yield {worker.pid for worker in running}
    for worker in running[:2]:
        worker.send_signal(signal.SIGTERM)
    live.server.stop()  # what claims then hears of it
    for worker in running:
        output, _ = worker.communicate(timeout=PATIENCE_S)
        assert (output, worker.returncode) in (("ended\n", 0), ("", -signal.SIGTERM))
    assert tcp_counters(live.home)["OutRsts"] == 0


def curl(live: Scene, *arguments: str) -> str:
    argv = [needed("curl"), "--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "20"]
    return live.peer.command([*argv, *arguments]).stdout


@pytest.mark.parametrize(("program", "words"), APPLICATIONS)
def test_a_web_application_in_four_processes(
    live: Scene, start: Started, program: str, words: dict[str, str]
) -> None:
    with workers(live, start, program, words) as pids:
        answers = [curl(live, f"http://{OURS[4]}/").split() for _ in range(3 * PROCESSES)]
        assert {(address, port) for _, address, port in answers} <= {("10.0.0.1", "80"), ("10.0.0.1", "None")}
        assert {int(pid) for pid, *_ in answers} == pids
        assert curl(live, "--http1.1", *[f"http://[{OURS[6]}]/"] * 3)
        done = live.peer.command([needed("wrk"), "-t2", "-c32", "-d1s", "--latency", f"http://{OURS[4]}/"])
        assert "Non-2xx" not in done.stdout
        assert "Socket errors" not in done.stdout, done.stdout
        assert requests_in(done.stdout) > 100
        closing = ["-t2", "-c8", "-d1s", "-H", "Connection: close"]
        done = live.peer.command([needed("wrk"), *closing, f"http://{OURS[4]}/"])
        assert requests_in(done.stdout) > 50
        until(lambda: live.counts().unacknowledged == 0)
        counts = live.counts()
        assert (counts.returned, counts.reset, counts.late) == (0, 0, 0)


def requests_in(report: str) -> int:
    found = re.search(r"(\d+) requests in", report)
    assert found is not None, report
    return int(found[1])


# socketserver and http.server


class Shout(http.server.BaseHTTPRequestHandler):
    """Answers with what it was sent, in capitals; logs nothing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"])).upper()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def handled(live: Scene, pool: "PoolClient | xsocket.ConnectionPool[xsocket.Connection]") -> Iterator[None]:
    """Serve with the handler above; it ends with the pool."""
    serving = Task(serve_forever, Shout, pool, concurrency=4)
    yield
    live.engine.stop()
    serving.result()


def test_a_handler_of_http_server(live: Scene) -> None:
    with PoolClient(live.path) as pool, handled(live, pool):
        assert curl(live, "--data", "hello", *[f"http://{OURS[4]}/"] * 2) == "HELLOHELLO"
        assert live.counts().acknowledged == 1  # both over one connection


def test_a_handler_in_the_process_of_the_engine(live: Scene) -> None:
    with handled(live, live.engine.pool):
        assert curl(live, "--data", "hello", f"http://{OURS[4]}/") == "HELLO"


def test_no_more_is_claimed_than_is_served_at_once(live: Scene) -> None:
    with PoolClient(live.path) as pool, handled(live, pool):
        peers = [live.connect() for _ in range(6)]
        until(lambda: live.counts().acknowledged == 4)
        live.engine.pool.wait_for(2, PATIENCE_S)
        assert live.counts().waiting_claims == 0
        peers[0].close()
        until(lambda: live.counts().acknowledged == 5)
        for peer in peers:
            peer.close()


# asyncio


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while text := await reader.read(1 << 16):
        writer.write(text)
        await writer.drain()
    writer.close()


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


HANDLERS = [pytest.param(echo, id="streams"), pytest.param(Echo, id="protocol")]


@contextmanager
def served_by_asyncio(live: Scene, handler: object, **options: object) -> Iterator[None]:
    """Serve in a thread's event loop until the pool is closed."""

    def serve() -> None:
        with PoolClient(live.path) as pool:
            asyncio.run(serve_asyncio(handler, pool, **options))  # type: ignore[arg-type]

    serving = Task(serve)
    yield
    live.engine.stop()
    serving.result()


@pytest.mark.parametrize("handler", HANDLERS)
def test_an_asyncio_server(live: Scene, handler: object) -> None:
    with served_by_asyncio(live, handler), live.connect() as peer, live.connect(version=6) as other:
        assert echoes(peer, bytes(1_000_000))
        assert echoes(other)


def test_an_asyncio_echo_under_a_thousand_connections(live: Scene) -> None:
    with more_descriptors(), served_by_asyncio(live, echo):
        peers = [live.connect() for _ in range(CROWD)]
        for number, peer in enumerate(peers):
            peer.sendall(number.to_bytes(4))
        assert [int.from_bytes(peer.recv(4, socket.MSG_WAITALL)) for peer in peers] == list(range(CROWD))
        for peer in peers:
            peer.close()
        until(lambda: live.engine.statistics().handoff.in_kernel == 0)
    counts = live.counts()
    assert (counts.acknowledged, counts.returned, counts.reset) == (CROWD, 0, 0)
    assert tcp_counters(live.home)["OutRsts"] == 0


@contextmanager
def more_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("handler", HANDLERS)
def test_an_asyncio_server_claims_no_more_than_it_may(live: Scene, handler: object) -> None:
    with served_by_asyncio(live, handler, concurrency=2):
        peers = [live.connect() for _ in range(3)]
        until(lambda: live.counts().acknowledged == 2)
        live.engine.pool.wait_for(1, PATIENCE_S)
        assert live.counts().waiting_claims == 0
        peers[0].close()
        assert echoes(peers[2])
        for peer in peers:
            peer.close()


def test_asyncio_on_the_pool_of_an_engine_in_this_process(live: Scene) -> None:
    async def main() -> None:
        await serve_asyncio(echo, live.engine.pool)

    serving = Task(asyncio.run, main())
    with live.connect() as peer:
        assert echoes(peer)
    live.engine.stop()
    serving.result()


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for the name "pool"."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    certificate_for("pool", path)
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def over_tls(peer: socket.socket, certificate: Path) -> ssl.SSLSocket:
    return ssl.create_default_context(cafile=certificate).wrap_socket(peer, server_hostname="pool")


def ended(peer: socket.socket) -> bool:
    """Return whether the other end closes or resets the connection; what comes before is skipped."""
    peer.settimeout(PATIENCE_S)
    with suppress(ConnectionError):
        while peer.recv(1 << 16):
            pass
    return True


def test_tls_on_a_claimed_socket(live: Scene, tls: ssl.SSLContext, certificate: Path) -> None:
    with PoolClient(live.path) as pool, live.connect() as peer:
        made = pool.claim(timeout=PATIENCE_S)
        wrapping = Task(tls.wrap_socket, made, server_side=True)
        with over_tls(peer, certificate) as near, wrapping.result() as far:
            assert exchanged(near, far, bytes(100_000))


def test_tls_in_asyncio(live: Scene, tls: ssl.SSLContext, certificate: Path) -> None:
    with served_by_asyncio(live, echo, ssl=tls, concurrency=1):
        with live.connect() as plain:  # what speaks no TLS holds nobody up
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert ended(plain)
        with live.connect() as peer, over_tls(peer, certificate) as near:
            assert echoes(near)


def test_tls_in_uvicorn(live: Scene, start: Started, certificate: Path) -> None:
    settings = f"log_level='warning', ssl_certfile={str(certificate)!r}"
    with workers(live, start, FASTAPI, {**UVICORN, "<settings>": settings}):
        secure = ["--cacert", str(certificate), "--resolve", f"pool:443:{OURS[4]}", "--connect-to"]
        assert curl(live, *secure, f"pool:443:{OURS[4]}:80", "https://pool/")


# Shares


def test_who_is_ready_takes_the_next(live: Scene, start: Started) -> None:
    program = """
import sys, xsocket
with xsocket.PoolClient(sys.argv[1]) as pool:
    while True:
        with pool.claim() as made:
            made.sendall(sys.argv[2].encode())
"""
    for name in "abc":
        start(program, live.path, name)
    until(lambda: live.counts().waiting_claims == 3)
    served: Counter[bytes] = Counter()
    for _ in range(30):
        with live.connect() as peer:
            served[peer.recv(1)] += 1
            until(lambda: live.counts().waiting_claims == 3)
    assert served == {b"a": 10, b"b": 10, b"c": 10}
