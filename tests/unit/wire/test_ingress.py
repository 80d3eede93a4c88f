"""Which frames are for us: one row a check, and 50,000 mutated frames that never raise."""

from ipaddress import IPv4Address
from random import Random
from typing import Any

import pytest
from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    IPOption,
    IPOption_LSRR,
    IPOption_RR,
    IPOption_Timestamp,
)
from scapy.layers.inet6 import (
    HBHOptUnknown,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether

from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.wire.arp import ArpPacket
from xsocket.wire.codec import Arrival
from xsocket.wire.icmp import IcmpPacket
from xsocket.wire.ingress import Ingress
from xsocket.wire.link import Frame
from xsocket.wire.nd import NdPacket, solicited_node

Layer = Any
"""Scapy has no types of its own."""

US, PEER, STRANGER = "02:00:00:00:00:02", "02:00:00:00:00:01", "02:00:00:00:00:03"
BROADCAST = "ff:ff:ff:ff:ff:ff"
GROUP = "33:33:ff:00:00:02"
ALL_NODES = "33:33:00:00:00:01"
MUTATED = 50_000


def ingress() -> Ingress:
    return Ingress(bytes.fromhex(US.replace(":", "")), ["10.0.0.2/24", "192.0.2.1/31", "fd00::2/64"])


def frame(layers: Layer, *, to: str = US, tag: int | None = None) -> Frame:
    outer = Ether(src=PEER, dst=to)
    if tag is not None:
        outer /= Dot1Q(vlan=tag, prio=5)
    return Frame(bytes(outer / layers), 0)


def v4(source: str = "10.0.0.1", destination: str = "10.0.0.2") -> Layer:
    return IP(src=source, dst=destination)


def v6(source: str = "fd00::1", destination: str = "fd00::2", hop_limit: int = 64) -> Layer:
    return IPv6(src=source, dst=destination, hlim=hop_limit)


def with_options(*options: Layer) -> Layer:
    return IP(src="10.0.0.1", dst="10.0.0.2", options=list(options)) / tcp()


def tcp() -> Layer:
    return TCP(sport=40_000, dport=80, flags="S")


def arp(**fields: Layer) -> Layer:
    return ARP(**{"hwsrc": PEER, "psrc": "10.0.0.1", **fields})


def ns(target: str = "fd00::2", **fields: Layer) -> Layer:
    return ICMPv6ND_NS(tgt=target, **fields)


def na(target: str = "fd00::1", **fields: Layer) -> Layer:
    return ICMPv6ND_NA(**{"tgt": target, "R": 0, "S": 1, "O": 1, **fields})


def nd(destination: str = "fd00::2", source: str = "fd00::1", hop_limit: int = 255) -> Layer:
    return v6(source, destination, hop_limit)


SOURCE_OPTION = ICMPv6NDOptSrcLLAddr(lladdr=PEER)
SOLICITED = solicited_node("fd00::2")


@pytest.mark.parametrize(
    ("arrived", "kind"),
    [
        pytest.param(frame(v4() / tcp()), Arrival, id="TCP"),
        pytest.param(frame(v6() / tcp()), Arrival, id="TCP over IPv6"),
        pytest.param(frame(v4("192.0.2.0", "192.0.2.1") / tcp()), Arrival, id="TCP in a /31"),
        pytest.param(frame(v4() / tcp(), tag=0), Arrival, id="TCP with a priority tag"),
        pytest.param(frame(v4("8.8.8.8") / tcp()), Arrival, id="TCP from afar"),
        pytest.param(frame(with_options(IPOption_RR(routers=["192.0.2.1"]))), Arrival, id="record route"),
        pytest.param(frame(with_options(IPOption_Timestamp())), Arrival, id="IP timestamps"),
        pytest.param(
            frame(with_options(IPOption_LSRR(pointer=8, routers=["192.0.2.1"])))._replace(
                checksum_ready=False
            ),
            Arrival,
            id="a source route that ends here",
        ),
        pytest.param(
            frame(with_options(IPOption(option=30, value=b"x"))), Arrival, id="an option that nobody knows"
        ),
        pytest.param(
            frame(v6() / IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1E, optdata=b"x")]) / tcp()),
            Arrival,
            id="an option that nobody knows, IPv6",
        ),
        pytest.param(
            frame(v6("ff::1") / tcp()), Arrival, id="TCP from an address that only looks like a group"
        ),
        pytest.param(
            frame(arp(op=1, psrc="10.0.0.1", pdst="10.0.0.2"), to=BROADCAST), ArpPacket, id="request"
        ),
        pytest.param(
            frame(arp(op=1, psrc="10.0.0.9", pdst="10.0.0.9"), to=BROADCAST), ArpPacket, id="announcement"
        ),
        pytest.param(frame(arp(op=2, psrc="10.0.0.1", pdst="10.0.0.2")), ArpPacket, id="reply"),
        pytest.param(frame(v4() / ICMP()), IcmpPacket, id="ping"),
        pytest.param(frame(v4() / ICMP(type=3, code=1) / v4() / tcp()), IcmpPacket, id="unreachable"),
        pytest.param(frame(v6() / ICMPv6EchoRequest()), IcmpPacket, id="ping6"),
        pytest.param(frame(nd(SOLICITED) / ns() / SOURCE_OPTION, to=GROUP), NdPacket, id="solicitation"),
        pytest.param(frame(nd() / ns()), NdPacket, id="unicast probe"),
        pytest.param(frame(nd(SOLICITED, "::") / ns(), to=GROUP), NdPacket, id="duplicate-address probe"),
        pytest.param(frame(nd() / na() / ICMPv6NDOptDstLLAddr(lladdr=PEER)), NdPacket, id="advertisement"),
        pytest.param(frame(nd("ff02::1") / na(S=0), to=ALL_NODES), NdPacket, id="unsolicited advertisement"),
    ],
)
def test_what_is_for_us(arrived: Frame, kind: type) -> None:
    assert isinstance(ingress().classify(arrived), kind)


