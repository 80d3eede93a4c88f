"""What two ends agree on: MSS, window scale, SACK, timestamps, in all combinations."""

from itertools import product

import pytest

from support.pair import CLIENT, MSS, SERVER, End, Pair
from support.peer import AFTER_SYN, Peer
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.state import State
from xsocket.tcp.options import MaximumSegmentSize, encode, for_segment, for_syn, padded, parse
from xsocket.tcp.tcb import Tcb

SIX = FourTuple("fd00::1", 40_000, "fd00::2", 80)
NONE = TcpConfig(window_scaling=False, sack=False, timestamps=False)


def rules(letters: str) -> TcpConfig:
    """Return the configuration that offers W (window scale), S (SACK), T (timestamps)."""
    return TcpConfig(window_scaling="W" in letters, sack="S" in letters, timestamps="T" in letters)


def agreed(tcb: Tcb) -> str:
    return ("W" if tcb.scaled else "") + ("S" if tcb.sack else "") + ("T" if tcb.timestamps else "")


def offered(options: bytes) -> str:
    seen = parse(options)
    return (
        ("W" if seen.window_scale is not None else "")
        + ("S" if seen.sack_permitted else "")
        + ("T" if seen.ts_val is not None else "")
    )


OFFERS = ["", "W", "S", "T", "WS", "WT", "ST", "WST"]


@pytest.mark.parametrize(
    ("client", "server"),
    [
        pytest.param(*pair, id=f"{pair[0] or 'none'} to {pair[1] or 'none'}")
        for pair in product(OFFERS, OFFERS)
    ],
)
def test_what_both_want_is_agreed_on(client: str, server: str) -> None:
    pair = Pair(End("client", rules(client)), End("server", rules(server)))
    pair.connect()
    common = "".join(letter for letter in client if letter in server)
    assert agreed(pair.tcb(pair.client, CLIENT)) == common
    assert agreed(pair.tcb(pair.server, SERVER)) == common
    (_, syn), (_, syn_ack), (_, ack) = pair.cable
    assert (offered(syn.options), offered(syn_ack.options)) == (client, common)
    assert parse(syn.options).mss == parse(syn_ack.options).mss == 1460
    assert (parse(ack.options).ts_val is not None) == ("T" in common)
    assert parse(ack.options).ts_ecr == (parse(syn_ack.options).ts_val or 0)
    assert pair.tcb(pair.client, CLIENT).rcv_wscale == (3 if "W" in common else 0)


@pytest.mark.parametrize(
    ("client", "server"),
    [
        pytest.param(*pair, id=f"{pair[0] or 'none'} to {pair[1] or 'none'}")
        for pair in product(OFFERS, OFFERS)
    ],
)
def test_simultaneous_opens_agree_too(client: str, server: str) -> None:
    pair = Pair(End("client", rules(client)), End("server", rules(server)))
    pair.connect_both()
    common = "".join(letter for letter in client if letter in server)
    assert agreed(pair.tcb(pair.client, CLIENT)) == common
    assert agreed(pair.tcb(pair.server, SERVER)) == common
    pair.send(pair.client, CLIENT, b"x" * 200_000)
    assert pair.tcb(pair.server, SERVER).unread == 200_000


@pytest.mark.parametrize(
    ("four_tuple", "options", "mss"),
    [
        pytest.param(SERVER, b"", 536, id="none: 536 (MUST-15)"),
        pytest.param(FourTuple("fd00::2", 80, "fd00::1", 5), b"", 1220, id="none over IPv6: 1220"),
        pytest.param(SERVER, b"\x02\x04\x05\xb4", 1460, id="1460"),
        pytest.param(SERVER, b"\x02\x04\xff\xff", 1460, id="more than our own"),
        pytest.param(SERVER, b"\x02\x04\x02\x00", 512, id="512"),
        pytest.param(SERVER, b"\x02\x04\x00\x01", 48, id="1: no less than 48"),
        pytest.param(SERVER, b"\x02\x04\x00\x00", 536, id="0: as none, like Linux"),
        pytest.param(SERVER, b"\x02\x03\x05\x00", 536, id="malformed"),
        pytest.param(SERVER, for_syn(1460, None, False, (1, 0)), 1448, id="timestamps take 12"),
    ],
)
def test_mss(four_tuple: FourTuple, options: bytes, mss: int) -> None:
    peer = Peer(End("end"), four_tuple, options=options).establish()
    assert peer.tcb.snd_mss == mss
    sent = peer.write(b"x" * 3000)
    assert sent[0].endswith(f"len {mss}")


