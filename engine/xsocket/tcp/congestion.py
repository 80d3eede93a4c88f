"""Congestion control: slow start, avoidance, recovery (RFC 5681, 6582, 6675). It counts octets only."""

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
    """

    __slots__ = ("_slow_start", "cwnd", "duplicates", "mss", "recover", "ssthresh")

    def __init__(self, mss: int, initial_segments: int) -> None:
        self.mss = mss
        self.cwnd = initial_segments * mss
        self.ssthresh = 1 << 30
        self.duplicates = 0
        self.recover: int | None = None
        self._slow_start = False

    def acknowledged(self, count: int, ack: int) -> None:
        """Note that *count* new octets, up to *ack*, were acknowledged."""
        self.duplicates = 0
        if self.recover is not None and not precedes(ack, self.recover):
            self.recover = None
            if not self._slow_start:
                self.cwnd = self.ssthresh  # RFC 6582 section 3.2 step 3, full acknowledgment
        if self.recover is None or self._slow_start:
            self._grow(count)

    def lost(self, flight: int, snd_nxt: int) -> bool:
        """Note a loss that acknowledgments showed (RFC 5681 section 3.2); True for the first of a window."""
        if self.recover is not None:
            return False
        self.ssthresh = max(flight // 2, 2 * self.mss)
        self.cwnd = self.ssthresh
        self.recover, self._slow_start = snd_nxt, False
        return True

    def timed_out(self, flight: int, snd_nxt: int, *, first: bool) -> None:
        """Note that the retransmission timer ran out (RFC 5681 section 3.1), *first* for this text."""
        if first:
            self.ssthresh = max(flight // 2, 2 * self.mss)
        self.cwnd = self.mss
        self.duplicates = 0
        self.recover, self._slow_start = snd_nxt, True

    def _grow(self, count: int) -> None:
        """Count octets, not acknowledgments (RFC 3465): both ends acknowledge many segments at once."""
        if self.cwnd < self.ssthresh:
            self.cwnd += min(count, self.ssthresh - self.cwnd)
        else:
            self.cwnd += max(1, self.mss * count // self.cwnd)

    def __repr__(self) -> str:
        return f"NewReno(cwnd={self.cwnd}, ssthresh={self.ssthresh}, recover={self.recover})"
