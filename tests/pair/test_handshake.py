"""Opening: RFC 9293 section 3.5, between two stacks, the whole path each time."""

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from support.peer import WITH_TCB, Peer
from xsocket.actions import Send
from xsocket.admission import Admission
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import Segment
from xsocket.state import State, Timer
from xsocket.tcp.options import for_syn, parse
from xsocket.tcp.tcb import snapshot

HANDSHAKE = [
    "client SYN-SENT",
    "client > S seq 0",
    "server LISTEN",
    "server SYN-RECEIVED",
    "server > S. seq 0 ack 1",
    "client ESTABLISHED",
    "client > . seq 1 ack 1",
    "server ESTABLISHED",
]
"""Figure 6."""

SIX = FourTuple("fd00::1", 40_000, "fd00::2", 80)


def established(pair: Pair, four_tuple: FourTuple = CLIENT) -> bool:
    tcbs = [pair.client.stack.tcb(four_tuple), pair.server.stack.tcb(four_tuple.reversed)]
    return all(tcb is not None and tcb.state is State.ESTABLISHED for tcb in tcbs)


@pytest.mark.parametrize("four_tuple", [CLIENT, SIX], ids=["IPv4", "IPv6"])
def test_three_way_handshake(four_tuple: FourTuple) -> None:
    pair = Pair()
    pair.connect(four_tuple)
    assert pair.story == HANDSHAKE
    assert pair.client.established() == [four_tuple]
    assert pair.server.established() == [four_tuple.reversed]
    assert (pair.client.drops(), pair.server.drops()) == ([], [])


def test_an_established_connection_rests() -> None:
    pair = Pair()
    pair.connect()
    pair.advance(10_000)
    assert pair.story == HANDSHAKE
    assert (pair.client.timers(), pair.server.timers()) == ([], [])


SYN_ACK, THIRD = HANDSHAKE[4], HANDSHAKE[6]


@pytest.mark.parametrize(
    ("lost", "story"),
    [
        pytest.param(1, [*HANDSHAKE[:2], "client > S seq 0", *HANDSHAKE[2:]], id="SYN"),
        pytest.param(
            # Both ends time out in the same instant: the SYN is answered by a second SYN-ACK.
            2,
            [*HANDSHAKE[:5], "client > S seq 0", SYN_ACK, SYN_ACK, *HANDSHAKE[5:], THIRD],
            id="SYN-ACK",
        ),
        pytest.param(3, [*HANDSHAKE[:7], SYN_ACK, THIRD, HANDSHAKE[7]], id="third segment"),
    ],
)
def test_a_lost_segment_costs_one_retransmission_delay(lost: int, story: list[str]) -> None:
    pair = Pair()
    pair.lose = lambda number, _: number == lost
    pair.connect()
    pair.advance(0.999)
    assert not established(pair)
    pair.advance(1.0)
    assert established(pair)
    assert pair.story == story
    pair.advance(1000)
    assert pair.story == story


@pytest.mark.parametrize(
    ("twice", "story"),
    [
        pytest.param(1, [*HANDSHAKE[:5], SYN_ACK, *HANDSHAKE[5:]], id="SYN"),
        pytest.param(2, HANDSHAKE, id="SYN-ACK"),
        pytest.param(3, HANDSHAKE, id="third segment"),
    ],
)
def test_a_duplicated_segment_changes_nothing(twice: int, story: list[str]) -> None:
    pair = Pair()
    pair.duplicate = lambda number, _: number == twice
    pair.connect()
    assert established(pair)
    assert pair.story == story
    pair.advance(1000)
    assert pair.story == story


def test_text_overtakes_a_lost_third_segment() -> None:
    pair = Pair()
    pair.lose = lambda number, _: number == 3
    pair.connect()
    pair.send(pair.client, CLIENT, b"hello")
    assert pair.story == [
        *HANDSHAKE[:7],
        "client > P. seq 1 ack 1 len 5",
        "server ESTABLISHED",
        "server > . seq 1 ack 6",
    ]
    assert pair.read(pair.server, SERVER) == b"hello"
    assert pair.now == 0.0


# Back-off and giving up: RFC 6298 section 5.5, RFC 9293 section 3.8.3


