"""The notation: every script that can be, written and read again, is the same; and how things are spelled."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xsocket_tools.scenarios.notation import (
    action_text,
    event_text,
    expression_text,
    flag_text,
    script_text,
    string_text,
    time_text,
)
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.script import (
    ANYTHING,
    TARGETS,
    AccEcnSpec,
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
    Event,
    ExperimentalSpec,
    FastOpenSpec,
    Flag,
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
    Script,
    Silence,
    StateCheck,
    Struct,
    TcpSpec,
    Text,
    TimestampsSpec,
    Verdict,
    When,
    WindowScaleSpec,
    Word,
)

INBOUND, OUTBOUND = Direction.INBOUND, Direction.OUTBOUND


def meaning(script: Script) -> tuple[Any, ...]:
    """What a script says, wherever it says it."""
    return (
        [flag._replace(line=0) for flag in script.flags],
        [verdict._replace(line=0) for verdict in script.verdicts],
        [replace(event, line=0) for event in script.events],
    )


# Every script that can be

OCTETS = st.integers(0, 0xFF)
HALVES = st.integers(0, 0xFFFF)
WORDS = st.integers(0, 0xFFFF_FFFF)
TIMES = st.integers(0, 10**10)
NAMES = st.from_regex(r"[a-zA-Z_]\w{0,8}", fullmatch=True)
TARGET_SETS = st.frozensets(st.sampled_from(TARGETS), min_size=1)
PORTS = st.builds(Ports, st.integers(1, 0xFFFF), st.integers(1, 0xFFFF))


def or_anything(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[Any]:
    return numbers | st.just(ANYTHING)


def options(number: st.SearchStrategy[Any], *, wildcards: bool) -> st.SearchStrategy[OptionSpec]:
    half, octet = (or_anything(each) if wildcards else each for each in (HALVES, OCTETS))
    blob = st.binary(min_size=1, max_size=16)
    none: st.SearchStrategy[bytes | None] = st.none() if wildcards else st.nothing()
    counters = st.tuples(st.sampled_from(["e0b", "e1b", "ceb"]), number)
    return st.one_of(
        st.just(NopSpec()),
        st.just(EndSpec()),
        st.just(SackPermittedSpec()),
        st.builds(MssSpec, half),
        st.builds(WindowScaleSpec, octet),
        st.builds(TimestampsSpec, number, number),
        st.builds(SackSpec, st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4).map(tuple)),
        st.builds(FastOpenSpec, none | st.binary(max_size=16), st.booleans()),
        st.builds(Md5Spec, st.none() | st.binary(min_size=16, max_size=16)),
        st.builds(AccEcnSpec, st.lists(counters, max_size=3).map(tuple)),
        st.builds(ExperimentalSpec, HALVES, st.binary(max_size=8)),
        st.builds(RawSpec, blob),
    )


@st.composite
def segments(draw: st.DrawFn, direction: Direction) -> TcpSpec:
    outbound = direction is OUTBOUND
    number = or_anything(WORDS) if outbound else WORDS
    flags = "".join(letter for letter in "SFRPUEWA" if draw(st.booleans()))
    flags += draw(st.sampled_from(["", "."]))
    some_options = st.lists(options(number, wildcards=outbound), max_size=4).map(tuple)
    payload = draw(st.none() | st.binary(max_size=12))
    acks = number if "." in flags and not outbound else st.none() | number
    half = or_anything(HALVES) if outbound else HALVES
    windows = half if not outbound and "R" not in flags else st.none() | half
    marks = ["noecn", "ect0", "ect1", "ce", *(["ect01"] if outbound else [])]
    ip = st.builds(
        IpFields,
        st.none() | st.sampled_from(marks),
        st.none() | OCTETS,
        st.none() | OCTETS,
        st.none() | st.integers(0, 0xFFFFF),
    )
    damage = st.builds(Damage, st.booleans(), st.none() | st.integers(-99, 99), st.none() | OCTETS)
    return TcpSpec(
        direction,
        flags,
        draw(number),
        len(payload) if payload is not None else draw(HALVES),
        draw(acks),
        draw(windows),
        draw(st.none() | HALVES),
        draw(st.none() | some_options if outbound else some_options),
        draw(st.none() | PORTS),
        draw(ip),
        payload,
        Damage() if outbound else draw(damage),
    )


@st.composite
def icmp_errors(draw: st.DrawFn, direction: Direction) -> IcmpSpec:
    seq = draw(st.none() | WORDS)
    return IcmpSpec(
        direction,
        draw(NAMES),
        draw(st.just("") | NAMES.filter(lambda name: name not in ("mtu", "id", "on"))),
        draw(st.none() | WORDS),
        draw(st.none() | HALVES),
        seq,
        0 if seq is None else draw(HALVES),
        draw(st.builds(IpFields, st.none(), st.none(), st.none() | OCTETS, st.none())),
    )


def other_packets(direction: Direction) -> st.SearchStrategy[OtherPacket]:
    return st.sampled_from(
        [
            OtherPacket(direction, "UDP", "[ttl 3] udp 1 > 53 (28)"),
            OtherPacket(direction, "TCP in UDP", "S 0:0(0) win 5 <mss 1460> /udp(1 > 2)"),
            OtherPacket(direction, "packets made to fuzz", "S 0:0(0) {[TCP SEQ 0:3 1]}"),
            OtherPacket(direction, "ICMP about UDP or raw packets", "icmp unreachable mtu 9 [udp (8)]"),
            OtherPacket(direction, "mpls in front of a packet", "mpls (label 0) . 1:1(0) // a part of it"),
        ]
    )


INTEGERS = (
    st.integers(-(1 << 40), 1 << 40)
    .flatmap(lambda value: st.sampled_from([str(value), f"{value:#x}"]))
    .map(lambda text: Integer(int(text, 0), text))
)
PLAIN: st.SearchStrategy[Any] = (
    st.builds(Word, NAMES) | INTEGERS | st.builds(Text, st.binary(max_size=12), st.booleans())
)
ATOMS: st.SearchStrategy[Any] = PLAIN | st.just(Dots())


def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    eithers = st.builds(
        Either,
        st.lists(inner.filter(lambda each: not isinstance(each, Either)), min_size=2, max_size=3).map(tuple),
    )
    items = st.lists(inner | eithers | st.builds(Assign, inner | eithers, inner | eithers), max_size=3)
    return st.one_of(
        st.builds(Array, items.map(tuple)),
        st.builds(Struct, items.map(tuple)),
        st.builds(Apply, NAMES, items.map(tuple)),
    )


TERMS = st.recursive(ATOMS, deeper, max_leaves=6)
EITHERS = st.builds(Either, st.lists(TERMS, min_size=2, max_size=3).map(tuple))
ITEMS = TERMS | EITHERS | st.builds(Assign, TERMS | EITHERS, TERMS | EITHERS)
RESULT_PARTS: st.SearchStrategy[Any] = st.builds(Word, NAMES) | INTEGERS
RESULTS = (
    RESULT_PARTS
    | st.just(Dots())
    | st.builds(Either, st.lists(RESULT_PARTS, min_size=2, max_size=3).map(tuple))
)
CALLS = st.builds(
    Call,
    NAMES.filter(lambda name: name not in ("state", "pool", "silence")),
    st.lists(ITEMS, max_size=4).map(tuple),
    RESULTS,
    st.just("") | NAMES.filter(lambda name: name != "on"),
    st.none() | TIMES,
    st.just("") | st.from_regex(r"[A-Za-z][^()\n]{0,12}", fullmatch=True),
)
COMMANDS = st.builds(Command, st.from_regex(r"`(\\.|[^`\\\r]){0,20}`", fullmatch=True))
CODES = st.builds(Code, st.text(max_size=30).filter(lambda text: "}%" not in text + "}"))
CHECKS: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        StateCheck, st.sampled_from(["CLOSED", "SYN_SENT", "ESTABLISHED", "TIME_WAIT"]), st.none() | PORTS
    ),
    st.builds(PoolCheck, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.integers(-3, 99)),
    st.just(Silence()),
)
PLAIN_ACTIONS = st.one_of(
    segments(INBOUND),
    segments(OUTBOUND),
    icmp_errors(INBOUND),
    other_packets(INBOUND),
    CALLS,
    COMMANDS,
    CODES,
    CHECKS,
)
TIMED_LATER = st.one_of(
    st.tuples(TIMES.map(lambda at_us: When(Kind.RELATIVE, at_us)), PLAIN_ACTIONS),
    st.tuples(
        st.just(When(Kind.ANY))
        | st.builds(
            lambda at, span: When(Kind.RELATIVE_RANGE, at, at + span),
            TIMES,
            TIMES,
        ),
        segments(OUTBOUND) | icmp_errors(OUTBOUND) | other_packets(OUTBOUND),
    ),
)


@st.composite
def timed_events(draw: st.DrawFn) -> list[Event]:
    """Absolute times first, which may not go back, then relative ones."""
    steps = draw(st.lists(TIMES, min_size=1, max_size=3))
    pairs: list[tuple[When, Any]] = [
        (When(Kind.ABSOLUTE, at_us), draw(PLAIN_ACTIONS)) for at_us in accumulate(steps)
    ]
    pairs.append((When(Kind.ABSOLUTE_RANGE, sum(steps), sum(steps) + draw(TIMES)), draw(segments(OUTBOUND))))
    pairs += draw(st.lists(TIMED_LATER, max_size=3))
    return [Event(when, action, 0, draw(st.just(frozenset[str]()) | TARGET_SETS)) for when, action in pairs]


UNTIMED = st.lists(st.builds(Event, st.none(), COMMANDS, st.just(0)), max_size=2)
FLAG_NAMES = st.from_regex(r"[a-zA-Z][\w-]{0,8}", fullmatch=True)
FLAG_VALUES = st.none() | st.from_regex(
    r'[^"`\n]{0,12}|(\w{1,4}=)("[^"\n]{0,6}"|`[^`]{0,6}`)', fullmatch=True
)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    flags = draw(
        st.lists(
            st.builds(
                Flag, FLAG_NAMES.filter(lambda name: name not in ("D", "define")), FLAG_VALUES, st.just(0)
            ),
            max_size=3,
        )
    )
    reasons = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    verdicts = draw(
        st.lists(
            st.builds(Verdict, TARGET_SETS, st.sampled_from(["xfail", "skip"]), reasons, st.just(0)),
            max_size=2,
        )
    )
    events = [*draw(UNTIMED), *draw(timed_events()), *draw(UNTIMED)]
    return Script("", "", tuple(flags), tuple(verdicts), tuple(events))


@settings(derandomize=True, database=None, deadline=None)
@given(scripts())
def test_every_script_reads_back_as_it_was(script: Script) -> None:
    assert meaning(read(script_text(script))) == meaning(script)


# How things are spelled


@pytest.mark.parametrize(
    ("when", "text"),
    [
        pytest.param(When(Kind.ABSOLUTE, 0), "0", id="the-start"),
        pytest.param(When(Kind.ABSOLUTE, 100_000), "0.1", id="absolute"),
        pytest.param(When(Kind.RELATIVE, 20_001), "+0.020001", id="microseconds"),
        pytest.param(When(Kind.RELATIVE, 10_000_000), "+10", id="whole-seconds"),
        pytest.param(When(Kind.ANY), "*", id="any"),
        pytest.param(When(Kind.ABSOLUTE_RANGE, 0, 1_500_000), "0~1.5", id="absolute-range"),
        pytest.param(When(Kind.RELATIVE_RANGE, 200_000, 300_000), "+0.2~+0.3", id="relative-range"),
    ],
)
def test_times_are_as_short_as_they_can_be(when: When, text: str) -> None:
    assert time_text(when) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("< S 0:0(0) win 1000 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>", id="syn"),
        pytest.param("> S. 0:0(0) ack 1 <...>", id="whatever-options"),
        pytest.param("> FP. 1:1001(1000) ack * win *", id="any-number"),
        pytest.param("> R *:*(0)", id="any-sequence-number"),
        pytest.param("< - 4294967295:9(10) win 5", id="no-flags-and-wrapping-numbers"),
        pytest.param("< PUEW. 1:3(2) ack 1 win 5 urg 2", id="all-header-fields"),
        pytest.param('< P. 1:3(2) ack 1 win 5 "hi" bad checksum bad length -4 bad offset 3', id="extensions"),
        pytest.param("> [ect0] 1234 > 80 . 1:1(0) ack 1", id="ports"),
        pytest.param("> [tos 0x10, flowlabel 0x1] . 1:1(0) ack 1 <nop,nop,sack 1:2 3:4>", id="ip-fields"),
        pytest.param("> S 0:0(0) <FO *,FOEXP,FO 0102,md5,ECN e1b 1 ceb * e0b 1>", id="options"),
        pytest.param("< . 1:1(0) ack 1 win 1 <exp 0xf989 0102,raw 1e02,eol>", id="more-options"),
        pytest.param("< [ttl 64] icmp unreachable frag_needed mtu 1400 [1:1461(1460)]", id="icmp"),
    ],
)
def test_packets_are_spelled_in_one_way(text: str) -> None:
    assert action_text(read(f"0 {text}").events[0].action) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("socket(..., SOCK_STREAM, IPPROTO_TCP) = 3", id="dots"),
        pytest.param("fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0", id="flags"),
        pytest.param('read(4, "a\\n\\x00\\"é"..., 10) = -1 EAGAIN (Try again)', id="string-errno-note"),
        pytest.param("setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0x5}, 8) = 0", id="structure"),
        pytest.param("sendmsg(4, {msg_iov(1)=[{..., 10}], msg_flags=0}, 0) = 10", id="nested"),
        pytest.param("poll([{fd=3, events=POLLIN}], 1, 0) = 0|1", id="either-result"),
    ],
)
def test_calls_are_spelled_in_one_way(text: str) -> None:
    assert action_text(read(f"0 {text}").events[0].action) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("+0...0.2 connect(3, ..., ...) = 0", id="end-of-a-blocking-call"),
        pytest.param("on kernel: +0 > R 1:1(0)", id="guard"),
        pytest.param("on engine, kernel: +0 pool == 1", id="both-engines"),
        pytest.param("on wire: +0 state 80 > 1234 SYN_RECEIVED", id="state"),
        pytest.param("+0 %{ assert tcpi_rto > 0 }%", id="code"),
        pytest.param("+0 `sysctl -q a=1`", id="command"),
    ],
)
def test_events_are_spelled_in_one_way(text: str) -> None:
    assert event_text(read(text).events[0]) == text


def test_what_happens_begins_in_a_column_if_there_is_room() -> None:
    short, long = read("0 silence +0.000001 silence").events
    assert event_text(short, 8) == "0       silence"
    assert event_text(long, 8) == "+0.000001 silence"


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        pytest.param(Flag("mss", "1000", 1), "--mss=1000", id="value"),
        pytest.param(Flag("v", None, 1), "-v", id="letter"),
        pytest.param(
            Flag("define", 'GREETING="hello you"', 1), '--define=GREETING="hello you"', id="definition"
        ),
        pytest.param(Flag("remark", "two words", 1), '--remark="two words"', id="blank"),
        pytest.param(Flag("remark", "", 1), "--remark=", id="empty"),
    ],
)
def test_flags_have_quotes_where_they_need_them(flag: Flag, text: str) -> None:
    assert flag_text(flag) == text


def test_text_stays_readable_and_octets_are_escaped() -> None:
    assert string_text("zwölf\t".encode() + b"\xff\x00\\") == r'"zwölf\t\xff\x00\\"'


def test_an_expression_alone_has_a_text() -> None:
    assert expression_text(Apply("htons", (Integer(80, "80"),))) == "htons(80)"
