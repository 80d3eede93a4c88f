"""TCP Fast Open between two stacks: cookies, text in the SYN, answers before the third segment, fallbacks."""

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from support.peer import Peer
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.info import FastOpenInfo
from xsocket.segment import ACK, SYN, Segment
from xsocket.state import State
from xsocket.tcp.fastopen import RESET_COUNTS_S, cookie_for
from xsocket.tcp.keys import AoKey
from xsocket.tcp.options import FastOpen, filled_up, for_syn, parse

SERVES = TcpConfig(fastopen=2, fastopen_qlen=16)
KEY, OLD_KEY = b"k" * 16, b"o" * 16
SYN_OPTIONS = for_syn(1460, None, False, None)


def paired(server: TcpConfig = SERVES, client: TcpConfig | None = None) -> Pair:
    return Pair(End("client", client), End("server", server))


def acquainted(server: TcpConfig = SERVES, client: TcpConfig | None = None) -> Pair:
    """Return a pair whose client has the server's cookie, and that has fallen silent."""
    pair = paired(server, client)
    first = CLIENT._replace(local_port=1)
    pair.connect(first, b"")
    pair.abort(pair.client, first)
    pair.story.clear()
    pair.cable.clear()
    for end in (pair.client, pair.server):
        end.actions.clear()
    return pair


def serving(config: TcpConfig = SERVES) -> End:
    end = End("server", config)
    end.stack.set_fastopen_keys(KEY, OLD_KEY)
    return end


def fast_peer(end: End, option: FastOpen | None = None, port: int = CLIENT.local_port) -> Peer:
    """Return a peer whose SYN has a valid cookie, or *option*."""
    four_tuple = SERVER._replace(remote_port=port)
    option = option or FastOpen(cookie_for(four_tuple, KEY))
    return Peer(end, four_tuple, options=SYN_OPTIONS + filled_up(option))


def syn(peer: Peer, text: bytes = b"hello") -> list[str]:
    """Let *peer* send its SYN with *text*."""
    sent = peer.send("S", 0, text=text, options=peer.options)
    peer.seq, peer.ack = 1 + len(text), 1
    return sent


def option_of(segment: Segment) -> FastOpen | None:
    return parse(segment.options).fast_open


# Both ends


def test_the_first_connection_asks_for_a_cookie_and_gets_one() -> None:
    pair = paired()
    pair.connect(text=b"hello")
    syns = [option_of(segment) for _, segment in pair.cable if segment.syn]
    assert syns[0] == FastOpen(b"")
    assert syns[1] is not None
    assert len(syns[1].cookie) == 8
    assert pair.story == [
        "client SYN-SENT",
        "client > S seq 0",
        "server LISTEN",
        "server SYN-RECEIVED",
        "server > S. seq 0 ack 1",
        "client ESTABLISHED",
        "client > P. seq 1 ack 1 len 5",
        "server ESTABLISHED",
        "server > . seq 1 ack 6",
    ]
    assert pair.read(pair.server, SERVER) == b"hello"


def test_the_second_connection_has_its_text_in_the_syn() -> None:
    pair = acquainted()
    pair.connect(text=b"hello")
    assert pair.story == [
        "client SYN-SENT",
        "client > S seq 0 len 5",
        "server LISTEN",
        "server SYN-RECEIVED",
        "server > S. seq 0 ack 6",
        "client ESTABLISHED",
        "client > . seq 6 ack 1",
        "server ESTABLISHED",
    ]
    assert pair.read(pair.server, SERVER) == b"hello"
    assert (pair.client.drops(), pair.server.drops()) == ([], [])


