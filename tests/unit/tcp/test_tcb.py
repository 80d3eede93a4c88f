"""The TCB's small sums: windows, flight, timers, and the snapshot for people."""

from math import inf

import pytest

from support.pair import SERVER, End
from support.peer import WITH_TCB, Peer
from xsocket.config import TcpConfig
from xsocket.seqnum import add
from xsocket.state import State, Timer
from xsocket.tcp.options import for_syn
from xsocket.tcp.stream import ReceiveQueue, SendQueue
from xsocket.tcp.tcb import Tcb, snapshot


def new(config: TcpConfig | None = None, iss: int = 2**32 - 1) -> Tcb:
    return Tcb(SERVER, config or TcpConfig(), iss=iss, ts_offset=0, rcv_mss=1000, passive=True)


def test_a_new_one_is_closed() -> None:
    tcb = new()
    assert (tcb.state, tcb.timer, tcb.flight, tcb.unsent, tcb.unread) == (State.CLOSED, None, 0, 0, 0)
    assert (tcb.snd_una, tcb.snd_nxt, tcb.rto_s) == (tcb.iss, tcb.iss, 1.0)


def test_flight_counts_across_the_wrap() -> None:
    tcb = new()
    tcb.snd_nxt = add(tcb.snd_una, 300)
    assert tcb.flight == 300


def test_unsent_is_what_stands_behind_snd_nxt() -> None:
    tcb = new(iss=0)
    tcb.sending = SendQueue(0)
    tcb.sending.append(b"x" * 100)
    tcb.snd_nxt = 40
    assert tcb.unsent == 60
    tcb.fin_sent, tcb.snd_nxt = True, 101
    assert tcb.unsent == 0


@pytest.mark.parametrize(
    ("unread", "offered", "offer"),
    [
        pytest.param(0, 10_000, 10_000, id="all of it"),
        pytest.param(0, 9_001, 9_001, id="an octet less than a segment more is not worth it"),
        pytest.param(0, 9_000, 10_000, id="a segment more is"),
        pytest.param(9_999, 1, 1, id="what was offered stays"),
        pytest.param(10_000, 0, 0, id="full"),
        pytest.param(5_000, 5_000, 5_000, id="half"),
    ],
)
def test_window_to_offer(unread: int, offered: int, offer: int) -> None:
    """RFC 9293 section 3.8.6.2.2."""
    tcb = new(TcpConfig(rmem=10_000))
    tcb.receiving = ReceiveQueue()
    tcb.receiving.append(0, bytes(unread))
    tcb.rcv_adv = add(tcb.rcv_nxt, offered)
    assert tcb.window_to_offer() == offer


@pytest.mark.parametrize(
    ("read", "unread", "offer"),
    [
        pytest.param(0, 0, 65_535, id="nothing came"),
        pytest.param(0, 60_000, 5_535, id="nobody has read"),
        pytest.param(0, 65_535, 0, id="as much as may wait"),
        pytest.param(1, 60_000, 202_144, id="somebody has read"),
    ],
)
def test_what_is_offered_before_the_kernel_may_get_the_connection(read: int, unread: int, offer: int) -> None:
    tcb = new(TcpConfig(rmem=262_144, rmem_max=33_554_432))
    tcb.rcv_wscale, tcb.irs = 10, 1000
    tcb.receiving = ReceiveQueue()
    tcb.receiving.append(1001, bytes(unread))
    tcb.rcv_nxt = tcb.rcv_adv = 1001 + read + unread
    assert tcb.window_to_offer() == offer


@pytest.mark.parametrize(
    ("shift", "field", "edge"),
    [(0, 65_535, 65_535), (2, 65_535, 262_140), (3, 32_768, 262_144), (14, 16, 262_144)],
    ids=str,
)
def test_advertise(shift: int, field: int, edge: int) -> None:
    """RFC 7323 section 2.3."""
    tcb = new(TcpConfig(rmem=262_144))
    tcb.rcv_wscale = shift
    assert tcb.advertise() == field
    assert tcb.rcv_wnd == edge


def test_the_edge_does_not_move_back() -> None:
    tcb = new(TcpConfig(rmem=262_144))
    tcb.rcv_wscale, tcb.rcv_adv = 3, 65_535
    tcb.receiving = ReceiveQueue()
    tcb.receiving.append(0, bytes(262_144))
    assert tcb.advertise() == 65_535 >> 3
    assert tcb.rcv_wnd == 65_535


