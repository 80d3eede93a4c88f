"""Congestion control: NewReno (RFC 5681 and 6582). Counts octets, knows no segments and sends nothing."""

from xsocket.seqnum import distance, precedes


class NewReno:
    """The sender's congestion window.

    Attributes:
        cwnd: Congestion window, octets.
        ssthresh: Slow start threshold, octets.
        duplicates: Duplicate acknowledgments since the last new one.
        recover: Where fast recovery ends (RFC 6582 section 3.2); None outside it.
    """

    __slots__ = ("_after_timeout", "_mss", "cwnd", "duplicates", "recover", "ssthresh")

    def __init__(self, mss: int, initial_segments: int) -> None:
        self._mss = mss
        self.cwnd = initial_segments * mss
        self.ssthresh = 1 << 30
        self.duplicates = 0
        self.recover: int | None = None
        self._after_timeout: int | None = None

    @property
    def allowance(self) -> int:
        """How many octets may be in flight: limited transmit included (RFC 3042 section 2)."""
        if self.recover is None and 0 < self.duplicates < 3:
            return self.cwnd + self.duplicates * self._mss
        return self.cwnd

    def acknowledged(self, count: int, ack: int) -> bool:
        """Note that *count* new octets up to *ack* were acknowledged; True asks to retransmit the next hole."""
        self.duplicates = 0
        if self._after_timeout is not None and not precedes(ack, self._after_timeout):
            self._after_timeout = None
        if self.recover is None:
            self._grow(count)
            return False
        if not precedes(ack, self.recover):
            # RFC 6582 section 3.2 step 3, full acknowledgment; the first form, which does not burst.
            self.cwnd = min(self.ssthresh, max(self._mss, distance(ack, self.recover)) + self._mss)
            self.recover = None
            return False
        # Partial acknowledgment: deflate by what left the network, less one segment.
        self.cwnd = max(self._mss, self.cwnd - count + (self._mss if count >= self._mss else 0))
        return True

    def duplicate(self, snd_una: int, snd_nxt: int, threshold: int) -> bool:
        """Note a duplicate acknowledgment; True asks for fast retransmit (RFC 5681 section 3.2)."""
        self.duplicates += 1
        if self.recover is not None:
            self.cwnd += self._mss
            return False
        if self.duplicates != threshold or self._after_timeout is not None:
            return False
        self.ssthresh = max(distance(snd_una, snd_nxt) // 2, 2 * self._mss)
        self.cwnd = self.ssthresh + threshold * self._mss
        self.recover = snd_nxt
        return True

    def timed_out(self, snd_una: int, snd_nxt: int, first: bool) -> None:
        """Note that the retransmission timer ran out (RFC 5681 section 3.1); *first* for the same text."""
        if first:
            self.ssthresh = max(distance(snd_una, snd_nxt) // 2, 2 * self._mss)
        self.cwnd = self._mss
        self.duplicates = 0
        self.recover = None
        self._after_timeout = snd_nxt  # RFC 6582 section 4: no fast retransmit for what was sent before

    def _grow(self, count: int) -> None:
        if self.cwnd < self.ssthresh:
            self.cwnd += min(count, 2 * self._mss)  # RFC 3465 section 2.3
        else:
            self.cwnd += max(1, self._mss * self._mss // self.cwnd)

    def __repr__(self) -> str:
        return f"NewReno(cwnd={self.cwnd}, ssthresh={self.ssthresh}, recover={self.recover})"
