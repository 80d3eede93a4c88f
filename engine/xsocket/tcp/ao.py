"""The TCP Authentication Option's arithmetic: key derivation, MACs, Sequence Number Extension.

RFC 5925 says what is covered, RFC 5926 by which algorithms, RFC 9187 how numbers are extended.
"""

from hmac import digest as hmac_digest
from typing import Final, Literal

from xsocket.errors import AlgorithmUnavailableError
from xsocket.fourtuple import FourTuple
from xsocket.segment import Segment
from xsocket.seqnum import MASK, distance, precedes
from xsocket.tcp.covered import fixed_header, packed, pseudo_header

Algorithm = Literal["SHA1", "AES128"]
"""By the names of RFC 5926 section 3: HMAC-SHA-1-96 and AES-128-CMAC-96, each with its key derivation."""

MAC_OCTETS: Final = 12
"""Both algorithms are cut to 96 bits (RFC 5926 section 3.2)."""

_AES_KEY_OCTETS: Final = 16
_LABEL: Final = b"TCP-AO"


def require(algorithm: Algorithm) -> None:
    """See to it that this machine has *algorithm*.

    Raises:
        AlgorithmUnavailableError: AES is not here: the package `cryptography` is missing.
    """
    if algorithm == "AES128":
        _cmac(bytes(_AES_KEY_OCTETS), b"")


def traffic_key(
    algorithm: Algorithm, master_key: bytes, sender: FourTuple, source_isn: int, destination_isn: int
) -> bytes:
    """Return the key for the segments of one direction: RFC 5925 section 5.2, RFC 5926 section 3.1.

    Args:
        algorithm: Whose key derivation function.
        master_key: What both ends know.
        sender: The connection as the end names it that sends.
        source_isn: The sender's initial sequence number.
        destination_isn: The receiver's; 0 for a SYN without ACK.
    """
    context = (
        packed(sender.local_address)
        + packed(sender.remote_address)
        + sender.local_port.to_bytes(2)
        + sender.remote_port.to_bytes(2)
        + source_isn.to_bytes(4)
        + destination_isn.to_bytes(4)
    )
    if algorithm == "SHA1":
        return hmac_digest(master_key, _first_block(context, bits=160), "sha1")
    key = master_key
    if len(key) != _AES_KEY_OCTETS:
        key = _cmac(bytes(_AES_KEY_OCTETS), master_key)  # RFC 5926 figure 1, step 1b
    return _cmac(key, _first_block(context, bits=128))


def _first_block(context: bytes, bits: int) -> bytes:
    """Return the input of the function's only round: each algorithm wants as many bits as its PRF gives."""
    return b"\x01" + _LABEL + context + bits.to_bytes(2)


def mac(
    algorithm: Algorithm,
    key: bytes,
    sne: int,
    sender: FourTuple,
    segment: Segment,
    option_at: int,
    *,
    include_options: bool,
) -> bytes:
    """Return the MAC of *segment*: RFC 5925 section 5.1.

    Args:
        algorithm: Which.
        key: The traffic key.
        sne: The Sequence Number Extension of SEG.SEQ.
        sender: The connection as the end names it that sends the segment.
        segment: With its TCP-AO; whatever stands in the MAC field is read as zeroes.
        option_at: Where in the segment's options TCP-AO begins.
        include_options: Whether the other options are covered.
    """
    options = segment.options
    mac_at, ends = option_at + 4, option_at + 4 + MAC_OCTETS
    if include_options:
        covered = options[:mac_at] + bytes(MAC_OCTETS) + options[ends:]
    else:
        covered = options[option_at:mac_at] + bytes(MAC_OCTETS)
    headers = pseudo_header(sender, segment) + fixed_header(sender, segment)
    message = sne.to_bytes(4) + headers + covered + segment.payload
    whole = hmac_digest(key, message, "sha1") if algorithm == "SHA1" else _cmac(key, message)
    return whole[:MAC_OCTETS]


def _cmac(key: bytes, message: bytes) -> bytes:
    try:  # an extra: most engines have no use for it
        from cryptography.hazmat.primitives.ciphers.algorithms import AES
        from cryptography.hazmat.primitives.cmac import CMAC
    except ImportError as error:
        raise AlgorithmUnavailableError("AES-128-CMAC-96 needs the package cryptography") from error
    computed = CMAC(AES(key))
    computed.update(message)
    return computed.finalize()


class Extension:
    """The Sequence Number Extension of one direction: RFC 5925 section 6.2, RFC 9187."""

    __slots__ = ("_highest",)

    def __init__(self) -> None:
        self._highest: int | None = None

    def of(self, seq: int, isn: int) -> int:
        """Return the upper 32 bits of *seq*, of which no two ever are half the space apart.

        Args:
            seq: SEG.SEQ.
            isn: The initial sequence number of this direction: its extension is 0.
        """
        return (self._extended(seq, isn) >> 32) & MASK

    def advance(self, seq: int, isn: int) -> None:
        """Note that *seq* was used: sent, or received in a segment that is authentic."""
        highest = isn if self._highest is None else self._highest
        self._highest = max(highest, self._extended(seq, isn))

    def _extended(self, seq: int, isn: int) -> int:
        base = isn if self._highest is None else self._highest
        low = base & MASK
        return base - distance(seq, low) if precedes(seq, low) else base + distance(low, seq)
