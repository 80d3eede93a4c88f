"""Closing: RFC 9293 sections 3.6 and 3.6.1, in all orders, the whole path each time."""

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from support.peer import Peer
from xsocket.config import TcpConfig
from xsocket.reasons import DropReason
from xsocket.state import State, Timer
from xsocket.tcp.options import for_syn

NORMAL = [
    "client FIN-WAIT-1",
    "client > F. seq 1 ack 1",
    "server CLOSE-WAIT",
    "server > . seq 1 ack 2",
    "client FIN-WAIT-2",
    "server LAST-ACK",
    "server > F. seq 1 ack 2",
    "client TIME-WAIT",
    "client > . seq 2 ack 2",
    "server CLOSED",
]
"""Figure 12; the client's 2 MSL still to come."""


def connected(config: TcpConfig | None = None) -> Pair:
    """Return a pair that has shaken hands, with an empty story."""
    pair = Pair(End("client", config), End("server", config))
    pair.connect()
    pair.story.clear()
    pair.cable.clear()
    pair.times.clear()
    return pair


def test_normal_close() -> None:
    pair = connected()
    pair.close(pair.client, CLIENT)
    pair.close(pair.server, SERVER)
    assert pair.story == NORMAL
    pair.advance(59.999)
    assert pair.story == NORMAL
    pair.advance(60)
    assert pair.story == [*NORMAL, "client CLOSED"]
    assert pair.client.deleted() == pair.server.deleted() == [None]
    assert pair.client.timers() == [Timer.TIME_WAIT]
    assert pair.deadline == float("inf")


def test_the_passive_side_may_take_its_time() -> None:
    pair = connected()
    pair.close(pair.client, CLIENT)
    pair.advance(100_000)
    assert pair.story == NORMAL[:5]
    pair.send(pair.server, SERVER, b"still here")
    assert pair.read(pair.client, CLIENT) == b"still here"
    pair.close(pair.server, SERVER)
    assert pair.story[-5:] == [
        "server LAST-ACK",
        "server > F. seq 11 ack 2",
        "client TIME-WAIT",
        "client > . seq 2 ack 12",
        "server CLOSED",
    ]


def test_simultaneous_close() -> None:
    """Figure 13."""
    pair = connected()
    pair.client.perform(pair.client.stack.close(0.0, pair.tcb(pair.client, CLIENT)))
    pair.close(pair.server, SERVER)
    assert pair.story == [
        "client FIN-WAIT-1",
        "client > F. seq 1 ack 1",
        "server FIN-WAIT-1",
        "server > F. seq 1 ack 1",
        "server CLOSING",
        "server > . seq 2 ack 2",
        "client CLOSING",
        "client > . seq 2 ack 2",
        "server TIME-WAIT",
        "client TIME-WAIT",
    ]
    pair.advance(60)
    assert pair.story[-2:] == ["client CLOSED", "server CLOSED"]


@pytest.mark.parametrize(
    ("lost", "story", "end"),
    [
        pytest.param(1, [*NORMAL[:2], "client > F. seq 1 ack 1", *NORMAL[2:5]], [State.FIN_WAIT_2], id="FIN"),
        pytest.param(
            2,
            [*NORMAL[:4], "client > F. seq 1 ack 1", "server > . seq 1 ack 2", "client FIN-WAIT-2"],
            [State.FIN_WAIT_2],
            id="its ACK",
        ),
    ],
)
def test_first_half_with_a_loss(lost: int, story: list[str], end: list[State]) -> None:
    pair = connected()
    pair.lose = lambda number, _: number == lost
    pair.close(pair.client, CLIENT)
    pair.advance(1)
    assert pair.story == story
    assert pair.client.path(CLIENT)[-1:] == end


@pytest.mark.parametrize(
    ("lost", "story"),
    [
        pytest.param(3, [*NORMAL[:7], "server > F. seq 1 ack 2", *NORMAL[7:]], id="FIN"),
        pytest.param(
            4,
            [*NORMAL[:9], "server > F. seq 1 ack 2", "client > . seq 2 ack 2", "server CLOSED"],
            id="its ACK",
        ),
    ],
)
def test_second_half_with_a_loss(lost: int, story: list[str]) -> None:
    pair = connected()
    pair.close(pair.client, CLIENT)
    pair.lose = lambda number, _: number == lost
    pair.close(pair.server, SERVER)
    pair.advance(1)
    assert pair.story == story
    at = pair.times[-1]
    pair.advance(at + 59.999)
    assert pair.client.path(CLIENT)[-1] is State.TIME_WAIT, "a retransmitted FIN starts it anew"
    pair.advance(at + 60)
    assert pair.client.path(CLIENT)[-1] is State.CLOSED


