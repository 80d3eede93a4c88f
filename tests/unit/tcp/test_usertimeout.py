"""RFC 5482: the sums behind the user timeout option."""

import pytest

from xsocket.config import TcpConfig
from xsocket.tcp.options import UserTimeout, user_timeout
from xsocket.tcp.usertimeout import UserTimeoutState, advertised_s


@pytest.mark.parametrize(
    ("seconds", "option"),
    [
        (0.5, UserTimeout(1)),
        (1, UserTimeout(1)),
        (100.2, UserTimeout(101)),
        (32_767, UserTimeout(32_767)),
        (32_768, UserTimeout(547, minutes=True)),
        (32_767 * 60, UserTimeout(32_767, minutes=True)),
        (1e9, UserTimeout(32_767, minutes=True)),
    ],
    ids=str,
)
def test_a_timeout_is_said_in_seconds_if_it_fits_and_else_in_minutes(
    seconds: float, option: UserTimeout
) -> None:
    """Section 3.3; never zero, which is reserved (section 3.4)."""
    assert UserTimeout.of(seconds) == option
    assert option.seconds >= min(seconds, 32_767 * 60)


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        pytest.param(b"\x1c\x04\x00\x64", 100, id="seconds"),
        pytest.param(b"\x1c\x04\x80\x02", 120, id="minutes"),
        pytest.param(b"\x1c\x04\x7f\xff", 32_767, id="fifteen bits"),
        pytest.param(b"\x01\x01\x1c\x04\x00\x05\x1c\x04\x00\x06", 6, id="the last counts"),
        pytest.param(b"\x1c\x03\x00\x00", None, id="a wrong length"),
        pytest.param(b"\x1c\x04\x00", None, id="past the end"),
        pytest.param(b"\x01\x01", None, id="none"),
    ],
)
def test_what_is_read(raw: bytes, seconds: int | None) -> None:
    found = user_timeout(raw)
    assert (found and found.seconds) == seconds


def state(remote: UserTimeout | None) -> UserTimeoutState:
    made = UserTimeoutState()
    made.note(remote)
    return made


@pytest.mark.parametrize(
    ("advertised", "remote", "adopted"),
    [
        pytest.param(200, 150, 200, id="ours is longer"),
        pytest.param(150, 200, 200, id="the peer's is longer"),
        pytest.param(10, 20, 100, id="no less than L_LIMIT"),
        pytest.param(200, 9000, 3600, id="no more than U_LIMIT"),
    ],
)
def test_the_longer_of_both_within_the_limits(advertised: float, remote: int, adopted: float) -> None:
    """Section 3.1: min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT))."""
    rules = TcpConfig(user_timeout_option=True, user_timeout_advertised_s=advertised)
    assert state(UserTimeout(remote)).adopted_s(rules, rto_s=1.0) == adopted


def test_it_is_longer_than_the_retransmission_timeout() -> None:
    rules = TcpConfig(user_timeout_option=True, user_timeout_advertised_s=1, user_timeout_most_s=110)
    adopted = state(UserTimeout(100)).adopted_s(rules, rto_s=120.0)
    assert adopted is not None
    assert adopted > 120


@pytest.mark.parametrize(
    ("rules", "remote"),
    [
        pytest.param(TcpConfig(user_timeout_changeable=False), UserTimeout(200), id="not changeable"),
        pytest.param(TcpConfig(user_timeout_s=50), UserTimeout(200), id="set by the user"),
        pytest.param(TcpConfig(), None, id="nothing heard"),
        pytest.param(TcpConfig(), UserTimeout(0), id="zero seconds"),
        pytest.param(TcpConfig(), UserTimeout(0, minutes=True), id="zero minutes"),
    ],
)
def test_what_changes_nothing(rules: TcpConfig, remote: UserTimeout | None) -> None:
    assert state(remote).adopted_s(rules, rto_s=1.0) is None


@pytest.mark.parametrize(
    ("rules", "seconds"),
    [
        (TcpConfig(), 300),
        (TcpConfig(user_timeout_s=50), 50),
        (TcpConfig(user_timeout_s=50, user_timeout_advertised_s=70), 70),
    ],
    ids=["five minutes", "the user's", "what is to be said"],
)
def test_what_is_advertised(rules: TcpConfig, seconds: float) -> None:
    assert advertised_s(rules) == seconds
