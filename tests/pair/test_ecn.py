"""Explicit congestion notification: agreed on, marked, reported, heeded (RFC 3168, RFC 9768)."""

from dataclasses import replace
from typing import Final

import pytest

from support.pair import CLIENT, MSS, SERVER, End, Pair
from support.peer import Peer
from xsocket.config import TcpConfig
from xsocket.segment import CE, ECT_0, ECT_1, NOT_ECT, SYN, Segment
from xsocket.seqnum import add
from xsocket.state import State
from xsocket.tcp.ecn import Ecn
from xsocket.tcp.options import AccEcn, for_segment, for_syn, parse
from xsocket.tcp.tcb import snapshot

CLASSIC: Final = TcpConfig(ecn=1, quickacks=0, timestamps=False)
ACCURATE: Final = TcpConfig(ecn=3, quickacks=0, timestamps=False)
FULL: Final = b"x" * MSS[4]
PLAIN: Final = for_syn(MSS[4], None, False, None)


def server(config: TcpConfig, syn: str = "SEW", ecn: int = NOT_ECT) -> Peer:
    """Return a peer whose SYN was answered."""
    peer = Peer(End("server", config))
    peer.send(syn, 0, options=PLAIN, ecn=ecn)
    peer.seq = peer.ack = 1
    return peer


def established(config: TcpConfig, syn: str = "SEW", third: str = ".") -> Peer:
    peer = server(config, syn)
    peer.send(third)
    return peer


def client(config: TcpConfig, syn_ack: str, ecn: int = NOT_ECT) -> Peer:
    """Return a peer that has answered the engine's SYN."""
    peer = Peer(End("client", config))
    peer.connect()
    peer.send(syn_ack, 0, 1, options=PLAIN, ecn=ecn)
    peer.seq = peer.ack = 1
    return peer


def last(peer: Peer) -> Segment:
    return peer.end.segments()[-1]


def ace(segment: Segment) -> int:
    return segment.flags >> 6 & 7


def agreed(peer: Peer) -> Ecn:
    ecn = peer.tcb.ecn
    assert ecn is not None
    return ecn


both_kinds = pytest.mark.parametrize(
    ("config", "syn"), [(CLASSIC, "SEW"), (ACCURATE, "SEWA")], ids=["classic", "accurate"]
)


# What is agreed on


SYN_LETTERS: Final = {0: "S", 1: "SEW", 2: "S", 3: "SEWA", 4: "SEW", 5: "S"}


@pytest.mark.parametrize("mode", SYN_LETTERS)
def test_a_syn_asks_for_what_the_rule_says(mode: int) -> None:
    peer = Peer(End("client", TcpConfig(ecn=mode)))
    peer.connect()
    assert (last(peer).letters, last(peer).ecn) == (SYN_LETTERS[mode], NOT_ECT)


AGREEMENTS: Final = [
    # mode of the client, mode of the server, SYN+ACK, whether accurate; None for no ECN
    (0, 3, "S.", None),
    (1, 0, "S.", None),
    (1, 1, "SE.", False),
    (1, 2, "SE.", False),
    (1, 3, "SE.", False),
    (1, 5, "SE.", False),
    (2, 1, "S.", None),
    (3, 0, "S.", None),
    (3, 1, "SE.", False),
    (3, 2, "SE.", False),
    (3, 3, "SW.", True),
    (3, 4, "SW.", True),
    (3, 5, "SW.", True),
    (4, 4, "SE.", False),
    (5, 5, "S.", None),
]


@pytest.mark.parametrize(("ours", "theirs", "syn_ack", "accurate"), AGREEMENTS)
def test_two_ends_agree_on_the_best_that_both_have(
    ours: int, theirs: int, syn_ack: str, accurate: bool | None
) -> None:
    pair = Pair(End("client", TcpConfig(ecn=ours)), End("server", TcpConfig(ecn=theirs)))
    pair.connect()
    assert pair.server.sent()[0] == syn_ack
    for end, name in ((pair.client, CLIENT), (pair.server, SERVER)):
        info = snapshot(pair.tcb(end, name)).ecn
        assert (None if info is None else info.accurate) is accurate
        assert info is None or info.sends_ect


@pytest.mark.parametrize("syn", ["S", "SE", "SW", "SA"])
def test_a_syn_that_does_not_ask_as_rfc_3168_has_it_gets_no_ecn(syn: str) -> None:
    peer = server(CLASSIC, syn)
    assert (last(peer).letters, peer.tcb.ecn) == ("S.", None)


