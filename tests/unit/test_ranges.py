from ipaddress import ip_address, ip_network
from typing import Any

import netaddr  # type: ignore[import-untyped,unused-ignore]
import pytest

from xsocket.errors import BadAddressError
from xsocket.ranges import AddressSet, PortSet


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        pytest.param(80, "80", id="one number"),
        pytest.param("80", "80", id="one in text"),
        pytest.param("80,8000-8099", "80,8000-8099", id="a number and a range"),
        pytest.param(" 80 , 8000 - 8099 ", "80,8000-8099", id="spaces"),
        pytest.param("90,80", "80,90", id="sorted"),
        pytest.param("80,81,82-90", "80-90", id="ranges that touch are one"),
        pytest.param("80-90,85-95,80", "80-95", id="ranges that overlap are one"),
        pytest.param("1-100,5-6", "1-100", id="a range within another"),
        pytest.param([80, "443", range(8000, 8003)], "80,443,8000-8002", id="a list of each"),
        pytest.param(range(8000, 8007, 2), "8000,8002,8004,8006", id="a range with a step"),
        pytest.param(PortSet("80-90"), "80-90", id="a set"),
        pytest.param("1-65535", "1-65535", id="all"),
        pytest.param([], "", id="none"),
    ],
)
def test_ports_are_written_in_one_way(ports: Any, text: str) -> None:  # noqa: ANN401
    assert str(PortSet(ports)) == text


@pytest.mark.parametrize(
    ("ports", "part"),
    [
        pytest.param(0, "0", id="zero"),
        pytest.param(65_536, "65536", id="too large"),
        pytest.param(-80, "-80", id="negative"),
        pytest.param("", "''", id="no text"),
        pytest.param("80,,90", "''", id="nothing between commas"),
        pytest.param("80,http", "'http'", id="a name"),
        pytest.param("80-", "'80-'", id="a range without end"),
        pytest.param("-80", "'-80'", id="a range without start"),
        pytest.param("90-80", "'90-80'", id="a range that runs backward"),
        pytest.param("1-2-3", "'1-2-3'", id="two dashes"),
        pytest.param("+80", "'+80'", id="a sign"),
        pytest.param("8_0", "'8_0'", id="an underscore"),
        pytest.param("٨٠", "'٨٠'", id="digits of another script"),
        pytest.param("9" * 5000, "99999", id="a number without end"),
        pytest.param(True, "True", id="a truth value"),
        pytest.param(80.0, "80.0", id="a float"),
        pytest.param(None, "None", id="None"),
        pytest.param([80, 70_000], "70000", id="within a list"),
    ],
)
def test_what_is_no_port_is_named(ports: Any, part: str) -> None:  # noqa: ANN401
    with pytest.raises(BadAddressError) as caught:
        PortSet(ports)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("port", "inside"),
    [
        pytest.param(79, False, id="before the first"),
        pytest.param(80, True, id="the first"),
        pytest.param(81, False, id="between"),
        pytest.param(8000, True, id="start of a range"),
        pytest.param(8050, True, id="within a range"),
        pytest.param(8099, True, id="end of a range"),
        pytest.param(8100, False, id="after the last"),
    ],
)
def test_membership_of_ports_at_the_edges(port: int, inside: bool) -> None:
    assert (port in PortSet("80,8000-8099")) is inside


def test_port_sets_that_mean_the_same_are_equal() -> None:
    assert PortSet("80-82") == PortSet([82, 81, 80])
    assert hash(PortSet("80-82")) == hash(PortSet([82, 81, 80]))
    assert PortSet("80") != PortSet("81")
    assert PortSet("80") != 80


def test_a_port_set_counts_and_lists_its_ports() -> None:
    ports = PortSet("80,8000-8002")
    assert len(ports) == 4
    assert list(ports) == [80, 8000, 8001, 8002]
    assert repr(ports) == "PortSet('80,8000-8002')"


