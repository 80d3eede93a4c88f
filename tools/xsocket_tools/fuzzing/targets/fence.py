"""`FencedLink`: frames to a target, and a ping behind them. What comes before the ping's reply is its answer.

So there is no silence to wait for. That takes a target that deals with frames in the order of their arrival,
or a second ping.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import Final, Protocol

from xsocket.wire.link import Frame
from xsocket_tools.fuzzing.cast import TARGET
from xsocket_tools.fuzzing.frames import Stations, icmp_frame
from xsocket_tools.fuzzing.target import StalledError

PINGING: Final = {4: "10.0.0.254", 6: "fd00::fe"}
"""Who pings: no peer, so that nothing that is said of one to the target matters."""
PATIENCE_S: Final = 1.0
_PINGS: Final = 256
_MOST_AGAIN: Final = 5
"""How often a target that asks for neighbours is pinged again."""
_ECHO_REQUEST: Final = {4: (8, 0), 6: (128, 0)}
_AN_ECHO_REPLY: Final = {
    4: (b"\x08\x00", 23, b"\x01", 34, b"\x00"),
    6: (b"\x86\xdd", 20, b"\x3a", 54, b"\x81"),
}
"""What tells an echo reply: the frame's type, then where the protocol and the type of ICMP are, and which.

Extension headers and IP options do not occur: a reply has those of the request.
"""

Answering = Callable[[bytes], bytes | None]
"""Returns what a frame of the target is to be answered with at once, None for nothing."""


class Wire(Protocol):
    """What carries frames; each `xsocket.wire.link.Link` does."""

    def send(self, frames: Sequence[bytes]) -> None:
        """See `Link.send`."""
        ...

    def receive(self) -> list[Frame]:
        """See `Link.receive`."""
        ...

    def fileno(self) -> int:
        """See `Link.fileno`."""
        ...

    def close(self) -> None:
        """See `Link.close`."""
        ...


class FencedLink:
    """The peers' end of a link. One thread at a time may use it.

    Args:
        wire: Carries the frames; closed with this object.
        stations: Of the target and of the peers.
        version: Of the pings, 4 or 6.
        pings: How many, one after the other's reply. Two fence in a target as well that deals with all frames
            it finds at once in an order of its own, so that a reply overtakes an answer.
        quiet_s: For a target that answers no pings: how long it must be silent, instead; 0 for pings.
        answering: Answers for neighbours; what it answers counts as no answer of the target's.
        patience_s: How long to wait for a ping's reply, seconds.
    """

    def __init__(
        self,
        wire: Wire,
        stations: Stations,
        *,
        version: int = 4,
        pings: int = 1,
        quiet_s: float = 0.0,
        answering: Answering | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._wire = wire
        self._rounds = pings
        self._quiet_s = quiet_s
        self._answering = answering
        self._patience_s = patience_s
        self._poll = select.poll()
        self._poll.register(wire.fileno(), select.POLLIN)
        self._pings = [_ping(stations, version, number) for number in range(_PINGS)]
        self._number = 0
        self._reply = _AN_ECHO_REPLY[version]

    def close(self) -> None:
        """Let go of the link."""
        self._wire.close()

    def drain(self) -> None:
        """Forget what has come."""
        self._wire.receive()

    def exchange(self, *frames: bytes) -> list[Frame]:
        """Send *frames*; return what the target sends until it has dealt with them, oldest first.

        Raises:
            StalledError: It has not, in time.
        """
        if self._quiet_s:
            self._wire.send(frames)
            return self._until_quiet()
        came: list[Frame] = []
        rounds, again = self._rounds, _MOST_AGAIN
        while rounds:
            self._number = number = (self._number + 1) % _PINGS
            self._wire.send((*frames, self._pings[number]))
            rounds -= 1
            if self._until_reply(number.to_bytes(4), came) and again:
                rounds, again = (
                    self._rounds,
                    again - 1,
                )  # it may have waited for a neighbour's address with an answer in hand
            frames = ()
        return came

    def listen(self, until: float) -> list[Frame]:
        """Return what the target sends until the monotonic instant *until*."""
        came: list[Frame] = []
        while True:
            self._take(came.append)
            left = until - time.monotonic()
            if left <= 0:
                return came
            self._poll.poll(ceil(left * 1000))

    def _until_reply(self, token: bytes, came: list[Frame]) -> bool:
        """Collect what comes before the reply *token*; return whether neighbours were answered for."""
        ethertype, protocol_at, protocol, type_at, echo_reply = self._reply
        token_at = type_at + 4
        passed = answered = False
        until = 0.0
        while True:
            for frame in self._wire.receive():
                data = frame.data
                if (
                    data[token_at : token_at + 4] == token
                    and data[12:14] == ethertype
                    and data[protocol_at : protocol_at + 1] == protocol
                    and data[type_at : type_at + 1] == echo_reply
                ):
                    passed = True
                elif self._answer(data):
                    answered = True
                else:
                    came.append(frame)
            if passed:
                return answered
            now = time.monotonic()
            until = until or now + self._patience_s
            if now >= until:
                raise StalledError(f"the target answered no ping within {self._patience_s:g} s")
            self._poll.poll(ceil((until - now) * 1000))

    def _until_quiet(self) -> list[Frame]:
        came: list[Frame] = []
        until = time.monotonic() + self._patience_s
        while self._poll.poll(ceil(self._quiet_s * 1000)):
            self._take(came.append)
            if time.monotonic() > until:
                raise StalledError(f"the target was not quiet for {self._quiet_s:g} s")
        return came

    def _take(self, keep: Callable[[Frame], None]) -> None:
        for frame in self._wire.receive():
            if not self._answer(frame.data):
                keep(frame)

    def _answer(self, frame: bytes) -> bool:
        answer = None if self._answering is None else self._answering(frame)
        if answer is not None:
            self._wire.send((answer,))
        return answer is not None


def _ping(stations: Stations, version: int, number: int) -> bytes:
    return icmp_frame(stations, PINGING[version], TARGET[version], _ECHO_REQUEST[version], number, b"")
