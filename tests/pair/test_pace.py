"""When segments go: delayed acknowledgments, the Nagle algorithm, silly window avoidance."""

from dataclasses import replace
from typing import Any

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from support.peer import Peer
from xsocket.config import TcpConfig
from xsocket.state import State, Timer
from xsocket.tcp.options import for_syn

AT_ONCE_NEVER = TcpConfig(quickacks=0)
FULL = bytes(1460)


def receiver(config: TcpConfig = AT_ONCE_NEVER) -> Peer:
    """Return a peer whose text the engine acknowledges by *config*."""
    return Peer(End("end", config)).establish()


# Delayed acknowledgments: RFC 9293 section 3.8.6.3


def test_the_acknowledgment_of_one_segment_waits() -> None:
    peer = receiver()
    assert peer.send(".", text=b"x") == []
    assert peer.advance(0.039) == []
    assert peer.advance(0.04) == [". seq 1 ack 2"]
    assert peer.end.timers() == [Timer.DELAYED_ACK]
    assert peer.end.actions[-1].rule == "3.8.6.3"  # type: ignore[union-attr]
    assert peer.advance(1000) == []


def test_no_acknowledgment_waits_half_a_second() -> None:
    """MUST-40."""
    peer = receiver(TcpConfig(quickacks=0, delayed_ack_s=0.499))
    peer.send(".", text=b"x")
    assert peer.advance(0.5) == [". seq 1 ack 2"]


def test_every_second_full_sized_segment_is_acknowledged() -> None:
    """SHLD-19."""
    peer = receiver()
    answers = [peer.send(".", seq=1 + 1460 * number, text=FULL) for number in range(6)]
    assert answers == [[], [". seq 1 ack 2921"], [], [". seq 1 ack 5841"], [], [". seq 1 ack 8761"]]


def test_a_peer_whose_segments_are_small_counts_by_its_own_measure() -> None:
    peer = receiver()
    assert peer.send(".", seq=1, text=bytes(536)) == []
    assert peer.send(".", seq=537, text=bytes(536)) == [". seq 1 ack 1073"]


def test_a_second_small_segment_does_not_put_it_off() -> None:
    peer = receiver()
    peer.send(".", seq=1, text=b"x")
    peer.now = 0.03
    assert peer.send(".", seq=2, text=b"y") == []
    assert peer.advance(0.04) == [". seq 1 ack 3"]


def test_text_of_ours_carries_the_acknowledgment() -> None:
    peer = receiver()
    peer.send(".", text=b"question")
    assert peer.write(b"answer") == ["P. seq 1 ack 9 len 6"]
    assert peer.advance(0.1) == []


@pytest.mark.parametrize(
    ("letters", "seq", "text", "answer"),
    [
        pytest.param("F.", 1, b"", "ack 2", id="FIN"),
        pytest.param("F.", 1, b"x", "ack 3", id="text and FIN"),
        pytest.param(".", 2, b"x", "ack 1", id="past a gap"),
        pytest.param(".", 0, b"x", "ack 1", id="old text"),
    ],
)
def test_what_does_not_wait(letters: str, seq: int, text: bytes, answer: str) -> None:
    peer = receiver()
    assert peer.send(letters, seq=seq, text=text) == [f". seq 1 {answer}"]


def test_what_fills_a_gap_is_acknowledged_at_once() -> None:
    """RFC 5681 section 4.2."""
    peer = receiver()
    peer.send(".", seq=2, text=b"b")
    assert peer.send(".", seq=1, text=b"a") == [". seq 1 ack 3"]


def test_a_probe_of_a_closed_window_is_answered_at_once() -> None:
    peer = receiver(TcpConfig(quickacks=0, rmem=256))
    peer.send(".", text=bytes(256))
    peer.advance(1)
    assert peer.send(".", seq=257, text=b"x") == [". seq 1 ack 257"]


def test_the_first_acknowledgments_go_at_once() -> None:
    peer = receiver(TcpConfig(quickacks=2))
    assert peer.send(".", seq=1, text=b"x") == [". seq 1 ack 2"]
    assert peer.send(".", seq=2, text=b"x") == [". seq 1 ack 3"]
    assert peer.send(".", seq=3, text=b"x") == []


def test_no_acknowledgment_waits_where_none_may() -> None:
    peer = receiver(TcpConfig(quickacks=0, delayed_ack_s=0))
    assert peer.send(".", seq=1, text=b"x") == [". seq 1 ack 2"]


def test_reading_that_opens_the_window_takes_the_acknowledgment_along() -> None:
    peer = receiver(TcpConfig(quickacks=0, rmem=3000))
    peer.send(".", text=bytes(1460))
    assert peer.tcb.due == 0.04
    peer.read()
    assert peer.end.sent()[-1] == "."
    assert peer.advance(10) == []


def test_after_a_reset_nothing_is_owed() -> None:
    peer = receiver()
    peer.send(".", text=b"x")
    peer.send("R", seq=2)
    assert peer.advance(10) == []
    assert peer.end.timers() == []


# The Nagle algorithm: RFC 9293 section 3.7.4


def sender(**rules: bool) -> Peer:
    return Peer(End("end", TcpConfig(**rules))).establish()  # type: ignore[arg-type]


