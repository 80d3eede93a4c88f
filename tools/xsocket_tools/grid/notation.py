"""Outcomes in the notation of RFC 9293 section 3.10.7, and cells of one outcome put together."""

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Final, NamedTuple, TypeVar

from xsocket.segment import SYN
from xsocket.state import State
from xsocket_tools.grid.cells import ACKNOWLEDGMENTS, SEQUENCES, Cell, Outcome, Reply

T = TypeVar("T")

_BITS: Final = {"S": "SYN", "F": "FIN", "R": "RST", "P": "PSH", "U": "URG", ".": "ACK"}


def in_words(cell: Cell, outcome: Outcome) -> str:
    """Return the replies as ``<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>``; a dash for silence.

    SND.NXT and RCV.NXT are those before the cell's segment came. A number without a name shows as it is.
    """
    return " ".join(_reply_in_words(cell, reply) for reply in outcome.replies) or "-"


def _reply_in_words(cell: Cell, reply: Reply) -> str:
    control = ",".join(name for letter, name in _BITS.items() if letter in reply.letters)
    text = f"<SEQ={_name(reply.seq, _sequence_names(cell, reply))}>"
    if reply.ack is not None:
        text += f"<ACK={_name(reply.ack, _acknowledgment_names(cell, reply))}>"
    return text + (f"<DATA={reply.length}>" if reply.length else "") + f"<CTL={control}>"


def _name(number: int | None, names: Mapping[int | None, str]) -> str:
    return names.get(number, str(number))


def _sequence_names(cell: Cell, reply: Reply) -> dict[int | None, str]:
    if "R" in reply.letters:
        return {None: "0", cell.ack: "SEG.ACK"}
    return {0: "ISS"} if "S" in reply.letters else {cell.snd_nxt: "SND.NXT"}


def _acknowledgment_names(cell: Cell, reply: Reply) -> dict[int | None, str]:
    if "R" in reply.letters:
        return {cell.seq + cell.length: "SEG.SEQ+SEG.LEN"}
    if cell.flags & SYN and "S" in reply.letters:
        return {cell.seq + 1: "SEG.SEQ+1"}
    names: dict[int | None, str] = {cell.rcv_nxt: "RCV.NXT", cell.rcv_nxt + 1: "RCV.NXT+1"}
    return {cell.seq + 1: "SEG.SEQ+1"} if cell.state is State.SYN_SENT else names


class Patch(NamedTuple):
    """Cells of one state and one kind of segment that look the same.

    Attributes:
        cells: Each of some sequence numbers with each of some acknowledgment numbers.
    """

    cells: tuple[Cell, ...]

    @property
    def sequences(self) -> str:
        """The sequence numbers, as in *old, out of window*; *any* for all of them."""
        return _label([cell.sequence for cell in self.cells], len(SEQUENCES))

    @property
    def acknowledgments(self) -> str:
        """The acknowledgment numbers, likewise."""
        return _label([cell.acknowledgment for cell in self.cells], len(ACKNOWLEDGMENTS))


def patches(cells: Iterable[Cell], look: Callable[[Cell], T]) -> list[Patch]:
    """Put cells together that look the same.

    Args:
        cells: In the order of the grid; any of them may be missing.
        look: What a cell looks like.
    """
    found = []
    for _, some in groupby(cells, lambda cell: (cell.state, cell.segment)):
        by_row: dict[tuple[tuple[str, T], ...], list[list[Cell]]] = {}
        for _, row in groupby(some, lambda cell: cell.sequence):
            of_row = list(row)
            by_row.setdefault(tuple((cell.acknowledgment, look(cell)) for cell in of_row), []).append(of_row)
        for alike in by_row.values():
            found += _split([cell for row in alike for cell in row], look)
    return found


def _split(rows: list[Cell], look: Callable[[Cell], T]) -> list[Patch]:
    """Split rows that look the same by what their cells look like."""
    by_look: dict[T, list[Cell]] = {}
    for cell in rows:
        by_look.setdefault(look(cell), []).append(cell)
    return [Patch(tuple(cells)) for cells in by_look.values()]


def _label(words: list[str], all_of_them: int) -> str:
    different = list(dict.fromkeys(words))
    return "any" if len(different) == all_of_them else ", ".join(different)