@pytest.mark.parametrize("syn", ["SE", "SW", "SA", "SEA", "SWA", "SEWA"])
def test_a_syn_with_any_other_flags_asks_for_accurate_feedback(syn: str) -> None:
    """RFC 9768 section 3.1.3: later protocols can rely on it."""
    peer = server(ACCURATE, syn)
    assert (last(peer).letters, agreed(peer).accurate) == ("SW.", True)


def test_a_syn_that_comes_as_ecn_capable_was_mangled() -> None:
    peer = server(CLASSIC, "SEW", ECT_0)
    assert (last(peer).letters, peer.tcb.ecn) == ("S.", None)


@pytest.mark.parametrize(
    ("syn_ack", "accurate"),
    [
        ("S.", None),
        ("SE.", False),
        ("SW.", True),
        ("SEW.", True),
        ("SA.", True),
        ("SWA.", True),
        ("SEA.", True),
        ("SEWA.", None),
    ],
)
def test_what_a_syn_ack_says_to_a_client_that_asked_for_accurate_feedback(
    syn_ack: str, accurate: bool | None
) -> None:
    """RFC 9768 table 2; the last is of a server that reflects what it does not know."""
    ecn = client(ACCURATE, syn_ack).tcb.ecn
    assert (None if ecn is None else ecn.accurate) is accurate


@pytest.mark.parametrize(
    ("syn_ack", "has_ecn"), [("S.", False), ("SE.", True), ("SEA.", True), ("SEW.", False)]
)
def test_what_a_syn_ack_says_to_a_client_that_asked_as_in_rfc_3168(syn_ack: str, has_ecn: bool) -> None:
    ecn = client(CLASSIC, syn_ack).tcb.ecn
    assert (ecn is not None) is has_ecn
    assert ecn is None or not ecn.accurate


def test_a_syn_ack_agrees_to_nothing_that_was_not_asked_for() -> None:
    assert client(TcpConfig(ecn=2), "SE.").tcb.ecn is None


# Paths that swallow what asks


def syns_sent(config: TcpConfig) -> list[str]:
    peer = Peer(End("client", config))
    peer.connect()
    peer.advance(2.5)
    return peer.end.sent()


def test_a_syn_without_an_answer_asks_once_by_rfc_3168_and_twice_by_rfc_9768() -> None:
    assert syns_sent(CLASSIC) == ["SEW", "S", "S"]
    assert syns_sent(ACCURATE) == ["SEWA", "SEWA", "S"]


def test_a_syn_asks_each_time_where_nothing_falls_back() -> None:
    assert syns_sent(TcpConfig(ecn=1, ecn_fallback=False)) == ["SEW"] * 3
    assert syns_sent(TcpConfig(ecn=3, ecn_fallback=False)) == ["SEWA"] * 3


def test_after_a_syn_that_did_not_ask_nothing_goes_as_ecn_capable_by_rfc_3168() -> None:
    """The late answer to the first SYN: the server may have heard the second since (section 6.1.1)."""
    peer = Peer(End("client", CLASSIC))
    peer.connect()
    peer.advance(1.5)
    peer.send("SE.", 0, 1, options=PLAIN)
    peer.seq = peer.ack = 1
    peer.write(b"hello")
    assert last(peer).ecn == NOT_ECT
    peer.send("P.", ack=6, text=b"marked", ecn=CE)
    assert last(peer).letters == "E."


def test_a_client_with_accurate_feedback_may_send_ect_after_a_syn_that_did_not_ask() -> None:
    """RFC 9768 section 3.1.4.1: that it was confirmed shows that the server has it."""
    peer = Peer(End("client", ACCURATE))
    peer.connect()
    peer.advance(2.5)
    peer.send("SW.", 0, 1, options=PLAIN)
    peer.seq = peer.ack = 1
    peer.write(b"hello")
    assert last(peer).ecn == ECT_0


@both_kinds
def test_a_server_that_hears_a_syn_without_flags_after_one_with_them_sends_no_ect(
    config: TcpConfig, syn: str
) -> None:
    peer = server(config, syn)
    mode = agreed(peer).accurate
    assert peer.send("S", 0, options=PLAIN) != []
    assert last(peer).flags & SYN
    peer.send("." if config is CLASSIC else "W.")
    peer.write(b"hello")
    assert (agreed(peer).accurate, last(peer).ecn) == (mode, NOT_ECT)


def test_a_syn_ack_that_gets_no_answer_loses_its_option_then_its_flags() -> None:
    """RFC 9768 section 3.2.3.2.2; from then on no packet of ours may be marked (section 3.1.5)."""
    peer = server(ACCURATE, "SEWA")
    peer.advance(3.5)
    syn_acks = peer.end.segments()
    assert [segment.letters for segment in syn_acks] == ["SW.", "SW.", "S."]
    assert [parse(segment.options).acc_ecn is not None for segment in syn_acks] == [True, False, False]
    peer.send("W.")
    peer.write(b"hello")
    assert (agreed(peer).accurate, last(peer).ecn) == (True, NOT_ECT)


