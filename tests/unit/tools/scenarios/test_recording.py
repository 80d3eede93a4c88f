"""Recordings: what a capture becomes, and that what was recorded of the engine passes on the engine."""

from __future__ import annotations

import pytest

from support.captures import CLIENT, SERVER, SYN_OPTIONS, Wire, exchange, opened
from xsocket.segment import ACK, CE, CWR, ECE, FIN, PSH, RST, SYN
from xsocket.tcp import options as tcp_options
from xsocket.tcp.options import FastOpen, for_segment, for_syn
from xsocket_tools.scenarios.conversations import Captured, End, conversations
from xsocket_tools.scenarios.formatting import formatted
from xsocket_tools.scenarios.notation import action_text
from xsocket_tools.scenarios.outcome import Status
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.recording import recorded
from xsocket_tools.scenarios.renumbering import Windows
from xsocket_tools.scenarios.running import run
from xsocket_tools.scenarios.script import Call, Script
from xsocket_tools.scenarios.settings import Settings


def script_of(wire: Wire, local: End = SERVER, windows: Windows = "opening") -> Script:
    """Record, and see to it that the text says what the values do, and is in the one layout."""
    (conversation,) = conversations(wire.captured)
    script = recorded(conversation, local, origin="test.pcap", windows=windows)
    assert formatted(script.source) == script.source
    assert (read(script.source).events, read(script.source).flags) == (script.events, script.flags)
    return script


def lines(script: Script) -> list[str]:
    """Its events and flags, without comments and blank lines."""
    return [
        " ".join(line.split()) for line in script.source.splitlines() if line and not line.startswith("//")
    ]


def calls(script: Script) -> list[str]:
    return [action_text(event.action) for event in script.events if isinstance(event.action, Call)]


def around(script: Script, start: str) -> list[str]:
    """The line that begins with *start*, the one before and the one after."""
    found = lines(script)
    at = next(index for index, line in enumerate(found) if start in line)
    return found[at - 1 : at + 2]


def test_the_client_of_the_same_exchange() -> None:
    assert lines(script_of(exchange(), CLIENT)) == [
        "--ip_version=ipv4",
        "`sysctl -q net.ipv4.tcp_timestamps=0`",
        "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3",
        "+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0",
        "+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)",
        "+0~+0.02 > S 0:0(0) win 64240 <mss 1460,nop,nop,sackOK,nop,wscale 7>",
        "+0 < S. 0:0(0) ack 1 win 65160 <mss 1460,nop,nop,sackOK,nop,wscale 7>",
        "+0~+0.02 > . 1:1(0) ack 1 win 500",
        "+0.05 write(3, ..., 100) = 100",
        "+0~+0.02 > P. 1:101(100) ack 1 win 500",
        "+0 < . 1:1(0) ack 101 win 500",
        "+0.03 < P. 1:11(10) ack 101 win 500",
        "+0~+0.07 > . 101:101(0) ack 11",
        "+0 read(3, ..., 10) = 10",
        "+0.1 close(3) = 0",
        "+0~+0.02 > F. 101:101(0) ack 11",
        "+0 < F. 11:11(0) ack 102 win 500",
        "+0~+0.02 > . 102:102(0) ack 12",
    ]


@pytest.mark.parametrize(
    ("windows", "syn", "later"),
    [
        pytest.param("all", "win 65160 <mss 1460,nop,nop,sackOK,nop,wscale 7>", " win 500", id="all"),
        pytest.param("none", "<mss 1460,nop,nop,sackOK,nop,wscale *>", "", id="none"),
    ],
)
def test_windows_are_expected_as_far_as_asked(windows: Windows, syn: str, later: str) -> None:
    found = lines(script_of(exchange(), windows=windows))
    assert f"+0~+0.02 > S. 0:0(0) ack 1 {syn}" in found
    assert f"+0~+0.02 > P. 1:11(10) ack 101{later}" in found


def test_a_retransmission_has_to_wait_and_a_burst_need_not_be_timed() -> None:
    wire = opened()
    wire.server(ACK, 1460)
    wire.server(ACK, 1460)
    wire.server(PSH | ACK, 80)
    wire.after(200).server(ACK, 1460, seq=1)
    wire.client(ACK)
    assert lines(script_of(wire))[-5:] == [
        "+0~+0.02 > . 1:1461(1460) ack 1 win 500",
        "* > . 1461:2921(1460) ack 1 win 500",
        "* > P. 2921:3001(80) ack 1 win 500",
        "+0.15~+0.27 > . 1:1461(1460) ack 1 win 500",
        "+0 < . 1:1(0) ack 3001 win 500",
    ]
    assert calls(script_of(wire))[-1] == "write(4, ..., 3000) = 3000"


