import pickle
from typing import Any

import pytest

from xsocket.errors import BadAddressError
from xsocket.fourtuple import FourTuple, canonical_address

KEY = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
KEY6 = FourTuple("fd00::2", 80, "fd00::1", 40_000)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        pytest.param("10.0.0.1", "10.0.0.1", id="IPv4"),
        pytest.param("FD00:0:0::0001", "fd00::1", id="capitals and zeros"),
        pytest.param("0:0:0:0:0:0:0:1", "::1", id="loopback written out"),
        pytest.param("1:0:0:2:0:0:0:3", "1:0:0:2::3", id="the longer run of zeros is shortened"),
    ],
)
def test_addresses_have_one_spelling(text: str, canonical: str) -> None:
    assert canonical_address(text) == canonical
    assert canonical_address(canonical) == canonical


@pytest.mark.parametrize(
    "text", ["", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.0/24", "fd00::g", "example.org", "fe80::1%eth0"]
)
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(BadAddressError, match=repr(text)):
        canonical_address(text)


def test_equal_connections_have_equal_4_tuples() -> None:
    assert FourTuple("FD00:0::2", 80, "fd00:0:0::1", 40_000) == KEY6
    assert hash(FourTuple("FD00:0::2", 80, "fd00:0:0::1", 40_000)) == hash(KEY6)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(FourTuple("10.0.0.3", 80, "10.0.0.1", 40_000), id="local address"),
        pytest.param(FourTuple("10.0.0.2", 81, "10.0.0.1", 40_000), id="local port"),
        pytest.param(FourTuple("10.0.0.2", 80, "10.0.0.3", 40_000), id="remote address"),
        pytest.param(FourTuple("10.0.0.2", 80, "10.0.0.1", 40_001), id="remote port"),
        pytest.param(KEY.reversed, id="the other end"),
    ],
)
def test_every_field_tells_connections_apart(other: FourTuple) -> None:
    assert other != KEY


def test_trusted_values_make_the_same_4_tuple() -> None:
    trusted = FourTuple.trusted("10.0.0.2", 80, "10.0.0.1", 40_000)
    assert trusted == KEY
    assert type(trusted) is FourTuple


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param(("10.0.0.2", 0, "10.0.0.1", 1), "0 is not a port", id="port zero"),
        pytest.param(("10.0.0.2", 80, "10.0.0.1", 65_536), "65536 is not a port", id="port too large"),
        pytest.param(("10.0.0.2", -1, "10.0.0.1", 1), "-1 is not a port", id="negative port"),
        pytest.param(("10.0.0.2", 80, "fd00::1", 1), "different families", id="two families"),
        pytest.param(("10.0.0.x", 80, "10.0.0.1", 1), "'10.0.0.x'", id="local address"),
        pytest.param(("10.0.0.2", 80, "10.0.0.x", 1), "'10.0.0.x'", id="remote address"),
    ],
)
def test_what_cannot_be_a_connection_is_refused(fields: tuple[Any, ...], message: str) -> None:
    with pytest.raises(BadAddressError, match=message):
        FourTuple(*fields)


@pytest.mark.parametrize("port", [1, 65_535])
def test_the_first_and_the_last_port_are_ports(port: int) -> None:
    assert FourTuple("10.0.0.2", port, "10.0.0.1", port).local_port == port


def test_the_other_end_names_it_the_other_way_round() -> None:
    assert KEY.reversed == FourTuple("10.0.0.1", 40_000, "10.0.0.2", 80)
    assert KEY.reversed.reversed == KEY


def test_family() -> None:
    assert KEY.family == 4
    assert KEY6.family == 6


def test_the_text_reads_local_then_remote() -> None:
    assert str(KEY) == "10.0.0.2:80 <- 10.0.0.1:40000"
    assert str(KEY6) == "[fd00::2]:80 <- [fd00::1]:40000"


def test_a_4_tuple_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(KEY)) == KEY  # noqa: S301  # our own octets


def test_a_4_tuple_does_not_change() -> None:
    with pytest.raises(AttributeError):
        KEY.local_port = 81  # type: ignore[misc]