@pytest.mark.parametrize(
    ("arrived", "reason"),
    [
        pytest.param(frame(v4() / tcp(), to=STRANGER), DropReason.NOT_OUR_MAC, id="flooded by a bridge"),
        pytest.param(frame(arp(pdst="10.0.0.2"), to=STRANGER), DropReason.NOT_OUR_MAC, id="ARP to another"),
        pytest.param(frame(v4() / tcp(), tag=5), DropReason.OTHER_VLAN, id="VLAN 5"),
        pytest.param(
            frame(v4(destination="10.0.0.3") / tcp()), DropReason.IP_NOT_OUR_ADDRESS, id="another's"
        ),
        pytest.param(
            frame(v6(destination="fd00::3") / tcp()), DropReason.IP_NOT_OUR_ADDRESS, id="another's, IPv6"
        ),
        pytest.param(
            frame(v4(destination="224.0.0.1") / tcp()), DropReason.DESTINATION_IS_MULTICAST, id="to a group"
        ),
        pytest.param(
            frame(v6(destination="ff02::1") / tcp()), DropReason.DESTINATION_IS_MULTICAST, id="to all nodes"
        ),
        pytest.param(
            frame(v4(destination="10.0.0.255") / tcp(), to=BROADCAST),
            DropReason.DESTINATION_IS_MULTICAST,
            id="to the network",
        ),
        pytest.param(
            frame(v4(destination="255.255.255.255") / tcp(), to=BROADCAST),
            DropReason.DESTINATION_IS_MULTICAST,
            id="to everybody",
        ),
        pytest.param(
            frame(v4() / tcp(), to=BROADCAST), DropReason.DESTINATION_IS_MULTICAST, id="by link broadcast"
        ),
        pytest.param(frame(v4("10.0.0.2") / tcp()), DropReason.SOURCE_IS_OURS, id="from ourselves (land)"),
        pytest.param(frame(v4("224.0.0.1") / tcp()), DropReason.SOURCE_IS_MULTICAST, id="from a group"),
        pytest.param(frame(v6("ff02::1") / tcp()), DropReason.SOURCE_IS_MULTICAST, id="from all nodes"),
        pytest.param(frame(v4("10.0.0.255") / tcp()), DropReason.SOURCE_IS_BROADCAST, id="from the network"),
        pytest.param(
            frame(v4("255.255.255.255") / tcp()), DropReason.SOURCE_IS_BROADCAST, id="from everybody"
        ),
        pytest.param(
            frame(v4(str(IPv4Address(0))) / tcp()), DropReason.SOURCE_IS_UNSPECIFIED, id="from nobody"
        ),
        pytest.param(frame(v6("::") / tcp()), DropReason.SOURCE_IS_UNSPECIFIED, id="from nobody, IPv6"),
        pytest.param(frame(v4("127.0.0.1") / tcp()), DropReason.SOURCE_IS_UNSPECIFIED, id="from loopback"),
        pytest.param(frame(v6("::1") / tcp()), DropReason.SOURCE_IS_UNSPECIFIED, id="from loopback, IPv6"),
        pytest.param(frame(v6("::ffff:10.0.0.1") / tcp()), DropReason.SOURCE_IS_IPV4_MAPPED, id="mapped"),
        pytest.param(
            frame(arp(psrc="10.0.0.1", pdst="10.0.0.3"), to=BROADCAST), DropReason.ARP_NOT_FOR_US, id="ARP"
        ),
        pytest.param(frame(v4() / ICMP(type=0)), DropReason.ICMP_IGNORED, id="echo reply"),
        pytest.param(frame(v4() / ICMP(type=4) / v4() / tcp()), DropReason.ICMP_IGNORED, id="source quench"),
        pytest.param(frame(v4() / ICMP(type=5)), DropReason.ICMP_IGNORED, id="redirect"),
        pytest.param(
            frame(v4() / ICMP(type=4) / v4() / tcp()), DropReason.ICMP_IGNORED, id="source quench (RFC 6633)"
        ),
        pytest.param(frame(nd() / ICMPv6ND_RA()), DropReason.ICMP_IGNORED, id="router advertisement"),
        pytest.param(
            frame(v4(destination="10.0.0.255") / ICMP(), to=BROADCAST),
            DropReason.IP_NOT_OUR_ADDRESS,
            id="broadcast ping (smurf)",
        ),
        pytest.param(frame(v4("224.0.0.1") / ICMP()), DropReason.SOURCE_IS_MULTICAST, id="ping from a group"),
        pytest.param(frame(nd(hop_limit=254) / ns()), DropReason.ND_MALFORMED, id="ND from behind a router"),
        pytest.param(frame(nd() / ns(code=1)), DropReason.ND_MALFORMED, id="ND code"),
        pytest.param(frame(nd() / ns("ff02::1")), DropReason.ND_MALFORMED, id="ND about a group"),
        pytest.param(frame(nd() / ns() / b"\1\0"), DropReason.ND_MALFORMED, id="ND option of length 0"),
        pytest.param(frame(nd() / ns() / (b"\1\2" + bytes(6))), DropReason.ND_MALFORMED, id="ND option cut"),
        pytest.param(
            frame(nd(SOLICITED, "::") / ns() / SOURCE_OPTION, to=GROUP),
            DropReason.ND_MALFORMED,
            id="probe that says who it is",
        ),
        pytest.param(frame(nd("fd00::2", "::") / ns()), DropReason.ND_MALFORMED, id="probe by unicast"),
        pytest.param(
            frame(nd("ff02::1") / na(S=1), to=ALL_NODES), DropReason.ND_MALFORMED, id="solicited by all"
        ),
        pytest.param(
            frame(nd() / na() / ICMPv6NDOptDstLLAddr(lladdr=GROUP)),
            DropReason.ND_MALFORMED,
            id="advertised group",
        ),
        pytest.param(
            frame(nd(solicited_node("fd00::2")) / ns("fd00::1:0:0:2"), to=GROUP),
            DropReason.ND_NOT_FOR_US,
            id="another's that shares our group",
        ),
        pytest.param(frame(nd("fd00::3") / na()), DropReason.IP_NOT_OUR_ADDRESS, id="advertised to another"),
        pytest.param(
            frame(nd(source="ff02::1") / na()), DropReason.SOURCE_IS_MULTICAST, id="advertised by a group"
        ),
    ],
)
def test_what_is_not_for_us(arrived: Frame, reason: DropReason) -> None:
    assert ingress().classify(arrived) is reason


