"""Many inside, one outside: what is translated there and back, and what is not let in."""

from collections.abc import Callable

import pytest

from support.paths import (
    CLIENT_MAC,
    KEY,
    KEY_6,
    LEFT,
    RIGHT,
    SERVER_MAC,
    error_in,
    held_by,
    key_of,
    left,
    right,
    segment,
    through,
)
from xsocket.errors import BadAddressError
from xsocket.fourtuple import FourTuple
from xsocket.patherror import PathError
from xsocket.wire.address import address_octets
from xsocket.wire.arp import REPLY, REQUEST, ArpPacket
from xsocket.wire.codec import decode
from xsocket.wire.ethernet import BROADCAST, IPV6, Ethernet, build_ethernet, multicast_mac
from xsocket.wire.icmp import IcmpPacket, path_error
from xsocket.wire.nd import ADVERTISEMENT, build_solicitation, read_nd, solicited_node
from xsocket_tools.path.element import Chain
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.impairments import LimitMtu
from xsocket_tools.path.nat import Nat
from xsocket_tools.path.parcel import Parcel
from xsocket_tools.path.table import WhenFull

SYN, SYN_ACK = segment("S", 10), segment("S.", 20, 11)
OUTSIDE = {4: "10.0.0.254", 6: "fd00::fe"}
KEYS = pytest.mark.parametrize("key", [KEY, KEY_6], ids=["ipv4", "ipv6"])


def from_port(port: int, key: FourTuple = KEY) -> FourTuple:
    return FourTuple(key.local_address, port, key.remote_address, key.remote_port)


def outside_of(nat: Nat, key: FourTuple = KEY) -> FourTuple:
    """Open the connection *key*; return how the server sees it, its client named first."""
    (out,) = nat.take(0.0, right(SYN, key))
    return key_of(out)


@KEYS
def test_a_connection_appears_to_come_from_outside(key: FourTuple) -> None:
    nat = Nat()
    seen = outside_of(nat, key)
    assert seen.local_address == OUTSIDE[key.family]
    assert seen.local_port != key.local_port
    assert (seen.remote_address, seen.remote_port) == (key.remote_address, key.remote_port)
    (back,) = nat.take(0.0, left(SYN_ACK, seen))
    assert (key_of(back), held_by(back)) == (key.reversed, SYN_ACK)
    assert back.frame[:6] == CLIENT_MAC


def test_ports_are_those_of_the_seed() -> None:
    assert outside_of(Nat(seed=1)) == outside_of(Nat(seed=1))
    assert outside_of(Nat(seed=1)) != outside_of(Nat(seed=2))


def test_an_endpoint_keeps_its_port_and_another_gets_another() -> None:
    nat = Nat(ports=range(5000, 5002))
    elsewhere = FourTuple("10.0.0.1", 40_000, "10.0.0.3", 80)
    ports = [outside_of(nat, key).local_port for key in (KEY, KEY, elsewhere, from_port(40_001))]
    assert ports[0] == ports[1] == ports[2] != ports[3]
    assert set(ports) == {5000, 5001}


def test_what_is_unsolicited_is_dropped() -> None:
    nat = Nat()
    assert nat.take(0.0, left(SYN, FourTuple(OUTSIDE[4], 5000, "10.0.0.2", 80))) == ()
    assert nat.take(0.0, left(SYN)) == ()  # the inside address is nobody's outside
    assert nat.counts()["unsolicited"] == 2
    assert nat.take(0.0, right(segment(".", 11, 21))) == ()
    assert nat.counts()["unknown"] == 1


def test_a_mapping_ends_when_it_is_idle() -> None:
    nat = Nat(idle_s=60, ports=range(5000, 5001))
    seen = outside_of(nat)
    assert len(nat.take(59.0, left(SYN_ACK, seen))) == 1
    assert nat.take(119.0, left(SYN_ACK, seen)) == ()
    (out,) = nat.take(120.0, right(SYN, from_port(40_001)))  # its port is free again
    assert key_of(out).local_port == 5000


