"""A case: a list of operations, and the rules that the target plays by. As values, and as JSON.

Sequence and acknowledgment numbers are places relative to the live connection, so that a case means the same
on every target and with every initial sequence number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, Final, NamedTuple

from xsocket.config import TcpConfig
from xsocket.segment import ACK, LETTERS
from xsocket_tools.errors import ToolError
from xsocket_tools.fuzzing.cast import PEERS

VERSION: Final = 1
"""Of the file format. A file of a later version is refused, never guessed at."""
MOST_OPERATIONS: Final = 1_000
MOST_TEXT: Final = 8_000
MOST_SECONDS: Final = 3_000_000.0
MOST_OCTETS: Final = 10_000_000
"""The largest case file that is read."""


class CaseError(ToolError):
    """A case file cannot be read."""

    remedy = "docs/reference/fuzz-cases.md says what a case file holds."
    exit_status = 2


class Place(NamedTuple):
    """A number relative to the live connection: one of `SEQUENCES` or `ACKNOWLEDGMENTS`, and some further."""

    name: str
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.name}{self.offset:+d}" if self.offset else self.name


SEQUENCES: Final = (
    *("next", "old", "duplicate", "start"),
    *("left", "right", "beyond", "far", "wrapped", "zero", "other"),
)
"""What a sequence number can stand by.

``next`` is what the peer would send next, ``old`` the number before, ``duplicate`` what it sent last,
``start`` its initial number; ``left`` and ``right`` are the first and the last number in the window that the
target has offered, ``beyond`` the one after; ``far`` is a quarter and ``wrapped`` half of the circle ahead.
``other`` is what would be next on the connection of the peer that spoke last.
"""
ACKNOWLEDGMENTS: Final = (
    *("next", "duplicate", "old", "start"),
    *("left", "below", "beyond", "far", "wrapped", "zero", "other"),
)
"""What an acknowledgment number can stand by.

