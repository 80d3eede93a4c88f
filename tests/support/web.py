"""A web server on claimed connections, and what fetches a file over one."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, parse_headers

from support.live import PATIENCE_S
from xsocket import Connection, ConnectionPool, Pattern, PoolClosed

TRANSFER_S = 60.0
"""For 10 MB with every tenth frame lost: windows of four segments, and a retransmission timeout in 80 KB."""


class WebServer:
    """Consumer threads that claim connections to port 80 and answer GET and PUT on them, HTTP/1.0 and 1.1.

    Attributes:
        files: Path to content.
        connections: How many connections each thread has served.
        failures: What went wrong in them.
    """

    def __init__(self, pool: "ConnectionPool[Connection]", files: dict[str, bytes]) -> None:
        self._pool = pool
        self.files = files
        self.connections: Counter[str] = Counter()
        self.failures: list[Exception] = []

    def run(self) -> None:
        """Serve until the pool closes."""
        while True:
            try:
                connection = self._pool.claim(Pattern(local_port=80))
            except PoolClosed:
                return
            self.connections[threading.current_thread().name] += 1
            try:
                with connection:
                    self._serve(connection)
            except Exception as failure:
                self.failures.append(failure)

    def _serve(self, connection: Connection) -> None:
        connection.settimeout(TRANSFER_S)
        with connection.makefile("rb") as reader:
            while request := reader.readline():
                method, path, version = request.decode().split()
                fields = parse_headers(reader)
                if method == "PUT":
                    self.files[path] = reader.read(int(fields["Content-Length"]))
                    answer(connection, f"{version} 201 Created", b"")
                elif path in self.files:
                    answer(connection, f"{version} 200 OK", self.files[path])
                else:
                    answer(connection, f"{version} 404 Not Found", b"")
                if version == "HTTP/1.0" or fields.get("Connection") == "close":
                    return


def answer(connection: Connection, status: str, body: bytes) -> None:
    """Send one answer."""
    connection.sendall(f"{status}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    connection.sendall(body)


@contextmanager
def serving(
    pool: "ConnectionPool[Connection]", files: dict[str, bytes], threads: int = 1
) -> Iterator[WebServer]:
    """Serve *files* for the length of a block; then close the pool."""
    server = WebServer(pool, files)
    consumers = [threading.Thread(target=server.run, name=f"consumer {number}") for number in range(threads)]
    for consumer in consumers:
        consumer.start()
    try:
        yield server
    finally:
        for unclaimed in pool.close():
            unclaimed.abort()
        for consumer in consumers:
            consumer.join(PATIENCE_S)
    assert not server.failures, server.failures


def fetch(connection: Connection, path: str) -> bytes:
    """Return the content of *path*, fetched by the standard library's client over *connection*."""
    browser = HTTPConnection("peer")
    browser.sock = connection  # it uses no more than a connection has
    browser.request("GET", path, headers={"Connection": "close"})
    response = browser.getresponse()
    assert response.status == 200, response.status
    return response.read()
