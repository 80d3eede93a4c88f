"""ECN as RFC 3168 has it: the receiver repeats that there was a mark (ECE) until the sender says CWR."""

from typing import Final

from xsocket.info import EcnInfo
from xsocket.segment import CE, CWR, ECE, Segment
from xsocket.tcp.options import AccEcn

ECHO: Final = "RFC 3168 6.1.3"
"""The rule by which a mark is echoed, and what changes the echo is acknowledged at once."""


class ClassicEcn:
    """What one connection has of RFC 3168.

    Attributes:
        sends_ect: Whether text may go in packets that routers may mark.
    """

    __slots__ = ("_announced", "_delivered_ce", "_echoes", "_received_ce", "sends_ect")

    accurate: Final = False
    marked_early: Final = False
    unreported: Final = 0
    reserves: Final = 0

    def __init__(self, *, sends_ect: bool) -> None:
        self.sends_ect = sends_ect
        self._echoes = False
        self._announced = 0
        self._received_ce = self._delivered_ce = 0

    @property
    def info(self) -> EcnInfo:
        """What there is to say of it."""
        return EcnInfo(False, self.sends_ect, self._received_ce, self._delivered_ce)

    # The receiver

    def arrived(self, segment: Segment, *, owes_text: bool) -> str | None:
        """Note an acceptable segment; return the rule by which it is acknowledged at once, if there is one.

        RFC 3168 section 6.1.3. A mark on what holds no text is nobody's business (section 6.1.4).
        """
        del owes_text
        if not segment.payload:
            return None
        before = self._echoes
        if segment.flags & CWR:
            self._echoes = False
        if segment.ecn == CE:
            self._received_ce += 1
            self._echoes = True
        # After CWR the sender's window may be a single segment, so it must not wait.
        return ECHO if segment.flags & CWR or before is not self._echoes else None

    # The sender

    def says_marked(self, segment: Segment, option: AccEcn | None, packets: int, mss: int) -> bool:
        """Whether an acknowledgment reports a mark: see `xsocket.tcp.accecn.AccurateEcn.says_marked`."""
        del option, mss
        if not segment.flags & ECE:
            return False
        self._delivered_ce += packets
        return True

    # What goes out

    def flags(self, *, reductions: int, new_text: bool, answers_syn_ack: bool) -> int:
        """Return the flags of a segment without SYN.

        Args:
            reductions: How often the congestion window was reduced so far; the first new text after that
                says CWR, whatever the reason was (section 6.1.2).
            new_text: Whether it has text that goes for the first time, and is no window probe.
            answers_syn_ack: Makes no difference here.
        """
        del answers_syn_ack
        flags = ECE if self._echoes else 0
        if new_text and reductions != self._announced:
            self._announced = reductions
            flags |= CWR
        return flags

    def option(self, room: int, *, new_text: bool, again: bool) -> bytes:
        """Return nothing: RFC 3168 has no option."""
        del room, new_text, again
        return b""

    # The handshake

    def syn_ack_flags(self, retries: int) -> int:
        """Return the flags of our SYN+ACK: section 6.1.1."""
        del retries
        return ECE

    @property
    def syn_ack_option(self) -> AccEcn | None:
        """None: RFC 3168 has no option."""
        return None

    def heard_again(self, segment: Segment) -> None:
        """Note a SYN of the peer that comes again, or its SYN+ACK where two SYNs crossed."""
        if not segment.flags & (CWR | ECE):
            self.sends_ect = False  # section 6.1.1: it may not have heard that we agreed

    def syn_ack_again(self, segment: Segment) -> None:
        """Note that the SYN+ACK came again: that is nothing to us."""

    def third_segment(self, segment: Segment, option: AccEcn | None, *, has_sack: bool) -> None:
        """Note what completes the handshake at a server: it says nothing special."""
