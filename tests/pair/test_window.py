"""The window: RFC 9293 section 3.8.6. Its size, a peer that shrinks or shuts it, silly windows of our own."""

from itertools import pairwise

import pytest

from support.pair import End
from support.peer import Peer
from xsocket.config import TcpConfig
from xsocket.seqnum import add, distance
from xsocket.state import State, Timer
from xsocket.tcp.options import for_syn

PLAIN = TcpConfig(timestamps=False, sack=False)
AT_ONCE = TcpConfig(initial_cwnd=1000, timestamps=False)
"""The congestion window holds nothing back."""
FULL = 1460


def text_in(sent: list[str]) -> int:
    """Return how many octets of text the segments described have."""
    return sum(int(line.split(" len ")[1]) for line in sent if " len " in line)


# How large it is


def test_a_window_with_its_highest_bit_set_is_large() -> None:
    """MUST-1: unsigned."""
    peer = Peer(End("end", AT_ONCE)).establish(window=0xFFFF)
    most = 0xFFFF // FULL * FULL
    assert text_in(peer.write(bytes(100_000))) == most
    assert text_in(peer.send(".", 1, 1 + most, window=0xC000)) == 100_000 - most


def test_a_window_of_a_gigabyte_is_kept_whole() -> None:
    """REC-1: 32 bits."""
    peer = Peer(End("end", AT_ONCE), options=for_syn(FULL, 14, False, None)).establish(window=0xFFFF)
    assert peer.tcb.snd_wnd == 0xFFFF << 14
    assert text_in(peer.write(bytes(200_000))) == 200_000


def test_a_buffer_of_a_gigabyte_is_offered_whole() -> None:
    """REC-1: 32 bits."""
    peer = Peer(End("end", TcpConfig(rmem=1 << 30)), options=for_syn(FULL, 0, False, None)).establish()
    peer.send("P.", text=b"x")
    assert peer.tcb.rcv_wscale == 14
    assert peer.end.segments()[-1].window << 14 >= (1 << 30) - (1 << 14)


# A peer that shrinks it


def shrunk(window: int, octets: int = 3 * FULL, config: TcpConfig = PLAIN) -> Peer:
    """Return a peer that was sent *octets*, and then takes its right edge back to *window*."""
    peer = Peer(End("end", config)).establish()
    assert text_in(peer.write(bytes(octets))) == octets
    peer.send(".", 1, 1, window=window)
    return peer


@pytest.mark.parametrize("window", [1, 1000, 2 * FULL, 3 * FULL], ids=str)
def test_a_shrunken_window_holds_new_text_back(window: int) -> None:
    """MUST-34, SHLD-15: the usable window is negative, or nothing."""
    peer = shrunk(window)
    assert peer.write(bytes(FULL)) == []
    assert peer.close() == []


def test_what_a_shrunken_window_still_holds_is_sent_again_and_then_the_rest() -> None:
    """SHLD-16, MAY-7: the rest is beyond the right edge."""
    peer = shrunk(FULL)
    assert peer.advance(0.2) == [". seq 1 ack 1 len 1460"]
    assert peer.send(".", 1, 1461, window=FULL) == [
        ". seq 1461 ack 1 len 1460",
        "P. seq 2921 ack 1 len 1460",
    ]


def test_a_window_that_shrinks_to_nothing_is_probed() -> None:
    """MUST-35, SHLD-29, SHLD-30: after one timeout, and then ever less often."""
    peer = shrunk(0)
    assert peer.tcb.timer is Timer.PERSIST
    sent, times = [], []
    for _ in range(5):
        sent += peer.advance(peer.tcb.deadline)
        times.append(peer.now)
        peer.send(".", 1, 1, window=0)
    assert sent == [". seq 1 ack 1 len 1"] * 5
    assert times == pytest.approx([0.2, 0.6, 1.4, 3.0, 6.2])