def test_a_syn_ack_of_rfc_3168_keeps_its_flag() -> None:
    peer = server(CLASSIC)
    peer.advance(3.5)
    assert peer.end.sent() == ["SE."] * 3


@pytest.mark.parametrize(("first", "second"), [("SEW", "SEWA"), ("SEWA", "SEW")])
def test_a_handshake_that_asks_for_both_kinds_of_feedback_is_reset(first: str, second: str) -> None:
    """RFC 9768 section 3.1.5: neither end could know what the other is going to do."""
    peer = server(ACCURATE, first)
    assert peer.send(second, 0, options=PLAIN) == ["R. seq 1 ack 1"] or last(peer).rst
    assert (peer.state, peer.end.deleted()) == (State.CLOSED, [ConnectionAbortedError])


def test_a_server_without_accurate_feedback_does_not_care_which_kind_is_asked_for() -> None:
    peer = server(CLASSIC, "SEW")
    peer.send("SEWA", 0, options=PLAIN)
    assert (last(peer).letters, peer.state) == ("SE.", State.SYN_RECEIVED)


# Two SYNs that cross


def crossed(ours: int, theirs: int) -> Pair:
    pair = Pair(End("client", TcpConfig(ecn=ours)), End("server", TcpConfig(ecn=theirs)))
    pair.connect_both()
    assert pair.tcb(pair.client, CLIENT).state is State.ESTABLISHED
    return pair


@pytest.mark.parametrize("mode", [1, 3], ids=["classic", "accurate"])
def test_two_ends_whose_syns_cross_both_do_as_servers_would(mode: int) -> None:
    pair = crossed(mode, mode)
    for end, name in ((pair.client, CLIENT), (pair.server, SERVER)):
        info = snapshot(pair.tcb(end, name)).ecn
        assert info is not None
        assert (info.accurate, info.sends_ect) == (mode == 3, True)


def test_crossing_syns_say_nothing_of_the_initial_window() -> None:
    pair = crossed(3, 3)
    pair.lose = lambda *_: True
    pair.send(pair.client, CLIENT, FULL * 20)
    assert sum(1 for segment in pair.client.segments() if segment.payload) == 10


@pytest.mark.parametrize(("ours", "theirs"), [(1, 2), (3, 5)], ids=["classic", "accurate"])
def test_an_end_whose_syn_did_not_ask_sends_no_ect_after_crossing(ours: int, theirs: int) -> None:
    """The other end saw a SYN that does not ask, and reports nothing."""
    pair = crossed(ours, theirs)
    assert pair.tcb(pair.client, CLIENT).ecn is None
    pair.send(pair.server, SERVER, b"hello")
    assert pair.server.segments()[-1].payload == b"hello"
    assert pair.server.segments()[-1].ecn == NOT_ECT


# What may be marked


def marks_of(peer: Peer) -> list[tuple[str, int]]:
    return [(segment.letters, segment.ecn) for segment in peer.end.segments()]


@both_kinds
def test_text_goes_as_ecn_capable_and_nothing_else_does(config: TcpConfig, syn: str) -> None:
    """RFC 3168 sections 6.1.1 and 6.1.4 to 6.1.6: no SYN, bare ACK, retransmission, probe or FIN does."""
    peer = established(config, syn, "." if config is CLASSIC else "W.")
    peer.write(b"one")
    peer.advance(1.5)
    peer.send("P.", ack=4, text=b"two", window=0)
    peer.seq = 4
    peer.advance(2.0)
    peer.ack = 4
    peer.write(b"three")
    peer.advance(4.0)
    peer.send(".", ack=5)
    peer.send(".", ack=9)
    peer.close()
    kinds = [(segment.payload, segment.fin, segment.ecn) for segment in peer.end.segments()]
    assert kinds[0] == (b"", False, NOT_ECT)  # SYN+ACK
    assert kinds[1] == (b"one", False, ECT_0)
    assert set(kinds[2:]) == {
        (b"one", False, NOT_ECT),  # again
        (b"", False, NOT_ECT),  # acknowledgments
        (b"t", False, NOT_ECT),  # the probe
        (b"hree", False, ECT_0),
        (b"", True, NOT_ECT),
    }


def test_a_reset_goes_as_not_ecn_capable() -> None:
    peer = established(CLASSIC)
    peer.abort()
    assert (last(peer).letters, last(peer).ecn) == ("R.", NOT_ECT)


# RFC 3168: the receiver


