"""Neighbours in virtual time: answers, resolution, ageing, bounds; in IPv4 and IPv6 where both have it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether

from xsocket.errors import BadAddressError
from xsocket.reasons import DropReason
from xsocket.wire.ingress import Ingress
from xsocket.wire.link import Frame
from xsocket.wire.nd import solicited_node
from xsocket.wire.neighbours import NeighbourPolicy, Neighbours, NeighbourState

Layer = Any
"""Scapy has no types of its own."""

US, PEER, OTHER = "02:00:00:00:00:02", "02:00:00:00:00:01", "02:00:00:00:00:99"
BROADCAST, ALL_NODES = "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"
OUR_MAC = bytes.fromhex(US.replace(":", ""))
ADDRESSES = ["10.0.0.2/24", "fd00::2/64"]


class Host:
    """The neighbours under test behind a real `Ingress`: Scapy's frames in, Scapy's view of ours out."""

    def __init__(self, *gateways: str, mtu: int = 1500, policy: NeighbourPolicy | None = None) -> None:
        self.ingress = Ingress(OUR_MAC, ADDRESSES)
        self.table = Neighbours(OUR_MAC, ADDRESSES, gateways, mtu=mtu, policy=policy)

    def hear(self, now: float, layers: Layer) -> list[Layer]:
        packet = self.ingress.classify(Frame(bytes(layers), 0))
        assert not isinstance(packet, DropReason), packet
        return [Ether(frame) for frame in self.table.receive(now, packet)]  # type: ignore[arg-type]

    def send(self, now: float, address: str, packet: bytes = b"packet") -> list[Layer]:
        return [Ether(frame) for frame in self.table.enqueue(now, address, packet)]

    def fire(self, now: float) -> list[Layer]:
        return [Ether(frame) for frame in self.table.timers_fired(now)]

    def fire_until(self, end: float) -> list[tuple[float, Layer]]:
        """Call back at every deadline up to *end*; return what was sent and when."""
        sent: list[tuple[float, Layer]] = []
        while self.table.deadline is not None and self.table.deadline <= end:
            now = self.table.deadline
            sent += [(now, frame) for frame in self.fire(now)]
        return sent


class Protocol(NamedTuple):
    """ARP or neighbour discovery, by what a peer at `peer` says in it."""

    peer: str
    ours: str
    gateway: str
    afar: str
    request: Callable[..., Layer]
    reply: Callable[..., Layer]
    question: Callable[[Layer], tuple[str, str]]
    """Of a request of ours: where its frame goes, and the address it asks for."""


def arp_request(sender: str = "10.0.0.1", mac: str = PEER) -> Layer:
    return Ether(src=mac, dst=BROADCAST) / ARP(op=1, hwsrc=mac, psrc=sender, pdst="10.0.0.2")


def arp_reply(sender: str = "10.0.0.1", mac: str = PEER) -> Layer:
    return Ether(src=mac, dst=US) / ARP(op=2, hwsrc=mac, psrc=sender, hwdst=US, pdst="10.0.0.2")


def arp_question(frame: Layer) -> tuple[str, str]:
    assert (frame[ARP].op, frame[ARP].psrc, frame[ARP].hwsrc) == (1, "10.0.0.2", US)
    return frame.dst, frame[ARP].pdst


def nd_request(sender: str = "fd00::1", mac: str = PEER) -> Layer:
    ethernet = Ether(src=mac, dst="33:33:ff:00:00:02")
    ip = IPv6(src=sender, dst=solicited_node("fd00::2"), hlim=255)
    return ethernet / ip / ICMPv6ND_NS(tgt="fd00::2") / ICMPv6NDOptSrcLLAddr(lladdr=mac)


def nd_reply(sender: str = "fd00::1", mac: str = PEER, **flags: Layer) -> Layer:
    told = ICMPv6ND_NA(**{"tgt": sender, "R": 0, "S": 1, "O": 1, **flags})
    ip = IPv6(src=sender, dst="fd00::2", hlim=255)
    return Ether(src=mac, dst=US) / ip / told / ICMPv6NDOptDstLLAddr(lladdr=mac)


def nd_question(frame: Layer) -> tuple[str, str]:
    assert (frame[IPv6].src, frame[IPv6].hlim) == ("fd00::2", 255)
    assert frame[ICMPv6NDOptSrcLLAddr].lladdr == US
    return frame.dst, frame[ICMPv6ND_NS].tgt


V4 = Protocol("10.0.0.1", "10.0.0.2", "10.0.0.254", "192.0.2.1", arp_request, arp_reply, arp_question)
V6 = Protocol("fd00::1", "fd00::2", "fd00::fe", "2001:db8::1", nd_request, nd_reply, nd_question)
TO_EVERYBODY = {"10.0.0.1": BROADCAST, "fd00::1": "33:33:ff:00:00:01"}

both = pytest.mark.parametrize("protocol", [V4, V6], ids=["arp", "nd"])


def prefix(mac: str, protocol: Protocol) -> bytes:
    octets = bytes.fromhex(mac.replace(":", "")) + OUR_MAC
    return octets + (b"\x86\xdd" if ":" in protocol.peer else b"\x08\x00")


# Answers


def test_an_arp_request_is_answered() -> None:
    (reply,) = Host().hear(0.0, arp_request())
    assert (reply.dst, reply.src) == (PEER, US)
    arp = reply[ARP]
    assert (arp.op, arp.hwsrc, arp.psrc, arp.hwdst, arp.pdst) == (2, US, "10.0.0.2", PEER, "10.0.0.1")


def test_an_arp_probe_is_answered_and_teaches_nothing() -> None:
    """RFC 5227 section 2.1.1: or the prober would take our address."""
    host = Host()
    (reply,) = host.hear(0.0, arp_request("0.0.0.0"))  # noqa: S104
    assert (reply.dst, reply[ARP].psrc, reply[ARP].pdst) == (PEER, "10.0.0.2", "0.0.0.0")  # noqa: S104
    assert len(host.table) == 0


def test_a_solicitation_is_answered() -> None:
    (reply,) = Host().hear(0.0, nd_request())
    assert (reply.dst, reply[IPv6].src, reply[IPv6].dst, reply[IPv6].hlim) == (
        PEER,
        "fd00::2",
        "fd00::1",
        255,
    )
    told = reply[ICMPv6ND_NA]
    assert (told.tgt, told.R, told.S, told.O) == ("fd00::2", 0, 1, 1)
    assert reply[ICMPv6NDOptDstLLAddr].lladdr == US


def test_a_duplicate_address_probe_is_answered_to_everybody() -> None:
    """RFC 4861 section 7.2.4: there is no one else to answer to."""
    host = Host()
    probe = Ether(src=OTHER, dst="33:33:ff:00:00:02") / IPv6(
        src="::", dst=solicited_node("fd00::2"), hlim=255
    )
    (reply,) = host.hear(0.0, probe / ICMPv6ND_NS(tgt="fd00::2"))
    assert (reply.dst, reply[IPv6].dst, reply[ICMPv6ND_NA].S) == (ALL_NODES, "ff02::1", 0)
    assert len(host.table) == 0


def test_a_unicast_probe_without_the_option_is_answered_to_its_frame() -> None:
    probe = (
        Ether(src=PEER, dst=US) / IPv6(src="fd00::1", dst="fd00::2", hlim=255) / ICMPv6ND_NS(tgt="fd00::2")
    )
    (reply,) = Host().hear(0.0, probe)
    assert reply.dst == PEER


def test_ping_is_answered() -> None:
    host = Host()
    host.hear(0.0, arp_request())
    ping = Ether(src=PEER, dst=US) / IP(src="10.0.0.1", dst="10.0.0.2", tos=8) / ICMP(id=7, seq=1) / b"data"
    (reply,) = host.hear(0.0, ping)
    assert (reply.dst, reply[IP].src, reply[IP].dst, reply[IP].tos) == (PEER, "10.0.0.2", "10.0.0.1", 8)
    icmp = reply[ICMP]
    assert (icmp.type, icmp.id, icmp.seq, bytes(icmp.payload)) == (0, 7, 1, b"data")


def test_ping6_is_answered_once_the_peer_is_found() -> None:
    host = Host()
    ping = (
        Ether(src=PEER, dst=US) / IPv6(src="fd00::1", dst="fd00::2") / ICMPv6EchoRequest(id=7, data=b"data")
    )
    (question,) = host.hear(0.0, ping)
    assert nd_question(question) == ("33:33:ff:00:00:01", "fd00::1")
    (reply,) = host.hear(0.1, nd_reply())
    assert (reply[IPv6].dst, reply[ICMPv6EchoReply].id, reply[ICMPv6EchoReply].data) == (
        "fd00::1",
        7,
        b"data",
    )


@pytest.mark.parametrize(("octets", "answered"), [(1472, True), (1473, False)])
def test_a_ping_is_answered_up_to_the_mtu(octets: int, answered: bool) -> None:
    host = Host()
    host.hear(0.0, arp_request())
    ping = Ether(src=PEER, dst=US) / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP() / bytes(octets)
    assert bool(host.hear(0.0, ping)) is answered
    assert host.table.drops[DropReason.ICMP_TOO_BIG] == (not answered)


# Announcements


def test_the_start_announces_every_address_twice() -> None:
    host = Host()
    first = [Ether(frame) for frame in host.table.start(10.0)]
    arp, advertisement = first
    assert (arp.dst, arp[ARP].psrc, arp[ARP].pdst) == (BROADCAST, "10.0.0.2", "10.0.0.2")
    told = advertisement[ICMPv6ND_NA]
    assert (advertisement.dst, told.tgt, told.S, told.O) == (ALL_NODES, "fd00::2", 0, 1)
    assert host.table.deadline == 12.0
    assert host.fire_until(100.0) == [(12.0, arp), (12.0, advertisement)]


@pytest.mark.parametrize(
    "claim",
    [
        pytest.param(
            Ether(src=OTHER, dst=BROADCAST) / ARP(hwsrc=OTHER, psrc="10.0.0.2", pdst="10.0.0.2"), id="arp"
        ),
        pytest.param(
            Ether(src=OTHER, dst=ALL_NODES)
            / IPv6(src="fd00::77", dst="ff02::1", hlim=255)
            / ICMPv6ND_NA(tgt="fd00::2", R=0, S=0, O=1)
            / ICMPv6NDOptDstLLAddr(lladdr=OTHER),
            id="nd",
        ),
    ],
)
def test_our_address_is_defended_but_not_in_a_duel(claim: Layer) -> None:
    """RFC 5227 section 2.4 (b)."""
    host = Host()
    assert [len(host.hear(now, claim)) for now in (0.0, 1.0, 9.9, 10.0)] == [1, 0, 0, 1]
    assert host.table.drops[DropReason.ADDRESS_CONFLICT] == 4


# Resolution


@both
def test_a_packet_waits_for_the_answer(protocol: Protocol) -> None:
    host = Host()
    assert host.table.frame_for(0.0, protocol.peer) is None
    (question,) = host.send(0.0, protocol.peer, b"first")
    assert protocol.question(question) == (TO_EVERYBODY[protocol.peer], protocol.peer)
    assert host.send(0.1, protocol.peer, b"second") == []
    assert [bytes(frame)[14:] for frame in host.hear(0.2, protocol.reply())] == [b"first", b"second"]
    assert host.table.frame_for(0.2, protocol.peer) == prefix(PEER, protocol)
    assert host.table.state_of(protocol.peer) is NeighbourState.REACHABLE
    assert host.table.enqueue(0.3, protocol.peer, b"third") == [prefix(PEER, protocol) + b"third"]


@both
def test_three_requests_a_second_apart_then_unreachable(protocol: Protocol) -> None:
    host = Host()
    host.send(0.0, protocol.peer)
    host.send(0.5, protocol.peer)
    asked = host.fire_until(10.0)
    assert [(now, *protocol.question(frame)) for now, frame in asked] == [
        (1.0, TO_EVERYBODY[protocol.peer], protocol.peer),
        (2.0, TO_EVERYBODY[protocol.peer], protocol.peer),
    ]
    assert host.table.drops == {DropReason.NEIGHBOUR_UNREACHABLE: 2}
    assert host.table.take_unreachable() == [protocol.peer]
    assert host.table.take_unreachable() == []
    assert len(host.table) == 0
    assert host.table.deadline is None


@both
def test_packets_for_afar_go_to_the_gateway(protocol: Protocol) -> None:
    host = Host(protocol.gateway)
    (question,) = host.send(0.0, protocol.afar, b"x")
    assert protocol.question(question)[1] == protocol.gateway
    (frame,) = host.hear(0.1, protocol.reply(protocol.gateway, OTHER))
    assert bytes(frame) == prefix(OTHER, protocol) + b"x"
    assert host.table.frame_for(0.2, protocol.afar) == prefix(OTHER, protocol)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("192.0.2.1", id="no gateway"),
        pytest.param("2001:db8::1", id="no gateway, IPv6"),
        pytest.param("10.0.0.2", id="ourselves"),
        pytest.param("10.0.0.255", id="the network"),
        pytest.param("255.255.255.255", id="everybody"),
        pytest.param("224.0.0.1", id="a group"),
        pytest.param("ff02::1", id="all nodes"),
    ],
)
def test_no_route(address: str) -> None:
    host = Host()
    assert host.send(0.0, address) == []
    assert host.table.drops == {DropReason.NO_ROUTE: 1}


@pytest.mark.parametrize(
    ("address", "gateway"),
    [
        pytest.param("0.1.2.3", V4.gateway, id="this network"),
        pytest.param("127.0.0.1", V4.gateway, id="loopback"),
        pytest.param("224.0.0.1", V4.gateway, id="a group"),
        pytest.param("255.255.255.255", V4.gateway, id="everybody"),
        pytest.param("::", V6.gateway, id="nobody"),
        pytest.param("::1", V6.gateway, id="loopback, IPv6"),
        pytest.param("ff0e::1", V6.gateway, id="a group, IPv6"),
        pytest.param("::ffff:192.0.2.1", V6.gateway, id="mapped"),
    ],
)
def test_a_gateway_leads_to_no_address_that_a_host_never_has(address: str, gateway: str) -> None:
    host = Host(gateway)
    assert host.send(0.0, address) == []
    assert host.table.drops == {DropReason.NO_ROUTE: 1}


def test_a_link_local_neighbour_needs_an_address_of_its_family() -> None:
    assert Neighbours(OUR_MAC, ["10.0.0.2/24"]).enqueue(0.0, "fe80::1", b"x") == []
    assert Host().send(0.0, "fe80::1")


@pytest.mark.parametrize("address", ["fe80::1", "fe81::1", "febf:ffff::1"])
def test_all_link_local_addresses_are_on_the_link(address: str) -> None:
    """RFC 4291 section 2.4: fe80::/10."""
    without_gateway = Neighbours(OUR_MAC, ["2001:db8::2/64"])
    without_gateway.enqueue(0.0, address, b"x")
    assert without_gateway.drops == {}


@pytest.mark.parametrize("gateway", ["192.0.2.1", "10.0.0.2", "2001:db8::1", "nobody"])
def test_a_gateway_must_be_a_neighbour(gateway: str) -> None:
    with pytest.raises(BadAddressError):
        Host(gateway)


def test_the_longest_prefix_gives_the_source() -> None:
    table = Neighbours(OUR_MAC, ["10.0.0.2/8", "10.1.0.2/16", "fd00::2/64"], ["10.0.0.1"])
    assert table.source_for("10.1.0.9") == "10.1.0.2"
    assert table.source_for("10.2.0.9") == "10.0.0.2"
    assert table.source_for("192.0.2.1") == "10.0.0.2"
    assert table.source_for("fd99::1") == "fd00::2"


# Ageing


@both
def test_a_used_entry_is_probed_by_unicast_and_confirmed(protocol: Protocol) -> None:
    host = Host()
    host.send(0.0, protocol.peer)
    host.hear(0.0, protocol.reply())
    assert host.fire_until(30.0) == []
    assert host.table.state_of(protocol.peer) is NeighbourState.STALE
    assert host.table.frame_for(40.0, protocol.peer) == prefix(PEER, protocol)
    assert host.table.state_of(protocol.peer) is NeighbourState.DELAY
    ((now, probe),) = host.fire_until(45.0)
    assert (now, *protocol.question(probe)) == (45.0, PEER, protocol.peer)
    assert host.table.frame_for(45.5, protocol.peer) == prefix(PEER, protocol)
    host.hear(45.6, protocol.reply())
    assert host.table.state_of(protocol.peer) is NeighbourState.REACHABLE


@both
def test_an_entry_that_answers_no_probe_is_looked_for_anew(protocol: Protocol) -> None:
    host = Host()
    host.send(0.0, protocol.peer)
    host.hear(0.0, protocol.reply())
    host.fire_until(30.0)
    host.table.frame_for(30.0, protocol.peer)
    assert [now for now, _ in host.fire_until(100.0)] == [35.0, 36.0, 37.0]
    assert host.table.frame_for(100.0, protocol.peer) is None
    (question,) = host.send(100.0, protocol.peer)
    assert protocol.question(question)[0] == TO_EVERYBODY[protocol.peer]


@both
def test_an_unused_entry_goes_without_a_word(protocol: Protocol) -> None:
    host = Host()
    host.send(0.0, protocol.peer)
    host.hear(0.0, protocol.reply())
    assert host.fire_until(1_000.0) == []
    assert len(host.table) == 0
    assert host.table.take_unreachable() == []


# Learning


@both
def test_who_asks_for_us_is_known(protocol: Protocol) -> None:
    host = Host()
    host.hear(0.0, protocol.request())
    assert host.table.frame_for(0.0, protocol.peer) == prefix(PEER, protocol)


@both
def test_who_moves_and_asks_for_us_is_followed(protocol: Protocol) -> None:
    host = Host()
    host.hear(0.0, protocol.request())
    host.hear(1.0, protocol.request(mac=OTHER))
    assert host.table.frame_for(1.0, protocol.peer) == prefix(OTHER, protocol)


@both
def test_a_question_from_whom_we_look_for_frees_what_waits(protocol: Protocol) -> None:
    host = Host()
    host.send(0.0, protocol.peer, b"waiting")
    waiting, _ = host.hear(0.1, protocol.request())
    assert bytes(waiting) == prefix(PEER, protocol) + b"waiting"


@both
def test_an_answer_nobody_asked_for_teaches_nothing(protocol: Protocol) -> None:
    host = Host()
    assert host.hear(0.0, protocol.reply()) == []
    assert len(host.table) == 0


@pytest.mark.parametrize("sender", ["192.0.2.9", "10.0.0.255", "224.0.0.9"])
def test_a_sender_that_is_no_neighbour_is_answered_and_not_learned(sender: str) -> None:
    host = Host()
    assert len(host.hear(0.0, arp_request(sender))) == 1
    assert len(host.table) == 0


def test_an_announcement_updates_what_is_known_and_adds_nothing() -> None:
    """RFC 826: the merge step."""
    host = Host()
    told = Ether(src=OTHER, dst=BROADCAST) / ARP(hwsrc=OTHER, psrc="10.0.0.1", pdst="10.0.0.1")
    assert host.hear(0.0, told) == []
    assert len(host.table) == 0
    host.hear(0.0, arp_request())
    host.hear(1.0, told)
    assert host.table.frame_for(1.0, "10.0.0.1") == prefix(OTHER, V4)


@pytest.mark.parametrize(
    ("flags", "mac", "state"),
    [
        pytest.param({"S": 0, "O": 0}, PEER, NeighbourState.STALE, id="not believed, but doubted"),
        pytest.param({"S": 0, "O": 1}, OTHER, NeighbourState.STALE, id="override"),
    ],
)
def test_another_station_advertises_a_neighbours_address(
    flags: dict[str, Any], mac: str, state: NeighbourState
) -> None:
    """RFC 4861 section 7.2.5."""
    host = Host()
    host.send(0.0, "fd00::1")
    host.hear(0.0, nd_reply())
    host.hear(1.0, nd_reply(mac=OTHER, **flags))
    assert host.table.state_of("fd00::1") is state
    assert host.table.frame_for(1.0, "fd00::1") == prefix(mac, V6)


def test_a_first_answer_must_say_where() -> None:
    host = Host()
    host.send(0.0, "fd00::1")
    bare = Ether(src=PEER, dst=US) / IPv6(src="fd00::1", dst="fd00::2", hlim=255)
    assert host.hear(0.1, bare / ICMPv6ND_NA(tgt="fd00::1", R=0, S=1, O=1)) == []
    assert host.table.state_of("fd00::1") is NeighbourState.INCOMPLETE


# Bounds


def test_the_newest_packets_wait() -> None:
    """RFC 1122 section 2.3.2.2."""
    host = Host(policy=NeighbourPolicy(waiting_per_address=2))
    for packet in (b"1", b"2", b"3"):
        host.send(0.0, "10.0.0.1", packet)
    assert [bytes(frame)[14:] for frame in host.hear(0.1, arp_reply())] == [b"2", b"3"]
    assert host.table.drops == {DropReason.NEIGHBOUR_QUEUE_FULL: 1}


def test_packets_that_wait_are_bounded_in_all() -> None:
    host = Host(policy=NeighbourPolicy(waiting_in_all=3))
    for place in range(5):
        host.send(0.0, f"10.0.0.{10 + place}")
    assert host.table.drops == {DropReason.NEIGHBOUR_QUEUE_FULL: 2}
    host.fire_until(10.0)
    assert host.table.drops[DropReason.NEIGHBOUR_UNREACHABLE] == 3
    assert len(host.send(20.0, "10.0.0.1")) == 1


def test_addresses_being_looked_for_leave_room_for_who_asks() -> None:
    host = Host(policy=NeighbourPolicy(capacity=8))
    for place in range(100):
        host.send(0.0, f"10.0.0.{100 + place}")
    assert len(host.table) == 4
    assert host.table.drops[DropReason.NEIGHBOUR_TABLE_FULL] == 96
    host.hear(0.0, arp_request())
    assert host.table.frame_for(0.0, "10.0.0.1") is not None


def test_a_flood_of_askers_stays_bounded_and_leaves_those_in_use() -> None:
    host = Host(policy=NeighbourPolicy(capacity=8))
    host.send(0.0, "10.0.0.1")
    host.hear(0.0, arp_reply())
    for place in range(200):
        host.hear(1.0, arp_request(f"10.0.0.{20 + place}"))
    assert len(host.table) == 8
    assert host.table.state_of("10.0.0.1") is NeighbourState.REACHABLE


def test_a_table_in_use_takes_nobody_new() -> None:
    host = Host(policy=NeighbourPolicy(capacity=4))
    for place in range(1, 5):
        address = f"10.0.0.{10 + place}"
        host.send(0.0, address)
        host.hear(0.0, arp_reply(address))
    host.hear(1.0, arp_request())
    assert host.send(1.0, "10.0.0.9") == []
    assert host.table.drops == {DropReason.NEIGHBOUR_TABLE_FULL: 2}


def test_a_call_before_the_deadline_does_nothing() -> None:
    host = Host()
    host.send(0.0, "10.0.0.1")
    assert host.fire(0.999) == []
    assert len(host.fire(1.0)) == 1


@both
def test_a_permanent_neighbour_is_never_asked_for_nor_forgotten(protocol: Protocol) -> None:
    host = Host()
    assert host.table.add_permanent(0.0, protocol.peer, bytes.fromhex(PEER.replace(":", ""))) == []
    for now in (0.1, 100.0, 1e7):
        assert host.table.enqueue(now, protocol.peer, b"packet") == [prefix(PEER, protocol) + b"packet"]
        assert host.fire_until(now) == []


@both
def test_nobody_takes_the_place_of_a_permanent_neighbour(protocol: Protocol) -> None:
    host = Host()
    host.table.add_permanent(0.0, protocol.peer, bytes.fromhex(PEER.replace(":", "")))
    host.hear(1.0, protocol.reply(mac=OTHER))
    host.hear(1.0, protocol.request(mac=OTHER))
    assert host.table.frame_for(2.0, protocol.peer) == prefix(PEER, protocol)


@both
def test_what_waits_goes_when_the_neighbour_is_made_known(protocol: Protocol) -> None:
    host = Host()
    host.send(0.0, protocol.peer, b"first")
    told = host.table.add_permanent(0.1, protocol.peer, bytes.fromhex(PEER.replace(":", "")))
    assert told == [prefix(PEER, protocol) + b"first"]


@both
def test_a_permanent_neighbour_is_on_the_link(protocol: Protocol) -> None:
    with pytest.raises(BadAddressError, match="is not on the link"):
        Host(protocol.gateway).table.add_permanent(0.0, protocol.afar, bytes(6))
