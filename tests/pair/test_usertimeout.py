"""The user timeout option between two ends: RFC 5482."""

from dataclasses import replace
from typing import Any

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from support.peer import Peer
from xsocket.config import TcpConfig
from xsocket.segment import Segment
from xsocket.state import State, Timer
from xsocket.tcp.fastopen import cookie_for
from xsocket.tcp.keys import AoKey
from xsocket.tcp.options import (
    FastOpen,
    UserTimeout,
    encode,
    filled_up,
    for_segment,
    for_syn,
    user_timeout,
)
from xsocket.tcp.tcb import snapshot

IN_USE = TcpConfig(user_timeout_option=True)
TIMESTAMPS = for_syn(1460, None, True, (1000, 0))


def says(seconds: int) -> bytes:
    return encode([UserTimeout.of(seconds)])


def told(segments: list[Segment]) -> list[int | None]:
    """Return what each segment says of a user timeout, seconds."""
    found = [user_timeout(segment.options) for segment in segments]
    return [None if each is None else each.seconds for each in found]


def with_peers(seconds: int, config: TcpConfig = IN_USE) -> Peer:
    """Return an established peer whose SYN had the option."""
    options = for_syn(1460, None, False, None) + says(seconds)
    return Peer(End("end", config), options=options).establish()


def given_up_at(peer: Peer) -> float:
    """Let the engine's text go unacknowledged; return when it gives up."""
    begun = peer.now
    peer.write(b"x")
    while peer.state is State.ESTABLISHED:
        peer.advance(peer.tcb.deadline)
    assert peer.end.deleted() == [TimeoutError]
    return peer.now - begun


# What is sent


def test_it_is_off_by_default() -> None:
    """Section 3: ENABLED is false; what a peer says is ignored."""
    pair = Pair(End("client"), End("server", IN_USE))
    pair.connect()
    pair.send(pair.client, CLIENT, b"hello")
    assert told(pair.client.segments()) == [None] * len(pair.client.segments())
    assert pair.tcb(pair.client, CLIENT).user_timeout is None
    assert snapshot(pair.tcb(pair.client, CLIENT)).user_timeout is None
    assert with_peers(200, TcpConfig()).tcb.user_timeout_s == 0


def test_syn_and_syn_ack_have_it_and_the_first_segment_after_them() -> None:
    pair = Pair(
        End("client", replace(IN_USE, user_timeout_advertised_s=200)),
        End("server", replace(IN_USE, user_timeout_advertised_s=40_000)),
    )
    pair.connect()
    pair.send(pair.client, CLIENT, b"hello")
    pair.send(pair.server, SERVER, b"world")
    assert told(pair.client.segments()) == [200, 200, None, None]
    assert told(pair.server.segments()) == [40_020, 40_020, None]
    assert all(len(segment.options) % 4 == 0 for _, segment in pair.cable)


def test_what_is_sent_again_goes_without() -> None:
    """Section 4.1: a path that swallows unknown options must not swallow the connection."""
    pair = Pair(End("client", IN_USE), End("server", IN_USE))
    pair.lose = lambda _number, segment: user_timeout(segment.options) is not None
    pair.connect()
    pair.advance(10)
    pair.send(pair.client, CLIENT, b"hello")
    pair.advance(20)
    assert pair.read(pair.server, SERVER) == b"hello"


def test_another_timeout_is_told_with_the_next_segment() -> None:
    pair = Pair(End("client", IN_USE), End("server", IN_USE))
    pair.connect()
    pair.send(pair.client, CLIENT, b"1")
    tcb = pair.tcb(pair.client, CLIENT)
    rules = replace(tcb.config, user_timeout_advertised_s=500.0)
    pair.client.perform(pair.client.stack.configure(pair.now, tcb, rules))
    pair.send(pair.client, CLIENT, b"2")
    pair.send(pair.client, CLIENT, b"3")
    assert told(pair.client.segments())[-2:] == [500, None]
    assert pair.tcb(pair.server, SERVER).user_timeout_s == 500


def test_it_leaves_a_full_segment_alone() -> None:
    """The text would not fit the path any more; a shorter segment carries it."""
    peer = Peer(End("end", IN_USE), options=TIMESTAMPS).establish()
    peer.write(bytes(2 * 1448 + 100))
    assert told(peer.end.segments()) == [300, None, None, 300]
    assert max(len(segment.payload) + len(segment.options) for segment in peer.end.segments()) <= 1460


def test_it_waits_until_blocks_leave_room() -> None:
    peer = Peer(End("end", IN_USE), options=TIMESTAMPS).establish()
    for seq in (11, 31, 51):
        peer.send(".", seq, text=b"x", options=for_segment((1000, 0)))
    rules = replace(peer.tcb.config, user_timeout_advertised_s=500.0)
    peer.did(peer.end.stack.configure(peer.now, peer.tcb, rules))
    peer.send(".", 71, text=b"x", options=for_segment((1000, 0)))
    peer.send(".", 1, text=b"x" * 80, options=for_segment((1000, 0)))
    assert told(peer.end.segments()) == [300, 300, None, None, None, 500]
    assert all(len(segment.options) <= 40 for segment in peer.end.segments())


