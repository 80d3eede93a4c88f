"""Peers that fall silent: keep-alive, the user timeout, orphans; and what is too old to mean anything."""

from dataclasses import replace

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from support.peer import Peer
from xsocket.config import TcpConfig
from xsocket.errors import AddressInUseError
from xsocket.reasons import DropReason
from xsocket.state import State, Timer
from xsocket.tcp.options import for_segment, for_syn

KEPT = TcpConfig(keepalive=True)
DAY_S = 86_400.0


# Keep-alive: RFC 9293 section 3.8.4


def test_a_silent_peer_is_probed_and_then_reset() -> None:
    peer = Peer(End("end", KEPT)).establish()
    assert peer.advance(7199.9) == []
    sent = peer.advance(7200 + 8 * 75)
    assert sent == [". seq 0 ack 1"] * 9
    assert peer.advance(7200 + 9 * 75 - 0.1) == []
    assert peer.advance(7200 + 9 * 75) == ["R. seq 1 ack 1"]
    assert peer.end.deleted() == [TimeoutError]
    assert set(peer.end.timers()) == {Timer.KEEP_ALIVE}


def test_a_probe_goes_at_its_instant_however_that_is_rounded() -> None:
    peer = Peer(End("end", KEPT)).establish()
    heard_at = 992.3
    peer.advance(heard_at)
    peer.send(".")
    due = heard_at + 7200.0
    assert due - heard_at < 7200.0
    assert peer.advance(due) == [". seq 0 ack 1"]


def test_keep_alive_is_off_by_default() -> None:
    """MUST-25, MUST-28: off unless asked for, and then two hours."""
    peer = Peer(End("end")).establish()
    assert peer.advance(30 * DAY_S) == []
    assert peer.state is State.ESTABLISHED
    assert TcpConfig().keepalive_time_s == 7200


def test_two_silent_ends_stay_connected_for_a_year() -> None:
    """MUST-29: the loss of one probe or answer ends nothing."""
    pair = Pair(End("client", KEPT), End("server"))
    pair.connect()
    pair.lose = lambda number, _: number % 3 == 0
    pair.advance(365 * DAY_S)
    assert pair.tcb(pair.client, CLIENT).state is State.ESTABLISHED
    assert pair.client.sent()[2:] == ["."] * (len(pair.client.sent()) - 2)
    assert len(pair.client.sent()) > 4000


def test_whatever_the_peer_says_puts_the_probe_off() -> None:
    peer = Peer(End("end", KEPT)).establish()
    peer.advance(7000)
    peer.send(".", text=b"x")
    assert peer.advance(7000 + 7199) == []
    assert peer.advance(7000 + 7200) == [". seq 0 ack 2"]


def test_an_answer_begins_the_silence_anew() -> None:
    peer = Peer(End("end", TcpConfig(keepalive=True, keepalive_probes=2))).establish()
    for number in range(1, 6):
        peer.advance(number * 7200.0)
        peer.send(".")
    peer.advance(6 * 7200.0 + 75)
    assert peer.state is State.ESTABLISHED


def test_probes_that_are_answered_end_nothing_however_seldom_they_are() -> None:
    """The time between probes may be longer than the silence before the first."""
    rules = TcpConfig(keepalive=True, keepalive_time_s=50, keepalive_intvl_s=75, keepalive_probes=2)
    pair = Pair(End("client", rules), End("server", rules))
    pair.connect()
    pair.advance(DAY_S)
    assert pair.tcb(pair.client, CLIENT).state is State.ESTABLISHED
    pair.lose = lambda *_: True
    pair.advance(DAY_S + 50 + 2 * 75)
    assert pair.client.deleted() == [TimeoutError]


def test_text_in_flight_is_watched_by_its_own_timer() -> None:
    peer = Peer(End("end", KEPT)).establish()
    peer.advance(7200 + 3 * 75)
    assert peer.tcb.unanswered == 4
    peer.write(b"x")
    assert (peer.tcb.timer, peer.tcb.unanswered) == (Timer.RETRANSMISSION, 0)
    peer.send(".", ack=2)
    assert peer.tcb.timer is Timer.KEEP_ALIVE


def test_the_user_timeout_ends_probing_early() -> None:
    peer = Peer(End("end", TcpConfig(keepalive=True, keepalive_time_s=100, user_timeout_s=120))).establish()
    assert peer.advance(1000) == [". seq 0 ack 1", "R. seq 1 ack 1"]


@pytest.mark.parametrize("state", [State.CLOSE_WAIT, State.FIN_WAIT_2], ids=lambda state: state.value)
def test_half_closed_connections_are_probed_too(state: State) -> None:
    peer = Peer(End("end", KEPT)).reach(state)
    assert len(peer.advance(7200)) == 1
    assert peer.end.timers() == [Timer.KEEP_ALIVE]


