"""SYN cookies, RFC 4987 section 3.6: what one remembers, for how long, and what it does not fall for."""

from itertools import pairwise, product
from random import Random

import pytest

from support.pair import SERVER
from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, SYN, Segment
from xsocket.seqnum import add, distance, precedes_or_is
from xsocket.tcp import isn
from xsocket.tcp.options import NOTHING, Parsed, parse
from xsocket.tcp.syncookies import LIFETIME_PERIODS, MSS_VALUES, PERIOD_S, SynCookies

SECRET = bytes(range(isn.SECRET_OCTETS))
SERVER_6 = FourTuple("fd00::2", 80, "fd00::1", 40_000)
ALL = Parsed(mss=1460, window_scale=7, sack_permitted=True, ts_val=123)
IRS = 0xFFFF_FFF0


def answered(
    options: Parsed,
    now: float = 1000.0,
    rules: TcpConfig | None = None,
    four_tuple: FourTuple = SERVER,
    irs: int = IRS,
    secret: bytes = SECRET,
) -> Segment:
    cookies = SynCookies(rules or TcpConfig(), 1460, secret)
    return cookies.syn_ack(now, four_tuple, Segment(irs, 0, SYN), options)


def recalled(
    answer: Segment,
    now: float = 1000.0,
    four_tuple: FourTuple = SERVER,
    secret: bytes = SECRET,
    *,
    seq: int = 0,
    ack: int = 0,
) -> Parsed | None:
    """Let the peer acknowledge *answer*, echo its timestamp, and be off by *seq* and *ack*."""
    stamp = parse(answer.options).ts_val
    options = NOTHING if stamp is None else Parsed(ts_val=124, ts_ecr=stamp)
    third = Segment(add(answer.acknowledgment, seq), add(answer.seq, 1 + ack), ACK)
    found = SynCookies(TcpConfig(), 1460, secret).recall(now, four_tuple, third, options)
    return None if found is None else found[0]


def test_a_cookie_is_a_syn_ack() -> None:
    answer = answered(ALL)
    assert answer.flags == SYN | ACK
    assert answer.acknowledgment == add(IRS, 1)
    assert answer.window == 65_535
    assert parse(answer.options) == Parsed(1460, 3, True, parse(answer.options).ts_val, 123)


def test_the_same_arguments_give_the_same_cookie() -> None:
    assert answered(ALL) == answered(ALL)


@pytest.mark.parametrize(
    ("mss", "remembered"),
    [
        *((mss, mss) for mss in MSS_VALUES),
        *((mss - 1, below) for mss, below in zip(MSS_VALUES[1:], MSS_VALUES, strict=False)),
        (65_535, 8940),
        (1, 48),
        (0, 536),
        (None, 536),
    ],
    ids=str,
)
@pytest.mark.parametrize("stamp", [None, 123], ids=["no timestamps", "timestamps"])
def test_the_mss_is_remembered_rounded_down(mss: int | None, remembered: int, stamp: int | None) -> None:
    """Never more than the peer takes, but for less than the machine ever sends (RFC 9293 section 3.7.1)."""
    found = recalled(answered(Parsed(mss=mss, ts_val=stamp)))
    assert found is not None
    assert found.mss == remembered


def test_ipv6_has_a_default_mss_of_its_own() -> None:
    found = recalled(answered(Parsed(), four_tuple=SERVER_6), four_tuple=SERVER_6)
    assert found is not None
    assert found.mss == 1220


@pytest.mark.parametrize("sack", [True, False], ids=["SACK", "no SACK"])
@pytest.mark.parametrize("shift", [None, *range(15)], ids=str)
def test_window_scale_and_sack_are_remembered_in_the_timestamp(shift: int | None, sack: bool) -> None:
    found = recalled(answered(Parsed(1460, shift, sack, ts_val=5)))
    assert found is not None
    assert (found.window_scale, found.sack_permitted) == (shift, sack)
    assert found.ts_val == 124


def test_a_shift_beyond_14_is_14() -> None:
    found = recalled(answered(Parsed(1460, 255, ts_val=5)))
    assert found is not None
    assert found.window_scale == 14


def test_without_timestamps_window_scale_and_sack_are_not_agreed_on() -> None:
    answer = answered(ALL._replace(ts_val=None))
    assert parse(answer.options) == Parsed(mss=1460)
    assert recalled(answer) == Parsed(mss=1460)