@pytest.mark.parametrize("lost", [{1}, {2}, {1, 2}, {3}, {4}, {3, 4}], ids=str)
def test_simultaneous_close_with_losses(lost: set[int]) -> None:
    pair = connected()
    pair.lose = lambda number, _: number in lost
    pair.client.perform(pair.client.stack.close(0.0, pair.tcb(pair.client, CLIENT)))
    pair.close(pair.server, SERVER)
    pair.advance(10)
    for end, four_tuple in ((pair.client, CLIENT), (pair.server, SERVER)):
        path = end.path(four_tuple)
        assert path[-3] is State.FIN_WAIT_1
        assert path[-2] in (State.CLOSING, State.FIN_WAIT_2)
        assert path[-1] is State.TIME_WAIT
    pair.advance(1000)
    assert len(pair.client.stack) == len(pair.server.stack) == 0


def test_a_fin_goes_with_the_last_text() -> None:
    pair = connected(TcpConfig(wmem=10_000, initial_cwnd=1))
    pair.lose = lambda _number, segment: not segment.payload and not segment.fin
    pair.send(pair.client, CLIENT, b"x" * 2000)
    pair.client.perform(pair.client.stack.close(0.0, pair.tcb(pair.client, CLIENT)))
    pair.lose = lambda _number, _segment: False
    pair.advance(5)
    assert "client > FP. seq 1449 ack 1 len 552" in pair.story
    assert pair.read(pair.server, SERVER) == b"x" * 2000
    assert pair.tcb(pair.server, SERVER).state is State.CLOSE_WAIT


def test_a_fin_before_missing_text_waits() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    assert peer.send("F.", 6, text=b"world") == [". seq 1 ack 1"]
    assert peer.state is State.ESTABLISHED
    assert peer.send("P.", 1, text=b"hello") == [". seq 1 ack 12"]
    assert peer.state is State.CLOSE_WAIT
    assert peer.read() == b"helloworld"


def test_a_bare_fin_before_missing_text_waits() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    assert peer.send("F.", 6) == [". seq 1 ack 1"]
    assert peer.send("P.", 1, text=b"hello") == [". seq 1 ack 7"]
    assert peer.state is State.CLOSE_WAIT


def test_the_first_of_two_fins_counts() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.send("F.", 11)
    peer.send("F.", 21)
    assert peer.send(".", 1, text=b"x" * 10) == [". seq 1 ack 12"]
    assert peer.state is State.CLOSE_WAIT


def test_a_fin_in_order_counts_whatever_was_said_before() -> None:
    """A forged one ahead of it must not keep the stream open for ever."""
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    assert peer.send("F.", 21) == [". seq 1 ack 1"]
    assert peer.send("FP.", 1, text=b"hello") == [". seq 1 ack 7"]
    assert peer.state is State.CLOSE_WAIT


def test_a_fin_beyond_the_window_is_not_remembered() -> None:
    peer = Peer(End("end", TcpConfig(rmem=256))).reach(State.ESTABLISHED)
    peer.send("FP.", text=b"x" * 300)
    assert peer.tcb.fin_at is None


def test_a_fin_behind_a_full_window() -> None:
    """The FIN takes the number after the window; what follows is judged by an empty one."""
    peer = Peer(End("end", TcpConfig(rmem=256))).reach(State.ESTABLISHED)
    assert peer.send("FP.", text=b"x" * 256) == [". seq 1 ack 258"]
    assert peer.state is State.CLOSE_WAIT
    assert peer.tcb.rcv_wnd == 0
    assert peer.send("FP.", 1, text=b"x" * 256) == [". seq 1 ack 258"], "its acknowledgment was lost"
    assert peer.send("R", 1000) == []
    assert peer.state is State.CLOSE_WAIT
    assert peer.end.segments()[-1].window == 0


def test_text_behind_a_fin_is_forgotten() -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, True, None)).reach(State.ESTABLISHED)
    peer.send(".", 100, text=b"behind")
    assert peer.send("F.", 1) == [". seq 1 ack 2"]
    assert peer.end.segments()[-1].options == b"", "no block is reported"
    tcb = peer.tcb
    assert tcb.receiving is not None
    assert tcb.receiving.early == 0


