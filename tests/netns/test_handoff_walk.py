"""Connections that go to the kernel and come back at any moment, under loss too: no octet is lost or doubled.

A seed decides what both ends do; what arrives is compared with what was sent.
"""

import hashlib
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final, NamedTuple

import pytest

from support.live import (
    ADDRESSES,
    PATIENCE_S,
    PEER_ADDRESSES,
    Task,
    client,
    engine_in,
    network,
    tcp_counters,
)
from xsocket import Admission, Connection, Engine
from xsocket_netns import Host, Lab
from xsocket_tools.path import Element, Impair, Path

pytestmark = pytest.mark.netns

PORT: Final = 80
MOST: Final = 60_000


class Scene(NamedTuple):
    peer: Host
    home: Host
    engine: Engine


@contextmanager
def scene(elements: Sequence[Element]) -> Iterator[Scene]:
    """Let frames between the two pass *elements*."""
    with Lab() as lab:
        peer, home = lab.host("peer"), lab.host("home")
        path = Path(lab, peer, home, addresses=(PEER_ADDRESSES, ADDRESSES), elements=elements)
        with path, engine_in(home, admission=Admission(ports=PORT)) as engine:
            yield Scene(peer, home, engine)


def streams(seed: int) -> tuple[bytes, bytes]:
    """Return what the peer sends and what our end sends."""
    random = Random(f"{seed} streams")
    return random.randbytes(random.randrange(MOST)), random.randbytes(random.randrange(MOST))


def talk(far: socket.socket, text: bytes, answer: bytes, seed: int) -> str:
    """Send *text* in pieces of any size while reading; return the digest of what came."""
    random = Random(f"{seed} peer")
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    far.settimeout(PATIENCE_S)

    def write() -> None:
        rest = memoryview(text)
        while rest:
            rest = rest[far.send(rest[: random.choice((1, 10, 100, 1448, 10_000))]) :]
        far.shutdown(socket.SHUT_WR)

    writing = Task(write)
    got = b""
    while more := far.recv(1 << 16):
        got += more
    writing.result()
    assert len(got) == len(answer)
    return hashlib.sha256(got).hexdigest()


def walk(near: Connection, text: bytes, answer: bytes, seed: int) -> tuple[int, str]:
    """Read *text* and write *answer*, going to the kernel and back; return how often it went there, and the
    digest of what came.
    """
    random = Random(f"{seed} ours")
    near.settimeout(PATIENCE_S)
    rest, got = memoryview(answer), b""
    went = 0
    for _ in range(random.randrange(8)):
        if random.random() < 0.5:
            kernel = near.to_kernel()
            went += 1
            for _ in range(random.choice((0, 0, 100, 2000))):  # what comes meanwhile comes back
                kernel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO)
            assert near.from_kernel(kernel)
        elif random.random() < 0.5:
            rest = rest[near.send(rest[: random.randrange(5000)]) :]
        elif len(got) < len(text):
            got += near.recv(random.randrange(1, 5000))
    with near.to_kernel() as kernel:
        writing = Task(finish, kernel, bytes(rest))
        while more := kernel.recv(1 << 16):
            got += more
        writing.result()
    assert len(got) == len(text)
    return went + 1, hashlib.sha256(got).hexdigest()


def finish(kernel: socket.socket, rest: bytes) -> None:
    kernel.sendall(rest)
    kernel.shutdown(socket.SHUT_WR)


def one(live: Scene, seed: int) -> int:
    """Let one connection live; return how often it went to the kernel."""
    text, answer = streams(seed)
    with client(live.peer, PORT, 4 if seed % 2 else 6) as far:
        talking = Task(talk, far, text, answer, seed)
        went, digest = walk(live.engine.pool.claim(timeout=PATIENCE_S), text, answer, seed)
        assert digest == hashlib.sha256(text).hexdigest()
        assert talking.result() == hashlib.sha256(answer).hexdigest()
    return went


def test_no_octet_is_lost_or_doubled() -> None:
    with (
        network(shared=True) as (_, peer, home),
        engine_in(home, admission=Admission(ports=PORT)) as engine,
    ):
        live = Scene(peer, home, engine)
        went = sum(one(live, seed) for seed in range(60))
        handoff = live.engine.statistics().handoff
        assert (handoff.handed_over, handoff.taken_back, handoff.failed) == (went, went - 60, 0)
        assert tcp_counters(live.home)["OutRsts"] == 0


@pytest.mark.parametrize("seed", range(4))
def test_nor_on_a_bad_path(seed: int) -> None:
    hurt = Impair(delay_s=0.002, jitter_s=0.001, loss=0.03, duplicate=0.02, reorder=0.05, seed=seed)
    with scene([hurt]) as live:
        one(live, 1000 + seed)
        assert tcp_counters(live.home)["OutRsts"] == 0
