"""SYN cookies between two stacks: when they are sent, what the connection is then, and who is turned away."""

import pytest

from support.pair import CLIENT, MSS, SERVER, End, Pair
from support.peer import Peer
from xsocket.actions import Send
from xsocket.admission import Admission, AdmissionPolicy, Verdict
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import ACK, SYN, Segment
from xsocket.seqnum import precedes
from xsocket.state import State
from xsocket.tcp.options import for_segment, for_syn, parse
from xsocket.tcp.tcb import snapshot

ALWAYS = TcpConfig(syn_cookies="always")


def paired(
    server: TcpConfig = ALWAYS, client: TcpConfig | None = None, admission: AdmissionPolicy | None = None
) -> Pair:
    return Pair(End("client", client), End("server", server, admission))


def flooded(config: TcpConfig, count: int = 2) -> End:
    """Return an end whose half-open table is full."""
    end = End("server", config)
    for number in range(count):
        Peer(end, SERVER._replace(remote_port=1000 + number)).send("S", 0)
    assert end.stack.statistics().half_open == count
    end.outbox.clear()  # to sources that do not exist
    return end


# When


def test_a_handshake_by_cookie_goes_from_listen_to_established() -> None:
    pair = paired()
    pair.connect()
    assert pair.story == [
        "client SYN-SENT",
        "client > S seq 0",
        "server > S. seq 0 ack 1",
        "client ESTABLISHED",
        "client > . seq 1 ack 1",
        "server LISTEN",
        "server ESTABLISHED",
    ]
    assert pair.server.established() == [SERVER]


def test_nothing_is_kept_of_the_syn() -> None:
    end = End("server", ALWAYS)
    assert Peer(end).send("S", 0) == ["S. seq 0 ack 1"]
    statistics = end.stack.statistics()
    assert (len(end.stack), statistics.half_open, statistics.cookies_sent) == (0, 0, 1)
    assert end.stack.deadline == float("inf"), "a cookie is not sent again by itself"


def test_the_replies_cite_their_rule() -> None:
    pair = paired()
    pair.connect()
    (cookie,) = [action for action in pair.server.actions if isinstance(action, Send)]
    assert cookie.rule == "RFC 4987 3.6"


def test_cookies_come_when_the_table_is_full() -> None:
    end = flooded(TcpConfig(max_syn_backlog=2))
    assert end.stack.statistics().cookies_sent == 0
    pair = Pair(server=end)
    pair.connect()
    assert pair.tcb(end, SERVER).state is State.ESTABLISHED
    statistics = end.stack.statistics()
    assert (statistics.cookies_sent, statistics.cookies_accepted, statistics.half_open) == (1, 1, 2)
    assert end.drops() == []


@pytest.mark.parametrize("policy", ["ignore", "refuse", "evict"])
def test_a_cookie_goes_before_the_policy_for_a_full_table(policy: str) -> None:
    end = flooded(TcpConfig(max_syn_backlog=2, half_open_policy=policy))  # type: ignore[arg-type]
    assert Peer(end).send("S", 0) == ["S. seq 0 ack 1"]
    assert end.drops() == []


def test_a_syn_that_reopens_from_time_wait_gets_no_cookie() -> None:
    """Its number has to follow those of the old connection (RFC 9293 section 3.6.1)."""
    peer = Peer(End("server", TcpConfig(syn_cookies="always")))
    peer.send("S", 0)
    peer.seq = peer.ack = 1
    peer.send(".")
    peer.close()
    peer.ack = 2
    peer.send("F.")
    assert peer.state is State.TIME_WAIT
    old = peer.tcb
    peer.send("S", 1000)
    assert peer.state is State.SYN_RECEIVED
    assert precedes(old.snd_nxt, peer.tcb.iss)


def test_a_full_connection_table_gives_no_cookies() -> None:
    end = flooded(TcpConfig(max_connections=2, syn_cookies="auto"))
    assert Peer(end).send("S", 0) == []
    assert end.drops() == [DropReason.CONNECTIONS_FULL]


def test_a_retransmitted_syn_gets_the_same_cookie() -> None:
    peer = Peer(End("server", ALWAYS))
    peer.send("S", 0)
    peer.send("S", 0)
    first, second = peer.end.segments()
    assert first == second


# What the connection is