def test_syn_schedule_and_give_up() -> None:
    pair = Pair()
    pair.lose = lambda _number, _segment: True
    pair.connect()
    pair.advance(130.999)
    assert pair.times == [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]
    assert pair.client.stack.tcb(CLIENT) is not None
    pair.advance(131)
    assert pair.story == ["client SYN-SENT", *["client > S seq 0"] * 11, "client CLOSED"]
    assert pair.client.deleted() == [TimeoutError]
    assert pair.client.timers() == [Timer.RETRANSMISSION] * 11
    assert pair.deadline == float("inf")


def test_syn_ack_schedule_and_give_up() -> None:
    end = End("server")
    peer = Peer(end).reach(State.SYN_RECEIVED)
    assert [len(peer.advance(at)) for at in (0.999, 1, 2.999, 3, 7, 15, 31)] == [0, 1, 0, 1, 1, 1, 1]
    assert peer.advance(62.999) == []
    assert peer.state is State.SYN_RECEIVED
    assert peer.advance(63) == []
    assert end.story == [
        "server LISTEN",
        "server SYN-RECEIVED",
        *["server > S. seq 0 ack 1"] * 6,
        "server CLOSED",
    ]
    assert end.stack.statistics().half_open == 0
    assert len(end.stack) == 0


@pytest.mark.parametrize(
    ("config", "times"),
    [
        pytest.param(TcpConfig(syn_retries=0, syn_linear_timeouts=0), [0], id="no retries"),
        pytest.param(TcpConfig.strict(), [0, 1, 3, 7, 15, 31, 63, 127, 247], id="doubled each time"),
        pytest.param(TcpConfig(syn_retries=2, syn_linear_timeouts=1), [0, 1, 2, 4], id="one that is not"),
        pytest.param(TcpConfig.strict(syn_retries=2, initial_rto_s=3), [0, 3, 9], id="three seconds"),
        pytest.param(TcpConfig.strict(syn_retries=3, max_rto_s=2), [0, 1, 3, 5], id="capped"),
        pytest.param(TcpConfig(user_timeout_s=3.5), [0, 1, 2, 3], id="user timeout"),
    ],
)
def test_the_schedule_follows_the_rules(config: TcpConfig, times: list[float]) -> None:
    pair = Pair(End("client", config))
    pair.lose = lambda _number, _segment: True
    pair.connect()
    pair.advance(1000)
    assert pair.times == times
    assert pair.client.deleted() == [TimeoutError]


@pytest.mark.parametrize("state", [State.SYN_SENT, State.SYN_RECEIVED], ids=lambda state: state.value)
def test_by_the_rfc_a_syn_is_sent_again_for_three_minutes(state: State) -> None:
    """MUST-23."""
    peer = Peer(End("end", TcpConfig.strict())).reach(state)
    peer.advance(180)
    assert peer.state is state
    assert len(peer.advance(300)) == 1
    peer.advance(400)
    assert peer.end.deleted() == [TimeoutError]


def test_retransmissions_of_a_syn_are_the_same_but_for_the_clock() -> None:
    pair = Pair(End("client", TcpConfig(timestamps=False)))
    pair.lose = lambda _number, _segment: True
    pair.connect()
    pair.advance(63)
    assert len(set(pair.client.segments())) == 1


def test_after_a_lost_syn_the_timeout_starts_at_three_seconds() -> None:
    """RFC 6298 section 5.7."""
    pair = Pair()
    pair.lose = lambda number, _: number == 1
    pair.connect()
    pair.advance(1)
    assert established(pair)
    tcb = pair.tcb(pair.client, CLIENT)
    assert (tcb.rto_s, tcb.round_trip) == (3.0, None), "what was sent again measures nothing"


def test_a_timeout_is_no_shorter_than_a_second_by_the_rfc() -> None:
    """RFC 6298 section 2.4; by default it is no shorter than a fifth, as in Linux."""
    for config, shortest in ((TcpConfig(), 0.2), (TcpConfig.strict(), 1.0)):
        pair = Pair(End("client", config))
        pair.connect()
        assert pair.tcb(pair.client, CLIENT).rto_s == shortest


# Simultaneous open: figure 7


CROSSING = [
    "client SYN-SENT",
    "client > S seq 0",
    "server SYN-SENT",
    "server > S seq 0",
    "server SYN-RECEIVED",
    "server > S. seq 0 ack 1",
    "client SYN-RECEIVED",
    "client > S. seq 0 ack 1",
    "server ESTABLISHED",
    "client ESTABLISHED",
]