def test_a_mark_is_echoed_until_the_sender_has_heard_it() -> None:
    peer = established(CLASSIC)
    assert peer.send("P.", text=b"a", ecn=CE) == ["E. seq 1 ack 2"]
    peer.seq = 2
    peer.send("P.", text=b"b" * 1000, ecn=ECT_0)
    peer.seq = 1002
    peer.advance(1.0)
    assert last(peer).letters == "E."
    peer.write(b"text carries the echo, too")
    assert last(peer).letters == "PE."
    peer.ack = 27
    assert peer.send("PW.", text=b"c", ecn=ECT_0) == [". seq 27 ack 1003"]
    peer.seq = 1003
    peer.send("P.", text=b"d", ecn=ECT_0)
    peer.advance(2.0)
    assert last(peer).letters == "."


def test_a_segment_that_says_cwr_and_is_marked_starts_another_echo() -> None:
    peer = established(CLASSIC)
    peer.send("P.", text=b"a", ecn=CE)
    assert peer.send("PW.", seq=2, text=b"b", ecn=CE) == ["E. seq 1 ack 3"]


def test_a_mark_on_a_bare_acknowledgment_is_nobodys_business() -> None:
    peer = established(CLASSIC)
    peer.send(".", ecn=CE)
    peer.write(b"hello")
    assert last(peer).letters == "P."


def test_a_mark_outside_the_window_is_ignored() -> None:
    """RFC 3168 section 6.1.5: anybody could have sent it."""
    peer = established(CLASSIC)
    peer.send("P.", seq=1 << 29, text=b"forged", ecn=CE)
    assert last(peer).letters == "."


def test_a_mark_on_a_probe_of_our_closed_window_is_reported() -> None:
    """RFC 3168 section 6.1.6: its number is the very next one, so nobody has guessed it."""
    peer = established(replace(CLASSIC, rmem=2000))
    sent = 0
    while peer.tcb.rcv_wnd:
        size = min(MSS[4], peer.tcb.rcv_wnd)
        peer.send(".", 1 + sent, text=bytes(size))
        sent += size
    assert peer.send(".", 1 + sent, text=b"x", ecn=CE) == [f"E. seq 1 ack {1 + sent}"]


def test_ect_without_an_agreement_means_nothing() -> None:
    peer = established(TcpConfig(ecn=0), "SEW")
    peer.send("P.", text=b"a", ecn=CE)
    peer.write(b"hello")
    assert (peer.tcb.ecn, last(peer).letters, last(peer).ecn) == (None, "P.", NOT_ECT)


# RFC 3168: the sender


def sending(config: TcpConfig, syn: str = "SEW", segments: int = 10) -> Peer:
    """Return a peer that was sent *segments* full ones."""
    peer = established(config, syn, "." if "A" not in syn else "W.")
    peer.write(FULL * segments)
    return peer


def cwnd(peer: Peer) -> int:
    assert peer.tcb.congestion is not None
    return peer.tcb.congestion.cwnd


def test_an_echo_halves_the_window_once_for_each_window_of_text() -> None:
    """RFC 3168 section 6.1.2."""
    peer = sending(CLASSIC)
    peer.write(FULL * 30)
    peer.send("E.", ack=1 + MSS[4])
    assert cwnd(peer) == 5 * MSS[4]
    for acknowledged in range(2, 11):
        peer.send("E.", ack=1 + acknowledged * MSS[4])
    assert cwnd(peer) == 5 * MSS[4]
    assert peer.end.drops() == []


def test_the_first_new_text_after_a_reduction_says_so_once() -> None:
    peer = sending(CLASSIC)
    peer.write(FULL * 30)
    before = len(peer.end.segments())
    peer.send("E.", ack=1 + 6 * MSS[4])
    sent = peer.end.segments()[before:]
    assert [(segment.letters, segment.ecn) for segment in sent] == [("W.", ECT_0)]
    peer.send(".", ack=1 + 8 * MSS[4])
    assert [segment.letters for segment in peer.end.segments()[before + 1 :]] == [".", "."]


def test_an_echo_of_what_went_with_cwr_halves_the_window_again() -> None:
    peer = sending(CLASSIC)
    peer.write(FULL * 60)
    peer.send("E.", ack=1 + 6 * MSS[4])
    assert cwnd(peer) == 5 * MSS[4]
    peer.send("E.", ack=1 + 10 * MSS[4])  # the last of the old window: CWR has not come through
    assert cwnd(peer) == 5 * MSS[4]
    peer.send("E.", ack=1 + 11 * MSS[4])
    assert cwnd(peer) < 5 * MSS[4]


