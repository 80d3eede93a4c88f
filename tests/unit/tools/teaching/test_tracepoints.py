"""What tracepoints tell counts for the frame that was handed over; what happens meanwhile does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from xsocket import FourTuple
from xsocket_tools.teaching.tracepoints import (
    AGAIN,
    DROP,
    FRAME,
    MOST_KEPT,
    NOTHING,
    PROBE,
    RESET,
    Again,
    Heard,
    Tracepoints,
)
from xsocket_tools.tracefs import Told, TracefsError, told

SERVER = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
CLIENT = SERVER.reversed
OCTETS = 54
FRAME_GOES = "python-{me} [000] b.... 1.000001: net_dev_queue: dev=eth0 skbaddr=00000000aaaaaaaa len=54"
MARKER_GOES = "python-{me} [000] b.... 1.000009: net_dev_queue: dev=eth0 skbaddr=00000000bbbbbbbb len=60"
PROBED = (
    "python-{me} [000] ..s2. 1.000002: tcp_probe: family=AF_INET src=10.0.0.2:80 dest=10.0.0.1:40000 "
    "mark=0x0 data_len=0 snd_nxt=0xba8b8ef2 snd_una=0 snd_cwnd=10 ssthresh=2147483647 snd_wnd=65535 "
    "srtt=103392 rcv_wnd=130048 sock_cookie=98a4f skbaddr=00000000aaaaaaaa skaddr=00000000110d72b9"
)
DROPPED = (
    "python-{me} [000] ..s2. 1.000003: kfree_skb: skbaddr=00000000aaaaaaaa rx_sk=00000000110d72b9 "
    "protocol=2048 location=tcp_validate_incoming+0x15b/0x7a0 reason: TCP_OLD_SEQUENCE"
)
REFUSED = (
    "python-{me} [000] ..s1. 1.000003: tcp_send_reset: skbaddr=00000000aaaaaaaa skaddr=0000000000000000 "
    "src=10.0.0.2:80 dest=0.0.0.0:0 state=TCP_LISTEN reason=TCP_FLAGS"
)
ABORTED = (
    "python-{me} [000] ..... 1.000004: tcp_send_reset: skbaddr=0000000000000000 skaddr=00000000110d72b9 "
    "src=10.0.0.2:80 dest=10.0.0.1:40000 state=TCP_CLOSE reason=TCP_STATE"
)
SENT_AGAIN = (
    "sh-1 [001] .Ns1. 1.000005: tcp_retransmit_skb: skbaddr=00000000c9edbd04 skaddr=00000000e8135b44 "
    "family=AF_INET sport=40000 dport=80 saddr=10.0.0.1 daddr=10.0.0.2 saddrv6=::ffff:10.0.0.1 "
    "daddrv6=::ffff:10.0.0.2 state=TCP_SYN_SENT err=0"
)
SYN_ACK_AGAIN = (
    "sh-1 [001] .Ns.. 1.000005: tcp_retransmit_synack: family=AF_INET sport=80 dport=40000 saddr=10.0.0.2 "
    "daddr=10.0.0.1 saddrv6=::ffff:10.0.0.2 daddrv6=::ffff:10.0.0.1"
)
EVERYTHING = frozenset({"reason", "skbaddr"})


class Kernel:
    """Tells what it is given; obeys `Tells`."""

    def __init__(self, fields: frozenset[str] = EVERYTHING) -> None:
        self.lines: list[str] = []
        self.enabled: dict[str, str] = {}
        self.is_gone = False
        self._fields = fields

    def fields(self, event: str) -> frozenset[str]:
        """Return the same for each event."""
        del event
        return self._fields

    def number(self, event: str, symbol: str) -> int | None:
        """Return what Linux 6.18 has for this symbol."""
        return 13 if (event, symbol) == (DROP, "OTHERHOST") else None

    def enable(self, event: str, only: str) -> bool:
        """Keep what is asked for."""
        self.enabled[event] = only
        return True

    def read(self) -> Iterator[Told]:
        """Tell the lines, once."""
        if self.is_gone:
            raise TracefsError("gone")
        lines, self.lines = self.lines, []
        for line in lines:
            event = told(line.replace("{me}", str(threading.get_native_id())))
            assert event is not None
            yield event


def heard(*lines: str, octets: int = OCTETS) -> Heard:
    kernel = Kernel()
    tracepoints = Tracepoints(kernel)
    kernel.lines += lines
    return tracepoints.heard(SERVER, octets)


def test_a_frame_is_dropped_for_a_reason() -> None:
    assert heard(FRAME_GOES, DROPPED, MARKER_GOES).drop == "TCP_OLD_SEQUENCE"


def test_a_connection_tells_its_numbers() -> None:
    assert heard(FRAME_GOES, PROBED, MARKER_GOES) == Heard(snd_una=0, snd_nxt=0xBA8B8EF2)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([DROPPED, PROBED], id="before the frame"),
        pytest.param([FRAME_GOES, DROPPED.replace("aaaaaaaa", "cccccccc")], id="another buffer"),
        pytest.param([FRAME_GOES.replace("{me}", "1"), DROPPED], id="another thread's frame"),
        pytest.param([FRAME_GOES.replace("len=54", "len=66"), DROPPED], id="another length"),
        pytest.param([FRAME_GOES.replace("b....", "b.s1."), DROPPED], id="sent by a softirq"),
        pytest.param([MARKER_GOES, FRAME_GOES, DROPPED], id="behind the marker"),
        pytest.param(
            [FRAME_GOES, MARKER_GOES.replace("b....", "b.s2.").replace("bbbbbbbb", "aaaaaaaa"), DROPPED],
            id="the buffer of the answer",
        ),
        pytest.param([FRAME_GOES, DROPPED.replace("TCP_OLD_SEQUENCE", "NOT_SPECIFIED")], id="no reason"),
        pytest.param([FRAME_GOES, DROPPED[: DROPPED.index(" reason")]], id="cut short"),
        pytest.param([FRAME_GOES, PROBED.replace("0xba8b8ef2", "many")], id="no number"),
    ],
)
def test_nothing_is_told_of_the_frame(lines: list[str]) -> None:
    assert heard(*lines) == NOTHING


def test_a_reset_answers_the_frame() -> None:
    kernel = Kernel()
    tracepoints = Tracepoints(kernel)
    kernel.lines += [FRAME_GOES, REFUSED, MARKER_GOES]
    tracepoints.heard(SERVER, OCTETS)
    assert [tracepoints.reset(SERVER), tracepoints.reset(SERVER)] == ["TCP_FLAGS", ""]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(ABORTED, "TCP_STATE", id="ours"),
        pytest.param(ABORTED.replace("{me}", "1"), "", id="another thread's"),
        pytest.param(ABORTED.replace(".....", "..s1."), "", id="of a softirq"),
        pytest.param(ABORTED.replace("10.0.0.1:40000", "nowhere"), "", id="malformed"),
        pytest.param(REFUSED, "", id="of a frame"),
    ],
)
def test_a_reset_by_a_call(line: str, reason: str) -> None:
    kernel = Kernel()
    tracepoints = Tracepoints(kernel)
    kernel.lines.append(line)
    tracepoints.listen()
    assert tracepoints.reset(SERVER) == reason


@pytest.mark.parametrize(
    ("line", "four_tuple"),
    [pytest.param(SENT_AGAIN, CLIENT, id="segment"), pytest.param(SYN_ACK_AGAIN, SERVER, id="SYN+ACK")],
)
def test_a_timer_sends_again(line: str, four_tuple: FourTuple) -> None:
    kernel = Kernel()
    tracepoints = Tracepoints(kernel)
    kernel.lines.append(line)
    tracepoints.listen()
    assert tracepoints.again(four_tuple.reversed) is None
    assert [tracepoints.again(four_tuple), tracepoints.again(four_tuple)] == [Again.BY_TIMER, None]


def test_what_others_send_again_is_kept_up_to_a_limit() -> None:
    kernel = Kernel()
    tracepoints = Tracepoints(kernel)
    kernel.lines += [SENT_AGAIN.replace("40000", str(40_000 + number)) for number in range(MOST_KEPT + 1)]
    tracepoints.listen()
    assert tracepoints.again(CLIENT) is None
    assert tracepoints.again(CLIENT._replace(local_port=40_001)) is Again.BY_TIMER


def test_an_answer_has_something_sent_again() -> None:
    kernel = Kernel()
    tracepoints = Tracepoints(kernel)
    kernel.lines += [FRAME_GOES, SENT_AGAIN.replace("sh-1", "python-{me}"), MARKER_GOES]
    tracepoints.heard(CLIENT, OCTETS)
    assert tracepoints.again(CLIENT) is Again.FOR_AN_ANSWER


def test_what_does_not_concern_us_is_not_asked_for() -> None:
    kernel = Kernel()
    Tracepoints(kernel)
    assert set(kernel.enabled) == {FRAME, DROP, RESET, PROBE, *AGAIN}
    assert kernel.enabled[FRAME] == f"common_pid == {threading.get_native_id()}"
    assert kernel.enabled[DROP].endswith(" && protocol == 2048 && reason != 13")


def test_an_older_kernel_is_asked_for_less() -> None:
    kernel = Kernel(frozenset())
    Tracepoints(kernel)
    assert set(kernel.enabled) == {FRAME, *AGAIN}


def test_tracing_that_ends_is_no_harm() -> None:
    kernel = Kernel()
    tracepoints = Tracepoints(kernel)
    kernel.is_gone = True
    tracepoints.listen()
    assert tracepoints.heard(SERVER, OCTETS) == NOTHING