@pytest.mark.parametrize("text", [b"", b"late"], ids=["bare", "with text"])
def test_after_its_fin_a_peers_text_is_ignored(text: bytes) -> None:
    peer = Peer(End("end")).reach(State.CLOSE_WAIT)
    assert peer.send(".", text=text) == []
    assert peer.end.drops() == ([DropReason.TEXT_AFTER_FIN] if text else [])
    assert peer.tcb.unread == 0


def test_fin_wait_1_takes_text() -> None:
    peer = Peer(End("end")).reach(State.FIN_WAIT_1)
    assert peer.send("P.", text=b"hello") == [". seq 2 ack 6"]
    assert peer.read() == b"hello"


def test_fin_and_ack_of_ours_in_one() -> None:
    peer = Peer(End("end")).reach(State.FIN_WAIT_1)
    assert peer.send("F.", 1, 2) == [". seq 2 ack 2"]
    assert peer.end.path(SERVER)[-2:] == [State.FIN_WAIT_2, State.TIME_WAIT]


@pytest.mark.parametrize(
    "state", [State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK], ids=lambda state: state.value
)
def test_a_fin_that_is_never_acknowledged_is_given_up(state: State) -> None:
    end = End("end", TcpConfig(retries2=3))
    peer = Peer(end).reach(state)
    sent = peer.advance(1000)
    assert [line[:2] for line in sent] == ["F."] * 3
    assert peer.state is State.CLOSED
    assert end.deleted() == [TimeoutError]


# A user who has gone: section 3.6.1


@pytest.mark.parametrize(
    "state", [State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2], ids=lambda state: state.value
)
def test_release_with_unread_text_resets(state: State) -> None:
    peer = Peer(End("end")).reach(state)
    peer.send("P.", text=b"unread")
    (reset,) = peer.release()
    assert reset.startswith("R. ")
    assert peer.state is State.CLOSED
    assert peer.end.deleted() == [ConnectionAbortedError]


def test_release_with_unread_text_and_fin_resets() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.send("FP.", text=b"unread")
    assert peer.release() == ["R. seq 1 ack 8"]


def test_release_with_everything_read_closes() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.send("P.", text=b"read")
    peer.read()
    assert peer.release() == ["F. seq 1 ack 5"]


@pytest.mark.parametrize("state", [State.FIN_WAIT_1, State.FIN_WAIT_2], ids=lambda state: state.value)
def test_text_after_release_resets(state: State) -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.release()
    if state is State.FIN_WAIT_2:
        peer.send(".", 1, 2)
    assert peer.send("P.", 1, text=b"late") == ["R. seq 2 ack 1"]
    assert peer.end.drops() == [DropReason.TEXT_AFTER_CLOSE]
    assert peer.state is State.CLOSED


def test_old_text_after_release_does_not_reset() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.send("P.", text=b"read")
    peer.read()
    peer.release()
    assert peer.send("P.", 1, text=b"read") == [". seq 2 ack 5"]
    assert peer.state is State.FIN_WAIT_1


def test_a_fin_after_release_is_fine() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.release()
    assert peer.send("F.", 1, 2) == [". seq 2 ack 2"]
    assert peer.state is State.TIME_WAIT


@pytest.mark.parametrize("released", ["before the ACK", "after the ACK"])
def test_an_orphan_in_fin_wait_2_ends(released: str) -> None:
    peer = Peer(End("end", TcpConfig(fin_timeout_s=30))).reach(State.ESTABLISHED)
    if released == "before the ACK":
        peer.release()
        peer.send(".", 1, 2)
    else:
        peer.close()
        peer.send(".", 1, 2)
        peer.release()
    peer.advance(29.999)
    assert peer.state is State.FIN_WAIT_2
    assert peer.advance(30) == []
    assert peer.state is State.CLOSED
    assert peer.end.timers() == [Timer.ORPHAN]


def test_fin_wait_2_with_a_user_lasts() -> None:
    peer = Peer(End("end")).reach(State.FIN_WAIT_2)
    assert peer.advance(1e6) == []
    assert peer.state is State.FIN_WAIT_2


