"""The calls that a target's user makes, on connections that are in hand or are taken into it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from socket import SHUT_WR
from typing import Any, Final, Protocol

from xsocket.errors import HostUnreachableError, NetworkUnreachableError, XsocketError
from xsocket.fourtuple import FourTuple

_NAMES: Final = {
    errno.ENETUNREACH: NetworkUnreachableError.__name__,
    errno.EHOSTUNREACH: HostUnreachableError.__name__,
}
"""What Python has no exception for, and `xsocket.errors` has."""


class NotClaimedError(OSError):
    """Nobody has a connection to the peer in hand."""


class Held(Protocol):
    """A connection in its owner's hands; it waits for nothing."""

    def send(self, data: bytes, /) -> int:
        """Give text; return how many octets were taken."""
        ...

    def recv(self, bufsize: int, /) -> bytes:
        """Return text, empty at its end."""
        ...

    def shutdown(self, how: int, /) -> None:
        """Finish sending."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def abort(self) -> None:
        """Reset it."""
        ...


def _name_of(error: Exception) -> str:
    """Return the name of an exception, or that of the error of which Python makes none of its own."""
    if type(error) is not OSError:
        return type(error).__name__
    number = error.errno or 0
    return _NAMES.get(number) or errno.errorcode.get(number, OSError.__name__)


class UserCalls:
    """What the user of a target does in one case.

    Args:
        four_tuples: Those of the connections, by peer.
        open: Opens the connection to a peer actively, with text to send first or none.
        claim: Takes the connection of a peer that has been established; of any peer, the oldest, for None.

    Attributes:
        held: The connections in hand, by peer; those that were closed as well.
    """

    def __init__(
        self,
        four_tuples: Sequence[FourTuple],
        open: Callable[[int, bytes], Held],
        claim: Callable[[int | None], tuple[Held, FourTuple]],
    ) -> None:
        self._four_tuples = four_tuples
        self._open_with = open
        self._claim_with = claim
        self.held: dict[int, Held] = {}

    def make(self, peer: int, name: str, text: bytes, size: int) -> tuple[Any, str]:
        """Make the call *name*, one of `case.CALLS`; return its value, and the name of what it raised."""
        try:
            return self._calls[name](self, peer, text, size), ""
        except (OSError, XsocketError) as error:
            return None, _name_of(error)

    def _open(self, peer: int, text: bytes, size: int) -> None:
        del size
        self.held[peer] = self._open_with(peer, text)

    def _claim(self, peer: int, text: bytes, size: int) -> FourTuple:
        del text, size
        self.held[peer], four_tuple = self._claim_with(peer)
        return four_tuple

    def _claim_any(self, peer: int, text: bytes, size: int) -> FourTuple:
        del peer, text, size
        claimed, four_tuple = self._claim_with(None)
        self.held[self._four_tuples.index(four_tuple)] = claimed
        return four_tuple

    def _send(self, peer: int, text: bytes, size: int) -> int:
        del size
        return self._in_hand(peer).send(text)

    def _receive(self, peer: int, text: bytes, size: int) -> bytes:
        del text
        return self._in_hand(peer).recv(size)

    def _shutdown(self, peer: int, text: bytes, size: int) -> None:
        del text, size
        self._in_hand(peer).shutdown(SHUT_WR)

    def _close(self, peer: int, text: bytes, size: int) -> None:
        del text, size
        self._in_hand(peer).close()

    def _abort(self, peer: int, text: bytes, size: int) -> None:
        del text, size
        self._in_hand(peer).abort()

    def _in_hand(self, peer: int) -> Held:
        if peer not in self.held:
            raise NotClaimedError
        return self.held[peer]

    _calls: Final[dict[str, Callable[[UserCalls, int, bytes, int], Any]]] = {
        "open": _open,
        "claim": _claim,
        "claim any": _claim_any,
        "send": _send,
        "receive": _receive,
        "shutdown": _shutdown,
        "close": _close,
        "abort": _abort,
    }
