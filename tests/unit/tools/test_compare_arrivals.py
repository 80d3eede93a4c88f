"""When requests come."""

import pytest

from xsocket_tools.compare.arrivals import arrivals
from xsocket_tools.compare.errors import NotThatManyError
from xsocket_tools.compare.parameters import Parameters

SOME = Parameters(requests=600, rate=100.0, crowd=20)


def test_all_come_in_order_within_the_time_that_the_rate_says() -> None:
    at_s = arrivals(SOME).at_s
    assert len(at_s) == 600
    assert at_s == sorted(at_s)
    assert 0 <= at_s[0] < at_s[-1] < 6


def test_crowds_come_at_one_instant() -> None:
    at_s, crowds = arrivals(SOME)
    assert [at_s[last] for last in crowds] == [1.0, 3.0, 5.0]
    for last in crowds:
        assert at_s[last - 19] == at_s[last] < at_s[last + 1]


def test_without_crowds_their_instants_are_still_known() -> None:
    at_s, crowds = arrivals(SOME._replace(crowd=0))
    assert len(at_s) == 600
    assert all(at_s[last] <= part < at_s[last + 1] for last, part in zip(crowds, (1, 3, 5), strict=True))


def test_the_seed_decides() -> None:
    assert arrivals(SOME) == arrivals(SOME)
    assert arrivals(SOME) != arrivals(SOME._replace(seed=2))


def test_crowds_of_more_than_there_are_requests_are_refused() -> None:
    with pytest.raises(NotThatManyError, match="3 crowds of 201 are more than 600 requests"):
        arrivals(SOME._replace(crowd=201))


def test_one_request_can_be_made() -> None:
    assert arrivals(Parameters(requests=1, crowd=0)).crowds == [0, 0, 0]
