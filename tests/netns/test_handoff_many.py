"""Ten thousand connections through claim, hand-over, echo and close: none lost, none reset, nothing left."""

import asyncio
import gc
import threading
from pathlib import Path
from typing import Final

import pytest

from support.live import (
    OURS,
    PATIENCE_S,
    Task,
    client,
    engine_in,
    linux_counters,
    network,
    tcp_counters,
    until,
)
from xsocket import Admission, Engine, PoolClosed
from xsocket_netns import Host

pytestmark = pytest.mark.netns

CONNECTIONS: Final = 10_000
AT_ONCE: Final = 64
SERVERS: Final = 4
PORT: Final = 80


def test_ten_thousand_connections() -> None:
    descriptors = open_descriptors()
    serve_all()
    assert open_descriptors() == descriptors


def serve_all() -> None:
    with network(shared=True) as (_, peer, home):
        with engine_in(home, admission=Admission(ports=PORT)) as engine:
            served = run(peer, home, engine)
            until(lambda: engine.statistics().handoff.in_kernel == 0)
            statistics = engine.statistics()
        assert served == CONNECTIONS
        assert statistics.host.established == CONNECTIONS
        assert statistics.handoff[:3] == (CONNECTIONS, 0, 0)
        assert statistics.handoff.injection_failures == 0
        assert statistics.pool.owned_connections == statistics.pool.waiting_connections == 0
        assert statistics.host.resets_sent == 0
        assert aborts(home) == aborts(peer) == {}
        assert tcp_counters(home)["OutRsts"] == tcp_counters(peer)["OutRsts"] == 0


def aborts(host: Host) -> dict[str, int]:
    """Return how many connections the kernel of *host* has aborted, or had reset, by its counters."""
    counted = linux_counters(host) | tcp_counters(host)
    return {
        name: number
        for name, number in counted.items()
        if number and (name.startswith("TCPAbort") or name == "EstabResets")
    }


def open_descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def run(peer: Host, home: Host, engine: Engine) -> int:
    """Let clients of *peer* have their text echoed by threads of *home*; return how many were served."""
    served = [0] * SERVERS

    def serve(number: int) -> None:
        try:
            while True:
                with engine.pool.claim().to_kernel() as kernel:
                    while text := kernel.recv(4096):
                        kernel.sendall(text)
                served[number] += 1
        except PoolClosed:
            return

    threads = [threading.Thread(target=home.run, args=(serve, number)) for number in range(SERVERS)]
    for thread in threads:
        thread.start()
    Task(peer.run, lambda: asyncio.run(clients())).result(10 * PATIENCE_S)
    engine.pool.close()
    for thread in threads:
        thread.join(PATIENCE_S)
    return sum(served)


async def clients() -> None:
    """Open all connections, a few at once; each checks its echo, and closes first."""
    numbers = iter(range(CONNECTIONS))

    async def client() -> None:
        for number in numbers:
            reader, writer = await asyncio.open_connection(OURS[4], PORT)
            writer.write(b"%d" % number)
            writer.write_eof()
            assert await reader.read() == b"%d" % number
            writer.close()
            await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))


def test_no_socket_is_left_in_the_namespace() -> None:
    """The kernel has nothing of a connection whose peer closed first, not even TIME-WAIT."""
    admission = Admission(ports=PORT)
    with network(shared=True) as (_, peer, home), engine_in(home, admission=admission) as engine:
        far = client(peer, PORT)
        kernel = engine.pool.claim(timeout=PATIENCE_S).to_kernel()
        assert sockets(home) == 1
        far.close()
        assert kernel.recv(1) == b""
        kernel.close()
        until(lambda: sockets(home) == 0)


def sockets(home: Host) -> int:
    """Return how many TCP sockets, IPv4, the kernel of *home* has."""
    return len(home.run(Path("/proc/thread-self/net/tcp").read_text).splitlines()) - 1