def test_each_write_stands_before_its_text() -> None:
    wire = opened()
    wire.server(PSH | ACK, 10)
    wire.client(ACK)
    wire.server(PSH | ACK, 20)
    wire.client(ACK)
    assert calls(script_of(wire))[-2:] == ["write(4, ..., 10) = 10", "write(4, ..., 20) = 20"]
    assert around(script_of(wire), "write(4, ..., 20)") == [
        "+0 < . 1:1(0) ack 11 win 500",
        "+0 write(4, ..., 20) = 20",
        "+0~+0.02 > P. 11:31(20) ack 1 win 500",
    ]


def test_full_segments_of_one_write_may_all_have_a_push() -> None:
    wire = opened()
    for _ in range(12):
        wire.server(PSH | ACK, 2920)
        wire.client(ACK)
    wire.server(PSH | ACK, 100)
    script = script_of(wire)
    assert calls(script)[-1] == "write(4, ..., 35140) = 35140"
    assert lines(script)[1] == '`sysctl -q net.ipv4.tcp_wmem="4096 262144 262144"`'


def test_text_that_comes_out_of_order_is_read_when_it_is_whole() -> None:
    wire = opened()
    wire.client(ACK, 100, seq=101)
    wire.server(
        ACK,
        ack=1,
        options=for_segment(
            None,
            ((85, 185),),  # 16 below 0 is where it begins
        ),
    )
    wire.client(PSH | ACK, 100, seq=1)
    wire.server(ACK, ack=201)
    wire.server(PSH | ACK, 5)
    script = script_of(wire)
    assert "+0~+0.02 > . 1:1(0) ack 1 <nop,nop,sack 101:201>" in lines(script)
    assert calls(script)[-2:] == ["read(4, ..., 200) = 200", "write(4, ..., 5) = 5"]


