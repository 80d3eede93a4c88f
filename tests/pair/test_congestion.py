"""How much goes at once, on whole connections: RFC 5681, 6582, 6675, 6928."""

import pytest

from support.pair import End
from support.peer import Peer
from xsocket.config import TcpConfig
from xsocket.seqnum import add
from xsocket.state import State
from xsocket.tcp.congestion import NewReno
from xsocket.tcp.options import for_segment, for_syn

MSS = 1460
PLAIN = TcpConfig(timestamps=False, sack=False)


def plain_peer(text: int = 0, config: TcpConfig = PLAIN) -> Peer:
    """Return a peer without SACK to which *text* segments were given."""
    peer = Peer(End("end", config)).establish()
    if text:
        peer.write(bytes(text * MSS))
    return peer


def sack_peer(text: int = 0) -> Peer:
    """Return a peer with SACK to which *text* segments were given."""
    peer = Peer(End("end", TcpConfig(timestamps=False)), options=for_syn(MSS, None, True, None)).establish()
    if text:
        peer.write(bytes(text * MSS))
    return peer


def holds(peer: Peer, first: int, last: int, ack: int = 0) -> list[str]:
    """Let *peer* say that it holds the segments *first* to *last*, from 0 on, and all before *ack*."""
    edges = [add(peer.irs, 1 + MSS * number) for number in (first, last + 1)]
    return peer.send(".", ack=1 + MSS * ack, options=for_segment(None, ((edges[0], edges[1]),)))


