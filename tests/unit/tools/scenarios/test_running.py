"""Runs in virtual time: what passes, what fails and how that is told, verdicts, tolerances, numbers."""

from itertools import pairwise

import pytest

from xsocket_tools.scenarios.outcome import Outcome, Status
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.running import run
from xsocket_tools.scenarios.script import Flag
from xsocket_tools.scenarios.settings import IpVersion, Settings
from xsocket_tools.unwinding import termination_unwinds

LISTEN = """
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0  bind(3, ..., ...) = 0
+0  listen(3, 1) = 0
"""
OPEN = (
    LISTEN
    + """
+0  < S 0:0(0) win 1000 <mss 1000>
+0  > S. 0:0(0) ack 1 <mss 1460>
+.1 < . 1:1(0) ack 1 win 1000
+0  accept(3, ..., ...) = 4
"""
)


def ran(source: str, version: IpVersion = "ipv4", *flags: Flag) -> Outcome:
    return run(read(source, "a.pkt"), "sim", Settings(ip_version=version, given=flags))


def passed(source: str) -> None:
    for version in ("ipv4", "ipv6", "ipv4-mapped-ipv6"):
        outcome = ran(source, version)
        assert outcome.failure is None
        assert outcome.status is Status.PASSED


def failed(source: str) -> Outcome:
    outcome = ran(source)
    assert outcome.status is Status.FAILED
    assert outcome.failure is not None
    return outcome


# What passes


def test_a_handshake_and_text_both_ways() -> None:
    passed(
        OPEN
        + """
+0  < P. 1:6(5) ack 1 win 1000 "hello"
+0  > . 1:1(0) ack 6
+0  read(4, "hello", 100) = 5
+0  write(4, "goodbye", 7) = 7
+0  > P. 1:8(7) ack 6 "goodbye"
+0  state ESTABLISHED
"""
    )


def test_an_active_open() -> None:
    passed("""
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0  fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0  connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0  > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
+.1 < S. 700:700(0) ack 1 win 1000 <mss 1000,sackOK,TS val 9 ecr 100,nop,wscale 0>
+0  > . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 9>
+0  getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0
+0  connect(3, ..., ...) = 0
+0  connect(3, ..., ...) = -1 EISCONN
""")


def test_a_blocking_call_ends_when_what_it_waits_for_is_there() -> None:
    passed(
        LISTEN
        + """
+0...0.15 accept(3, ..., ...) = 4
+.05 < S 0:0(0) win 1000 <mss 1000>
+0   > S. 0:0(0) ack 1 <mss 1460>
+.1  < . 1:1(0) ack 1 win 1000
+0...0.3 read(4, ..., 100) = 0
+.3  < F. 1:1(0) ack 1 win 1000
+0   > . 1:1(0) ack 2
"""
    )


def test_calls_with_a_time_limit() -> None:
    passed(
        OPEN
        + """
+0...0.5 poll([{fd=4, events=POLLIN}], 1, 500) = 0
+0   setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, [0], 4) = -1 EINVAL (half a time)
+0   setsockopt(4, SOL_SOCKET, SO_RCVTIMEO, {tv_sec=0, tv_usec=0}, 16) = 0
+0   epoll_create(1) = 5
+0   epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = 0
+0...0.2 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 1000) = 1
+.2  < P. 1:6(5) ack 1 win 1000
+0   > . 1:1(0) ack 6
"""
    )


def test_two_connections_with_ports_of_their_own() -> None:
    passed(
        LISTEN
        + """
+0  < 5001 > 8080 S 0:0(0) win 1000 <mss 1000>
+0  > 8080 > 5001 S. 0:0(0) ack 1 <mss 1460>
+0  < 5002 > 8080 S 900:900(0) win 1000 <mss 900>
+0  > 8080 > 5002 S. 0:0(0) ack 901 <mss 1460>
+0  < 5002 > 8080 . 1:1(0) ack 1 win 1000
+0  < 5001 > 8080 . 1:1(0) ack 1 win 1000
+0  pool == 2
+0  claim(8080, 5001) = 4
+0  claim(..., ...) = 5
+0  pool == 0
+0  write(5, ..., 1000) = 1000
+0  > 8080 > 5002 . 1:901(900) ack 1
+0  > 8080 > 5002 P. 901:1001(100) ack 1
+0  state 8080 > 5001 ESTABLISHED
"""
    )


