"""What two kernels said becomes a story: each segment once, what was lost or forged as such."""

import pytest

from xsocket import FourTuple
from xsocket.segment import ACK, RST, SYN, Segment
from xsocket.state import State, Trigger
from xsocket.trace import Event, EventKind
from xsocket_tools.teaching.lesson import digest
from xsocket_tools.teaching.records import LEFT, RIGHT, Record
from xsocket_tools.teaching.report import render
from xsocket_tools.teaching.story import Kind, Source, Step, Tables, Variable
from xsocket_tools.teaching.telling import of_kernels
from xsocket_tools.teaching.tracepoints import Again

OURS = FourTuple("10.0.0.1", 40_000, "10.0.0.2", 80)
SYN_SEGMENT = Segment(1000, 0, SYN)
SYN_ACK = Segment(5000, 1001, SYN | ACK)
THIRD = Segment(1001, 5001, ACK)
CLOSED, LISTEN, SYN_SENT = State.CLOSED, State.LISTEN, State.SYN_SENT
HALF, OPEN = State.SYN_RECEIVED, State.ESTABLISHED


def sent(
    end: int, at_ms: int, segment: Segment, before: State, after: State, *, lost: bool = False
) -> Record:
    return record(EventKind.SENT, end, at_ms, segment, before, after, lost=lost)


def got(
    end: int, at_ms: int, segment: Segment, before: State, after: State, *, forged: bool = False
) -> Record:
    return record(EventKind.RECEIVED, end, at_ms, segment, before, after, forged=forged)


def record(
    kind: EventKind,
    end: int,
    at_ms: int,
    segment: Segment,
    before: State,
    after: State,
    *,
    lost: bool = False,
    forged: bool = False,
) -> Record:
    four_tuple = OURS if end == LEFT else OURS.reversed
    event = Event(kind, at_ms * 1_000_000, four_tuple=four_tuple, segment=segment, before=before, after=after)
    return Record(end, event, (Variable("RTO", f"{at_ms} ms"),), lost=lost, forged=forged)


def without_segment(kind: EventKind, end: int, **fields: object) -> Record:
    four_tuple = OURS if end == LEFT else OURS.reversed
    return Record(end, Event(kind, 10**9, four_tuple=four_tuple)._replace(**fields))


HANDSHAKE = [
    sent(LEFT, 0, SYN_SEGMENT, CLOSED, SYN_SENT),
    got(RIGHT, 10, SYN_SEGMENT, LISTEN, HALF),
    sent(RIGHT, 10, SYN_ACK, HALF, HALF),
    got(LEFT, 20, SYN_ACK, SYN_SENT, OPEN),
    sent(LEFT, 20, THIRD, OPEN, OPEN),
    got(RIGHT, 30, THIRD, HALF, OPEN),
]


def told(*records: Record) -> tuple[Step, ...]:
    return of_kernels(records, title="made up").steps


def test_a_handshake_of_kernels_is_three_steps() -> None:
    story = of_kernels(HANDSHAKE, title="made up")
    assert [end.source for end in story.ends] == [Source.ASKED, Source.ASKED]
    assert [step.kind for step in story.steps] == [Kind.CARRIED] * 3
    assert [step.at_s for step in story.steps] == [0.0, 0.01, 0.02]
    first = story.steps[0]
    assert [(view.before, view.state) for view in first.views] == [(CLOSED, SYN_SENT), (LISTEN, HALF)]
    assert first.views[1].variables == (Variable("RTO", "10 ms", changed=True),)
    assert all(step.because == () for step in story.steps)


def test_a_listener_has_two_queues() -> None:
    accepted = without_segment(EventKind.POOL, RIGHT, pool_event="accepted")
    assert [step.tables[1] for step in told(*HANDSHAKE, accepted)] == [
        Tables(half_open=("10.0.0.1:40000",)),
        Tables(half_open=("10.0.0.1:40000",)),
        Tables(pool=("10.0.0.1:40000",)),
        Tables(claimed=1),
    ]


def test_what_is_accepted_before_the_third_segment_does_not_come_to_the_pool_with_it() -> None:
    accepted = without_segment(EventKind.POOL, RIGHT, pool_event="accepted")
    steps = told(*HANDSHAKE[:2], accepted, *HANDSHAKE[2:])
    assert steps[-1].views[1].state is OPEN
    assert steps[-1].tables[1] == Tables(claimed=1)


