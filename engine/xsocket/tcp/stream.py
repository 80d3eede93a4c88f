"""The byte stream's two ends: text that waits to be acknowledged, and text that waits to be read.

Sequence space only; no windows, no timers.
"""

from typing import Final

from xsocket.seqnum import add, distance, later, precedes, precedes_or_is

MAX_BLOCKS: Final = 256
"""How many separate stretches of out-of-order text one connection may hold: a peer that sends every second
octet must not make us keep an object for each."""


class SendQueue:
    """Text the user gave us that the peer has not acknowledged; its first octet has number *left*."""

    __slots__ = ("_text", "left")

    def __init__(self, left: int) -> None:
        self.left = left
        self._text = bytearray()

    def __len__(self) -> int:
        return len(self._text)

    @property
    def right(self) -> int:
        """The number after the last octet."""
        return add(self.left, len(self._text))

    def append(self, text: bytes | memoryview) -> None:
        """Put *text* behind what is there."""
        self._text += text

    def peek(self, seq: int, most: int) -> bytes:
        """Return up to *most* octets from number *seq* on; empty when *seq* is at or past the end."""
        start = distance(self.left, seq)
        return bytes(self._text[start : start + most])

    def acknowledge(self, ack: int) -> int:
        """Forget what stands before *ack*; return how many octets that was."""
        count = min(distance(self.left, ack), len(self._text)) if precedes(self.left, ack) else 0
        if count:
            del self._text[:count]
            self.left = add(self.left, count)
        return count


class ReceiveQueue:
    """Text from the peer: what the user can read, and stretches that came too early (RFC 9293 SHLD-31)."""

    __slots__ = ("_arrivals", "_blocks", "_ready", "_turns")

    def __init__(self) -> None:
        self._ready = bytearray()
        self._blocks: list[tuple[int, bytearray]] = []
        self._turns: dict[int, int] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        """How many octets can be read."""
        return len(self._ready)

    @property
    def has_gap(self) -> bool:
        """Whether anything waits for a gap to close."""
        return bool(self._blocks)

    @property
    def early(self) -> int:
        """How many octets wait for a gap to close."""
        return sum(len(text) for _, text in self._blocks)

    def read(self, most: int) -> bytes:
        """Take up to *most* octets off the front."""
        text = bytes(self._ready[:most])
        del self._ready[:most]
        return text

    def peek(self, most: int) -> bytes:
        """Return up to *most* octets and leave them."""
        return bytes(self._ready[:most])

    def append(self, rcv_nxt: int, text: bytes) -> int:
        """Take *text* that begins at *rcv_nxt*, and whatever it joins up with; return the new RCV.NXT."""
        self._ready += text
        rcv_nxt = add(rcv_nxt, len(text))
        while self._blocks and precedes_or_is(self._blocks[0][0], rcv_nxt):
            left, early = self._blocks.pop(0)
            del self._turns[left]
            overlap = distance(left, rcv_nxt)
            if overlap < len(early):
                self._ready += memoryview(early)[overlap:]
                rcv_nxt = add(left, len(early))
        return rcv_nxt

    def hold(self, seq: int, text: bytes) -> bool:
        """Keep *text* that begins at *seq*, past a gap; False when too many stretches are held already.

        Where it overlaps what is there, the octets that came first stay.
        """
        at = 0
        while at < len(self._blocks) and precedes(add(self._blocks[at][0], len(self._blocks[at][1])), seq):
            at += 1
        joined = at
        left, merged = seq, bytearray(text)
        while joined < len(self._blocks) and precedes_or_is(self._blocks[joined][0], add(left, len(merged))):
            left, merged = _merge(self._blocks[joined], (left, merged))
            joined += 1
        if joined == at and len(self._blocks) >= MAX_BLOCKS:
            return False
        for old, _ in self._blocks[at:joined]:
            del self._turns[old]
        self._blocks[at:joined] = [(left, merged)]
        self._arrivals += 1
        self._turns[left] = self._arrivals
        return True

    def overlap(self, seq: int, size: int) -> tuple[int, int] | None:
        """Return the edges of what is held of the *size* octets from *seq* on; the first, if of several."""
        end = add(seq, size)
        for left, early in self._blocks:
            right = add(left, len(early))
            first, last = later(seq, left), end if precedes(end, right) else right
            if precedes(first, last):
                return first, last
        return None

    def held(self) -> tuple[tuple[int, bytes], ...]:
        """Return the stretches that wait for a gap to close: the number of the first octet, and the text."""
        return tuple((left, bytes(text)) for left, text in self._blocks)

    def forget_early(self) -> None:
        """Let go of what waits for a gap to close."""
        self._blocks.clear()
        self._turns.clear()

    def blocks(self) -> tuple[tuple[int, int], ...]:
        """The stretches held, those that grew last first (RFC 2018 section 4), as left and right edges.

        So each is reported again and again, until others have come: one acknowledgment that is lost says
        nothing that another does not say.
        """
        edges = [(left, add(left, len(text))) for left, text in self._blocks]
        edges.sort(key=lambda edge: self._turns[edge[0]], reverse=True)
        return tuple(edges)


def _merge(held: tuple[int, bytearray], come: tuple[int, bytearray]) -> tuple[int, bytearray]:
    """Join two stretches that touch; where both have an octet, the held one counts."""
    (held_left, held_text), (left, text) = held, come
    if precedes(left, held_left):
        lead = distance(left, held_left)
        head, rest = text[:lead], text[lead:]
        return left, head + held_text + rest[len(held_text) :]
    return held_left, held_text + text[distance(left, add(held_left, len(held_text))) :]