@pytest.mark.parametrize(
    ("when_full", "passing", "counted"),
    [
        pytest.param(WhenFull.REFUSE, [True, True, False], "refused", id="refuse"),
        pytest.param(WhenFull.EVICT, [True, True, True], "evicted", id="evict"),
    ],
)
def test_there_is_room_for_as_many_as_there_are_ports(
    when_full: WhenFull, passing: list[bool], counted: str
) -> None:
    nat = Nat(ports=range(5000, 5002), when_full=when_full)
    assert [len(nat.take(0.0, right(SYN, from_port(port)))) == 1 for port in range(1, 4)] == passing
    assert (nat.counts()[counted], nat.counts()["entries"]) == (1, 2)


def test_a_version_without_an_address_passes() -> None:
    assert through(Nat(["10.0.0.254"]), right(SYN, KEY_6)) == SYN


@KEYS
def test_an_error_from_outside_reaches_who_sent_the_segment(key: FourTuple) -> None:
    chain = Chain([nat := Nat(), LimitMtu(1000)])
    chain.take(0.0, right(SYN, key))
    (answer,) = chain.take(0.0, right(segment(".", 11, 21, payload=bytes(1200)), key))
    error = path_error(error_in(answer))
    assert isinstance(error, PathError)
    assert (answer.towards, error.four_tuple, error.seq) == (LEFT, key, 11)
    assert error_in(answer).ip.destination == key.local_address
    assert answer.frame[:6] == CLIENT_MAC
    assert nat.counts()["errors"] == 1


@KEYS
def test_an_error_from_inside_does_not_give_the_inside_away(key: FourTuple) -> None:
    nat = Nat()
    chain = Chain([LimitMtu(1000), nat])
    seen = outside_of(nat, key)
    (answer,) = chain.take(0.0, left(segment(".", 21, 11, payload=bytes(1200)), seen))
    error = path_error(error_in(answer))
    assert isinstance(error, PathError)
    assert (answer.towards, error.four_tuple) == (RIGHT, seen.reversed)
    assert error_in(answer).ip.source == OUTSIDE[key.family]
    assert key.local_address.encode() not in answer.frame
    assert address_octets(key.local_address) not in answer.frame


def test_it_answers_arp_for_its_outside_address() -> None:
    nat = Nat()
    request = ArpPacket(
        Ethernet(BROADCAST, SERVER_MAC), REQUEST, SERVER_MAC, "10.0.0.2", bytes(6), OUTSIDE[4]
    )
    (answer,) = nat.take(0.0, Parcel(LEFT, request))
    told = decode(answer.frame)
    assert isinstance(told, ArpPacket)
    assert (answer.towards, told.operation, told.sender_address) == (RIGHT, REPLY, OUTSIDE[4])
    (syn,) = nat.take(0.0, right(SYN))
    assert syn.frame[6:12] == told.sender_mac
    for_client = request._replace(target_address="10.0.0.1")
    assert nat.take(0.0, parcel := Parcel(LEFT, for_client)) == (parcel,)


def test_it_answers_solicitations_for_its_outside_address() -> None:
    nat, target = Nat(), OUTSIDE[6]
    group = solicited_node(target)
    ethernet = build_ethernet(Ethernet(multicast_mac(address_octets(group)), SERVER_MAC), IPV6)
    (answer,) = nat.take(
        0.0, Parcel(LEFT, ethernet + build_solicitation(SERVER_MAC, "fd00::2", group, target))
    )
    told = decode(answer.frame)
    assert isinstance(told, IcmpPacket)
    assert (answer.towards, told.type, told.ip.destination) == (RIGHT, ADVERTISEMENT, "fd00::2")
    advertised = read_nd(told)
    assert advertised.target == target  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(lambda: Nat([]), BadElementError, id="no-address"),
        pytest.param(lambda: Nat(["10.0.0.3", "10.0.0.4"]), BadElementError, id="two-of-one-version"),
        pytest.param(lambda: Nat(["10.0.0"]), BadAddressError, id="not-an-address"),
        pytest.param(lambda: Nat(ports=range(0, 5)), BadElementError, id="port-zero"),
        pytest.param(lambda: Nat(ports=range(0)), BadElementError, id="no-ports"),
    ],
)
def test_values_out_of_range_are_refused(make: Callable[[], Nat], error: type[Exception]) -> None:
    with pytest.raises(error):
        make()
