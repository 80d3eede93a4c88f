"""The messages between a pool server and its clients: what they mean, and their octets. Pure.

A Unix socket of type SOCK_SEQPACKET keeps them apart; each is one JSON object of at most `MOST_OCTETS`. The
client asks, one thing at a time, and the server answers:

    claim           connection (its descriptor comes along, by SCM_RIGHTS), or error
      withdraw      withdrawn: whatever the claim got was taken back
      acknowledge   nothing: from now on the connection is the client's
    list            listing, once or several times; `more` says which
    statistics      statistics
    watch           events, for as long as the client stays

An error has the name of one of the classes in `ERRORS`. What is malformed raises `PoolProtocolError`.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any, Final, NamedTuple, TypeVar

from xsocket.errors import (
    AlreadyClaimedError,
    BadAddressError,
    CannotHandOverError,
    ClaimTimeout,
    EngineStateError,
    HandoffError,
    NotKernelAddressError,
    PoolAccessError,
    PoolBusyError,
    PoolClosed,
    PoolProtocolError,
    XsocketError,
)
from xsocket.fourtuple import FourTuple
from xsocket.handoff.kernel import HandoffStatistics
from xsocket.pattern import Pattern
from xsocket.pool import PoolStatistics
from xsocket.sharing.happening import Happening, ServerStatistics
from xsocket.waiting import Wanted

MOST_OCTETS: Final = 4096
"""The size of a message, at most."""
LONGEST_TIMEOUT_S: Final = 1e9
"""What is longer is sent as this: 31 years."""
LISTED: Final = 32
"""How many 4-tuples a listing has, at most: each takes 100 octets, at most."""
TOLD: Final = 10
"""How many events a message has, at most: each takes 380 octets, at most."""
_LONGEST_TEXT: Final = 512
"""Characters of the message of an error."""

ERRORS: Final[Mapping[str, type[XsocketError]]] = {
    kind.__name__: kind
    for kind in (
        AlreadyClaimedError,
        BadAddressError,
        CannotHandOverError,
        ClaimTimeout,
        EngineStateError,
        HandoffError,
        NotKernelAddressError,
        PoolAccessError,
        PoolBusyError,
        PoolClosed,
        PoolProtocolError,
    )
}
"""What a server may answer with, by name."""


# Requests


class Claim(NamedTuple):
    """A connection is wanted; the arguments of `xsocket.ConnectionPool.claim`."""

    wanted: Wanted = None
    timeout: float | None = None


class Withdraw(NamedTuple):
    """The claim that is under way is not wanted any more."""


class Acknowledge(NamedTuple):
    """The connection has come, and its descriptor."""


class List(NamedTuple):
    """What waits in the pool?"""


class AskStatistics(NamedTuple):
    """What was counted?"""


class Watch(NamedTuple):
    """What happens from now on?"""


Request = Claim | Withdraw | Acknowledge | List | AskStatistics | Watch


# Answers


class Given(NamedTuple):
    """A connection; one descriptor comes along."""

    four_tuple: FourTuple


class Withdrawn(NamedTuple):
    """There is no claim any more."""


class Refused(NamedTuple):
    """An error: the name of its class, and its message without the remedy."""

    name: str
    message: str

    @classmethod
    def because(cls, error: XsocketError) -> "Refused":
        """Return what tells a client of *error*."""
        message = str(error.args[0]) if error.args else ""
        for kind in type(error).__mro__:
            if kind.__name__ in ERRORS:
                return cls(kind.__name__, message[:_LONGEST_TEXT])
        return cls(PoolProtocolError.__name__, f"{type(error).__name__}: {message}"[:_LONGEST_TEXT])

    def error(self) -> XsocketError:
        """Return what a client raises."""
        return ERRORS[self.name](self.message)


class Listing(NamedTuple):
    """Connections that wait, oldest first; *more* says whether another message follows."""

    four_tuples: tuple[FourTuple, ...]
    more: bool


class Statistics(NamedTuple):
    """Everything a pool server counts."""

    pool: PoolStatistics
    server: ServerStatistics
    handoff: HandoffStatistics


class Events(NamedTuple):
    """What happened, in order; before that *missed* events were not told, for the client did not read."""

    happenings: tuple[Happening, ...]
    missed: int = 0


Answer = Given | Withdrawn | Refused | Listing | Statistics | Events


# Octets

_REQUESTS: Final[dict[str, type[Request]]] = {
    "claim": Claim,
    "withdraw": Withdraw,
    "acknowledge": Acknowledge,
    "list": List,
    "statistics": AskStatistics,
    "watch": Watch,
}
_NAMES: Final = {kind: name for name, kind in _REQUESTS.items()}
_PATTERN_FIELDS: Final = frozenset({"local", "local_port", "remote", "remote_port"})

_as_json: Final = json.JSONEncoder(separators=(",", ":")).encode
_from_json: Final = json.JSONDecoder().decode

T = TypeVar("T")


def encode_request(request: Request) -> bytes:
    """Return the octets of *request*.

    Raises:
        PoolProtocolError: They would be too many: a pattern of very many parts.
    """
    plain: dict[str, Any] = {"ask": _NAMES[type(request)]}
    if isinstance(request, Claim):
        if request.wanted is not None:
            plain["wanted"] = _plain_wanted(request.wanted)
        if request.timeout is not None:
            plain["timeout"] = min(request.timeout, LONGEST_TIMEOUT_S)
    return _encoded(plain)


def parse_request(octets: bytes) -> Request:
    """Return what a client asks for.

    Raises:
        PoolProtocolError: It is no request.
    """
    if octets in _FREQUENT:
        return _FREQUENT[octets]
    plain = _decoded(octets)
    ask = plain.pop("ask", None)
    kind = _REQUESTS.get(ask) if isinstance(ask, str) else None
    if kind is None:
        raise PoolProtocolError(f"{_shortened(ask)} is not among {', '.join(_REQUESTS)}")
    if kind is not Claim:
        _refuse_rest(plain)
        return kind()
    request = Claim(_wanted(plain.pop("wanted", None)), _timeout(plain.pop("timeout", None)))
    _refuse_rest(plain)
    return request


def encode_answer(answer: Answer) -> bytes:
    """Return the octets of *answer*; one of ours always fits."""
    match answer:
        case Given(four_tuple):
            plain: dict[str, Any] = {"answer": "connection", "four_tuple": four_tuple}
        case Withdrawn():
            plain = {"answer": "withdrawn"}
        case Refused(name, message):
            plain = {"answer": "error", "name": name, "message": message}
        case Listing(four_tuples, more):
            plain = {"answer": "listing", "connections": four_tuples, "more": more}
        case Statistics():
            counted = {part: values._asdict() for part, values in answer._asdict().items()}
            plain = {"answer": "statistics", **counted}
        case Events(happenings, missed):
            told = [happening.as_dict() for happening in happenings]
            plain = {"answer": "events", "events": told, "missed": missed}
    return _encoded(plain)


def parse_answer(octets: bytes) -> Answer:
    """Return what a server answered.

    Raises:
        PoolProtocolError: It is no answer.
    """
    plain = _decoded(octets)
    name = plain.pop("answer", None)
    parse = _ANSWERS.get(name) if isinstance(name, str) else None
    if parse is None:
        raise PoolProtocolError(f"{_shortened(name)} is not among {', '.join(_ANSWERS)}")
    try:
        return parse(plain)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PoolProtocolError(f"half a {name}: {octets[:80]!r}") from error


_ANSWERS: Final[dict[str, Callable[[dict[str, Any]], Answer]]] = {
    "connection": lambda plain: Given(_four_tuple(plain["four_tuple"])),
    "withdrawn": lambda _plain: Withdrawn(),
    "error": lambda plain: _refused(plain["name"], plain["message"]),
    "listing": lambda plain: Listing(
        tuple(_four_tuple(each) for each in plain["connections"]), bool(plain["more"])
    ),
    "statistics": lambda plain: Statistics(
        PoolStatistics(**plain["pool"]),
        ServerStatistics(**plain["server"]),
        HandoffStatistics(**plain["handoff"]),
    ),
    "events": lambda plain: Events(
        tuple(Happening.of(each) for each in plain["events"]), int(plain["missed"])
    ),
}


def _encoded(plain: Mapping[str, Any]) -> bytes:
    octets = _as_json(plain).encode()
    if len(octets) > MOST_OCTETS:
        raise PoolProtocolError(f"a message of {len(octets)} octets, and {MOST_OCTETS} fit")
    return octets


def _decoded(octets: bytes) -> dict[str, Any]:
    if len(octets) > MOST_OCTETS:
        raise PoolProtocolError(f"a message is longer than {MOST_OCTETS} octets")
    try:
        plain = _from_json(octets.decode())
    except (ValueError, RecursionError) as error:
        raise PoolProtocolError(f"not JSON: {_shortened(octets)}") from error
    if not isinstance(plain, dict):
        raise PoolProtocolError(f"not a JSON object: {_shortened(octets)}")
    return plain


def _refuse_rest(plain: Mapping[str, Any]) -> None:
    if plain:
        raise PoolProtocolError(f"{_shortened(next(iter(plain)))} says nothing here")


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _plain_wanted(wanted: FourTuple | Pattern) -> Any:  # noqa: ANN401  # what JSON holds
    if isinstance(wanted, FourTuple):
        return wanted
    fields = {name: getattr(wanted, name) for name in sorted(_PATTERN_FIELDS)}
    return {name: str(value) for name, value in fields.items() if value is not None}


def _wanted(plain: object) -> Wanted:
    if plain is None:
        return None
    if isinstance(plain, list):
        return _four_tuple(plain)
    if not isinstance(plain, dict) or not plain.keys() <= _PATTERN_FIELDS:
        raise PoolProtocolError(f"{_shortened(plain)} is no 4-tuple and no pattern")
    if not all(isinstance(value, str) for value in plain.values()):
        raise PoolProtocolError("the fields of a pattern are text")
    return _judged(lambda: Pattern(**{name: value or () for name, value in plain.items()}))


def _four_tuple(plain: Iterable[Any]) -> FourTuple:
    local, local_port, remote, remote_port = _fields(plain, str, int, str, int)
    return _judged(lambda: FourTuple(local, local_port, remote, remote_port))


def _fields(plain: Iterable[Any], *kinds: type) -> tuple[Any, ...]:
    fields = tuple(plain)
    if tuple(map(type, fields)) != kinds:
        raise PoolProtocolError(f"{_shortened(plain)} is no 4-tuple")
    return fields


def _judged(make: Callable[[], T]) -> T:
    try:
        return make()
    except BadAddressError as error:
        raise PoolProtocolError(_shortened_text(str(error.args[0]))) from error


def _shortened_text(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


def _timeout(plain: object) -> float | None:
    if plain is None:
        return None
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise PoolProtocolError(f"{_shortened(plain)} is not a number of seconds")
    if not (0 <= plain <= LONGEST_TIMEOUT_S and isfinite(plain)):
        raise PoolProtocolError(f"a timeout is from 0 to {LONGEST_TIMEOUT_S:g} s")
    return plain


def _refused(name: object, message: object) -> Refused:
    if not isinstance(name, str) or not isinstance(message, str):
        raise TypeError("an error is told in text")
    if name in ERRORS:
        return Refused(name, message)
    return Refused(PoolProtocolError.__name__, f"{name}: {message}")  # of a server that knows more than we


_FREQUENT: Final[dict[bytes, Request]] = {
    encode_request(request): request for request in (Acknowledge(), Claim())
}
"""What need not be looked at twice."""
