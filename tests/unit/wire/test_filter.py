"""The filter program, run by an interpreter of classic BPF."""

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    IPv6,
    IPv6ExtHdrDestOpt,
)
from scapy.layers.l2 import ARP, Ether

from support.bpf import run
from xsocket.wire.bpf import JUMP, LOAD_HALF, RETURN, Instruction, pack_filter
from xsocket.wire.filter import build_filter
from xsocket.wire.nd import solicited_node

Layer = Any
"""Scapy has no types of its own."""

ETHERNET = Ether(
    src="02:00:00:00:00:01", dst="02:00:00:00:00:02"
)  # given, or Scapy asks the machine's network

OURS = ["10.0.0.2", "10.0.0.3", "fd00::2", "fd00::abcd:2"]
MANY = [f"10.1.{number >> 8}.{number & 255}" for number in range(300)] + [
    f"fd02::{number:x}:1000" for number in range(150)
]


def v4(destination: str, **fields: Layer) -> Layer:
    return IP(src="10.0.0.1", dst=destination, **fields)


def v6(destination: str = "fd00::2") -> Layer:
    return IPv6(src="fd00::1", dst=destination)


PASSED = [
    ("ARP", ARP(hwsrc="02:00:00:00:00:01", psrc="10.0.0.1")),
    ("TCP", v4("10.0.0.2") / TCP()),
    ("TCP to the second address", v4("10.0.0.3") / TCP()),
    ("a fragment", v4("10.0.0.3", frag=8, proto=6) / b"rest"),
    ("ICMP", v4("10.0.0.2") / ICMP()),
    ("TCP over IPv6", v6() / TCP()),
    ("TCP to the last IPv6 address", v6("fd00::abcd:2") / TCP()),
    ("TCP behind an extension header", v6() / IPv6ExtHdrDestOpt() / TCP()),
    ("ping6", v6() / ICMPv6EchoRequest()),
    ("solicitation", v6(solicited_node("fd00::2")) / ICMPv6ND_NS(tgt="fd00::2")),
    ("solicitation of the last address", v6(solicited_node("fd00::abcd:2")) / ICMPv6ND_NS()),
    ("unicast solicitation", v6() / ICMPv6ND_NS(tgt="fd00::2")),
    ("advertisement", v6() / ICMPv6ND_NA()),
    ("advertisement to all nodes", v6("ff02::1") / ICMPv6ND_NA()),
]
SIEVED = [
    ("TCP to another", v4("10.0.0.1") / TCP()),
    ("TCP to the network", v4("10.0.0.255") / TCP()),
    ("UDP", v4("10.0.0.2") / UDP()),
    ("TCP to another over IPv6", v6("fd00::1") / TCP()),
    ("TCP to the same end of another network", v6("fd01::2") / TCP()),
    ("UDP over IPv6", v6() / UDP()),
    ("ping6 to all nodes", v6("ff02::1") / ICMPv6EchoRequest()),
    ("router advertisement", v6("ff02::1") / ICMPv6ND_RA()),
    ("solicitation of another", v6(solicited_node("fd00::3")) / ICMPv6ND_NS()),
    ("TCP to our group", v6(solicited_node("fd00::2")) / TCP()),
]


@pytest.mark.parametrize("layers", [pytest.param(layers, id=name) for name, layers in PASSED])
@pytest.mark.parametrize("addresses", [OURS, MANY + OURS], ids=["few", "many"])
def test_what_passes(layers: Layer, addresses: list[str]) -> None:
    assert run(build_filter(addresses), bytes(ETHERNET / layers)) >= 0x10000


@pytest.mark.parametrize("layers", [pytest.param(layers, id=name) for name, layers in SIEVED])
@pytest.mark.parametrize("addresses", [OURS, MANY + OURS], ids=["few", "many"])
def test_what_does_not(layers: Layer, addresses: list[str]) -> None:
    assert run(build_filter(addresses), bytes(ETHERNET / layers)) == 0


@pytest.mark.parametrize("octets", range(60))
def test_a_short_frame_ends_the_program(octets: int) -> None:
    frame = bytes(ETHERNET / v6(solicited_node("fd00::2")) / ICMPv6ND_NS())[:octets]
    assert run(build_filter(OURS), frame) in (0, 0x40000)


def test_without_addresses_only_arp_and_all_nodes_pass() -> None:
    program = build_filter([])
    assert run(program, bytes(ETHERNET / ARP(hwsrc="02:00:00:00:00:01", psrc="10.0.0.1")))
    assert not run(program, bytes(ETHERNET / v4("10.0.0.2") / TCP()))


def test_the_packed_form_is_an_array_of_sock_filter() -> None:
    packed = pack_filter([Instruction(LOAD_HALF, operand=12), Instruction(RETURN)])
    assert len(packed) == 16
    assert packed.endswith(b"\x00\x00\x00\x00\x00\x00")


@pytest.mark.parametrize("addresses", [[], OURS, MANY], ids=["none", "few", "many"])
def test_every_jump_lands_in_the_program(addresses: list[str]) -> None:
    program = build_filter(addresses)
    for at, (code, if_true, if_false, operand) in enumerate(program, 1):
        reach = operand if code == JUMP else max(if_true, if_false)
        assert at + reach < len(program) or code == RETURN
        assert max(if_true, if_false) <= 255