``next`` acknowledges all that the target has sent, ``duplicate`` as much as before, ``old`` one number less,
``start`` not even its SYN; ``left`` is the oldest that RFC 5961 section 5 lets pass, ``below`` the one
before; ``beyond`` acknowledges the next number, which was never sent; the others are as above.
"""
NEXT: Final = Place("next")

DAMAGES: Final = {
    "checksum": "TCP checksum wrong",
    "zero checksum": "TCP checksum field zero",
    "ip checksum": "IPv4 header checksum wrong",
    "offset 4": "TCP data offset below five words",
    "offset past the end": "TCP data offset behind the segment's end",
    "truncated": "IP packet cut within the TCP header, with lengths to match",
    "ip length long": "IP length beyond the frame",
    "ip length short": "IP length that cuts the TCP header",
    "fragment": "the first fragment of several",
    "version": "IP version that does not match the frame",
    "port zero": "source port 0",
    "to broadcast": "to a broadcast or multicast address, in a frame for the target",
    "from multicast": "from a multicast address",
    "from target": "from the target's own address",
    "from loopback": "from a loopback address",
    "header length": "IPv4 header length below five words, or an IPv6 extension that runs past the end",
    "unknown option": "IPv6 with an option that must not be skipped by who does not know it",
}
"""What makes a frame one to be ignored, and how."""
ODDITIES: Final = {
    "trailer": "Ethernet padding behind the packet",
    "ip options": "IPv4 with options that do nothing, or IPv6 with a hop-by-hop header that does nothing",
    "destination options": "IPv6 with sixteen octets of destination options that do nothing",
    "ttl 1": "time to live 1",
    "tos": "differentiated services codepoint set",
    "reserved": "a reserved bit of the TCP header set",
}
"""What is unusual, and changes nothing."""

ONLY_IN: Final = {"ip checksum": 4, "unknown option": 6, "destination options": 6}
"""The IP version that a twist is for; in the other it changes nothing."""

FLAG_LETTERS: Final = {letter: bit for bit, letter in LETTERS} | {".": ACK}


class Say(NamedTuple):
    """A peer sends a segment.

    Attributes:
        peer: Which, an index of `PEERS`.
        flags: The control bits.
        seq, ack: Where its numbers are. Without the ACK bit the field has the number all the same.
        text: Octets of text. What they are follows from their sequence numbers.
        options: Tokens of `options.TOKENS`, in order.
        window: The window field.
        urgent: The urgent pointer.
        ecn: The ECN field of the IP header.
        joined: Whether it arrives together with the next segment, if that is another peer's.
        twist: One of `DAMAGES` or `ODDITIES`; ``flip N`` for bit N of the IP packet, before the checksums
            are computed; or empty.
    """

    peer: int
    flags: int
    seq: Place = NEXT
    ack: Place = NEXT
    text: int = 0
    options: tuple[str, ...] = ()
    window: int = 65_535
    urgent: int = 0
    ecn: int = 0
    twist: str = ""
    joined: bool = False


ICMP_KINDS: Final = {
    "net unreachable": (3, 0),
    "host unreachable": (3, 1),
    "protocol unreachable": (3, 2),
    "port unreachable": (3, 3),
    "too big": (3, 4),
    "prohibited": (3, 13),
    "source quench": (4, 0),
    "time exceeded": (11, 0),
    "parameter problem": (12, 0),
}
"""Type and code in ICMP; ICMPv6 has its own for the same."""


class Icmp(NamedTuple):
    """A router says what became of a segment that the target sent to *peer*.

    Attributes:
        peer: Whom the segment was for.
        kind: One of `ICMP_KINDS`.
        seq: The sequence number that is quoted, by its place among `ACKNOWLEDGMENTS`: ``duplicate`` is the
            oldest that is in flight, ``next`` the first that was not sent.
        mtu: What "too big" says of the path, octets.
        quoted: How many octets of the TCP header are quoted.
    """

    peer: int
    kind: str
    seq: Place = Place("duplicate")
    mtu: int = 0
    quoted: int = 20


class Tick(NamedTuple):
    """Time passes."""

    seconds: float


CALLS: Final = ("open", "claim", "claim any", "send", "receive", "shutdown", "close", "abort")


class Call(NamedTuple):
    """The target's user does something with the connection to *peer*.

    Attributes:
        peer: Which.
        name: One of `CALLS`: ``open`` actively, without waiting; ``claim`` what has been established, or
            ``claim any`` that has;
            ``send`` or ``receive`` up to *size* octets; ``shutdown`` finishes sending and goes on reading,
            ``close`` lets go of the connection, ``abort`` resets it.
        size: Octets.
    """

    peer: int
    name: str
    size: int = 0


Operation = Say | Icmp | Tick | Call


class Case(NamedTuple):
    """What is put to a target that has just begun.

    Attributes:
        operations: What happens, in order.
        rules: Fields of `TcpConfig`, in order of their names; Linux is set those that it has as sysctls.
        isn: Where the peers' initial sequence numbers begin.
        seed: Of what the target leaves to chance, where it lets itself be told.
    """

    operations: tuple[Operation, ...]
    rules: tuple[tuple[str, Any], ...] = ()
    isn: int = 0xFFFF_FFC0
    seed: int = 0

    @property
    def config(self) -> TcpConfig:
        """The rules, in full."""
        return config_of(self.rules)


@lru_cache(maxsize=4096)
def config_of(rules: tuple[tuple[str, Any], ...]) -> TcpConfig:
    """Return the rules that a case has, in full; the same object for the same rules."""
    return TcpConfig(**dict(rules))


# As JSON

_KINDS: Final[dict[str, type[Operation]]] = {"say": Say, "icmp": Icmp, "tick": Tick, "call": Call}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


@lru_cache(maxsize=4096)
def letters_of(flags: int) -> str:
    """Return control bits as tcpdump writes them, and reserved ones as a number behind them."""
    text = "".join(letter for letter, bit in FLAG_LETTERS.items() if flags & bit)
    return (text + (f" {flags & 0xE00:#x}" if flags & 0xE00 else "")).strip() or "-"


def as_dict(case: Case) -> dict[str, Any]:
    """Return plain values that JSON can hold; what is as usual is left out."""
    return {
        "version": VERSION,
        "isn": case.isn,
        "seed": case.seed,
        "rules": dict(case.rules),
        "operations": [_operation_as_dict(operation) for operation in case.operations],
    }


def as_json(case: Case) -> str:
    """Return the text of a case file: an operation a line."""
    plain = as_dict(case)
    operations = ",\n".join(f"    {json.dumps(each)}" for each in plain.pop("operations"))
    head = json.dumps(plain, indent=2)[:-2]
    return f'{head},\n  "operations": [\n{operations}\n  ]\n}}\n'


def _operation_as_dict(operation: Operation) -> dict[str, Any]:
    plain: dict[str, Any] = {"do": _NAMES[type(operation)]}
    defaults = operation._field_defaults
    for name, value in zip(operation._fields, operation, strict=True):
        if name in defaults and value == defaults[name] and name not in ("seq", "ack"):
            continue
        if name == "flags":
            assert isinstance(operation, Say)
            value = letters_of(operation.flags)
        elif isinstance(value, Place):
            value = str(value)
        elif isinstance(value, tuple):
            value = list(value)
        plain[name] = value
    return plain


def from_json(text: str) -> Case:
    """Return the case that a file holds.

    Raises:
        CaseError: It is none, or one of a later version.
    """
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise CaseError(f"no JSON: {error}") from None
    except RecursionError:
        raise CaseError("no case: nested too deeply") from None
    return from_dict(plain)


def from_dict(plain: Any) -> Case:  # noqa: ANN401
    """Return the case that plain values describe; see `from_json`."""
    if not isinstance(plain, dict):
        raise CaseError("a case is a JSON object")
    version = plain.get("version")
    if version != VERSION:
        raise CaseError(f"the case has version {version!r}, and this is for {VERSION}")
    unknown = plain.keys() - {"version", "isn", "seed", "rules", "operations"}
    if unknown:
        raise CaseError(f"a case has no {', '.join(sorted(unknown))}")
    operations = plain.get("operations")
    if not isinstance(operations, list) or len(operations) > MOST_OPERATIONS:
        raise CaseError(f"`operations` is a list of at most {MOST_OPERATIONS}")
    isn = _whole(plain.get("isn", 0), 0, 0xFFFF_FFFF, "isn")
    seed = _whole(plain.get("seed", 0), 0, (1 << 64) - 1, "seed")
    read = []
    for at, each in enumerate(operations, start=1):
        try:
            read.append(_operation(each))
        except CaseError as error:
            raise CaseError(f"operation {at}: {error.message}") from None
    return Case(tuple(read), _rules(plain.get("rules", {})), isn, seed)


def rules_of(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return rules as a case has them."""
    return tuple(sorted(values.items()))


