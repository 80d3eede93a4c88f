"""A host: frames in, frames out, the pool in between."""

from collections.abc import Callable, Iterator
from math import inf

import pytest

from support.station import OUR_MAC, OURS, PREFIX, THEIR_MAC, THEIRS, Station
from xsocket.config import TcpConfig
from xsocket.connection import SHUT_WR
from xsocket.errors import (
    AddressInUseError,
    BadAddressError,
    HostUnreachableError,
    NetworkUnreachableError,
)
from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import ACK, FIN, PSH, RST, SYN, Segment
from xsocket.seqnum import add
from xsocket.state import State
from xsocket.tcp.options import for_syn
from xsocket.tcp.tcb import Tcb, snapshot
from xsocket.trace import EventKind, Trace
from xsocket.wire.arp import REPLY, ArpPacket
from xsocket.wire.codec import TcpPacket, decode, encode, encode_segment
from xsocket.wire.ethernet import Ethernet
from xsocket.wire.icmp import IcmpPacket, build_icmp
from xsocket.wire.ip import DONT_FRAGMENT, Ipv4

HERE = FourTuple(OURS, 80, THEIRS, 40_000)


MakeStation = Callable[..., Station]


@pytest.fixture
def station() -> Iterator[MakeStation]:
    """Make hosts that know where their neighbour is; at the end nothing of them is left open."""
    made: list[Station] = []

    def make(config: TcpConfig | None = None, trace: Trace | None = None) -> Station:
        made.append(Station(config, trace))
        made[-1].introduce()
        return made[-1]

    yield make
    for each in made:
        each.host.abort_all(each.now)


def shake_hands(made: Station, port: int) -> Segment:
    """Complete a handshake from *port*; return the third segment."""
    (syn_ack,) = made.say(port, Segment(7, 0, SYN, 65_535))
    third = Segment(8, syn_ack.segment.seq + 1, ACK, 65_535)
    made.say(port, third)
    return third


def letters(frames: list[bytes]) -> list[str]:
    packets = [decode(frame) for frame in frames]
    return [packet.segment.letters for packet in packets if isinstance(packet, TcpPacket)]


def frame_of(port: int, segment: Segment) -> bytes:
    return encode_segment(PREFIX, FourTuple(THEIRS, port, OURS, 80), segment)


def test_an_established_connection_waits_in_the_pool(station: MakeStation) -> None:
    made = station()
    shake_hands(made, 40_000)
    assert len(made.pool) == 1
    with made.pool.claim(HERE, timeout=0) as connection:
        assert connection.four_tuple == HERE
    assert made.host.counters().established == 1


def test_what_came_before_the_claim_waits_in_it(station: MakeStation) -> None:
    made = station()
    third = shake_hands(made, 40_000)
    (ack,) = made.say(40_000, third._replace(flags=ACK | PSH, payload=b"hello"))
    assert ack.segment.ack == 13
    with made.pool.claim(HERE, timeout=0) as connection:
        assert connection.recv(100) == b"hello"


def test_a_connection_that_dies_leaves_the_pool(station: MakeStation) -> None:
    made = station()
    third = shake_hands(made, 40_000)
    made.say(40_000, Segment(third.seq, 0, RST))
    assert len(made.pool) == 0
    assert len(made.host.stack) == 0


def test_a_connection_that_dies_in_the_batch_that_made_it_never_waits(station: MakeStation) -> None:
    made = station()
    (syn_ack,) = made.say(40_000, Segment(7, 0, SYN, 65_535))
    third = Segment(8, syn_ack.segment.seq + 1, ACK, 65_535)
    made.receive(frame_of(40_000, third), frame_of(40_000, Segment(8, 0, RST)))
    assert len(made.pool) == 0