def test_the_text_is_readable_before_the_third_segment_and_answered() -> None:
    pair = acquainted()
    pair.lose = lambda _number, segment: segment.flags & (SYN | ACK) == ACK
    pair.connect(text=b"hello")
    tcb = pair.tcb(pair.server, SERVER)
    assert (tcb.state, pair.server.established()) == (State.SYN_RECEIVED, [SERVER])
    assert pair.read(pair.server, SERVER) == b"hello"
    pair.send(pair.server, SERVER, b"world")
    assert pair.story[-1] == "server > P. seq 1 ack 6 len 5"
    assert tcb.state is State.SYN_RECEIVED
    pair.lose = lambda _number, _segment: False
    pair.advance(2.0)
    assert tcb.state is State.ESTABLISHED
    assert pair.read(pair.client, CLIENT) == b"world"
    assert tcb.flight == 0
    assert pair.server.established() == [SERVER], "it was handed over once"


def test_both_ends_say_what_was_done() -> None:
    pair = acquainted()
    pair.connect(text=b"hello")
    client, server = (pair.tcb(*end).fast_open for end in ((pair.client, CLIENT), (pair.server, SERVER)))
    assert client is not None
    assert server is not None
    (sent,) = [option_of(segment) for _, segment in pair.cable if segment.flags & (SYN | ACK) == SYN]
    assert sent is not None
    expected = FastOpenInfo(sent.cookie, experimental=False, syn_data=5, syn_data_acked=5, given=None)
    assert client.info == server.info == expected
    counted = pair.client.stack.statistics().fast_open
    assert (counted.active, counted.active_fail, counted.cookies) == (1, 0, 1)
    counted = pair.server.stack.statistics().fast_open
    assert (counted.passive, counted.cookie_reqd, counted.pending) == (1, 1, 0)


@pytest.mark.parametrize("octets", [0, 1, 1420, 1421, 10_000, 100_000])
def test_text_of_any_size_arrives_whole(octets: int) -> None:
    pair = acquainted()
    text = bytes(number % 251 for number in range(octets))
    pair.connect(text=text)
    pair.advance(pair.now + 1)
    assert pair.read(pair.server, SERVER) == text
    (first,) = [each for _, each in pair.cable if each.flags & (SYN | ACK) == SYN]
    assert len(first.payload) == min(octets, 1460 - 40), "room is left for forty octets of options"


def test_without_text_a_connection_has_no_option() -> None:
    pair = acquainted()
    pair.connect()
    assert [option_of(segment) for _, segment in pair.cable] == [None] * 3


@pytest.mark.parametrize("bits", [0, 2], ids=["neither", "server only"])
def test_a_client_that_may_not_take_part_sends_the_text_afterwards(bits: int) -> None:
    pair = acquainted(client=TcpConfig(fastopen=bits))
    pair.connect(text=b"hello")
    assert option_of(pair.cable[0][1]) is None
    assert pair.cable[0][1].payload == b""
    assert pair.read(pair.server, SERVER) == b"hello"


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(TcpConfig(), id="default"),
        pytest.param(TcpConfig(fastopen=2), id="no room for pending ones"),
        pytest.param(TcpConfig(fastopen=1, fastopen_qlen=16), id="client only"),
    ],
)
def test_a_server_that_does_not_take_part_ignores_the_option(config: TcpConfig) -> None:
    pair = paired(config)
    pair.connect(text=b"hello")
    assert option_of(pair.cable[1][1]) is None
    assert pair.read(pair.server, SERVER) == b"hello"


def test_on_all_listeners_no_limit_has_to_be_given() -> None:
    pair = acquainted(TcpConfig(fastopen=0x402))
    pair.connect(text=b"hello")
    assert pair.cable[1][1].acknowledgment == (pair.cable[0][1].seq + 6) % (1 << 32)


def test_without_cookies_the_first_connection_is_fast() -> None:
    pair = paired(TcpConfig(fastopen=0x202, fastopen_qlen=16), TcpConfig(fastopen=5))
    pair.connect(text=b"hello")
    assert option_of(pair.cable[0][1]) is None
    assert pair.story[1:5] == [
        "client > S seq 0 len 5",
        "server LISTEN",
        "server SYN-RECEIVED",
        "server > S. seq 0 ack 6",
    ]