def test_what_nobody_reads_is_read_when_the_window_opens() -> None:
    wire = opened()
    for taken in (1000, 1000):
        wire.client(PSH | ACK, taken)
        wire.server(ACK, window=500 - (wire.client_next - 1) // 128)
    wire.after(300).server(ACK, window=500)
    assert lines(script_of(wire))[-4:] == [
        "+0 < P. 1001:2001(1000) ack 1 win 500",
        "+0~+0.02 > . 1:1(0) ack 2001",
        "+0.3 read(4, ..., 2000) = 2000",
        "+0~+0.02 > . 1:1(0) ack 2001",
    ]


# Ends


def test_a_server_that_only_shuts_down_goes_on_reading() -> None:
    wire = opened()
    wire.server(FIN | ACK)
    wire.client(PSH | ACK, 10)
    wire.server(ACK)
    wire.client(FIN | ACK)
    wire.server(ACK)
    assert calls(script_of(wire))[-2:] == ["shutdown(4, SHUT_WR) = 0", "read(4, ..., 10) = 10"]


def test_a_fin_that_goes_with_its_text_needs_a_write_that_waits() -> None:
    wire = opened()
    wire.server(FIN | PSH | ACK, 10)
    assert lines(script_of(wire))[-3:] == [
        "+0 send(4, ..., 10, MSG_MORE) = 10",
        "+0 close(4) = 0",
        "+0~+0.02 > FP. 1:11(10) ack 1 win 500",
    ]


def test_a_fin_that_goes_with_text_that_had_to_wait_was_there_before_that_left() -> None:
    wire = opened()
    wire.server(ACK, 1460)
    wire.after(50).client(ACK)
    wire.server(FIN | PSH | ACK, 40)
    assert lines(script_of(wire))[-5:] == [
        "+0 write(4, ..., 1500) = 1500",
        "+0~+0.02 > . 1:1461(1460) ack 1 win 500",
        "+0 close(4) = 0",
        "+0.05 < . 1:1(0) ack 1461 win 500",
        "+0~+0.02 > FP. 1461:1501(40) ack 1 win 500",
    ]


def test_a_reset_that_answers_nothing_comes_of_a_close() -> None:
    wire = opened()
    wire.after(100).server(RST | ACK, window=0)
    assert lines(script_of(wire))[-3:] == [
        "+0.1 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0",
        "+0 close(4) = 0",
        "+0~+0.02 > R. 1:1(0) ack 1 win 0",
    ]


def test_a_reset_that_answers_text_after_the_end_needs_no_call() -> None:
    wire = opened()
    wire.server(FIN | ACK)
    wire.client(PSH | ACK, 10)
    wire.server(RST, seq=2, window=0)
    script = script_of(wire)
    assert calls(script)[-1] == "close(4) = 0"
    assert lines(script)[-1] == "+0~+0.02 > R 2:2(0)"


def test_a_reset_that_comes_in_ends_the_calls() -> None:
    wire = opened()
    wire.client(RST | ACK, window=0)
    assert lines(script_of(wire))[-1] == "+0 < R. 1:1(0) ack 1 win 0"


def test_where_nobody_listens_there_are_no_calls() -> None:
    wire = Wire()
    wire.client(SYN)
    wire.server(RST | ACK, absolute_seq=0, window=0)
    script = script_of(wire)
    assert calls(script) == []
    assert lines(script)[-2:] == ["0 < S 0:0(0) win 500", "+0~+0.02 > R. 0:0(0) ack 1 win 0"]


def test_both_ends_may_open_at_once() -> None:
    wire = Wire()
    wire.client(SYN)
    wire.server(SYN)
    wire.client(SYN | ACK, seq=0)
    wire.server(SYN | ACK, seq=0)
    for local in (CLIENT, SERVER):
        assert calls(script_of(wire, local))[-1].startswith("connect(3")
    assert lines(script_of(wire, CLIENT))[-4:] == [
        "+0~+0.02 > S 0:0(0) win 500",
        "+0 < S 0:0(0) win 500",
        "+0~+0.02 > S. 0:0(0) ack 1 win 500",
        "+0 < S. 0:0(0) ack 1 win 500",
    ]


# Options and circumstances


def test_timestamps_are_small_and_echoes_follow() -> None:
    wire = Wire()
    wire.client(SYN, options=for_syn(1460, None, True, (0xFFFF_FFF0, 0)))
    wire.server(SYN | ACK, options=for_syn(1460, None, True, (777, 0xFFFF_FFF0)))
    wire.after(50).client(ACK, options=for_segment((34, 777)))
    wire.server(PSH | ACK, 5, options=for_segment((827, 34)))
    found = lines(script_of(wire))
    assert found[-5:] == [
        "+0~+0.02 > S. 0:0(0) ack 1 win 500 <mss 1460,sackOK,TS val 1000 ecr 100>",
        "+0.05 < . 1:1(0) ack 1 win 500 <nop,nop,TS val 150 ecr 1000>",
        "+0 accept(3, ..., ...) = 4",
        "+0 write(4, ..., 5) = 5",
        "+0~+0.02 > P. 1:6(5) ack 1 win 500 <nop,nop,TS val 1050 ecr 150>",
    ]


def test_an_echo_from_before_the_last_packet_is_not_expected() -> None:
    wire = Wire()
    wire.client(SYN, options=for_syn(1460, None, True, (10, 0)))
    wire.server(SYN | ACK, options=for_syn(1460, None, True, (777, 10)))
    wire.client(ACK, options=for_segment((11, 777)))
    wire.server(PSH | ACK, 5, options=for_segment((777, 10)))
    assert lines(script_of(wire))[-1].endswith("<nop,nop,TS val 1000 ecr *>")


@pytest.mark.parametrize(
    ("client", "server", "local", "command"),
    [
        pytest.param(
            for_syn(1460, 7, True, (1, 0)), for_syn(1460, 7, True, None), SERVER, "tcp_timestamps=0", id="ts"
        ),
        pytest.param(
            for_syn(1460, 7, True, None),
            for_syn(1460, None, True, None),
            SERVER,
            "tcp_window_scaling=0",
            id="ws",
        ),
        pytest.param(for_syn(1460, 7, False, (1, 0)), b"", CLIENT, "tcp_sack=0", id="sack"),
    ],
)
def test_what_the_target_does_not_offer_is_switched_off(
    client: bytes, server: bytes, local: End, command: str
) -> None:
    wire = Wire()
    wire.client(SYN, options=client)
    wire.server(SYN | ACK, options=server)
    commands = [line for line in lines(script_of(wire, local)) if line.startswith("`")]
    assert f"`sysctl -q net.ipv4.{command}`" in commands


@pytest.mark.parametrize(
    ("shift", "window", "told"),
    [
        pytest.param(10, 65_535, '`sysctl -q net.ipv4.tcp_rmem="4096 131072 50331648"`', id="large"),
        pytest.param(3, 65_535, "+0 setsockopt(3, SOL_SOCKET, SO_RCVBUF, [393216], 4) = 0", id="small"),
        pytest.param(0, 29_200, "+0 setsockopt(3, SOL_SOCKET, SO_RCVBUF, [29200], 4) = 0", id="unscaled"),
        pytest.param(None, 8_760, "+0 setsockopt(3, SOL_SOCKET, SO_RCVBUF, [8760], 4) = 0", id="no-scaling"),
    ],
)
def test_the_windows_tell_of_the_buffer(shift: int | None, window: int, told: str) -> None:
    wire = Wire()
    wire.client(SYN, options=SYN_OPTIONS)
    wire.server(SYN | ACK, options=for_syn(1460, shift, True, None), window=window)
    wire.client(ACK)
    script = script_of(wire)
    assert told in lines(script)
    assert run(script, "sim", Settings()).status is Status.PASSED


@pytest.mark.parametrize("shift", [7, None])
def test_a_buffer_that_is_usual_needs_no_word(shift: int | None) -> None:
    wire = Wire()
    wire.client(SYN, options=SYN_OPTIONS)
    wire.server(SYN | ACK, options=for_syn(1460, shift, True, None), window=65_535)
    assert not [line for line in lines(script_of(wire)) if "rmem" in line or "RCVBUF" in line]


def test_a_fin_that_is_acknowledged_with_its_text_is_one_segment_with_it() -> None:
    wire = opened()
    wire.client(PSH | ACK, 20)
    wire.client(FIN | ACK)
    wire.server(ACK)
    assert lines(script_of(wire))[-3:] == [
        "+0 < FP. 1:21(20) ack 1 win 500",
        "+0 read(4, ..., 20) = 20",
        "+0~+0.02 > . 1:1(0) ack 22",
    ]


@pytest.mark.parametrize("between", ["an acknowledgment", "time"])
def test_a_fin_that_is_acknowledged_by_itself_stays_so(between: str) -> None:
    wire = opened()
    wire.client(PSH | ACK, 20)
    if between == "time":
        wire.after(10)
    else:
        wire.server(ACK)
    wire.client(FIN | ACK)
    wire.server(ACK)
    assert "< F. 21:21(0) ack 1 win 500" in script_of(wire).source


def test_the_mss_tells_of_the_mtu() -> None:
    wire = Wire()
    wire.client(SYN, options=for_syn(1460, 7, True, None))
    wire.server(SYN | ACK, options=for_syn(960, 7, True, None))
    assert lines(script_of(wire))[:2] == ["--ip_version=ipv4", "--mtu=1000"]


def test_a_connection_over_ipv6_says_so() -> None:
    wire = Wire(ends=(End("fd00::1", 40_000), End("fd00::2", 80)))
    wire.client(SYN, options=for_syn(1440, 7, True, None))
    wire.server(SYN | ACK, options=for_syn(1440, 7, True, None))
    assert lines(script_of(wire, End("fd00::2", 80)))[0] == "--ip_version=ipv6"


def test_marks_and_their_flags_are_kept() -> None:
    wire = Wire()
    wire.client(SYN | ECE | CWR)
    wire.server(SYN | ACK | ECE)
    wire.client(ACK)
    wire.client(PSH | ACK, 10, ecn=CE)
    wire.server(ACK | ECE)
    found = lines(script_of(wire, CLIENT))
    assert "`sysctl -q net.ipv4.tcp_ecn=1`" in found
    assert found[-2:] == ["+0~+0.02 > [ce] P. 1:11(10) ack 1 win 500", "+0 < E. 1:1(0) ack 11 win 500"]
    assert not [line for line in lines(script_of(wire)) if "sysctl" in line]


def cookie(octets: bytes) -> bytes:
    return tcp_options.filled_up(FastOpen(octets))


def test_a_client_that_opens_fast_sends_with_its_syn() -> None:
    wire = Wire()
    wire.client(SYN, 20, options=cookie(b"12345678"))
    wire.server(SYN | ACK)
    script = script_of(wire, CLIENT)
    assert calls(script)[-1] == "sendto(3, ..., 20, MSG_FASTOPEN, ..., ...) = 20"
    assert "+0~+0.02 > S 0:20(20) win 500 <FO *,nop,nop>" in lines(script)


def test_a_client_that_asks_for_a_cookie_sends_nothing_yet() -> None:
    wire = Wire()
    wire.client(SYN, options=cookie(b""))
    wire.server(SYN | ACK)
    assert (
        calls(script_of(wire, CLIENT))[-1]
        == "sendto(3, ..., 1, MSG_FASTOPEN, ..., ...) = -1 EINPROGRESS (Operation now in progress)"
    )


def test_a_server_that_opens_fast_takes_the_text_before_the_handshake_ends() -> None:
    wire = Wire()
    wire.client(SYN, 20, options=cookie(b"12345678"))
    wire.server(SYN | ACK, window=65_535)
    wire.server(PSH | ACK, 5)
    script = script_of(wire)
    assert "`sysctl -q net.ipv4.tcp_fastopen=514`" in lines(script)
    assert calls(script)[2:] == [
        "setsockopt(3, SOL_TCP, TCP_FASTOPEN, [5], 4) = 0",
        "listen(3, 1) = 0",
        "accept(3, ..., ...) = 4",
        "read(4, ..., 20) = 20",
        "write(4, ..., 5) = 5",
    ]


def test_an_error_about_the_targets_packet_comes_in() -> None:
    wire = opened()
    wire.server(PSH | ACK, 1460)
    wire.error_to_server(mtu=1000)
    assert lines(script_of(wire))[-1] == "+0 < icmp unreachable frag_needed mtu 1000 [1:1(0)]"


# The engine, recorded

SERVER_SCRIPT = """
0       socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0      bind(3, ..., ...) = 0
+0      listen(3, 1) = 0
+0      < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
+0      > S. 0:0(0) ack 1 <...>
+0.01   < . 1:1(0) ack 1 win 500 <nop,nop,TS val 110 ecr 0>
+0      accept(3, ..., ...) = 4
"""
CLIENT_SCRIPT = """
0       socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0      fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0      connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0      > S 0:0(0) <...>
+0.01   < S. 0:0(0) ack 1 win 5000 <mss 1000>
+0      > . 1:1(0) ack 1
"""
ENDS: dict[str, str] = {
    "server-answers": SERVER_SCRIPT
    + """
+0.02   < P. 1:101(100) ack 1 win 500
+0      > . 1:1(0) ack 101 <...>
+0      read(4, ..., 100) = 100
+0      write(4, ..., 3000) = 3000
*       > . 1:1449(1448) ack 101 <...>
*       > . 1449:2897(1448) ack 101 <...>
*       > P. 2897:3001(104) ack 101 <...>
+0.01   < . 101:101(0) ack 3001 win 500
+0.01   < F. 101:101(0) ack 3001 win 500
*       > . 3001:3001(0) ack 102 <...>
+0.02   close(4) = 0
+0      > F. 3001:3001(0) ack 102 <...>
+0.01   < . 102:102(0) ack 3002 win 500
""",
    "server-retransmits": SERVER_SCRIPT
    + """
+0      write(4, ..., 10) = 10
+0      > P. 1:11(10) ack 1 <...>
+0.1~+3 > P. 1:11(10) ack 1 <...>
+0.01   < R. 1:1(0) ack 11 win 0
""",
    "client-ends": CLIENT_SCRIPT
    + """
+0      write(3, ..., 10) = 10
+0      > P. 1:11(10) ack 1
+0.01   < . 1:1(0) ack 11 win 5000
+0.03   close(3) = 0
+0      > F. 11:11(0) ack 1
+0.01   < F. 1:1(0) ack 12 win 5000
+0      > . 12:12(0) ack 2
""",
    "client-is-refused": CLIENT_SCRIPT.partition("+0.01")[0] + "+0.01 < R. 0:0(0) ack 1 win 0\n",
}


@pytest.mark.parametrize("source", [pytest.param(source, id=name) for name, source in ENDS.items()])
def test_what_was_recorded_of_the_engine_passes_on_the_engine(source: str) -> None:
    first = run(read(source), "sim", Settings())
    assert first.status is Status.PASSED, first.failure
    captured = [Captured(round(at * 1e6), octets, direction == ">") for direction, at, octets in first.frames]
    (conversation,) = conversations(captured)
    local = next(each.source for each in conversation.packets if each.outbound)
    script = recorded(conversation, local, windows="all")
    again = run(read(script.source), "sim", Settings())
    assert again.status is Status.PASSED, (again.failure, script.source)
    assert [frame[0] for frame in again.frames] == [frame[0] for frame in first.frames]
