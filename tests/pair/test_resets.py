"""Resets made and judged, challenges, half-open recovery: RFC 9293 sections 3.5.1 to 3.5.3, RFC 5961."""

from collections.abc import Callable

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from support.peer import AFTER_SYN, WITH_TCB, Peer
from xsocket.actions import Established
from xsocket.admission import Admission
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import Segment
from xsocket.state import State

SYNCHRONIZED = AFTER_SYN[1:]


def by_value(state: State) -> str:
    return state.value


# 3.5.3: judged


@pytest.mark.parametrize("state", AFTER_SYN, ids=by_value)
def test_a_reset_at_rcv_nxt_ends_the_connection(state: State) -> None:
    peer = Peer(End("end")).reach(state)
    assert peer.send("R") == []
    assert peer.state is State.CLOSED
    errors = {
        State.SYN_RECEIVED: ConnectionRefusedError,
        State.CLOSE_WAIT: BrokenPipeError,
        State.TIME_WAIT: None,
    }
    assert peer.end.deleted() == [errors.get(state, ConnectionResetError)]
    assert peer.end.drops() == []
    assert peer.advance(1000) == []


def test_a_reset_with_text_is_a_reset() -> None:
    """SHLD-2."""
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    assert peer.send("R", text=b"go away") == []
    assert peer.state is State.CLOSED


def test_text_before_a_reset_can_be_read() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    tcb = peer.tcb
    peer.send("P.", text=b"last words")
    peer.send("R", 11)
    assert peer.end.stack.receive_text(0.0, tcb, 100) == (b"last words", [])


@pytest.mark.parametrize("state", AFTER_SYN[:-1], ids=by_value)
def test_a_reset_in_the_window_is_challenged(state: State) -> None:
    peer = Peer(End("end", TcpConfig(rmem=4096))).reach(state)
    (answer,) = peer.send("R", peer.seq + 1)
    assert answer == f". seq {peer.tcb.snd_nxt - peer.irs} ack {peer.seq}"
    assert peer.state is state
    assert peer.end.drops() == [DropReason.RST_CHALLENGED]


@pytest.mark.parametrize("letters", ["S", "S.", "SF", "R", "RF."])
def test_of_what_is_challenged_nothing_is_processed(letters: str) -> None:
    """RFC 5961 sections 3.2 and 4.2."""
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.write(b"hello")
    in_window = 2
    assert peer.send(letters, in_window, 6, text=b"forged") == [". seq 6 ack 1"]
    tcb = peer.tcb
    assert (peer.state, tcb.flight, tcb.unread, tcb.receiving) == (State.ESTABLISHED, 5, 0, None)
    assert peer.send("P.", text=b"go on") == [". seq 6 ack 6"]


def test_the_challenged_peer_proves_itself() -> None:
    """RFC 5961 section 3.2: the challenge tells a true peer the number to reset with."""
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    assert peer.send("R", 100) == [". seq 1 ack 1"]
    assert peer.send("R", 1) == []
    assert peer.state is State.CLOSED


@pytest.mark.parametrize("state", AFTER_SYN, ids=by_value)
@pytest.mark.parametrize(
    "offset", [-1, 1 << 20, 1 << 31], ids=["behind", "after the window", "half the circle"]
)
def test_a_reset_outside_the_window_is_ignored(state: State, offset: int) -> None:
    peer = Peer(End("end", TcpConfig(rmem=4096))).reach(state)
    assert peer.send("R", peer.seq + offset) == []
    assert peer.state is state
    assert peer.end.drops() == [DropReason.RST_OUTSIDE_WINDOW]


@pytest.mark.parametrize(
    ("letters", "ack", "ends"),
    [
        pytest.param("R.", 1, True, id="acknowledges our SYN"),
        pytest.param("R.", 0, False, id="acknowledges nothing"),
        pytest.param("R.", 2, False, id="acknowledges too much"),
        pytest.param("R", 1, False, id="without ACK"),
    ],
)
def test_a_reset_in_syn_sent(letters: str, ack: int, ends: bool) -> None:
    peer = Peer(End("end")).reach(State.SYN_SENT)
    assert peer.send(letters, 0, ack) == []
    assert peer.state is (State.CLOSED if ends else State.SYN_SENT)
    assert peer.end.deleted() == ([ConnectionRefusedError] if ends else [])