def test_text_beyond_a_shrunken_window_does_not_end_the_connection() -> None:
    """SHLD-17: as long as the peer answers."""
    peer = shrunk(0, config=TcpConfig(timestamps=False, sack=False, retries2=3))
    for _ in range(50):
        peer.advance(peer.tcb.deadline)
        assert peer.send(".", 1, 1, window=0) == []
    assert peer.state is State.ESTABLISHED
    assert peer.send(".", 1, 1, window=0xFFFF) == [
        ". seq 1 ack 1 len 1460",
        ". seq 1461 ack 1 len 1460",
        "P. seq 2921 ack 1 len 1460",
    ]


# One that the peer shuts, and one that our user does not open


def test_a_window_that_was_shut_when_text_came_is_probed_with_new_text() -> None:
    """MUST-36."""
    peer = Peer(End("end", PLAIN)).establish(window=0)
    assert peer.write(b"hello") == []
    assert peer.advance(0.199) == []
    assert peer.advance(0.2) == [". seq 1 ack 1 len 1"]
    assert peer.send(".", 1, 2, window=100) == ["P. seq 2 ack 1 len 4"]


@pytest.mark.parametrize("days", [1, 365])
def test_our_window_may_stay_shut(days: int) -> None:
    """MAY-8: what the user does not read keeps it shut, and every probe is answered."""
    peer = Peer(End("end", TcpConfig(rmem=256))).establish()
    peer.send("P.", text=bytes(256))
    for hour in range(days):
        peer.advance(hour * 86_400.0)
        assert peer.send(".", 257, text=b"x") == [". seq 1 ack 257"]
        assert peer.end.segments()[-1].window == 0
    assert peer.state is State.ESTABLISHED


@pytest.mark.parametrize(
    ("seq", "state"),
    [
        pytest.param(257, State.CLOSED, id="at RCV.NXT"),
        pytest.param(256, State.ESTABLISHED, id="before it"),
        pytest.param(258, State.ESTABLISHED, id="behind it"),
    ],
)
def test_a_reset_is_judged_by_a_closed_window_too(seq: int, state: State) -> None:
    """MUST-66."""
    peer = Peer(End("end", TcpConfig(rmem=256))).establish()
    peer.send("P.", text=bytes(256))
    assert peer.tcb.rcv_wnd == 0
    peer.send("R", seq)
    assert peer.state is state


def test_an_acknowledgment_is_taken_by_a_closed_window_too() -> None:
    """RFC 9293 section 3.4: a closed window keeps out text, and nothing else."""
    peer = Peer(End("end", TcpConfig(rmem=256))).establish()
    peer.send("P.", text=bytes(256))
    peer.write(b"hello")
    peer.send(".", 257, 6)
    assert peer.tcb.flight == 0


# Silly windows of our own: section 3.8.6.2.2


def edges(peer: Peer) -> list[int]:
    """Return the right edges the engine has offered, each once, in order."""
    offers = [add(sent.acknowledgment, sent.window) for sent in peer.end.segments()]
    return list(dict.fromkeys(offers))


@pytest.mark.parametrize(
    ("rmem", "least"), [(10_000, FULL), (2_000, 1_000)], ids=["a segment", "half the buffer"]
)
@pytest.mark.parametrize("sip", [1, 100, 700], ids=str)
def test_a_user_who_reads_in_sips_opens_the_window_in_gulps(rmem: int, least: int, sip: int) -> None:
    """MUST-39."""
    peer = Peer(End("end", TcpConfig(rmem=rmem))).establish()
    seq = 1
    for _ in range(3):
        while room := distance(peer.tcb.rcv_nxt, peer.tcb.rcv_adv):
            text = bytes(min(room, FULL))
            peer.send(".", seq, text=text)
            seq += len(text)
        while peer.read(sip):
            pass
    assert len(edges(peer)) > 3
    assert min(distance(first, second) for first, second in pairwise(edges(peer))) >= least


def test_a_peer_who_sends_in_sips_is_given_room_in_gulps() -> None:
    """MUST-39."""
    peer = Peer(End("end", TcpConfig(rmem=10_000))).establish()
    for seq in range(1, 5000):
        peer.send(".", seq, text=b"x")
        peer.read()
    assert len(edges(peer)) == 1 + 5000 // FULL
    assert {distance(first, second) for first, second in pairwise(edges(peer))} == {FULL}