@pytest.mark.parametrize("four_tuple", [CLIENT, SIX], ids=["IPv4", "IPv6"])
def test_simultaneous_open(four_tuple: FourTuple) -> None:
    pair = Pair()
    pair.connect_both(four_tuple)
    assert pair.story == CROSSING
    assert (pair.client.drops(), pair.server.drops()) == ([], [])
    pair.advance(1000)
    assert pair.story == CROSSING


def test_simultaneous_open_with_one_crossing_syn_lost() -> None:
    pair = Pair()
    pair.lose = lambda number, _: number == 1
    pair.connect_both()
    assert pair.story == [
        *CROSSING[:4],
        "client SYN-RECEIVED",
        "client > S. seq 0 ack 1",
        "server ESTABLISHED",
        "server > . seq 1 ack 1",
        "client ESTABLISHED",
    ]
    assert pair.now == 0.0


def test_simultaneous_open_with_one_syn_ack_lost() -> None:
    """The end that hears nothing repeats its SYN-ACK; the other is established and challenges it."""
    pair = Pair()
    pair.lose = lambda number, _: number == 3
    pair.connect_both()
    assert pair.story == [*CROSSING[:8], "client ESTABLISHED"]
    pair.advance(1)
    assert pair.story == [
        *CROSSING[:8],
        "client ESTABLISHED",
        "server > S. seq 0 ack 1",
        "client > . seq 1 ack 1",
        "server ESTABLISHED",
    ]


def test_simultaneous_open_with_both_syns_lost() -> None:
    pair = Pair()
    pair.lose = lambda number, _: number <= 2
    pair.connect_both()
    pair.advance(1)
    assert pair.story == [*CROSSING[:4], "client > S seq 0", "server > S seq 0", *CROSSING[4:]]


def test_a_crossing_syn_keeps_its_text_for_later() -> None:
    peer = Peer(End("end")).reach(State.SYN_SENT)
    assert peer.send("S", 0, text=b"early") == ["S. seq 0 ack 1"]
    assert peer.tcb.unread == 0
    assert peer.send(".", 1, 1) == [". seq 1 ack 6"]
    assert peer.read() == b"early"


def test_a_crossing_syn_starts_the_schedule_again() -> None:
    peer = Peer(End("end", TcpConfig.strict())).reach(State.SYN_SENT)
    assert len(peer.advance(3)) == 2
    assert peer.send("S", 0) == ["S. seq 0 ack 1"]
    assert [len(peer.advance(at)) for at in (3.999, 4.0, 6.0)] == [0, 1, 1]


def test_options_of_a_second_syn_change_nothing() -> None:
    peer = Peer(End("end")).reach(State.SYN_SENT)
    peer.send("S", 0, options=for_syn(600, None, False, None))
    peer.send("S.", 0, 1, options=for_syn(500, 7, True, (1, 0)))
    assert peer.state is State.ESTABLISHED
    assert (peer.tcb.snd_mss, peer.tcb.scaled, peer.tcb.sack) == (600, False, False)


def test_the_window_of_a_syn_ack_is_not_scaled() -> None:
    peer = Peer(End("end")).reach(State.SYN_SENT)
    peer.send("S.", 0, 1, window=300, options=for_syn(1460, 7, False, None))
    assert (peer.tcb.snd_wnd, peer.tcb.snd_wscale) == (300, 7)


def test_the_third_segment_sets_the_window() -> None:
    """RFC 9293 section 3.10.7.4 fifth: SND.WND, SND.WL1 and SND.WL2."""
    peer = Peer(End("end"), options=for_syn(1460, 7, False, None)).establish(window=3000)
    tcb = peer.tcb
    assert (tcb.snd_wnd, tcb.max_snd_wnd) == (3000 << 7, 3000 << 7)
    assert (tcb.snd_wl1, tcb.snd_wl2) == (tcb.irs + 1, tcb.iss + 1)


# LISTEN is wherever Admission lets a port be reached: RFC 9293 section 3.9.1.1