def test_a_loss_in_a_window_that_was_marked_does_not_reduce_it_again() -> None:
    peer = sending(CLASSIC)
    peer.write(FULL * 30)
    peer.send("E.", ack=1 + MSS[4])
    halved = cwnd(peer)
    before = len(peer.end.segments())
    for _ in range(3):
        peer.send("E.", ack=1 + MSS[4])
    assert cwnd(peer) == halved
    again = peer.end.segments()[before]
    assert (again.payload, again.ecn) == (FULL, NOT_ECT)


def test_a_loss_of_what_went_with_cwr_reduces_the_window_again() -> None:
    """RFC 3168 section 6.1.2: so that the receiver hears it in the end."""
    config = TcpConfig(ecn=1, timestamps=False)
    peer = Peer(End("server", config), options=for_syn(MSS[4], None, True, None))
    peer.send("SEW", 0, options=peer.options)
    peer.seq = peer.ack = 1
    peer.send(".")
    peer.write(FULL * 60)
    peer.send("E.", ack=1 + 6 * MSS[4])
    assert cwnd(peer) == 5 * MSS[4]
    peer.send(".", ack=1 + 10 * MSS[4])
    told = [segment.seq for segment in peer.end.segments() if segment.letters == "W."]
    assert told == [add(peer.irs, 1 + 10 * MSS[4])]
    held = add(peer.irs, 1 + 11 * MSS[4]), add(peer.irs, 1 + 14 * MSS[4])  # all but the one with CWR
    peer.send(".", ack=1 + 10 * MSS[4], options=for_segment(None, (held,)))
    assert cwnd(peer) < 5 * MSS[4]
    assert last(peer).payload == FULL


def test_new_text_after_a_timeout_says_cwr_too() -> None:
    """RFC 3168 section 6.1.2: whatever the reason for the reduction was; never on what goes again."""
    peer = sending(CLASSIC, segments=2)
    peer.advance(1.5)
    assert (last(peer).payload, last(peer).letters) == (FULL, ".")
    peer.send(".", ack=1 + 2 * MSS[4])
    peer.ack = 1 + 2 * MSS[4]
    peer.write(FULL)
    assert last(peer).letters == "PW."


def test_the_window_never_grows_by_a_mark() -> None:
    """After a timeout it is one segment, and half of what is in flight is at least two."""
    peer = sending(CLASSIC)
    peer.advance(1.5)
    assert cwnd(peer) == MSS[4]
    peer.send("E.", ack=1)
    assert cwnd(peer) == MSS[4]
    peer.send("E.", ack=1 + 3 * MSS[4])  # slow start, but for the mark
    assert cwnd(peer) == MSS[4]
    peer.send(".", ack=1 + 5 * MSS[4])
    assert cwnd(peer) > MSS[4]


# RFC 9768: the receiver


def test_a_syn_ack_says_how_the_syn_came() -> None:
    letters = {NOT_ECT: "SW.", ECT_1: "SEW.", ECT_0: "SA.", CE: "SWA."}
    assert {ecn: last(server(ACCURATE, "SEWA", ecn)).letters for ecn in letters} == letters


def test_a_syn_ack_says_how_the_last_syn_came() -> None:
    peer = server(ACCURATE, "SEWA")
    peer.send("SEWA", 0, options=PLAIN, ecn=CE)
    assert last(peer).letters == "SWA."


@pytest.mark.parametrize(
    ("ecn", "letters", "then"), [(NOT_ECT, "W.", 5), (ECT_1, "EW.", 5), (ECT_0, "A.", 5), (CE, "WA.", 6)]
)
def test_the_third_segment_says_how_the_syn_ack_came(ecn: int, letters: str, then: int) -> None:
    """RFC 9768 table 3; and so does the answer to a SYN+ACK that comes again."""
    peer = client(ACCURATE, "SW.", ecn)
    assert last(peer).letters == letters
    peer.now = 5.0
    peer.send("SW.", 0, 1, options=PLAIN, ecn=ecn)
    assert last(peer).letters == letters
    peer.write(b"x")
    assert ace(last(peer)) == then


def test_marks_on_syn_acks_that_come_again_count_once() -> None:
    """RFC 9768 section 3.2.2.2: the server can count one."""
    peer = client(ACCURATE, "SW.")
    for peer.now, ecn in ((5.0, CE), (10.0, CE), (15.0, NOT_ECT)):
        peer.send("SW.", 0, 1, options=PLAIN, ecn=ecn)
    assert last(peer).letters == "W."  # the latest one is answered
    peer.write(b"x")
    assert ace(last(peer)) == 6


