"""The byte stream: in order, out of order, lossy, against closed windows; retransmission and giving up."""

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from support.pair import CLIENT, MSS, SERVER, End, Pair
from support.peer import Peer
from xsocket.config import TcpConfig
from xsocket.reasons import DropReason
from xsocket.seqnum import add, precedes_or_is
from xsocket.state import State, Timer
from xsocket.tcp.options import Nop, Sack, Timestamps, decode, for_segment, for_syn, parse

PLAIN = TcpConfig(timestamps=False, sack=False)


def connected(client: TcpConfig | None = None, server: TcpConfig | None = None, delay: float = 0.0) -> Pair:
    """Return a pair that has shaken hands over a path of that one-way delay; its story begins anew."""
    pair = Pair(End("client", client), End("server", server))
    pair.delay = lambda _number, _segment: delay
    pair.connect()
    pair.advance(pair.now + 3 * delay)
    pair.story.clear()
    pair.cable.clear()
    pair.times.clear()
    return pair


def text_of(size: int, seed: int = 0) -> bytes:
    return Random(seed).randbytes(size)


class Stream:
    """One direction of a pair: gives the text as there is room, reads it as it comes."""

    def __init__(self, pair: Pair, to: str, text: bytes) -> None:
        self.pair = pair
        ends = ((pair.client, CLIENT), (pair.server, SERVER))
        (self.sender, self.outgoing), (self.receiver, self.incoming) = ends if to == "server" else ends[::-1]
        self.left = text
        self.got = b""

    def turn(self) -> None:
        if self.left:
            self.left = self.left[self.pair.send(self.sender, self.outgoing, self.left) :]
        self.got += self.pair.read(self.receiver, self.incoming)


def transfer(pair: Pair, *streams: Stream, by: float = 600) -> None:
    """Let time pass until nothing happens by itself any more."""
    while True:
        for stream in streams:
            stream.turn()
        if pair.deadline > by:
            break
        pair.step()
    assert not any(stream.left for stream in streams)


# In order


def test_text_is_acknowledged() -> None:
    pair = connected()
    pair.send(pair.client, CLIENT, b"hello")
    assert pair.story == ["client > P. seq 1 ack 1 len 5", "server > . seq 1 ack 6"]
    assert pair.read(pair.server, SERVER) == b"hello"
    assert pair.story[2:] == [], "reading a little is not worth a window update"
    pair.advance(1000)
    assert pair.client.timers() == []


def test_text_is_cut_at_the_mss_and_pushed_at_the_end() -> None:
    pair = connected(PLAIN)
    pair.send(pair.client, CLIENT, b"x" * 3000)
    assert pair.story == [
        "client > . seq 1 ack 1 len 1460",
        "client > . seq 1461 ack 1 len 1460",
        "client > P. seq 2921 ack 1 len 80",
        "server > . seq 1 ack 3001",
    ]


def test_an_answer_carries_the_acknowledgment() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.send("P.", text=b"question")
    assert peer.write(b"answer") == ["P. seq 1 ack 9 len 6"]


@pytest.mark.parametrize(
    "config", [TcpConfig(), PLAIN, TcpConfig(window_scaling=False)], ids=["all", "plain", "unscaled"]
)
def test_a_megabyte_each_way(config: TcpConfig) -> None:
    pair = connected(config, config, delay=0.01)
    streams = Stream(pair, "server", text_of(1 << 20)), Stream(pair, "client", text_of(1 << 20, 1))
    transfer(pair, *streams)
    assert [stream.got for stream in streams] == [text_of(1 << 20), text_of(1 << 20, 1)]
    assert {*pair.client.timers(), *pair.server.timers()} <= {Timer.DELAYED_ACK}


def test_sequence_numbers_wrap_under_way() -> None:
    peer = Peer(End("end"), iss=2**32 - 3000).establish()
    for seq in range(1, 6001, 1000):
        assert peer.send(".", seq, text=bytes(1000)) == [f". seq 1 ack {seq + 1000}"]
    assert len(peer.read()) == 6000


# Out of order


