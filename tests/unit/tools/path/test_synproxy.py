"""A proxy that answers for the server, and splices the two connections into one."""

from collections.abc import Callable
from math import inf

import pytest

from support.paths import KEY, KEY_6, LEFT, RIGHT, held_by, key_of, left, right, segment, through
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, RST, SYN, Segment
from xsocket.seqnum import add
from xsocket.tcp.options import Parsed, for_segment, for_syn, parse
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.parcel import Parcel
from xsocket_tools.path.synproxy import SynProxy

OFFER = for_syn(1400, 3, True, (5, 6))
CLIENT_ISS, SERVER_ISS = 0xFFFF_FFFF, 5000  # the first octet of the client is number 0
CLIENT_SYN = segment("S", CLIENT_ISS, options=OFFER, window=64_000)
SERVER_OPTIONS = for_syn(1460, 9, True, None)
KEYS = pytest.mark.parametrize("key", [KEY, KEY_6], ids=["ipv4", "ipv6"])


def other(number: int) -> FourTuple:
    return FourTuple("10.0.0.1", 1000 + number, "10.0.0.2", 80)


def one(proxy: SynProxy, parcel: Parcel, now: float = 0.0) -> Parcel:
    (out,) = proxy.take(now, parcel)
    return out


def half_open(proxy: SynProxy, key: FourTuple = KEY, syn: Segment = CLIENT_SYN) -> int:
    """Let the client send its SYN and acknowledge the answer; return the number it got."""
    iss = held_by(one(proxy, right(syn, key))).seq
    one(proxy, right(segment(".", 0, add(iss, 1), window=500), key))
    return iss


def spliced(proxy: SynProxy, syn: Segment = CLIENT_SYN, options: bytes = SERVER_OPTIONS) -> int:
    """Open a connection through *proxy*; return the initial sequence number that the client got."""
    iss = half_open(proxy, syn=syn)
    proxy.take(0.0, left(segment("S.", SERVER_ISS, 0, options=options, window=40_000)))
    assert proxy.counts()["spliced"] == 1
    return iss


@KEYS
def test_it_answers_a_syn_itself_with_what_it_was_told_to_offer(key: FourTuple) -> None:
    proxy = SynProxy(seed=1, shift=5)
    answer = one(proxy, right(CLIENT_SYN, key))
    syn_ack = held_by(answer)
    assert (answer.towards, key_of(answer)) == (LEFT, key.reversed)
    assert (syn_ack.letters, syn_ack.ack, syn_ack.window) == ("S.", 0, 0)
    assert parse(syn_ack.options) == Parsed(1460 if key.family == 4 else 1440, 5, True)
    assert held_by(one(proxy, right(CLIENT_SYN, key))) == syn_ack  # sent again, answered again
    assert held_by(one(SynProxy(seed=1), right(CLIENT_SYN, key))).seq == syn_ack.seq
    assert held_by(one(SynProxy(seed=2), right(CLIENT_SYN, key))).seq != syn_ack.seq


def test_it_offers_nothing_that_the_client_did_not() -> None:
    plain = held_by(one(SynProxy(mss=1000), right(segment("S", 7))))
    assert parse(plain.options) == Parsed(mss=1000)


def test_the_server_hears_of_a_client_that_acknowledges() -> None:
    proxy = SynProxy()
    iss = held_by(one(proxy, right(CLIENT_SYN))).seq
    assert proxy.take(0.0, right(segment(".", 0, iss))) == ()  # not what it was told
    syn = one(proxy, right(segment(".", 0, add(iss, 1))))
    assert (syn.towards, key_of(syn)) == (RIGHT, KEY)
    held = held_by(syn)
    assert (held.flags, held.seq, held.window) == (SYN, CLIENT_ISS, 64_000)
    assert parse(held.options) == Parsed(1400, 3, True)
    assert proxy.counts()["ignored"] == 1


def test_both_hear_when_the_server_has_answered() -> None:
    proxy = SynProxy(shift=7)
    iss = half_open(proxy)
    syn_ack = left(segment("S.", SERVER_ISS, 0, options=SERVER_OPTIONS, window=40_000))
    to_server, to_client = proxy.take(0.0, syn_ack)
    assert (to_server.towards, held_by(to_server)) == (RIGHT, Segment(0, SERVER_ISS + 1, ACK, 500))
    assert (to_client.towards, held_by(to_client)) == (LEFT, Segment(add(iss, 1), 0, ACK, 40_000 >> 7))
    assert proxy.deadline == inf
    again = one(proxy, syn_ack)  # the third segment got lost
    assert (again.towards, held_by(again)) == (RIGHT, held_by(to_server))


def test_numbers_windows_and_blocks_are_translated() -> None:
    proxy = SynProxy(shift=7)
    iss = spliced(proxy)
    from_server = through(proxy, left(segment("P.", SERVER_ISS + 1, 9, payload=b"x", window=100)))
    assert (from_server.seq, from_server.ack) == (add(iss, 1), 9)
    assert from_server.window == 100 << 9 >> 7
    blocks = ((add(iss, 10), add(iss, 20)),)
    acknowledging = segment(".", 0, add(iss, 2), options=for_segment(None, blocks), window=33)
    from_client = through(proxy, right(acknowledging))
    assert (from_client.seq, from_client.ack, from_client.window) == (0, SERVER_ISS + 2, 33)
    assert parse(from_client.options).sack == ((SERVER_ISS + 10, SERVER_ISS + 20),)


