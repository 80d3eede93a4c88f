"""The urgent mechanism, RFC 9293 section 3.8.5: users are not told of it, and it does no harm."""

import pytest

from support.pair import CLIENT, SERVER, End, Pair
from support.peer import WITH_TCB, Peer
from xsocket.config import TcpConfig
from xsocket.segment import URG
from xsocket.state import State

POINTERS = [
    pytest.param(0, id="at the segment itself"),
    pytest.param(1, id="after its first octet"),
    pytest.param(6, id="at its end"),
    pytest.param(100, id="past its end"),
    pytest.param(65_535, id="as far as it goes"),
]


@pytest.mark.parametrize("urgent", POINTERS)
def test_the_text_is_complete_and_in_order_wherever_the_pointer_points(urgent: int) -> None:
    peer = Peer(End("end")).establish()
    peer.send("P.", 1, text=b"before ")
    pointing = peer.segment("PU.", 8, text=b"urgent")._replace(urgent=urgent)
    assert peer.deliver(pointing) == [". seq 1 ack 14"]
    assert peer.send("P.", 14, text=b" after") == [". seq 1 ack 20"]
    assert peer.read() == b"before urgent after"


@pytest.mark.parametrize("urgent", POINTERS)
def test_a_pointer_without_text_changes_nothing(urgent: int) -> None:
    peer = Peer(End("end")).establish()
    assert peer.deliver(peer.segment("U.")._replace(urgent=urgent)) == []
    assert peer.end.drops() == []
    assert peer.send("P.", text=b"text") == [". seq 1 ack 5"]
    assert peer.read() == b"text"


def test_a_pointer_that_recedes_or_comes_early_changes_nothing() -> None:
    peer = Peer(End("end")).establish()
    peer.deliver(peer.segment("U.", 11, text=b"2" * 10)._replace(urgent=50))
    peer.deliver(peer.segment("U.", 21, text=b"3" * 10)._replace(urgent=1))
    peer.deliver(peer.segment("U.", 1, text=b"1" * 10)._replace(urgent=500))
    assert peer.read() == b"1" * 10 + b"2" * 10 + b"3" * 10


def test_a_megabyte_of_urgent_text_is_text() -> None:
    """MUST-31: of any length."""
    peer = Peer(End("end")).establish()
    for seq in range(1, 1 << 20, 1 << 10):
        peer.deliver(peer.segment("U.", seq, text=bytes(1 << 10))._replace(urgent=65_535))
        assert peer.read() == bytes(1 << 10)


def test_urgent_text_against_a_closed_window_is_acknowledged_and_not_taken() -> None:
    """MUST-66, in so far as it asks for an answer."""
    peer = Peer(End("end", TcpConfig(rmem=256))).establish()
    peer.send("P.", text=bytes(256))
    pointing = peer.segment("PU.", 257, text=b"urgent")._replace(urgent=6)
    assert peer.deliver(pointing) == [". seq 1 ack 257"]
    assert peer.end.segments()[-1].window == 0
    assert peer.read() == bytes(256)


@pytest.mark.parametrize("state", WITH_TCB, ids=lambda state: state.value)
@pytest.mark.parametrize("letters", [".", "F.", "R", "S", "S."])
def test_an_urgent_segment_does_what_it_does_without_urgency(state: State, letters: str) -> None:
    plain, urgent = (Peer(End("end")).reach(state) for _ in range(2))
    answers = plain.send(letters)
    assert urgent.deliver(urgent.segment(f"{letters}U")._replace(urgent=3)) == answers
    assert urgent.state is plain.state
    assert urgent.end.drops() == plain.end.drops()


def test_no_segment_of_ours_is_urgent() -> None:
    """SHLD-13: no user of the engine can ask for it."""
    pair = Pair()
    pair.connect()
    pair.send(pair.client, CLIENT, bytes(10_000))
    pair.send(pair.server, SERVER, b"answer")
    pair.close(pair.client, CLIENT)
    pair.abort(pair.server, SERVER)
    assert pair.cable[-1][1].rst
    assert [segment for _, segment in pair.cable if segment.flags & URG or segment.urgent] == []