def test_without_cookies_a_client_that_knows_nothing_keeps_to_the_default_mss() -> None:
    pair = paired(TcpConfig(fastopen=0x202, fastopen_qlen=16), TcpConfig(fastopen=5))
    pair.connect(text=bytes(2000))
    assert len(pair.cable[0][1].payload) == 536 - 40
    pair.connect(CLIENT._replace(local_port=2), text=bytes(2000))
    (_, second) = [each for _, each in pair.cable if each.flags & (SYN | ACK) == SYN]
    assert len(second.payload) == 1460 - 40


# What goes wrong


def test_a_cookie_that_has_no_room_is_left_out_with_the_text() -> None:
    """RFC 7413 section 4.2.2: beside a signature, the handshake is an ordinary one."""
    pair = acquainted()
    for end in (pair.client, pair.server):
        end.stack.set_keys([AoKey(peer="0.0.0.0/0", send_id=1, recv_id=1, secret="secret")])
    pair.connect(text=b"hello")
    syn = pair.cable[0][1]
    assert (syn.letters, syn.payload, option_of(syn)) == ("S", b"", None)
    assert len(syn.options) == 20 + 16
    assert pair.read(pair.server, SERVER) == b"hello"


def test_text_that_the_server_did_not_take_is_sent_again_at_once() -> None:
    pair = acquainted()
    pair.server.stack.set_fastopen_keys(KEY)
    pair.connect(text=b"hello")
    assert pair.now == 0.0
    assert pair.story == [
        "client SYN-SENT",
        "client > S seq 0 len 5",
        "server LISTEN",
        "server SYN-RECEIVED",
        "server > S. seq 0 ack 1",
        "client ESTABLISHED",
        "client > P. seq 1 ack 1 len 5",
        "server ESTABLISHED",
        "server > . seq 1 ack 6",
    ]
    assert pair.read(pair.server, SERVER) == b"hello"
    counted = pair.client.stack.statistics().fast_open
    assert (counted.active, counted.active_fail) == (0, 1)
    assert pair.server.stack.statistics().fast_open.passive_fail == 1
    pair.connect(CLIENT._replace(local_port=2), text=b"again")
    assert pair.client.stack.statistics().fast_open.active == 1, "the SYN+ACK had a new cookie"


def test_a_syn_that_is_sent_again_is_an_ordinary_one() -> None:
    pair = acquainted()
    pair.lose = lambda number, _segment: number == 1
    pair.connect(text=b"hello")
    pair.advance(1.0)
    again = pair.cable[1][1]
    assert (again.letters, again.payload, option_of(again)) == ("S", b"", None)
    assert pair.tcb(pair.client, CLIENT).state is State.ESTABLISHED
    assert pair.read(pair.server, SERVER) == b"hello"
    assert pair.tcb(pair.client, CLIENT).flight == 0


def test_a_syn_ack_that_is_sent_again_has_no_cookie() -> None:
    peer = fast_peer(serving(), FastOpen(b""))
    syn(peer, b"")
    assert option_of(peer.end.segments()[-1]) is not None
    peer.advance(1.0)
    assert (peer.end.sent(), option_of(peer.end.segments()[-1])) == (["S.", "S."], None)


def test_a_syn_ack_that_is_lost_is_sent_again_and_still_acknowledges_the_text() -> None:
    pair = acquainted()
    pair.lose = lambda number, _segment: number == 2
    pair.connect(text=b"hello")
    pair.advance(1.0)
    assert pair.tcb(pair.server, SERVER).state is State.ESTABLISHED
    assert pair.read(pair.server, SERVER) == b"hello"
    syn_acks = [each for _, each in pair.cable if each.flags & (SYN | ACK) == SYN | ACK]
    assert len({each.acknowledgment for each in syn_acks}) == 1