def test_a_connection_by_cookie_is_never_half_open() -> None:
    cookie = [
        HANDSHAKE[0],
        got(RIGHT, 10, SYN_SEGMENT, LISTEN, LISTEN),
        sent(RIGHT, 10, SYN_ACK, LISTEN, LISTEN),
        *HANDSHAKE[3:5],
        got(RIGHT, 30, THIRD, LISTEN, OPEN),
    ]
    assert [step.tables[1] for step in told(*cookie)] == [
        Tables(),
        Tables(),
        Tables(pool=("10.0.0.1:40000",)),
    ]


def test_what_both_open_is_in_no_queue() -> None:
    steps = told(
        sent(LEFT, 0, SYN_SEGMENT, CLOSED, SYN_SENT),
        sent(RIGHT, 1, Segment(5000, 0, SYN), CLOSED, SYN_SENT),
        got(RIGHT, 10, SYN_SEGMENT, SYN_SENT, HALF),
        got(LEFT, 11, Segment(5000, 0, SYN), SYN_SENT, HALF),
    )
    assert [step.kind for step in steps] == [Kind.SENT, Kind.SENT, Kind.ARRIVED, Kind.ARRIVED]
    assert steps[-1].tables == (Tables(), Tables())


def test_of_two_equal_segments_the_lost_one_does_not_arrive() -> None:
    steps = told(
        sent(LEFT, 0, SYN_SEGMENT, CLOSED, SYN_SENT, lost=True),
        sent(LEFT, 1000, SYN_SEGMENT, SYN_SENT, SYN_SENT),
        got(RIGHT, 1010, SYN_SEGMENT, LISTEN, HALF),
    )
    assert [(step.kind, step.at_s, step.until_s) for step in steps] == [
        (Kind.LOST, 0.0, 0.0),
        (Kind.CARRIED, 1.0, 1.01),
    ]
    assert steps[0].views[1].state is None


def test_what_was_forged_is_not_what_is_under_way() -> None:
    reset = Segment(1001, 0, RST)
    steps = told(
        *HANDSHAKE,
        sent(LEFT, 40, reset, OPEN, CLOSED),
        got(RIGHT, 41, reset, OPEN, CLOSED, forged=True),
        got(RIGHT, 50, reset, CLOSED, CLOSED),
    )
    assert [step.kind for step in steps[3:]] == [Kind.SENT, Kind.FORGED, Kind.ARRIVED]


@pytest.mark.parametrize(
    ("trigger", "kind", "title"),
    [
        pytest.param(Trigger.CLOSE, Kind.CALL, "client: CLOSE", id="call"),
        pytest.param(None, Kind.TIMER, "client: a timer ends SYN-SENT", id="timer"),
    ],
)
def test_what_no_segment_shows(trigger: Trigger | None, kind: Kind, title: str) -> None:
    moved = without_segment(EventKind.MOVED, LEFT, before=SYN_SENT, after=CLOSED, trigger=trigger)
    step = told(sent(LEFT, 0, SYN_SEGMENT, CLOSED, SYN_SENT, lost=True), moved)[-1]
    assert (step.kind, step.title) == (kind, title)
    assert (step.views[0].before, step.views[0].state) == (SYN_SENT, CLOSED)


REFUSED = Segment(0, 1001, RST | ACK)
BLIND = Segment(1, 0, RST)


def test_a_drop_is_told_with_its_reason_and_its_rule() -> None:
    dropped = got(LEFT, 40, BLIND, OPEN, OPEN, forged=True)._replace(drop="TCP_OLD_SEQUENCE")
    step = told(*HANDSHAKE, dropped)[-1]
    assert step.notes == (
        "dropped, TCP_OLD_SEQUENCE: RFC 9293 3.10.7.4 second, 1): all of it lies before RCV.NXT",
    )
    assert [(each.end, each.key, each.did) for each in step.because] == [
        (LEFT, "RFC 9293 3.10.7.4 second, 1)", "dropped")
    ]