def test_time_wait_is_not_probed() -> None:
    peer = Peer(End("end", KEPT)).reach(State.TIME_WAIT)
    assert peer.advance(DAY_S) == []
    assert peer.end.timers() == [Timer.TIME_WAIT]


# Text that nobody acknowledges: RFC 9293 section 3.8.3


@pytest.mark.parametrize("released", [False, True], ids=["a user waits", "the user has gone"])
def test_text_is_sent_again_for_a_hundred_seconds_at_least(released: bool) -> None:
    """SHLD-11: R2, on a path whose round trip is next to nothing."""
    peer = Peer(End("end")).establish()
    peer.write(b"x")
    if released:
        peer.release()
    peer.advance(100)
    assert peer.state is not State.CLOSED
    peer.advance(1000)
    assert peer.end.deleted() == [TimeoutError]


def test_each_connection_has_its_own_patience() -> None:
    """MUST-21: R2 of one connection."""
    end = End("end")
    one, other = (Peer(end, SERVER._replace(remote_port=port)).establish() for port in (1, 2))
    one.did(end.stack.configure(0.0, one.tcb, replace(one.tcb.config, retries2=1)))
    one.write(b"x")
    other.write(b"x")
    one.advance(0.7)
    assert (one.state, other.state) == (State.CLOSED, State.ESTABLISHED)


def test_the_path_is_in_doubt_after_three_retransmissions() -> None:
    """SHLD-10: R1."""
    peer = Peer(End("end", TcpConfig(mtu_probing=True))).establish()
    peer.write(bytes(1460))
    sizes = [int(line.split()[-1]) for line in peer.advance(5)]
    assert sizes == [1460] * 3 + [1024]


# The user timeout: RFC 9293 section 3.10.8, RFC 5482


def test_text_that_is_not_acknowledged_in_time_ends_the_connection() -> None:
    peer = Peer(End("end", TcpConfig(user_timeout_s=10))).establish()
    peer.now = 5.0
    peer.write(b"x")
    peer.advance(14.999)
    assert peer.state is State.ESTABLISHED
    assert peer.advance(15.0) == []
    assert peer.end.deleted() == [TimeoutError]
    assert peer.end.story[-1] == "end CLOSED"
    assert peer.end.timers()[-1] is Timer.RETRANSMISSION


def test_progress_begins_the_user_timeout_anew() -> None:
    peer = Peer(End("end", TcpConfig(user_timeout_s=10))).establish()
    peer.write(bytes(3000))
    peer.advance(9)
    peer.send(".", ack=1461)
    peer.advance(18)
    assert peer.state is State.ESTABLISHED
    peer.advance(19)
    assert peer.state is State.CLOSED


def test_a_long_user_timeout_outlasts_the_retransmissions() -> None:
    """As TCP_USER_TIMEOUT does, it stands in the place of retries2."""
    peer = Peer(End("end", TcpConfig(user_timeout_s=5000, retries2=3))).establish()
    peer.write(b"x")
    assert len(peer.advance(4999)) > 40
    assert peer.state is State.ESTABLISHED
    peer.advance(5000)
    assert peer.end.deleted() == [TimeoutError]


def test_an_orphan_has_its_retransmissions_and_no_more() -> None:
    peer = Peer(End("end", TcpConfig(user_timeout_s=5000, orphan_retries=2))).establish()
    peer.release()
    assert peer.advance(5000) == ["F. seq 1 ack 1"] * 2
    assert peer.now == 5000
    assert peer.state is State.CLOSED


def test_the_user_timeout_does_not_run_while_nothing_waits() -> None:
    peer = Peer(End("end", TcpConfig(user_timeout_s=10))).establish()
    peer.advance(1000)
    peer.write(b"x")
    peer.advance(1009)
    assert peer.state is State.ESTABLISHED


def test_the_user_timeout_ends_a_closed_window_as_well() -> None:
    """As TCP_USER_TIMEOUT does: it also counts for text that the peer's window keeps from going."""
    peer = Peer(End("end", TcpConfig(user_timeout_s=10))).establish(window=1)
    peer.write(bytes(100))
    while peer.state is State.ESTABLISHED and peer.now < 100:
        peer.advance(peer.tcb.deadline)
        if peer.state is State.ESTABLISHED:
            peer.send(".", window=0)
    assert peer.now == 10


# Orphans: RFC 9293 section 3.8.3, tcp_orphan_retries, tcp_max_orphans


def test_an_orphan_is_given_up_sooner() -> None:
    peer = Peer(End("end", TcpConfig(orphan_retries=2))).establish()
    assert peer.release() == ["F. seq 1 ack 1"]
    assert peer.advance(1000) == ["F. seq 1 ack 1"] * 2
    assert peer.state is State.CLOSED