@pytest.mark.parametrize(("four_tuple", "mss"), [(CLIENT, 1460), (SIX, 1440)], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("config", [TcpConfig(), NONE], ids=["with every option", "with no other"])
def test_mss_stands_on_every_syn_and_on_nothing_else(
    config: TcpConfig, four_tuple: FourTuple, mss: int
) -> None:
    """MUST-14, MUST-65, SHLD-5."""
    pair = Pair(End("client", config), End("server", config))
    pair.lose = lambda number, _: number in (1, 3)
    pair.connect(four_tuple)
    pair.advance(10)
    pair.send(pair.client, four_tuple, bytes(10_000))
    pair.close(pair.client, four_tuple)
    pair.abort(pair.server, four_tuple.reversed)
    said = [(segment.syn, parse(segment.options).mss) for _, segment in pair.cable]
    assert set(said) == {(True, mss), (False, None)}


# Options of any kind, anywhere: RFC 9293 sections 3.1 and 3.2

UNKNOWN = b"\xfd\x06abcd"
"""Kind 253, for experiments (RFC 4727)."""


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(b"\x02\x04\x02\x58", id="alone"),
        pytest.param(b"\x01\x01\x01\x02\x04\x02\x58\x00", id="behind no-operations, on no word boundary"),
        pytest.param(b"\x02\x04\x02\x58\x00\x02\x04\x05\xb4\x00\x00\x00", id="before the end of options"),
        pytest.param(UNKNOWN + b"\x02\x04\x02\x58\x01\x01", id="behind one that nobody knows"),
        pytest.param(b"\xfd\x02\x02\x04\x02\x58\x01\x01", id="behind an empty one that nobody knows"),
        pytest.param(b"\x08\x03\x00\x02\x04\x02\x58\x01", id="behind one of a wrong length"),
    ],
)
def test_the_mss_is_found(options: bytes) -> None:
    """MUST-4, MUST-6, MUST-64: end, no-operation, MSS, and what is unknown is skipped by its length."""
    assert Peer(End("end"), options=options).establish().tcb.snd_mss == 600


ILLEGAL = [
    pytest.param(b"\x02\x00\x05\xb4", id="length 0"),
    pytest.param(b"\x02\x01\x05\xb4", id="length 1"),
    pytest.param(b"\x08\x28\x00\x00", id="past the end"),
    pytest.param(b"\x01\x01\x01\x02", id="no length"),
    pytest.param(b"\xfd\x00\x00\x00", id="of one that nobody knows"),
]


@pytest.mark.parametrize("options", ILLEGAL)
def test_an_illegal_length_on_a_syn_costs_the_option(options: bytes) -> None:
    """MUST-7."""
    peer = Peer(End("end"), options=options).establish()
    assert (peer.state, peer.tcb.snd_mss) == (State.ESTABLISHED, 536)


@pytest.mark.parametrize("options", [*ILLEGAL, pytest.param(UNKNOWN + b"\x01\x01", id="unknown")])
@pytest.mark.parametrize("state", AFTER_SYN, ids=lambda state: state.value)
@pytest.mark.parametrize("letters", [".", "F.", "R", "S"])
def test_options_that_mean_nothing_change_no_segment(state: State, letters: str, options: bytes) -> None:
    """MUST-5, MUST-6, MUST-7: on any segment, in any state."""
    plain, other = (Peer(End("end")).reach(state) for _ in range(2))
    answers = plain.send(letters)
    assert other.send(letters, options=options) == answers
    assert other.state is plain.state
    assert other.end.drops() == plain.end.drops()


@pytest.mark.parametrize("letters", [".", "P.", "F."])
def test_options_are_read_on_any_segment(letters: str) -> None:
    """MUST-5."""
    peer = Peer(End("end"), options=for_syn(1460, None, False, (1000, 0))).establish()
    peer.send(letters, text=b"x" if "P" in letters else b"", options=for_segment((1234, 0)))
    assert peer.tcb.ts_recent == 1234