def test_a_server_without_window_scale_gets_the_window_in_octets() -> None:
    proxy = SynProxy(shift=7)
    iss = spliced(proxy, options=b"")
    assert through(proxy, right(segment(".", 0, add(iss, 1), window=500))).window == 500 << 3
    assert through(proxy, right(segment(".", 0, add(iss, 1), window=60_000))).window == 65_535
    assert through(proxy, left(segment(".", SERVER_ISS + 1, 0, window=40_000))).window == 40_000 >> 7
    assert through(proxy, left(segment(".", SERVER_ISS + 1, 0, window=5))).window == 1
    assert through(proxy, left(segment(".", SERVER_ISS + 1, 0, window=0))).window == 0


def test_a_client_without_window_scale_is_given_none() -> None:
    proxy = SynProxy(shift=7)
    spliced(proxy, syn=CLIENT_SYN._replace(options=b""), options=b"")
    assert through(proxy, left(segment(".", SERVER_ISS + 1, 0, window=40_000))).window == 40_000


def test_a_server_that_refuses_resets_the_client() -> None:
    proxy = SynProxy()
    iss = half_open(proxy)
    reset = one(proxy, left(segment("R.", 0, 0)))
    assert (reset.towards, held_by(reset)) == (LEFT, Segment(add(iss, 1), 0, RST | ACK))
    assert (proxy.counts()["failed"], proxy.deadline) == (1, inf)


def test_a_server_that_is_silent_gets_the_syn_again_and_then_the_client_a_reset() -> None:
    proxy = SynProxy()
    half_open(proxy)
    times, out = [], []
    while proxy.deadline < inf:
        times.append(proxy.deadline)
        out += proxy.wake(times[-1])
    assert times == [1.0, 3.0, 7.0, 15.0, 31.0]
    assert [held_by(each).letters for each in out] == ["S", "S", "S", "S", "R."]
    assert proxy.counts()["failed"] == 1


def test_a_client_that_gives_up_is_forgotten() -> None:
    proxy = SynProxy()
    iss = held_by(one(proxy, right(CLIENT_SYN))).seq
    assert proxy.take(0.0, right(segment("R", 0))) == ()
    assert proxy.counts()["pending entries"] == 0
    half_open(proxy)
    reset = one(proxy, right(segment("R.", 0, add(iss, 1))))
    assert reset.towards is RIGHT  # the server may have answered meanwhile
    assert proxy.deadline == inf


def test_a_reset_ends_what_was_spliced() -> None:
    proxy = SynProxy()
    iss = spliced(proxy)
    assert through(proxy, left(segment("R", SERVER_ISS + 1))).seq == add(iss, 1)
    assert proxy.counts()["entries"] == 0


def test_a_client_may_use_its_port_again() -> None:
    proxy = SynProxy()
    spliced(proxy)
    answer = one(proxy, right(CLIENT_SYN._replace(seq=77)))
    assert (held_by(answer).letters, held_by(answer).ack) == ("S.", 78)


def test_syns_the_other_way_pass() -> None:
    assert through(SynProxy(), left(CLIENT_SYN)) == CLIENT_SYN
    assert through(SynProxy(), right(segment("S.", 1, 2))) == segment("S.", 1, 2)
    assert held_by(one(SynProxy(towards=LEFT), left(CLIENT_SYN))).letters == "S."


def test_a_flood_pushes_out_handshakes_and_not_connections() -> None:
    proxy = SynProxy(pending=10)
    iss = spliced(proxy)
    half_open(proxy, other(0))
    for number in range(1, 100):
        one(proxy, right(CLIENT_SYN, other(number)))
    counts = proxy.counts()
    assert (counts["pending entries"], counts["pending evicted"], counts["entries"]) == (10, 90, 1)
    assert proxy.deadline == inf  # the handshake that had a timer is gone
    assert through(proxy, right(segment(".", 0, add(iss, 1)))).ack == SERVER_ISS + 1


def test_one_connection_too_many_is_reset_at_both_ends() -> None:
    proxy = SynProxy(limit=1)
    spliced(proxy)
    iss = half_open(proxy, other(1))
    syn_ack = left(segment("S.", SERVER_ISS, 0, options=SERVER_OPTIONS), other(1))
    to_client, to_server = proxy.take(0.0, syn_ack)
    assert held_by(to_client) == Segment(add(iss, 1), 0, RST | ACK)
    assert held_by(to_server) == Segment(0, 0, RST)
    assert proxy.counts()["refused"] == 1


@pytest.mark.parametrize("make", [lambda: SynProxy(shift=15), lambda: SynProxy(mss=0)])
def test_values_out_of_range_are_refused(make: Callable[[], SynProxy]) -> None:
    with pytest.raises(BadElementError):
        make()
