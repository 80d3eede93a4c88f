"""Which connections a packet socket does not want to see: the part of its filter that leaves them out. Pure.

A SYN passes all the same: whether its 4-tuple is free again is for others to find out. So does a fragment,
for its ports cannot be told.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket.segment import SYN
from xsocket.wire.address import address_octets
from xsocket.wire.bpf import (
    ETHERTYPE_AT,
    JUMP,
    JUMP_IF_ANY_BIT,
    JUMP_IF_EQUAL,
    LOAD_BYTE,
    LOAD_BYTE_INDEXED,
    LOAD_HALF,
    LOAD_HALF_INDEXED,
    LOAD_HEADER_LENGTH,
    LOAD_WORD,
    RETURN,
    V4_DESTINATION_AT,
    V4_PROTOCOL_AT,
    V6_DESTINATION_AT,
    V6_NEXT_HEADER_AT,
    Instruction,
)
from xsocket.wire.ethernet import IPV4, IPV6
from xsocket.wire.ip import TCP

MOST: Final = 128
"""How many connections a filter can leave out beside everything else."""

_IP_AT: Final = 14
_V4_FRAGMENT_AT: Final = 20
_FRAGMENT_OFFSET: Final = 0x1FFF
_V6_TCP_AT: Final = 54
_DESTINATION_PORT: Final = 2
_FLAGS: Final = 13


class _Layout(NamedTuple):
    """Where things stand in a frame of one IP version."""

    source_at: int
    destination_at: int
    source_port: Instruction
    destination_port: Instruction


_V4: Final = _Layout(
    26,
    V4_DESTINATION_AT,
    Instruction(LOAD_HALF_INDEXED, operand=_IP_AT),
    Instruction(LOAD_HALF_INDEXED, operand=_IP_AT + _DESTINATION_PORT),
)
_V6: Final = _Layout(
    22,
    V6_DESTINATION_AT,
    Instruction(LOAD_HALF, operand=_V6_TCP_AT),
    Instruction(LOAD_HALF, operand=_V6_TCP_AT + _DESTINATION_PORT),
)


def shedding(shed: Sequence[FourTuple]) -> list[Instruction]:
    """Return what rejects the segments of *shed* connections; all other frames go on behind it."""
    v4 = [four_tuple for four_tuple in shed if four_tuple.family == 4]
    v6 = [four_tuple for four_tuple in shed if four_tuple.family == 6]
    return [*(_section_v4(v4) if v4 else ()), *(_section_v6(v6) if v6 else ())]


def _section_v4(shed: Sequence[FourTuple]) -> list[Instruction]:
    checked = [
        Instruction(LOAD_HEADER_LENGTH, operand=_IP_AT),
        *_if(
            Instruction(LOAD_BYTE_INDEXED, operand=_IP_AT + _FLAGS),
            JUMP_IF_ANY_BIT,
            SYN,
            False,
            _body(shed, _V4),
        ),
    ]
    for load, code, value, wanted in (
        (Instruction(LOAD_HALF, operand=_V4_FRAGMENT_AT), JUMP_IF_ANY_BIT, _FRAGMENT_OFFSET, False),
        (Instruction(LOAD_BYTE, operand=V4_PROTOCOL_AT), JUMP_IF_EQUAL, TCP, True),
        (Instruction(LOAD_HALF, operand=ETHERTYPE_AT), JUMP_IF_EQUAL, IPV4, True),
    ):
        checked = _if(load, code, value, wanted, checked)
    return checked


def _section_v6(shed: Sequence[FourTuple]) -> list[Instruction]:
    checked = _body(shed, _V6)
    for load, code, value, wanted in (
        (Instruction(LOAD_BYTE, operand=_V6_TCP_AT + _FLAGS), JUMP_IF_ANY_BIT, SYN, False),
        (Instruction(LOAD_BYTE, operand=V6_NEXT_HEADER_AT), JUMP_IF_EQUAL, TCP, True),
        (Instruction(LOAD_HALF, operand=ETHERTYPE_AT), JUMP_IF_EQUAL, IPV6, True),
    ):
        checked = _if(load, code, value, wanted, checked)
    return checked


def _if(load: Instruction, code: int, value: int, wanted: bool, then: list[Instruction]) -> list[Instruction]:
    """Do *then* if the test of what is loaded comes out as *wanted*, else go on behind it."""
    over_the_jump = (1, 0) if wanted else (0, 1)
    return [load, Instruction(code, *over_the_jump, value), Instruction(JUMP, operand=len(then)), *then]


def _body(shed: Sequence[FourTuple], layout: _Layout) -> list[Instruction]:
    """Compare with one connection after the other; the source port, which differs most, stays loaded."""
    return [layout.source_port, *(each for four_tuple in shed for each in _reject(four_tuple, layout))]


def _reject(four_tuple: FourTuple, layout: _Layout) -> list[Instruction]:
    local, remote = address_octets(four_tuple.local_address), address_octets(four_tuple.remote_address)
    comparisons = [
        *_words(layout.source_at, remote),
        *_words(layout.destination_at, local),
        (layout.destination_port, four_tuple.local_port),
    ]
    program = [Instruction(RETURN)]
    for load, value in reversed(comparisons):
        program = [load, Instruction(JUMP_IF_EQUAL, 0, len(program), value), *program]
    program.append(layout.source_port)
    return [Instruction(JUMP_IF_EQUAL, 0, len(program), four_tuple.remote_port), *program]


def _words(at: int, octets: bytes) -> list[tuple[Instruction, int]]:
    """Return what loads each word of an address, the last one first, for it differs most; and its value."""
    return [
        (Instruction(LOAD_WORD, operand=at + place), int.from_bytes(octets[place : place + 4]))
        for place in reversed(range(0, len(octets), 4))
    ]
