"""Tail loss probes: RFC 8985 section 7."""

from dataclasses import replace

import pytest

from support.pair import End
from support.peer import Peer
from xsocket.config import TcpConfig
from xsocket.segment import ECT_0, NOT_ECT
from xsocket.seqnum import add
from xsocket.state import State, Timer
from xsocket.tcp.congestion import NewReno
from xsocket.tcp.options import for_segment, for_syn
from xsocket.tcp.tcb import LEAST_PROBE_S

MSS = 1460
RTT = 0.05
RULES = TcpConfig(timestamps=False)
SACK = for_syn(MSS, None, True, None)


def sender(
    segments: int = 0, config: TcpConfig = RULES, *, rtt: float = RTT, options: bytes = SACK, flags: str = "S"
) -> Peer:
    """Return a peer at *rtt* seconds, established at virtual time *rtt*, to which *segments* were given."""
    peer = Peer(End("end", config), options=options)
    peer.send(flags, 0, options=options)
    peer.seq = peer.ack = 1
    peer.now = rtt
    peer.send(".")
    assert peer.state is State.ESTABLISHED
    if segments:
        peer.write(bytes(segments * MSS))
    return peer


def holds(peer: Peer, *blocks: tuple[int, int], ack: int) -> list[str]:
    """Let *peer* acknowledge *ack* segments, with *blocks* of whole segments, from 0 on."""
    first = add(peer.irs, 1)
    edges = tuple((add(first, MSS * left), add(first, MSS * right)) for left, right in blocks)
    return peer.send(".", ack=1 + MSS * ack, options=for_segment(None, edges))


def congestion(peer: Peer) -> NewReno:
    assert peer.tcb.congestion is not None
    return peer.tcb.congestion


def starts(lines: list[str]) -> list[int]:
    return [(int(line.split()[2]) - 1) // MSS for line in lines if " len " in line]


# When: section 7.2


def test_two_round_trips_after_the_last_text() -> None:
    peer = sender(3)
    assert (peer.tcb.timer, peer.tcb.deadline) == (Timer.LOSS_PROBE, pytest.approx(RTT + 2 * RTT))
    assert starts(peer.advance(3 * RTT - 0.001)) == []
    assert starts(peer.advance(3 * RTT + 0.001)) == [2]


def test_more_text_puts_it_off() -> None:
    peer = sender(3)
    peer.now = 0.1
    peer.write(bytes(MSS))
    assert peer.tcb.deadline == pytest.approx(0.1 + 2 * RTT)


def test_an_acknowledgment_of_new_text_puts_it_off() -> None:
    peer = sender(3)
    peer.now = 0.1
    holds(peer, ack=1)
    assert peer.tcb.round_trip is not None
    assert peer.tcb.deadline == pytest.approx(0.1 + 2 * peer.tcb.round_trip.srtt)
    assert peer.tcb.timer is Timer.LOSS_PROBE


def test_one_segment_may_be_acknowledged_late() -> None:
    """The peer may delay that, so the retransmission timeout would come first."""
    assert sender(1).tcb.timer is Timer.RETRANSMISSION


def test_of_one_segment_it_goes_where_the_timeout_is_longer() -> None:
    peer = sender(1, replace(RULES, min_rto_s=0.02), rtt=0.1)
    assert (peer.tcb.timer, peer.tcb.deadline) == (Timer.LOSS_PROBE, pytest.approx(0.1 + 0.2 + 0.02))


def test_text_that_follows_one_segment_brings_it_forward() -> None:
    peer = sender(1)
    peer.now = 0.06
    peer.write(bytes(MSS))
    assert (peer.tcb.timer, peer.tcb.deadline) == (Timer.LOSS_PROBE, pytest.approx(0.06 + 2 * RTT))


def test_text_does_not_put_off_a_timeout_that_comes_first() -> None:
    """RFC 6298 section 5.1."""
    peer = sender(1)
    due = peer.tcb.deadline
    peer.now = due - RTT
    peer.write(bytes(MSS))
    assert (peer.tcb.timer, peer.tcb.deadline) == (Timer.RETRANSMISSION, due)


def test_it_takes_its_time_on_the_shortest_paths() -> None:
    peer = sender(3, rtt=0.0001)
    assert peer.tcb.deadline == pytest.approx(0.0001 + LEAST_PROBE_S)


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (replace(RULES, loss_probe=False), SACK),
        (replace(RULES, sack=False), SACK),
        (RULES, for_syn(MSS, None, False, None)),
    ],
    ids=["switched off", "no SACK here", "no SACK there"],
)
def test_there_is_none(config: TcpConfig, options: bytes) -> None:
    assert sender(3, config, options=options).tcb.timer is Timer.RETRANSMISSION


def test_there_is_none_once_the_peer_holds_something() -> None:
    peer = sender(5)
    holds(peer, (2, 3), ack=1)
    assert peer.tcb.timer is Timer.RETRANSMISSION


def test_there_is_none_in_recovery() -> None:
    peer = sender(8)
    holds(peer, (1, 4), ack=0)
    assert congestion(peer).recover is not None
    holds(peer, ack=4)
    assert (congestion(peer).recover is not None, peer.tcb.timer) == (True, Timer.RETRANSMISSION)


def test_there_is_none_after_a_timeout() -> None:
    peer = sender(3)
    peer.advance(1.0)
    assert (peer.tcb.retries > 0, peer.tcb.timer) == (True, Timer.RETRANSMISSION)
    holds(peer, ack=1)
    assert peer.tcb.timer is Timer.RETRANSMISSION


# What: section 7.3


