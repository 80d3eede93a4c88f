"""Segments the machine makes: numbers, flags, windows, options."""

import pytest

from support.pair import SERVER, End
from support.peer import Peer
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, FIN, PSH, RST, SYN, Segment
from xsocket.state import State
from xsocket.tcp import output
from xsocket.tcp.options import parse
from xsocket.tcp.tcb import Tcb

SIX = FourTuple("fd00::2", 80, "fd00::1", 40_000)


@pytest.mark.parametrize(
    ("segment", "reset"),
    [
        pytest.param(Segment(7, 9, ACK), Segment(9, 0, RST), id="with ACK"),
        pytest.param(Segment(7, 9, SYN | ACK), Segment(9, 0, RST), id="SYN ACK"),
        pytest.param(Segment(7, 9, SYN), Segment(0, 8, RST | ACK), id="SYN"),
        pytest.param(Segment(7, 9, 0), Segment(0, 7, RST | ACK), id="nothing"),
        pytest.param(
            Segment(7, 9, SYN | FIN, payload=b"abc"), Segment(0, 12, RST | ACK), id="SYN, FIN and text"
        ),
        pytest.param(Segment(2**32 - 1, 9, SYN), Segment(0, 0, RST | ACK), id="wrap"),
        pytest.param(Segment(7, 0, ACK), Segment(0, 0, RST), id="ACK of zero"),
    ],
)
def test_reset_for(segment: Segment, reset: Segment) -> None:
    """RFC 9293 section 3.5.2."""
    assert output.reset_for(segment) == reset


@pytest.mark.parametrize(
    ("rmem", "shift"),
    [(256, 0), (65_535, 0), (65_536, 1), (131_071, 1), (131_072, 2), (1 << 30, 14)],
    ids=str,
)
def test_window_shift(rmem: int, shift: int) -> None:
    assert output.window_shift(TcpConfig(rmem=rmem)) == shift
    assert rmem >> shift <= 65_535 or shift == 14


def test_window_shift_for_a_buffer_that_may_grow() -> None:
    assert output.window_shift(TcpConfig(rmem=65_535, rmem_max=33_554_432)) == 10
    assert output.window_shift(TcpConfig(rmem=131_072, rmem_max=65_535)) == 2


def test_a_syn() -> None:
    peer = Peer(End("end", TcpConfig(rmem=1000))).reach(State.SYN_SENT)
    (syn,) = peer.end.segments()
    assert (syn.flags, syn.seq, syn.acknowledgment, syn.window) == (SYN, peer.tcb.iss, 0, 1000)
    assert parse(syn.options)[:3] == (1460, 0, True)


@pytest.mark.parametrize(("four_tuple", "mss"), [(SERVER, 536), (SIX, 1220)], ids=["IPv4", "IPv6"])
def test_a_syn_says_the_mss_even_when_it_is_the_default(four_tuple: FourTuple, mss: int) -> None:
    """RFC 9293 section 3.7.1 (MAY-3)."""
    tcb = Tcb(four_tuple, TcpConfig(), iss=0, ts_offset=0, rcv_mss=mss, passive=False)
    assert parse(output.syn(tcb, 0.0, "why").segment.options).mss == mss
    assert parse(output.syn_ack(tcb, 0.0, "why").segment.options).mss == mss


def test_a_syn_ack_agrees_only_to_what_was_offered() -> None:
    peer = Peer(End("end"), options=b"").reach(State.SYN_RECEIVED)
    (syn_ack,) = peer.end.segments()
    assert (syn_ack.flags, syn_ack.acknowledgment) == (SYN | ACK, 1001)
    assert syn_ack.options == b"\x02\x04\x05\xb4"


def test_an_acknowledgment_has_the_next_number() -> None:
    peer = Peer(End("end")).reach(State.FIN_WAIT_1)
    send = output.ack(peer.tcb, 0.0, "why")
    assert (send.segment.seq, send.segment.flags, send.rule) == (peer.tcb.snd_nxt, ACK, "why")


def test_a_reset_of_our_own_has_the_next_number() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.write(b"hello")
    send = output.reset(peer.tcb, peer.now, "3.10.5")
    assert send.segment == Segment(peer.tcb.snd_nxt, peer.tcb.rcv_nxt, RST | ACK)
    assert send.four_tuple == SERVER


def test_text_and_fin_share_a_segment() -> None:
    peer = Peer(End("end")).establish(window=100)
    peer.write(b"x" * 150)
    assert peer.close() == []
    assert peer.send(".", 1, 101, window=100) == ["FP. seq 101 ack 1 len 50"]
    assert peer.end.segments()[-1].flags == FIN | PSH | ACK


def test_a_fin_needs_no_window() -> None:
    peer = Peer(End("end")).establish(window=0)
    assert peer.close() == ["F. seq 1 ack 1"]


def test_sending_acknowledges() -> None:
    peer = Peer(End("end")).reach(State.ESTABLISHED)
    peer.tcb.ack_due = "3.10.7.4 seventh"
    peer.write(b"x")
    assert peer.tcb.ack_due is None
