"""The language: what each construct means, and what an error says."""

import pytest

from xsocket_tools.scenarios.errors import BROKEN_STATUS, ScriptSyntaxError
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.script import (
    ANYTHING,
    AccEcnSpec,
    Action,
    Apply,
    Array,
    Assign,
    Call,
    Code,
    Command,
    Damage,
    Direction,
    Dots,
    Either,
    EndSpec,
    ExperimentalSpec,
    FastOpenSpec,
    IcmpSpec,
    Integer,
    IpFields,
    Kind,
    Md5Spec,
    MssSpec,
    NopSpec,
    OptionSpec,
    OtherPacket,
    PoolCheck,
    Ports,
    RawSpec,
    SackPermittedSpec,
    SackSpec,
    Silence,
    StateCheck,
    Struct,
    TcpSpec,
    Text,
    TimestampsSpec,
    When,
    WindowScaleSpec,
    Word,
)


def action_of(text: str, **defined: str) -> Action:
    """Return what the one event of a script is."""
    [event] = read(f"0 {text}", definitions=defined.items()).events
    return event.action


def tcp_of(text: str) -> TcpSpec:
    action = action_of(text)
    assert isinstance(action, TcpSpec)
    return action


def call_of(text: str, **defined: str) -> Call:
    action = action_of(text, **defined)
    assert isinstance(action, Call)
    return action


# Times


@pytest.mark.parametrize(
    ("text", "when"),
    [
        pytest.param("0", When(Kind.ABSOLUTE, 0), id="absolute"),
        pytest.param("0.25", When(Kind.ABSOLUTE, 250_000), id="a fraction"),
        pytest.param("+.1", When(Kind.RELATIVE, 100_000), id="relative"),
        pytest.param("+ 1.000001", When(Kind.RELATIVE, 1_000_001), id="microseconds"),
        pytest.param("*", When(Kind.ANY), id="any"),
        pytest.param("1~2.5", When(Kind.ABSOLUTE_RANGE, 1_000_000, 2_500_000), id="a range"),
        pytest.param("+.1 ~ +.2", When(Kind.RELATIVE_RANGE, 100_000, 200_000), id="a relative range"),
    ],
)
def test_when_an_event_happens(text: str, when: When) -> None:
    [event] = read(f"{text} > S 0:0(0)").events
    assert event.when == when


@pytest.mark.parametrize(
    ("text", "until_us"),
    [("0...0.2", 200_000), ("+.1...1", 1_000_000), ("+0 ...+.5", 500_000), ("0 ... 0.010", 10_000)],
)
def test_when_a_blocking_call_ends(text: str, until_us: int) -> None:
    [event] = read(f"{text} accept(3, ..., ...) = 4").events
    assert isinstance(event.action, Call)
    assert event.action.until_us == until_us


# Packets


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("S", "S"),
        ("S.", "S."),
        (".", "."),
        ("-", ""),
        ("PF.", "FP."),
        ("SEWA", "SEWA"),
        ("R.", "R."),
        ("U.", "U."),
        (".5", "EA."),
        ("P5.", "PEA."),
        ("2.", "W."),
    ],
)
def test_the_flags_of_a_segment(text: str, flags: str) -> None:
    assert tcp_of(f"> {text} 1:1(0) ack 1").flags == flags