def test_text_that_waits_for_the_handshake_lets_a_bare_acknowledgment_go_first() -> None:
    """RFC 9768 section 3.2.2.1: only that can say how the SYN+ACK came."""
    peer = Peer(End("client", ACCURATE))
    peer.connect()
    peer.write(b"eager")
    peer.send("SW.", 0, 1, options=PLAIN)
    third, text = peer.end.segments()[-2:]
    assert (third.letters, third.payload) == ("W.", b"")
    assert (ace(text), text.payload) == (5, b"eager")


def test_every_marked_packet_counts_with_text_or_without() -> None:
    peer = established(ACCURATE, "SEWA", "W.")
    peer.send(".", ecn=CE)
    peer.send("P.", text=b"a", ecn=CE)
    assert ace(last(peer)) == 7
    peer.send("P.", seq=2, text=b"b", ecn=ECT_0)
    peer.write(b"x")
    assert ace(last(peer)) == 7
    peer.send("P.", seq=3, text=b"c", ecn=CE)
    peer.write(b"y")
    assert ace(last(peer)) == 0


def test_text_whose_mark_is_a_change_is_acknowledged_at_once() -> None:
    peer = established(ACCURATE, "SEWA", "W.")
    assert peer.send("P.", text=b"a", ecn=ECT_0) == []
    assert peer.send("P.", seq=2, text=b"b", ecn=CE) == ["WA. seq 1 ack 3"]
    assert peer.send("P.", seq=3, text=b"c", ecn=ECT_0) == []


def test_every_second_mark_on_text_and_every_third_without_is_acknowledged() -> None:
    peer = established(ACCURATE, "SEWA", "W.")
    assert [bool(peer.send("P.", seq=1 + n, text=b"a", ecn=CE)) for n in range(5)] == [
        True,
        False,
        True,
        False,
        True,
    ]
    peer.advance(1.0)
    peer.seq = 6
    assert [bool(peer.send(".", ecn=CE)) for _ in range(6)] == [False, False, True, False, False, True]


def test_a_batch_of_marks_is_acknowledged_before_the_count_comes_full_circle() -> None:
    peer = established(ACCURATE, "SEWA", "W.")
    batch = [peer.segment("P.", 1 + n, text=b"a", ecn=CE) for n in range(9)]
    assert len(peer.deliver(*batch)) == 2
    assert ace(last(peer)) == (5 + 9) % 8


def test_the_option_counts_the_octets_of_each_mark() -> None:
    peer = established(ACCURATE, "SEWA", "W.")
    peer.send("P.", text=b"12345", ecn=ECT_0)
    peer.advance(1.0)
    assert parse(last(peer).options).acc_ecn == AccEcn(0, (6,))
    peer.send("P.", seq=6, text=b"123", ecn=CE)
    assert parse(last(peer).options).acc_ecn == AccEcn(0, (6, 3))
    peer.send("P.", seq=9, text=b"12", ecn=ECT_1)
    peer.advance(2.0)
    assert parse(last(peer).options).acc_ecn == AccEcn(0, (6, 3, 3))


def test_a_sender_of_ect_1_is_told_of_that_first() -> None:
    peer = established(ACCURATE, "SEWA", "W.")
    peer.send("P.", text=b"12345", ecn=ECT_1)
    peer.advance(1.0)
    assert parse(last(peer).options).acc_ecn == AccEcn(1, (6,))


def options_of(mode: int) -> list[bool]:
    """Whether the option was in: SYN+ACK, acknowledgment of what may be marked, short text of our own."""
    peer = established(TcpConfig(ecn=3, ecn_option=mode, quickacks=0, timestamps=False), "SEWA", "W.")
    peer.send("P.", text=b"12345", ecn=ECT_0)
    peer.advance(1.0)
    peer.write(b"hello")
    return [parse(segment.options).acc_ecn is not None for segment in peer.end.segments()]


def test_the_option_goes_never_or_when_there_is_news_or_always() -> None:
    assert options_of(0) == [False, False, False]
    assert options_of(1) == [True, True, False]
    assert options_of(2) == [True, True, True]


def test_a_client_tests_the_path_with_the_option_in_its_first_acknowledgment_and_text() -> None:
    """RFC 9768 section 3.2.3.2.1. The first text leaves room for it."""
    peer = client(TcpConfig(ecn=3, ecn_option=1, timestamps=False), "SW.")
    assert parse(last(peer).options).acc_ecn is not None
    before = len(peer.end.segments())
    peer.write(FULL * 2)
    first, second, *_ = peer.end.segments()[before:]
    assert (len(first.payload), parse(first.options).acc_ecn) == (MSS[4] - 12, AccEcn(0, (1, 0, 1)))
    assert (len(second.payload), second.options) == (MSS[4], b"")


