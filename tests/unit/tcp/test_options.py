"""Options: what the machine acts on, the whole truth, and what we send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xsocket.tcp import options
from xsocket.tcp.options import (
    AccEcn,
    Authentication,
    End,
    FastOpen,
    Malformed,
    MaximumSegmentSize,
    Md5Signature,
    Nop,
    Option,
    Parsed,
    Sack,
    SackPermitted,
    Timestamps,
    Unknown,
    UserTimeout,
    WindowScale,
)

NUMBERS = st.integers(0, 2**32 - 1)
PAIRS = st.tuples(NUMBERS, NUMBERS)
KNOWN: st.SearchStrategy[Option] = st.one_of(
    st.just(Nop()),
    st.builds(MaximumSegmentSize, st.integers(0, 65_535)),
    st.builds(WindowScale, st.integers(0, 255)),
    st.just(SackPermitted()),
    st.builds(Sack, st.lists(PAIRS, min_size=1, max_size=4).map(tuple)),
    st.builds(Timestamps, NUMBERS, NUMBERS),
    st.builds(Md5Signature, st.binary(min_size=16, max_size=16)),
    st.builds(UserTimeout, st.integers(0, 32_767), st.booleans()),
    st.builds(Authentication, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=16)),
    st.builds(
        FastOpen,
        st.sampled_from([0, 4, 8, 16]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
        st.booleans(),
    ),
    st.builds(
        AccEcn, st.integers(0, 1), st.lists(st.integers(0, 2**24 - 1), max_size=3).map(tuple), st.just(b"")
    ),
    st.builds(Unknown, st.integers(100, 171), st.binary(max_size=20)),
)


@given(st.binary(max_size=60))
def test_any_octets_come_back(raw: bytes) -> None:
    assert options.encode(options.decode(raw)) == raw


@given(st.lists(KNOWN, max_size=6))
def test_any_options_come_back(given_options: list[Option]) -> None:
    assert list(options.decode(options.encode(given_options))) == given_options


@given(st.binary(max_size=60))
def test_parse_agrees_with_decode(raw: bytes) -> None:
    seen = Parsed()
    for option in options.decode(raw):
        match option:
            case MaximumSegmentSize(value):
                seen = seen._replace(mss=value or seen.mss)
            case WindowScale(shift):
                seen = seen._replace(window_scale=shift)
            case SackPermitted():
                seen = seen._replace(sack_permitted=True)
            case Timestamps(value, echo):
                seen = seen._replace(ts_val=value, ts_ecr=echo)
            case Sack(blocks):
                seen = seen._replace(sack=blocks)
            case FastOpen():
                seen = seen._replace(fast_open=option)
            case AccEcn():
                seen = seen._replace(acc_ecn=option)
            case Unknown(34, data) if len(data) % 2 == 0:
                seen = seen._replace(fast_open=None)
            case Unknown(254, data) if data[:2] == b"\xf9\x89" and len(data) % 2 == 0:
                seen = seen._replace(fast_open=None)
    assert options.parse(raw) == seen


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        pytest.param(b"", (), id="nothing"),
        pytest.param(b"\x00", (End(),), id="end"),
        pytest.param(b"\x00\x02\x04", (End(b"\x02\x04"),), id="whatever follows the end is padding"),
        pytest.param(b"\x01\x01", (Nop(), Nop()), id="two no-operations"),
        pytest.param(b"\x02\x04\x05\xb4", (MaximumSegmentSize(1460),), id="MSS"),
        pytest.param(b"\x02\x03\x05", (Unknown(2, b"\x05"),), id="MSS of a wrong length"),
        pytest.param(b"\x03\x03\xff", (WindowScale(255),), id="window scale as sent"),
        pytest.param(b"\x04\x02", (SackPermitted(),), id="SACK permitted"),
        pytest.param(b"\x05\x02", (Unknown(5, b""),), id="SACK without blocks"),
        pytest.param(b"\x05\x0a" + bytes(8), (Sack(((0, 0),)),), id="SACK"),
        pytest.param(b"\x05\x0b" + bytes(9), (Unknown(5, bytes(9)),), id="SACK of a wrong length"),
        pytest.param(b"\x08\x0a\0\0\0\x01\0\0\0\x02", (Timestamps(1, 2),), id="timestamps"),
        pytest.param(b"\x13\x12" + bytes(16), (Md5Signature(bytes(16)),), id="MD5 signature"),
        pytest.param(
            b"\x13\x11" + bytes(15), (Unknown(19, bytes(15)),), id="MD5 signature of a wrong length"
        ),
        pytest.param(b"\x1c\x04\x80\x05", (UserTimeout(5, minutes=True),), id="user timeout"),
        pytest.param(b"\x1c\x03\x05", (Unknown(28, b"\x05"),), id="user timeout of a wrong length"),
        pytest.param(b"\x1d\x06\x01\x02ab", (Authentication(1, 2, b"ab"),), id="TCP-AO"),
        pytest.param(b"\x1d\x04\x01\x02", (Authentication(1, 2, b""),), id="TCP-AO without a MAC"),
        pytest.param(b"\x1d\x03\x01", (Unknown(29, b"\x01"),), id="TCP-AO of a wrong length"),
        pytest.param(b"\x22\x02", (FastOpen(),), id="Fast Open request"),
        pytest.param(
            b"\xfe\x04\xf9\x89", (FastOpen(experimental=True),), id="Fast Open request, experimental"
        ),
        pytest.param(
            b"\xfe\x08\xf9\x89abcd", (FastOpen(b"abcd", experimental=True),), id="Fast Open, experimental"
        ),
        pytest.param(b"\xfe\x06\xf9\x89ab", (Unknown(254, b"\xf9\x89ab"),), id="Fast Open cookie too short"),
        pytest.param(b"\xfe\x04\xe2\xd4", (Unknown(254, b"\xe2\xd4"),), id="another experiment"),
        pytest.param(b"\x22\x05abc", (Unknown(34, b"abc"),), id="Fast Open cookie of a wrong length"),
        pytest.param(b"\xac\x02", (AccEcn(0),), id="AccECN, empty"),
        pytest.param(b"\xac\x05\0\0\x01", (AccEcn(0, (1,)),), id="AccECN, order 0"),
        pytest.param(b"\xae\x08\0\0\x01\0\x01\0", (AccEcn(1, (1, 256)),), id="AccECN, order 1"),
        pytest.param(
            b"\xac\x0f" + bytes(9) + b"abcd",
            (AccEcn(0, (0, 0, 0), b"abcd"),),
            id="AccECN, more than there is",
        ),
        pytest.param(b"\xae\x07\0\0\x01ab", (AccEcn(1, (1,), b"ab"),), id="AccECN, not a whole counter"),
        pytest.param(b"\xfe\x04ab", (Unknown(254, b"ab"),), id="unknown"),
        pytest.param(b"\x02", (Malformed(b"\x02"),), id="no length"),
        pytest.param(b"\x02\x00\x01", (Malformed(b"\x02\x00\x01"),), id="length 0"),
        pytest.param(b"\x02\x01\x01", (Malformed(b"\x02\x01\x01"),), id="length 1"),
        pytest.param(b"\x01\x02\x05\xff", (Nop(), Malformed(b"\x02\x05\xff")), id="past the end"),
    ],
)
def test_decode(raw: bytes, decoded: tuple[Option, ...]) -> None:
    assert options.decode(raw) == decoded
    assert options.encode(decoded) == raw


@given(st.lists(KNOWN, max_size=6))
def test_signatures_stand_where_they_are_said_to(given_options: list[Option]) -> None:
    raw = options.encode(given_options)
    found = options.signatures(raw)
    expected = [each for each in given_options if isinstance(each, Md5Signature | Authentication)]
    assert [raw[at : at + 2 + len(data)] for _, at, data in found] == [
        options.encode([each]) for each in expected
    ]
    assert [kind for kind, _, _ in found] == [
        19 if isinstance(each, Md5Signature) else 29 for each in expected
    ]


@pytest.mark.parametrize("kind", range(2, 256))
def test_every_kind_but_two_has_a_length(kind: int) -> None:
    """RFC 9293 section 3.1 (MUST-68): whatever it is, what follows it is found."""
    raw = bytes((kind, 5, 1, 2, 3)) + b"\x02\x04\x02\x58"
    assert options.decode(raw)[1:] == (MaximumSegmentSize(600),)
    assert options.parse(raw).mss == 600


def test_the_last_of_a_kind_counts() -> None:
    assert options.parse(b"\x02\x04\x01\x00\x02\x04\x02\x00").mss == 512


def test_what_stands_before_damage_counts() -> None:
    assert options.parse(b"\x02\x04\x01\x00\x03\x00").mss == 256


SYNS = [
    pytest.param(shift, sack, stamps, id=f"{shift}, {sack}, {stamps}")
    for shift in (None, 0, 14)
    for sack in (False, True)
    for stamps in (None, (1, 2), (2**32 - 1, 0))
]


@pytest.mark.parametrize(("shift", "sack", "stamps"), SYNS)
def test_a_syn_says_what_it_was_told(shift: int | None, sack: bool, stamps: tuple[int, int] | None) -> None:
    raw = options.for_syn(1460, shift, sack, stamps)
    value, echo = stamps or (None, 0)
    assert options.parse(raw) == Parsed(1460, shift, sack, value, echo)
    assert len(raw) % 4 == 0
    assert len(raw) <= options.MAX_OCTETS
    assert not any(isinstance(option, End | Malformed | Unknown) for option in options.decode(raw))


def test_a_full_syn_is_linuxs() -> None:
    assert options.for_syn(1460, 7, True, (1, 0)).hex() == "020405b40402080a000000010000000001030307"


@pytest.mark.parametrize(
    ("stamps", "blocks", "kept"),
    [
        pytest.param(None, 0, 0, id="nothing"),
        pytest.param((1, 2), 0, 0, id="timestamps"),
        pytest.param(None, 4, 4, id="four blocks"),
        pytest.param(None, 5, 4, id="five blocks"),
        pytest.param((1, 2), 3, 3, id="timestamps and three blocks"),
        pytest.param((1, 2), 4, 3, id="timestamps and four blocks"),
    ],
)
def test_a_segment_says_what_fits(stamps: tuple[int, int] | None, blocks: int, kept: int) -> None:
    edges = tuple((number, number + 1) for number in range(0, 10 * blocks, 10))
    raw = options.for_segment(stamps, edges)
    seen = options.parse(raw)
    assert seen.sack == edges[:kept]
    assert (seen.ts_val, seen.ts_ecr) == (stamps or (None, 0))
    assert len(raw) % 4 == 0
    assert len(raw) <= options.MAX_OCTETS


@given(st.binary(max_size=40))
def test_padded_fills_words(raw: bytes) -> None:
    filled = options.padded(raw)
    assert filled.startswith(raw)
    assert len(filled) % 4 == 0
    assert not filled[len(raw) :].strip(b"\x00")


COOKIE = b"\x22\x06abcd"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(COOKIE, FastOpen(b"abcd"), id="cookie"),
        pytest.param(b"\xfe\x08\xf9\x89abcd", FastOpen(b"abcd", experimental=True), id="experimental"),
        pytest.param(b"\x22\x02" + COOKIE, FastOpen(b"abcd"), id="the last counts"),
        pytest.param(COOKIE + b"\x22\x05xyz", FastOpen(b"abcd"), id="an odd one is not there"),
        pytest.param(COOKIE + b"\x22\x04xy", None, id="a short one is no cookie"),
        pytest.param(COOKIE + b"\x22\x14" + bytes(18), None, id="a long one is no cookie"),
        pytest.param(COOKIE + b"\xfe\x06\xf9\x8aab", FastOpen(b"abcd"), id="another experiment"),
        pytest.param(COOKIE + b"\xfe\x03\xf9", FastOpen(b"abcd"), id="an experiment without a name"),
    ],
)
def test_fast_open_is_read_as_linux_reads_it(raw: bytes, expected: FastOpen | None) -> None:
    assert options.parse(raw).fast_open == expected


@pytest.mark.parametrize("experimental", [False, True])
@pytest.mark.parametrize("octets", [0, 4, 6, 8, 16])
def test_a_fast_open_option_is_filled_up_and_read_again(octets: int, experimental: bool) -> None:
    option = FastOpen(bytes(octets), experimental)
    raw = options.filled_up(option)
    assert len(raw) % 4 == 0
    assert options.parse(raw).fast_open == option


def test_an_mss_of_zero_says_nothing() -> None:
    """As in Linux, which test_options.py of the namespace tests asks."""
    assert options.parse(b"\x02\x04\0\0").mss is None
    assert options.parse(b"\x02\x04\x03\xe8\x02\x04\0\0").mss == 1000
