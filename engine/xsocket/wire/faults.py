"""What goes wrong with frames on a bad cable, by seed: which are lost, doubled, swapped, corrupted, and how.

For live Links (`faulty_link`) and for those of a simulation alike. It knows frames, and no time.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Final, Generic, NamedTuple, TypeVar

from xsocket.errors import BadConfigError
from xsocket.segment import CE, NOT_ECT
from xsocket.wire.checksum import internet_checksum
from xsocket.wire.ethernet import ARP, HEADER_OCTETS, IPV4, IPV6


class FaultRates(NamedTuple):
    """What goes wrong in one direction.

    Attributes:
        drop_every: Lose every Nth frame exactly; 0 for none.
        loss: Probability that a frame is lost.
        duplicate: Probability that a frame arrives twice.
        reorder: Probability that a frame changes places with the next one. The last frame before a silence
            waits for the next one, however long that takes.
        corrupt: Probability that one bit of an IP packet is turned. ARP has no checksum that would show it
            and is spared, as is the Ethernet header.
        mark: Probability that an ECN-capable packet arrives as CE (RFC 3168 section 5).
    """

    drop_every: int = 0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    mark: float = 0.0


class FaultCounts(NamedTuple):
    """What went wrong in one direction so far, in frames."""

    dropped: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0
    marked: int = 0


PERFECT: Final = FaultRates()

_Item = TypeVar("_Item")


class Faults(Generic[_Item]):
    """The faults of one direction.

    Args:
        rates: How often.
        random: Decides; four numbers are drawn for each item.
        corrupted: Returns the item with one bit turned.
        marked: Returns the item with a mark, or itself if its packet is not ECN-capable.

    Attributes:
        rates: How often; may be changed meanwhile.
        counts: How often so far.

    Raises:
        BadConfigError: A rate is outside its range.
    """

    def __init__(
        self,
        rates: FaultRates,
        random: Random,
        corrupted: Callable[[_Item, Random], _Item],
        marked: Callable[[_Item], _Item],
    ) -> None:
        self.rates = check_rates(rates)
        self.counts = FaultCounts()
        self._random = random
        seed = random.getrandbits(64)
        self._bits = Random(seed)  # of their own, or a corrupted or marked frame would shift the rest
        self._marks = Random(f"{seed} marks")
        self._corrupted = corrupted
        self._marked = marked
        self._seen = 0
        self._held: _Item | None = None

    def apply(self, items: Sequence[_Item]) -> list[_Item]:
        """Return what comes out at the other end of the bad cable."""
        return [survivor for item in items for survivor in self.pass_on(item)]

    def pass_on(self, item: _Item) -> list[_Item]:
        """Return what comes out when *item* goes in: nothing, or one to three items."""
        self._seen += 1
        rates, random = self.rates, self._random.random
        # Drawn whatever the rates are, so that changing one leaves the others' frames the same.
        lost, doubled, swapped, corrupted = random(), random(), random(), random()
        if (rates.drop_every and self._seen % rates.drop_every == 0) or lost < rates.loss:
            self._count("dropped")
            return []
        if corrupted < rates.corrupt:
            self._count("corrupted")
            item = self._corrupted(item, self._bits)
        if rates.mark:
            item = self._mark(item)
        if self._held is None and swapped < rates.reorder:
            self._count("reordered")
            self._held = item
            return []
        survivors = [item]
        if doubled < rates.duplicate:
            self._count("duplicated")
            survivors.append(item)
        return survivors + self.release()

    def _mark(self, item: _Item) -> _Item:
        marked = self._marked(item)
        if marked is item or self._marks.random() >= self.rates.mark:
            return item
        self._count("marked")
        return marked

    @property
    def held(self) -> _Item | None:
        """The item that waits for the next one to change places with."""
        return self._held

    def release(self) -> list[_Item]:
        """Return the item that waits, if one does, and wait no longer."""
        held, self._held = self._held, None
        return [] if held is None else [held]

    def _count(self, name: str) -> None:
        self.counts = self.counts._replace(**{name: getattr(self.counts, name) + 1})


def check_rates(rates: FaultRates) -> FaultRates:
    """Return *rates*.

    Raises:
        BadConfigError: One is outside its range.
    """
    probabilities = (rates.loss, rates.duplicate, rates.reorder, rates.corrupt, rates.mark)
    if rates.drop_every < 0 or not all(0.0 <= rate <= 1.0 for rate in probabilities):
        raise BadConfigError(f"{rates} is not a set of fault rates")
    return rates


def corrupted_frame(frame: bytes, random: Random) -> bytes:
    """Return *frame* with one bit of its IP packet turned; ARP, and what holds nothing, as it is."""
    bits = (len(frame) - HEADER_OCTETS) * 8
    if bits <= 0 or frame[12:14] == ARP.to_bytes(2):
        return frame
    bit = random.randrange(bits)
    at = HEADER_OCTETS + bit // 8
    return frame[:at] + bytes([frame[at] ^ 1 << bit % 8]) + frame[at + 1 :]


def marked_frame(frame: bytes) -> bytes:
    """Return *frame* with CE in its IP header, as a busy router would; itself if it is not ECN-capable."""
    ethertype = int.from_bytes(frame[12:14])
    if ethertype not in (IPV4, IPV6) or len(frame) < HEADER_OCTETS + 20:
        return frame
    at = HEADER_OCTETS + 1
    shift = 0 if ethertype == IPV4 else 4  # where the two bits stand in the second octet
    if frame[at] >> shift & 3 in (NOT_ECT, CE):
        return frame
    marked = bytearray(frame)
    marked[at] |= CE << shift
    if ethertype == IPV4:
        end = HEADER_OCTETS + (frame[HEADER_OCTETS] & 0xF) * 4
        marked[HEADER_OCTETS + 10 : HEADER_OCTETS + 12] = bytes(2)
        checksum = internet_checksum(bytes(marked[HEADER_OCTETS:end]))
        marked[HEADER_OCTETS + 10 : HEADER_OCTETS + 12] = checksum.to_bytes(2)
    return bytes(marked)