def cookie_peer(options: bytes, config: TcpConfig = ALWAYS) -> Peer:
    """Return a peer that was sent a cookie and has not acknowledged it."""
    peer = Peer(End("server", config), options=options)
    peer.send("S", 0, options=options)
    peer.seq = peer.ack = 1
    return peer


def stamps_of(peer: Peer, value: int) -> bytes:
    echo = parse(peer.end.segments()[-1].options).ts_val
    assert echo is not None
    return for_segment((value, echo))


def test_with_timestamps_every_option_is_kept() -> None:
    peer = cookie_peer(for_syn(1300, 5, True, (100, 0)))
    peer.send(".", window=1000, options=stamps_of(peer, 101))
    tcb = peer.tcb
    assert (tcb.sack, tcb.timestamps, tcb.scaled) == (True, True, True)
    assert (tcb.snd_wscale, tcb.rcv_wscale) == (5, 3)
    assert (tcb.snd_mss, tcb.ts_recent) == (1300 - 12, 101)
    assert tcb.snd_wnd == 1000 << 5
    assert tcb.passive


def test_without_timestamps_only_the_mss_is_kept() -> None:
    peer = cookie_peer(for_syn(1300, 5, True, None))
    peer.send(".", window=1000)
    tcb = peer.tcb
    assert (tcb.sack, tcb.timestamps, tcb.scaled) == (False, False, False)
    assert (tcb.snd_mss, tcb.snd_wnd) == (1300, 1000)


def test_timestamps_go_on_from_the_cookies() -> None:
    pair = paired()
    pair.connect()
    pair.send(pair.server, SERVER, b"hello")
    stamps = [parse(segment.options).ts_val or 0 for segment in pair.server.segments()]
    assert len(stamps) == 2
    assert (stamps[1] - stamps[0]) % 2**32 < 128
    assert pair.read(pair.client, CLIENT) == b"hello"


@pytest.mark.parametrize("timestamps", [True, False], ids=["timestamps", "no timestamps"])
@pytest.mark.parametrize("version", [4, 6])
def test_a_connection_by_cookie_carries_text_both_ways_and_closes(version: int, timestamps: bool) -> None:
    name = CLIENT if version == 4 else FourTuple("fd00::1", 40_000, "fd00::2", 80)
    pair = paired(client=TcpConfig(timestamps=timestamps))
    pair.connect(name)
    text = bytes(range(256)) * 400
    pair.send(pair.client, name, text)
    pair.send(pair.server, name.reversed, text)
    assert pair.read(pair.server, name.reversed) == text
    assert pair.read(pair.client, name) == text
    assert pair.tcb(pair.server, name.reversed).snd_mss == MSS[version] // 20 * 20 - 12 * timestamps
    pair.close(pair.client, name)
    pair.close(pair.server, name.reversed)
    assert pair.server.stack.tcb(name.reversed) is None


def test_text_on_the_acknowledgment_is_taken() -> None:
    peer = cookie_peer(for_syn(1460, None, False, None))
    assert peer.send("P.", text=b"hello") == [". seq 1 ack 6"]
    assert peer.read() == b"hello"


def test_a_batch_of_acknowledgment_and_text_is_acknowledged_once() -> None:
    peer = cookie_peer(for_syn(1460, None, False, None))
    sent = peer.deliver(peer.segment("P.", text=b"hello"), peer.segment("P.", 6, text=b"again"))
    assert sent == [". seq 1 ack 11"]


def test_a_fin_on_the_acknowledgment_is_taken() -> None:
    peer = cookie_peer(for_syn(1460, None, False, None))
    assert peer.send("FP.", text=b"hello") == [". seq 1 ack 7"]
    assert peer.state is State.CLOSE_WAIT
    assert peer.end.established() == [SERVER]


def test_text_of_the_syn_is_not_kept_and_comes_again() -> None:
    peer = Peer(End("server", ALWAYS))
    assert peer.send("S", 0, text=b"hello") == ["S. seq 0 ack 1"]
    peer.seq = peer.ack = 1
    assert peer.send("P.", text=b"hello") == [". seq 1 ack 6"]
    assert peer.read() == b"hello"