def test_what_we_take_in_one_segment_follows_the_link() -> None:
    pair = Pair()
    pair.connect()
    assert pair.tcb(pair.client, CLIENT).rcv_mss == MSS[4]


@pytest.mark.parametrize(
    ("shift", "used"), [(0, 0), (7, 7), (14, 14), (15, 14), (255, 14)], ids=lambda value: str(value)
)
def test_the_shift_is_capped(shift: int, used: int) -> None:
    """RFC 7323 section 2.3."""
    peer = Peer(End("end"), options=for_syn(1460, shift, False, None)).establish(window=3)
    assert peer.tcb.snd_wscale == used
    assert peer.tcb.snd_wnd == 3 << used


@pytest.mark.parametrize(
    ("rmem", "shift"), [(65_535, 0), (65_536, 1), (262_144, 3), (1 << 20, 5), (1 << 30, 14)], ids=str
)
def test_our_shift_follows_the_buffer(rmem: int, shift: int) -> None:
    peer = Peer(End("end", TcpConfig(rmem=rmem)), options=for_syn(1460, 0, False, None)).establish()
    assert peer.tcb.rcv_wscale == shift


def test_options_on_later_segments_change_nothing() -> None:
    peer = Peer(End("end")).establish()
    peer.send(".", options=for_syn(500, 9, True, (1, 1)))
    assert (peer.tcb.snd_mss, agreed(peer.tcb)) == (1460, "")


def test_a_syn_with_damaged_options_is_taken() -> None:
    peer = Peer(End("end"), options=b"\x03\x03\x07\xfe\x30\x00\x00\x00")
    peer.establish()
    assert (peer.state, agreed(peer.tcb)) == (State.ESTABLISHED, "W")


def test_a_syn_with_forty_octets_is_taken() -> None:
    peer = Peer(End("end"), options=padded(b"\x01" * 33 + encode([MaximumSegmentSize(600)])))
    assert peer.establish().tcb.snd_mss == 600


# Timestamps: RFC 7323 section 3 and 4


def test_a_syn_echoes_nothing() -> None:
    """RFC 7323 section 3.2: without ACK, TSecr is zero; the peer's, in its SYN, means nothing."""
    peer = Peer(End("end")).reach(State.SYN_SENT)
    assert parse(peer.end.segments()[0].options).ts_val is not None
    assert parse(peer.end.segments()[0].options).ts_ecr == 0
    other = Peer(End("end"), options=for_syn(1460, None, False, (1000, 12_345))).reach(State.SYN_RECEIVED)
    assert other.tcb.round_trip is None
    assert other.tcb.rto_s == 1.0


def test_every_segment_has_stamps_once_they_are_agreed_on() -> None:
    """RFC 7323 section 3.2."""
    config = TcpConfig(keepalive=True, keepalive_time_s=10)
    pair = Pair(End("client", config), End("server", config))
    pair.lose = lambda number, _: number % 7 == 5
    pair.connect()
    pair.send(pair.client, CLIENT, bytes(50_000))
    pair.advance(60)
    assert len(pair.read(pair.server, SERVER)) == 50_000
    pair.close(pair.client, CLIENT)
    pair.abort(pair.server, SERVER)
    letters = {segment.letters for _, segment in pair.cable}
    assert {"S", "S.", ".", "P.", "F.", "R."} <= letters
    assert all(parse(segment.options).ts_val is not None for _, segment in pair.cable)
    permitted = [segment.syn for _, segment in pair.cable if parse(segment.options).sack_permitted]
    assert permitted == [True, True], "SACK-permitted stands in SYNs only (RFC 2018 section 2)"


def test_a_delayed_acknowledgment_echoes_the_first_of_the_segments_it_covers() -> None:
    """RFC 7323 section 4.3, case A."""
    config = TcpConfig(quickacks=0)
    peer = Peer(End("end", config), options=for_syn(1460, None, False, (1000, 0))).establish()
    assert peer.send(".", 1, text=b"x" * 536, options=for_segment((1001, 0))) == []
    assert peer.send(".", 537, text=b"x" * 536, options=for_segment((1002, 0))) == [". seq 1 ack 1073"]
    assert parse(peer.end.segments()[-1].options).ts_ecr == 1001


