"""A connection leaves the machine and comes back: what is taken along, and what it goes on with."""

from typing import Final

import pytest

from support.pair import End
from support.peer import Peer
from xsocket.actions import HandedOver, TakenBack
from xsocket.config import TcpConfig
from xsocket.handoff.image import Image, image_of
from xsocket.segment import ACK, FIN, PSH
from xsocket.seqnum import add
from xsocket.state import State
from xsocket.tcp.handover import Returned, end_of_text, first_unread
from xsocket.tcp.options import for_segment, for_syn, parse

MSS: Final = 1460


def established(config: TcpConfig | None = None, options: bytes | None = None, window: int = 65_535) -> Peer:
    return Peer(End("engine", config), options=options).establish(window)


def image(peer: Peer) -> Image:
    return image_of(peer.tcb, peer.now)


def text(count: int) -> bytes:
    return bytes(number & 255 for number in range(count))


def test_a_fresh_connection_has_its_numbers_and_nothing_else() -> None:
    peer = established()
    found = image(peer)
    assert (found.snd_una, found.rcv_nxt) == (add(peer.irs, 1), add(peer.iss, 1))
    assert (found.in_flight, found.unsent, found.unread, found.missed) == (b"", b"", b"", ())
    assert (found.snd_wnd, found.max_snd_wnd, found.mss) == (65_535, 65_535, MSS)
    assert (found.scales, found.sack, found.tsval) == (None, False, None)


def test_what_was_agreed_on_goes_along() -> None:
    peer = Peer(End("engine"), options=for_syn(MSS, 5, True, (77, 0)))
    peer.send("S", 0, options=peer.options)
    peer.seq = peer.ack = 1
    peer.now = 2.0
    peer.send(".", options=for_segment((78, 0)))
    found = image(peer)
    tcb = peer.tcb
    assert found.scales == (5, tcb.rcv_wscale)
    assert found.sack
    assert found.tsval == tcb.timestamp(2.0)
    assert found.mss == MSS  # 12 octets less in each segment, for the timestamps
    assert tcb.snd_mss == MSS - 12


def test_unread_text_ends_where_the_next_is_expected() -> None:
    peer = established()
    peer.send("P.", text=text(100))
    peer.read(30)
    found = image(peer)
    assert found.unread == text(100)[30:]
    assert found.rcv_nxt == add(peer.iss, 101)
    assert found.rcv_wnd == peer.tcb.rcv_wnd


def test_text_in_flight_is_told_from_text_never_sent() -> None:
    peer = established(window=3000)
    peer.write(text(10_000))
    peer.ack = 1001
    peer.send(".", window=2000)
    found = image(peer)
    assert found.snd_una == add(peer.irs, 1001)
    assert found.in_flight + found.unsent == text(10_000)[1000:]
    assert 1000 < len(found.in_flight) == peer.tcb.flight <= 2000
    assert found.snd_wnd == 2000
    assert found.max_snd_wnd == 3000


def test_a_fin_is_not_counted_and_comes_again() -> None:
    peer = established()
    peer.send("FP.", text=b"the end")
    found = image(peer)
    assert found.unread == b"the end"
    assert found.rcv_nxt == add(peer.iss, 8)
    (fin,) = found.missed
    assert (fin.seq, fin.flags & FIN, fin.payload) == (found.rcv_nxt, FIN, b"")
    assert fin.ack == found.snd_una


def test_text_past_a_gap_comes_again() -> None:
    peer = established()
    peer.send("P.", seq=101, text=b"second")
    peer.send("P.", seq=201, text=b"third")
    peer.send("F.", seq=206)
    found = image(peer)
    assert [(add(each.seq, -peer.iss), each.payload) for each in found.missed] == [
        (101, b"second"),
        (201, b"third"),
        (206, b""),
    ]
    assert [each.flags for each in found.missed] == [ACK | PSH, ACK | PSH, ACK | FIN]


def test_what_comes_again_echoes_our_timestamp() -> None:
    peer = Peer(End("engine"), options=for_syn(MSS, None, True, (77, 0)))
    peer.send("S", 0, options=peer.options)
    peer.seq = peer.ack = 1
    peer.send(".", options=for_segment((78, 0)))
    peer.send("F.", options=for_segment((79, 0)))
    (fin,) = image(peer).missed
    options = parse(fin.options)
    assert (options.ts_val, options.ts_ecr) == (79, peer.tcb.timestamp(peer.now))


# Leaving


def test_the_stack_lets_go_and_the_state_stays() -> None:
    peer = established()
    tcb, stack = peer.tcb, peer.end.stack
    actions = stack.hand_over(peer.now, tcb)
    assert HandedOver(peer.four_tuple) in actions
    assert peer.did(actions) == []
    assert (len(stack), tcb.state, tcb.due) == (0, State.ESTABLISHED, float("inf"))
    assert stack.statistics().half_open == 0