@pytest.mark.parametrize("lost", range(1, 12))
def test_every_segment_of_a_fast_conversation_can_be_lost(lost: int) -> None:
    pair = acquainted()
    pair.lose = lambda number, _segment: number == lost
    pair.connect(text=b"hello")
    pair.advance(pair.now + 2)
    pair.send(pair.server, SERVER, b"world")
    pair.advance(pair.now + 10)
    assert pair.read(pair.server, SERVER) == b"hello"
    assert pair.read(pair.client, CLIENT) == b"world"
    pair.close(pair.server, SERVER)
    pair.close(pair.client, CLIENT)
    pair.advance(pair.now + 100)
    assert (pair.client.deleted(), pair.server.deleted()) == ([None], [None])


@pytest.mark.parametrize("lost", range(2, 10))
def test_every_segment_of_an_early_answer_can_be_lost(lost: int) -> None:
    pair = acquainted()
    pair.delay = lambda _number, _segment: 0.01
    pair.lose = lambda number, _segment: number == lost
    pair.connect(text=b"hello")
    pair.advance(pair.now + 0.01)
    tcb = pair.tcb(pair.server, SERVER)
    assert tcb.state is State.SYN_RECEIVED
    assert pair.read(pair.server, SERVER) == b"hello"
    pair.send(pair.server, SERVER, b"world")
    pair.close(pair.server, SERVER)
    pair.advance(pair.now + 10)
    assert pair.read(pair.client, CLIENT) == b"world"
    pair.close(pair.client, CLIENT)
    pair.advance(pair.now + 100)
    assert (pair.client.deleted(), pair.server.deleted()) == ([None], [None])
    assert pair.server.stack.statistics().fast_open.pending == 0


def test_a_fast_open_that_crosses_another_open_loses_nothing() -> None:
    pair = acquainted()
    pair.client.perform(pair.client.stack.connect(pair.now, CLIENT, b"hello"))
    pair.server.perform(pair.server.stack.connect(pair.now, SERVER, b"world"))
    pair.run()
    pair.advance(pair.now + 5)
    assert pair.read(pair.server, SERVER) == b"hello"
    assert pair.read(pair.client, CLIENT) == b"world"
    for end, key in ((pair.client, CLIENT), (pair.server, SERVER)):
        assert pair.tcb(end, key).flight == 0


def test_a_smaller_mss_than_remembered_cuts_the_text() -> None:
    """The server has told of a larger one before."""
    end = End("client")
    for port in (1, 2):
        peer = Peer(end, CLIENT._replace(local_port=port))
        peer.connect(bytes(1000) if port == 2 else b"")
        mss = 400 if port == 2 else 1460
        options = for_syn(mss, None, False, None) + filled_up(FastOpen(b"cookie.."))
        peer.send("S.", 0, 1, options=options)
        peer.seq = 1
    assert [len(segment.payload) for segment in end.segments()[-3:]] == [400, 400, 200]


# The server alone


def test_a_cookie_of_the_backup_key_is_taken_and_renewed() -> None:
    end = serving()
    peer = fast_peer(end, FastOpen(cookie_for(SERVER, OLD_KEY)))
    assert syn(peer) == ["S. seq 0 ack 6"]
    assert option_of(end.segments()[0]) == FastOpen(cookie_for(SERVER, KEY))
    assert end.stack.statistics().fast_open.passive_alt_key == 1


def test_a_valid_cookie_is_not_sent_back() -> None:
    peer = fast_peer(serving())
    assert syn(peer) == ["S. seq 0 ack 6"]
    assert option_of(peer.end.segments()[0]) is None


@pytest.mark.parametrize("experimental", [False, True], ids=["kind 34", "kind 254"])
@pytest.mark.parametrize("cookie", [b"", b"wrong...", b"shrt", b"sixteen octets.."])
def test_a_cookie_that_is_not_valid_gets_a_fresh_one_in_the_same_option(
    cookie: bytes, experimental: bool
) -> None:
    end = serving()
    peer = fast_peer(end, FastOpen(cookie, experimental))
    assert syn(peer) == ["S. seq 0 ack 1"]
    assert option_of(end.segments()[0]) == FastOpen(cookie_for(SERVER, KEY), experimental)
    assert (peer.tcb.unread, end.established()) == (0, [])
    counted = end.stack.statistics().fast_open
    assert (counted.cookie_reqd, counted.passive_fail) == ((0, 1) if cookie else (1, 0))