@pytest.mark.parametrize(
    ("ports", "sole"),
    [
        pytest.param("80", 80, id="one"),
        pytest.param("80,81", None, id="a range"),
        pytest.param("80,90", None, id="several"),
        pytest.param([], None, id="none"),
    ],
)
def test_the_sole_port(ports: Any, sole: int | None) -> None:  # noqa: ANN401
    assert PortSet(ports).sole == sole


@pytest.mark.parametrize(
    ("addresses", "text"),
    [
        pytest.param("10.0.0.1", "10.0.0.1", id="IPv4 address"),
        pytest.param("FD00:0::1", "fd00::1", id="IPv6 address"),
        pytest.param("10.0.0.0/24", "10.0.0.0/24", id="IPv4 network"),
        pytest.param("fd00::/64", "fd00::/64", id="IPv6 network"),
        pytest.param("10.0.0.7/24", "10.0.0.0/24", id="network with host bits"),
        pytest.param("10.0.0.0/255.255.255.0", "10.0.0.0/24", id="network with a mask"),
        pytest.param("10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9", id="range"),
        pytest.param("fd00::1 - fd00::9", "fd00::1-fd00::9", id="IPv6 range"),
        pytest.param("10.0.0.0-10.0.0.255", "10.0.0.0/24", id="range that is a network"),
        pytest.param("10.0.*.*", "10.0.0.0/16", id="stars"),
        pytest.param(["10.0.1.0/24", "10.0.0.0/24"], "10.0.0.0/23", id="networks that touch are one"),
        pytest.param("fd00::/64,10.0.0.0/24", "10.0.0.0/24,fd00::/64", id="both families in one text"),
        pytest.param(("10.0.0.1", ["fd00::1"]), "10.0.0.1,fd00::1", id="lists within lists"),
        pytest.param("0.0.0.0/0,::/0", "0.0.0.0/0,::/0", id="everything"),
        pytest.param(ip_address("10.0.0.1"), "10.0.0.1", id="ipaddress address"),
        pytest.param(ip_network("10.0.0.0/8"), "10.0.0.0/8", id="ipaddress network"),
        pytest.param(netaddr.IPNetwork("fd00::/16"), "fd00::/16", id="netaddr network"),
        pytest.param(netaddr.IPRange("10.0.0.1", "10.0.0.3"), "10.0.0.1-10.0.0.3", id="netaddr range"),
        pytest.param(netaddr.IPSet(["10.0.0.0/8", "::1"]), "10.0.0.0/8,::1", id="netaddr set"),
        pytest.param(AddressSet("10.0.0.0/8"), "10.0.0.0/8", id="a set"),
        pytest.param([], "", id="none"),
    ],
)
def test_addresses_are_written_in_one_way(addresses: Any, text: str) -> None:  # noqa: ANN401
    assert str(AddressSet(addresses)) == text


@pytest.mark.parametrize(
    ("addresses", "part"),
    [
        pytest.param("", "''", id="no text"),
        pytest.param("example.org", "'example.org'", id="a name"),
        pytest.param("10.0.0.0/33", "'10.0.0.0/33'", id="prefix too long"),
        pytest.param("10.1", "'10.1'", id="address cut short"),
        pytest.param("10.0.0.9-10.0.0.1", "'10.0.0.9-10.0.0.1'", id="range that runs backward"),
        pytest.param("10.0.0.1-fd00::1", "'10.0.0.1-fd00::1'", id="range of two families"),
        pytest.param("fe80::1%eth0", "zone", id="a zone"),
        pytest.param(["10.0.0.1", "10.0.0.256"], "'10.0.0.256'", id="within a list"),
        pytest.param("10.0.0.1,x", "'x'", id="within a text"),
        pytest.param(None, "'None'", id="None"),
    ],
)
def test_what_is_no_address_is_named(addresses: Any, part: str) -> None:  # noqa: ANN401
    with pytest.raises(BadAddressError) as caught:
        AddressSet(addresses)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        pytest.param("9.255.255.255", False, id="before the network"),
        pytest.param("10.0.0.0", True, id="the network's first"),
        pytest.param("10.0.0.255", True, id="the network's last"),
        pytest.param("10.0.1.0", False, id="after the network"),
        pytest.param("10.0.5.1", True, id="the lone address"),
        pytest.param("fd00::", True, id="IPv6 first"),
        pytest.param("fd00::ffff:ffff:ffff:ffff", True, id="IPv6 last"),
        pytest.param("fd00:0:0:1::", False, id="after the IPv6 network"),
        pytest.param("::a00:0", False, id="an IPv4 address's number in IPv6"),
        pytest.param("::ffff:10.0.0.1", False, id="an IPv4 address mapped to IPv6"),
    ],
)
def test_membership_of_addresses_at_the_edges(address: str, inside: bool) -> None:
    assert (address in AddressSet(["10.0.0.0/24", "10.0.5.1", "fd00::/64"])) is inside