def test_text_that_an_acknowledgment_lets_go_acknowledges_what_came_with_it() -> None:
    peer = Peer(End("server"), options=for_syn(100, None, False, None)).establish(window=100)
    assert peer.write(bytes(200)) == [". seq 1 ack 1 len 100"]
    assert peer.send("P.", ack=101, window=100, text=b"12345") == ["P. seq 101 ack 6 len 100"]


def test_a_gap_is_reported_at_once_and_closes() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    early = [peer.segment(".", seq, text=b"x" * 10) for seq in (11, 21, 31)]
    assert peer.deliver(*early) == [". seq 1 ack 1"] * 3, "one duplicate for each: the peer counts them"
    assert peer.send(".", 1, text=b"x" * 10) == [". seq 1 ack 41"]
    assert len(peer.read()) == 40


def test_a_gap_that_closes_in_part_is_reported_at_once() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.send(".", 21, text=b"x" * 10)
    batch = [peer.segment(".", 1, text=b"x" * 10), peer.segment(".", 31, text=b"x" * 10)]
    assert peer.deliver(*batch) == [". seq 1 ack 11"] * 2


def test_too_many_stretches() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    for seq in range(3, 3 + 2 * 257, 2):
        peer.send(".", seq, text=b"x")
    assert peer.end.drops() == [DropReason.OUT_OF_ORDER_FULL]


def test_text_beyond_the_window_is_cut_off() -> None:
    peer = Peer(End("end", TcpConfig(rmem=256))).reach(State.ESTABLISHED)
    assert peer.send("FP.", text=b"x" * 300) == [". seq 1 ack 257"]
    assert peer.state is State.ESTABLISHED, "the FIN is beyond the window, too"
    assert peer.tcb.unread == 256


# Lossy by seed: nothing is lost to the users


def unreliable(
    seed: int, loss: float
) -> tuple[Callable[..., bool], Callable[..., bool], Callable[..., float]]:
    random = Random(seed)
    return (
        lambda _number, _segment: random.random() < loss,
        lambda _number, _segment: random.random() < loss / 2,
        lambda _number, _segment: random.choice((0.01, 0.01, 0.01, 0.012, 0.03)),
    )


CONFIGS = {
    "all": TcpConfig(),
    "plain": PLAIN,
    "timestamps": TcpConfig(sack=False),
    "SACK": TcpConfig(timestamps=False),
    "small": TcpConfig(rmem=5000, wmem=3000),
}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("loss", [0.02, 0.1], ids=["2 %", "10 %"])
def test_an_unreliable_path_loses_nothing(seed: int, name: str, loss: float) -> None:
    pair = Pair(End("client", CONFIGS[name]), End("server", CONFIGS[name]))
    pair.lose, pair.duplicate, pair.delay = unreliable(seed, loss)
    pair.connect()
    while not pair.server.established():
        pair.step()
    texts = text_of(60_000, seed), text_of(40_000, seed + 100)
    streams = Stream(pair, "server", texts[0]), Stream(pair, "client", texts[1])
    transfer(pair, *streams)
    assert tuple(stream.got for stream in streams) == texts
    pair.close(pair.client, CLIENT)
    pair.close(pair.server, SERVER)
    pair.advance(pair.now + 1000)
    assert len(pair.client.stack) == len(pair.server.stack) == 0
    assert pair.client.deleted() == pair.server.deleted() == [None]
    assert not {DropReason.ACK_UNSENT, DropReason.ACK_TOO_OLD} & set(
        pair.client.drops() + pair.server.drops()
    )


@pytest.mark.parametrize("seed", range(4))
def test_segments_fit_the_link(seed: int) -> None:
    """RFC 9293 section 3.7.1: options count against the MSS, in every segment."""
    pair = connected(delay=0.01)
    pair.lose, pair.duplicate, pair.delay = unreliable(seed, 0.1)
    transfer(pair, Stream(pair, "server", text_of(60_000)), Stream(pair, "client", text_of(60_000)))
    assert max(len(segment.payload) + len(segment.options) for _, segment in pair.cable) <= MSS[4]


