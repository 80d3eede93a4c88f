"""Mutated frames against a whole host: nothing raises, memory stays bounded, a client still connects."""

import tracemalloc
from collections.abc import Iterator
from random import Random

import pytest

from support.station import OURS, PREFIX, THEIRS, Station
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, FIN, PSH, RST, SYN, URG, Segment
from xsocket.state import State
from xsocket.tcp.options import for_segment, for_syn
from xsocket.wire.codec import TcpPacket, decode, encode_segment

FRAMES = 200_000
SHARDS = 8
PORTS = range(40_000, 40_064)
LIMITS = TcpConfig(
    max_syn_backlog=32, pool_capacity=16, max_connections=128, max_tw_buckets=16, rmem=4096, wmem=4096
)
MEMORY_LIMIT = 16 << 20
"""Octets: 128 connections with 8 kB of buffers each are one megabyte; the remembered addresses a few more."""

FLAG_SETS = [
    *(SYN, SYN | ACK, ACK, ACK | PSH, FIN | ACK, RST, RST | ACK),
    *(SYN | FIN, SYN | RST, 0, URG | ACK, FIN),
]


class Attacker:
    """Talks to one host from many ports, nearly right: its numbers come from what the host answers."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._seen: dict[int, tuple[int, int]] = {}

    def watch(self, frames: list[bytes]) -> None:
        """Note the numbers the host uses towards each port."""
        for frame in frames:
            packet = decode(frame)
            if isinstance(packet, TcpPacket):
                segment = packet.segment
                after = segment.seq + segment.length & 0xFFFF_FFFF
                self._seen[packet.four_tuple.local_port] = (after, segment.acknowledgment)

    def frames(self, count: int) -> Iterator[bytes]:
        """Yield frames: four in ten are intact segments, the others are damaged in one way or another."""
        for _ in range(count):
            frame = self._segment()
            yield frame if self._random.random() < 0.4 else self._damaged(frame)

    def _segment(self) -> bytes:
        random = self._random
        port = random.choice(PORTS)
        ack, seq = self._seen.get(port, (random.getrandbits(32), random.getrandbits(32)))
        wobble = random.choice([0, 0, 0, 1, -1, 100, -100, 5_000, 1 << 31, random.getrandbits(32)])
        flags = random.choice(FLAG_SETS)
        options = random.choice([b"", for_segment((random.getrandbits(32), 0)), self._options()])
        if flags & SYN:
            usual, odd = for_syn(1460, 7, True, (1, 0)), for_syn(1, 255, True, None)
            options = random.choice([usual, odd, self._options()])
        segment = Segment(
            seq + wobble & 0xFFFF_FFFF,
            ack + random.choice([0, 0, 0, 1, -1, 70_000]) & 0xFFFF_FFFF,
            flags,
            random.choice([0, 1, 512, 65_535]),
            options,
            random.randbytes(random.choice([0, 0, 1, 50, 1400])),
            random.choice([0, 0, 1, 65_535]),
        )
        return encode_segment(PREFIX, FourTuple(THEIRS, port, OURS, random.choice([80, 80, 80, 81])), segment)

    def _options(self) -> bytes:
        return self._random.randbytes(4 * self._random.randrange(11))

    def _damaged(self, frame: bytes) -> bytes:
        random = self._random
        octets = bytearray(frame)
        match random.randrange(4):
            case 0:
                return frame[: random.randrange(len(frame))]
            case 1:
                for _ in range(random.randrange(1, 8)):
                    octets[random.randrange(len(octets))] = random.randrange(256)
            case 2:
                octets[random.randrange(14, 54)] ^= 1 << random.randrange(8)
            case _:
                octets += random.randbytes(random.randrange(1, 30))
        return bytes(octets)


def bombard(station: Station, attacker: Attacker, count: int) -> None:
    """Send *count* frames in batches, let time pass between them, and use the connections that come of it."""
    batch: list[bytes] = []
    for number, frame in enumerate(attacker.frames(count), start=1):
        batch.append(frame)
        if len(batch) == 50 or number == count:
            attacker.watch(station.receive(*batch))
            batch.clear()
            attacker.watch(station.advance(0.05))
            if number % 1_000 == 0 and len(station.pool):
                connection = station.pool.claim(timeout=0)
                connection.send(b"x" * 3000)
                connection.close()
                attacker.watch(station.host.take_frames())


@pytest.mark.parametrize("shard", range(SHARDS))
def test_mutated_frames_neither_raise_nor_fill_memory_nor_shut_out_a_client(shard: int) -> None:
    station = Station(LIMITS)
    station.introduce()
    attacker = Attacker(Random(shard))
    bombard(station, attacker, 2_000)
    tracemalloc.start()
    try:
        bombard(station, attacker, FRAMES // SHARDS - 2_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_LIMIT
    tables = station.host.stack.statistics()
    assert tables.connections_high_water <= LIMITS.max_connections
    assert tables.half_open_high_water <= LIMITS.max_syn_backlog
    assert tables.time_wait <= LIMITS.max_tw_buckets
    assert len(station.pool) <= LIMITS.pool_capacity
    states = [tcb.state for tcb in station.host.stack.tcbs() if tcb.passive]
    assert tables.half_open == states.count(State.SYN_RECEIVED)
    counters = station.host.counters()
    assert counters.established > 0, "the frames reach the machine"
    assert len(counters.drops) > 20, "and most reasons to drop one"
    legitimate_client_connects(station)


def legitimate_client_connects(station: Station) -> None:
    """Make room in a full pool as consumers do, then shake hands from a fresh port."""
    while len(station.pool):
        station.pool.claim(timeout=0).abort()
    station.advance(200)  # half-open connections give up
    station.introduce()
    (syn_ack,) = station.say(50_000, Segment(7, 0, SYN, 65_535, for_syn(1460, 7, True, (1, 0))))
    answer = syn_ack.segment
    assert answer.letters == "S."
    text = Segment(8, answer.seq + 1, ACK | PSH, 512, for_segment((2, 3)), b"hello")
    (ack,) = station.say(50_000, text)
    assert ack.segment.ack == 13
    connection = station.pool.claim(FourTuple(OURS, 80, THEIRS, 50_000), timeout=0)
    assert connection.recv(100) == b"hello"
    connection.close()