def test_large_text_may_come_in_one_packet_or_in_several() -> None:
    numbers = OPEN.replace("win 1000", "win 9000") + "+0 write(4, ..., 3000) = 3000\n"
    passed(numbers + "+0 > P. 1:3001(3000) ack 1\n")
    passed(
        numbers + "+0 > . 1:1001(1000) ack 1\n+0 > . 1001:2001(1000) ack 1\n+0 > P. 2001:3001(1000) ack 1\n"
    )
    strict = ran("--strict_segments\n" + numbers + "+0 > P. 1:3001(3000) ack 1\n")
    assert strict.status is Status.FAILED


@pytest.mark.parametrize("damage", ["bad checksum", "bad length", "bad offset 3", "bad offset"])
def test_a_packet_that_is_broken_on_purpose_gets_no_answer(damage: str) -> None:
    passed(
        LISTEN
        + f"""
+0  < S 0:0(0) win 1000 <mss 1000> {damage}
+0  silence
+0  state CLOSED
+0  < S 0:0(0) win 1000 <mss 1000>
+0  > S. 0:0(0) ack 1 <mss 1460>
"""
    )


def test_sysctls_need_no_shell() -> None:
    passed(
        "`sysctl -q net.ipv4.tcp_timestamps=0\nsysctl -q net.ipv4.tcp_sack=0`\n"
        + LISTEN
        + """
+0  < S 0:0(0) win 1000 <mss 1000,sackOK,TS val 1 ecr 0>
+0  > S. 0:0(0) ack 1 <mss 1460>
"""
    )


def test_assertions_see_tcp_info() -> None:
    passed(OPEN + "+0 %{ assert tcpi_state == TCP_ESTABLISHED, tcpi_state\nassert tcpi_snd_mss == 1000 }%\n")


def test_an_icmp_error_reaches_a_connection_that_is_being_opened() -> None:
    passed("""
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0...0.1 connect(3, ..., ...) = -1 ECONNREFUSED
+0  > S 0:0(0) <...>
+.1 < icmp unreachable port_unreachable [0:0(0)]
""")


def test_events_for_other_targets_do_not_happen() -> None:
    passed(OPEN + "on kernel: +5 > R 9:9(0)\non engine: +0 state ESTABLISHED\n")


def test_a_fast_open_cookie_that_was_given_comes_back() -> None:
    passed(
        "`sysctl -q net.ipv4.tcp_fastopen=3`\n"
        + LISTEN.replace("+0  listen", "+0  setsockopt(3, SOL_TCP, TCP_FASTOPEN, [5], 4) = 0\n+0  listen")
        + """
+0  < S 0:0(0) win 1000 <mss 1000,FO,nop,nop>
+0  > S. 0:0(0) ack 1 <mss 1460,FO *,nop,nop>
+0  < R. 1:1(0) ack 1 win 0
+0  < S 0:5(5) win 1000 <mss 1000,FO *,nop,nop>
+0  > S. 0:0(0) ack 6 <mss 1460>
+0  pool == 1
"""
    )


# What fails, and how it is told


def test_a_field_that_differs() -> None:
    outcome = failed(LISTEN + "+0 < S 0:0(0) win 1000 <mss 1000>\n+0 > S. 0:0(0) ack 2 win 1 <mss 1400>\n")
    failure = outcome.failure
    assert failure is not None
    assert failure.line == 6
    assert failure.expected == "> S. 0:0(0) ack 2 win 1 <mss 1400>"
    assert failure.actual == "> S. 0:0(0) ack 1 win 65535 <mss 1460>"
    assert [tuple(each) for each in failure.differences] == [
        ("ack", "2", "1"),
        ("win", "1", "65535"),
        ("mss", "mss 1400", "mss 1460"),
    ]
    assert (outcome.state, outcome.rule) == ("SYN-RECEIVED", "RFC 9293 3.10.7.2 third")
    assert outcome.path[-1].text == failure.actual


def test_a_packet_too_late_or_too_early_by_a_microsecond() -> None:
    late = LISTEN + "+0 < S 0:0(0) win 1000 <mss 1000>\n+0 > S. 0:0(0) ack 1 <mss 1460>\n"
    passed(late + "+1 > S. 0:0(0) ack 1 <mss 1460>\n")
    for time, word in (("+0.999998", "too late"), ("+1.000002", "too early")):
        failure = failed(late + f"{time} > S. 0:0(0) ack 1 <mss 1460>\n").failure
        assert failure is not None
        assert word in failure.message
        assert [each.field for each in failure.differences] == ["time"]