def test_what_goes_again_goes_without_the_option() -> None:
    peer = client(ACCURATE, "SW.")
    peer.write(b"hello")
    assert parse(last(peer).options).acc_ecn is not None
    peer.advance(2.0)
    assert (last(peer).payload, last(peer).options) == (b"hello", b"")


def test_two_blocks_of_sack_come_before_the_option() -> None:
    """RFC 9768 section 3.2.3.3: with timestamps there is no room for both."""
    peer = Peer(End("server", TcpConfig(ecn=3)), options=for_syn(1460, 7, True, (1, 0)))
    peer.send("SEWA", 0, options=peer.options)
    peer.seq = peer.ack = 1
    stamps = for_segment((2, 0))
    peer.send("W.", options=stamps)
    for left, ecn in ((11, ECT_0), (31, CE), (51, ECT_1)):
        peer.send("P.", seq=left, text=b"0123456789", ecn=ecn, options=stamps)
    options = parse(last(peer).options)
    assert (len(options.sack), options.acc_ecn) == (3, None)


def test_a_syn_with_the_option_is_as_one_without() -> None:
    """RFC 9768 section 3.2.3.2.1."""
    peer = Peer(End("server", ACCURATE))
    peer.send("SEWA", 0, options=PLAIN + b"\xac\x05\0\0\0\x01\x01\x01")
    assert last(peer).letters == "SW."
    assert agreed(peer).accurate


# RFC 9768: the sender


def test_a_count_that_has_grown_reduces_the_window_once_for_each_window_of_text() -> None:
    peer = sending(ACCURATE, "SEWA")
    peer.write(FULL * 30)
    peer.send("WA.", ack=1 + MSS[4])
    assert cwnd(peer) == 5 * MSS[4]
    peer.send("EWA.", ack=1 + 2 * MSS[4])
    assert cwnd(peer) == 5 * MSS[4]
    info = snapshot(peer.tcb).ecn
    assert info is not None
    assert info.delivered_ce == 2


def test_a_count_that_stands_still_lets_the_window_grow() -> None:
    peer = sending(ACCURATE, "SEWA")
    for acknowledged in range(1, 11):
        peer.send("EA.", ack=1 + acknowledged * MSS[4])
    assert cwnd(peer) == 20 * MSS[4]


def test_nobody_says_cwr_with_accurate_feedback() -> None:
    peer = sending(ACCURATE, "SEWA")
    peer.write(FULL * 30)
    peer.send("WA.", ack=1 + 6 * MSS[4])
    assert ace(last(peer)) == 5
    assert last(peer).payload == FULL


def counted(letters: str, acknowledged: int, option: bytes = b"", segments: int = 10) -> int:
    """How many marks an acknowledgment of that many segments stands for."""
    config = TcpConfig(ecn=3, quickacks=0, timestamps=False, initial_cwnd=40)
    peer = sending(config, "SEWA", segments)
    peer.send(letters, ack=1 + acknowledged * MSS[4], options=option)
    info = snapshot(peer.tcb).ecn
    assert info is not None
    return info.delivered_ce


def test_the_count_is_taken_up_modulo_eight() -> None:
    assert counted("EA.", 1) == 0
    assert counted("WA.", 1) == 1
    assert counted(".", 3) == 3
    assert counted("A.", 7) == 7


def test_a_count_that_may_have_come_full_circle_is_held_to_have() -> None:
    """RFC 9768 appendix A.2.1: its own examples."""
    assert counted("EWA.", 9) == 2
    assert counted("EWA.", 10) == 10
    assert counted("EA.", 8) == 8


def counters(*values: int) -> bytes:
    raw = bytes((172, 2 + 3 * len(values))) + b"".join(value.to_bytes(3) for value in values)
    return raw + b"\x01" * (-len(raw) % 4)


def test_the_option_tells_how_often_the_count_has_come_full_circle() -> None:
    assert counted("EWA.", 10, counters(8 * 1460, 2 * 1460)) == 2
    assert counted("EWA.", 10, counters(1, 10 * 1460)) == 10
    assert counted("EA.", 10, counters(1 + 10 * 1460)) == 0


def test_octets_without_a_packet_show_that_one_of_the_counts_was_changed_on_the_way() -> None:
    """RFC 9768 section 3.2.3.2.5: then nothing of ours may be marked any more."""
    peer = sending(ACCURATE, "SEWA", 2)
    peer.send("EA.", ack=1 + MSS[4], options=counters(1, 1460, 1))
    peer.ack = 1 + 2 * MSS[4]
    peer.write(b"hello")
    assert last(peer).ecn == NOT_ECT


