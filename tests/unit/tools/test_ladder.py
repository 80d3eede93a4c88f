"""The ladder: exact rows for scripted connections, and how they are drawn."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from support.documents import Shown, assert_printed
from xsocket import DropReason, Event, EventKind, FourTuple, Segment
from xsocket.segment import ACK, FIN, PSH, RST, SYN
from xsocket.state import State, Timer, Trigger
from xsocket.tcp.options import for_segment, for_syn
from xsocket_tools.ladder import UNKNOWN, Arrow, Ladder, Note, States, ladder
from xsocket_tools.ladder_view import LadderView

KEY = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
CLIENT_ISS, ENGINE_ISS = 0xFFFF_FFFE, 7_000_000  # the client's numbers wrap
CLIENT_NEXT = 0xFFFF_FFFF
START_NS = 1_800_000_000_000_000_000

SYN_SEGMENT = Segment(CLIENT_ISS, 0, SYN, 64_240, for_syn(1460, 7, True, (100, 0)))
SYN_ACK_SEGMENT = Segment(ENGINE_ISS, CLIENT_NEXT, SYN | ACK, 65_535, for_syn(1460, 3, True, (900, 100)))
THIRD_SEGMENT = Segment(CLIENT_NEXT, ENGINE_ISS + 1, ACK, 502, for_segment((101, 900)))
TEXT_SEGMENT = Segment(CLIENT_NEXT, ENGINE_ISS + 1, PSH | ACK, 502, b"", b"hello")


def event(kind: EventKind, us: int, **fields: object) -> Event:
    return Event(kind=kind, at_ns=START_NS + us * 1000, four_tuple=KEY, **fields)  # type: ignore[arg-type]


def received(us: int, segment: Segment, before: State, after: State | None = None) -> Event:
    return event(EventKind.RECEIVED, us, segment=segment, before=before, after=after or before)


def sent(us: int, segment: Segment, state: State, rule: str = "3.10.2") -> Event:
    return event(EventKind.SENT, us, segment=segment, before=state, after=state, rule=rule)


def moved(us: int, before: State, after: State, trigger: Trigger, rule: str) -> Event:
    return event(EventKind.MOVED, us, before=before, after=after, trigger=trigger, rule=rule)


HANDSHAKE = [
    received(0, SYN_SEGMENT, State.CLOSED, State.SYN_RECEIVED),
    moved(10, State.CLOSED, State.LISTEN, Trigger.PASSIVE_OPEN, "3.10.1"),
    moved(11, State.LISTEN, State.SYN_RECEIVED, Trigger.SYN, "3.10.7.2 third"),
    sent(20, SYN_ACK_SEGMENT, State.SYN_RECEIVED, "3.10.7.2 third"),
    received(1500, THIRD_SEGMENT, State.SYN_RECEIVED, State.ESTABLISHED),
    moved(1510, State.SYN_RECEIVED, State.ESTABLISHED, Trigger.ACK_OF_SYN, "3.10.7.4 fifth"),
    event(EventKind.POOL, 1520, pool_event="put"),
    event(EventKind.POOL, 1530, pool_event="claimed"),
]

HANDSHAKE_ROWS = [
    Arrow(
        at_s=0.0,
        to_engine=True,
        flags="SYN",
        seq=0,
        ack=None,
        length=0,
        window=64_240,
        options=("mss 1460", "sackOK", "TS val 100 ecr 0", "wscale 7"),
        peer=States(State.CLOSED, State.SYN_SENT),
        engine=States(State.CLOSED, State.SYN_RECEIVED),
    ),
    Arrow(
        at_s=0.00002,
        to_engine=False,
        flags="SYN+ACK",
        seq=0,
        ack=1,
        length=0,
        window=65_535,
        options=("mss 1460", "sackOK", "TS val 900 ecr 100", "wscale 3"),
        peer=States(State.SYN_SENT, State.ESTABLISHED),
        engine=States(State.SYN_RECEIVED, State.SYN_RECEIVED),
        rule="RFC 9293 3.10.7.2 third",
    ),
    Arrow(
        at_s=0.0015,
        to_engine=True,
        flags="ACK",
        seq=1,
        ack=1,
        length=0,
        window=502,
        options=("TS val 101 ecr 900",),
        peer=States(State.ESTABLISHED, State.ESTABLISHED),
        engine=States(State.SYN_RECEIVED, State.ESTABLISHED),
    ),
    Note(0.00152, EventKind.POOL, "pool: put"),
    Note(0.00153, EventKind.POOL, "pool: claimed"),
]


def arrows(drawn: Ladder) -> list[Arrow]:
    return [row for row in drawn.rows if isinstance(row, Arrow)]


def notes(drawn: Ladder) -> list[Note]:
    return [row for row in drawn.rows if isinstance(row, Note)]


def test_the_rows_of_a_handshake() -> None:
    assert ladder(HANDSHAKE, KEY) == Ladder(KEY, HANDSHAKE_ROWS, inferred=True)


def test_other_connections_are_left_out() -> None:
    other = event(EventKind.POOL, 5, pool_event="put")._replace(four_tuple=KEY._replace(remote_port=1))
    assert ladder([other, *HANDSHAKE], KEY).rows == HANDSHAKE_ROWS


def test_absolute_numbers_on_request() -> None:
    drawn = ladder(HANDSHAKE, KEY, absolute=True)
    assert [(row.seq, row.ack) for row in arrows(drawn)] == [
        (CLIENT_ISS, None),
        (ENGINE_ISS, CLIENT_NEXT),
        (CLIENT_NEXT, ENGINE_ISS + 1),
    ]


def test_a_stream_whose_syn_was_not_seen_starts_at_one() -> None:
    drawn = ladder([received(0, TEXT_SEGMENT, State.ESTABLISHED)], KEY)
    assert [(row.seq, row.ack, row.length) for row in arrows(drawn)] == [(1, 1, 5)]


def test_a_new_connection_of_the_same_name_counts_from_its_own_syn() -> None:
    again = Segment(12_345, 0, SYN)
    drawn = ladder([*HANDSHAKE, received(9000, again, State.TIME_WAIT, State.SYN_RECEIVED)], KEY)
    assert (arrows(drawn)[-1].seq, arrows(drawn)[-1].peer) == (0, States(State.CLOSED, State.SYN_SENT))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(b"", (), id="none"),
        pytest.param(b"\x01\x01\x00\x00", (), id="padding"),
        pytest.param(
            for_segment(None, ((CLIENT_NEXT + 9 & 0xFFFF_FFFF, 17), (30, 40))),
            ("sack 10:19 32:42",),
            id="sack blocks relative to the stream they report",
        ),
        pytest.param(b"\x01\x01\x13\x12" + bytes(16), ("md5",), id="MD5 signature"),
        pytest.param(b"\x1d\x10\x3d\x54" + bytes(12), ("ao key 61 rnext 84",), id="TCP-AO"),
        pytest.param(b"\x1c\x04\x00\x64", ("user timeout 100 s",), id="user timeout in seconds"),
        pytest.param(b"\x1c\x04\x80\x02", ("user timeout 2 min",), id="user timeout in minutes"),
        pytest.param(b"\x22\x02", ("fast open request",), id="fast open request"),
        pytest.param(b"\x22\x06\xab\xcd\xef\x01", ("fast open abcdef01",), id="fast open cookie"),
        pytest.param(b"\xfd\x04\xf9\x89", ("option 253 of 2 octets",), id="unknown"),
        pytest.param(b"\x02\x04\x05", ("malformed 020405",), id="malformed"),
    ],
)
def test_options_in_words(options: bytes, words: tuple[str, ...]) -> None:
    answer = Segment(ENGINE_ISS + 1, CLIENT_NEXT, ACK, options=options)
    drawn = ladder([*HANDSHAKE, sent(2000, answer, State.ESTABLISHED)], KEY)
    assert arrows(drawn)[-1].options == words


def test_a_close_shows_its_move_beside_the_fin() -> None:
    fin = Segment(ENGINE_ISS + 1, CLIENT_NEXT, FIN | ACK)
    drawn = ladder(
        [
            *HANDSHAKE,
            moved(2000, State.ESTABLISHED, State.FIN_WAIT_1, Trigger.CLOSE, "3.10.4"),
            sent(2001, fin, State.FIN_WAIT_1, "3.10.4"),
        ],
        KEY,
    )
    last = arrows(drawn)[-1]
    assert (last.flags, last.engine, last.peer, last.rule) == (
        "FIN+ACK",
        States(State.ESTABLISHED, State.FIN_WAIT_1),
        States(State.ESTABLISHED, State.CLOSE_WAIT),
        "RFC 9293 3.10.4",
    )


def test_timers_and_lonely_moves_have_lines_of_their_own() -> None:
    drawn = ladder(
        [
            received(0, TEXT_SEGMENT, State.TIME_WAIT),
            event(EventKind.TIMER, 1000, timer=Timer.RETRANSMISSION),
            moved(2000, State.SYN_SENT, State.CLOSED, Trigger.CLOSE, "3.10.4"),
            event(EventKind.TIMER, 60_000_000, timer=Timer.TIME_WAIT),
            moved(60_000_001, State.TIME_WAIT, State.CLOSED, Trigger.TIME_WAIT_OVER, "3.10.8"),
        ],
        KEY,
    )
    assert notes(drawn) == [
        Note(0.001, EventKind.TIMER, "retransmission timer ran out"),
        Note(0.002, EventKind.MOVED, "CLOSE (RFC 9293 3.10.4)", States(State.SYN_SENT, State.CLOSED)),
        Note(
            60.0,
            EventKind.TIMER,
            "time-wait timer ran out, 2 MSL passed (RFC 9293 3.10.8)",
            States(State.TIME_WAIT, State.CLOSED),
        ),
    ]


def test_a_drop_stands_below_its_segment_with_the_reason() -> None:
    reset = Segment(CLIENT_NEXT + 500_000, 0, RST)
    drawn = ladder(
        [
            received(0, reset, State.ESTABLISHED),
            event(EventKind.DROPPED, 30, segment=reset, reason=DropReason.RST_OUTSIDE_WINDOW),
        ],
        KEY,
    )
    assert drawn.rows[1:] == [
        Note(0.00003, EventKind.DROPPED, "dropped, RST_OUTSIDE_WINDOW: RFC 9293 3.10.7.4 second, 1)", UNKNOWN)
    ]


def from_the_other_end(own: Event) -> Event:
    return own._replace(four_tuple=KEY.reversed)


def test_the_peers_own_trace_gives_its_states_and_what_was_lost() -> None:
    peer_events = [
        moved(-2_000_010, State.CLOSED, State.SYN_SENT, Trigger.ACTIVE_OPEN, "3.10.1"),
        sent(-2_000_000, SYN_SEGMENT._replace(window=1), State.SYN_SENT, "3.10.1"),  # never arrives
        event(EventKind.TIMER, -1_000_001, timer=Timer.RETRANSMISSION),
        sent(-5, SYN_SEGMENT, State.SYN_SENT, "3.8.1"),
        received(30, SYN_ACK_SEGMENT, State.SYN_SENT, State.ESTABLISHED),
        moved(31, State.SYN_SENT, State.ESTABLISHED, Trigger.SYN_ACK_OF_OURS, "3.10.7.3 fourth"),
        sent(40, THIRD_SEGMENT, State.ESTABLISHED, "3.10.7.3 fourth"),
    ]
    lost = Segment(ENGINE_ISS + 1, CLIENT_NEXT, PSH | ACK, 1, b"", b"hello")
    drawn = ladder(
        [*HANDSHAKE, sent(2000, lost, State.ESTABLISHED)],
        KEY,
        [from_the_other_end(each) for each in peer_events],
    )
    assert not drawn.inferred
    assert [(row.at_s, row.flags, row.peer, row.engine, row.lost) for row in arrows(drawn)] == [
        (0.0, "SYN", States(State.CLOSED, State.SYN_SENT), UNKNOWN, True),
        (
            2.0,
            "SYN",
            States(State.SYN_SENT, State.SYN_SENT),
            States(State.CLOSED, State.SYN_RECEIVED),
            False,
        ),
        (
            2.00002,
            "SYN+ACK",
            States(State.SYN_SENT, State.ESTABLISHED),
            States(State.SYN_RECEIVED, State.SYN_RECEIVED),
            False,
        ),
        (
            2.0015,
            "ACK",
            States(State.ESTABLISHED, State.ESTABLISHED),
            States(State.SYN_RECEIVED, State.ESTABLISHED),
            False,
        ),
        (
            2.002,
            "PSH+ACK",
            States(State.ESTABLISHED, State.ESTABLISHED),
            States(State.ESTABLISHED, State.ESTABLISHED),
            True,
        ),
    ]


def test_an_unknown_connection_has_no_rows() -> None:
    assert ladder([], KEY) == Ladder(KEY, [], inferred=True)


# Drawing


def drawing(width: int, encoding: str = "utf-8", *, terminal: bool = False) -> str:
    octets = io.BytesIO()
    with io.TextIOWrapper(octets, encoding=encoding) as file:
        console = Console(file=file, width=width, force_terminal=terminal, legacy_windows=False)
        console.print(LadderView(ladder(HANDSHAKE, KEY), peer_name="Linux", engine_name="engine"))
        file.flush()
        return octets.getvalue().decode(encoding)


EIGHTY_COLUMNS = """\
      ms Linux          10.0.0.1:40000               10.0.0.2:80 engine
   0.000 ~CLOSED        ── SYN seq 0 ──────────────────────────▶ CLOSED
         → SYN-SENT     win 64240  mss 1460  sackOK              → SYN-RECEIVED
                        TS val 100 ecr 0  wscale 7
   0.020 ~SYN-SENT      ◀── SYN+ACK seq 0 ack 1 ──────────────── SYN-RECEIVED
         → ESTABLISHED  win 65535  mss 1460  sackOK
                        TS val 900 ecr 100  wscale 3
                        by RFC 9293 3.10.7.2 third
   1.500 ~ESTABLISHED   ── ACK seq 1 ack 1 ────────────────────▶ SYN-RECEIVED
                        win 502  TS val 101 ecr 900              → ESTABLISHED
   1.520                pool: put
   1.530                pool: claimed
