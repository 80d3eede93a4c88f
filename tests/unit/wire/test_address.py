"""Addresses between octets and text: one spelling, the one a `FourTuple` uses."""

from ipaddress import ip_address
from random import Random

import pytest

from xsocket.errors import BadAddressError
from xsocket.fourtuple import canonical_address
from xsocket.wire.address import address_octets, address_text, parse_interfaces


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "2001:db8::1",
        "2001:db8:0:1:0:0:0:1",
        "2001:db8:0:1:1:1:1:1",
        "::ffff:192.0.2.1",
        "::192.0.2.1",
        "::ffff:0:192.0.2.1",
        "64:ff9b::192.0.2.1",
        "fe80::1",
    ],
)
def test_the_text_is_canonical_and_comes_back(text: str) -> None:
    packed = ip_address(text).packed
    assert address_text(packed) == canonical_address(text)
    assert address_octets(address_text(packed)) == packed


def test_random_ipv6_addresses_with_runs_of_zeros() -> None:
    random = Random(5952)
    for _ in range(2_000):
        packed = b"".join(
            random.choice((b"\0\0", b"\0\1", b"\xff\xff", random.randbytes(2))) for _ in range(8)
        )
        assert address_text(packed) == str(ip_address(packed))


def test_no_address_is_refused() -> None:
    with pytest.raises(BadAddressError):
        address_octets("10.0.0")


@pytest.mark.parametrize(
    "text",
    ["10.0.0.2/33", "nonsense", "224.0.0.1/4", "0.0.0.0/0", "::1/128", "127.0.0.1/8", "fe80::1%eth0/64"],
)
def test_what_no_host_on_a_link_can_have_is_refused(text: str) -> None:
    with pytest.raises(BadAddressError):
        parse_interfaces([text])
