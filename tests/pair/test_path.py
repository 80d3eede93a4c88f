"""What ICMP says of the path: errors judged (RFC 5927, RFC 9293 section 3.9.2.2), path MTU discovery."""

from collections.abc import Callable

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from support.peer import WITH_TCB, Peer
from xsocket.config import TcpConfig
from xsocket.errors import HostUnreachableError
from xsocket.fourtuple import FourTuple
from xsocket.patherror import PathError
from xsocket.reasons import DropReason
from xsocket.segment import FIN
from xsocket.seqnum import add
from xsocket.stack import MAX_PATHS
from xsocket.state import State
from xsocket.tcp.options import for_syn
from xsocket.tcp.tcb import snapshot

SIX = FourTuple("fd00::2", 80, "fd00::1", 40_000)
HARD = (ConnectionRefusedError, True)
SOFT = (HostUnreachableError, False)
OPENING = (State.SYN_SENT, State.SYN_RECEIVED)
IN_FLIGHT = (State.SYN_SENT, State.SYN_RECEIVED, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)


def tell(
    peer: Peer, meaning: tuple[type[OSError], bool], offset: int = 0, mtu: int | None = None
) -> list[str]:
    """Let the engine receive an error about the segment *offset* past the first in flight."""
    seq = add(peer.tcb.snd_una, offset)
    error = PathError(peer.four_tuple, seq, *meaning, mtu)
    return peer.did(peer.end.stack.receive_error(peer.now, error))


def too_big(peer: Peer, mtu: int, offset: int = 0) -> list[str]:
    return tell(peer, (OSError, False), offset, mtu)


# Errors, by state