@pytest.mark.parametrize("state", [State.SYN_SENT, State.SYN_RECEIVED], ids=lambda state: state.value)
def test_a_port_is_listened_on_while_another_connection_of_it_opens(state: State) -> None:
    """MUST-42."""
    end = End("end")
    first = Peer(end, SERVER).reach(state)
    second = Peer(end, SERVER._replace(remote_port=41_000)).establish()
    assert (first.state, second.state) == (state, State.ESTABLISHED)
    assert second.tcb.passive


@pytest.mark.parametrize(
    "admission",
    [
        pytest.param(Admission(), id="everybody"),
        pytest.param(Admission(ports=()), id="nobody"),
        pytest.param(Admission(ports=(), otherwise="ignore"), id="nobody, in silence"),
    ],
)
@pytest.mark.parametrize("state", WITH_TCB, ids=lambda state: state.value)
def test_who_may_connect_from_now_on_does_not_concern_a_connection_there_is(
    state: State, admission: Admission
) -> None:
    """MUST-41."""
    peer = Peer(End("end")).reach(state)
    before, tcb = snapshot(peer.tcb), peer.tcb
    peer.end.stack.admission = admission
    assert (peer.tcb, snapshot(peer.tcb)) == (tcb, before)
    if state is State.SYN_RECEIVED:
        peer.send(".")
        assert peer.state is State.ESTABLISHED
    elif state is State.SYN_SENT:
        peer.send("S.", 0, 1)
        assert peer.state is State.ESTABLISHED


# Text before the handshake is complete


def test_text_on_the_syn_waits_for_the_third_segment() -> None:
    peer = Peer(End("end"))
    assert peer.send("S", 0, text=b"early", options=peer.options) == ["S. seq 0 ack 1"]
    assert (peer.tcb.unread, peer.state) == (0, State.SYN_RECEIVED)
    assert peer.send(".", 1, 1) == [". seq 1 ack 6"]
    assert peer.read() == b"early"


def test_text_on_the_syn_that_is_sent_again_counts_once() -> None:
    peer = Peer(End("end"))
    peer.send("S", 0, text=b"early", options=peer.options)
    assert peer.send("P.", 1, 1, text=b"early bird") == [". seq 1 ack 11"]
    assert peer.read() == b"early bird"


def test_text_and_fin_on_the_third_segment() -> None:
    peer = Peer(End("end")).reach(State.SYN_RECEIVED)
    assert peer.send("FP.", text=b"all") == [". seq 1 ack 5"]
    assert peer.end.path(peer.four_tuple) == [
        State.LISTEN, State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT,
    ]  # fmt: skip
    assert peer.read() == b"all"


def test_text_on_the_syn_ack() -> None:
    peer = Peer(End("end")).reach(State.SYN_SENT)
    assert peer.send("S.", 0, 1, text=b"hello") == [". seq 1 ack 6"]
    assert peer.read() == b"hello"


@pytest.mark.parametrize("state", [State.SYN_SENT, State.SYN_RECEIVED], ids=lambda state: state.value)
def test_text_given_before_the_handshake_is_complete_goes_with_it(state: State) -> None:
    """RFC 9293 section 3.10.2: queue the data for transmission after entering ESTABLISHED."""
    peer = Peer(End("end")).reach(State.SYN_SENT)
    syn = for_syn(600, None, False, None)
    if state is State.SYN_RECEIVED:
        peer.send("S", 0, options=syn)
    assert peer.write(b"x" * 1000) == []
    answers = peer.send("S.", 0, 1, options=syn) if state is State.SYN_SENT else peer.send(".", 1, 1)
    assert answers == [". seq 1 ack 1 len 600", "P. seq 601 ack 1 len 400"]
    assert peer.send(".", 1, 1001) == []
    assert peer.tcb.timer is None


def test_text_given_early_meets_a_closed_window() -> None:
    peer = Peer(End("end")).reach(State.SYN_SENT)
    peer.write(b"x")
    assert peer.send("S.", 0, 1, window=0, options=peer.options) == [". seq 1 ack 1"]
    assert peer.tcb.timer is Timer.PERSIST


def test_a_close_before_the_peer_answered_deletes() -> None:
    peer = Peer(End("end")).reach(State.SYN_SENT)
    assert peer.close() == []
    assert peer.end.story == ["end SYN-SENT", "end > S seq 0", "end CLOSED"]
    assert peer.send("S.", 0, 1) == ["R seq 1"]


