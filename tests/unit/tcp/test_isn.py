"""RFC 6528: a clock, plus a keyed hash of the 4-tuple."""

import pytest

from support.pair import CLIENT, SERVER
from xsocket.fourtuple import FourTuple
from xsocket.seqnum import distance
from xsocket.tcp.isn import SECRET_OCTETS, TICKS_PER_SECOND, choose

SECRET = bytes(range(SECRET_OCTETS))


def test_the_same_arguments_give_the_same_numbers() -> None:
    assert choose(5.0, CLIENT, SECRET) == choose(5.0, CLIENT, SECRET)


@pytest.mark.parametrize("seconds", [0.000004, 1, 60, 3600, 17_179], ids=str)
def test_the_number_grows_with_the_clock(seconds: float) -> None:
    first, second = choose(0.0, CLIENT, SECRET)[0], choose(seconds, CLIENT, SECRET)[0]
    assert distance(first, second) == int(seconds * TICKS_PER_SECOND)


def test_the_offset_does_not_follow_the_clock() -> None:
    assert choose(0.0, CLIENT, SECRET)[1] == choose(999.0, CLIENT, SECRET)[1]


def test_the_clock_wraps() -> None:
    assert choose(2**32 / TICKS_PER_SECOND, CLIENT, SECRET) == choose(0.0, CLIENT, SECRET)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(CLIENT._replace(local_address="10.0.0.9"), id="local address"),
        pytest.param(CLIENT._replace(local_port=40_001), id="local port"),
        pytest.param(CLIENT._replace(remote_address="10.0.0.9"), id="remote address"),
        pytest.param(CLIENT._replace(remote_port=81), id="remote port"),
        pytest.param(SERVER, id="the other end"),
    ],
)
def test_other_four_tuples_are_unrelated(other: FourTuple) -> None:
    mine, theirs = choose(0.0, CLIENT, SECRET), choose(0.0, other, SECRET)
    assert mine[0] != theirs[0]
    assert mine[1] != theirs[1]


def test_other_secrets_are_unrelated() -> None:
    assert choose(0.0, CLIENT, SECRET) != choose(0.0, CLIENT, bytes(SECRET_OCTETS))


def test_the_numbers_are_spread() -> None:
    numbers = [choose(0.0, CLIENT._replace(local_port=port), SECRET)[0] for port in range(1, 4097)]
    assert len(set(numbers)) == 4096
    quarters = [sum(number >> 30 == quarter for number in numbers) for quarter in range(4)]
    assert min(quarters) > 850