@pytest.mark.parametrize("state", OPENING, ids=lambda state: state.value)
@pytest.mark.parametrize("meaning", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("strict", [False, True])
def test_errors_while_opening(state: State, meaning: tuple[type[OSError], bool], strict: bool) -> None:
    peer = Peer(End("end", TcpConfig(soft_errors_abort=not strict))).reach(state)
    assert tell(peer, meaning) == []
    if strict and meaning is SOFT:
        assert peer.state is state
        assert peer.end.drops() == [DropReason.ICMP_NOTED]
    else:
        assert peer.state is State.CLOSED
        assert peer.end.deleted() == [meaning[0]]
        assert peer.end.stack.statistics().half_open == 0


@pytest.mark.parametrize("meaning", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("state", IN_FLIGHT[2:], ids=lambda state: state.value)
def test_no_error_ends_a_synchronized_connection(state: State, meaning: tuple[type[OSError], bool]) -> None:
    """RFC 5927 section 5.2: hard errors are soft for a connection that has been established."""
    peer = Peer(End("end")).reach(state)
    assert tell(peer, meaning) == []
    assert peer.state is state
    assert peer.end.drops() == [DropReason.ICMP_NOTED]


@pytest.mark.parametrize("state", WITH_TCB, ids=lambda state: state.value)
@pytest.mark.parametrize("offset", [-1, 1, 100_000])
def test_an_error_about_what_is_not_in_flight_is_ignored(state: State, offset: int) -> None:
    """RFC 5927 section 4.1."""
    peer = Peer(End("end")).reach(state)
    assert tell(peer, HARD, offset) == []
    assert peer.state is state
    assert peer.end.drops()[-1] is DropReason.ICMP_NOT_IN_FLIGHT


def test_an_error_about_nobodys_connection_is_counted() -> None:
    end = End("end")
    end.perform(end.stack.receive_error(0.0, PathError(SERVER, 1, *HARD)))
    assert end.drops() == [DropReason.ICMP_NO_CONNECTION]


def test_what_was_noted_is_the_reason_in_the_end() -> None:
    peer = Peer(End("end", TcpConfig(retries2=2))).establish()
    peer.write(b"x")
    tell(peer, SOFT)
    peer.advance(1000)
    assert peer.end.deleted() == [HostUnreachableError]


def test_what_was_noted_can_be_seen_until_the_peer_is_heard() -> None:
    """SHLD-25; and as in Linux, a path that works again is not blamed for what happens later."""
    peer = Peer(End("end", TcpConfig(retries2=2))).establish()
    peer.write(b"x")
    assert snapshot(peer.tcb).soft_error is None
    tell(peer, SOFT)
    assert snapshot(peer.tcb).soft_error is HostUnreachableError
    peer.send(".", ack=2)
    assert snapshot(peer.tcb).soft_error is None
    peer.write(b"y")
    peer.advance(1000)
    assert peer.end.deleted() == [TimeoutError]


def test_an_error_concerns_its_own_connection() -> None:
    """MUST-54."""
    end = End("end")
    one, other = (Peer(end, SERVER._replace(remote_port=port)) for port in (1, 2))
    one.connect()
    other.connect()
    tell(one, HARD)
    assert (one.state, other.state) == (State.CLOSED, State.SYN_SENT)


# Path MTU: RFC 1191, RFC 8201


def with_text(octets: int, four_tuple: FourTuple = SERVER, config: TcpConfig | None = None) -> Peer:
    peer = Peer(End("end", config), four_tuple, options=for_syn(8000, None, True, None)).establish()
    peer.write(bytes(octets))
    return peer


def test_what_was_too_big_goes_again_in_smaller_segments() -> None:
    peer = with_text(2 * 1460)
    assert too_big(peer, 1000) == [
        ". seq 1 ack 1 len 960",
        ". seq 961 ack 1 len 500",
        ". seq 1461 ack 1 len 960",
        "P. seq 2421 ack 1 len 500",
    ]
    assert peer.tcb.snd_mss == 960
    cwnd = peer.tcb.congestion.cwnd if peer.tcb.congestion else 0
    assert cwnd == 10 * 960, "it was no congestion: as many segments as before, and no burst of small ones"


def test_timestamps_come_off_the_segment() -> None:
    peer = Peer(End("end"), options=for_syn(8000, None, True, (1, 0))).establish()
    peer.write(bytes(1448))
    too_big(peer, 1000)
    assert peer.tcb.snd_mss == 960 - 12


def test_later_text_is_cut_to_fit() -> None:
    peer = with_text(1460)
    too_big(peer, 1000)
    peer.send(".", ack=1461)
    assert peer.write(bytes(1000)) == [". seq 1461 ack 1 len 960", "P. seq 2421 ack 1 len 40"]


def test_a_fin_behind_text_that_was_too_big_goes_again() -> None:
    peer = with_text(1460)
    peer.close()
    too_big(peer, 1000)
    last = peer.end.segments()[-1]
    assert last.flags & FIN
    assert peer.tcb.flight == 1461


def test_text_that_the_peer_holds_is_not_cut() -> None:
    peer = with_text(3 * 1460)
    tcb = peer.tcb
    assert tcb.retransmission is not None
    tcb.retransmission.note_blocks([(add(tcb.iss, 1461), add(tcb.iss, 2921))])
    sent = too_big(peer, 1000)
    assert [line.split()[2] for line in sent] == ["1", "961", "2921", "3881"]


@pytest.mark.parametrize(
    ("four_tuple", "mtu", "reason"),
    [
        pytest.param(SERVER, 1500, DropReason.ICMP_MTU_NOT_SMALLER, id="as it was"),
        pytest.param(SERVER, 65_535, DropReason.ICMP_MTU_NOT_SMALLER, id="larger"),
        pytest.param(SIX, 1279, DropReason.ICMP_MTU_TOO_SMALL, id="less than IPv6 allows"),
    ],
)
def test_what_is_not_believed(four_tuple: FourTuple, mtu: int, reason: DropReason) -> None:
    peer = with_text(1000, four_tuple)
    before = peer.tcb.snd_mss
    assert too_big(peer, mtu) == []
    assert (peer.tcb.snd_mss, peer.end.drops()) == (before, [reason])


def test_ipv6_goes_down_to_1280() -> None:
    peer = with_text(1440, SIX)
    too_big(peer, 1280)
    assert peer.tcb.snd_mss == 1220


@pytest.mark.parametrize(("floor", "mss"), [(552, 512), (68, 48)])
def test_ipv4_goes_down_to_the_floor(floor: int, mss: int) -> None:
    peer = with_text(1460, config=TcpConfig(min_pmtu=floor))
    too_big(peer, 68)
    assert peer.tcb.snd_mss == mss


def test_a_blind_error_changes_no_mtu() -> None:
    peer = with_text(1460)
    assert too_big(peer, 600, offset=1460) == []
    assert peer.tcb.snd_mss == 1460


def test_the_path_is_remembered_for_the_next_connection() -> None:
    end = End("end")
    peer = Peer(end, options=for_syn(8000, None, False, None)).establish()
    peer.write(bytes(1460))
    too_big(peer, 1000)
    other = Peer(end, SERVER._replace(remote_port=41_000), options=peer.options).establish()
    assert other.tcb.snd_mss == 960
    assert other.tcb.rcv_mss == 1460, "the other direction may be wider"


def test_a_path_is_remembered_for_five_minutes_at_least() -> None:
    """RFC 8201 section 4, RFC 1191 section 6.3: no larger segment is tried before."""
    end = End("end")
    peer = Peer(end, options=for_syn(8000, None, False, None)).establish()
    peer.write(bytes(1460))
    too_big(peer, 1000)
    other = Peer(end, SERVER._replace(remote_port=41_000), options=peer.options)
    other.now = 599.0
    assert other.establish().tcb.snd_mss == 960
    peer.now = 7200.0
    assert peer.tcb.snd_mss == 960, "a connection that knows its path never tries"


def test_and_forgotten_after_ten_minutes() -> None:
    """RFC 8201 section 4: it may have become wider."""
    end = End("end")
    peer = Peer(end, options=for_syn(8000, None, False, None)).establish()
    peer.write(bytes(1460))
    too_big(peer, 1000)
    other = Peer(end, SERVER._replace(remote_port=41_000), options=peer.options)
    other.now = 600.0
    assert other.establish().tcb.snd_mss == 1460


def test_the_time_after_which_a_path_is_forgotten_can_be_set() -> None:
    end = End("end", TcpConfig(mtu_expires_s=86_400))
    peer = Peer(end, options=for_syn(8000, None, False, None)).establish()
    peer.write(bytes(1460))
    too_big(peer, 1000)
    other = Peer(end, SERVER._replace(remote_port=41_000), options=peer.options)
    other.now = 86_399.0
    assert other.establish().tcb.snd_mss == 960


def test_no_more_paths_are_remembered_than_there_is_room_for() -> None:
    end = End("end")
    for number in range(MAX_PATHS + 10):
        four_tuple = FourTuple("10.0.0.2", 80, f"10.1.{number >> 8}.{number & 255}", 40_000)
        peer = Peer(end, four_tuple).establish()
        peer.write(bytes(1000))
        too_big(peer, 1000)
    assert len(end.stack._paths) == MAX_PATHS


# Black holes: RFC 4821 section 7.7


def swallows(most: int) -> Callable[[int, object], bool]:
    return lambda _number, segment: len(segment.payload) > most  # type: ignore[attr-defined]


@pytest.mark.parametrize(("most", "mss"), [(1200, 1024), (600, 512), (100, 64)])
def test_a_path_that_swallows_large_segments_is_found_out(most: int, mss: int) -> None:
    pair = Pair(End("client", TcpConfig(mtu_probing=True, timestamps=False)), End("server"))
    pair.connect()
    pair.lose = swallows(most)
    pair.send(pair.client, CLIENT, bytes(20_000))
    pair.advance(200)
    assert pair.read(pair.server, SERVER) == bytes(20_000)
    assert pair.tcb(pair.client, CLIENT).snd_mss == mss


def test_no_ipv6_path_is_held_to_be_narrower_than_1280() -> None:
    six = SIX.reversed
    pair = Pair(End("client", TcpConfig(mtu_probing=True, timestamps=False)), End("server"))
    pair.connect(six)
    pair.lose = swallows(1300)
    pair.send(pair.client, six, bytes(20_000))
    pair.advance(200)
    assert pair.read(pair.server, SIX) == bytes(20_000)
    assert pair.tcb(pair.client, six).snd_mss == 1220
    pair.lose = swallows(0)
    pair.send(pair.client, six, bytes(20_000))
    pair.advance(500)
    assert pair.tcb(pair.client, six).snd_mss == 1220


def test_by_default_such_a_path_ends_the_connection() -> None:
    pair = Pair(End("client"), End("server"))
    pair.connect()
    pair.lose = swallows(1200)
    pair.send(pair.client, CLIENT, bytes(20_000))
    pair.advance(5000)
    assert pair.client.deleted() == [TimeoutError]