@pytest.mark.parametrize(
    ("name", "note"),
    [
        pytest.param(
            "TCP_LISTEN_OVERFLOW", "dropped, TCP_LISTEN_OVERFLOW: the listener's queue is full", id="ours"
        ),
        pytest.param("SOMETHING_NEW", "dropped, SOMETHING_NEW", id="unknown"),
    ],
)
def test_a_drop_may_have_no_rule(name: str, note: str) -> None:
    step = told(*HANDSHAKE[:5], got(RIGHT, 30, THIRD, HALF, HALF)._replace(drop=name))[-1]
    assert (step.notes, step.because) == ((note,), ())


def test_what_moved_a_connection_was_not_dropped() -> None:
    step = told(*HANDSHAKE[:5], got(RIGHT, 30, THIRD, HALF, OPEN)._replace(drop="TCP_OLD_DATA"))[-1]
    assert (step.notes, step.because) == ((), ())


def test_a_reset_is_told_with_its_reason() -> None:
    syn = got(RIGHT, 10, SYN_SEGMENT, CLOSED, CLOSED)
    reset = sent(RIGHT, 10, REFUSED, CLOSED, CLOSED)._replace(reset="NO_SOCKET")
    (because,) = told(HANDSHAKE[0], syn, reset)[-1].because
    assert (because.end, because.key, because.did) == (RIGHT, "RFC 9293 3.10.7.1", "sent RST")
    assert because.sentence.startswith("Linux: NO_SOCKET, no connection and no listener has ")
    assert because.url.endswith("#section-3.10.7.1")


def test_a_reset_of_a_third_segment_cites_no_rule_about_syns() -> None:
    bare = Segment(SYN_ACK.acknowledgment, 0, RST)
    reset = sent(RIGHT, 30, bare, CLOSED, CLOSED)._replace(reset="INVALID_SYN")
    third = got(RIGHT, 30, THIRD, HALF, CLOSED)
    (because,) = told(*HANDSHAKE[:-1], third, reset)[-1].because
    assert because.key == "Linux"
    assert "the queue is full" in because.sentence


def test_a_reset_may_have_no_rule() -> None:
    reset = sent(RIGHT, 40, REFUSED, OPEN, CLOSED)._replace(reset="SOMETHING_NEW")
    (because,) = told(*HANDSHAKE, reset)[-1].because
    assert (because.key, because.sentence, because.url) == ("Linux", "SOMETHING_NEW.", "")


@pytest.mark.parametrize(
    ("again", "before", "timeouts", "key"),
    [
        pytest.param(Again.BY_TIMER, SYN_SENT, 0, "RFC 6298 5.4", id="handshake"),
        pytest.param(Again.BY_TIMER, OPEN, 1, "RFC 6298 5.4", id="timeout"),
        pytest.param(Again.BY_TIMER, OPEN, 0, "RFC 8985 7.3", id="probe"),
        pytest.param(Again.FOR_AN_ANSWER, OPEN, 0, "Linux", id="answer"),
    ],
)
def test_a_retransmission_is_told_as_one(again: Again, before: State, timeouts: int, key: str) -> None:
    record = sent(LEFT, 40, THIRD, before, before)._replace(again=again, timeouts=timeouts)
    step = told(record)[-1]
    assert [(each.key, each.did) for each in step.because] == [(key, "sent ACK again")]
    assert step.timed == (again is Again.BY_TIMER)


def test_what_is_told_besides_is_not_in_the_digest() -> None:
    plain = [*HANDSHAKE, got(LEFT, 40, BLIND, OPEN, OPEN, forged=True)]
    traced = [*HANDSHAKE, plain[-1]._replace(drop="TCP_OLD_SEQUENCE")]
    traced[0] = traced[0]._replace(again=Again.BY_TIMER, reset="TCP_STATE")
    assert digest(of_kernels(plain, title="")) == digest(of_kernels(traced, title=""))


def test_a_clock_is_drawn_where_a_timer_has_something_sent() -> None:
    syn = sent(LEFT, 1000, SYN_SEGMENT, SYN_SENT, SYN_SENT)
    plain, timed = (
        render(of_kernels([HANDSHAKE[0], each], title=""))
        for each in (syn, syn._replace(again=Again.BY_TIMER))
    )
    assert [page.count('class="hands"') for page in (plain, timed)] == [0, 1]
    assert [page.count("a timer that runs out") for page in (plain, timed)] == [0, 1]
