"""Peers that mean harm, or that went away: what they cost is bounded, ends by a rule, and is counted.

A whole host in virtual time. Floods of SYNs are in `tests/pair/test_syncookies.py`; what the machine does
about one silent peer is in `tests/pair/test_silence.py`.
"""

from collections.abc import Callable, Iterator
from math import inf
from typing import Final

import pytest

from support.station import OURS, PREFIX, THEIRS, Station
from xsocket.config import TcpConfig
from xsocket.errors import ClaimTimeout
from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import ACK, FIN, PSH, SYN, Segment
from xsocket.seqnum import add
from xsocket.state import State, Trigger
from xsocket.tcp.stream import MAX_BLOCKS
from xsocket.wire.codec import encode_segment, read_plain

DAY_S: Final = 86_400
BATCH: Final = 64
SILENT: Final = 50_000


class Crowd:
    """Peers at one address, each with a port of its own, all of whom complete their handshakes."""

    def __init__(self, config: TcpConfig, count: int, window: int = 65_535) -> None:
        self.station = Station(config)
        self.window = window
        self.numbers: dict[int, int] = {}
        for first in range(0, count, BATCH):
            self.join(range(10_000 + first, 10_000 + min(first + BATCH, count)))

    def join(self, ports: range) -> None:
        self.station.introduce()  # it may have forgotten where we are
        opening = [self.frame(port, Segment(7, 0, SYN, self.window)) for port in ports]
        for answer in self.station.receive(*opening):
            arrival = read_plain(answer, True)
            assert arrival is not None
            self.numbers[arrival.four_tuple.local_port] = add(arrival.segment.seq, 1)
        self.station.receive(*(self.frame(port, self.segment(port, 8)) for port in ports))

    def segment(self, port: int, seq: int, text: bytes = b"") -> Segment:
        return Segment(seq, self.numbers[port], ACK | PSH if text else ACK, self.window, b"", text)

    @staticmethod
    def frame(port: int, segment: Segment) -> bytes:
        return encode_segment(PREFIX, FourTuple(THEIRS, port, OURS, 80), segment)

    def acknowledge(self, port: int, octets: int) -> None:
        """Take *octets* of what it was sent, with room for as many more as the window says."""
        self.numbers[port] = add(self.numbers[port], octets)
        self.send(port, 8)

    def finish(self, port: int) -> None:
        self.station.receive(self.frame(port, self.segment(port, 8)._replace(flags=ACK | FIN)))

    def send(self, port: int, seq: int, text: bytes = b"") -> None:
        self.station.receive(self.frame(port, self.segment(port, seq, text)))

    @property
    def connections(self) -> int:
        return self.station.host.stack.statistics().connections

    @property
    def timed_out(self) -> int:
        return self.dropped(DropReason.POOL_TIMED_OUT)

    def dropped(self, reason: DropReason) -> int:
        return self.station.host.counters().drops.get(reason, 0)

    @property
    def ended(self) -> dict[Trigger, int]:
        """How many connections ended, by what ended them."""
        return self.station.host.counters().ended


MakeCrowd = Callable[..., Crowd]


@pytest.fixture
def gather() -> Iterator[MakeCrowd]:
    """Make crowds; at the end nothing of them is left open."""
    made: list[Crowd] = []

    def make(config: TcpConfig, count: int, window: int = 65_535) -> Crowd:
        made.append(Crowd(config, count, window))
        return made[-1]

    yield make
    for each in made:
        each.station.host.abort_all(each.station.now)


# Connections that say nothing


def test_fifty_thousand_silent_connections_are_reset_in_time(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(pool_timeout_s=60), SILENT)
    assert (len(crowd.station.pool), crowd.connections) == (SILENT, SILENT)
    crowd.station.advance(59.9)
    assert crowd.connections == SILENT
    crowd.station.advance(0.1)
    assert (len(crowd.station.pool), crowd.connections, crowd.timed_out) == (0, 0, SILENT)
    assert crowd.station.pool.statistics().expired == SILENT
    assert crowd.station.host.counters().resets_sent == SILENT


def test_silent_connections_cost_nothing_while_they_wait(gather: MakeCrowd) -> None:
    """No timer runs for them: the host sleeps."""
    crowd = gather(TcpConfig(), 500)
    crowd.station.advance(3600)
    assert crowd.connections == 500
    assert crowd.station.host.stack.deadline == inf