def test_connection_refused() -> None:
    pair = Pair()
    pair.server.stack.admission = Admission(ports=())
    pair.connect()
    assert pair.story == ["client SYN-SENT", "client > S seq 0", "server > R. seq 0 ack 1", "client CLOSED"]
    assert pair.client.deleted() == [ConnectionRefusedError]


# 3.5.2 group 2: made, before the connection is synchronized


@pytest.mark.parametrize(
    ("letters", "ack", "answers"),
    [
        pytest.param(".", 0, ["R seq 0"], id="ACK of nothing"),
        pytest.param(".", 2, ["R seq 2"], id="ACK of what was never sent"),
        pytest.param("S.", 2, ["R seq 2"], id="SYN ACK of what was never sent"),
        pytest.param("F.", 500, ["R seq 500"], id="FIN ACK"),
        pytest.param(".", 1, [], id="ACK of our SYN without SYN"),
    ],
)
def test_resets_made_in_syn_sent(letters: str, ack: int, answers: list[str]) -> None:
    peer = Peer(End("end")).reach(State.SYN_SENT)
    assert peer.send(letters, 77, ack) == answers
    assert peer.state is State.SYN_SENT


@pytest.mark.parametrize("ack", [0, 2, 500, -1], ids=str)
def test_resets_made_in_syn_received(ack: int) -> None:
    peer = Peer(End("end")).reach(State.SYN_RECEIVED)
    assert peer.send(".", 1, ack) == [f"R seq {ack % 2**32}"]
    assert peer.state is State.SYN_RECEIVED
    assert peer.end.established() == []


# 3.5.2 group 3: synchronized, an acknowledgment instead


@pytest.mark.parametrize("state", SYNCHRONIZED, ids=by_value)
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(
            lambda peer: peer.segment("P.", peer.seq - 10, text=b"old"), DropReason.OUTSIDE_WINDOW, id="old"
        ),
        pytest.param(
            lambda peer: peer.segment("P.", peer.seq + (1 << 20), text=b"new"),
            DropReason.OUTSIDE_WINDOW,
            id="new",
        ),
        pytest.param(
            lambda peer: peer.segment(".", ack=9999), DropReason.ACK_UNSENT, id="ACK of nothing sent"
        ),
        pytest.param(
            lambda peer: peer.segment(".", ack=-(1 << 20)), DropReason.ACK_TOO_OLD, id="ACK too old"
        ),
        pytest.param(lambda peer: peer.segment("S", 0), DropReason.SYN_CHALLENGED, id="SYN"),
        pytest.param(lambda peer: peer.segment("S.", peer.seq), DropReason.SYN_CHALLENGED, id="SYN ACK"),
    ],
)
def test_what_is_wrong_is_answered_by_an_empty_acknowledgment(
    state: State, spoil: Callable[[Peer], Segment], reason: DropReason
) -> None:
    peer = Peer(End("end", TcpConfig(rmem=4096))).reach(state)
    answer = f". seq {peer.tcb.snd_nxt - peer.irs} ack {peer.seq}"
    assert peer.deliver(spoil(peer)) == [answer]
    assert peer.state is state
    assert peer.end.drops() == [reason]


@pytest.mark.parametrize("state", [State.ESTABLISHED, State.CLOSE_WAIT], ids=by_value)
@pytest.mark.parametrize("letters", [".", "P."])
def test_who_acknowledges_less_than_was_ever_sent_is_not_believed(state: State, letters: str) -> None:
    """RFC 5961 section 5.2: his text is refused, too."""
    peer = Peer(End("end")).reach(state)
    text = b"forged" if "P" in letters else b""
    assert peer.send(letters, ack=0, text=text) == [f". seq 1 ack {peer.seq}"]
    assert peer.end.drops() == [DropReason.ACK_TOO_OLD]
    assert peer.read() == b""


def test_a_duplicate_of_what_was_acknowledged_is_not_too_old() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.write(b"0123456789")
    peer.send(".", ack=11)
    assert peer.send(".", ack=1) == []
    assert peer.send(".", ack=0) == [". seq 11 ack 1"]


@pytest.mark.parametrize("state", AFTER_SYN[:-1], ids=by_value)
def test_without_ack_bit_nothing_happens(state: State) -> None:
    peer = Peer(End("end")).reach(state)
    assert peer.send("P", text=b"x") == []
    assert peer.end.drops() == [DropReason.MISSING_ACK]


