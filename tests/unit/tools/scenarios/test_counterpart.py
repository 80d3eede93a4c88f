"""The script's station on an engine's link: it answers for all addresses but the engine's."""

import pytest

from xsocket.wire.arp import REPLY, REQUEST, ArpPacket
from xsocket.wire.codec import decode, encode
from xsocket.wire.ethernet import Ethernet
from xsocket.wire.icmp import ECHO_REPLY, ECHO_REQUEST, V6_ECHO_REPLY, IcmpPacket, build_icmp
from xsocket.wire.ip import Ipv4, Ipv6
from xsocket.wire.link import Frame
from xsocket_tools.scenarios.targets.counterpart import MAC, Counterpart, packet_of

ENGINE = bytes.fromhex("020000000001")
OURS = Ethernet(MAC, ENGINE)
ADDRESSES = ("192.168.0.1", "fd00::1")
EVERYBODY = b"\xff" * 6


def read(data: bytes) -> list[bytes | None]:
    return [answer for _, answer in Counterpart(ENGINE, ADDRESSES).read([Frame(data, 0)])]


def question(target: str) -> bytes:
    return encode(ArpPacket(Ethernet(EVERYBODY, ENGINE), REQUEST, ENGINE, ADDRESSES[0], bytes(6), target))


@pytest.mark.parametrize("address", ["192.0.2.1", "8.8.8.8"])
def test_it_has_every_address(address: str) -> None:
    [answer] = read(question(address))
    assert answer is not None
    packet = decode(answer)
    assert isinstance(packet, ArpPacket)
    assert (packet.operation, packet.sender_mac, packet.sender_address) == (REPLY, MAC, address)


def test_but_not_the_engines() -> None:
    assert read(question(ADDRESSES[0])) == []


def solicitation(target: str, source: str = "fd00::1") -> bytes:
    from xsocket.wire.address import address_octets

    body = bytes(4) + address_octets(target) + b"\x01\x01" + ENGINE
    return build_icmp(IcmpPacket(OURS, Ipv6(source, "ff02::1:ff00:2", hop_limit=255), 135, 0, body))


def test_neighbours_are_answered_for_in_ipv6_too() -> None:
    [answer] = read(solicitation("2001:db8::1"))
    assert answer is not None
    packet = decode(answer)
    assert isinstance(packet, IcmpPacket)
    assert (packet.type, packet.ip.source, packet.body[-6:]) == (136, "2001:db8::1", MAC)
    assert read(solicitation("fd00::1")) == []
    assert read(solicitation("2001:db8::1", source="::")) == []


def test_echo_replies_are_fences_and_errors_are_the_scripts() -> None:
    counterpart = Counterpart(ENGINE, ADDRESSES)
    ping = decode(counterpart.fence(7, "192.0.2.1", "192.168.0.1"))
    assert isinstance(ping, IcmpPacket)
    assert ping.type == ECHO_REQUEST
    pong = build_icmp(ping._replace(ethernet=OURS, ip=Ipv4("192.168.0.1", "192.0.2.1"), type=ECHO_REPLY))
    assert list(counterpart.read([Frame(pong, 0)])) == []
    assert counterpart.fences == 7
    pong6 = decode(counterpart.fence(8, "2001:db8::1", "fd00::1"))
    assert isinstance(pong6, IcmpPacket)
    answer = build_icmp(pong6._replace(ip=Ipv6("fd00::1", "2001:db8::1"), type=V6_ECHO_REPLY))
    list(counterpart.read([Frame(answer, 0)]))
    assert counterpart.fences == 8
    error = build_icmp(IcmpPacket(OURS, Ipv4("192.168.0.1", "192.0.2.1"), 3, 3, bytes(36)))
    assert [answer for _, answer in counterpart.read([Frame(error, 0)])] == [None]


def test_a_packet_is_cut_out_of_its_frame() -> None:
    error = build_icmp(IcmpPacket(OURS, Ipv4("192.168.0.1", "192.0.2.1"), 3, 3, bytes(12)))
    assert packet_of(Frame(error + b"padding", 0)) == error[14:]
    assert packet_of(Frame(error[:14], 0)) == b""


def test_what_is_broken_is_for_the_script_to_see_and_other_protocols_are_not() -> None:
    assert read(OURS.destination + OURS.source + b"\x08\x00" + b"\x45" + bytes(30)) == [None]
    assert read(OURS.destination + OURS.source + b"\x88\xb5" + bytes(46)) == []
