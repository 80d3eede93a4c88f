"""What our filters are made of: classic BPF (linux/filter.h), and where a frame has what. Pure."""

from collections.abc import Iterable
from struct import Struct
from typing import Final, NamedTuple

LOAD_WORD: Final = 0x20
LOAD_HALF: Final = 0x28
LOAD_BYTE: Final = 0x30
LOAD_HALF_INDEXED: Final = 0x48
LOAD_BYTE_INDEXED: Final = 0x50
LOAD_HEADER_LENGTH: Final = 0xB1
"""Of the IPv4 header at an offset, into the index register."""
JUMP: Final = 0x05
JUMP_IF_EQUAL: Final = 0x15
JUMP_IF_ANY_BIT: Final = 0x45
RETURN: Final = 0x06

MAX_INSTRUCTIONS: Final = 4096
"""BPF_MAXINSNS of linux/filter.h."""

ETHERTYPE_AT: Final = 12
V4_PROTOCOL_AT: Final = 23
V4_DESTINATION_AT: Final = 30
V6_NEXT_HEADER_AT: Final = 20
V6_DESTINATION_AT: Final = 38

_SOCK_FILTER: Final = Struct("=HBBI")


class Instruction(NamedTuple):
    """One `struct sock_filter`: jumps are relative to the next instruction."""

    code: int
    if_true: int = 0
    if_false: int = 0
    operand: int = 0


def pack_filter(program: Iterable[Instruction]) -> bytes:
    """Return *program* as the array of `struct sock_filter` that SO_ATTACH_FILTER reads."""
    return b"".join(_SOCK_FILTER.pack(*instruction) for instruction in program)
