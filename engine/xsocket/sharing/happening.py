"""What happens at a pool server: names, counters, and the form in which it is told. Values."""

from enum import Enum
from typing import Any, Final, NamedTuple, Self

from xsocket.fourtuple import FourTuple

LONGEST_REASON: Final = 80
"""Characters of `Happening.reason`."""


class ServerEvent(Enum):
    """What happened between a pool server and its clients; each is counted, and an observer is told."""

    CONNECTED = "a client connected"
    LEFT = "a client is gone"
    REFUSED_USER = "a client was refused: its user may not claim anything"
    REFUSED_LIMIT = "a client was refused: there are too many, in all or of its user"
    REFUSED_DESCRIPTOR = "a client was refused: the last descriptors are for connections"
    ACCEPT_PAUSED = "clients have to wait until a descriptor is free"
    MALFORMED = "a request could not be understood, or did not fit what was asked before"
    OVERSIZED = "a request was too long; its client was disconnected"
    EXPELLED = "a client was disconnected: it sent nonsense, or did not read, or may not claim any more"
    CLAIM = "a claim came"
    FORBIDDEN = "a claim was refused: its user may not claim that"
    TIMED_OUT = "a claim ended without a connection in time"
    FAILED = "a claim ended with an error"
    WITHDRAWN = "a claim was withdrawn, or its client left, before there was a connection"
    KEPT = "a connection could not go to the kernel, stays in the pool, and its claim got an error"
    SENT = "a connection was sent to a client"
    ACKNOWLEDGED = "a client has its connection"
    RETURNED = "a connection that no client had acknowledged went back into the pool"
    RESET = "a connection that no client had acknowledged was reset: it was used, or has ended"
    LATE = "a client did not acknowledge in time, and was disconnected"

    # Enum hashes the name in Python code; every event is counted.
    __hash__ = object.__hash__


class ServerStatistics(NamedTuple):
    """A pool server's counters, named after `ServerEvent`, and its gauges.

    ``claim == forbidden + timed_out + failed + withdrawn + kept + sent + waiting_claims``, and
    ``sent == acknowledged + returned + reset + unacknowledged``.
    """

    connected: int
    left: int
    refused_user: int
    refused_limit: int
    refused_descriptor: int
    accept_paused: int
    malformed: int
    oversized: int
    expelled: int
    claim: int
    forbidden: int
    timed_out: int
    failed: int
    withdrawn: int
    kept: int
    sent: int
    acknowledged: int
    returned: int
    reset: int
    late: int
    clients: int
    """Connected now."""
    waiting_claims: int
    """Under way, and nothing sent."""
    unacknowledged: int
    """Connections that were sent, and no client has said that it has them."""
    watchers: int
    missed: int
    """Events that watchers were not told, for they did not read."""


class Happening(NamedTuple):
    """Something that happened in a pool or at its server.

    Attributes:
        at_s: When, Unix time.
        event: The name of a `xsocket.pool.PoolEvent` or a `ServerEvent`, in lower case.
        four_tuple: The connection, where one is concerned.
        uid, pid: The client's user and process, where one is concerned.
        reason: Why, where that is not clear from *event*.
    """

    at_s: float
    event: str
    four_tuple: FourTuple | None = None
    uid: int | None = None
    pid: int | None = None
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values that JSON can hold, without what is None."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Self:
        """Return what `as_dict` made *plain* of; raises a `TypeError` or `ValueError` if it did not."""
        four_tuple = plain.pop("four_tuple", None)
        made = cls(**plain, four_tuple=None if four_tuple is None else FourTuple(*four_tuple))
        for value, kinds in zip(made, _KINDS, strict=True):
            if not isinstance(value, kinds):
                raise TypeError(f"{value!r} does not belong here")
        return made


_NONE: Final = type(None)
_KINDS: Final[tuple[tuple[type, ...], ...]] = (
    (int, float),
    (str,),
    (FourTuple, _NONE),
    (int, _NONE),
    (int, _NONE),
    (str, _NONE),
)