def test_a_judgement_is_the_same_the_second_time() -> None:
    judge = ingress()
    good, bad = frame(v4() / tcp()), frame(v4("10.0.0.2") / tcp())
    assert judge.classify(good) == judge.classify(good)
    assert judge.classify(bad) is judge.classify(bad) is DropReason.SOURCE_IS_OURS
    stray = frame(v4(destination="10.0.0.3") / tcp())
    assert judge.classify(stray) is DropReason.IP_NOT_OUR_ADDRESS


def test_local_is_the_destination() -> None:
    packet = ingress().classify(frame(v4() / tcp()))
    assert isinstance(packet, Arrival)
    assert packet.four_tuple == FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)


SEEDS = [
    frame(v4() / TCP(sport=1, dport=2, options=[("MSS", 1460), ("SAckOK", b""), ("WScale", 7)])),
    frame(v4() / tcp() / b"some text"),
    frame(v6() / tcp(), tag=0),
    frame(arp(op=1, psrc="10.0.0.1", pdst="10.0.0.2"), to=BROADCAST),
    frame(v4() / ICMP() / b"ping"),
    frame(v4() / ICMP(type=3, code=1) / v4() / tcp()),
    frame(v6() / ICMPv6EchoRequest(data=b"ping")),
    frame(nd(SOLICITED) / ns() / SOURCE_OPTION, to=GROUP),
    frame(nd() / na() / ICMPv6NDOptDstLLAddr(lladdr=PEER)),
]


def mutated(random: Random) -> Frame:
    """Return a good frame after one to four of: octets changed, cut out, put in, end cut."""
    data = bytearray(random.choice(SEEDS).data)
    for _ in range(random.randrange(1, 5)):
        at = random.randrange(len(data) + 1)
        change = random.randrange(4)
        if change == 0:
            data[at : at + 1] = random.randbytes(1)
        elif change == 1:
            del data[at : at + random.randrange(4)]
        elif change == 2:
            data[at:at] = random.randbytes(random.randrange(4))
        elif random.random() < 0.1:
            del data[at:]
    # Mostly without checksums, or next to nothing would get past them.
    return Frame(bytes(data), 0, checksum_ready=random.random() < 0.2)


def test_mutated_frames_never_raise() -> None:
    random, judge = Random(50_000), ingress()
    found = {type(judge.classify(mutated(random))) for _ in range(MUTATED)}
    assert found == {Arrival, ArpPacket, IcmpPacket, NdPacket, DropReason}