def test_a_tolerance_that_a_script_or_a_command_line_gives() -> None:
    source = LISTEN + "+0 < S 0:0(0) win 1000\n+0 > S. 0:0(0) ack 1 <...>\n+.95 > S. 0:0(0) ack 1 <...>\n"
    failed(source)
    passed("--tolerance_usecs=50000\n" + source)
    assert ran(source, "ipv4", Flag("tolerance_usecs", "50000", 0)).status is Status.PASSED


def test_a_packet_that_never_comes() -> None:
    failure = failed(OPEN + "+0 > R 1:1(0)\n").failure
    assert failure is not None
    assert (failure.message, failure.actual) == ("no packet came", "")


def test_a_packet_that_no_event_expects() -> None:
    failure = failed(OPEN + "+0 write(4, ..., 1) = 1\n+0 silence\n").failure
    assert failure is not None
    assert failure.actual == "> P. 1:2(1) ack 1 win 65535"


def test_a_packet_of_another_connection() -> None:
    failure = failed(
        OPEN + "+0 < 5001 > 8080 R 0:0(0) win 0\n+0 write(4, ..., 1) = 1\n+0 > 8080 > 5001 . 1:1(0)\n"
    ).failure
    assert failure is not None
    assert failure.message == "a packet of another connection came"


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("listen(3, 1) = -1 EBADF", "listen did otherwise: result differs"),
        ("read(4, ..., 10) = 0", "read has not returned"),
        ("accept(9, ..., ...) = 5", "accept did otherwise: result differs"),
        ("state CLOSED", "the connection is in ESTABLISHED"),
        ("pool > 0", "the pool holds 0 connections"),
        ("%{ assert tcpi_snd_mss == 7, tcpi_snd_mss }%", "an assertion failed"),
        ("%{ 1 / 0 }%", "code failed: ZeroDivisionError: division by zero"),
        ("%{ raise SystemExit(0) }%", "code failed: it would end the whole run, with status 0"),
    ],
)
def test_calls_and_checks_that_fail(event: str, message: str) -> None:
    failure = failed(f"{OPEN}+0 {event}\n").failure
    assert failure is not None
    assert (failure.message, failure.line) == (message, 10)


def test_termination_during_code_of_a_script_is_no_fault_of_the_script() -> None:
    with pytest.raises(SystemExit), termination_unwinds():
        ran(OPEN + "+0 %{ import signal; signal.raise_signal(signal.SIGTERM) }%\n")


def test_a_blocking_call_that_returns_at_another_time() -> None:
    source = LISTEN + "+0...0.2 accept(3, ..., ...) = -1 EINVAL\n+.1 `true`\n"
    failure = failed(source).failure
    assert failure is not None
    assert failure.message == "accept has not returned"
    early = OPEN + "+0...0.2 read(4, ..., 5) = 5\n+.1 < P. 1:6(5) ack 1 win 1000\n+0 > . 1:1(0) ack 6\n"
    failure = failed(early).failure
    assert failure is not None
    assert failure.message.startswith("read returned too early")


# Verdicts


def test_what_is_to_fail_has_to() -> None:
    verdict = 'on sim: xfail "it answers"\n'
    outcome = ran(verdict + OPEN + "+0 state CLOSED\n")
    assert (outcome.status, outcome.reason) == (Status.XFAILED, "it answers")
    outcome = ran(verdict + OPEN)
    assert outcome.status is Status.XPASSED
    assert not outcome.status.is_good
    assert ran('on kernel: xfail "no"\n' + OPEN).status is Status.PASSED


def test_what_is_not_to_be_run_is_not() -> None:
    outcome = ran('on engine: skip "Linux only"\n' + OPEN + "+0 state CLOSED\n")
    assert (outcome.status, outcome.reason, outcome.path) == (Status.SKIPPED, "Linux only", ())


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("0 fork() = 0", "system call fork"),
        ("0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3", "sockets other than of TCP (type 2, protocol 17)"),
        ("0 > udp (5)", "UDP"),
        (OPEN + "* > icmp unreachable port_unreachable", "ICMP that the target is to send"),
        (OPEN + "+0 < icmp echo_request id 5", "the identifier of an ICMP message"),
        (LISTEN + "+0 setsockopt(3, SOL_TCP, TCP_NO_SUCH, [1], 4) = 0", "constant TCP_NO_SUCH"),
        (
            "0 `ip link set dev tun0 down`",
            "the command 'ip link set dev tun0 down': the engine needs no shell",
        ),
        (OPEN + "+0 %{ assert tcpi_busy_time }%", "code that asks for more than this target knows"),
        ("--so_filename=x\n0 silence", "flag --so_filename"),
    ],
)
def test_what_is_not_supported_says_so(source: str, reason: str) -> None:
    outcome = ran(source)
    assert outcome.status is Status.UNSUPPORTED
    assert reason in outcome.reason