# RFC 5961 section 7: not too often


def test_challenges_are_limited() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    answers = [peer.send("S", 0), peer.send("S", 0)]
    peer.now = 0.499
    answers.append(peer.send("R", 100))
    peer.now = 0.5
    answers.append(peer.send("S", 0))
    assert answers == [[". seq 1 ack 1"], [], [], [". seq 1 ack 1"]]
    assert peer.end.drops().count(DropReason.CHALLENGE_RATE) == 2


def test_the_limit_counts_from_the_last_challenge() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    answers = []
    for now in (0.0, 0.5, 0.9, 1.0):
        peer.now = now
        answers.append(len(peer.send("S", 0)))
    assert answers == [1, 1, 0, 1]


def test_text_is_always_acknowledged() -> None:
    """A probe of a closed window, or a retransmission whose acknowledgment was lost, needs its answer."""
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.send("P.", text=b"hello")
    assert [peer.send("P.", 1, text=b"hello") for _ in range(3)] == [[". seq 1 ack 6"]] * 3


def test_connections_do_not_share_the_limit() -> None:
    end = End("end")
    peers = [Peer(end, FourTuple("10.0.0.2", 80, "10.0.0.1", port)).establish() for port in (1, 2)]
    assert [len(peer.send("S", 0)) for peer in peers] == [1, 1]


def test_the_limit_can_be_lifted() -> None:
    peer = Peer(End("end", TcpConfig(invalid_ratelimit_s=0))).reach(State.ESTABLISHED)
    assert [len(peer.send("S", 0)) for _ in range(3)] == [1, 1, 1]


UNSPACED = TcpConfig(invalid_ratelimit_s=0, challenge_ack_limit=10)


def challenges_by_period(port: int, periods: int) -> list[int]:
    """Return how many of 40 blind SYNs are challenged in each period."""
    four_tuple = FourTuple("10.0.0.2", 80, "10.0.0.1", port)
    peer = Peer(End("end", UNSPACED), four_tuple).establish()
    counts = []
    for period in range(periods):
        peer.now = period * 5.0
        counts.append(sum(len(peer.send("S", 0)) for _ in range(40)))
    return counts


def test_challenges_of_a_period_are_limited() -> None:
    peer = Peer(End("end", UNSPACED)).establish()
    answers = [len(peer.send("S", 0)) for _ in range(40)]
    assert 5 <= sum(answers) <= 15
    assert answers == sorted(answers, reverse=True)
    assert peer.end.drops().count(DropReason.CHALLENGE_LIMIT) == 40 - sum(answers)


def test_each_period_draws_its_own_limit() -> None:
    """The side channel of CVE-2016-5696 counts challenge ACKs: there is no number to compare with."""
    counts = challenges_by_period(1, 200)
    assert set(counts) == set(range(5, 16))
    assert 9 < sum(counts) / 200 < 11


def test_each_connection_draws_its_own_limit() -> None:
    assert challenges_by_period(1, 20) != challenges_by_period(2, 20)


def test_one_connection_does_not_spend_the_limit_of_another() -> None:
    end = End("end", UNSPACED)
    one, other = (Peer(end, FourTuple("10.0.0.2", 80, "10.0.0.1", port)).establish() for port in (1, 2))
    alone = challenges_by_period(2, 1)
    for _ in range(40):
        one.send("S", 0)
    assert [sum(len(other.send("S", 0)) for _ in range(40))] == alone


def test_no_challenge_at_all() -> None:
    peer = Peer(End("end", TcpConfig(challenge_ack_limit=0))).establish()
    assert peer.send("S", 0) == []
    assert peer.end.drops() == [DropReason.SYN_CHALLENGED, DropReason.CHALLENGE_LIMIT]


def test_segments_outside_the_window_are_no_challenge() -> None:
    peer = Peer(End("end", TcpConfig(challenge_ack_limit=0))).establish()
    assert peer.send(".", -5000) == [". seq 1 ack 1"]


# 3.5.1: one end has lost its memory