def test_what_fills_a_gap_is_echoed() -> None:
    """RFC 7323 section 4.3, case C; what waited behind the gap is not judged again (section 5.3)."""
    peer = Peer(End("end"), options=for_syn(1460, None, False, (1000, 0))).establish()
    peer.send(".", 11, text=b"x" * 10, options=for_segment((1001, 0)))
    assert parse(peer.end.segments()[-1].options).ts_ecr == 1000
    peer.send(".", 1, text=b"x" * 10, options=for_segment((1005, 0)))
    assert parse(peer.end.segments()[-1].options).ts_ecr == 1005
    assert len(peer.read()) == 20


def test_a_reset_changes_no_stamp() -> None:
    """RFC 7323 section 5.2."""
    peer = Peer(End("end"), options=for_syn(1460, None, False, (1000, 0))).establish()
    peer.send("R", 5, options=for_segment((5000, 0)))
    assert peer.tcb.ts_recent == 1000
    assert peer.send("P.", 1, text=b"x", options=for_segment((1001, 0))) == [". seq 1 ack 2"]


def test_stamps_that_were_not_agreed_on_are_ignored() -> None:
    """RFC 7323 section 3.2."""
    peer = Peer(End("end")).establish()
    for stamp in (5000, 1, 1 << 31, 0):
        peer.send("P.", 1 + peer.tcb.unread, text=b"x", options=for_segment((stamp, 7)))
    assert peer.tcb.unread == 4
    assert peer.end.segments()[-1].options == b""


@pytest.mark.parametrize(
    ("seq", "text"), [(1, b""), (1, b"x"), (1 << 20, b"x")], ids=["empty", "text", "outside the window"]
)
def test_an_old_stamp_is_judged_before_the_number(seq: int, text: bytes) -> None:
    """RFC 7323 section 5.3: acknowledgments, too, may be old duplicates."""
    peer = Peer(End("end"), options=for_syn(1460, None, False, (1000, 0))).establish()
    peer.write(b"hello")
    peer.send(".", seq, 6, text=text, options=for_segment((999, 0)))
    assert peer.end.drops() == [DropReason.PAWS]
    assert peer.tcb.flight == 5


def test_only_an_acknowledgment_of_something_new_measures_by_its_echo() -> None:
    """RFC 7323 section 4.1, the RTTM rule."""
    peer = Peer(End("end"), options=for_syn(1460, None, False, (1000, 0))).establish()
    peer.now = 50.0
    before = peer.tcb.round_trip
    peer.send("P.", text=b"late", options=for_segment((1001, peer.tcb.timestamp(0.0))))
    assert peer.tcb.round_trip == before
    peer.write(b"x")
    stamp = peer.tcb.timestamp(50.0)
    peer.now = 50.5
    peer.send(".", 5, 2, options=for_segment((1002, stamp)))
    assert peer.tcb.round_trip is not None
    assert peer.tcb.round_trip != before


def test_every_segment_echoes_the_last_stamp() -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, False, (1000, 0))).establish()
    peer.send("P.", text=b"a", options=for_segment((1234, 0)))
    assert parse(peer.end.segments()[-1].options).ts_ecr == 1234
    peer.write(b"x")
    assert parse(peer.end.segments()[-1].options).ts_ecr == 1234


def test_the_stamp_of_a_segment_past_a_gap_is_not_echoed() -> None:
    """RFC 7323 section 4.3: Last.ACK.sent must lie in the segment."""
    peer = Peer(End("end"), options=for_syn(1460, None, False, (1000, 0))).establish()
    peer.send("P.", 5, text=b"a", options=for_segment((1234, 0)))
    assert parse(peer.end.segments()[-1].options).ts_ecr == 1000


def test_stamps_count_milliseconds_from_an_offset_of_the_connections_own() -> None:
    pair = Pair()
    pair.connect()
    pair.advance(1.5)
    pair.send(pair.client, CLIENT, b"x")
    values = [parse(segment.options).ts_val or 0 for name, segment in pair.cable if name == "client"]
    assert [value - values[0] for value in values] == [0, 0, 1500]
    other = FourTuple("10.0.0.1", 40_001, "10.0.0.2", 80)
    pair.connect(other)
    offsets = [pair.tcb(pair.client, name).ts_offset for name in (CLIENT, other)]
    assert offsets[0] != offsets[1]


