"""Captures: each frame whole, with its time, direction, checksum and comment; and what tshark says."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from xsocket import DropReason, Event, EventKind, FourTuple, Segment
from xsocket.segment import ACK, SYN
from xsocket.state import State, Trigger
from xsocket.wire.codec import encode_segment
from xsocket_tools.capture import INBOUND, OUTBOUND, captured_frames, write_capture

KEY = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
KEY_6 = FourTuple("fd00::2", 80, "fd00::1", 40_000)
PREFIX = {4: bytes.fromhex("0200000000020200000000010800"), 6: bytes.fromhex("02000000000202000000000186dd")}
START_NS = 1_800_000_000_123_456_789
CHECKSUM_AT = {4: 14 + 20 + 16, 6: 14 + 40 + 16}


def frame_from_peer(segment: Segment, key: FourTuple = KEY) -> bytes:
    return encode_segment(PREFIX[key.family], key.reversed, segment)


def unfinished(frame: bytes, family: int) -> bytes:
    """As a local kernel hands it over: the field holds the pseudo-header's sum at best."""
    at = CHECKSUM_AT[family]
    return frame[:at] + b"\x12\x34" + frame[at + 2 :]


def received(
    segment: Segment,
    after: State,
    *,
    key: FourTuple = KEY,
    at_ns: int = START_NS,
    before: State | None = None,
) -> Event:
    return Event(
        kind=EventKind.RECEIVED,
        at_ns=at_ns,
        four_tuple=key,
        segment=segment,
        frame=unfinished(frame_from_peer(segment, key), key.family),
        checksum_ready=False,
        before=before or after,
        after=after,
    )


SYN_IN = received(Segment(1, 0, SYN, 100), State.SYN_RECEIVED, before=State.CLOSED)
SYN_ACK = Segment(9, 2, SYN | ACK, 100)
SYN_ACK_OUT = Event(
    kind=EventKind.SENT,
    at_ns=START_NS + 2000,
    four_tuple=KEY,
    segment=SYN_ACK,
    frame=encode_segment(PREFIX[4], KEY, SYN_ACK),
    before=State.SYN_RECEIVED,
    after=State.SYN_RECEIVED,
    rule="3.10.7.2 third",
)
BIG = Segment(2, 10, ACK, 100, payload=bytes(range(256)) * 250)  # larger than the MTU, as cut by nobody
STRANGE = Segment(900_000, 10, ACK, 100)
EVENTS = [
    SYN_IN,
    Event(
        kind=EventKind.MOVED,
        at_ns=START_NS + 1000,
        four_tuple=KEY,
        before=State.CLOSED,
        after=State.LISTEN,
        trigger=Trigger.PASSIVE_OPEN,
        rule="3.10.1",
    ),
    Event(
        kind=EventKind.MOVED,
        at_ns=START_NS + 1000,
        four_tuple=KEY,
        before=State.LISTEN,
        after=State.SYN_RECEIVED,
        trigger=Trigger.SYN,
        rule="3.10.7.2 third",
    ),
    SYN_ACK_OUT,
    received(BIG, State.ESTABLISHED, key=KEY_6, at_ns=START_NS + 1500),
    Event(kind=EventKind.POOL, at_ns=START_NS + 3000, four_tuple=KEY, pool_event="put"),
    received(STRANGE, State.ESTABLISHED, at_ns=START_NS + 4000),
    Event(
        kind=EventKind.DROPPED,
        at_ns=START_NS + 4500,
        four_tuple=KEY,
        segment=STRANGE,
        reason=DropReason.OUTSIDE_WINDOW,
    ),
    Event(
        kind=EventKind.DROPPED,
        at_ns=START_NS + 5000,
        frame=unfinished(frame_from_peer(SYN_ACK), 4),
        reason=DropReason.TCP_BAD_CHECKSUM,
    ),
]
COMMENTS = [
    "CLOSED -> SYN-RECEIVED; passive OPEN by RFC 9293 3.10.1; SYN by RFC 9293 3.10.7.2 third",
    "ESTABLISHED",
    "SYN-RECEIVED; sent by RFC 9293 3.10.7.2 third",
    "ESTABLISHED; dropped, OUTSIDE_WINDOW: RFC 9293 3.10.7.4 first",
    "dropped, TCP_BAD_CHECKSUM: RFC 9293 3.1: checksum",
]


def test_each_frame_says_what_the_engine_knew_in_the_order_of_time() -> None:
    assert [captured.comment for captured in captured_frames(EVENTS)] == COMMENTS


@pytest.mark.parametrize("key", [KEY, KEY_6], ids=["IPv4", "IPv6"])
def test_a_checksum_left_to_hardware_is_filled_in(key: FourTuple) -> None:
    (captured,) = captured_frames([received(BIG, State.ESTABLISHED, key=key)])
    assert captured.frame == frame_from_peer(BIG, key)


def test_a_checksum_that_was_wrong_stays_wrong() -> None:
    bad = EVENTS[-1]
    (captured,) = captured_frames([bad])
    assert captured.frame == bad.frame


def test_scapy_reads_back_what_was_written(tmp_path: Path) -> None:
    from scapy.utils import RawPcapNgReader

    path = tmp_path / "trace.pcapng"
    assert write_capture(path, EVENTS) == 5
    with RawPcapNgReader(str(path)) as reader:
        blocks = list(reader)
    assert [frame for frame, _ in blocks] == [captured.frame for captured in captured_frames(EVENTS)]
    assert [meta.direction for _, meta in blocks] == [INBOUND, INBOUND, OUTBOUND, INBOUND, INBOUND]
    times = [(meta.tshigh << 32 | meta.tslow) - START_NS // 1000 for _, meta in blocks]
    assert times == [0, 2, 2, 4, 5]  # microseconds, rounded down


def test_a_trace_without_frames_makes_an_empty_capture(tmp_path: Path) -> None:
    assert write_capture(tmp_path / "empty.pcapng", []) == 0
    assert (tmp_path / "empty.pcapng").stat().st_size > 0


@pytest.fixture
def tshark() -> str:
    path = shutil.which("tshark")
    if path is None and os.environ.get("XSOCKET_REQUIRE_NETNS") == "1":
        pytest.fail("XSOCKET_REQUIRE_NETNS=1, and there is no tshark", pytrace=False)
    if path is None:
        pytest.skip("no tshark here; Debian: apt-get install tshark")
    return path


def test_tshark_reads_the_comments_and_finds_nothing_wrong(tshark: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.pcapng"
    write_capture(path, EVENTS[:-1])
    fields = ["frame.comment", "tcp.checksum.status", "_ws.malformed"]
    command = [tshark, "-r", path, "-o", "tcp.check_checksum:TRUE", "-T", "fields"]
    command += [part for field in fields for part in ("-e", field)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert [line.split("\t") for line in printed.splitlines()] == [
        [comment, "1", ""] for comment in COMMENTS[:-1]
    ]