~ inferred from the segments by the transition table: this end kept no trace
"""


@pytest.mark.runs("docs/how-to/trace.md", "text")
def test_the_page_shows_the_same_with_the_names_there_are_by_themselves(shown: Shown) -> None:
    with io.StringIO() as file:
        Console(file=file, width=80).print(LadderView(ladder(HANDSHAKE, KEY)))
        assert_printed(shown.text("text 1"), file.getvalue(), "the page")


def test_eighty_columns_are_enough() -> None:
    lines = drawing(80).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.rstrip() for line in lines] == EIGHTY_COLUMNS.splitlines()


def test_a_wide_terminal_shows_a_move_in_one_line() -> None:
    assert "~CLOSED → SYN-SENT " in drawing(120)
    assert "SYN-RECEIVED → ESTABLISHED" in drawing(120)


def test_endpoints_of_ipv6_keep_their_brackets() -> None:
    key = FourTuple("fd00::2", 80, "fd00::1", 40_000)
    events = [event._replace(four_tuple=key) for event in HANDSHAKE]
    with io.StringIO() as file:
        Console(file=file, width=80).print(LadderView(ladder(events, key)))
        assert "[fd00::1]:40000" in file.getvalue()
        assert "[fd00::2]:80 engine" in file.getvalue()


def test_colour_is_for_terminals() -> None:
    assert "\x1b" not in drawing(80)
    assert "\x1b[" in drawing(80, terminal=True)


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert "-- SYN seq 0 -" in drawing(80, "ascii")
    assert "-> SYN-SENT" in drawing(80, "ascii")