def test_a_close_in_syn_received_sends_syn_ack_before_the_fin_is_heard() -> None:
    """RFC 9293 section 3.10.4; the peer, in SYN-SENT, can do nothing with the FIN."""
    peer = Peer(End("end")).reach(State.SYN_SENT)
    peer.send("S", 0, options=peer.options)
    assert peer.close() == ["F. seq 1 ack 1"]
    assert peer.advance(1) == ["S. seq 0 ack 1"]
    assert peer.send(".", 1, 1) == []
    assert peer.advance(3) == ["F. seq 1 ack 1"]
    assert peer.send(".", 1, 2) == []
    assert peer.end.path(peer.four_tuple) == [
        State.SYN_SENT, State.SYN_RECEIVED, State.FIN_WAIT_1, State.FIN_WAIT_2,
    ]  # fmt: skip


def test_the_window_of_a_syn_is_never_scaled() -> None:
    """RFC 7323 section 2.2."""
    pair = Pair(End("client", TcpConfig(rmem=1 << 20)), End("server", TcpConfig(rmem=1 << 20)))
    pair.connect()
    windows = [segment.window for _, segment in pair.cable]
    assert windows[:2] == [65_535, 65_535]
    assert windows[2] == (1 << 20) >> 5
    assert pair.tcb(pair.server, SERVER).snd_wnd == 1 << 20


def test_the_syns_keep_their_options_when_sent_again() -> None:
    pair = Pair()
    seen: list[Segment] = []
    pair.lose = lambda _number, segment: seen.append(segment) or len(seen) < 3  # type: ignore[func-returns-value]
    pair.connect()
    pair.advance(3)
    assert established(pair)
    assert {len(segment.options) for segment in seen if segment.syn} == {20}


def test_the_third_segment_cites_its_row() -> None:
    pair = Pair()
    pair.connect()
    third = [action for action in pair.client.actions if isinstance(action, Send)][-1]
    assert (third.segment.letters, third.rule) == (".", "3.10.7.3 fourth")


def test_text_of_a_syn_is_no_sack_block() -> None:
    """It waits for the handshake, and for no gap to close."""
    peer = Peer(End("end"), options=for_syn(1460, None, True, None))
    peer.send("S", 0, text=b"hello", options=peer.options)
    peer.send("R", 3)
    challenge = [action for action in peer.end.actions if isinstance(action, Send)][-1].segment
    assert challenge.letters == "."
    assert challenge.options == b""


def test_a_close_before_a_simultaneous_open_is_complete_does_not_keep_the_syn_from_going_again() -> None:
    """Even where the peer's window is closed: its probes would have nothing to carry."""
    peer = Peer(End("end")).reach(State.SYN_SENT)
    peer.send("S", 0, window=0)
    assert peer.close() == ["F. seq 1 ack 1"]
    assert [peer.advance(at) for at in (1, 3, 7)] == [["S. seq 0 ack 1"]] * 3
    assert peer.send(".", 1, 2) == []
    assert peer.state is State.FIN_WAIT_2


def test_a_crossing_syn_keeps_its_text_for_later_though_the_user_has_closed() -> None:
    peer = Peer(End("end")).reach(State.SYN_SENT)
    peer.send("S", 0, text=b"early")
    assert peer.close() == ["F. seq 1 ack 1"]
    assert peer.send(".", 1, 2) == [". seq 2 ack 6"]
    assert peer.read() == b"early"


def test_what_comes_past_a_gap_is_reported_though_the_user_closed_before_the_open_was_complete() -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, True, None)).reach(State.SYN_SENT)
    peer.send("S", 0, options=peer.options)
    peer.close()
    peer.send(".", 11, 2, text=b"x")
    (block,) = parse(peer.end.segments()[-1].options).sack
    assert [(edge - peer.iss) & 0xFFFF_FFFF for edge in block] == [11, 12]


def test_an_acknowledgment_older_than_the_connection_is_too_old_after_an_early_close_as_well() -> None:
    peer = Peer(End("end")).reach(State.SYN_SENT)
    peer.send("S", 0)
    peer.close()
    peer.send(".", 1, 2)
    peer.send(".", 1, 0, text=b"x")
    assert peer.end.drops()[-1] is DropReason.ACK_TOO_OLD