def test_old_stamps_are_refused() -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, False, (1000, 0))).establish()
    assert peer.send("P.", text=b"old", options=for_segment((999, 0))) == [". seq 1 ack 1"]
    assert peer.tcb.unread == 0


def test_stamps_wrap() -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, False, (2**32 - 1, 0))).establish()
    assert peer.send("P.", text=b"new", options=for_segment((5, 0))) == [". seq 1 ack 4"]


# SACK blocks: RFC 2018 sections 3 and 4


def test_blocks_name_the_newest_first() -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, True, None), iss=0).establish()
    peer.send(".", 11, text=b"x" * 10)
    peer.send(".", 41, text=b"x" * 10)
    peer.send(".", 71, text=b"x" * 10)
    assert parse(peer.end.segments()[-1].options).sack == ((71, 81), (41, 51), (11, 21))
    peer.send(".", 21, text=b"x" * 5)
    assert parse(peer.end.segments()[-1].options).sack == ((11, 26), (71, 81), (41, 51))
    peer.send(".", 1, text=b"x" * 10)
    assert parse(peer.end.segments()[-1].options).sack == ((71, 81), (41, 51))


def test_each_block_is_reported_as_often_as_there_is_room() -> None:
    """RFC 2018 section 4: so that acknowledgments may be lost, the same blocks come again."""
    peer = Peer(End("end"), options=for_syn(1460, None, True, None), iss=0).establish()
    for left in (91, 11, 71, 31, 51):
        peer.send(".", left, text=b"x" * 10)
    reports = [parse(segment.options).sack for segment in peer.end.segments()[-5:]]
    assert [sum(block == (71, 81) for block in blocks) for blocks in reports] == [0, 0, 1, 1, 1]
    assert reports[-1] == ((51, 61), (31, 41), (71, 81), (11, 21))


@pytest.mark.parametrize(
    ("stamps", "most"), [(None, 4), ((1, 0), 3)], ids=["without timestamps", "with timestamps"]
)
def test_no_more_blocks_than_fit(stamps: tuple[int, int] | None, most: int) -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, True, stamps), iss=0).establish()
    for seq in range(11, 200, 20):
        peer.send(".", seq, text=b"x")
    assert len(parse(peer.end.segments()[-1].options).sack) == most
    assert all(
        len(segment.options) <= 40 and len(segment.options) % 4 == 0 for segment in peer.end.segments()
    )


def test_text_of_ours_carries_blocks_as_well() -> None:
    """RFC 2018 section 4: every acknowledgment that leaves a gap does."""
    peer = Peer(End("end"), options=for_syn(1460, None, True, None), iss=0).establish()
    peer.send(".", 11, text=b"x" * 10)
    peer.write(b"answer")
    assert parse(peer.end.segments()[-1].options).sack == ((11, 21),)
    peer.send(".", 1, text=b"x" * 10, ack=7)
    assert parse(peer.end.segments()[-1].options).sack == ()


def test_no_blocks_unless_agreed() -> None:
    peer = Peer(End("end", NONE), options=for_syn(1460, None, True, None)).establish()
    peer.send(".", 11, text=b"x")
    assert peer.end.segments()[-1].options == b""


def test_the_stamp_of_the_third_segment_is_echoed() -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, False, (1000, 0))).reach(State.SYN_RECEIVED)
    peer.send(".", options=for_segment((1234, 0)))
    peer.write(b"x")
    assert parse(peer.end.segments()[-1].options).ts_ecr == 1234


def test_an_echo_of_what_was_never_sent_measures_nothing() -> None:
    peer = Peer(End("end"), options=for_syn(1460, None, False, (1000, 0))).establish()
    before = peer.tcb.round_trip
    peer.write(b"x")
    peer.send(".", 1, 2, options=for_segment((1001, peer.tcb.timestamp(0.0) + 1_000_000)))
    assert peer.tcb.flight == 0
    assert peer.tcb.round_trip == before