@pytest.mark.parametrize(
    ("state", "una", "acked", "window", "timer"),
    [
        pytest.param(State.SYN_RECEIVED, 0, 0, 0, Timer.RETRANSMISSION, id="SYN-RECEIVED"),
        pytest.param(
            State.FIN_WAIT_1, 0, 0, 0, Timer.RETRANSMISSION, id="CLOSE before the SYN was acknowledged"
        ),
        pytest.param(
            State.ESTABLISHED, 0, 1 << 32, 0, Timer.PERSIST, id="closed window, once round the circle"
        ),
        pytest.param(State.ESTABLISHED, 1, 0, 1, Timer.PERSIST, id="nothing in flight"),
        pytest.param(State.ESTABLISHED, 1, 0, 0, Timer.PERSIST, id="closed window"),
    ],
)
def test_which_timer_runs(state: State, una: int, acked: int, window: int, timer: Timer) -> None:
    tcb = new()
    tcb.state, tcb.snd_wnd, tcb.retries = state, window, 3
    tcb.snd_una = tcb.snd_nxt = (tcb.iss + una) & 0xFFFF_FFFF
    tcb.acked = acked
    tcb.start_retransmission(10.0)
    assert (tcb.timer, tcb.deadline) == (timer, 18.0)
    tcb.stop_timer()
    assert (tcb.timer, tcb.due) == (None, inf)


def test_the_retransmission_timer_runs_for_what_an_open_window_let_go() -> None:
    tcb = new()
    tcb.state, tcb.snd_wnd, tcb.snd_nxt = State.ESTABLISHED, 1, tcb.snd_una + 1
    tcb.start_retransmission(10.0)
    assert (tcb.timer, tcb.deadline) == (Timer.RETRANSMISSION, 11.0)


@pytest.mark.parametrize(("retries", "timeout_s"), [(0, 1.0), (4, 1.0), (5, 2.0), (6, 4.0)])
def test_the_first_timeouts_of_a_syn_are_not_doubled(retries: int, timeout_s: float) -> None:
    tcb = new()
    tcb.state, tcb.retries = State.SYN_SENT, retries
    tcb.start_retransmission(10.0)
    assert (tcb.timer, tcb.deadline) == (Timer.RETRANSMISSION, 10.0 + timeout_s)


def test_the_earlier_of_two_timers_is_due() -> None:
    tcb = new()
    tcb.start_timer(Timer.TIME_WAIT, 10.0, 5.0)
    assert tcb.due == 15.0
    tcb.ack_at = 12.0
    assert tcb.due == 12.0


def test_timestamps_are_milliseconds_and_wrap() -> None:
    tcb = Tcb(SERVER, TcpConfig(), iss=0, ts_offset=2**32 - 500, rcv_mss=1, passive=True)
    assert [tcb.timestamp(now) for now in (0.0, 0.4999, 0.5, 1.5)] == [2**32 - 500, 2**32 - 1, 0, 1000]


@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_what_a_user_may_do(state: State) -> None:
    tcb = new()
    tcb.state = state
    writable = {State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT}
    finished = {State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT, State.CLOSED}
    assert tcb.writable is (state in writable)
    assert tcb.peer_finished is (state in finished)
    tcb.closing = True
    assert not tcb.writable


@pytest.mark.parametrize("state", WITH_TCB, ids=lambda state: state.value)
def test_a_snapshot_in_every_state(state: State) -> None:
    peer = Peer(End("end")).reach(state)
    seen = snapshot(peer.tcb)
    assert seen.state is state
    assert seen.passive is (state is not State.SYN_SENT)
    assert (seen.iss, seen.rcv_nxt) == (peer.tcb.iss, peer.tcb.rcv_nxt)
    assert (seen.snd_wscale, seen.rcv_wscale, seen.sack, seen.timestamps) == (None, None, False, False)


def test_a_snapshot_says_what_was_agreed_on() -> None:
    peer = Peer(End("end"), options=for_syn(1200, 7, True, (1, 0))).establish()
    peer.write(b"x" * 10)
    peer.send("P.", text=b"hello")
    seen = snapshot(peer.tcb)
    assert (seen.snd_mss, seen.snd_wscale, seen.rcv_wscale) == (1188, 7, 3)
    assert (seen.sack, seen.timestamps) == (True, True)
    assert (seen.unacknowledged, seen.unread) == (10, 5)
