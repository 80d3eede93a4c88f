"""A TCP segment as a value: the header fields the machine reads, the options as sent, the text.

No addresses (a `FourTuple` goes beside it), no checksum (the wire's business), no behaviour but reading. Of
the IP header it has the two bits that TCP answers for.
"""

from typing import Final, NamedTuple

FIN: Final = 0x001
SYN: Final = 0x002
RST: Final = 0x004
PSH: Final = 0x008
ACK: Final = 0x010
URG: Final = 0x020
ECE: Final = 0x040
CWR: Final = 0x080
AE: Final = 0x100
"""Bit 7 of the reserved octet: "Accurate ECN" in RFC 9768, "NS" in RFC 3540."""

NOT_ECT: Final = 0b00
ECT_1: Final = 0b01
ECT_0: Final = 0b10
CE: Final = 0b11
"""The four codepoints of the IP header's ECN field (RFC 3168 section 5)."""

LETTERS: Final = (
    (SYN, "S"),
    (FIN, "F"),
    (RST, "R"),
    (PSH, "P"),
    (URG, "U"),
    (ECE, "E"),
    (CWR, "W"),
    (AE, "A"),
)


class Segment(NamedTuple):
    """One TCP segment (RFC 9293 section 3.1); immutable, cheap to make.

    Attributes:
        seq: SEG.SEQ, 0 to 2**32 - 1.
        acknowledgment: The acknowledgment field as it stands in the header. Read `ack` instead, unless you
            are a codec: without the ACK bit the field means nothing.
        flags: The 12 bits beside the data offset: control bits, AE, and the three reserved ones (0xE00).
        window: SEG.WND as it stands in the header, not scaled, 0 to 65,535.
        options: The option octets as sent, padding included: 0 to 40 octets, a multiple of four on the wire.
        payload: The segment's text.
        urgent: The urgent pointer as it stands in the header, 0 to 65,535.
        ecn: The ECN field of the IP header that the segment comes or goes in, 0 to 3: what the network says
            of it belongs to the segment for as long as TCP has to answer for it.
    """

    seq: int
    acknowledgment: int
    flags: int
    window: int = 0
    options: bytes = b""
    payload: bytes = b""
    urgent: int = 0
    ecn: int = NOT_ECT

    @property
    def ack(self) -> int | None:
        """SEG.ACK; None exactly when the ACK bit is clear: the sender did not mean the number."""
        return self.acknowledgment if self.flags & ACK else None

    @property
    def syn(self) -> bool:
        """Whether SYN is set."""
        return self.flags & SYN != 0

    @property
    def fin(self) -> bool:
        """Whether FIN is set."""
        return self.flags & FIN != 0

    @property
    def rst(self) -> bool:
        """Whether RST is set."""
        return self.flags & RST != 0

    @property
    def length(self) -> int:
        """SEG.LEN: octets of sequence space it takes, counting SYN and FIN (RFC 9293 section 3.4)."""
        flags = self.flags
        return len(self.payload) + (1 if flags & SYN else 0) + (1 if flags & FIN else 0)

    @property
    def letters(self) -> str:
        """The control bits as tcpdump and packetdrill write them, such as ``S.``; ``-`` when none is set."""
        text = "".join(letter for bit, letter in LETTERS if self.flags & bit)
        return text + ("." if self.flags & ACK else "") or "-"