def test_a_short_segment_waits_for_a_short_one() -> None:
    peer = sender()
    assert peer.write(b"a") == ["P. seq 1 ack 1 len 1"]
    assert peer.write(b"b") == []
    assert peer.write(b"c") == []
    assert peer.send(".", ack=2) == ["P. seq 2 ack 1 len 2"]


def test_a_short_segment_follows_a_full_one() -> None:
    """Minshall's change: only a short segment holds a short one back."""
    assert sender().write(FULL + b"tail") == [". seq 1 ack 1 len 1460", "P. seq 1461 ack 1 len 4"]


def test_without_minshall_it_waits_for_a_full_one() -> None:
    peer = sender(minshall=False)
    assert peer.write(FULL + b"tail") == [". seq 1 ack 1 len 1460"]
    assert peer.send(".", ack=1461) == ["P. seq 1461 ack 1 len 4"]


def test_nodelay_sends_at_once() -> None:
    """MUST-17: the user can switch the algorithm off."""
    peer = sender(nodelay=True)
    assert [peer.write(text) for text in (b"a", b"b")] == [
        ["P. seq 1 ack 1 len 1"],
        ["P. seq 2 ack 1 len 1"],
    ]


def test_a_full_segment_never_waits() -> None:
    peer = sender(minshall=False)
    peer.write(b"a")
    assert peer.write(FULL) == ["P. seq 2 ack 1 len 1460"]


def test_the_last_text_does_not_wait() -> None:
    peer = sender()
    peer.write(b"a")
    peer.write(b"b")
    assert peer.close() == ["FP. seq 2 ack 1 len 1"]


# Silly window avoidance of the sender: RFC 9293 section 3.8.6.2.1


def test_a_small_window_is_left_alone_until_the_timer() -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, False, None)).establish(window=4000)
    peer.write(bytes(4000))
    peer.send(".", ack=4001, window=1000)
    assert peer.write(bytes(3000)) == []
    assert peer.tcb.timer is Timer.PERSIST
    assert peer.advance(peer.tcb.deadline) == [". seq 4001 ack 1 len 1000"]
    assert peer.tcb.timer is Timer.RETRANSMISSION


def test_half_of_the_largest_window_is_worth_a_segment() -> None:
    peer = Peer(End("end")).establish(window=2000)
    peer.write(bytes(1460))
    peer.send(".", ack=1461, window=1000)
    assert peer.write(bytes(3000)) == [". seq 1461 ack 1 len 1000"]


def test_all_there_is_goes_into_a_small_window() -> None:
    peer = Peer(End("end")).establish(window=4000)
    peer.write(bytes(1460))
    peer.send(".", ack=1461, window=100)
    assert peer.write(bytes(100)) == ["P. seq 1461 ack 1 len 100"]


def test_a_window_that_grows_in_time_stops_the_timer() -> None:
    peer = Peer(End("end")).establish(window=4000)
    peer.write(bytes(4000))
    peer.send(".", ack=4001, window=1000)
    peer.write(bytes(3000))
    assert peer.send(".", ack=4001, window=4000) == [
        ". seq 4001 ack 1 len 1460",
        ". seq 5461 ack 1 len 1460",
        "P. seq 6921 ack 1 len 80",
    ]
    assert peer.tcb.timer is Timer.RETRANSMISSION


def test_two_engines_with_delayed_acknowledgments_and_nagle_get_along() -> None:
    config = TcpConfig(quickacks=0, minshall=False)
    pair = Pair(End("client", config), End("server", config))
    pair.connect()
    text = bytes(range(256)) * 23
    pair.send(pair.client, CLIENT, text)
    pair.close(pair.client, CLIENT)
    pair.advance(1)
    assert pair.read(pair.server, SERVER) == text
    assert pair.tcb(pair.server, SERVER).state is State.CLOSE_WAIT


# One connection by other rules: `Connection.configure`


def configure(peer: Peer, **rules: Any) -> list[str]:  # noqa: ANN401
    config = replace(peer.tcb.config, **rules)
    return peer.did(peer.end.stack.configure(peer.now, peer.tcb, config))


def test_nodelay_lets_go_what_was_held_back() -> None:
    peer = sender()
    peer.write(b"a")
    peer.write(b"b")
    assert configure(peer, nodelay=True) == ["P. seq 2 ack 1 len 1"]


def test_keep_alive_begins_when_it_is_switched_on() -> None:
    peer = sender()
    peer.advance(1000)
    configure(peer, keepalive=True, keepalive_time_s=60)
    assert peer.advance(1060) == [". seq 0 ack 1"]


def test_keep_alive_ends_when_it_is_switched_off() -> None:
    peer = sender(keepalive=True)
    configure(peer, keepalive=False)
    assert peer.advance(100_000) == []


def test_other_connections_keep_their_rules() -> None:
    end = End("end")
    one, other = (Peer(end, SERVER._replace(remote_port=port)).establish() for port in (1, 2))
    configure(one, nodelay=True)
    assert (one.tcb.config.nodelay, other.tcb.config.nodelay) == (True, False)


def test_time_wait_goes_on() -> None:
    peer = Peer(End("end")).reach(State.TIME_WAIT)
    configure(peer, keepalive=True)
    assert peer.tcb.timer is Timer.TIME_WAIT