@pytest.mark.parametrize(
    ("policy", "waiting", "answers"),
    [
        pytest.param("evict", 40_001, ["R."], id="evict the oldest"),
        pytest.param("refuse", 40_000, ["R."], id="refuse"),
        pytest.param("ignore", 40_000, [], id="ignore"),
    ],
)
def test_a_full_pool(station: MakeStation, policy: str, waiting: int, answers: list[str]) -> None:
    made = station(TcpConfig(pool_capacity=1, pool_policy=policy))  # type: ignore[arg-type]
    shake_hands(made, 40_000)
    (syn_ack,) = made.say(40_001, Segment(7, 0, SYN, 65_535))
    third = Segment(8, syn_ack.segment.seq + 1, ACK, 65_535)
    assert letters(made.receive(frame_of(40_001, third))) == answers
    assert [four_tuple.remote_port for four_tuple in made.pool] == [waiting]
    assert sum(made.host.counters().drops.values()) == 1


@pytest.mark.parametrize("policy", ["refuse", "ignore", "evict"])
def test_a_batch_never_overfills_the_pool(station: MakeStation, policy: str) -> None:
    made = station(TcpConfig(pool_capacity=2, pool_policy=policy))  # type: ignore[arg-type]
    thirds = []
    for port in range(40_000, 40_005):
        (syn_ack,) = made.say(port, Segment(7, 0, SYN, 65_535))
        thirds.append(frame_of(port, Segment(8, syn_ack.segment.seq + 1, ACK, 65_535)))
    made.receive(*thirds)
    assert len(made.pool) == 2
    pooled = set(made.pool)
    established = {tcb.four_tuple for tcb in made.host.stack.tcbs() if tcb.state is State.ESTABLISHED}
    assert established == pooled, "nobody is established and owned by nobody"


@pytest.mark.parametrize(("policy", "answers"), [("refuse", ["R."]), ("ignore", [])])
def test_a_batch_is_judged_by_the_places_it_takes_itself(
    station: MakeStation, policy: str, answers: list[str]
) -> None:
    made = station(TcpConfig(pool_capacity=1, pool_policy=policy))  # type: ignore[arg-type]
    thirds = []
    for port in (40_000, 40_001):
        (syn_ack,) = made.say(port, Segment(7, 0, SYN, 65_535))
        thirds.append(frame_of(port, Segment(8, syn_ack.segment.seq + 1, ACK, 65_535)))
    assert letters(made.receive(*thirds)) == answers
    assert [four_tuple.remote_port for four_tuple in made.pool] == [40_000]
    assert made.host.stack.statistics().half_open == (1 if policy == "ignore" else 0)


def test_room_made_is_used_when_the_peer_tries_again(station: MakeStation) -> None:
    made = station(TcpConfig(pool_capacity=1, pool_policy="ignore"))
    shake_hands(made, 40_000)
    third = shake_hands(made, 40_001)
    made.pool.claim(HERE, timeout=0).abort()
    assert letters(made.advance(1.0)) == ["R.", "S."]
    made.say(40_001, third)
    assert [four_tuple.remote_port for four_tuple in made.pool] == [40_001]


def test_closing_sends_a_fin(station: MakeStation) -> None:
    made = station()
    shake_hands(made, 40_000)
    made.pool.claim(HERE, timeout=0).close()
    assert letters(made.host.take_frames()) == ["F."]
    assert made.host.is_closing


def test_an_active_open_does_not_enter_the_pool(station: MakeStation) -> None:
    made = station()
    outgoing = FourTuple(OURS, 50_000, THEIRS, 8080)
    tcb = made.host.connect(made.now, outgoing)
    assert letters(made.host.take_frames()) == ["S"]
    frame = encode_segment(
        PREFIX, FourTuple(THEIRS, 8080, OURS, 50_000), Segment(7, tcb.iss + 1, SYN | ACK, 65_535)
    )
    assert letters(made.receive(frame)) == ["."]
    assert tcb.state is State.ESTABLISHED
    assert len(made.pool) == 0
    with pytest.raises(AddressInUseError):
        made.host.connect(made.now, outgoing)


def test_no_route(station: MakeStation) -> None:
    made = station()
    with pytest.raises(HostUnreachableError):
        made.host.connect(made.now, FourTuple(OURS, 50_000, "192.0.2.1", 80))
    with pytest.raises(BadAddressError):
        made.host.local_address_for("fd00::1")
    assert made.host.local_address_for(THEIRS) == OURS