def test_the_cookie_of_one_client_is_worth_nothing_for_another() -> None:
    end = serving()
    stranger = SERVER._replace(remote_address="10.0.0.9")
    peer = Peer(end, stranger, options=SYN_OPTIONS + filled_up(FastOpen(cookie_for(SERVER, KEY))))
    assert syn(peer) == ["S. seq 0 ack 1"]


def test_a_cookie_holds_for_every_port() -> None:
    end = serving()
    for port in (5000, 5001):
        four_tuple = FourTuple(SERVER.local_address, port + 1, SERVER.remote_address, port)
        peer = Peer(end, four_tuple, options=SYN_OPTIONS + filled_up(FastOpen(cookie_for(SERVER, KEY))))
        assert syn(peer) == ["S. seq 0 ack 6"]


def test_a_syn_with_a_cookie_and_no_text_may_be_answered_early() -> None:
    peer = fast_peer(serving())
    assert syn(peer, b"") == ["S. seq 0 ack 1"]
    assert peer.end.established() == [SERVER]
    assert peer.write(b"welcome") == ["P. seq 1 ack 1 len 7"]


def test_text_before_the_third_segment_obeys_both_windows() -> None:
    end = serving(TcpConfig(fastopen=2, fastopen_qlen=1, initial_cwnd=2))
    peer = fast_peer(end)
    syn(peer)
    assert [line.rpartition(" ")[2] for line in peer.write(bytes(10_000))] == ["1460", "1460"]
    small = fast_peer(serving())
    small.send("S", 0, text=b"hello", options=small.options, window=100)
    assert small.write(bytes(1000)) == [] or small.tcb.flight <= 101


def test_the_third_segment_may_acknowledge_text() -> None:
    peer = fast_peer(serving())
    syn(peer)
    peer.write(b"world")
    assert peer.send(".", ack=6) == []
    assert (peer.state, peer.tcb.flight, peer.tcb.timer) == (State.ESTABLISHED, 0, None)


def test_text_that_the_third_segment_does_not_acknowledge_is_watched() -> None:
    peer = fast_peer(serving())
    syn(peer)
    peer.write(b"world")
    peer.send(".", ack=1)
    assert peer.advance(2.0)[0] == "P. seq 1 ack 6 len 5"


def test_the_nagle_algorithm_does_not_hold_text_for_the_syn() -> None:
    peer = fast_peer(serving(TcpConfig(fastopen=2, fastopen_qlen=1, minshall=False)))
    syn(peer)
    assert peer.write(b"a") == ["P. seq 1 ack 6 len 1"]
    assert peer.write(b"b") == []


def test_a_user_who_closes_before_the_third_segment_sends_text_and_fin_at_once() -> None:
    peer = fast_peer(serving())
    syn(peer)
    assert peer.read() == b"hello"
    peer.write(b"world")
    assert peer.release() == ["F. seq 6 ack 6"]
    assert peer.state is State.FIN_WAIT_1
    assert peer.end.stack.statistics().fast_open.pending == 1
    peer.send("F.", ack=7)
    assert (peer.state, peer.end.stack.statistics().fast_open.pending) == (State.TIME_WAIT, 0)


def test_a_user_who_closes_with_text_unread_resets() -> None:
    peer = fast_peer(serving())
    syn(peer)
    assert peer.release() == ["R. seq 1 ack 6"]


def test_the_windows_of_the_syn_ack_counts_from_behind_the_text() -> None:
    end = serving(TcpConfig(fastopen=2, fastopen_qlen=1, rmem=1000))
    peer = fast_peer(end)
    syn(peer, bytes(400))
    assert end.segments()[0].window == 600
    peer.send(".", text=bytes(700))
    assert peer.tcb.unread == 1000
    assert len(peer.read()) == 1000