def test_it_fits_beside_a_signature_and_gives_way_to_a_cookie() -> None:
    keys = [AoKey(peer="0.0.0.0/0", send_id=1, recv_id=1, secret="secret")]
    pair = Pair(End("client", IN_USE, keys=keys), End("server", IN_USE, keys=keys))
    pair.connect()
    assert told([segment for _, segment in pair.cable]) == [300, 300, 300]
    assert [len(segment.options) for _, segment in pair.cable] == [40, 40, 12 + 4 + 16]
    peer = Peer(End("end", replace(IN_USE, fastopen=2, fastopen_qlen=1)))
    peer.end.stack.set_fastopen_keys(b"k" * 16)
    offered = filled_up(FastOpen(b"wrong cookie wit", experimental=True))
    peer.send("S", 0, options=for_syn(1460, 0, True, (1, 0)) + offered)
    (syn_ack,) = peer.end.segments()
    assert len(cookie_for(SERVER, b"k" * 16)) == 8
    assert len(syn_ack.options) == 20 + 12 + 4
    assert told([syn_ack]) == [300]


def test_after_a_syn_cookie_the_first_segment_tells_both_ends() -> None:
    """Section 3: nothing was kept of the SYN, and the cookie has no room for it."""
    pair = Pair(End("client", IN_USE), End("server", replace(IN_USE, syn_cookies="always")))
    pair.connect()
    assert pair.tcb(pair.server, SERVER).user_timeout_s == 300
    pair.send(pair.server, SERVER, b"hello")
    assert told(pair.server.segments()) == [None, 300]
    assert pair.tcb(pair.client, CLIENT).user_timeout_s == 300


# What it changes


def test_text_may_wait_as_long_as_the_longer_of_both_ends_says() -> None:
    """Section 3.1: until then it is sent again, however often that is."""
    assert given_up_at(with_peers(2000, replace(IN_USE, retries2=3))) == 2000


def test_short_timeouts_are_not_adopted() -> None:
    assert given_up_at(with_peers(5, replace(IN_USE, user_timeout_advertised_s=2))) >= 100


@pytest.mark.parametrize(
    ("rules", "seconds"),
    [
        pytest.param({"user_timeout_s": 10.0}, 10, id="its user has set one"),
        pytest.param({"user_timeout_changeable": False, "retries2": 4}, 6.2, id="not changeable"),
    ],
)
def test_what_the_user_wants_stands(rules: dict[str, Any], seconds: float) -> None:
    """Section 3.1: and the user is told of what the peer said."""
    peer = with_peers(2000, replace(IN_USE, **rules))
    info = snapshot(peer.tcb).user_timeout
    assert info is not None
    assert (info.remote_s, info.adopted_s) == (2000, None)
    assert given_up_at(peer) == pytest.approx(seconds)


def test_a_later_option_takes_the_place_of_the_first() -> None:
    peer = with_peers(2000)
    peer.send(".", options=says(400))
    assert peer.tcb.user_timeout_s == 400
    info = snapshot(peer.tcb).user_timeout
    assert info is not None
    assert info == (300, 400, 400)


@pytest.mark.parametrize("raw", [b"\x1c\x04\x00\x00", b"\x1c\x04\x80\x00"], ids=["seconds", "minutes"])
def test_a_timeout_of_zero_is_ignored(raw: bytes) -> None:
    """Section 3.4."""
    peer = with_peers(400)
    peer.send(".", options=raw)
    assert peer.tcb.user_timeout_s == 400


def test_what_is_not_acceptable_says_nothing() -> None:
    peer = with_peers(400)
    peer.send(".", 1 << 20, options=says(2000))
    peer.send(".", ack=9999, options=says(2000))
    peer.send("R", 100, options=says(2000))
    peer.send("S", 0, options=says(2000))
    assert peer.tcb.user_timeout_s == 400


def test_before_the_connection_is_synchronized_nothing_is_adopted() -> None:
    """Section 3.3."""
    options = for_syn(1460, None, False, None) + says(2000)
    peer = Peer(End("end", IN_USE), options=options).reach(State.SYN_RECEIVED)
    assert peer.tcb.user_timeout_s == 0
    peer.advance(1000)
    assert peer.state is State.CLOSED
    assert peer.now == 1000
    assert peer.end.sent() == ["S."] * 6


def test_probes_of_a_closed_window_end_with_it() -> None:
    peer = with_peers(400)
    peer.send(".", window=0)
    peer.write(b"x")
    assert peer.tcb.timer is Timer.PERSIST
    peer.advance(399)
    assert peer.state is State.ESTABLISHED
    peer.advance(400)
    assert peer.state is State.CLOSED


@pytest.mark.parametrize(("time_s", "first_probe"), [(60.0, 401.0), (1000.0, 1000.0)])
def test_keep_alive_begins_after_it(time_s: float, first_probe: float) -> None:
    """Section 4.2: keep-alive must not end what the user timeout would let live."""
    peer = with_peers(400, replace(IN_USE, keepalive=True, keepalive_time_s=time_s))
    assert peer.advance(first_probe - 0.1) == []
    assert peer.advance(first_probe) == [". seq 0 ack 1"]


@pytest.mark.parametrize("user_timeout_s", [0.1, 0.3, 0.7, 1.1])
def test_the_user_timeout_ends_at_its_instant_however_that_is_rounded(user_timeout_s: float) -> None:
    """Else the same segment goes again at that instant, for ever."""
    for number in range(200):
        peer = Peer(End("end", TcpConfig(user_timeout_s=user_timeout_s))).establish()
        peer.advance(number * 0.037)
        peer.write(b"text")
        sent = peer.advance(number * 0.037 + 10)
        assert len(sent) <= 4
        assert peer.state is State.CLOSED
