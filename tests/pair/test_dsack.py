"""Duplicates: the receiver reports what came twice, and the sender is not misled (RFC 2883)."""

from dataclasses import replace

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from support.peer import Peer
from xsocket.config import TcpConfig
from xsocket.seqnum import add, distance
from xsocket.tcp.options import Sack, encode, for_syn, padded, parse

RULES = TcpConfig(timestamps=False)
SACK_OPTIONS = for_syn(1460, None, True, None)


def receiver(config: TcpConfig = RULES, options: bytes = SACK_OPTIONS) -> Peer:
    """Return a peer that has sent ten octets, which were acknowledged."""
    peer = Peer(End("server", config), options=options).establish()
    peer.send("P.", text=b"0123456789")
    return peer


def reported(peer: Peer) -> list[tuple[int, int]]:
    """Return the blocks of the last segment, relative to the peer's first number."""
    blocks = parse(peer.end.segments()[-1].options).sack
    return [(distance(peer.iss, left), distance(peer.iss, right)) for left, right in blocks]


def test_a_segment_that_comes_again_is_reported_first() -> None:
    peer = receiver()
    assert peer.send("P.", text=b"0123456789") == [". seq 1 ack 11"]
    assert reported(peer) == [(1, 11)]


def test_it_is_reported_once() -> None:
    peer = receiver()
    peer.send("P.", text=b"0123456789")
    peer.send("P.", seq=11, text=b"more")
    assert reported(peer) == []


def test_a_part_of_what_came_before_is_reported_as_what_it_is() -> None:
    peer = receiver()
    peer.send("P.", seq=3, text=b"234")
    assert reported(peer) == [(3, 6)]


def test_of_a_segment_with_new_text_the_old_is_reported() -> None:
    peer = receiver()
    peer.send("P.", seq=6, text=b"56789abcd")
    assert (reported(peer), peer.tcb.unread) == ([(6, 11)], 14)


def test_past_a_gap_the_stretch_that_holds_it_comes_second() -> None:
    peer = receiver()
    peer.send("P.", seq=31, text=b"x" * 10)
    peer.send("P.", seq=41, text=b"x" * 10)
    peer.send("P.", seq=71, text=b"x" * 10)
    peer.send("P.", seq=41, text=b"x" * 10)
    assert reported(peer) == [(41, 51), (31, 51), (71, 81)]


def test_past_a_gap_too_the_old_is_reported_of_a_segment_with_new_text() -> None:
    peer = receiver()
    peer.send("P.", seq=31, text=b"x" * 10)
    peer.send("P.", seq=36, text=b"x" * 10)
    assert reported(peer) == [(36, 41), (31, 46)]


def test_text_that_closes_a_gap_and_goes_on_over_what_was_held() -> None:
    peer = receiver()
    peer.send("P.", seq=21, text=b"x" * 10)
    peer.send("P.", seq=11, text=b"x" * 15)
    assert (reported(peer), peer.tcb.unread) == ([(21, 26)], 30)


def test_new_text_past_a_gap_is_no_duplicate() -> None:
    peer = receiver()
    peer.send("P.", seq=31, text=b"x" * 10)
    peer.send("P.", seq=41, text=b"x" * 10)
    assert reported(peer) == [(31, 51)]


@pytest.mark.parametrize(
    ("config", "options"),
    [(replace(RULES, sack=False), SACK_OPTIONS), (RULES, for_syn(1460, None, False, None))],
    ids=["ours", "the peer's"],
)
def test_without_sack_nothing_is_reported(config: TcpConfig, options: bytes) -> None:
    peer = receiver(config, options)
    peer.send("P.", text=b"0123456789")
    assert peer.end.segments()[-1].options == b""


def test_it_can_be_turned_off() -> None:
    peer = receiver(replace(RULES, dsack=False))
    peer.send("P.", text=b"0123456789")
    assert reported(peer) == []


def test_a_sender_is_not_misled_by_such_a_report() -> None:
    """The report of what was acknowledged long ago, or is held already, counts for nothing."""
    peer = Peer(End("client", RULES), options=SACK_OPTIONS).establish()
    peer.write(b"x" * 1460 * 5)
    queue = peer.tcb.retransmission
    assert queue is not None
    peer.send(".", ack=1461, options=blocks_of(peer, (1, 1461)))
    assert (queue.sacked, len(queue)) == (0, 4)
    held = (4381, 7301)
    peer.send(".", ack=1461, options=blocks_of(peer, (4381, 5841), held))
    assert queue.sacked == 2920
    peer.send(".", ack=1461, options=blocks_of(peer, (4381, 5841), held))
    assert queue.sacked == 2920


def blocks_of(peer: Peer, *blocks: tuple[int, int]) -> bytes:
    edges = tuple((add(peer.irs, left), add(peer.irs, right)) for left, right in blocks)
    return padded(encode([Sack(edges)]))


def test_two_stacks_go_on_when_everything_comes_twice() -> None:
    pair = Pair(End("client", RULES), End("server", RULES))
    pair.connect()
    pair.duplicate = lambda *_: True
    text = bytes(range(256)) * 400
    assert pair.send(pair.client, CLIENT, text) == len(text)
    assert pair.read(pair.server, SERVER) == text
    sent = sum(len(segment.payload) for segment in pair.client.segments())
    assert sent == len(text), "nothing was sent again"


@pytest.mark.parametrize("timestamps", [False, True])
def test_text_makes_room_for_what_came_past_a_gap(timestamps: bool) -> None:
    rules = TcpConfig(timestamps=timestamps)
    options = for_syn(1000, None, True, (1, 0) if timestamps else None)
    peer = Peer(End("server", rules), options=options).establish()
    peer.send("P.", seq=21, text=b"x" * 10)
    peer.end.perform(peer.end.stack.send(peer.now, peer.tcb, memoryview(bytes(3000)))[1])
    assert reported(peer) == [(21, 31)]
    sent = [segment for segment in peer.end.segments() if segment.payload]
    room = 1000 - 12 - (12 if timestamps else 0)
    assert [len(segment.payload) for segment in sent] == [room, room, room, 3000 - 3 * room]
    assert all(20 + len(each.options) + len(each.payload) <= 1020 for each in sent)