def _rules(plain: Any) -> tuple[tuple[str, Any], ...]:  # noqa: ANN401
    if not isinstance(plain, dict):
        raise CaseError("`rules` is an object with fields of TcpConfig")
    known = {each.name for each in fields(TcpConfig)}
    for name in plain:
        if name not in known:
            raise CaseError(f"TcpConfig has no rule {name!r}")
    try:
        TcpConfig(**plain)
    except (ValueError, TypeError) as error:
        raise CaseError(f"rules: {error}") from None
    return rules_of(plain)


def _operation(plain: Any) -> Operation:  # noqa: ANN401
    if not isinstance(plain, dict) or plain.get("do") not in _KINDS:
        raise CaseError(f"`do` is one of {', '.join(_KINDS)}")
    kind = _KINDS[plain["do"]]
    given = {name: value for name, value in plain.items() if name != "do"}
    unknown = given.keys() - set(kind._fields)
    if unknown:
        raise CaseError(f"{plain['do']} has no {', '.join(sorted(unknown))}")
    missing = [name for name in kind._fields if name not in kind._field_defaults and name not in given]
    if missing:
        raise CaseError(f"{', '.join(missing)} is missing")
    read = {name: _READERS[name](value, name, kind) for name, value in given.items()}
    return kind(**read)