def test_silent_connections_take_no_more_than_the_pool_holds(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(pool_capacity=100, pool_policy="refuse"), 500)
    assert (len(crowd.station.pool), crowd.connections) == (100, 100)
    assert crowd.station.host.counters().drops[DropReason.POOL_FULL_REFUSED] == 400


def test_by_default_nobody_is_hurried(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(), 1)
    crowd.station.advance(30 * DAY_S)
    claimed = crowd.station.pool.claim(timeout=0)
    assert claimed.state is State.ESTABLISHED
    claimed.abort()


@pytest.mark.parametrize("later", [0.0, 7.0, 14.9], ids=str)
def test_a_connection_waits_for_its_time_and_no_longer(gather: MakeCrowd, later: float) -> None:
    crowd = gather(TcpConfig(pool_timeout_s=60), 1)
    crowd.station.advance(later)
    crowd.join(range(20_000, 20_001))
    crowd.station.advance(59.999)
    assert FourTuple(OURS, 80, THEIRS, 20_000) in crowd.station.pool
    crowd.station.advance(0.001)
    assert crowd.connections == 0


def test_what_was_claimed_stays(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(pool_timeout_s=60), 2)
    kept = crowd.station.pool.claim(timeout=0)
    crowd.station.advance(DAY_S)
    assert (crowd.connections, crowd.timed_out) == (1, 1)
    assert kept.state is State.ESTABLISHED
    kept.abort()


def test_a_host_sleeps_while_nothing_waits(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(pool_timeout_s=60), 1)
    claimed = crowd.station.pool.claim(timeout=0)
    crowd.station.advance(DAY_S)
    assert crowd.station.host.deadline == inf
    crowd.station.pool.give_back(claimed)
    assert crowd.station.host.deadline <= crowd.station.now


def test_a_connection_that_came_back_gets_its_time_again(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(pool_timeout_s=60), 1)
    claimed = crowd.station.pool.claim(timeout=0)
    crowd.station.advance(DAY_S)
    crowd.station.pool.give_back(claimed)
    crowd.station.advance(59)
    assert len(crowd.station.pool) == 1
    crowd.station.advance(1)
    assert crowd.connections == 0
    with pytest.raises(ClaimTimeout):
        crowd.station.pool.claim(timeout=0)


# Slow peers


def test_an_octet_a_minute_buys_no_time_in_the_pool(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(pool_timeout_s=600), 1)
    for minute in range(10):
        crowd.send(10_000, 8 + minute, b"x")
        assert crowd.connections == 1
        crowd.station.advance(60)
    assert (crowd.connections, crowd.timed_out) == (0, 1)


