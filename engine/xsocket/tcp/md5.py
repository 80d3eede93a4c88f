"""The TCP MD5 signature option's arithmetic: the digest of RFC 2385."""

import hashlib
from typing import Final

from xsocket.errors import AlgorithmUnavailableError
from xsocket.fourtuple import FourTuple
from xsocket.segment import Segment
from xsocket.tcp.covered import fixed_header, pseudo_header

DIGEST_OCTETS: Final = 16


def digest(sender: FourTuple, segment: Segment, secret: bytes) -> bytes:
    """Return the signature of *segment*: RFC 2385 section 2.0.

    Args:
        sender: The connection as the end names it that sends the segment.
        segment: With all the options it has on the wire. The lengths in its headers count them, though the
            digest does not cover them.
        secret: What both ends know.
    """
    covered = pseudo_header(sender, segment) + fixed_header(sender, segment) + segment.payload
    return hashlib.md5(covered + secret, usedforsecurity=False).digest()


def require() -> None:
    """See to it that this machine can compute the digest.

    Raises:
        AlgorithmUnavailableError: It cannot, as in FIPS mode.
    """
    try:
        hashlib.md5(b"", usedforsecurity=False)
    except ValueError as error:
        raise AlgorithmUnavailableError("Python's hashlib has no MD5 on this machine") from error