# Windows: RFC 9293 section 3.8.6


def edges(pair: Pair, sender: str, shift: int) -> list[int]:
    """Return the right edge of each window that *sender* offered."""
    offers = [segment for name, segment in pair.cable if name == sender and not segment.syn]
    return [add(segment.acknowledgment, segment.window << shift) for segment in offers]


@pytest.mark.parametrize("rmem", [256, 2000, 65_535], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_the_window_never_shrinks(rmem: int, seed: int) -> None:
    pair = connected(server=TcpConfig(rmem=rmem))
    random = Random(seed)
    left = 50_000
    for _ in range(2_000):
        left -= pair.send(pair.client, CLIENT, bytes(min(left, random.choice((1, 10, 3000)))))
        pair.read(pair.server, SERVER, random.choice((0, 1, 100, 5000)))
        pair.advance(pair.now + random.choice((0, 0.1)))
    seen = edges(pair, "server", 0)
    assert all(precedes_or_is(first, second) for first, second in pairwise(seen))
    assert max(segment.window for name, segment in pair.cable if name == "server") <= rmem


def test_a_scaled_window_shrinks_by_less_than_its_grain() -> None:
    """RFC 7323 section 2.4: the shift takes the low bits away."""
    pair = connected(server=TcpConfig(rmem=1 << 20))
    random = Random(1)
    for _ in range(500):
        pair.send(pair.client, CLIENT, bytes(random.choice((1, 7, 3000))))
        pair.read(pair.server, SERVER, random.choice((0, 1, 5000)))
    seen = edges(pair, "server", 5)
    assert all(precedes_or_is(first, add(second, 31)) for first, second in pairwise(seen))


def test_stall_probe_and_reopening() -> None:
    pair = connected(server=TcpConfig(rmem=1000, window_scaling=False))
    assert pair.send(pair.client, CLIENT, text_of(1500)) == 1500
    assert pair.story == ["client > . seq 1 ack 1 len 1000", "server > . seq 1 ack 1001"]
    tcb = pair.tcb(pair.client, CLIENT)
    assert (tcb.snd_wnd, tcb.timer) == (0, Timer.PERSIST)
    pair.advance(10)
    probes = ["client > . seq 1001 ack 1 len 1", "server > . seq 1 ack 1001"]
    assert pair.times[2::2] == pytest.approx([0.2, 0.6, 1.4, 3.0, 6.2])
    assert pair.story[2:] == probes * 5
    assert pair.read(pair.server, SERVER) == text_of(1500)[:1000]
    assert pair.story[12:] == [
        "server > . seq 1 ack 1001",
        "client > . seq 1001 ack 1 len 1",
        "server > . seq 1 ack 1002",
        "client > P. seq 1002 ack 1 len 499",
        "server > . seq 1 ack 1501",
    ]
    assert pair.read(pair.server, SERVER) == text_of(1500)[1000:]
    pair.advance(1000)
    assert pair.story[17:] == ["server > . seq 1 ack 1501"], "half the buffer is worth an update"


def test_a_lost_window_update_is_made_good_by_a_probe() -> None:
    pair = connected(server=TcpConfig(rmem=1000, window_scaling=False))
    pair.send(pair.client, CLIENT, bytes(1500))
    pair.lose = lambda _number, _segment: True
    pair.read(pair.server, SERVER)
    pair.lose = lambda _number, _segment: False
    pair.advance(20)
    assert pair.tcb(pair.server, SERVER).unread == 500


def test_a_probed_peer_that_answers_is_never_given_up() -> None:
    """MUST-37."""
    pair = connected(TcpConfig(retries2=3), TcpConfig(rmem=256))
    pair.send(pair.client, CLIENT, bytes(1500))
    pair.advance(100_000)
    assert pair.tcb(pair.client, CLIENT).state is State.ESTABLISHED


def test_a_probed_peer_that_is_silent_is_given_up() -> None:
    pair = connected(TcpConfig(retries2=3), TcpConfig(rmem=256))
    pair.send(pair.client, CLIENT, bytes(1500))
    pair.lose = lambda _number, _segment: True
    pair.advance(10_000)
    assert pair.client.deleted() == [TimeoutError]


def test_an_orphan_whose_peer_never_opens_its_window_is_given_up() -> None:
    pair = connected(TcpConfig(retries2=3), TcpConfig(rmem=256))
    pair.send(pair.client, CLIENT, bytes(1500))
    pair.release(pair.client, CLIENT)
    pair.advance(100_000)
    assert pair.client.path(CLIENT)[-1] is State.CLOSED


@pytest.mark.parametrize("scaled", [True, False], ids=["scaled", "not scaled"])
def test_reading_a_little_of_a_wide_window_sends_nothing(scaled: bool) -> None:
    """An acknowledgment that repeats the last one would count as a duplicate (RFC 5681 section 2)."""
    options = for_syn(1460, 0 if scaled else None, False, None)
    peer = Peer(End("end"), options=options).establish()
    peer.send("P.", text=b"x" * 1000)
    sent = len(peer.end.segments())
    peer.read(10)
    assert len(peer.end.segments()) == sent


def test_reading_a_whole_buffer_is_told_once() -> None:
    pair = connected(server=TcpConfig(rmem=10_000, window_scaling=False))
    pair.send(pair.client, CLIENT, bytes(10_000))
    pair.story.clear()
    pair.read(pair.server, SERVER, 1000)
    assert pair.story == [], "less than a segment: RFC 9293 section 3.8.6.2.2"
    pair.read(pair.server, SERVER)
    assert pair.story == ["server > . seq 1 ack 10001"]
    assert pair.cable[-1][1].window == 10_000


def test_a_window_that_shrank_is_not_exceeded() -> None:
    """RFC 7323 section 2.4; what was sent before goes again as if nothing had happened."""
    peer = Peer(End("end", PLAIN)).establish(window=20_000)
    peer.write(bytes(2920))
    peer.send(".", 1, 1, window=2000)
    assert peer.write(bytes(5840)) == []
    assert peer.advance(0.2) == [". seq 1 ack 1 len 1460"]
    assert peer.send(".", 1, 2921, window=2000) == [". seq 2921 ack 1 len 1460"]


def test_a_window_that_was_offered_once_is_kept_open() -> None:
    """RFC 7323 section 2.4, for the receiver: though a scaled window seems to shrink."""
    peer = Peer(End("end", TcpConfig(rmem=1 << 20)), options=for_syn(1460, 0, False, None)).establish()
    peer.send(".", text=b"x")
    edge = peer.tcb.rcv_adv
    peer.send(".", 2, text=b"x" * 15)
    offered = peer.end.segments()[-1]
    assert add(offered.acknowledgment, offered.window << 5) != edge
    assert peer.tcb.rcv_adv == edge
    last = edge - peer.iss - 1
    assert peer.send(".", last, text=b"x") == [". seq 1 ack 17"]
    assert peer.end.drops() == []
    assert peer.tcb.receiving is not None
    assert peer.tcb.receiving.early == 1


def test_a_sliver_of_the_window_is_not_filled() -> None:
    """Silly window avoidance, RFC 9293 section 3.8.6.2.1."""
    peer = Peer(End("end")).establish(window=2000)
    assert peer.write(b"x" * 5000) == [". seq 1 ack 1 len 1460"]
    assert peer.send(".", 1, 1461, window=2000) == [". seq 1461 ack 1 len 1460"]


def test_an_old_acknowledgment_does_not_move_the_window() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.write(b"x" * 100)
    peer.send(".", 1, 101, window=5000)
    peer.send(".", 1, 50, window=10)
    assert peer.tcb.snd_wnd == 5000


def test_an_old_acknowledgment_in_a_newer_segment_does_not_move_the_window() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.write(b"x" * 100)
    peer.send(".", 1, 101, window=5000)
    peer.send(".", 11, 50, text=b"early", window=10)
    assert peer.tcb.snd_wnd == 5000


def test_an_older_segment_does_not_move_the_window() -> None:
    """SND.WL1, RFC 9293 section 3.10.7.4 fifth."""
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.send(".", 11, text=b"x" * 10, window=5000)
    peer.send(".", 1, text=b"x" * 10, window=10)
    assert peer.tcb.snd_wnd == 5000


def test_the_send_buffer_is_bounded() -> None:
    peer = Peer(End("end", TcpConfig(wmem=1000))).establish(window=256)
    taken, actions = peer.end.stack.send(0.0, peer.tcb, memoryview(bytes(5000)))
    peer.did(actions)
    assert taken == 1000
    assert peer.end.stack.send(0.0, peer.tcb, memoryview(bytes(5000))) == (0, [])
    peer.send(".", 1, 257, window=256)
    assert peer.end.stack.send(0.0, peer.tcb, memoryview(bytes(5000)))[0] == 256


# Retransmission: RFC 6298, 5681


def test_a_lost_segment_is_sent_again_after_the_timeout() -> None:
    pair = connected(PLAIN, delay=0.05)
    pair.lose = lambda number, _: number == 1
    start = pair.now
    pair.send(pair.client, CLIENT, b"hello")
    rto = pair.tcb(pair.client, CLIENT).rto_s
    assert rto == pytest.approx(0.1 + 4 * 0.05)
    pair.advance(start + rto - 0.001)
    assert pair.story == ["client > P. seq 1 ack 1 len 5"]
    pair.advance(start + rto + 1)
    assert pair.story == ["client > P. seq 1 ack 1 len 5"] * 2 + ["server > . seq 1 ack 6"]


def test_timeouts_back_off_and_end() -> None:
    peer = Peer(End("end", TcpConfig(retries2=4, timestamps=False))).reach(State.ESTABLISHED)
    peer.write(b"hello")
    assert peer.tcb.rto_s == 0.2
    assert [len(peer.advance(at)) for at in (0.199, 0.201, 0.601, 1.401, 3.001, 6.199)] == [0, 1, 1, 1, 1, 0]
    assert peer.advance(6.201) == []
    assert peer.state is State.CLOSED
    assert peer.end.deleted() == [TimeoutError]


def test_an_acknowledgment_of_anything_new_starts_the_count_again() -> None:
    peer = Peer(End("end", TcpConfig(retries2=2))).reach(State.ESTABLISHED)
    peer.write(b"x" * 2000)
    peer.advance(0.7)
    peer.send(".", 1, 1461)
    assert (peer.tcb.retries, peer.tcb.unanswered) == (0, 0)


def test_three_duplicates_bring_a_retransmission_before_the_timeout() -> None:
    peer = Peer(End("end", PLAIN)).reach(State.ESTABLISHED)
    peer.write(b"x" * 14_600)
    answers = [peer.send(".", 1, 1) for _ in range(3)]
    assert not any(line.startswith(". seq 1 ") for line in answers[0] + answers[1])
    assert ". seq 1 ack 1 len 1460" in answers[2]
    assert peer.end.timers() == []


def test_slow_start_doubles_what_is_in_flight() -> None:
    """MUST-19; RFC 5681 section 3.1."""
    peer = Peer(End("end", PLAIN)).establish()
    sent, flights, ack = peer.write(bytes(200_000)), [], 1
    for _ in range(3):
        flights.append(len(sent))
        ack += 1460 * len(sent)
        sent = peer.send(".", 1, ack)
    assert flights == [10, 20, 40]


def test_the_first_duplicates_let_a_new_segment_out_each() -> None:
    """Limited transmit, RFC 3042 section 2."""
    peer = Peer(End("end", PLAIN)).reach(State.ESTABLISHED)
    assert len(peer.write(b"x" * 30_000)) == 10
    assert peer.send(".", 1, 1) == [". seq 14601 ack 1 len 1460"]
    assert peer.send(".", 1, 1) == [". seq 16061 ack 1 len 1460"]


def test_a_loss_halves_what_was_in_flight() -> None:
    """RFC 6675 section 5 (4.2): FlightSize, not what SACK leaves of it."""
    peer = Peer(End("end", TcpConfig(timestamps=False)), options=for_syn(1460, None, True, None))
    peer.reach(State.ESTABLISHED)
    peer.write(b"x" * 14_600)
    first = add(peer.irs, 1461)
    peer.send(".", 1, 1, options=for_segment(None, ((first, add(first, 3 * 1460)),)))
    assert peer.tcb.congestion is not None
    assert peer.tcb.congestion.ssthresh == 7300


def test_an_acknowledgment_that_shuts_the_window_starts_the_persist_timer() -> None:
    peer = Peer(End("end", PLAIN)).reach(State.ESTABLISHED)
    peer.write(b"x" * 2920)
    peer.send(".", 1, 1461, window=0)
    assert peer.tcb.timer is Timer.PERSIST


def test_recovery_under_sack_resends_only_what_is_missing() -> None:
    pair = connected(delay=0.01)
    pair.lose = lambda number, _: number in (1, 4)
    text = text_of(14_480)
    transfer(pair, stream := Stream(pair, "server", text))
    assert stream.got == text
    again = [line for line in pair.story if line.startswith("client") and pair.story.count(line) > 1]
    assert len(set(again)) == 2
    assert pair.client.timers() == []


def test_the_round_trip_is_measured() -> None:
    pair = connected(PLAIN, delay=0.1)
    pair.send(pair.client, CLIENT, b"x")
    pair.advance(pair.now + 1)
    path = pair.tcb(pair.client, CLIENT).round_trip
    assert path is not None
    assert path.srtt == pytest.approx(0.2)


def test_the_round_trip_is_measured_in_every_round_trip() -> None:
    """RFC 6298 section 3."""
    peer = Peer(End("end", PLAIN)).reach(State.ESTABLISHED)
    seen = []
    for number in range(5):
        peer.write(bytes(10))
        peer.now += 0.1
        peer.send(".", 1, 1 + 10 * (number + 1))
        seen.append(peer.tcb.round_trip)
    assert len(set(seen)) == 5


def test_a_stamp_tells_which_transmission_was_acknowledged() -> None:
    """RFC 6298 section 3: the one case in which a retransmission may be timed."""
    peer = Peer(End("end"), options=for_syn(1460, None, False, (1000, 0))).establish()
    peer.write(b"x")
    peer.advance(0.2)
    again = parse(peer.end.segments()[-1].options).ts_val
    assert again is not None
    peer.now = 0.25
    peer.send(".", 1, 2, options=for_segment((1001, again)))
    assert peer.tcb.round_trip is not None
    assert peer.tcb.round_trip.srtt < 0.05, "not the quarter of a second since the first"


def test_the_timer_runs_while_something_is_in_flight_and_restarts_with_progress() -> None:
    """RFC 6298 section 5.1 to 5.3."""
    peer = Peer(End("end", PLAIN)).reach(State.ESTABLISHED)
    peer.write(bytes(1460))
    assert peer.tcb.deadline == 0.2
    peer.now = 0.1
    peer.write(bytes(1460))
    assert peer.tcb.deadline == 0.2, "it runs already"
    peer.now = 0.15
    peer.send(".", 1, 1461)
    assert peer.tcb.deadline == pytest.approx(0.15 + peer.tcb.rto_s)
    peer.send(".", 1, 2921)
    assert peer.tcb.timer is None


def test_a_timeout_sends_the_oldest_segment_again() -> None:
    """RFC 6298 section 5.4."""
    peer = Peer(End("end", PLAIN)).reach(State.ESTABLISHED)
    peer.write(bytes(14_600))
    peer.send(".", 1, 1461)
    assert peer.advance(peer.tcb.deadline) == [". seq 1461 ack 1 len 1460"]


def test_a_retransmitted_segment_is_not_timed() -> None:
    """Karn's algorithm, RFC 6298 section 3."""
    pair = connected(PLAIN, delay=0.1)
    before = pair.tcb(pair.client, CLIENT).round_trip
    pair.lose = lambda number, _: number == 1
    pair.send(pair.client, CLIENT, b"x")
    pair.advance(pair.now + 5)
    assert pair.tcb(pair.client, CLIENT).round_trip == before
    assert pair.tcb(pair.client, CLIENT).flight == 0


def test_a_segment_that_duplicates_brought_again_is_not_timed() -> None:
    peer = Peer(End("end", PLAIN)).reach(State.ESTABLISHED)
    peer.write(bytes(14_600))
    before = peer.tcb.round_trip
    for _ in range(3):
        peer.send(".", 1, 1)
    peer.now = 5.0
    peer.send(".", 1, 14_601)
    assert peer.tcb.flight == 0
    assert peer.tcb.round_trip == before


def test_a_doubled_timeout_stays_until_a_round_trip_is_measured() -> None:
    """Karn's algorithm, RFC 6298 section 5: what answers a retransmission may answer the first sending."""
    peer = Peer(End("end", PLAIN)).reach(State.ESTABLISHED)
    peer.write(b"x")
    assert len(peer.advance(1.0)) == 2
    assert peer.send(".", 1, 2) == []
    assert peer.tcb.rto_s == 0.8
    peer.write(b"y")
    assert peer.advance(1.799) == []
    assert peer.advance(1.8) == ["P. seq 2 ack 1 len 1"]
    peer.send(".", 1, 3)
    assert peer.tcb.rto_s == 1.6
    peer.write(b"z")
    peer.send(".", 1, 4)
    assert peer.tcb.rto_s == 0.2, "measured"


def test_an_echoed_stamp_measures_a_retransmission_too() -> None:
    """RFC 7323 section 4.3: it says which of the two was answered."""
    peer = Peer(End("end"), options=for_syn(1460, None, False, (1000, 0))).establish()
    peer.write(b"x")
    peer.advance(1.0)
    peer.send(".", 1, 2, options=for_segment((1001, peer.tcb.timestamp(0.9))))
    assert peer.tcb.rto_s < 0.4


def test_a_probe_that_is_repeated_is_the_same_segment() -> None:
    """RFC 9293 section 3.9.1.2: what is pushed is the end of what the user gave, not of what was sent."""
    peer = Peer(End("server")).establish(window=0)
    peer.write(bytes(100))
    first = peer.advance(0.3)
    assert first == [". seq 1 ack 1 len 1"]
    assert peer.advance(0.9) == first
    again = Peer(End("server")).establish()
    again.write(bytes(10))
    assert again.advance(0.25) == ["P. seq 1 ack 1 len 10"]


def test_probes_of_a_closed_window_do_not_lengthen_the_timeout() -> None:
    peer = Peer(End("end", PLAIN)).establish(window=0)
    peer.write(b"x")
    while peer.now < 60:
        peer.advance(peer.tcb.deadline)
        peer.send(".", 1, 1, window=0)
    peer.send(".", 1, 2)
    assert peer.tcb.rto_s == 0.2


def test_urgent_text_is_text() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    assert peer.send("PU.", text=b"urgent") == [". seq 1 ack 7"]
    assert peer.read() == b"urgent"


def test_a_stream_over_ipv6() -> None:
    six = CLIENT._replace(local_address="fd00::1", remote_address="fd00::2")
    pair = Pair()
    pair.connect(six)
    pair.send(pair.client, six, b"x" * 5000)
    assert pair.read(pair.server, six.reversed) == b"x" * 5000
    assert max(len(segment.payload) for _, segment in pair.cable) == 1440 - 12


def test_every_option_list_is_well_formed() -> None:
    pair = connected(delay=0.01)
    pair.lose, pair.duplicate, pair.delay = unreliable(3, 0.1)
    transfer(pair, Stream(pair, "server", text_of(60_000)))
    sizes = {len(segment.options) for _, segment in pair.cable}
    assert all(size <= 40 and size % 4 == 0 for size in sizes)
    kinds = {type(option) for _, segment in pair.cable for option in decode(segment.options)}
    assert kinds == {Nop, Timestamps, Sack}, "filled with no-operations: nothing stands behind an end"
    blocks = [block for _, segment in pair.cable for block in parse(segment.options).sack]
    assert all(precedes_or_is(left, right) and left != right for left, right in blocks)