@pytest.mark.parametrize(
    ("rules", "offered"),
    [
        pytest.param(TcpConfig(sack=False), Parsed(1460, 3, False), id="no SACK"),
        pytest.param(TcpConfig(window_scaling=False), Parsed(1460, None, True), id="no scaling"),
        pytest.param(TcpConfig(timestamps=False), Parsed(1460), id="no timestamps"),
    ],
)
def test_what_the_rules_switch_off_is_not_agreed_on(rules: TcpConfig, offered: Parsed) -> None:
    answer = answered(ALL, rules=rules)
    assert parse(answer.options)._replace(ts_val=None, ts_ecr=0) == offered
    found = recalled(answer)
    assert found is not None
    assert found.sack_permitted == offered.sack_permitted
    assert (found.window_scale is None) == (offered.window_scale is None)


def test_the_timestamp_is_never_ahead_of_the_clock_and_at_most_an_eighth_of_a_second_behind() -> None:
    """Or what is sent next would seem old to the peer (RFC 7323 section 5.3)."""
    cookies, random = SynCookies(TcpConfig(), 1460, SECRET), Random(1)
    for shift, sack in product((None, 0, 7, 14), (True, False)):
        now = random.uniform(0, 1e6)
        answer = answered(Parsed(1460, shift, sack, 5), now)
        stamp = parse(answer.options).ts_val
        assert stamp is not None
        third = Segment(add(IRS, 1), add(answer.seq, 1), ACK)
        found = cookies.recall(now, SERVER, third, Parsed(ts_val=6, ts_ecr=stamp))
        assert found is not None
        clock = add(int(now * 1000), found[1])
        assert precedes_or_is(stamp, clock)
        assert distance(stamp, clock) < 128


# How long, and whose


@pytest.mark.parametrize("start", [0.0, 63.9, 64.0, 1000.0, PERIOD_S * 255.5, PERIOD_S * 256.0], ids=str)
def test_a_cookie_lives_for_one_period_more(start: float) -> None:
    answer = answered(ALL, start)
    end = (start // PERIOD_S + LIFETIME_PERIODS) * PERIOD_S
    assert recalled(answer, start) is not None
    assert recalled(answer, end - 0.001) is not None
    assert recalled(answer, end) is None


@pytest.mark.parametrize("periods", [2, 3, 100, 255, 256, 257, 512], ids=str)
def test_an_old_cookie_does_not_come_back_to_life(periods: int) -> None:
    assert recalled(answered(ALL), 1000.0 + periods * PERIOD_S) is None


@pytest.mark.parametrize("periods", [1, 2, 255], ids=str)
def test_a_cookie_of_the_future_is_not_taken(periods: int) -> None:
    assert recalled(answered(ALL, 1000.0 + periods * PERIOD_S), 1000.0) is None


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(SERVER._replace(local_address="10.0.0.9"), id="local address"),
        pytest.param(SERVER._replace(local_port=81), id="local port"),
        pytest.param(SERVER._replace(remote_address="10.0.0.9"), id="remote address"),
        pytest.param(SERVER._replace(remote_port=40_001), id="remote port"),
    ],
)
def test_a_cookie_is_of_one_connection(other: FourTuple) -> None:
    assert recalled(answered(ALL), four_tuple=other) is None


def test_a_cookie_is_of_one_secret() -> None:
    assert recalled(answered(ALL), secret=bytes(isn.SECRET_OCTETS)) is None


@pytest.mark.parametrize("off", [-8, -1, 1, 7, 8, 1000, 1 << 24, 1 << 31], ids=str)
def test_a_cookie_is_of_one_initial_sequence_number_of_the_peer(off: int) -> None:
    """Or text that overtakes the ACK would be taken for the beginning of the stream."""
    assert recalled(answered(ALL), seq=off) is None
    assert recalled(answered(ALL), seq=off, ack=off) is None


def test_guessing_a_cookie_takes_about_2_to_the_28_tries() -> None:
    """Of all numbers, only those that differ in the MSS alone are taken: 8 in each of two periods."""
    random = Random(2)
    answer = answered(Parsed(mss=48))
    near = [off for off in range(-100, 100) if recalled(answer, ack=off) is not None]
    assert near == list(range(len(MSS_VALUES)))
    assert not any(recalled(answer, ack=random.randrange(200, 1 << 32)) for _ in range(5000))


def test_the_numbers_of_different_connections_are_spread() -> None:
    numbers = [answered(ALL, four_tuple=SERVER._replace(remote_port=port)).seq for port in range(1, 4097)]
    assert len(set(numbers)) == 4096
    quarters = [sum(number >> 30 == quarter for number in numbers) for quarter in range(4)]
    assert min(quarters) > 850


def test_each_period_has_a_key_of_its_own() -> None:
    numbers = [answered(ALL, period * PERIOD_S).seq for period in range(50)]
    steps = {distance(one, two) for one, two in pairwise(numbers)}
    assert len(steps) == 49
