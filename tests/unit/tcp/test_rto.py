"""RFC 6298, by its numbers."""

import pytest

from xsocket.config import TcpConfig
from xsocket.tcp.rto import RoundTrip, backed_off, measured, timeout


def test_the_first_measurement() -> None:
    """Section 2.2: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR."""
    path = measured(None, 0.4)
    assert path == RoundTrip(0.4, 0.2)
    assert timeout(path, 0.2, 120) == pytest.approx(1.2)


def test_the_next_measurement() -> None:
    """Section 2.3: RTTVAR before SRTT, with beta 1/4 and alpha 1/8."""
    path = measured(RoundTrip(0.4, 0.2), 0.8)
    assert path.rttvar == pytest.approx(0.75 * 0.2 + 0.25 * 0.4)
    assert path.srtt == pytest.approx(0.875 * 0.4 + 0.125 * 0.8)


def test_the_default_limit_is_one_that_may_be() -> None:
    """Section 2.5: at least 60 seconds."""
    assert TcpConfig().max_rto_s >= 60


def test_a_steady_path_converges() -> None:
    path = measured(None, 1.0)
    for _ in range(100):
        path = measured(path, 0.3)
    assert path.srtt == pytest.approx(0.3, abs=1e-3)
    assert path.rttvar == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("path", "low", "high", "expected"),
    [
        pytest.param(RoundTrip(0.001, 0.0), 0.2, 120, 0.2, id="no less than the least"),
        pytest.param(RoundTrip(100.0, 50.0), 0.2, 120, 120, id="no more than the most"),
        pytest.param(RoundTrip(0.5, 0.0), 0.2, 120, 0.501, id="granularity for want of variance"),
        pytest.param(RoundTrip(0.5, 0.1), 0.2, 120, 0.9, id="four variances"),
    ],
)
def test_timeout(path: RoundTrip, low: float, high: float, expected: float) -> None:
    assert timeout(path, low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("retries", "expected"),
    [(0, 1), (1, 2), (2, 4), (6, 64), (7, 120), (32, 120), (100, 120), (10_000, 120)],
    ids=str,
)
def test_backed_off(retries: int, expected: float) -> None:
    assert backed_off(1.0, retries, 120) == expected