def test_a_neighbour_that_does_not_answer_ends_an_active_open(station: MakeStation) -> None:
    made = station()
    tcb = made.host.connect(made.now, FourTuple(OURS, 50_000, "10.0.0.77", 80))
    made.advance(20)
    assert tcb.state is State.CLOSED
    assert tcb.error is HostUnreachableError


def test_free_port_skips_what_is_in_use(station: MakeStation) -> None:
    made = station()
    made.host.connect(made.now, FourTuple(OURS, 50_000, THEIRS, 80))
    assert made.host.free_port(made.now, OURS, THEIRS, 80, [50_000, 50_001]) == 50_001
    assert made.host.free_port(made.now, OURS, THEIRS, 81, [50_000]) == 50_000
    with pytest.raises(AddressInUseError):
        made.host.free_port(made.now, OURS, THEIRS, 80, [50_000])


def test_refusing_all(station: MakeStation) -> None:
    made = station()
    made.host.refuse_all()
    assert [packet.segment.letters for packet in made.say(40_000, Segment(7, 0, SYN))] == ["R."]


def test_aborting_all(station: MakeStation) -> None:
    made = station()
    third = shake_hands(made, 40_000)
    shake_hands(made, 40_001)
    made.say(40_001, third._replace(flags=FIN | ACK))
    made.host.abort_all(made.now)
    assert letters(made.host.take_frames()) == ["R.", "R."]
    assert (len(made.host.stack), len(made.pool)) == (0, 0)
    assert made.host.stack.deadline < inf, "the heap still looks"
    assert letters(made.advance(1000)) == []


def test_counters(station: MakeStation) -> None:
    made = station()
    shake_hands(made, 40_000)
    made.say(40_009, Segment(1, 1, ACK))
    made.receive(b"short")
    made.receive(b"\xff" * 64)
    counted = made.host.counters()
    assert (counted.segments_received, counted.segments_sent, counted.resets_sent) == (3, 2, 1)
    assert counted.drops[DropReason.FRAME_TOO_SHORT] == 1
    assert sum(counted.drops.values()) == 2


def test_a_trace_of_a_handshake(station: MakeStation) -> None:
    trace = Trace()
    made = station(trace=trace)
    shake_hands(made, 40_000)
    kinds = [
        (event.kind, event.before, event.after)
        for event in trace.of(HERE)
        if event.kind is not EventKind.POOL
    ]
    assert kinds == [
        (EventKind.RECEIVED, State.CLOSED, State.SYN_RECEIVED),
        (EventKind.MOVED, State.CLOSED, State.LISTEN),
        (EventKind.MOVED, State.LISTEN, State.SYN_RECEIVED),
        (EventKind.SENT, State.SYN_RECEIVED, State.SYN_RECEIVED),
        (EventKind.RECEIVED, State.SYN_RECEIVED, State.ESTABLISHED),
        (EventKind.MOVED, State.SYN_RECEIVED, State.ESTABLISHED),
    ]


def test_an_acknowledgment_is_traced_with_the_window_that_it_offers(station: MakeStation) -> None:
    trace = Trace()
    made = station(trace=trace)
    (syn_ack,) = made.say(40_000, Segment(7, 0, SYN, 65_535, for_syn(1460, 7, False, None)))
    third = Segment(8, syn_ack.segment.seq + 1, ACK, 65_535)
    made.say(40_000, third)
    made.say(40_000, third._replace(payload=b"text"))
    came, went = [event for event in trace.of(HERE) if event.segment is not None][-2:]
    assert (came.kind, went.kind) == (EventKind.RECEIVED, EventKind.SENT)
    assert came.info is not None
    assert went.info is not None
    assert went.segment is not None
    assert went.info.rcv_wscale is not None
    assert came.info.rcv_wnd == 65_535 - len(b"text"), "as the SYN+ACK offered it"
    assert went.info.rcv_wnd == went.segment.window << went.info.rcv_wscale > 65_535