def test_an_octet_a_minute_fills_no_more_than_the_receive_buffer(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(rmem=256, pool_timeout_s=0), 1)
    for minute in range(DAY_S // 60):
        crowd.send(10_000, 8 + minute, b"x")
        crowd.station.advance(60)
    (tcb,) = crowd.station.host.stack.tcbs()
    assert tcb.unread == 256


def test_every_second_octet_takes_no_more_than_the_stretches_that_are_held(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(pool_timeout_s=3 * DAY_S), 1)
    for minute in range(DAY_S // 60):
        crowd.send(10_000, 9 + 2 * minute, b"x")
        crowd.station.advance(60)
    (tcb,) = crowd.station.host.stack.tcbs()
    assert tcb.receiving is not None
    assert (tcb.receiving.early, tcb.unread) == (MAX_BLOCKS, 0)
    assert crowd.dropped(DropReason.OUT_OF_ORDER_FULL) == DAY_S // 60 - MAX_BLOCKS
    crowd.station.advance(3 * DAY_S)
    assert (crowd.connections, crowd.timed_out) == (0, 1)


def test_a_peer_that_takes_an_octet_a_minute_takes_a_send_buffer(gather: MakeCrowd) -> None:
    """It gets on: how long that may take is its owner's affair."""
    crowd = gather(TcpConfig(wmem=4096, user_timeout_s=120), 1, window=1)
    connection = crowd.station.pool.claim(timeout=0)
    connection.setblocking(False)
    taken = connection.send(bytes(10_000))
    for _ in range(DAY_S // 60):
        crowd.station.advance(60)
        crowd.acknowledge(10_000, 1)
        taken += connection.send(bytes(10_000))
        assert connection.info.unacknowledged == 4096
    assert taken == 4096 + DAY_S // 60
    connection.abort()
    assert (crowd.connections, crowd.ended) == (0, {Trigger.ABORT: 1})


def test_what_its_owner_left_goes_an_octet_a_minute(gather: MakeCrowd) -> None:
    """The peer gets on, so nothing ends it, as in Linux; but see the next test."""
    crowd = gather(TcpConfig(wmem=4096), 1, window=1)
    leave(crowd, 10_000)
    for _ in range(DAY_S // 60):
        crowd.station.advance(60)
        crowd.acknowledge(10_000, 1)
    (tcb,) = crowd.station.host.stack.tcbs()
    assert (tcb.state, crowd.station.host.stack.statistics().orphans) == (State.FIN_WAIT_1, 1)


def test_what_its_owner_left_has_a_time_of_its_own(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(wmem=4096, orphan_timeout_s=600), 3, window=1)
    ports = range(10_000, 10_003)
    for port in ports:
        leave(crowd, port)
        crowd.station.advance(10)
    for _ in range(9):
        crowd.station.advance(60)
        for port in ports:
            crowd.acknowledge(port, 1)
    left = []
    for seconds in (29.9, 0.2, 10, 10):
        crowd.station.advance(seconds)
        left.append(crowd.connections)
    assert left == [3, 2, 1, 0]
    assert crowd.dropped(DropReason.ORPHAN_TIMED_OUT) == crowd.ended[Trigger.ABORT] == 3
    assert crowd.station.host.counters().resets_sent == 3
    assert crowd.station.host.stack.statistics().orphans == 0


def test_what_finishes_in_time_is_not_reset(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(wmem=4096, orphan_timeout_s=30), 2)
    for port in (10_000, 10_001):
        leave(crowd, port)
        crowd.acknowledge(port, 4097)
        crowd.finish(port)
    crowd.station.advance(600)
    assert (crowd.connections, crowd.ended) == (0, {Trigger.TIME_WAIT_OVER: 2})


def test_peers_that_take_their_time_do_not_take_more_than_the_places_for_them(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(wmem=4096, max_orphans=10), 30, window=1)
    for port in range(10_000, 10_030):
        leave(crowd, port)
    assert crowd.connections == crowd.station.host.stack.statistics().orphans == 10
    assert crowd.dropped(DropReason.ORPHANS_FULL) == crowd.ended[Trigger.ABORT] == 20


def leave(crowd: Crowd, port: int) -> None:
    """Claim the connection, send more than its peer takes, and close."""
    connection = crowd.station.pool.claim(FourTuple(OURS, 80, THEIRS, port), timeout=0)
    connection.setblocking(False)
    assert connection.send(bytes(4096)) == 4096
    connection.close()


# Peers that keep their window shut


@pytest.mark.parametrize("answers", [True, False], ids=["answers probes", "is silent"])
def test_a_shut_window_takes_a_send_buffer_and_ends_with_the_user_timeout(
    gather: MakeCrowd, answers: bool
) -> None:
    """While probes are answered nothing else would end it (RFC 9293 section 3.8.6.1, MUST-37)."""
    crowd = gather(TcpConfig(wmem=4096, user_timeout_s=120), 1, window=0)
    connection = crowd.station.pool.claim(timeout=0)
    connection.setblocking(False)
    assert connection.send(bytes(100_000)) == 4096
    (tcb,) = crowd.station.host.stack.tcbs()
    for _ in range(40):
        crowd.station.advance(5)
        if answers:
            crowd.send(10_000, 8)
    assert (crowd.connections, crowd.ended) == (0, {Trigger.USER_TIMEOUT: 1})
    assert tcb.error is TimeoutError


def test_a_shut_window_stays_for_as_long_as_its_owner_cares(gather: MakeCrowd) -> None:
    """It takes one send buffer, and a probe at most every two minutes."""
    crowd = gather(TcpConfig(wmem=4096), 1, window=0)
    connection = crowd.station.pool.claim(timeout=0)
    connection.setblocking(False)
    connection.send(bytes(4096))
    before = crowd.station.host.counters().segments_sent
    for _ in range(DAY_S // 120):
        crowd.station.advance(120)
        crowd.send(10_000, 8)
    probes = crowd.station.host.counters().segments_sent - before
    assert (crowd.connections, connection.info.unacknowledged) == (1, 4096)
    assert probes < DAY_S // 120 + 20
    connection.abort()


def test_a_thousand_shut_windows_end_together(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(wmem=256, user_timeout_s=120), 1000, window=0)
    claimed = [crowd.station.pool.claim(timeout=0) for _ in range(1000)]
    for connection in claimed:
        connection.setblocking(False)
        assert connection.send(bytes(1000)) == 256
    crowd.station.advance(119)
    assert crowd.connections == 1000
    crowd.station.advance(2)
    assert (crowd.connections, crowd.ended) == (0, {Trigger.USER_TIMEOUT: 1000})


def test_a_shut_window_does_not_outlive_its_user(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(wmem=4096, orphan_retries=4), 1, window=0)
    connection = crowd.station.pool.claim(timeout=0)
    connection.setblocking(False)
    connection.send(bytes(4096))
    connection.close()
    for _ in range(60):
        crowd.station.advance(5)
        crowd.send(10_000, 8)
    assert (crowd.connections, crowd.ended) == (0, {Trigger.GIVE_UP: 1})


# Peers that vanish


def test_a_peer_that_vanishes_during_the_handshake_leaves_the_table_in_a_minute() -> None:
    station = Station(TcpConfig())
    station.introduce()
    for port in range(10_000, 10_500):
        station.say(port, Segment(7, 0, SYN, 1000))
    assert station.host.stack.statistics().half_open == 500
    station.advance(63.1)
    counted = station.host.stack.statistics()
    assert (counted.half_open, counted.connections) == (0, 0)
    assert station.host.counters().ended == {Trigger.GIVE_UP: 500}


def test_one_that_makes_room_for_another_is_counted_as_such() -> None:
    station = Station(TcpConfig(max_syn_backlog=1, syn_cookies="never", half_open_policy="evict"))
    station.introduce()
    for port in (10_000, 10_001, 10_002):
        station.say(port, Segment(7, 0, SYN, 1000))
    assert station.host.stack.statistics().half_open == 1
    assert station.host.counters().ended == {Trigger.EVICTED: 2}


def test_a_peer_that_says_its_syn_again_and_again_leaves_no_later() -> None:
    station = Station(TcpConfig())
    station.introduce()
    for _ in range(62):
        station.say(10_000, Segment(7, 0, SYN, 1000))
        station.advance(1)
    assert station.host.stack.statistics().half_open == 1
    station.advance(1.1)
    assert station.host.stack.statistics().half_open == 0
    assert station.host.counters().ended == {Trigger.GIVE_UP: 1}


def test_a_peer_that_vanishes_later_is_found_out_by_keep_alive(gather: MakeCrowd) -> None:
    config = TcpConfig(keepalive=True, keepalive_time_s=60, keepalive_intvl_s=10, keepalive_probes=3)
    crowd = gather(config, 20)
    crowd.station.advance(60 + 3 * 10 + 1)
    assert (crowd.connections, crowd.ended) == (0, {Trigger.KEEP_ALIVE_FAILED: 20})
    assert crowd.station.pool.statistics().died == 20


def test_a_peer_that_vanishes_with_our_text_under_way_is_given_up(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(retries2=3), 1)
    connection = crowd.station.pool.claim(timeout=0)
    connection.sendall(b"hello")
    crowd.station.advance(60)
    assert (crowd.connections, crowd.ended) == (0, {Trigger.GIVE_UP: 1})
    with pytest.raises(TimeoutError):
        connection.recv(1)


def test_peers_that_vanish_after_our_fin_are_given_up(gather: MakeCrowd) -> None:
    crowd = gather(TcpConfig(orphan_retries=3), 100)
    for _ in range(100):
        crowd.station.pool.claim(timeout=0).close()
    assert crowd.station.host.stack.statistics().orphans == 100
    crowd.station.advance(10)
    assert (crowd.connections, crowd.ended) == (0, {Trigger.GIVE_UP: 100})


def test_peers_that_never_finish_are_given_up(gather: MakeCrowd) -> None:
    """They acknowledge our FIN, and send none."""
    crowd = gather(TcpConfig(fin_timeout_s=60), 100)
    for port in range(10_000, 10_100):
        crowd.station.pool.claim(FourTuple(OURS, 80, THEIRS, port), timeout=0).close()
        crowd.acknowledge(port, 1)
    crowd.station.advance(59.9)
    assert crowd.station.host.stack.statistics().orphans == 100
    crowd.station.advance(0.2)
    assert (crowd.connections, crowd.ended) == (0, {Trigger.ORPHAN_OVER: 100})
