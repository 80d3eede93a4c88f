"""What an ICMP error says about a segment of ours, as a value."""

from typing import NamedTuple

from xsocket.fourtuple import FourTuple


class PathError(NamedTuple):
    """An ICMP error that quotes one of our segments (RFC 792, RFC 4443).

    Attributes:
        four_tuple: The connection, as we name it.
        seq: Sequence number of the quoted segment.
        error: What a user gets told whom it ends the connection of.
        hard: Whether it says that the peer cannot be reached for good (RFC 1122 section 4.2.3.9).
        mtu: For a packet that was too big, the largest that the next hop takes, octets; None otherwise.
    """

    four_tuple: FourTuple
    seq: int
    error: type[OSError]
    hard: bool
    mtu: int | None = None