def test_tracing_changes_nothing_on_the_wire(station: MakeStation) -> None:
    plain, traced = station(), station(trace=Trace())
    sent = []
    for made in (plain, traced):
        third = shake_hands(made, 40_000)
        made.receive(frame_of(40_000, third._replace(flags=FIN | ACK, payload=b"x")))
        made.pool.claim(HERE, timeout=0).close()
        sent.append(made.advance(5))
    assert sent[0] == sent[1]


# The IP layer below: RFC 9293 sections 3.1, 3.8.1 and 3.9.2


@pytest.mark.parametrize("at", range(34, 58, 3))
def test_a_segment_whose_checksum_is_wrong_changes_nothing(station: MakeStation, at: int) -> None:
    """MUST-3."""
    made = station()
    frame = bytearray(frame_of(40_000, Segment(7, 0, SYN, 65_535, for_syn(1460, None, False, None))))
    frame[at] ^= 0x01
    assert made.receive(bytes(frame)) == []
    assert made.host.counters().drops == {DropReason.TCP_BAD_CHECKSUM: 1}
    assert len(made.host.stack) == 0


def test_a_segment_sent_again_has_the_same_ip_identification(station: MakeStation) -> None:
    """MAY-4; nobody looks at it where nothing may be fragmented (RFC 6864 section 4.1)."""
    made = station(TcpConfig(timestamps=False))
    sent = made.receive(frame_of(40_000, Segment(7, 0, SYN, 65_535)))
    again = made.advance(1.0)
    assert sent == again
    packet = decode(sent[0])
    assert isinstance(packet, TcpPacket)
    assert isinstance(packet.ip, Ipv4)
    assert (packet.ip.ident, packet.ip.flags) == (0, DONT_FRAGMENT)


def headers(frames: list[bytes]) -> set[tuple[int, int]]:
    """Return TTL and the octet of the codepoint in the IP headers of *frames*."""
    packets = [decode(frame) for frame in frames]
    ips = [packet.ip for packet in packets if isinstance(packet, TcpPacket)]
    return {(ip.ttl, ip.tos) for ip in ips if isinstance(ip, Ipv4)}


@pytest.mark.parametrize("dscp", [0, 1, 46, 63])
@pytest.mark.parametrize("ttl", [1, 64, 255])
def test_every_segment_has_the_ttl_and_codepoint_of_the_rules(
    station: MakeStation, ttl: int, dscp: int
) -> None:
    """MUST-48, MUST-49, SHLD-22: SYN+ACK, its repetition, text, FIN, and resets of either kind."""
    made = station(TcpConfig(ttl=ttl, dscp=dscp))
    sent = made.receive(frame_of(40_000, Segment(7, 0, SYN, 65_535))) + made.advance(1.0)
    third = shake_hands(made, 40_001)
    connection = made.pool.claim(timeout=0)
    connection.sendall(b"text")
    connection.shutdown(SHUT_WR)
    sent += made.host.take_frames()
    sent += made.receive(frame_of(40_001, third._replace(flags=FIN | ACK)))
    connection.abort()
    sent += made.host.take_frames()
    sent += made.receive(frame_of(40_002, third))
    assert set(letters(sent)) == {"S.", "P.", "F.", ".", "R"}
    assert headers(sent) == {(ttl, dscp << 2)}


def test_a_connection_may_change_its_ttl_and_codepoint(station: MakeStation) -> None:
    """SHLD-21; the reset that ends it has them, too."""
    made = station()
    shake_hands(made, 40_000)
    connection = made.pool.claim(timeout=0)
    connection.configure(ttl=7, dscp=46)
    connection.sendall(b"text")
    connection.abort()
    sent = made.host.take_frames()
    assert letters(sent) == ["P.", "R."]
    assert headers(sent) == {(7, 46 << 2)}
    shake_hands(made, 40_001)
    made.pool.claim(timeout=0).close()
    assert headers(made.host.take_frames()) == {(64, 0)}


def test_a_segment_that_waits_for_its_neighbour_has_them_too() -> None:
    made = Station(TcpConfig(ttl=9, dscp=5))
    made.host.connect(made.now, FourTuple(OURS, 50_000, THEIRS, 80))
    made.host.take_frames()
    answer = encode(ArpPacket(Ethernet(OUR_MAC, THEIR_MAC), REPLY, THEIR_MAC, THEIRS, OUR_MAC, OURS))
    assert headers(made.receive(answer)) == {(9, 5 << 2)}


