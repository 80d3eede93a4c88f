"""Admission: what becomes of a SYN that no connection expects. This takes the place of listeners.

Pure, for it stands on the path of a packet: a policy reads the 4-tuple and the segment, and nothing else.
"""

from enum import Enum
from typing import Literal, Protocol

from xsocket.errors import BadConfigError
from xsocket.fourtuple import FourTuple
from xsocket.ranges import Addresses, AddressSet, Ports, PortSet
from xsocket.segment import Segment


class Verdict(Enum):
    """What to do with a SYN; the value says what the peer sees."""

    ADMIT = "a handshake"
    REFUSE = "a reset, as from a closed port"
    IGNORE = "nothing, as from a filtered port"

    __hash__ = object.__hash__


class AdmissionPolicy(Protocol):
    """Anything that decides per SYN. The engine's thread asks, and waits for the answer.

    It asks about every segment that belongs to no connection, resets excepted, so that an ignored port is
    as silent to a stray ACK as to a SYN.

    Where the engine shares its addresses with the kernel, it takes the ports that the policy has as its
    attribute ``ports`` (a `xsocket.ranges.PortSet`) and leaves the rest to the kernel. Without that it takes
    every port.
    """

    def decide(self, four_tuple: FourTuple, segment: Segment) -> Verdict:  # other policies read it
        """Return what to do with *segment*, for *four_tuple* (local end first). Must not raise."""
        ...


class Admission:
    """Admit by local port and by source address; refuse or ignore the rest. Immutable.

    Args:
        ports: Local ports to admit, such as ``"80,8000-8099"``; None admits every port.
        sources: Remote addresses to admit, such as ``"10.0.0.0/24"`` or a list; None admits every source.
        ignored_ports: Local ports on which a SYN gets no answer at all, whatever the other arguments say.
        otherwise: What happens to a SYN that is neither admitted nor on an ignored port: ``"refuse"`` it
            with a reset, or ``"ignore"`` it.

    Raises:
        BadAddressError: A port, an address or a network is not one.
        BadConfigError: *otherwise* is neither of the two.
    """

    __slots__ = ("_ignored_ports", "_otherwise", "_ports", "_sources")

    def __init__(
        self,
        ports: Ports | None = None,
        sources: Addresses | None = None,
        *,
        ignored_ports: Ports | None = None,
        otherwise: Literal["refuse", "ignore"] = "refuse",
    ) -> None:
        if otherwise not in ("refuse", "ignore"):
            raise BadConfigError(f"otherwise is refuse or ignore, not {otherwise!r}")
        self._ports = None if ports is None else PortSet(ports)
        self._sources = None if sources is None else AddressSet(sources)
        self._ignored_ports = PortSet(() if ignored_ports is None else ignored_ports)
        self._otherwise = Verdict.REFUSE if otherwise == "refuse" else Verdict.IGNORE

    @property
    def ports(self) -> PortSet | None:
        """The local ports that are answered as this says, those that are ignored included; None for every."""
        return None if self._ports is None else PortSet([self._ports, self._ignored_ports])

    def decide(self, four_tuple: FourTuple, segment: Segment) -> Verdict:  # noqa: ARG002  # other policies read it
        """Return what to do with a SYN for *four_tuple*; about 1 us."""
        _, port, source, _ = four_tuple
        if port in self._ignored_ports:
            return Verdict.IGNORE
        if self._ports is not None and port not in self._ports:
            return self._otherwise
        if self._sources is not None and source not in self._sources:
            return self._otherwise
        return Verdict.ADMIT

    def __repr__(self) -> str:
        ports = None if self._ports is None else str(self._ports)
        sources = None if self._sources is None else str(self._sources)
        ignored = str(self._ignored_ports) or None
        rest = f"ignored_ports={ignored!r}, otherwise={self._otherwise.name.lower()!r}"
        return f"Admission(ports={ports!r}, sources={sources!r}, {rest})"
