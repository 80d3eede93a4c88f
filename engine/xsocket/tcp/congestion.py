"""Congestion control: slow start, avoidance, recovery (RFC 5681, 6582, 6675, 3168). It counts octets only."""

from xsocket.seqnum import precedes


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
        self.cwnd = initial_segments * mss
        self.ssthresh = 1 << 30
        self.duplicates = 0
        self.recover: int | None = None
        self.reductions = 0
        self._slow_start = False
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

    def lost(self, flight: int, snd_nxt: int) -> bool:
        """Note a loss that acknowledgments showed (RFC 5681 section 3.2); True for the first of a window."""
        if self.recover is not None:
            return False
        if self._marked_until is None:  # one window of data, one reduction: RFC 3168 section 6.1.2
            self._reduce(flight)
        self.recover, self._slow_start = snd_nxt, False
        return True

    def marked(self, flight: int, snd_nxt: int, cwnd: int) -> None:
        """Note that an acknowledgment reports a mark (RFC 3168 section 6.1.2): one counts for each window.

        Args:
            flight: Octets that were sent and not acknowledged when it came.
            snd_nxt: The next number.
            cwnd: The window before it came: such an acknowledgment widens none.
        """
        self.cwnd = min(self.cwnd, cwnd)
        if self.recover is None and self._marked_until is None:
            self._reduce(flight)
            self.cwnd = min(self.cwnd, cwnd)
            self._marked_until = snd_nxt

    def _reduce(self, flight: int) -> None:
        self.ssthresh = max(flight // 2, 2 * self.mss)
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

    def _grow(self, count: int) -> None:
        """Count octets, not acknowledgments (RFC 3465): both ends acknowledge many segments at once."""
        if self.cwnd < self.ssthresh:
            self.cwnd += min(count, self.ssthresh - self.cwnd)
        else:
            self.cwnd += max(1, self.mss * count // self.cwnd)

    def __repr__(self) -> str:
        return f"NewReno(cwnd={self.cwnd}, ssthresh={self.ssthresh}, recover={self.recover})"