def test_a_flag_that_makes_no_sense() -> None:
    for flag in ("--mtu=7", "--no_such_flag", "--local_ip=fd00::1\n--ip_version=ipv4", "--tolerance_usecs=x"):
        assert ran(f"{flag}\n0 silence").status is Status.ERROR
    for percent in ("nan", "inf", "-1", "x", "1001"):
        reason = ran(f"--tolerance_percent={percent}\n0 silence").reason
        assert reason == f"--tolerance_percent={percent}: it is a number from 0 to 1000"


def test_options_that_do_not_fit() -> None:
    outcome = ran(LISTEN + "+0 < S 0:0(0) win 1 <wscale 1>\n")
    assert outcome.status is Status.ERROR
    assert "3 octets of options do not fill words" in outcome.reason
    assert outcome.failure is not None
    assert outcome.failure.remedy == "Fill them up with nop or eol."
    assert ran(LISTEN + "+0 < S 0:0(0) win 1 <raw 1e2b" + "00" * 41 + ">\n").status is Status.ERROR


@pytest.mark.parametrize(("version", "longest"), [("ipv4", 65_495), ("ipv6", 65_515)])
def test_a_packet_that_is_longer_than_ip_allows(version: IpVersion, longest: int) -> None:
    def script(octets: int) -> str:
        return f"{LISTEN}+0 < S 0:{octets}({octets}) win 1\n"

    assert ran(script(longest), version).status is Status.PASSED
    outcome = ran(script(longest + 1), version)
    assert (outcome.status, outcome.reason) == (Status.ERROR, "IP has no length for 65536 octets")


TIMESTAMPS = """
0   socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0  connect(3, ..., ...) = -1 EINPROGRESS
+0  > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
"""


def test_an_echo_of_a_timestamp_that_the_target_never_sent() -> None:
    script = (
        TIMESTAMPS + "+.1 < S. 0:0(0) ack 1 win 1000 <mss 1000,sackOK,TS val 9 ecr 99>\n+0 state SYN_SENT\n"
    )
    outcome = ran(script)
    assert outcome.status is Status.ERROR
    assert outcome.failure is not None
    assert outcome.failure.line == 5
    assert outcome.failure.message == "the target has sent no timestamp 99 that could be echoed"
    assert outcome.failure.remedy == (
        "Echo one that an outbound packet has, or count from the first: --tcp_ts_ecr_scaled."
    )
    assert ran("--tcp_ts_ecr_scaled\n" + script).status is not Status.ERROR
    assert ran("--tcp_ts_ecr_scaled\n" + LISTEN + "+0 < . 1:1(0) ack 1 win 1 <TS val 9 ecr 99>\n").status is (
        Status.ERROR
    )


def test_an_echo_without_an_acknowledgment_means_nothing_and_stands_as_it_is() -> None:
    passed(
        LISTEN
        + """
+0  < S 0:0(0) win 1000 <mss 1000,sackOK,TS val 9 ecr 99>
+0  > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 100 ecr 9>
"""
    )


# Whole runs


def test_a_run_is_the_same_every_time() -> None:
    outcomes = [ran(OPEN + "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n") for _ in range(3)]
    for one, other in pairwise(outcomes):
        assert one.path == other.path
        assert one.frames == other.frames


def test_a_run_keeps_its_path_and_its_packets() -> None:
    outcome = ran(OPEN)
    assert [(seen.line, seen.text) for seen in outcome.path[3:6]] == [
        (6, "< S 0:0(0) win 1000 <mss 1000>"),
        (7, "> S. 0:0(0) ack 1 win 65535 <mss 1460>"),
        (8, "< . 1:1(0) ack 1 win 1000"),
    ]
    assert [direction for direction, _, _ in outcome.frames] == ["<", ">", "<"]
    assert [event.kind.value for event in outcome.events[:2]] == ["received", "moved"]