def test_the_fields_of_a_segment() -> None:
    spec = tcp_of('< [tos 0x3] 40001 > 8080 PU. 1:6(5) ack 7 win 1000 urg 3 <nop,nop,eol,eol> "hello"')
    assert spec == TcpSpec(
        Direction.INBOUND,
        "PU.",
        1,
        5,
        7,
        1000,
        3,
        (NopSpec(), NopSpec(), EndSpec(), EndSpec()),
        Ports(40001, 8080),
        IpFields(tos=3),
        b"hello",
    )


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("[ect0]", IpFields(ecn="ect0")),
        ("(ect01)", IpFields(ecn="ect01")),
        ("[noecn, flowlabel 0x12345]", IpFields(ecn="noecn", flow_label=0x12345)),
        ("[ttl 9]", IpFields(ttl=9)),
        ("(hlim 3)", IpFields(ttl=3)),
        ("[tos 0x20]", IpFields(tos=0x20)),
        ("(class 0x20)", IpFields(tos=0x20)),
    ],
)
def test_the_fields_of_the_ip_header(text: str, fields: IpFields) -> None:
    assert tcp_of(f"> {text} S 0:0(0)").ip == fields


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("mss 1460", MssSpec(1460)),
        ("mss *", MssSpec(ANYTHING)),
        ("wscale 7", WindowScaleSpec(7)),
        ("sackOK", SackPermittedSpec()),
        ("sack 1:2 3:4", SackSpec(((1, 2), (3, 4)))),
        ("TS val 1 ecr *", TimestampsSpec(1, ANYTHING)),
        ("TS val ... ecr 0", TimestampsSpec(ANYTHING, 0)),
        ("nop", NopSpec()),
        ("eol", EndSpec()),
        ("FO", FastOpenSpec(b"")),
        ("FO abcd1234", FastOpenSpec(b"\xab\xcd\x12\x34")),
        ("FO *", FastOpenSpec(None)),
        ("FO TFO_COOKIE", FastOpenSpec(None)),
        ("FOEXP 0102", FastOpenSpec(b"\x01\x02", experimental=True)),
        ("md5 000102030405060708090a0b0c0d0e0f", Md5Spec(bytes(range(16)))),
        ("md5 *", Md5Spec(None)),
        ("ECN e1b 1 ceb 0 e0b *", AccEcnSpec((("e1b", 1), ("ceb", 0), ("e0b", ANYTHING)))),
        ("exp 0xf989 0102", ExperimentalSpec(0xF989, b"\x01\x02")),
        ("raw 1e00", RawSpec(b"\x1e\x00")),
    ],
)
def test_options(text: str, option: OptionSpec) -> None:
    assert tcp_of(f"> S 0:0(0) <{text}>").options == (option,)


@pytest.mark.parametrize("text", ["<...>", "<nocheck>", "<nop, nocheck>"])
def test_options_that_are_not_looked_at(text: str) -> None:
    assert tcp_of(f"> S 0:0(0) {text}").options is None


def test_no_options_means_none() -> None:
    assert tcp_of("> S 0:0(0)").options == ()


def test_numbers_that_do_not_matter() -> None:
    spec = tcp_of("> . *:*(10) ack * win *")
    assert (spec.seq, spec.ack, spec.window, spec.length) == (ANYTHING, ANYTHING, ANYTHING, 10)


@pytest.mark.parametrize(
    ("text", "damage"),
    [
        ("bad checksum", Damage(checksum=True)),
        ("bad length", Damage(length=4)),
        ("bad length -7", Damage(length=-7)),
        ("bad offset 3", Damage(offset=3)),
        ("bad offset bad checksum", Damage(checksum=True, offset=15)),
    ],
)
def test_what_is_wrong_on_purpose(text: str, damage: Damage) -> None:
    assert tcp_of(f"< S 0:0(0) win 1 {text}").damage == damage


def test_icmp_errors() -> None:
    assert action_of("< icmp unreachable frag_needed mtu 1200 [1:1461(1460)]") == IcmpSpec(
        Direction.INBOUND, "unreachable", "frag_needed", 1200, None, 1, 1460
    )
    assert action_of("< [5:5(0)] icmp unreachable") == IcmpSpec(Direction.INBOUND, "unreachable", seq=5)
    assert action_of("< icmp unreachable CODE", CODE="host_unreachable") == IcmpSpec(
        Direction.INBOUND, "unreachable", "host_unreachable"
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("< udp (1000)", "UDP"),
        ("> gre flags [none], sum 1, off 0, key = 1, seq 1: . 1:1(0) ack 1", "gre in front of a packet"),
        ("< ipv4 1.1.1.1 > 2.2.2.2: . 1:1(0) ack 1 win 5", "ipv4 in front of a packet"),
        ("< . 1:1(0) ack 1 win 5 {mut tcp mss}", "packets made to fuzz"),
        ("< F. 1:1(0) ack 1 win 5/udp(1 > 2)", "TCP in UDP"),
        ("< icmp unreachable port_unreachable [udp (8)]", "ICMP about UDP or raw packets"),
    ],
)
def test_what_nothing_runs_is_read_all_the_same(text: str, what: str) -> None:
    action = action_of(text)
    assert isinstance(action, OtherPacket)
    assert action.what == what


# Calls