def test_new_text_goes_even_beyond_the_congestion_window() -> None:
    peer = sender(12)
    assert congestion(peer).cwnd == 10 * MSS
    assert starts(peer.advance(3 * RTT + 0.001)) == [10]


def test_or_else_the_last_segment_again() -> None:
    peer = sender(3)
    assert peer.advance(3 * RTT + 0.001) == [f"P. seq {1 + 2 * MSS} ack 1 len {MSS}"]


def test_the_last_segment_also_where_the_peers_window_is_full() -> None:
    peer = Peer(End("end", RULES), options=SACK)
    peer.send("S", 0, options=SACK, window=3 * MSS)
    peer.seq = peer.ack = 1
    peer.now = RTT
    peer.send(".", window=3 * MSS)
    peer.write(bytes(5 * MSS))
    assert starts(peer.advance(3 * RTT + 0.001)) == [2]


def test_a_fin_that_was_lost_goes_again() -> None:
    peer = sender(2)
    peer.close()
    assert peer.advance(peer.tcb.deadline) == [f"F. seq {1 + 2 * MSS} ack 1"]


def test_the_retransmission_timer_runs_behind_it() -> None:
    peer = sender(3)
    peer.advance(3 * RTT + 0.001)
    assert (peer.tcb.timer, peer.tcb.deadline) == (
        Timer.RETRANSMISSION,
        pytest.approx(3 * RTT + peer.tcb.rto_s),
    )
    assert starts(peer.advance(1.0))[0] == 0


def test_it_is_no_timeout() -> None:
    peer = sender(3)
    peer.advance(3 * RTT + 0.001)
    assert (congestion(peer).cwnd, peer.tcb.retries) == (10 * MSS, 0)


def test_there_is_one_at_a_time() -> None:
    peer = sender(12)
    peer.advance(3 * RTT + 0.001)
    peer.now += 0.01
    holds(peer, ack=3)
    assert peer.tcb.timer is Timer.RETRANSMISSION, "what it found is not known yet"


def test_another_needs_a_round_trip_measured_since() -> None:
    """Or probes would keep the estimate from growing with the path."""
    peer = sender(3)
    peer.advance(3 * RTT + 0.001)
    holds(peer, (2, 3), ack=3)
    peer.write(bytes(3 * MSS))
    assert peer.tcb.timer is Timer.RETRANSMISSION
    peer.now += RTT
    holds(peer, ack=6)
    peer.write(bytes(3 * MSS))
    assert peer.tcb.timer is Timer.LOSS_PROBE


def test_text_sent_again_is_not_ecn_capable() -> None:
    """RFC 3168 section 6.1.5."""
    peer = sender(3, replace(RULES, ecn=1), flags="SEW")
    assert peer.end.segments()[-1].ecn == ECT_0
    peer.advance(3 * RTT + 0.001)
    assert peer.end.segments()[-1].ecn == NOT_ECT


# What comes back: section 7.4


def test_a_lost_end_is_found_by_what_the_peer_holds() -> None:
    """Segments 2 and 3 of five got lost, and with them what could have told: the probe tells."""
    peer = sender(5)
    peer.now = 2 * RTT
    holds(peer, ack=2)
    probe = peer.advance(peer.tcb.deadline)
    assert starts(probe) == [4]
    peer.now += RTT
    lines = holds(peer, (4, 5), ack=2)
    assert starts(lines) == [2, 3]
    assert congestion(peer).recover is not None


def test_when_only_the_last_segment_got_lost_the_window_is_lowered_once() -> None:
    """The peer reports no duplicate, so that the first copy did not come through."""
    peer = sender(3)
    peer.advance(3 * RTT + 0.001)
    peer.now += RTT
    holds(peer, ack=3)
    assert congestion(peer).reductions == 0, "the copy may still come"
    peer.write(bytes(3 * MSS))
    peer.now += RTT
    holds(peer, ack=6)
    assert congestion(peer).reductions == 1
    peer.write(bytes(3 * MSS))
    peer.now += RTT
    holds(peer, ack=9)
    assert congestion(peer).reductions == 1


@pytest.mark.parametrize(
    "answers",
    [[((2, 3),)], [(), ()]],
    ids=["the peer reports a duplicate", "the peer repeats itself"],
)
def test_when_only_the_acknowledgment_got_lost_the_window_stays(
    answers: list[tuple[tuple[int, int], ...]],
) -> None:
    peer = sender(3)
    peer.advance(3 * RTT + 0.001)
    peer.now += RTT
    for blocks in answers:
        holds(peer, *blocks, ack=3)
    peer.write(bytes(3 * MSS))
    holds(peer, ack=6)
    assert congestion(peer).reductions == 0


def test_new_text_as_a_probe_shows_no_loss_by_itself() -> None:
    peer = sender(12)
    peer.advance(3 * RTT + 0.001)
    peer.now += RTT
    holds(peer, ack=11)
    holds(peer, ack=12)
    assert congestion(peer).reductions == 0


def test_a_probe_that_gets_lost_leaves_it_to_the_timeout() -> None:
    peer = sender(3)
    peer.advance(1.0)
    assert (peer.tcb.probed_to, peer.tcb.retries > 0) == (None, True)
    peer.now += RTT
    reductions = congestion(peer).reductions
    holds(peer, ack=3)
    peer.write(bytes(3 * MSS))
    holds(peer, ack=6)
    assert congestion(peer).reductions == reductions


def test_recovery_forgets_the_probe() -> None:
    """Section 7.1."""
    peer = sender(12)
    peer.advance(3 * RTT + 0.001)
    holds(peer, (1, 5), ack=0)
    assert (congestion(peer).recover is not None, peer.tcb.probed_to) == (True, None)
