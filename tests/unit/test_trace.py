"""The trace: what an event says as JSON, what is kept, and what an engine records."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from xsocket import DropReason, Engine, Event, EventKind, FourTuple, Segment, State, Trace
from xsocket.segment import ACK, PSH
from xsocket.state import Timer, Trigger
from xsocket.wire.memory_link import memory_pair

KEY = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
OTHER = FourTuple("fd00::2", 80, "fd00::1", 40_000)
SEGMENT = Segment(1, 2, PSH | ACK, 3, b"\x01\x01\x01\x01", b"hi")
PLAIN_SEGMENT = {
    "flags": "P.",
    "seq": 1,
    "ack": 2,
    "window": 3,
    "length": 2,
    "options": "01010101",
    "payload": "6869",
    "ecn": 0,
}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(
            Event(
                kind=EventKind.RECEIVED,
                at_ns=5,
                four_tuple=KEY,
                segment=SEGMENT,
                frame=b"\xff",
                checksum_ready=False,
                before=State.SYN_RECEIVED,
                after=State.ESTABLISHED,
            ),
            {
                "kind": "received",
                "at_ns": 5,
                "four_tuple": ["10.0.0.2", 80, "10.0.0.1", 40_000],
                "segment": PLAIN_SEGMENT,
                "frame": "ff",
                "checksum_ready": False,
                "before": "SYN-RECEIVED",
                "after": "ESTABLISHED",
            },
            id="a segment",
        ),
        pytest.param(
            Event(
                kind=EventKind.MOVED,
                at_ns=5,
                before=State.ESTABLISHED,
                after=State.FIN_WAIT_1,
                trigger=Trigger.CLOSE,
                rule="3.10.4",
            ),
            {
                "kind": "moved",
                "at_ns": 5,
                "before": "ESTABLISHED",
                "after": "FIN-WAIT-1",
                "trigger": "CLOSE",
                "rule": "3.10.4",
            },
            id="a move",
        ),
        pytest.param(
            Event(kind=EventKind.TIMER, at_ns=5, timer=Timer.PERSIST),
            {"kind": "timer", "at_ns": 5, "timer": "persist"},
            id="a timer",
        ),
        pytest.param(
            Event(kind=EventKind.DROPPED, at_ns=5, frame=b"", reason=DropReason.FRAME_TOO_SHORT),
            {
                "kind": "dropped",
                "at_ns": 5,
                "frame": "",
                "reason": "FRAME_TOO_SHORT",
                "reason_rule": "Ethernet: shorter than its headers",
            },
            id="a drop",
        ),
        pytest.param(
            Event(kind=EventKind.POOL, at_ns=5, pool_event="closed"),
            {"kind": "pool", "at_ns": 5, "pool_event": "closed"},
            id="the pool",
        ),
    ],
)
def test_an_event_is_one_line_of_json(event: Event, expected: dict[str, Any]) -> None:
    trace = Trace()
    trace.record(event)
    (line,) = trace.json_lines()
    assert "\n" not in line
    assert json.loads(line) == expected


def pool_event(name: str, four_tuple: FourTuple = KEY) -> Event:
    return Event(kind=EventKind.POOL, at_ns=0, four_tuple=four_tuple, pool_event=name)


def test_a_full_trace_forgets_the_oldest_and_counts_it() -> None:
    trace = Trace(limit=2)
    for name in ("put", "claimed", "died"):
        trace.record(pool_event(name))
    assert [event.pool_event for event in trace] == ["claimed", "died"]
    assert (len(trace), trace.forgotten) == (2, 1)


def test_a_snapshot_is_not_disturbed_by_what_comes_later() -> None:
    trace = Trace()
    trace.record(pool_event("put"))
    snapshot = iter(trace)
    trace.record(pool_event("claimed"))
    assert [event.pool_event for event in snapshot] == ["put"]


def test_one_connection_can_be_picked_out() -> None:
    trace = Trace()
    events = [pool_event("put"), pool_event("put", OTHER), pool_event("claimed")]
    for event in events:
        trace.record(event)
    assert trace.of(KEY) == [events[0], events[2]]


def test_a_listener_hears_each_event() -> None:
    heard: list[Event] = []
    trace = Trace(limit=1, listener=heard.append)
    events = [pool_event("put"), pool_event("claimed")]
    for event in events:
        trace.record(event)
    assert heard == events


def test_an_empty_trace_is_still_a_trace() -> None:
    assert Trace()
    assert len(Trace()) == 0


def test_an_engine_records_segments_moves_and_the_pool() -> None:
    near, far = memory_pair()
    trace = Trace()
    with (
        Engine(addresses=["10.0.0.1/24"], link=near) as opener,
        Engine(addresses=["10.0.0.2/24"], link=far, trace=trace) as engine,
    ):
        started = time.monotonic()
        with opener.connect("10.0.0.2", 80, timeout=20) as opened:
            key = opened.four_tuple.reversed
            with engine.pool.claim(key, timeout=20):
                assert time.monotonic() - started < 10, "connect and claim are woken, they do not time out"
                claims = ("claim_waits", "claim_ends")  # whether it waits is up to the machine
                events = [event for event in trace.of(key) if event.pool_event not in claims]
    assert [(event.kind.value, _what(event)) for event in events[:8]] == [
        ("received", "S CLOSED SYN-RECEIVED"),
        ("moved", "CLOSED LISTEN"),
        ("moved", "LISTEN SYN-RECEIVED"),
        ("sent", "S. SYN-RECEIVED SYN-RECEIVED"),
        ("received", ". SYN-RECEIVED ESTABLISHED"),
        ("moved", "SYN-RECEIVED ESTABLISHED"),
        ("pool", "put"),
        ("pool", "claimed"),
    ]


def test_a_syn_that_waits_for_the_neighbour_is_recorded_as_a_whole_frame() -> None:
    near, far = memory_pair()
    trace = Trace()
    with (
        Engine(addresses=["10.0.0.1/24"], link=near, trace=trace) as opener,
        Engine(addresses=["10.0.0.2/24"], link=far),
    ):
        opener.connect("10.0.0.2", 80, timeout=20).close()
    first = next(event for event in trace if event.kind is EventKind.SENT)
    assert first.frame is not None
    assert first.frame[:14] == bytes(6) + near.mac + b"\x08\x00"


def _what(event: Event) -> str:
    if event.pool_event is not None:
        return event.pool_event
    assert event.before is not None
    assert event.after is not None
    letters = [event.segment.letters] if event.segment is not None else []
    return " ".join([*letters, event.before.value, event.after.value])
