"""Which moves and drops belong to which segment."""

from __future__ import annotations

from xsocket import DropReason, Event, EventKind, FourTuple, Segment
from xsocket.patherror import PathError
from xsocket.segment import ACK, RST
from xsocket.state import State, Timer, Trigger
from xsocket_tools.steps import Step, cite, steps

ONE = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
OTHER = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_001)
SEGMENT = Segment(1, 1, ACK)


def event(kind: EventKind, four_tuple: FourTuple = ONE, **fields: object) -> Event:
    return Event(kind=kind, at_ns=0, four_tuple=four_tuple, **fields)  # type: ignore[arg-type]


def moved(before: State, after: State, trigger: Trigger, four_tuple: FourTuple = ONE) -> Event:
    return event(EventKind.MOVED, four_tuple, before=before, after=after, trigger=trigger, rule="3.10.4")


def received(before: State, after: State, four_tuple: FourTuple = ONE) -> Event:
    return event(EventKind.RECEIVED, four_tuple, segment=SEGMENT, before=before, after=after)


def sent(state: State) -> Event:
    return event(EventKind.SENT, segment=Segment(1, 1, RST), before=state, after=state, rule="3.10.5")


def told(step: Step) -> tuple[str, State | None, State | None, int, int]:
    return step.event.kind.value, step.before, step.after, len(step.moves), len(step.drops)


def test_a_segment_takes_the_moves_on_its_way_though_connections_are_mixed() -> None:
    grouped = steps(
        [
            received(State.CLOSED, State.SYN_RECEIVED),
            received(State.SYN_RECEIVED, State.ESTABLISHED, OTHER),
            moved(State.CLOSED, State.LISTEN, Trigger.PASSIVE_OPEN),
            moved(State.SYN_RECEIVED, State.ESTABLISHED, Trigger.ACK_OF_SYN, OTHER),
            moved(State.LISTEN, State.SYN_RECEIVED, Trigger.SYN),
        ]
    )
    assert [told(step) for step in grouped] == [
        ("received", State.CLOSED, State.SYN_RECEIVED, 2, 0),
        ("received", State.SYN_RECEIVED, State.ESTABLISHED, 1, 0),
    ]


def error(four_tuple: FourTuple = ONE) -> Event:
    said = PathError(four_tuple, 1, ConnectionRefusedError, hard=True)
    return event(EventKind.ICMP, four_tuple, path_error=said)


def test_an_icmp_error_takes_what_it_ends_and_why_it_was_ignored() -> None:
    grouped = steps(
        [
            error(),
            moved(State.SYN_SENT, State.CLOSED, Trigger.PATH_ERROR),
            error(OTHER),
            event(EventKind.DROPPED, OTHER, reason=DropReason.ICMP_NOT_IN_FLIGHT),
            event(EventKind.DROPPED, OTHER, reason=DropReason.POOL_TIMED_OUT),
            moved(State.ESTABLISHED, State.CLOSED, Trigger.ABORT, OTHER),
        ]
    )
    assert [told(step) for step in grouped] == [
        ("icmp", State.SYN_SENT, State.CLOSED, 1, 0),
        ("icmp", None, None, 0, 1),
        ("dropped", None, None, 0, 0),
        ("moved", State.ESTABLISHED, State.CLOSED, 1, 0),
    ]


def test_what_a_call_sends_shows_the_calls_move() -> None:
    grouped = steps([moved(State.ESTABLISHED, State.CLOSED, Trigger.ABORT), sent(State.CLOSED)])
    assert [told(step) for step in grouped] == [("sent", State.ESTABLISHED, State.CLOSED, 1, 0)]


def test_a_move_that_sends_nothing_stands_alone() -> None:
    grouped = steps(
        [
            received(State.SYN_RECEIVED, State.ESTABLISHED),
            moved(State.SYN_RECEIVED, State.ESTABLISHED, Trigger.ACK_OF_SYN),
            moved(State.ESTABLISHED, State.FIN_WAIT_1, Trigger.CLOSE),
        ]
    )
    assert [told(step) for step in grouped] == [
        ("received", State.SYN_RECEIVED, State.ESTABLISHED, 1, 0),
        ("moved", State.ESTABLISHED, State.FIN_WAIT_1, 1, 0),
    ]


def test_a_timer_takes_the_move_it_causes() -> None:
    grouped = steps(
        [
            event(EventKind.TIMER, timer=Timer.TIME_WAIT),
            moved(State.TIME_WAIT, State.CLOSED, Trigger.TIME_WAIT_OVER),
        ]
    )
    assert [told(step) for step in grouped] == [("timer", State.TIME_WAIT, State.CLOSED, 1, 0)]


def test_a_drop_belongs_to_its_segment_even_behind_the_answer() -> None:
    drop = event(EventKind.DROPPED, segment=SEGMENT, reason=DropReason.ACK_UNSENT)
    grouped = steps([received(State.ESTABLISHED, State.ESTABLISHED), sent(State.ESTABLISHED), drop])
    assert [told(step) for step in grouped] == [
        ("received", State.ESTABLISHED, State.ESTABLISHED, 0, 1),
        ("sent", State.ESTABLISHED, State.ESTABLISHED, 0, 0),
    ]


def test_a_drop_without_a_segment_stands_alone() -> None:
    drop = event(EventKind.DROPPED, reason=DropReason.HALF_OPEN_EVICTED)
    grouped = steps([received(State.CLOSED, State.CLOSED), drop])
    assert [told(step)[0] for step in grouped] == ["received", "dropped"]


def test_a_bare_section_is_one_of_rfc_9293() -> None:
    assert cite("3.10.5") == "RFC 9293 3.10.5"
    assert cite("RFC 5961 5.2") == "RFC 5961 5.2"