def test_a_closed_window_does_not_keep_an_orphan() -> None:
    peer = Peer(End("end", TcpConfig(orphan_retries=3))).establish(window=0)
    peer.write(bytes(10))
    peer.release()
    for _ in range(10):
        if peer.state is not State.CLOSED:
            peer.advance(peer.tcb.deadline)
        if peer.state is not State.CLOSED:
            peer.send(".", window=0)
    assert peer.state is State.CLOSED


def test_too_many_orphans_are_reset() -> None:
    end = End("end", TcpConfig(max_orphans=2))
    peers = [Peer(end, SERVER._replace(remote_port=port)).establish() for port in (1, 2, 3)]
    assert [peer.release() for peer in peers[:2]] == [["F. seq 1 ack 1"]] * 2
    assert end.stack.statistics().orphans == 2
    assert peers[2].release() == ["F. seq 1 ack 1", "R. seq 2 ack 1"]
    assert end.drops() == [DropReason.ORPHANS_FULL]
    peers[0].send("R", ack=1)
    assert end.stack.statistics().orphans == 1


def test_time_wait_is_no_orphan() -> None:
    peer = Peer(End("end")).establish()
    peer.release()
    peer.send("F.", ack=2)
    assert peer.state is State.TIME_WAIT
    assert peer.end.stack.statistics().orphans == 0


# What is too old: RFC 7323 section 5.5, RFC 1337, RFC 6191


def stamped(value: int) -> bytes:
    return for_segment((value, 0))


@pytest.mark.parametrize(("days", "answers"), [(23, [". seq 1 ack 1"]), (25, [". seq 1 ack 2"])])
def test_a_timestamp_is_forgotten_after_24_days(days: int, answers: list[str]) -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, False, (5000, 0))).establish()
    peer.now = days * DAY_S
    assert peer.send(".", text=b"x", options=stamped(4000)) == answers


def test_after_24_days_the_new_timestamp_is_kept() -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, False, (5000, 0))).establish()
    peer.now = 25 * DAY_S
    peer.send(".", text=b"x", options=stamped(4000))
    assert peer.tcb.ts_recent == 4000


def test_resets_carry_timestamps_where_they_were_agreed_on() -> None:
    """RFC 7323 section 3.2."""
    peer = Peer(End("end"), options=for_syn(1460, None, False, (5000, 0))).establish()
    tcb = peer.tcb
    peer.now = 3.0
    peer.abort()
    assert peer.end.segments()[-1].options == for_segment((tcb.timestamp(3.0), 5000))


@pytest.mark.parametrize("strict", [False, True])
def test_a_segment_without_its_timestamp(strict: bool) -> None:
    config = TcpConfig(timestamps_required=strict)
    peer = Peer(End("end", config), options=for_syn(1460, None, False, (5000, 0)))
    peer.send("S", 0, options=peer.options)
    peer.seq = peer.ack = 1
    peer.send(".", options=stamped(5001))
    assert bool(peer.send(".", text=b"x")) is not strict
    assert peer.end.drops() == [DropReason.TIMESTAMP_MISSING] * strict
    peer.send("R", seq=1 if strict else 2)
    assert peer.state is State.CLOSED, "a reset needs none"


@pytest.mark.parametrize("rfc1337", [False, True])
def test_whether_a_reset_ends_time_wait(rfc1337: bool) -> None:
    peer = Peer(End("end", TcpConfig(rfc1337=rfc1337))).reach(State.TIME_WAIT)
    peer.send("R")
    assert peer.state is (State.TIME_WAIT if rfc1337 else State.CLOSED)
    assert peer.end.drops() == [DropReason.RST_IN_TIME_WAIT] * rfc1337


@pytest.mark.parametrize(
    ("reuse", "stamps", "after_s", "opens"),
    [
        pytest.param(True, True, 1.5, True, id="a second old"),
        pytest.param(True, True, 0.5, False, id="too young"),
        pytest.param(True, False, 1.5, False, id="no timestamps"),
        pytest.param(False, True, 1.5, False, id="switched off"),
    ],
)
def test_an_active_open_takes_what_is_in_time_wait(
    reuse: bool, stamps: bool, after_s: float, opens: bool
) -> None:
    pair = Pair(End("client", TcpConfig(tw_reuse=reuse, timestamps=stamps)), End("server"))
    pair.connect()
    pair.release(pair.client, CLIENT)
    pair.release(pair.server, SERVER)
    old = pair.tcb(pair.client, CLIENT)
    assert old.state is State.TIME_WAIT
    pair.now += after_s
    if not opens:
        with pytest.raises(AddressInUseError):
            pair.connect()
        return
    pair.connect()
    assert pair.tcb(pair.client, CLIENT).state is State.ESTABLISHED
    assert pair.tcb(pair.client, CLIENT).iss != old.iss
    assert pair.client.stack.statistics().time_wait == 0