def test_the_text_replaces_an_acknowledgment_that_was_lost() -> None:
    pair = paired()
    pair.lose = lambda number, _: number == 3
    pair.connect()
    assert pair.server.stack.tcb(SERVER) is None
    pair.send(pair.client, CLIENT, b"hello")
    assert pair.read(pair.server, SERVER) == b"hello"


@pytest.mark.parametrize("overtaken", [1, 2, 7, 8, 100], ids=str)
def test_text_that_overtakes_other_text_does_not_begin_the_stream(overtaken: int) -> None:
    peer = cookie_peer(for_syn(8940, None, False, None))
    assert peer.send("P.", 1 + overtaken, text=b"later") == ["R seq 1"]
    assert len(peer.end.stack) == 0


# Congestion notification


@pytest.mark.parametrize(
    ("rules", "letters", "accurate"),
    [
        (TcpConfig(ecn=1), "SE.", False),
        (TcpConfig(ecn=1, timestamps=False), "S.", None),
        (TcpConfig(ecn=3), "SW.", True),
        (TcpConfig(ecn=3, timestamps=False), "SW.", True),
        (TcpConfig(ecn=0), "S.", None),
    ],
    ids=["RFC 3168", "no timestamps", "AccECN", "AccECN, no timestamps", "none"],
)
def test_a_cookie_remembers_what_was_agreed_of_ecn(
    rules: TcpConfig, letters: str, accurate: bool | None
) -> None:
    """RFC 3168 takes a bit of the timestamp; of RFC 9768 the peer's own flags tell (section 5.1)."""
    pair = paired(TcpConfig(syn_cookies="always", ecn=5), rules)
    pair.connect()
    assert pair.server.sent() == [letters]
    for end, name in ((pair.client, CLIENT), (pair.server, SERVER)):
        info = snapshot(pair.tcb(end, name)).ecn
        assert (None if info is None else info.accurate) is accurate
    pair.mark = lambda *_: True
    pair.send(pair.client, CLIENT, b"hello")
    pair.advance(pair.now + 1.0)
    ours = snapshot(pair.tcb(pair.client, CLIENT)).ecn
    assert (None if ours is None else ours.delivered_ce) == (None if accurate is None else 1)


def test_a_cookie_of_a_server_without_accurate_feedback_is_not_taken_for_one_with_it() -> None:
    """Flags of the ACK that mean nothing there: CWR without anything to say it for."""
    peer = cookie_peer(for_syn(1460, None, False, None))
    peer.send("W.")
    assert (peer.state, peer.tcb.ecn) == (State.ESTABLISHED, None)


# Who is turned away


@pytest.mark.parametrize(
    ("seq", "ack"), [(1, 0), (1, 1 + 8), (0, 1), (2, 1), (1, 1 << 31)], ids=lambda number: str(number)
)
def test_an_ack_without_a_valid_cookie_is_reset(seq: int, ack: int) -> None:
    peer = cookie_peer(for_syn(48, None, False, None))
    assert peer.send(".", seq, ack) == [f"R seq {ack}"]
    assert peer.end.drops() == [DropReason.COOKIE_INVALID]
    assert len(peer.end.stack) == 0
    reset = peer.end.actions[-1]
    assert isinstance(reset, Send)
    assert reset.rule == "3.10.7.2 second"


@pytest.mark.parametrize("letters", ["S.", "SF.", "R.", "R"])
def test_only_a_plain_acknowledgment_brings_a_cookie_back(letters: str) -> None:
    peer = cookie_peer(for_syn(1460, None, False, None))
    peer.send(letters)
    assert len(peer.end.stack) == 0
    assert peer.end.stack.statistics().cookies_accepted == 0


def test_a_cookie_is_taken_back_for_two_periods() -> None:
    late, too_late = (cookie_peer(for_syn(1460, None, False, None)) for _ in range(2))
    late.now, too_late.now = 127.9, 128.0
    assert late.send(".") == []
    assert too_late.send(".") == ["R seq 1"]


def test_no_ack_is_looked_at_when_no_cookie_was_sent_lately() -> None:
    """Linux: tcp_synq_no_recent_overflow. A flood of ACKs then costs no hash, and a forger has no window."""
    peer = cookie_peer(for_syn(1460, None, False, None))
    peer.now = 128.0
    peer.send(".")
    assert peer.end.drops() == [], "not even found invalid"
    other = Peer(End("server", ALWAYS))
    other.send(".", 1, 1)
    assert other.end.drops() == []


