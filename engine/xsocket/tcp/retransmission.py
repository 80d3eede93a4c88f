"""The retransmission queue: which segments are on their way, which arrived out of order, which were lost.

Each transmission has a place in the order of sending. A segment is lost when enough of those sent after it
have arrived: the idea of RFC 6675 section 4 (IsLost), carried from sequence space over to the order of
sending as in RFC 8985 section 5, so that a retransmission that gets lost again is found the same way.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from xsocket.seqnum import add, distance, precedes, precedes_or_is

MAX_BLOCKS_READ: Final = 4
"""A SACK option has no room for more (RFC 2018 section 3)."""


class Sent:
    """One segment on its way.

    Attributes:
        seq, right: Its first number, and the number after its last; a FIN counts as one.
        order: Its place in the order of sending; a retransmission takes a new one.
        sacked: Whether the peer has said that it holds it (RFC 2018).
        lost: Whether it is held for lost and has not been sent again.
    """

    __slots__ = ("lost", "order", "right", "sacked", "seq")

    def __init__(self, seq: int, right: int, order: int) -> None:
        self.seq, self.right, self.order = seq, right, order
        self.sacked = self.lost = False

    @property
    def size(self) -> int:
        """How many numbers it takes."""
        return distance(self.seq, self.right)

    def piece(self, seq: int, right: int) -> "Sent":
        """Return a part of it, as if it had been sent by itself."""
        part = Sent(seq, right, self.order)
        part.sacked, part.lost = self.sacked, self.lost
        return part


class RetransmissionQueue:
    """Segments sent and not acknowledged, oldest number first (RFC 9293 section 3.4).

    Attributes:
        arrived: How many segments the peer has said that it holds, in order or not, ever.
    """

    __slots__ = ("_delivered", "_next_order", "_pipe", "_segments", "arrived")

    def __init__(self) -> None:
        self._segments: deque[Sent] = deque()
        self._next_order = 0
        self._delivered = -1
        self._pipe = 0
        self.arrived = 0

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def pipe(self) -> int:
        """How many octets are held to be in the network: RFC 6675 section 4, SetPipe."""
        return self._pipe

    @property
    def next_place(self) -> int:
        """The place that the next transmission takes in the order of sending."""
        return self._next_order

    @property
    def sacked(self) -> int:
        """How many octets the peer holds out of order."""
        return sum(sent.size for sent in self._segments if sent.sacked)

    def append(self, seq: int, right: int) -> None:
        """Note that a new segment was sent."""
        self._segments.append(Sent(seq, right, self._next_order))
        self._next_order += 1
        self._pipe += distance(seq, right)

    def resent(self, sent: Sent) -> None:
        """Note that *sent*, held for lost, was sent again."""
        if sent.lost:
            sent.lost = False
            self._pipe += sent.size
        sent.order = self._next_order
        self._next_order += 1

    def acknowledge(self, ack: int) -> None:
        """Take out what stands before *ack*; of a segment that it splits, the rest stays."""
        while self._segments and precedes(self._segments[0].seq, ack):
            first = self._segments[0]
            if precedes(ack, first.right):
                if not first.sacked and not first.lost:
                    self._pipe -= distance(first.seq, ack)
                first.seq = ack
                return
            self._segments.popleft()
            if not first.sacked:
                self._deliver(first)
                self._pipe -= 0 if first.lost else first.size

    def note_blocks(self, blocks: Iterable[tuple[int, int]]) -> bool:
        """Mark what the peer says it holds; return whether any of it is news."""
        news = False
        for left, right in list(blocks)[:MAX_BLOCKS_READ]:
            for sent in self._segments:
                if not precedes(sent.seq, right):
                    break
                if not sent.sacked and precedes_or_is(left, sent.seq) and precedes_or_is(sent.right, right):
                    news = True
                    self._pipe -= 0 if sent.lost else sent.size
                    sent.sacked, sent.lost = True, False
                    self._deliver(sent)
        return news

    def find_losses(self, threshold: int) -> int | None:
        """Hold for lost what *threshold* later transmissions have overtaken.

        Returns:
            Of what is newly lost, the last place in the order of sending; None when nothing is.
        """
        last: int | None = None
        for sent in self._segments:
            if not sent.sacked and not sent.lost and self._delivered - sent.order >= threshold:
                self._lose(sent)
                last = sent.order if last is None else max(last, sent.order)
        return last

    def lose_first(self) -> None:
        """Hold the oldest segment for lost: what duplicate acknowledgments say of a peer without SACK."""
        if self._segments and not self._segments[0].lost and not self._segments[0].sacked:
            self._lose(self._segments[0])

    def lose_all(self) -> None:
        """Hold everything for lost that the peer does not hold: the retransmission timer ran out.

        A peer that holds the oldest segment and yet does not acknowledge it has thrown text away, so nothing
        it said counts (RFC 2018 section 8).
        """
        if self._segments and self._segments[0].sacked:
            for sent in self._segments:
                if sent.sacked:
                    sent.sacked = False
                    self._pipe += sent.size
        for sent in self._segments:
            if not sent.sacked and not sent.lost:
                self._lose(sent)

    def split(self, most: int) -> None:
        """Cut what is larger than *most* octets, and hold it for lost: the path does not carry it."""
        pieces: deque[Sent] = deque()
        for sent in self._segments:
            if sent.size <= most or sent.sacked:
                pieces.append(sent)
                continue
            if not sent.lost:
                self._lose(sent)
            left = sent.seq
            while distance(left, sent.right) > most:
                pieces.append(sent.piece(left, add(left, most)))
                left = add(left, most)
            pieces.append(sent.piece(left, sent.right))
        self._segments = pieces

    def first_lost(self) -> Sent | None:
        """Return the segment to send again next, None when none is held for lost."""
        if self._pipe == self._all():
            return None
        return next((sent for sent in self._segments if sent.lost), None)

    def first(self) -> Sent | None:
        """Return the oldest segment."""
        return self._segments[0] if self._segments else None

    def last(self) -> Sent | None:
        """Return the segment with the highest numbers."""
        return self._segments[-1] if self._segments else None

    def _all(self) -> int:
        return distance(self._segments[0].seq, self._segments[-1].right) if self._segments else 0

    def _lose(self, sent: Sent) -> None:
        sent.lost = True
        self._pipe -= sent.size

    def _deliver(self, sent: Sent) -> None:
        self.arrived += 1
        self._delivered = max(self._delivered, sent.order)
