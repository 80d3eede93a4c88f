"""The kernel-side sieve: a classic BPF program that passes only what an engine with given addresses can use.

Pure: addresses go in, instructions come out; `PacketLink` attaches them. Passed are ARP, TCP and ICMP to our
own addresses, and neighbour discovery to our solicited-node groups and to all nodes. IPv6 packets for us that
start with an extension header pass too; the codec looks further. The kernel takes an outer 802.1Q tag off
before it filters.

Before all that, connections can be shed: what comes for them does not pass, unless it has the SYN bit. That
is for connections which are the kernel's, and have much to say.
"""

from collections.abc import Iterable
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.wire.address import address_octets
from xsocket.wire.bpf import (
    ETHERTYPE_AT,
    JUMP,
    JUMP_IF_EQUAL,
    LOAD_BYTE,
    LOAD_HALF,
    LOAD_WORD,
    MAX_INSTRUCTIONS,
    RETURN,
    V4_DESTINATION_AT,
    V4_PROTOCOL_AT,
    V6_DESTINATION_AT,
    V6_NEXT_HEADER_AT,
    Instruction,
)
from xsocket.wire.ethernet import ARP, IPV4, IPV6
from xsocket.wire.ip import DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ICMP, ICMPV6, ROUTING, TCP
from xsocket.wire.nd import ADVERTISEMENT, ALL_NODES, SOLICITATION, solicited_node
from xsocket.wire.shedding import shedding

WHOLE_FRAME: Final = 0x0004_0000
"""How many octets to pass; more than any frame has."""

_ICMPV6_TYPE_AT: Final = 54

_ACCEPT: Final = Instruction(RETURN, operand=WHOLE_FRAME)
_REJECT: Final = Instruction(RETURN)


def build_filter(addresses: Iterable[str], shed: Iterable[FourTuple] = ()) -> list[Instruction]:
    """Return the program for an engine.

    Args:
        addresses: Its own, canonical, without prefix lengths.
        shed: Connections that are left out, if there is room for all of them; each takes about ten
            instructions, for IPv6 twenty.
    """
    own = list(dict.fromkeys(addresses))
    own_v6 = [address for address in own if ":" in address]
    groups = dict.fromkeys([*map(solicited_node, own_v6), ALL_NODES])
    ipv4 = _ipv4_section([address_octets(address) for address in own if ":" not in address])
    ipv6 = _ipv6_section([*map(address_octets, own_v6)], [*map(address_octets, groups)])
    program = [
        Instruction(LOAD_HALF, operand=ETHERTYPE_AT),
        *_accept_if_equal(ARP),
        Instruction(JUMP_IF_EQUAL, 0, 1, IPV4),
        Instruction(JUMP, operand=3),  # over what follows up to the section for IPv4
        Instruction(JUMP_IF_EQUAL, 0, 1, IPV6),
        Instruction(JUMP, operand=1 + len(ipv4)),
        _REJECT,
        *ipv4,
        *ipv6,
    ]
    assert len(program) <= MAX_INSTRUCTIONS, "too many addresses for one filter"
    before = shedding(list(shed))
    return before + program if len(before) + len(program) <= MAX_INSTRUCTIONS else program


def _accept_if_equal(value: int) -> list[Instruction]:
    return [Instruction(JUMP_IF_EQUAL, 0, 1, value), _ACCEPT]


def _reject_unless_in(values: tuple[int, ...]) -> list[Instruction]:
    """Reject a frame unless the accumulator is one of *values*."""
    tests = [Instruction(JUMP_IF_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return [*tests, _REJECT]


def _ipv4_section(own: list[bytes]) -> list[Instruction]:
    program = [
        Instruction(LOAD_BYTE, operand=V4_PROTOCOL_AT),
        *_reject_unless_in((TCP, ICMP)),
        Instruction(LOAD_WORD, operand=V4_DESTINATION_AT),
    ]
    for address in own:
        program += _accept_if_equal(int.from_bytes(address))
    return [*program, _REJECT]


def _ipv6_section(own: list[bytes], groups: list[bytes]) -> list[Instruction]:
    program = [
        Instruction(LOAD_BYTE, operand=V6_NEXT_HEADER_AT),
        *_reject_unless_in((TCP, ICMPV6, HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS)),
    ]
    for address in own:
        program += _accept_if_ipv6_destination(address)
    program += [
        Instruction(LOAD_BYTE, operand=V6_NEXT_HEADER_AT),
        *_reject_unless_in((ICMPV6,)),
        Instruction(LOAD_BYTE, operand=_ICMPV6_TYPE_AT),
        *_reject_unless_in((SOLICITATION, ADVERTISEMENT)),
    ]
    for group in groups:
        program += _accept_if_ipv6_destination(group)
    return [*program, _REJECT]


def _accept_if_ipv6_destination(address: bytes) -> list[Instruction]:
    """Compare the last word first: it differs most."""
    program: list[Instruction] = []
    for at in (12, 8, 4, 0):
        left = 2 * (at // 4) + 1  # instructions behind the comparison, the acceptance included
        program += [
            Instruction(LOAD_WORD, operand=V6_DESTINATION_AT + at),
            Instruction(JUMP_IF_EQUAL, 0, left, int.from_bytes(address[at : at + 4])),
        ]
    return [*program, _ACCEPT]