# ICMP errors


def icmp_about(frame: bytes, kind: int, code: int, rest: int = 0) -> bytes:
    """Return the error that 10.0.0.1 would send about a frame of ours."""
    message = IcmpPacket(
        Ethernet(OUR_MAC, THEIR_MAC),
        Ipv4(THEIRS, OURS),
        kind,
        code,
        rest.to_bytes(4, "big") + frame[14:][:28],
    )
    return build_icmp(message)


def opening(station: Station) -> tuple[Tcb, bytes]:
    """Let the station open a connection; return it and the frame with its SYN."""
    station.introduce()
    tcb = station.host.connect(station.now, FourTuple(OURS, 40_000, THEIRS, 80))
    return tcb, station.host.take_frames()[-1]


def test_an_icmp_error_ends_an_attempt_to_connect() -> None:
    station = Station()
    tcb, syn = opening(station)
    assert station.receive(icmp_about(syn, 3, 3)) == []
    assert (tcb.state, tcb.error) == (State.CLOSED, ConnectionRefusedError)


def test_an_icmp_error_is_traced_before_what_it_brings_about() -> None:
    trace = Trace()
    station = Station(trace=trace)
    tcb, syn = opening(station)
    frame = icmp_about(syn, 3, 3)
    station.receive(frame)
    error, moved = list(trace)[-2:]
    assert (error.kind, error.frame, error.four_tuple) == (EventKind.ICMP, frame, tcb.four_tuple)
    assert error.path_error is not None
    assert (error.path_error.seq, error.path_error.hard) == (tcb.iss, True)
    assert error.as_dict()["path_error"] == {
        "seq": tcb.iss,
        "error": "ConnectionRefusedError",
        "hard": True,
        "mtu": None,
    }
    assert (moved.kind, moved.after) == (EventKind.MOVED, State.CLOSED)


def test_an_icmp_error_that_quotes_garbage_is_counted() -> None:
    station = Station()
    tcb, syn = opening(station)
    station.receive(icmp_about(syn[:20], 3, 3), icmp_about(syn, 3, 99))
    assert tcb.state is State.SYN_SENT
    drops = station.host.counters().drops
    assert (drops[DropReason.ICMP_MALFORMED], drops[DropReason.ICMP_IGNORED]) == (1, 1)


def test_source_quench_is_discarded_in_silence() -> None:
    """MUST-55."""
    station = Station()
    tcb, syn = opening(station)
    before = snapshot(tcb)
    assert station.receive(icmp_about(syn, 4, 0)) == []
    assert snapshot(tcb) == before
    assert station.host.counters().drops == {DropReason.ICMP_IGNORED: 1}


@pytest.mark.parametrize(
    ("kind", "code"), [(3, 0), (3, 1), (3, 5), (11, 0), (11, 1), (12, 0)], ids=lambda value: str(value)
)
def test_no_soft_error_ends_an_attempt_to_connect_by_the_rfc(kind: int, code: int) -> None:
    """MUST-56, SHLD-25."""
    station = Station(TcpConfig.strict())
    tcb, syn = opening(station)
    assert station.receive(icmp_about(syn, kind, code)) == []
    assert tcb.state is State.SYN_SENT
    assert snapshot(tcb).soft_error in (HostUnreachableError, NetworkUnreachableError)


def test_a_router_with_a_smaller_mtu_is_obeyed() -> None:
    station = Station()
    tcb, _ = opening(station)
    syn_ack = Segment(9, add(tcb.iss, 1), SYN | ACK, 65_535, for_syn(1460, None, False, None))
    station.receive(encode_segment(PREFIX, FourTuple(THEIRS, 80, OURS, 40_000), syn_ack))
    station.host.send(station.now, tcb, memoryview(bytes(1460)))
    (too_big,) = station.host.take_frames()
    again = station.receive(icmp_about(too_big, 3, 4, rest=1000))
    assert [len(frame) - 14 for frame in again] == [1000, 40 + 500]
