"""The part of the filter that leaves connections out, run by an interpreter of classic BPF."""

from typing import Any, Final

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

from support.bpf import run
from xsocket.fourtuple import FourTuple
from xsocket.wire.bpf import JUMP, JUMP_IF_ANY_BIT, JUMP_IF_EQUAL, MAX_INSTRUCTIONS, RETURN, Instruction
from xsocket.wire.filter import build_filter
from xsocket.wire.shedding import MOST, shedding

Layer = Any
"""Scapy has no types of its own."""

ETHERNET: Final = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4: Final = FourTuple("10.0.0.2", 80, "10.0.0.1", 40_000)
V6: Final = FourTuple("fd00::2", 80, "fd00::1", 40_000)
PASSES: Final = 1


def judged(shed: list[FourTuple], *layers: Layer) -> int:
    """Return what the program lets through; what goes on behind it passes."""
    frame = ETHERNET
    for layer in layers:
        frame /= layer
    return run([*shedding(shed), Instruction(RETURN, operand=PASSES)], bytes(frame))


def ip(four_tuple: FourTuple, **fields: object) -> Layer:
    kind = IP if four_tuple.family == 4 else IPv6
    return kind(src=four_tuple.remote_address, dst=four_tuple.local_address, **fields)


def tcp(four_tuple: FourTuple, flags: str = "A") -> Layer:
    return TCP(sport=four_tuple.remote_port, dport=four_tuple.local_port, flags=flags)


@pytest.mark.parametrize("flags", ["A", "PA", "FA", "R", "RA", "", "FPU"])
@pytest.mark.parametrize("four_tuple", [V4, V6], ids=["v4", "v6"])
def test_what_comes_for_a_shed_connection_does_not_pass(four_tuple: FourTuple, flags: str) -> None:
    assert judged([V4, V6], ip(four_tuple), tcp(four_tuple, flags)) == 0


def test_ip_options_move_the_ports() -> None:
    assert judged([V4], ip(V4, options=[IPOption_NOP()] * 8), tcp(V4)) == 0


@pytest.mark.parametrize("flags", ["S", "SA", "SF", "SR"])
@pytest.mark.parametrize("four_tuple", [V4, V6], ids=["v4", "v6"])
def test_a_syn_passes(four_tuple: FourTuple, flags: str) -> None:
    assert judged([V4, V6], ip(four_tuple), tcp(four_tuple, flags)) == PASSES


@pytest.mark.parametrize("base", [V4, V6], ids=["v4", "v6"])
@pytest.mark.parametrize("field", FourTuple._fields)
def test_another_connection_passes(base: FourTuple, field: str) -> None:
    """Also when it differs in the last field that is compared, and is shed itself behind the first."""
    other = FourTuple(**{**base._asdict(), field: _next(getattr(base, field))})
    assert judged([base], ip(other), tcp(other)) == PASSES
    assert judged([base, other], ip(other), tcp(other)) == 0


def _next(value: str | int) -> str | int:
    return value + 1 if isinstance(value, int) else f"{value[:-1]}9"


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param((ip(V4), UDP(sport=40_000, dport=80)), id="udp"),
        pytest.param((ip(V4), ICMP()), id="icmp"),
        pytest.param((ip(V4, frag=100), tcp(V4)), id="fragment"),
        pytest.param((ip(V6, nh=17), UDP(sport=40_000, dport=80)), id="udp over v6"),
        pytest.param((ARP(psrc="10.0.0.1", pdst="10.0.0.2"),), id="arp"),
    ],
)
def test_what_is_no_segment_passes(layers: tuple[Layer, ...]) -> None:
    assert judged([V4, V6], *layers) == PASSES


def test_nothing_shed_takes_no_instruction() -> None:
    assert shedding([]) == []


@pytest.mark.parametrize("base", [V4, V6], ids=["v4", "v6"])
def test_a_filter_has_room_for_the_most(base: FourTuple) -> None:
    shed = [base._replace(remote_port=port) for port in range(1, MOST + 1)]
    program = build_filter(["10.0.0.2", "fd00::2"], shed)
    assert len(program) <= MAX_INSTRUCTIONS
    for four_tuple in (shed[0], shed[-1]):
        assert run(program, bytes(ETHERNET / ip(four_tuple) / tcp(four_tuple))) == 0
    assert run(program, bytes(ETHERNET / ip(base) / tcp(base))) > 0


def test_a_filter_without_room_sheds_nobody() -> None:
    many = [f"10.1.{number >> 8}.{number & 255}" for number in range(1900)]
    shed = [V4._replace(local_address=many[0], remote_port=port) for port in range(1, MOST + 1)]
    assert build_filter(many, shed) == build_filter(many)


@pytest.mark.parametrize("base", [V4, V6], ids=["v4", "v6"])
def test_every_jump_lands_in_the_program(base: FourTuple) -> None:
    shed = [base._replace(remote_port=port) for port in range(1, MOST + 1)]
    program = [*shedding(shed), Instruction(RETURN)]
    for place, (code, if_true, if_false, operand) in enumerate(program, 1):
        if code == JUMP:
            assert place + operand < len(program)
        elif code in (JUMP_IF_EQUAL, JUMP_IF_ANY_BIT):
            assert place + max(if_true, if_false) < len(program)
            assert max(if_true, if_false) < 256
