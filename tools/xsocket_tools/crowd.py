"""A crowd of peers that only exist as frames: fills an engine's pool, to see what a waiting connection costs.

No sockets and no namespaces: the engine sits on one end of a memory Link, the crowd on the other.
Runs as a process of its own, so that its memory is its own: ``python -m xsocket_tools.crowd 100000``.
"""

import gc
import json
import random
import select
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from resource import getpagesize
from typing import NamedTuple

import click

import xsocket
from xsocket.segment import ACK, SYN, Segment
from xsocket.tcp.options import for_segment, for_syn, parse
from xsocket.wire.arp import REPLY, REQUEST, ArpPacket
from xsocket.wire.codec import TcpPacket, decode, encode, encode_segment
from xsocket.wire.ethernet import Ethernet
from xsocket.wire.memory_link import MemoryLink, memory_pair

ENGINE = "10.0.0.2"
GATEWAY = "10.0.0.1"
BATCH = 256
SAMPLE = 2_000
ANSWER_S = 30.0


class Cost(NamedTuple):
    """What a waiting connection costs.

    Attributes:
        connections: How many waited in the pool.
        octets_each: Resident memory per connection.
        put_us: Median time to put one more, with that many waiting, microseconds.
        claim_us: Median time to claim one by its 4-tuple, microseconds.
    """

    connections: int
    octets_each: float
    put_us: float
    claim_us: float


def measure(connections: int, pool_timeout_s: float = 0.0) -> Cost:
    """Complete *connections* handshakes from as many 4-tuples, and measure with all of them waiting."""
    ours, theirs = memory_pair(capacity=4 * BATCH)
    config = xsocket.TcpConfig(
        pool_capacity=connections + 1, max_connections=connections + BATCH, pool_timeout_s=pool_timeout_s
    )
    with xsocket.Engine(addresses=[f"{ENGINE}/24"], gateway=GATEWAY, link=ours, config=config) as engine:
        _introduce(theirs, ours.mac)
        keys = list(_four_tuples(connections))
        gc.collect()
        before = _resident()
        for start in range(0, connections, BATCH):
            _shake_hands(theirs, ours.mac, keys[start : start + BATCH])
        engine.pool.wait_for(connections, timeout=ANSWER_S)
        gc.collect()
        octets = (_resident() - before) / connections
        put_us, claim_us = _time_pool(engine.pool, keys)
        engine.stop(linger=0)
    return Cost(connections, octets, put_us, claim_us)


def _four_tuples(count: int) -> Iterator[xsocket.FourTuple]:
    """Yield distinct 4-tuples as the engine names them: a hundred ports from each remote address."""
    for number in range(count):
        host, port = divmod(number, 100)
        remote = f"198.{18 + (host >> 16)}.{host >> 8 & 255}.{host & 255}"
        yield xsocket.FourTuple(ENGINE, 80, remote, 10_000 + port)


def _introduce(link: MemoryLink, engine_mac: bytes) -> None:
    """Be the gateway: ask for the engine, and so tell it where the gateway is."""
    link.send([_arp(link, REQUEST, engine_mac)])


def _arp(link: MemoryLink, operation: int, engine_mac: bytes) -> bytes:
    return encode(ArpPacket(Ethernet(engine_mac, link.mac), operation, link.mac, GATEWAY, engine_mac, ENGINE))


def _receive(link: MemoryLink, engine_mac: bytes, count: int) -> list[TcpPacket]:
    """Wait for *count* segments, and answer the engine when it asks whether the gateway is still there."""
    found: list[TcpPacket] = []
    waiter = select.poll()
    waiter.register(link.fileno(), select.POLLIN)
    while len(found) < count:
        if not waiter.poll(ANSWER_S * 1000):
            raise TimeoutError("the engine did not answer the crowd")
        for frame in link.receive():
            packet = decode(frame.data)
            if isinstance(packet, TcpPacket):
                found.append(packet)
            elif isinstance(packet, ArpPacket) and packet.operation == REQUEST:
                link.send([_arp(link, REPLY, engine_mac)])
    return found


def _shake_hands(link: MemoryLink, engine_mac: bytes, keys: Sequence[xsocket.FourTuple]) -> None:
    prefix = engine_mac + link.mac + b"\x08\x00"
    opening = for_syn(1460, 7, True, (1, 0))
    link.send([encode_segment(prefix, key.reversed, Segment(1, 0, SYN, 65_535, opening)) for key in keys])
    acks = []
    for packet in _receive(link, engine_mac, len(keys)):
        answer = packet.segment
        stamps = (2, parse(answer.options).ts_val or 0)
        third = Segment(2, answer.seq + 1 & 0xFFFF_FFFF, ACK, 512, for_segment(stamps))
        acks.append(encode_segment(prefix, packet.four_tuple, third))
    link.send(acks)


def _time_pool(
    pool: xsocket.ConnectionPool[xsocket.Connection], keys: Sequence[xsocket.FourTuple]
) -> tuple[float, float]:
    """Return the median microseconds of a put and of an exact claim, over a sample drawn by seed."""
    clock = time.perf_counter_ns
    puts, claims = [], []
    for key in random.Random(1).sample(keys, min(SAMPLE, len(keys))):
        start = clock()
        connection = pool.claim(key, timeout=0)
        claimed = clock()
        pool.put(connection)
        puts.append(clock() - claimed)
        claims.append(claimed - start)
    return sorted(puts)[len(puts) // 2] / 1000, sorted(claims)[len(claims) // 2] / 1000


def _resident() -> int:
    """Return this process's resident memory, octets."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


@click.command()
@click.argument("connections", type=click.IntRange(1, 1_000_000))
@click.option("--pool-timeout", type=float, default=0.0, show_default=True, help="pool_timeout_s.")
def main(connections: int, pool_timeout: float) -> None:
    """Fill a pool with CONNECTIONS connections and print what one costs, as JSON."""
    click.echo(json.dumps(measure(connections, pool_timeout)._asdict()))


if __name__ == "__main__":
    main()
