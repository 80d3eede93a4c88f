"""An interpreter of classic BPF, for the instructions that our filters are made of."""

from typing import Final

from xsocket.wire.bpf import (
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
    Instruction,
)

SIZES: Final = {LOAD_WORD: 4, LOAD_HALF: 2, LOAD_BYTE: 1, LOAD_HALF_INDEXED: 2, LOAD_BYTE_INDEXED: 1}
INDEXED: Final = (LOAD_HALF_INDEXED, LOAD_BYTE_INDEXED)


def run(program: list[Instruction], frame: bytes) -> int:
    """Return how many octets the program lets through, as the kernel would find it."""
    accumulator, index, at = 0, 0, 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code in SIZES:
            start = operand + (index if code in INDEXED else 0)
            if start + SIZES[code] > len(frame):
                return 0  # a load outside of the packet ends the program
            accumulator = int.from_bytes(frame[start : start + SIZES[code]])
        elif code == LOAD_HEADER_LENGTH:
            if operand >= len(frame):
                return 0
            index = 4 * (frame[operand] & 15)
        elif code == JUMP:
            at += operand
        elif code == JUMP_IF_EQUAL:
            at += if_true if accumulator == operand else if_false
        elif code == JUMP_IF_ANY_BIT:
            at += if_true if accumulator & operand else if_false
        else:
            assert code == RETURN
            return operand
