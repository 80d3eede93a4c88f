"""Initial sequence numbers and timestamp offsets: a clock plus a keyed hash of the 4-tuple (RFC 6528)."""

from hashlib import blake2s
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.seqnum import MASK

TICKS_PER_SECOND: Final = 250_000
"""RFC 9293 section 3.4.1: the clock that ISNs follow counts once about every 4 microseconds."""

SECRET_OCTETS: Final = 32
"""How many octets of secret the hash takes."""


def choose(now: float, four_tuple: FourTuple, secret: bytes) -> tuple[int, int]:
    """Return the ISN and the timestamp offset for a new connection (32-bit numbers).

    ISN = M + F(localip, localport, remoteip, remoteport, secretkey), RFC 6528 section 3. The offset is
    another word of the same hash (RFC 7323 section 7.1: it differs per connection and does not repeat ISNs).

    Args:
        now: Monotonic instant in seconds; M is its number of 4 us ticks.
        four_tuple: The connection.
        secret: `SECRET_OCTETS` octets that no peer knows, the same for the life of the engine.
    """
    local, local_port, remote, remote_port = four_tuple
    name = f"{local} {local_port} {remote} {remote_port}"
    digest = blake2s(name.encode(), key=secret, digest_size=8).digest()
    clock = int(now * TICKS_PER_SECOND)
    return (int.from_bytes(digest[:4], "big") + clock) & MASK, int.from_bytes(digest[4:], "big")