def test_an_option_whose_counters_begin_at_zero_is_not_listened_to() -> None:
    """RFC 9768 section 3.2.3.2.4."""
    peer = server(ACCURATE, "SEWA")
    peer.send("W.", options=counters(0, 0, 0))
    peer.write(FULL * 2)
    peer.send("EA.", ack=1 + MSS[4], options=counters(0, 1460, 0))
    assert agreed(peer).sends_ect


def test_an_acknowledgment_without_news_counts_no_marks() -> None:
    """It may have been overtaken: then its count is an old one."""
    peer = sending(ACCURATE, "SEWA")
    peer.send("WA.", ack=1 + 2 * MSS[4])
    peer.send("EA.", ack=1 + MSS[4])
    info = snapshot(peer.tcb).ecn
    assert info is not None
    assert info.delivered_ce == 1


# RFC 9768: what the handshake says of the path


@pytest.mark.parametrize(
    ("third", "sends_ect", "heeds", "delivered"),
    [
        (".", False, False, 0),
        ("E.", True, True, 0),
        ("W.", True, True, 0),
        ("EW.", False, True, 0),
        ("A.", False, True, 0),
        ("EA.", True, True, 0),
        ("WA.", False, True, 1),
        ("EWA.", True, True, 0),
    ],
)
def test_what_the_third_segment_says_to_a_server(
    third: str, sends_ect: bool, heeds: bool, delivered: int
) -> None:
    """RFC 9768 table 4 and section 3.2.2.3: what went as Not-ECT must not come as anything else."""
    peer = established(ACCURATE, "SEWA", third)
    info = snapshot(peer.tcb).ecn
    assert info is not None
    assert (info.sends_ect, info.delivered_ce) == (sends_ect, delivered)
    peer.write(FULL * 10)
    before = cwnd(peer)
    peer.send("EWA.", ack=1 + MSS[4])
    assert (cwnd(peer) < before) is heeds
    peer.send("P.", text=b"a", ecn=CE)
    assert ace(last(peer)) == 6  # it goes on reporting, whatever it thinks of the path


def test_text_that_takes_the_place_of_the_third_segment_has_the_plain_count() -> None:
    peer = server(ACCURATE, "SEWA")
    peer.send("PWA.", text=b"a")
    info = snapshot(peer.tcb).ecn
    assert info is not None
    assert (info.sends_ect, info.delivered_ce) == (True, 1)


@pytest.mark.parametrize(
    ("syn_ack", "sends_ect"), [("SW.", True), ("SEW.", False), ("SA.", False), ("SWA.", False)]
)
def test_what_the_syn_ack_says_to_a_client(syn_ack: str, sends_ect: bool) -> None:
    info = snapshot(client(ACCURATE, syn_ack).tcb).ecn
    assert info is not None
    assert (info.sends_ect, info.delivered_ce) == (sends_ect, 0)


def test_a_mark_in_the_handshake_halves_the_initial_window() -> None:
    for peer in (client(ACCURATE, "SWA."), established(ACCURATE, "SEWA", "WA.")):
        peer.write(FULL * 20)
        assert cwnd(peer) == 5 * MSS[4]


# Everything together


@pytest.mark.parametrize("mode", [1, 3], ids=["classic", "accurate"])
def test_both_ends_count_the_same_marks_on_a_path_that_marks_and_loses(mode: int) -> None:
    pair = Pair(End("client", TcpConfig(ecn=mode)), End("server", TcpConfig(ecn=mode)))
    pair.connect()
    marked: list[int] = []

    def mark(number: int, _: Segment) -> bool:
        chosen = number % 7 == 0
        marked.extend([number] if chosen else [])
        return chosen

    pair.mark = mark
    pair.lose = lambda number, _: number % 31 == 0
    text = bytes(range(256)) * 2000
    given, got = 0, b""
    while len(got) < len(text):
        given += pair.send(pair.client, CLIENT, text[given : given + 100_000])
        got += pair.read(pair.server, SERVER)
        if pair.deadline < pair.now + 3600:
            pair.step()
    assert got == text
    ours, theirs = (snapshot(pair.tcb(*each)).ecn for each in ((pair.client, CLIENT), (pair.server, SERVER)))
    assert ours is not None
    assert theirs is not None
    assert theirs.received_ce == len(marked) > 20
    assert ours.delivered_ce >= len(marked) if mode == 1 else ours.delivered_ce == len(marked)


def test_cwr_with_the_third_segment_is_acknowledged_at_once_though_text_of_the_syn_may_wait() -> None:
    peer = Peer(End("end", TcpConfig(quickacks=0)))
    peer.send("SEW", 0, text=b"e")
    assert peer.send("PW.", 2, 1, text=b"arly") == [". seq 1 ack 6"]
