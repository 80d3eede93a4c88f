"""`WiredTarget`: what targets at the other end of a link have in common. Time is the real one.

Each case has ports of its own, so that whatever is left of the ones before cannot be taken for its doing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from xsocket.fourtuple import FourTuple
from xsocket.state import State
from xsocket.wire.link import Frame
from xsocket_tools.fuzzing.cast import PEERS, TARGET
from xsocket_tools.fuzzing.frames import Stations
from xsocket_tools.fuzzing.target import Answer, Counts, TargetError
from xsocket_tools.fuzzing.targets.fence import FencedLink

LISTENING: Final = range(10_000, 19_973)
"""The local ports of peers that are served, one after the other; none is in the usual ephemeral range."""
CLOSED: Final = range(20_000, 31_998)
"""Those of peers that are not."""
REMOTE: Final = range(33_000, 64_997)
_MANY: Final = 1000
"""How many cases back a port must have been used to tell a case from those before."""

Rules = tuple[tuple[str, Any], ...]
"""Fields of `TcpConfig`, in order of their names."""

_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
_TCP, _ICMP, _ICMPV6 = 6, 1, 58
_ICMP_ERRORS: Final = frozenset({3, 4, 5, 11, 12})
_FIRST_ICMPV6_MESSAGE: Final = b"\x80"
"""Types below are errors (RFC 4443 section 2.1)."""
_SHORTEST: Final = 38
"""An IPv4 packet with both ports, in its frame."""


class WiredTarget:
    """A target on a link; see `Target` for what its methods do. One thread may use it, the one that made it.

    Args:
        link: To the target; closed with this object.
        stations: See `Target`.
        listening: The local ports of peers that are served; each case has the next.

    Attributes:
        rules: Those of the case.
        four_tuples: Those of the case, by peer.
    """

    name = ""
    is_virtual = False

    def __init__(self, link: FencedLink, stations: Stations, listening: Sequence[int] = LISTENING) -> None:
        self.stations = stations
        self.link = link
        self.rules: Rules = ()
        self._listening = listening
        self._cases = 0
        self.begin((), 0)

    def begin(self, rules: Rules, seed: int) -> None:
        """See `Target.begin`; *seed* is of no use to what draws its own numbers."""
        del seed
        if rules != self.rules:
            unsupported = self.unsupported(rules)
            if unsupported:
                raise TargetError(f"the target {self.name} cannot play by {', '.join(unsupported)}")
        self.end_case()
        self.rules = rules
        self._take_ports()
        self.begin_case()
        self.link.drain()
        self._began_ns = time.time_ns()
        self._began = time.monotonic()

    def _take_ports(self) -> None:
        self._cases = number = self._cases + 1
        listening = self._listening[number % len(self._listening)]
        count = len(PEERS)
        locals_ = [
            listening if peer.served else CLOSED[(number * count + index) % len(CLOSED)]
            for index, peer in enumerate(PEERS)
        ]
        remotes = [REMOTE[(number * count + peer.port) % len(REMOTE)] for peer in PEERS]
        self.four_tuples = tuple(
            FourTuple.trusted(TARGET[peer.version], local, peer.address, remote)
            for peer, local, remote in zip(PEERS, locals_, remotes, strict=True)
        )
        fresh = locals_ if len(self._listening) >= _MANY else set(locals_) - {listening}
        self._locals = {port.to_bytes(2) for port in fresh}
        self._remotes = {port.to_bytes(2) for port in remotes}

    def end_case(self) -> None:
        """Get rid of what the last case has left."""

    def begin_case(self) -> None:
        """Be ready for a case, whose rules and 4-tuples are known by now."""

    def unsupported(self, rules: Rules) -> list[str]:
        """Return the names of those of *rules* by which the target cannot play."""
        return [name for name, _ in rules]

    def four_tuple(self, peer: int) -> FourTuple:
        """See `Target.four_tuple`."""
        return self.four_tuples[peer]

    def step(self, frame: bytes | None, now: float) -> Sequence[Frame]:
        """See `Target.step`; *now* is waited for, if it is still to come."""
        came = self.wait(now)
        if frame is not None:
            came += self.link.exchange(frame)
        return self.of_case(came)

    def wait(self, now: float) -> list[Frame]:
        """Let time pass until *now*, seconds since the case began; return what came meanwhile."""
        until = self._began + now
        return self.link.listen(until) if until > time.monotonic() else []

    def call(self, peer: int, name: str, now: float, text: bytes = b"", size: int = 0) -> Answer:
        """See `Target.call`."""
        came = self.wait(now)
        value, error = self.make(peer, name, text, size)
        came += self.link.exchange()
        return Answer(self.of_case(came), value, error)

    def make(self, peer: int, name: str, text: bytes, size: int) -> tuple[Any, str]:
        """Make a call; return its value, and the name of the error that ended it.

        Raises:
            TargetError: The target takes no calls.
        """
        del text, size
        raise TargetError(f"the target {self.name} takes no calls, such as {name} for peer {peer}")

    def timers(self) -> Sequence[tuple[FourTuple, str, float]]:
        """See `Target.timers`: nobody can tell, here."""
        return ()

    def state(self, peer: int) -> State | None:
        """See `Target.state`: nobody can tell, here."""
        del peer
        return None

    def counts(self) -> Counts | None:
        """See `Target.counts`: nobody can tell."""
        return None

    def close(self) -> None:
        """See `Target.close`."""
        self.link.close()

    def of_case(self, frames: Iterable[Frame]) -> list[Frame]:
        """Return those of *frames* that are of this case, their instants counted from its beginning.

        A segment is if either port is: the other may be wrong because that of a damaged frame was. So is what
        is too short to tell.
        """
        found = []
        for data, at_ns, is_ready in frames:
            if len(data) < _SHORTEST:
                is_error, protocol, at = data[12:14] in (_IPV4, _IPV6), 0, 0
            elif data[12:14] == _IPV4:
                protocol, at = data[23], 14 + (data[14] & 0x0F) * 4
                is_error = protocol == _ICMP and data[34] in _ICMP_ERRORS
            elif data[12:14] == _IPV6:
                protocol, at = data[20], 54
                is_error = protocol == _ICMPV6 and data[at : at + 1] < _FIRST_ICMPV6_MESSAGE
            else:
                continue
            if is_error or (
                protocol == _TCP
                and (data[at : at + 2] in self._locals or data[at + 2 : at + 4] in self._remotes)
            ):
                found.append(Frame(data, at_ns - self._began_ns, is_ready))
        return found
