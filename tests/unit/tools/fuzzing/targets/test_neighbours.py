"""A target that asks for station addresses gets answers that the engine's own codec reads."""

from __future__ import annotations

import pytest

from xsocket.wire.arp import NO_MAC, REPLY, REQUEST, ArpPacket
from xsocket.wire.codec import decode, encode
from xsocket.wire.ethernet import IPV6, Ethernet, build_ethernet
from xsocket.wire.icmp import IcmpPacket
from xsocket.wire.nd import build_advertisement, build_solicitation, read_nd, solicited_node
from xsocket_tools.fuzzing.frames import Stations
from xsocket_tools.fuzzing.targets.neighbours import neighbours_answer

TARGET_MAC, OURS, ALL = b"\x02\x00\x00\x00\x00\x01", b"\x02\xfe\x00\x00\x00\x01", b"\xff" * 6
STATIONS = Stations(TARGET_MAC, OURS)


def arp(sender: str, sought: str, operation: int = REQUEST) -> bytes:
    return encode(ArpPacket(Ethernet(ALL, TARGET_MAC), operation, TARGET_MAC, sender, NO_MAC, sought))


def solicitation(source: str, sought: str) -> bytes:
    packet = build_solicitation(TARGET_MAC, source, solicited_node(sought), sought)
    return build_ethernet(Ethernet(b"\x33\x33\xff\x00\x00\x02", TARGET_MAC), IPV6) + packet


def test_an_arp_request_is_answered() -> None:
    answer = neighbours_answer(STATIONS, arp("10.0.0.1", "10.0.0.3"))
    assert answer is not None
    ethernet = Ethernet(TARGET_MAC, OURS)
    assert decode(answer) == ArpPacket(ethernet, REPLY, OURS, "10.0.0.3", TARGET_MAC, "10.0.0.1")


def test_a_solicitation_is_answered() -> None:
    answer = neighbours_answer(STATIONS, solicitation("fd00::1", "fd00::3"))
    assert answer is not None
    packet = decode(answer)
    assert isinstance(packet, IcmpPacket)
    told = read_nd(packet)
    assert (told.target, told.mac, told.destination) == ("fd00::3", OURS, "fd00::1")
    assert told.solicited
    assert told.override


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(arp("10.0.0.1", "10.0.0.1"), id="it announces its address"),
        pytest.param(arp("0.0.0.0", "10.0.0.1"), id="it probes its address"),  # noqa: S104  # nothing is bound
        pytest.param(arp("10.0.0.1", "10.0.0.2", REPLY), id="it replies"),
        pytest.param(solicitation("fd00::9", "fd00::1"), id="it asks for its own"),
        pytest.param(
            build_ethernet(Ethernet(OURS, TARGET_MAC), IPV6)
            + build_advertisement(TARGET_MAC, "fd00::1", "fd00::2", solicited=True),
            id="it tells its own",
        ),
        pytest.param(arp("10.0.0.1", "10.0.0.3")[:30], id="cut short"),
        pytest.param(solicitation("fd00::1", "fd00::3")[:70], id="cut short, IPv6"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_nothing_else_is_answered(frame: bytes) -> None:
    assert neighbours_answer(STATIONS, frame) is None
