"""Fast Open cookies, and how many connections may be pending on the word of one."""

import pytest

from xsocket.config import TcpConfig
from xsocket.errors import BadConfigError
from xsocket.fourtuple import FourTuple
from xsocket.tcp.fastopen import (
    KEY_OCTETS,
    RESET_COUNTS_S,
    Pending,
    checked_keys,
    cookie_for,
    derived_key,
    fits,
    serves,
)
from xsocket.tcp.options import FastOpen

KEY = bytes(KEY_OCTETS)
HERE = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(HERE._replace(remote_port=1, local_port=2), True, id="other ports"),
        pytest.param(HERE._replace(remote_address="10.0.0.3"), False, id="another client"),
        pytest.param(HERE._replace(local_address="10.0.0.3"), False, id="another address of ours"),
        pytest.param(FourTuple("fd00::2", 80, "fd00::1", 40_000), False, id="IPv6"),
    ],
)
def test_a_cookie_is_of_both_addresses(other: FourTuple, same: bool) -> None:
    assert (cookie_for(HERE, KEY) == cookie_for(other, KEY)) is same


def test_a_cookie_is_of_its_key() -> None:
    assert cookie_for(HERE, KEY) != cookie_for(HERE, b"k" * KEY_OCTETS)


def test_the_derived_key_tells_nothing_of_the_secret_and_depends_on_it() -> None:
    keys = {derived_key(secret) for secret in (b"a" * 32, b"b" * 32)}
    assert len(keys) == 2
    assert {len(key) for key in keys} == {KEY_OCTETS}


@pytest.mark.parametrize("keys", [(b"short", None), (KEY, b"short"), (b"", None), (KEY + b"x", KEY)])
def test_a_key_of_another_length_is_refused(keys: tuple[bytes, bytes | None]) -> None:
    with pytest.raises(BadConfigError, match="16 octets"):
        checked_keys(*keys)


@pytest.mark.parametrize(
    ("bits", "qlen", "expected"),
    [(1, 16, False), (2, 0, False), (2, 1, True), (0x402, 0, True), (0x400, 16, False)],
)
def test_a_server_takes_part_by_its_bit_and_a_limit(bits: int, qlen: int, expected: bool) -> None:
    assert serves(TcpConfig(fastopen=bits, fastopen_qlen=qlen)) is expected


@pytest.mark.parametrize(
    ("octets", "others", "expected"),
    [(16, 20, True), (16, 24, False), (8, 28, True), (8, 29, False), (0, 36, True), (4, 40, False)],
)
def test_an_option_fits_or_not(octets: int, others: int, expected: bool) -> None:
    assert fits(FastOpen(bytes(octets)), others) is expected


def test_the_experimental_option_with_the_longest_cookie_fits_beside_those_of_linux() -> None:
    assert fits(FastOpen(bytes(16), experimental=True), 20)


def test_resets_beyond_number_take_no_more_than_the_limit() -> None:
    pending = Pending(3)
    opened = 0
    for number in range(100):
        if pending.has_room(float(number)):
            four_tuple = HERE._replace(remote_port=number)
            pending.add(four_tuple)
            pending.note_reset(float(number), four_tuple)
            opened += 1
        assert len(pending) <= 3
    assert opened == 3 * (1 + int(99 // RESET_COUNTS_S))


def test_a_reset_of_a_connection_that_is_not_pending_takes_no_place() -> None:
    pending = Pending(3)
    pending.note_reset(0.0, HERE)
    pending.add(HERE)
    pending.discard(HERE)
    pending.note_reset(0.0, HERE)
    assert len(pending) == 0