def test_with_cookies_off_none_is_taken() -> None:
    peer = cookie_peer(for_syn(1460, None, False, None))
    bare = Peer(End("server", TcpConfig(syn_cookies="never")))
    bare.irs = peer.irs
    bare.send(".", 1, 1)
    assert bare.end.sent() == ["R"]
    assert bare.end.drops() == []


class Later:
    """An admission policy that changes its mind."""

    verdict = Verdict.ADMIT

    def decide(self, four_tuple: FourTuple, segment: Segment) -> Verdict:
        del four_tuple, segment
        return self.verdict


@pytest.mark.parametrize(
    ("verdict", "answer"), [(Verdict.REFUSE, ["R seq 1"]), (Verdict.IGNORE, [])], ids=["refuse", "ignore"]
)
def test_admission_is_asked_again(verdict: Verdict, answer: list[str]) -> None:
    policy = Later()
    peer = Peer(End("server", ALWAYS, policy))
    peer.send("S", 0, options=peer.options)
    peer.seq = peer.ack = 1
    policy.verdict = verdict
    assert peer.send(".") == answer
    assert len(peer.end.stack) == 0


def test_a_valid_cookie_makes_no_connection_beyond_the_limit() -> None:
    end = End("server", TcpConfig(syn_cookies="always", max_connections=1))
    late, first = Peer(end), Peer(end, SERVER._replace(remote_port=1))
    late.send("S", 0)
    late.seq = late.ack = 1
    first.establish()
    assert late.send(".") == []
    assert end.drops() == [DropReason.CONNECTIONS_FULL]
    first.abort()
    late.send(".")
    assert late.state is State.ESTABLISHED, "it may try again"


@pytest.mark.parametrize(
    ("policy", "answer", "reason"),
    [
        ("ignore", [], DropReason.POOL_FULL_IGNORED),
        ("refuse", ["R seq 1"], DropReason.POOL_FULL_REFUSED),
    ],
    ids=["ignore", "refuse"],
)
def test_a_full_pool_turns_a_valid_cookie_away(policy: str, answer: list[str], reason: DropReason) -> None:
    room = [False]
    config = TcpConfig(syn_cookies="always", pool_policy=policy)  # type: ignore[arg-type]
    peer = Peer(End("server", config, has_room=lambda _: room[0]))
    peer.send("S", 0)
    peer.seq = peer.ack = 1
    assert peer.send(".") == answer
    assert peer.end.drops() == [reason]
    room[0] = True
    peer.send("P.", text=b"hello")
    assert peer.read() == b"hello"


def test_a_pool_that_evicts_takes_a_valid_cookie() -> None:
    config = TcpConfig(syn_cookies="always", pool_policy="evict")
    peer = Peer(End("server", config, has_room=lambda _: False)).establish()
    assert peer.state is State.ESTABLISHED


def test_a_flood_from_made_up_sources_leaves_nothing_behind() -> None:
    end = End("server", TcpConfig(max_syn_backlog=64))
    for number in range(20_000):
        remote = SERVER._replace(remote_address=f"198.18.{number >> 8}.{number & 255}", remote_port=1024)
        end.stack.receive(number / 20_000, [(remote, Segment(number, 0, SYN, 1000, b""))])
    statistics = end.stack.statistics()
    assert (len(end.stack), statistics.half_open_high_water) == (64, 64)
    assert statistics.cookies_sent == 20_000 - 64
    pair = Pair(server=end)
    pair.now = 1.0
    pair.connect()
    assert pair.tcb(end, SERVER).state is State.ESTABLISHED


def test_strangers_acks_are_answered_once_each() -> None:
    """However many there are: no reply is larger or more than what asked for it."""
    peer = cookie_peer(for_syn(1460, None, False, None))
    batch = [(SERVER._replace(remote_port=port), Segment(1, 1, ACK)) for port in range(1, 500)]
    actions = peer.end.stack.receive(0.0, batch)
    assert sum(isinstance(action, Send) for action in actions) == 499


def test_admission_that_admits_nobody_sends_no_cookie() -> None:
    peer = Peer(End("server", ALWAYS, Admission(ports=())))
    assert peer.send("S", 0) == ["R. seq 0 ack 1"]
    assert peer.end.stack.statistics().cookies_sent == 0
