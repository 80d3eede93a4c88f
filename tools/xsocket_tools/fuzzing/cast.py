"""Who takes part in a case: one target, and peers that each stand for one 4-tuple."""

from __future__ import annotations

from typing import Final, NamedTuple

TARGET: Final = {4: "10.0.0.1", 6: "fd00::1"}
"""The target's own addresses, by IP version."""
HOSTS: Final = {4: ("10.0.0.2", "10.0.0.3"), 6: ("fd00::2", "fd00::3")}
"""The addresses of the peers; nobody but the fuzzer has them."""
PREFIX: Final = {4: 24, 6: 64}
STATION: Final = b"\x02\xfe\x00\x00\x00\x01"
"""The station address of all peers."""


class Peer(NamedTuple):
    """The remote end of one 4-tuple.

    Attributes:
        version: 4 or 6.
        host: Which of `HOSTS` it is at.
        served: Whether the target listens on the local port. If not, only the target can open the connection,
            and until it does the port is closed.
        port: Which of the peers' ports it has; some have the same, and differ in their address alone.
    """

    version: int
    host: int
    served: bool
    port: int

    @property
    def address(self) -> str:
        """Its IP address."""
        return HOSTS[self.version][self.host]


PEERS: Final = (
    Peer(4, 0, served=True, port=0),
    Peer(4, 0, served=True, port=1),
    Peer(4, 1, served=True, port=0),
    Peer(6, 0, served=True, port=0),
    Peer(4, 0, served=False, port=4),
    Peer(4, 1, served=False, port=5),
    Peer(6, 0, served=False, port=6),
    Peer(6, 1, served=True, port=0),
)
"""Two share an address, others a port; two IPv6 addresses are of one network."""
SERVED: Final = tuple(index for index, peer in enumerate(PEERS) if peer.served)
OPENED: Final = tuple(index for index, peer in enumerate(PEERS) if not peer.served)