def test_more_text_than_the_window_is_not_acknowledged() -> None:
    end = serving(TcpConfig(fastopen=2, fastopen_qlen=1, rmem=300))
    peer = fast_peer(end)
    assert syn(peer, bytes(400)) == ["S. seq 0 ack 301"]


def test_a_cookie_without_a_syn_is_ignored() -> None:
    """RFC 7413 section 4.1.1."""
    peer = Peer(serving()).establish()
    cookie = filled_up(FastOpen(cookie_for(SERVER, KEY)))
    assert peer.send("P.", text=b"hello", options=cookie) == [". seq 1 ack 6"]
    assert peer.tcb.fast_open is None
    assert peer.end.stack.statistics().fast_open.passive == 0


# Resets, replays, and how many


def test_a_reset_before_the_third_segment_is_the_users_to_know() -> None:
    peer = fast_peer(serving())
    syn(peer)
    tcb = peer.tcb
    peer.send("R")
    assert (peer.state, tcb.error, peer.end.deleted()) == (
        State.CLOSED,
        ConnectionResetError,
        [ConnectionResetError],
    )


def test_another_syn_does_not_end_a_connection_that_its_user_has() -> None:
    peer = fast_peer(serving())
    syn(peer)
    assert peer.send("S", 7, options=peer.options) == [". seq 1 ack 6"]
    assert peer.state is State.SYN_RECEIVED


def test_the_syn_sent_again_is_answered_again_and_its_text_taken_once() -> None:
    peer = fast_peer(serving())
    syn(peer)
    assert peer.send("S", 0, text=b"hello", options=peer.options) == ["S. seq 0 ack 6"]
    assert peer.send("S", 0, options=SYN_OPTIONS) == ["S. seq 0 ack 6"]
    assert peer.read() == b"hello"


def test_beyond_the_limit_handshakes_are_ordinary() -> None:
    end = serving(TcpConfig(fastopen=2, fastopen_qlen=2))
    peers = [fast_peer(end, FastOpen(cookie_for(SERVER, KEY)), port) for port in (1, 2, 3)]
    assert [syn(peer) for peer in peers] == [["S. seq 0 ack 6"], ["S. seq 0 ack 6"], ["S. seq 0 ack 1"]]
    assert option_of(end.segments()[-1]) is None
    counted = end.stack.statistics()
    assert (counted.fast_open.pending, counted.fast_open.listen_overflow, counted.half_open) == (2, 1, 1)
    peers[0].send(".")
    assert end.stack.statistics().fast_open.pending == 1
    assert syn(fast_peer(end, None, 4)) == ["S. seq 0 ack 6"]


def test_a_reset_keeps_its_place_for_a_minute() -> None:
    """Whoever replays a cookie from an address that resets what it knows nothing of gets no more turns."""
    end = serving(TcpConfig(fastopen=2, fastopen_qlen=1))
    victim = fast_peer(end)
    syn(victim)
    victim.send("R")
    assert end.stack.statistics().fast_open.pending == 1
    replay = fast_peer(end, None, 2)
    replay.now = RESET_COUNTS_S - 1
    assert syn(replay) == ["S. seq 0 ack 1"]
    later = fast_peer(end, None, 3)
    later.now = RESET_COUNTS_S
    assert syn(later) == ["S. seq 0 ack 6"]


def test_a_connection_that_is_given_up_leaves_its_place() -> None:
    end = serving(TcpConfig(fastopen=2, fastopen_qlen=1, synack_retries=1))
    peer = fast_peer(end)
    syn(peer)
    peer.advance(100.0)
    assert (end.deleted(), end.stack.statistics().fast_open.pending) == ([TimeoutError], 0)


def test_a_full_pool_falls_back_to_the_ordinary_handshake() -> None:
    end = End("server", SERVES, has_room=lambda _: False)
    end.stack.set_fastopen_keys(KEY)
    assert syn(fast_peer(end)) == ["S. seq 0 ack 1"]
    assert end.established() == []