def test_a_call_that_fails() -> None:
    call = call_of("connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)")
    assert call == Call(
        "connect",
        (Integer(3, "3"), Dots(), Dots()),
        Integer(-1, "-1"),
        "EINPROGRESS",
        note="Operation now in progress",
    )


def test_flags_joined_by_bars() -> None:
    assert call_of("fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0").arguments[2] == Either(
        (Word("O_RDWR"), Word("O_NONBLOCK"))
    )


def test_structures_and_arrays() -> None:
    call = call_of("poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 0) = 1")
    fields = (("fd", Integer(4, "4")), ("events", Word("POLLIN")), ("revents", Word("POLLIN")))
    entry = Struct(tuple(Assign(Word(name), value) for name, value in fields))
    assert call.arguments[0] == Array((entry,))


def test_a_message_header() -> None:
    call = call_of("recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 10}], msg_flags=0}, 0) = 10")
    first = Assign(Apply("msg_name", (Dots(),)), Dots())
    assert isinstance(call.arguments[1], Struct)
    assert call.arguments[1].items[0] == first


def test_an_address() -> None:
    call = call_of(
        'connect(3, {sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr("1.2.3.4")}, 16) = 0'
    )
    assert isinstance(call.arguments[1], Struct)
    assert call.arguments[1].items[1] == Assign(Word("sin_port"), Apply("htons", (Integer(80, "80"),)))


def test_strings_with_escapes_and_in_pieces() -> None:
    assert call_of(r'write(4, "a\x00\n\"" "b", 5) = 5').arguments[1] == Text(b'a\0\n"b')
    assert call_of('read(4, "abc"..., 9) = 9').arguments[1] == Text(b"abc", cut=True)


def test_definitions_stand_for_words() -> None:
    text = "setsockopt(3, SOL_TCP, OPTION, [VALUE], 4) = RESULT"
    call = call_of(text, OPTION="TCP_NODELAY", VALUE="1", RESULT="0")
    assert call.arguments[2:4] == (Word("TCP_NODELAY"), Array((Integer(1, "1"),)))
    assert call.result == Integer(0, "0")


def test_a_script_defines_words_of_its_own() -> None:
    script = read(
        '--define=CC="reno"\n-D ...\n'.replace("-D ...\n", "")
        + "0 setsockopt(3, SOL_TCP, TCP_CONGESTION, CC, 4) = 0"
    )
    [event] = script.events
    assert isinstance(event.action, Call)
    assert event.action.arguments[3] == Text(b"reno")


def test_a_word_that_stands_for_a_command() -> None:
    assert action_of("CMD", CMD="`sysctl -q net.ipv4.tcp_ecn=0`") == Command("`sysctl -q net.ipv4.tcp_ecn=0`")


# Commands, code, checks, verdicts


def test_commands_before_and_after_the_events() -> None:
    script = read("`first`\n0 `middle`\n+0 %{ assert tcpi_rto }%\n`last`")
    assert [(event.when is None, event.action) for event in script.events] == [
        (True, Command("`first`")),
        (False, Command("`middle`")),
        (False, Code(" assert tcpi_rto ")),
        (True, Command("`last`")),
    ]


def test_checks() -> None:
    assert action_of("state SYN_RECEIVED") == StateCheck("SYN_RECEIVED")
    assert action_of("state 8080 > 40001 fin_wait_1") == StateCheck("FIN_WAIT_1", Ports(8080, 40001))
    assert action_of("pool >= 2") == PoolCheck(">=", 2)
    assert action_of("silence") == Silence()


def test_events_for_some_targets() -> None:
    script = read("on engine: 0 silence\non kernel, sim: +0 silence\n+0 silence")
    targets = [event.targets for event in script.events]
    assert targets == [{"sim", "wire"}, {"kernel", "sim"}, frozenset()]


def test_verdicts() -> None:
    script = read('on kernel: xfail "it has no \\"pool\\""\non wire: skip "slow"\n0 silence')
    assert [(set(each.targets), each.kind, each.reason) for each in script.verdicts] == [
        ({"kernel"}, "xfail", 'it has no "pool"'),
        ({"wire"}, "skip", "slow"),
    ]