def test_figure_9_half_open_discovery_by_a_syn() -> None:
    pair = Pair()
    pair.connect()
    pair.client, lost = End("client"), pair.client
    pair.client.starts, pair.client.story = lost.starts, lost.story
    pair.story.clear()
    pair.now = 10.0
    pair.connect()
    assert pair.story == [
        "client SYN-SENT",
        "client > S seq 2500000",
        "server > . seq 1 ack 1",
        "client > R seq 1",
        "server CLOSED",
    ]
    pair.advance(11.0)
    assert pair.story[5:] == [
        "client > S seq 2500000",
        "server LISTEN",
        "server SYN-RECEIVED",
        f"server > S. seq {11 * 250_000} ack 2500001",
        "client ESTABLISHED",
        f"client > . seq 2500001 ack {11 * 250_000 + 1}",
        "server ESTABLISHED",
    ]
    assert pair.server.deleted() == [ConnectionResetError]


def test_figure_10_half_open_discovery_by_text() -> None:
    pair = Pair()
    pair.connect()
    pair.client, lost = End("client"), pair.client
    pair.client.starts, pair.client.story = lost.starts, lost.story
    pair.story.clear()
    pair.send(pair.server, SERVER, b"0123456789")
    assert pair.story == ["server > P. seq 1 ack 1 len 10", "client > R seq 1", "server CLOSED"]


def test_figure_11_an_old_duplicate_syn_meets_two_passive_ends() -> None:
    pair = Pair()
    old = Peer(pair.server, SERVER, iss=77)
    old.send("S", 0)
    pair.story.clear()
    pair.run()
    assert pair.story == ["client > R seq 1", "server CLOSED"]
    assert pair.server.path(SERVER) == [State.LISTEN, State.SYN_RECEIVED, State.CLOSED]
    assert len(pair.client.stack) == len(pair.server.stack) == 0


def test_figure_8_recovery_from_an_old_duplicate_syn() -> None:
    pair = Pair()
    old = Peer(pair.server, SERVER, iss=77)
    pair.client.perform(pair.client.stack.connect(0.0, CLIENT))
    late, pair.client.outbox = pair.client.outbox, []
    old.send("S", 0)
    pair.story.clear()
    pair.run()
    assert [line.split(" seq")[0] for line in pair.story] == ["client > R", "server CLOSED"]
    pair.client.outbox = late
    pair.run()
    assert pair.client.path(CLIENT) == [State.SYN_SENT, State.ESTABLISHED]
    assert pair.server.path(SERVER) == [
        State.LISTEN, State.SYN_RECEIVED, State.CLOSED, State.LISTEN, State.SYN_RECEIVED, State.ESTABLISHED,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seq", "answers", "after"),
    [
        pytest.param(0, ["S. seq 0 ack 1"], State.SYN_RECEIVED, id="the same"),
        pytest.param(5, [], State.CLOSED, id="another, in the window"),
        pytest.param(-5, [". seq 1 ack 1"], State.SYN_RECEIVED, id="another, outside"),
    ],
)
def test_a_syn_where_the_third_segment_was_due(seq: int, answers: list[str], after: State) -> None:
    """RFC 9293 section 3.10.7.4 fourth: back to LISTEN, without a word."""
    peer = Peer(End("end")).reach(State.SYN_RECEIVED)
    assert peer.send("S", seq) == answers
    assert peer.state is after


# ABORT and no answer


@pytest.mark.parametrize("state", WITH_TCB, ids=by_value)
def test_nobody_is_established_twice(state: State) -> None:
    peer = Peer(End("end")).reach(state)
    established = sum(isinstance(action, Established) for action in peer.end.actions)
    assert established == (state not in (State.SYN_SENT, State.SYN_RECEIVED))


def test_abort_reaches_the_other_end() -> None:
    pair = Pair()
    pair.connect()
    pair.story.clear()
    pair.abort(pair.client, CLIENT)
    assert pair.story == ["client CLOSED", "client > R. seq 1 ack 1", "server CLOSED"]
    assert pair.server.deleted() == [ConnectionResetError]


def test_abort_with_text_under_way_is_challenged_and_then_believed() -> None:
    pair = Pair()
    pair.connect()
    pair.lose = lambda _number, segment: bool(segment.payload)
    pair.send(pair.client, CLIENT, b"lost")
    pair.story.clear()
    pair.abort(pair.client, CLIENT)
    assert pair.story == [
        "client CLOSED",
        "client > R. seq 5 ack 1",
        "server > . seq 1 ack 1",
        "client > R seq 1",
        "server CLOSED",
    ]