def segments(lines: list[str]) -> list[int]:
    """Return which segments of text these are, from 0 on."""
    return [(int(line.split()[2]) - 1) // MSS for line in lines if " len " in line]


def congestion(peer: Peer) -> NewReno:
    assert peer.tcb.congestion is not None
    return peer.tcb.congestion


# The window to begin with: RFC 6928 section 2


def test_ten_segments_go_at_once() -> None:
    assert segments(plain_peer().write(bytes(20 * MSS))) == list(range(10))


@pytest.mark.parametrize(("timeouts", "at_once"), [(0, 10), (1, 10), (2, 1), (3, 1)])
@pytest.mark.parametrize("passive", [False, True], ids=["SYN", "SYN+ACK"])
def test_more_than_one_lost_syn_leaves_one_segment(passive: bool, timeouts: int, at_once: int) -> None:
    """One may have been sent again too early, now that the first timeout is a second."""
    peer = Peer(End("end", TcpConfig.strict(timestamps=False, sack=False)))
    peer.reach(State.SYN_RECEIVED if passive else State.SYN_SENT)
    peer.advance((1 << timeouts) - 0.5)
    assert peer.tcb.retries == timeouts
    peer.send("." if passive else "S.", ack=1, options=peer.options)
    assert len(peer.write(bytes(20 * MSS))) == at_once


def test_the_acknowledgment_of_our_syn_does_not_widen_the_window() -> None:
    """RFC 5681 section 3.1."""
    peer = Peer(End("end", PLAIN))
    peer.send("S", 0, options=peer.options)
    peer.seq = peer.ack = 1
    peer.write(bytes(20 * MSS))
    peer.send(".")
    assert congestion(peer).cwnd == 10 * MSS


# Growth: RFC 5681 section 3.1


def test_small_acknowledgments_widen_the_window_by_what_they_acknowledge() -> None:
    """Or a peer that acknowledges each octet by itself would open it in no time."""
    peer = plain_peer(10)
    for octets in range(1, 11):
        peer.send(".", ack=1 + octets)
    assert congestion(peer).cwnd == 10 * MSS + 10


def test_beyond_the_threshold_a_window_of_text_widens_it_by_one_segment() -> None:
    peer = plain_peer(10)
    congestion(peer).ssthresh = 10 * MSS
    for number in range(1, 11):
        peer.send(".", ack=1 + number * MSS)
    assert 10.9 * MSS < congestion(peer).cwnd <= 11 * MSS


# Idle: RFC 5681 section 4.1


def grown(config: TcpConfig = PLAIN) -> Peer:
    """Return a peer that has acknowledged enough text to double the window."""
    peer = plain_peer(10, config)
    peer.send(".", ack=1 + 10 * MSS)
    assert congestion(peer).cwnd == 20 * MSS
    return peer


@pytest.mark.parametrize(("after", "at_once"), [(0.19, 20), (0.21, 10), (1000.0, 10)])
def test_after_a_timeout_without_text_the_window_is_the_initial_one(after: float, at_once: int) -> None:
    peer = grown()
    assert peer.tcb.rto_s == 0.2
    peer.now = after
    assert len(peer.write(bytes(30 * MSS))) == at_once


def test_what_the_peer_sends_does_not_count() -> None:
    peer = grown()
    peer.now = 5.0
    peer.send("P.", ack=1 + 10 * MSS, text=b"request")
    assert len(peer.write(bytes(30 * MSS))) == 10


def test_an_idle_connection_does_not_widen_its_window() -> None:
    peer = plain_peer(10)
    congestion(peer).lost(10 * MSS, peer.tcb.snd_nxt)
    peer.send(".", ack=1 + 10 * MSS)
    small = congestion(peer).cwnd
    assert small < 10 * MSS
    peer.now = 1000.0
    assert len(peer.write(bytes(30 * MSS))) == small // MSS


def test_the_restart_can_be_switched_off() -> None:
    peer = grown(TcpConfig(timestamps=False, sack=False, slow_start_after_idle=False))
    peer.now = 1000.0
    assert len(peer.write(bytes(30 * MSS))) == 20


# Loss without SACK: RFC 5681 section 3.2, RFC 6582


def test_what_limited_transmit_let_go_does_not_count_as_flight() -> None:
    peer = plain_peer(30)
    assert [segments(peer.send(".")) for _ in range(2)] == [[10], [11]]
    assert congestion(peer).cwnd == 10 * MSS, "limited transmit does not change it"
    assert segments(peer.send(".")) == [0]
    assert congestion(peer).ssthresh == 5 * MSS


def test_each_further_duplicate_lets_a_segment_go_when_half_have_left() -> None:
    peer = plain_peer(30)
    sent = [segments(peer.send(".")) for _ in range(9)]
    assert sent == [[10], [11], [0], [], [], [], [], [12], [13]], "12 were under way, 5 may be"


@pytest.mark.parametrize(
    ("ack", "text", "window"),
    [
        pytest.param(1, b"x", 65_535, id="with text"),
        pytest.param(1, b"", 65_000, id="with another window"),
        pytest.param(0, b"", 65_535, id="older"),
    ],
)
def test_what_is_no_duplicate(ack: int, text: bytes, window: int) -> None:
    """RFC 5681 section 2: the conditions, each broken by itself."""
    peer = plain_peer(10)
    peer.tcb.acked = 10_000  # an old acknowledgment is old, not forged
    for number in range(3):
        peer.send(
            ".", 1 + number * len(text), ack=ack, text=text, window=window - number * (window != 65_535)
        )
    assert congestion(peer).duplicates == 0
    assert congestion(peer).recover is None


def test_without_text_under_way_nothing_is_a_duplicate() -> None:
    peer = plain_peer(1)
    peer.send(".", ack=1 + MSS)
    for _ in range(5):
        peer.send(".", ack=1 + MSS)
    assert congestion(peer).duplicates == 0


def test_a_partial_acknowledgment_brings_the_next_missing_segment() -> None:
    """RFC 6582 section 3.2 step 3: one a round trip, and recovery goes on."""
    peer = plain_peer(10)
    for _ in range(3):
        peer.send(".")
    assert segments(peer.send(".", ack=1 + 4 * MSS)) == [4]
    assert segments(peer.send(".", ack=1 + 7 * MSS)) == [7]
    assert congestion(peer).recover is not None
    assert congestion(peer).ssthresh == 5 * MSS, "lowered once"
    peer.send(".", ack=1 + 10 * MSS)
    assert congestion(peer).recover is None
    assert 5 * MSS <= congestion(peer).cwnd <= 6 * MSS, "congestion avoidance goes on from there"


def test_a_timeout_leaves_half_and_sends_one() -> None:
    """RFC 5681 section 3.1; and slow start from there, up to the half."""
    peer = plain_peer(20)
    assert segments(peer.advance(0.2)) == [0]
    assert (congestion(peer).ssthresh, congestion(peer).cwnd) == (5 * MSS, MSS)
    assert segments(peer.send(".", ack=1 + MSS)) == [1, 2]
    assert segments(peer.send(".", ack=1 + 3 * MSS)) == [3, 4, 5, 6]
    assert congestion(peer).cwnd == 4 * MSS


def test_duplicates_that_a_timeout_brings_are_no_new_loss() -> None:
    """RFC 6582 section 3.2 step 2 and section 4, RFC 6675 section 5.1."""
    peer = plain_peer(10)
    peer.advance(0.2)
    lowered = congestion(peer).ssthresh
    peer.send(".", ack=1 + 2 * MSS)
    for _ in range(5):
        peer.send(".", ack=1 + 2 * MSS)
    assert congestion(peer).ssthresh == lowered
    assert congestion(peer).cwnd > MSS, "slow start goes on"


def test_a_retransmission_has_a_whole_timeout() -> None:
    """RFC 6298 section 5: never less than one timeout after the last transmission of that segment."""
    peer = plain_peer(10)
    peer.now = 0.19
    for _ in range(3):
        peer.send(".")
    assert peer.advance(0.38) == []
    assert segments(peer.advance(0.39)) == [0]


# Loss with SACK: RFC 6675, RFC 5681 section 4.3


def test_recovery_keeps_to_half_of_what_was_in_flight() -> None:
    """RFC 5681 section 4.3: in the round trip that follows the loss."""
    peer = sack_peer(60)
    sent = [segments(holds(peer, 1, newest)) for newest in range(1, 12)]
    assert sent[:3] == [[10], [11], [0]]
    assert sum(map(len, sent[2:])) == 5, "12 were in flight, two of them by limited transmit"
    assert peer.tcb.retransmission is not None
    assert peer.tcb.retransmission.pipe <= 5 * MSS


def test_however_much_was_lost_half_of_what_was_in_flight_goes_again() -> None:
    config = TcpConfig(timestamps=False, initial_cwnd=20)
    peer = Peer(End("end", config), options=for_syn(MSS, None, True, None)).establish()
    peer.write(bytes(20 * MSS))
    assert segments(holds(peer, 17, 19)) == list(range(10))


def test_a_retransmission_that_is_lost_lowers_the_window_again() -> None:
    peer = sack_peer(40)
    assert 0 in segments(holds(peer, 1, 9))
    first = congestion(peer).ssthresh
    assert first == 5 * MSS
    newest = int((peer.tcb.snd_nxt - peer.irs - 2) // MSS)
    assert newest >= 13, "new text went behind the retransmission"
    again = holds(peer, 1, newest)
    assert segments(again)[0] == 0
    assert congestion(peer).ssthresh == max(first // 2, 2 * MSS)


def test_new_text_that_is_lost_in_recovery_lowers_the_window_again() -> None:
    peer = sack_peer(40)
    holds(peer, 1, 9)
    newest = int((peer.tcb.snd_nxt - peer.irs - 2) // MSS)
    assert newest >= 13
    assert segments(holds(peer, 11, newest, ack=10))[0] == 10
    assert congestion(peer).ssthresh < 5 * MSS


def test_more_losses_of_the_same_window_lower_it_no_further() -> None:
    peer = sack_peer(10)
    assert segments(holds(peer, 3, 5)) == [0]
    assert segments(holds(peer, 7, 9))[0] == 1
    assert peer.tcb.retransmission is not None
    assert peer.tcb.retransmission.sacked == 6 * MSS
    assert congestion(peer).ssthresh == 5 * MSS


def test_a_duplicate_without_sack_news_sends_nothing_new() -> None:
    """RFC 5681 section 3.2 step 1, RFC 6675 section 8: a forged segment outside the window makes none."""
    peer = sack_peer(30)
    assert [segments(peer.send(".")) for _ in range(5)] == [[]] * 5
    assert congestion(peer).recover is None
    assert segments(holds(peer, 1, 1)) == [10]


def test_a_timeout_ends_recovery_and_begins_none_before_all_is_acknowledged() -> None:
    peer = sack_peer(30)
    holds(peer, 1, 3)
    peer.advance(peer.tcb.deadline)
    right = peer.tcb.snd_nxt
    assert (congestion(peer).cwnd, congestion(peer).recover) == (MSS, right)
    lowered = congestion(peer).ssthresh
    holds(peer, 6, 9, ack=4)
    assert congestion(peer).ssthresh == lowered
    assert congestion(peer).recover == right
    assert peer.state is State.ESTABLISHED


def test_a_peer_that_reneges_gets_everything_again() -> None:
    """RFC 2018 sections 5 and 8: it held what follows SND.UNA, and does not acknowledge it."""
    peer = sack_peer(5)
    holds(peer, 1, 2)
    peer.send(".", ack=1 + MSS)
    assert segments(peer.advance(peer.tcb.deadline)) == [1], "the left edge, whatever was said of it"
    sent = [segments(peer.send(".", ack=1 + number * MSS)) for number in (2, 3)]
    assert sent[0] == [2, 3]
    assert 4 in sent[1]


def test_blocks_of_a_peer_that_never_permitted_them_are_ignored() -> None:
    peer = plain_peer(10)
    before = peer.tcb.retransmission.pipe if peer.tcb.retransmission else 0
    holds(peer, 1, 9)
    assert peer.tcb.retransmission is not None
    assert (peer.tcb.retransmission.pipe, peer.tcb.retransmission.sacked) == (before, 0)


def test_after_a_timeout_what_the_peer_holds_is_not_sent_again() -> None:
    """RFC 6675 section 5.1: what it says after the timeout counts; so does what it said before."""
    peer = sack_peer(8)
    holds(peer, 2, 3)
    sent = segments(peer.advance(peer.tcb.deadline))
    sent += segments(holds(peer, 5, 5, ack=1))
    for ack in (2, 4, 5, 7):
        sent += segments(peer.send(".", ack=1 + ack * MSS))
    assert sent == [0, 1, 4, 6, 7]


def test_what_was_lost_goes_before_what_is_new() -> None:
    """RFC 6675 section 4, NextSeg: the lost first, in the order of their numbers, then new text."""
    peer = sack_peer(30)
    holds(peer, 4, 6)
    sent = segments(holds(peer, 4, 12))
    lost = [number for number in sent if number < 10]
    assert lost == sorted(lost)
    assert sent == sorted(sent)


def test_recovery_ends_when_all_is_acknowledged_that_was_in_flight() -> None:
    """RFC 6675 section 5, A; what is known of later text stays."""
    peer = sack_peer(30)
    holds(peer, 1, 9)
    recover = congestion(peer).recover
    assert recover == add(peer.irs, 1 + 10 * MSS)
    holds(peer, 11, 11, ack=9)
    assert congestion(peer).recover == recover
    holds(peer, 11, 11, ack=10)
    assert congestion(peer).recover is None
    assert peer.tcb.retransmission is not None
    assert peer.tcb.retransmission.sacked == MSS


def test_what_the_peer_holds_is_kept_until_it_is_acknowledged() -> None:
    """RFC 2018 section 5: it may still throw it away."""
    peer = sack_peer(5)
    holds(peer, 1, 4)
    assert peer.tcb.sending is not None
    assert len(peer.tcb.sending) == 5 * MSS
    peer.send(".", ack=1 + 5 * MSS)
    assert len(peer.tcb.sending) == 0