def test_a_set_of_one_family_holds_none_of_the_other() -> None:
    assert "fd00::1" not in AddressSet("0.0.0.0/0")
    assert "10.0.0.1" not in AddressSet("::/0")


@pytest.mark.parametrize("address", ["example.org", "10.0.0", "fd00::x"])
def test_membership_of_what_is_no_address_is_an_error(address: str) -> None:
    with pytest.raises(BadAddressError, match="is not an IP address"):
        _ = address in AddressSet(["10.0.0.0/24", "fd00::/64"])


@pytest.mark.parametrize(
    ("addresses", "sole"),
    [
        pytest.param("10.0.0.1", "10.0.0.1", id="IPv4"),
        pytest.param("FD00::0001", "fd00::1", id="IPv6, canonical"),
        pytest.param("10.0.0.1/32", "10.0.0.1", id="a network of one"),
        pytest.param("10.0.0.0/31", None, id="a network of two"),
        pytest.param("10.0.0.1,fd00::1", None, id="one of each family"),
        pytest.param([], None, id="none"),
    ],
)
def test_the_sole_address(addresses: Any, sole: str | None) -> None:  # noqa: ANN401
    assert AddressSet(addresses).sole == sole


def test_address_sets_that_mean_the_same_are_equal() -> None:
    assert AddressSet("10.0.0.0/24") == AddressSet("10.0.0.0-10.0.0.255")
    assert hash(AddressSet("10.0.0.0/24")) == hash(AddressSet("10.0.0.0-10.0.0.255"))
    assert AddressSet("10.0.0.1") != AddressSet("10.0.0.2")
    assert AddressSet("10.0.0.1") != "10.0.0.1"
    assert repr(AddressSet("10.0.0.0/24")) == "AddressSet('10.0.0.0/24')"


def test_only_the_empty_set_is_false() -> None:
    assert not AddressSet([])
    assert AddressSet("::/0")


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        pytest.param("80", "80", "80", id="the same"),
        pytest.param("1-100", "50-150,443", "50-100", id="overlapping"),
        pytest.param("1-100", "10,20-30,90-110", "10,20-30,90-100", id="several"),
        pytest.param("80", "81-90", "", id="none"),
        pytest.param("80", [], "", id="with none"),
    ],
)
def test_ports_that_are_in_both(one: Any, other: Any, both: str) -> None:  # noqa: ANN401
    assert str(PortSet(one) & PortSet(other)) == str(PortSet(other) & PortSet(one)) == both


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        pytest.param("10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/16", id="within"),
        pytest.param("10.0.0.0-10.0.0.9", "10.0.0.5-10.0.1.0", "10.0.0.5-10.0.0.9", id="overlapping"),
        pytest.param("10.0.0.0/8,fd00::/8", "fd00::1,11.0.0.0/8", "fd00::1", id="two families"),
        pytest.param("10.0.0.0/8", "fd00::/8", "", id="none"),
    ],
)
def test_addresses_that_are_in_both(one: str, other: str, both: str) -> None:
    met = AddressSet(one) & AddressSet(other)
    assert str(met) == str(AddressSet(other) & AddressSet(one)) == both
    assert met.sole == (both if both == "fd00::1" else None)
