"""Congestion control: slow start, avoidance, recovery (RFC 5681, 6582, 6675, 3168). It counts octets only."""

from typing import Final

from xsocket.seqnum import precedes

ETHERNET_MSS: Final = 1460
"""The segments that initial windows are counted in, octets: the text of an Ethernet frame (RFC 6928)."""


def initial_window(mss: int, segments: int) -> int:
    """Return the window to begin with, octets: RFC 6928 section 2, with *segments* in the place of its 10.

    Segments larger than Ethernet's count for more than one, though two always may go.
    """
    return min(segments * mss, max(2 * mss, segments * ETHERNET_MSS))


class NewReno:
    """The sender's congestion window.

    What is lost and what is under way, the retransmission queue knows; this knows how much may be under way.

    Attributes:
        mss: Octets of a full segment.
        cwnd: Congestion window, octets.
        ssthresh: Slow start threshold, octets.
        duplicates: Duplicate acknowledgments since the last new one.
        recover: Where loss recovery ends (RFC 6582 section 3.2); None outside it.
        reductions: How often the window was reduced.
    """

    __slots__ = (
        "_initial_segments",
        "_lowered_at",
        "_marked_until",
        "_slow_start",
        "cwnd",
        "duplicates",
        "mss",
        "recover",
        "reductions",
        "ssthresh",
    )

    def __init__(self, mss: int, initial_segments: int) -> None:
        self.mss = mss
        self.cwnd = initial_window(mss, initial_segments)
        self.ssthresh = 1 << 30
        self.duplicates = 0
        self.recover: int | None = None
        self.reductions = 0
        self._initial_segments = initial_segments
        self._slow_start = False
        self._lowered_at = 0
        self._marked_until: int | None = None

    def acknowledged(self, count: int, ack: int) -> None:
        """Note that *count* new octets, up to *ack*, were acknowledged."""
        self.duplicates = 0
        if self.recover is not None and not precedes(ack, self.recover):
            self.recover = None
            if not self._slow_start:
                self.cwnd = self.ssthresh  # RFC 6582 section 3.2 step 3, full acknowledgment
        if self._marked_until is not None and precedes(self._marked_until, ack):
            self._marked_until = None  # beyond it, so that CWR has reached the peer
        if self._slow_start or (self.recover is None and self._marked_until is None):
            self._grow(count)

    def lost(self, flight: int, snd_nxt: int, place: int = -1, next_place: int = 0) -> bool:
        """Note a loss that acknowledgments showed (RFC 5681 section 3.2).

        What was sent after the window was lowered and is lost, too, lowers it once more (section 4.3): be it
        a retransmission or new text. But not after a timeout (RFC 6675 section 5.1).

        Args:
            flight: Octets sent and not acknowledged. Those beyond the window, which limited transmit let go,
                do not count (section 3.2 step 2).
            snd_nxt: The next number.
            place: Of the last segment that was lost, in the order of sending; -1 where there is none.
            next_place: Of the segment that is sent next.

        Returns:
            Whether it lowers the window.
        """
        if self.recover is not None and (self._slow_start or place < self._lowered_at):
            return False
        if self._marked_until is None or place >= self._lowered_at:
            self._reduce(flight)  # one window of data, one reduction: RFC 3168 section 6.1.2
        self.recover, self._slow_start, self._lowered_at = snd_nxt, False, next_place
        return True

    def marked(self, flight: int, snd_nxt: int, cwnd: int, next_place: int = 0) -> None:
        """Note that an acknowledgment reports a mark (RFC 3168 section 6.1.2): one counts for each window.

        Args:
            flight: Octets that were sent and not acknowledged when it came.
            snd_nxt: The next number.
            cwnd: The window before it came: such an acknowledgment widens none.
            next_place: See `lost`.
        """
        self.cwnd = min(self.cwnd, cwnd)
        if self.recover is None and self._marked_until is None:
            self._reduce(flight)
            self.cwnd = min(self.cwnd, cwnd)
            self._marked_until, self._lowered_at = snd_nxt, next_place

    def _reduce(self, flight: int) -> None:
        self.ssthresh = max(min(flight, self.cwnd) // 2, 2 * self.mss)
        self.cwnd = self.ssthresh
        self.reductions += 1

    def timed_out(self, flight: int, snd_nxt: int, *, first: bool) -> None:
        """Note that the retransmission timer ran out (RFC 5681 section 3.1), *first* for this text."""
        if first:
            self.ssthresh = max(flight // 2, 2 * self.mss)
        self.cwnd = self.mss
        self.reductions += 1
        self.duplicates = 0
        self._marked_until = None
        self.recover, self._slow_start = snd_nxt, True

    def restart(self) -> None:
        """Note that nothing was sent for longer than the timeout (RFC 5681 section 4.1: restart window)."""
        self.cwnd = min(self.cwnd, initial_window(self.mss, self._initial_segments))

    def fit(self, mss: int) -> None:
        """Let a full segment have *mss* octets, and the window as many segments as before (section 3.1)."""
        self.cwnd = max(mss, self.cwnd * mss // self.mss)
        self.mss = mss

    def _grow(self, count: int) -> None:
        """Count octets, not acknowledgments (RFC 3465): both ends acknowledge many segments at once."""
        if self.cwnd < self.ssthresh:
            self.cwnd += min(count, self.ssthresh - self.cwnd)
        else:
            self.cwnd += min(self.mss, max(1, self.mss * count // self.cwnd))

    def __repr__(self) -> str:
        return f"NewReno(cwnd={self.cwnd}, ssthresh={self.ssthresh}, recover={self.recover})"