def test_under_syn_cookies_nobody_opens_fast() -> None:
    end = serving(TcpConfig(fastopen=2, fastopen_qlen=1, syn_cookies="always"))
    peer = fast_peer(end)
    assert syn(peer) == ["S. seq 0 ack 1"]
    assert option_of(end.segments()[0]) is None
    assert peer.state is State.CLOSED


# The client alone


def client_peer(port: int = 1, config: TcpConfig | None = None, end: End | None = None) -> Peer:
    return Peer(end or End("client", config), CLIENT._replace(local_port=port))


def answered(peer: Peer, text: bytes, option: FastOpen | None, ack: int = 1) -> FastOpen | None:
    """Open fast; return the option that was sent, and answer with *option*."""
    peer.connect(text)
    sent = option_of(peer.end.segments()[-1])
    peer.send("S.", 0, ack, options=SYN_OPTIONS + (filled_up(option) if option else b""))
    return sent


def test_a_request_that_gets_no_answer_is_made_with_the_experimental_option_once() -> None:
    end = End("client")
    sent = [answered(client_peer(port, end=end), b"", None) for port in (1, 2, 3, 4)]
    assert sent == [FastOpen(), FastOpen(experimental=True), FastOpen(), FastOpen()]


def test_a_cookie_is_sent_in_the_option_it_came_in() -> None:
    end = End("client")
    answered(client_peer(1, end=end), b"", None)
    cookie = FastOpen(b"cookie", experimental=True)
    answered(client_peer(2, end=end), b"", cookie)
    assert answered(client_peer(3, end=end), b"text", None) == cookie


def test_a_cookie_nobody_asked_for_is_ignored() -> None:
    end = End("client")
    peer = client_peer(1, end=end)
    peer.connect()
    peer.send("S.", 0, 1, options=SYN_OPTIONS + filled_up(FastOpen(b"cookie")))
    assert answered(client_peer(2, end=end), b"", None) == FastOpen()


def test_a_client_keeps_a_bounded_number_of_cookies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xsocket.tcp.fastopen.MAX_COOKIES", 2)
    end = End("client")
    for host in (1, 2, 1, 3):  # the second is the one not used for longest
        peer = Peer(end, FourTuple("10.0.0.1", 1000 + len(end.actions), f"10.1.0.{host}", 80))
        answered(peer, b"", FastOpen(b"cookie"))
    counted = end.stack.statistics().fast_open
    assert (counted.cookies, counted.cookies_evicted) == (2, 1)
    for host, cookie in ((1, b"cookie"), (2, b"")):
        peer = Peer(end, FourTuple("10.0.0.1", 2000 + host, f"10.1.0.{host}", 80))
        peer.connect(b"")
        assert option_of(end.segments()[-1]) == FastOpen(cookie)


def test_a_black_hole_pauses_fast_open_longer_each_time() -> None:
    end = End("client", TcpConfig(fastopen_blackhole_timeout_s=100))
    answered(client_peer(1, end=end), b"", FastOpen(b"cookie"))
    swallowed = client_peer(2, end=end)
    swallowed.connect(b"hello")
    swallowed.advance(3.0)
    assert end.stack.statistics().fast_open.blackhole == 1
    for port, now, option in ((3, 102.9, None), (4, 103.0, FastOpen(b"cookie"))):
        peer = client_peer(port, end=end)
        peer.now = now
        peer.connect(b"hello")
        assert option_of(end.segments()[-1]) == option
        peer.abort()
    again = client_peer(5, end=end)
    again.now = 110.0
    again.connect(b"hello")
    again.advance(113.0)
    peer = client_peer(6, end=end)
    peer.now = 312.9
    peer.connect(b"hello")
    assert option_of(end.segments()[-1]) is None


def test_by_default_no_black_hole_pauses_it() -> None:
    end = End("client")
    peer = client_peer(1, end=end)
    peer.connect(b"hello")
    peer.advance(10.0)
    answered(client_peer(2, end=end), b"", None)
    assert end.stack.statistics().fast_open.blackhole == 0