def test_flags() -> None:
    script = read("--tolerance_usecs=10000\n--ip_version=ipv4 // IPv4 only\n--local_ip=10.0.0.1\n0 silence")
    assert [(flag.name, flag.value, flag.line) for flag in script.flags] == [
        ("tolerance_usecs", "10000", 1),
        ("ip_version", "ipv4", 2),
        ("local_ip", "10.0.0.1", 3),
    ]


def test_comments_are_nothing() -> None:
    script = read("/* a\n  script */\n0 silence // done\n// the end")
    assert [event.line for event in script.events] == [3]


# Errors


@pytest.mark.parametrize(
    ("source", "line", "column", "problem"),
    [
        pytest.param("0 socket(..., SOCK_STREAM = 3", 1, 30, "the script ends too soon", id="a parenthesis"),
        pytest.param("0 < S 0:0(0) win 1 <mss>", 1, 24, "unexpected '>'", id="an option's value"),
        pytest.param("0 silence\n+0 > X 0:0(0)", 2, 6, "unexpected 'X'", id="flags"),
        pytest.param("0 > SS 0:0(0)", 1, 5, "a flag stands there twice", id="a flag twice"),
        pytest.param("0 < S 0:1(0) win 1", 1, 7, "0 and 0 octets make 0, not 1", id="a length"),
        pytest.param("0 < S 0:0(0)", 1, 7, "an inbound packet needs its window", id="no window"),
        pytest.param("0 < S 0:0(0) win * ", 1, 7, "a wildcard has none", id="a wildcard"),
        pytest.param("0 < S 0:0(0) win 1 <...>", 1, 3, "outbound packets only", id="dots"),
        pytest.param("0 > S 4294967296:0(0)", 1, 7, "32 bits", id="a sequence number"),
        pytest.param("0 > S 0:0(0) win 70000", 1, 18, "outside 0 to 65535", id="a window"),
        pytest.param("0 < 0 > 80 S 0:0(0) win 1", 1, 5, "outside 1 to 65535", id="a port"),
        pytest.param("0 > S 0:0(0) <mss 70000>", 1, 19, "outside 0 to 65535", id="an MSS"),
        pytest.param("* silence", 1, 1, "only an outbound packet", id="any time"),
        pytest.param("0~1 < S 0:0(0) win 1", 1, 1, "only an outbound packet", id="a range"),
        pytest.param("2~1 > S 0:0(0)", 1, 1, "backwards", id="a range that is backwards"),
        pytest.param("1~+2 > S 0:0(0)", 1, 1, "both ends", id="a range of two kinds"),
        pytest.param("1 silence\n0.5 silence", 2, 1, "time goes backwards", id="time"),
        pytest.param("0 state OPEN", 1, 9, "OPEN is not a state", id="a state"),
        pytest.param("0 > S 0:0(0) <FO abc>", 1, 18, "two digits each", id="half an octet"),
        pytest.param("0 > S 0:0(0) <md5 00>", 1, 19, "16 octets, not 1", id="a digest"),
        pytest.param('0 < P. 1:3(2) ack 1 win 1 "abc"', 1, 8, "the payload has 3 octets", id="a payload"),
        pytest.param("0 > S 0:0(0) bad checksum", 1, 3, "only an inbound packet can be bad", id="damage"),
        pytest.param("0 nonsense", 1, 1, "neither a call nor defined", id="a word"),
        pytest.param("", 1, 1, "there is no event", id="nothing"),
        pytest.param("0 silence\n`x`\n+0 silence", 2, 1, "needs a time", id="a command in between"),
    ],
)
def test_what_is_wrong_and_where(source: str, line: int, column: int, problem: str) -> None:
    with pytest.raises(ScriptSyntaxError) as caught:
        read(source, "a.pkt")
    error = caught.value
    assert problem in error.message
    assert (error.line, error.column) == (line, column)
    assert error.message.startswith(f"a.pkt:{line}:{column}: ")
    assert error.exit_status == BROKEN_STATUS


def test_an_error_shows_the_line_and_what_was_expected() -> None:
    with pytest.raises(ScriptSyntaxError) as caught:
        read("0 silence\n+0\t> S 0:0(0) win", "a.pkt")
    assert caught.value.message.splitlines() == [
        "a.pkt:2:18: the script ends too soon; expected *, ... or a number",
        "    +0\t> S 0:0(0) win",
        "      \t              ^",
    ]