def test_a_close_before_the_handshake_is_complete_waits_for_the_text() -> None:
    """RFC 9293 section 3.10.4, SYN-RECEIVED: queued until the connection is established."""
    peer = Peer(End("end")).reach(State.SYN_SENT)
    peer.write(b"early")
    peer.send("S", 0)
    assert peer.state is State.SYN_RECEIVED
    assert peer.close() == []
    assert peer.state is State.SYN_RECEIVED
    assert not peer.tcb.writable
    peer.seq = peer.ack = 1
    assert peer.send(".") == ["FP. seq 1 ack 1 len 5"]
    assert peer.state is State.FIN_WAIT_1


def test_a_release_before_the_handshake_is_complete_refuses_the_text_that_completes_it() -> None:
    """The close that was queued comes first: nobody is left to read."""
    peer = Peer(End("end")).reach(State.SYN_RECEIVED)
    peer.write(b"early")
    assert peer.release() == []
    assert peer.send("P.", text=b"hello") == ["R. seq 1 ack 1"]
    assert peer.end.path(SERVER)[-3:] == [State.ESTABLISHED, State.FIN_WAIT_1, State.CLOSED]
    assert peer.end.drops() == [DropReason.TEXT_AFTER_CLOSE]


def test_a_release_before_a_simultaneous_open_is_complete_refuses_text_as_well() -> None:
    peer = Peer(End("end")).reach(State.SYN_SENT)
    peer.write(b"early")
    peer.send("S", 0)
    peer.release()
    assert peer.send("S.", 0, 1, text=b"hello") == ["R. seq 1 ack 1"]
    assert peer.end.path(SERVER)[-2:] == [State.FIN_WAIT_1, State.CLOSED]


def test_a_close_before_the_handshake_is_complete_and_a_fin_that_completes_it() -> None:
    peer = Peer(End("end")).reach(State.SYN_RECEIVED)
    peer.write(b"early")
    peer.close()
    assert peer.send("F.") == ["FP. seq 1 ack 2 len 5"]
    assert peer.end.path(SERVER)[-3:] == [State.ESTABLISHED, State.FIN_WAIT_1, State.CLOSING]


def test_a_close_before_the_handshake_is_complete_without_text_sends_the_fin() -> None:
    peer = Peer(End("end")).reach(State.SYN_SENT)
    peer.send("S", 0)
    peer.close()
    assert peer.state is State.FIN_WAIT_1


def test_close_twice() -> None:
    peer = Peer(End("end")).reach(State.FIN_WAIT_1)
    assert peer.close() == []


@pytest.mark.parametrize("seconds", [0, 1, 240], ids=str)
def test_time_wait_follows_the_rule(seconds: int) -> None:
    pair = connected(TcpConfig(time_wait_s=seconds))
    pair.close(pair.client, CLIENT)
    pair.close(pair.server, SERVER)
    pair.advance(seconds)
    assert pair.story == [*NORMAL, "client CLOSED"]


def test_by_the_rfc_time_wait_lasts_four_minutes() -> None:
    """MUST-13: twice a segment lifetime of two minutes."""
    pair = connected(TcpConfig.strict())
    pair.close(pair.client, CLIENT)
    pair.close(pair.server, SERVER)
    pair.advance(239.999)
    assert pair.story == NORMAL
    pair.advance(240)
    assert pair.story == [*NORMAL, "client CLOSED"]


@pytest.mark.parametrize("state", [State.CLOSING, State.LAST_ACK], ids=lambda state: state.value)
def test_a_retransmitted_fin_is_acknowledged_again(state: State) -> None:
    peer = Peer(End("end")).reach(state)
    assert peer.send("F.", 1, 1) == [". seq 2 ack 2"]
    assert peer.send("F.", 1, 1) == [". seq 2 ack 2"], "without a limit"


def test_any_acceptable_fin_in_time_wait_is_acknowledged_and_starts_it_anew() -> None:
    """RFC 9293 section 3.10.7.4 eighth."""
    peer = Peer(End("end")).reach(State.TIME_WAIT)
    peer.advance(30)
    assert peer.send("F.", peer.seq + 100) == [". seq 2 ack 2"]
    peer.advance(89.9)
    assert peer.state is State.TIME_WAIT
    peer.advance(90)
    assert peer.state is State.CLOSED


def test_a_reset_in_time_wait_is_no_error() -> None:
    """RFC 9293 section 3.10.7.4 second: enter CLOSED, delete the TCB, and tell nobody."""
    peer = Peer(End("end")).reach(State.TIME_WAIT)
    assert peer.send("R") == []
    assert peer.end.deleted() == [None]
