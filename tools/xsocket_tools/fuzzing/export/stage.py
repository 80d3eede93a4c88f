"""Which peers of a case a script has, as which connections: it has one IP version and one remote address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from xsocket.fourtuple import FourTuple
from xsocket_tools.fuzzing.case import Call, Case, Icmp, Tick
from xsocket_tools.fuzzing.cast import PEERS
from xsocket_tools.fuzzing.oracle.shadow import Violation
from xsocket_tools.scenarios.script import Flag, Ports
from xsocket_tools.scenarios.settings import FIRST_REMOTE_PORT, IpVersion, Settings

MTU: Final = 1500
"""Of the link that cases are played on."""


class Role(NamedTuple):
    """A peer of the case in the script.

    Attributes:
        peer: Which, an index of `PEERS`.
        local_port, remote_port: The target's, and the peer's.
        is_first: Whether its packets have no ports: it is the connection that a script speaks of first.
    """

    peer: int
    local_port: int
    remote_port: int
    is_first: bool

    @property
    def outbound(self) -> Ports | None:
        """The ports of its packets as the target sends them, and of checks; None where they have none."""
        return None if self.is_first else Ports(self.local_port, self.remote_port)

    @property
    def inbound(self) -> Ports | None:
        """The ports of packets that it sends itself."""
        return None if self.is_first else Ports(self.remote_port, self.local_port)


class Stage:
    """The cast of a script.

    Args:
        case: What the script is to be of.
        violation: What it is to show, if anything: its peer has to be there.
        with_first: Whether a connection may be the first, whose packets have no ports.

    Attributes:
        roles: By peer; those of the other IP version have none.
        version: The IP version.
        settings: Of a run of the script.
        is_alone: Whether there is one connection, and no port is written.
        shared: The target's ports that several sockets have.
    """

    def __init__(self, case: Case, violation: Violation | None, *, with_first: bool = True) -> None:
        operations = case.operations if violation is None else case.operations[: violation.at + 1]
        acting = [each.peer for each in operations if not isinstance(each, Tick)]
        self.version = _version(acting, violation)
        peers = [peer for peer in dict.fromkeys(acting) if PEERS[peer].version == self.version]
        opened = [each.peer for each in operations if isinstance(each, Call) and each.name == "open"]
        first = next(
            (each.peer for each in operations if isinstance(each, Icmp) and each.peer in peers), None
        )
        self.is_alone = with_first and len(peers) == 1 and len(opened) <= (0 if PEERS[peers[0]].served else 1)
        if not with_first:
            first = None
        elif self.is_alone:
            first = peers[0]
        if first is not None:
            peers = [first, *(peer for peer in peers if peer != first)]
        self.roles = {role.peer: role for role in _roles(peers, first)}
        bound = Counter(self.roles[peer].local_port for peer in opened if peer in self.roles)
        bound.update([self.listening_port] if self.listens else [])
        self.shared = frozenset(port for port, count in bound.items() if count > 1)
        version: IpVersion = "ipv4" if self.version == 4 else "ipv6"
        self.settings = Settings(version, bind_port=self._bind_port, given_mtu=MTU, tcp_ts_ecr_scaled=True)

    @property
    def listens(self) -> bool:
        """Whether the target listens."""
        return any(PEERS[peer].served for peer in self.roles)

    @property
    def listening_port(self) -> int:
        """Where the target listens."""
        return Settings().bind_port

    @property
    def _bind_port(self) -> int:
        first = next((role for role in self.roles.values() if role.is_first), None)
        return self.listening_port if first is None else first.local_port

    def four_tuple(self, role: Role) -> FourTuple:
        """Return the 4-tuple of a role in a run, the target's end first."""
        settings = self.settings
        return FourTuple(settings.local, role.local_port, settings.remote, role.remote_port)

    def flags(self) -> list[Flag]:
        """Return the flags that a run needs, but for those that depend on what is in its packets."""
        given: list[tuple[str, str]] = [("ip_version", self.settings.ip_version)]
        if self.version == 6:
            given.append(("mtu", str(MTU)))
        if self._bind_port != self.listening_port:
            given.append(("bind_port", str(self._bind_port)))
        if self.is_alone and not self.listens and self.roles:
            given.append(("connect_port", str(FIRST_REMOTE_PORT)))
        return [Flag(name, value, 0) for name, value in given]

    def moved(self) -> list[Role]:
        """Return the roles of peers that in the case are at another address than the first."""
        hosts = [PEERS[peer].host for peer in self.roles]
        return [role for role, host in zip(self.roles.values(), hosts, strict=True) if host != hosts[0]]


def _version(acting: list[int], violation: Violation | None) -> int:
    if violation is not None and violation.peer is not None:
        return PEERS[violation.peer].version
    counted = Counter(PEERS[peer].version for peer in acting)
    return max(counted, key=lambda version: counted[version]) if counted else 4


def _roles(peers: list[int], first: int | None) -> Iterator[Role]:
    port = Settings().bind_port
    alone = first is not None and len(peers) == 1
    for at, peer in enumerate(peers):
        local_port = port if PEERS[peer].served or alone else port + 1 + at
        yield Role(peer, local_port, FIRST_REMOTE_PORT + at, peer == first)