def test_an_acknowledgment_that_waits_goes_before() -> None:
    peer = established(TcpConfig(delayed_ack_s=0.04, quickacks=0))
    assert peer.send("P.", text=b"text") == []
    (sent,) = peer.did(peer.end.stack.hand_over(peer.now, peer.tcb))
    assert "ack 5" in sent


def test_no_timer_of_it_fires_any_more() -> None:
    peer = established()
    peer.write(b"text")
    peer.did(peer.end.stack.hand_over(peer.now, peer.tcb))
    assert peer.end.stack.timers_fired(1000.0) == []


# Coming back


def returned(peer: Peer, **changes: object) -> Returned:
    """Return what the other TCP says where nothing has happened, but for *changes*."""
    tcb = peer.tcb
    unread = b"" if tcb.receiving is None else tcb.receiving.peek(tcb.unread)
    numbers = (tcb.snd_una, tcb.snd_nxt, tcb.rcv_nxt, tcb.state is State.CLOSE_WAIT, unread)
    same = Returned(*numbers, tcb.snd_wnd, tcb.max_snd_wnd, tcb.snd_wl1, tcb.rcv_wnd, None)
    return same._replace(**changes)  # type: ignore[arg-type]


def there_and_back(peer: Peer, **changes: object) -> list[str]:
    tcb, back = peer.tcb, returned(peer, **changes)
    peer.did(peer.end.stack.hand_over(peer.now, tcb))
    actions = peer.end.stack.take_back(peer.now, tcb, back)
    assert TakenBack(peer.four_tuple) in actions
    return peer.did(actions)


def test_it_goes_on_where_it_was() -> None:
    peer = established()
    peer.send("P.", text=b"before")
    assert there_and_back(peer) == []
    peer.seq = 7
    peer.send("P.", text=b", after")
    assert peer.read() == b"before, after"
    assert peer.write(b"answer")


def test_timestamps_go_on_where_the_other_was() -> None:
    peer = Peer(End("engine"), options=for_syn(MSS, None, True, (77, 0)))
    peer.send("S", 0, options=peer.options)
    peer.seq = peer.ack = 1
    peer.send(".", options=for_segment((78, 0)))
    ahead = add(peer.tcb.timestamp(peer.now), 5)
    there_and_back(peer, tsval=ahead)
    assert peer.tcb.timestamp(peer.now) == ahead
    assert peer.tcb.timestamp(peer.now + 1.0) == add(ahead, 1000)


def test_what_came_meanwhile_is_there() -> None:
    peer = established()
    peer.send("P.", text=b"before")
    there_and_back(peer, unread=b"before, between", rcv_nxt=add(peer.iss, 16))
    assert (peer.read(), first_unread(peer.tcb)) == (b"before, between", add(peer.iss, 16))


def test_a_fin_that_came_meanwhile_is_the_end() -> None:
    peer = established()
    there_and_back(peer, unread=b"end", rcv_nxt=add(peer.iss, 5), finished=True)
    assert (peer.state, peer.read(), peer.tcb.peer_finished) == (State.CLOSE_WAIT, b"end", True)


def test_what_was_acknowledged_meanwhile_is_done() -> None:
    peer = established()
    peer.write(text(3000))
    there_and_back(peer, snd_una=add(peer.irs, 3001))
    assert (peer.tcb.flight, peer.tcb.acked) == (0, 3000)
    assert peer.tcb.due == float("inf")


def test_what_was_not_is_sent_again() -> None:
    peer = established()
    peer.write(text(3000))
    there_and_back(peer, snd_una=add(peer.irs, 1461))
    assert peer.tcb.flight == 1540
    (again, *_) = peer.advance(10.0)
    assert "seq 1461 " in again


def test_what_was_never_sent_goes_when_there_is_room() -> None:
    peer = established(window=1000)
    peer.write(text(3000))
    sent = there_and_back(peer, snd_una=add(peer.irs, 1001), snd_wnd=5000)
    assert any("seq 1001 " in each for each in sent)
    assert end_of_text(peer.tcb) == add(peer.irs, 3001)


@pytest.mark.parametrize("state", [State.ESTABLISHED, State.CLOSE_WAIT], ids=lambda state: state.value)
def test_the_next_to_be_read_and_written_is_known_in_either_state(state: State) -> None:
    peer = established()
    peer.send("P.", text=b"text")
    peer.seq = 5
    if state is State.CLOSE_WAIT:
        peer.send("F.")
    peer.read(1)
    peer.write(b"answer")
    assert first_unread(peer.tcb) == add(peer.iss, 2)
    assert end_of_text(peer.tcb) == add(peer.irs, 7)