def _whole(value: Any, low: int, high: int, name: str) -> int:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise CaseError(f"{name} is a whole number from {low} to {high}, not {value!r}")
    return value


def _one_of(value: Any, choices: Iterable[str], name: str) -> str:  # noqa: ANN401
    if value not in choices or not isinstance(value, str):
        raise CaseError(f"{name} is one of {', '.join(choices)}, not {value!r}")
    return value


def _flags(value: Any, name: str, _: type) -> int:  # noqa: ANN401
    found = re.fullmatch(r"([A-Z.]*|-)(?: ?0x([0-9a-f]{1,3}))?", value) if isinstance(value, str) else None
    if found is None or any(letter not in FLAG_LETTERS for letter in found[1].strip("-")):
        raise CaseError(f"{name} are letters as tcpdump writes them, such as S. or F., not {value!r}")
    flags = int(found[2] or "0", 16) & 0xE00
    for letter in found[1].strip("-"):
        flags |= FLAG_LETTERS[letter]
    return flags


def _place(value: Any, name: str, kind: type) -> Place:  # noqa: ANN401
    names = SEQUENCES if name == "seq" and kind is Say else ACKNOWLEDGMENTS
    found = re.fullmatch(r"([a-z]+)([+-]\d{1,10})?", value) if isinstance(value, str) else None
    if found is None or found[1] not in names:
        raise CaseError(f"{name} is one of {', '.join(names)}, with +N or -N behind it, not {value!r}")
    return Place(found[1], int(found[2] or 0))


def _twist(value: Any, name: str, _: type) -> str:  # noqa: ANN401
    if isinstance(value, str) and re.fullmatch(r"flip \d{1,4}", value):
        return value
    return _one_of(value, ("", *DAMAGES, *ODDITIES), name)


def _options(value: Any, name: str, _: type) -> tuple[str, ...]:  # noqa: ANN401
    from xsocket_tools.fuzzing.options import is_token

    if not isinstance(value, list) or len(value) > 40 or not all(map(is_token, value)):
        raise CaseError(f"{name} is a list of option tokens, such as ['mss 1460', 'sackok']")
    return tuple(value)


def _truth(value: Any, name: str, _: type) -> bool:  # noqa: ANN401
    if not isinstance(value, bool):
        raise CaseError(f"{name} is true or false, not {value!r}")
    return value


def _seconds(value: Any, name: str, _: type) -> float:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_SECONDS:
        raise CaseError(f"{name} is a number from 0 to {MOST_SECONDS:g}, not {value!r}")
    return float(value)


_READERS: Final[dict[str, Any]] = {
    "peer": lambda value, name, _: _whole(value, 0, len(PEERS) - 1, name),
    "flags": _flags,
    "seq": _place,
    "ack": _place,
    "text": lambda value, name, _: _whole(value, 0, MOST_TEXT, name),
    "options": _options,
    "window": lambda value, name, _: _whole(value, 0, 65_535, name),
    "urgent": lambda value, name, _: _whole(value, 0, 65_535, name),
    "ecn": lambda value, name, _: _whole(value, 0, 3, name),
    "twist": _twist,
    "joined": _truth,
    "kind": lambda value, name, _: _one_of(value, ICMP_KINDS, name),
    "mtu": lambda value, name, _: _whole(value, 0, 65_535, name),
    "quoted": lambda value, name, _: _whole(value, 0, 20, name),
    "seconds": _seconds,
    "name": lambda value, name, _: _one_of(value, CALLS, name),
    "size": lambda value, name, _: _whole(value, 0, 1 << 20, name),
}
