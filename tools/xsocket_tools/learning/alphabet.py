"""Letters: what can be done to a target in one step, with numbers relative to the live connection.

A letter is an operation of `xsocket_tools.fuzzing.case`, a `Say` or a `Call`, with a name. Of the places of
its numbers, ``next`` is what the target has last said that it expects; see `asking`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from xsocket.segment import ACK, FIN, PSH, RST, SYN, URG
from xsocket_tools.fuzzing import case
from xsocket_tools.fuzzing.case import Call, Case, CaseError, Place, Say
from xsocket_tools.fuzzing.cast import OPENED, SERVED
from xsocket_tools.learning.errors import AlphabetError

VERSION: Final = 1
"""Of the file format. A file of a later version is refused, never guessed at."""
MOST_LETTERS: Final = 500
MOST_OCTETS: Final = 1_000_000
"""The largest file of letters that is read."""

PEERS: Final = {"server": SERVED[0], "client": OPENED[0]}
"""Whose connection is learned: one to a port that the target listens on, or one that it opens."""

Letter = Say | Call
Alphabet = dict[str, Letter]

IN_WINDOW: Final = Place("next", 100)
OUT_OF_WINDOW: Final = Place("next", 1 << 28)
OLD: Final = Place("next", -1)
FUTURE: Final = Place("next", 1000)

_BITS: Final = {"SYN": SYN, "FIN": FIN, "RST": RST, "PSH": PSH, "ACK": ACK, "URG": URG}


def _basic(peer: int) -> Alphabet:
    return {
        "SYN": Say(peer, SYN),
        "SYN old": Say(peer, SYN, OLD),
        "SYN+ACK": Say(peer, SYN | ACK),
        "ACK": Say(peer, ACK),
        "ACK future": Say(peer, ACK, ack=FUTURE),
        "ACK+data": Say(peer, ACK, text=1),
        "FIN+ACK": Say(peer, FIN | ACK),
        "RST": Say(peer, RST),
        "RST in window": Say(peer, RST, IN_WINDOW),
        "RST out of window": Say(peer, RST, OUT_OF_WINDOW),
        "RST+ACK": Say(peer, RST | ACK),
        "SYN+FIN": Say(peer, SYN | FIN),
        "no flags": Say(peer, 0),
    }


_WRONG_SEQUENCES: Final = {
    "old": OLD,
    "in window": IN_WINDOW,
    "at the right edge": Place("right"),
    "beyond the window": Place("beyond"),
    "far": Place("far"),
}
_WRONG_ACKNOWLEDGMENTS: Final = {
    "ack old": OLD,
    "ack too old": Place("below"),
    "ack beyond": Place("beyond"),
    "ack far": Place("far"),
    "ack wrapped": Place("wrapped"),
}


def _invalid(peer: int) -> Alphabet:
    """Four that are right, to get anywhere, and what is wrong with them, one thing at a time."""
    right = {name: letter for name, letter in _basic(peer).items() if name in _TO_GET_ANYWHERE}
    wrong: Alphabet = {}
    for name, letter in {**right, "RST": Say(peer, RST)}.items():
        assert isinstance(letter, Say), name
        wrong |= {f"{name} {how}": letter._replace(seq=place) for how, place in _WRONG_SEQUENCES.items()}
        if letter.flags & ACK:
            wrong |= {f"{name} {how}": letter._replace(ack=at) for how, at in _WRONG_ACKNOWLEDGMENTS.items()}
    return right | wrong


_TO_GET_ANYWHERE: Final = ("SYN", "ACK", "ACK+data", "FIN+ACK")


def _flags(peer: int) -> Alphabet:
    """Every set of the six control bits with and without an octet of text, and a SYN that comes again."""
    letters: Alphabet = {}
    for flags in range(64):
        name = "+".join(word for word, bit in _BITS.items() if flags & bit) or "no flags"
        letters[name] = Say(peer, flags)
        letters[f"{name}+data"] = Say(peer, flags, text=1)
    return letters | {"SYN old": Say(peer, SYN, OLD)}


def _calls(peer: int) -> Alphabet:
    """What the user can do as well, and a FIN that crosses the target's: it acknowledges no FIN."""
    calls: Alphabet = {
        "FIN+ACK crossing": Say(peer, FIN | ACK, ack=OLD),
        "claim": Call(peer, "claim"),
        "send": Call(peer, "send", 1),
        "shutdown": Call(peer, "shutdown"),
        "close": Call(peer, "close"),
        "abort": Call(peer, "abort"),
    }
    if peer in OPENED:
        del calls["claim"]
    return _basic(peer) | calls


BUILT_IN: Final = {"basic": _basic, "invalid": _invalid, "flags": _flags, "calls": _calls}


def alphabet_of(name: str, role: str) -> Alphabet:
    """Return the letters that *name* stands for, one of `BUILT_IN` or a file; a client's have ``open``.

    Raises:
        AlphabetError: There is no such file, or it cannot be read.
    """
    peer = PEERS[role]
    if name in BUILT_IN:
        letters = BUILT_IN[name](peer)
        return {"open": Call(peer, "open"), **letters} if role == "client" else letters
    try:
        with Path(name).open("rb") as file:
            text = file.read(MOST_OCTETS + 1)
    except OSError as error:
        raise AlphabetError(f"{name}: {error.strerror}") from None
    if len(text) > MOST_OCTETS:
        raise AlphabetError(f"{name}: more than {MOST_OCTETS} octets")
    try:
        return from_json(text.decode(), peer)
    except UnicodeDecodeError:
        raise AlphabetError(f"{name}: not a text in UTF-8") from None
    except AlphabetError as error:
        raise AlphabetError(f"{name}: {error.message}") from None


# As JSON


def as_list(letters: Mapping[str, Letter]) -> list[dict[str, Any]]:
    """Return plain values that JSON can hold, an object for each letter; the peer is left out."""
    operations = case.as_dict(Case(tuple(letters.values())))["operations"]
    return [
        {"letter": name} | {key: value for key, value in plain.items() if key != "peer"}
        for name, plain in zip(letters, operations, strict=True)
    ]


def from_json(text: str, peer: int) -> Alphabet:
    """Return the letters that a file holds, put into the mouth of *peer*.

    Raises:
        AlphabetError: It holds none, or is of a later version.
    """
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise AlphabetError(f"no JSON: {error}") from None
    except RecursionError:
        raise AlphabetError("no alphabet: nested too deeply") from None
    if not isinstance(plain, dict):
        raise AlphabetError("an alphabet is a JSON object")
    if plain.get("version") != VERSION:
        raise AlphabetError(f"the alphabet has version {plain.get('version')!r}, and this is for {VERSION}")
    unknown = plain.keys() - {"version", "letters"}
    if unknown:
        raise AlphabetError(f"an alphabet has no {', '.join(sorted(unknown))}")
    return from_list(plain.get("letters"), peer)


def from_list(plain: Any, peer: int) -> Alphabet:  # noqa: ANN401
    """Return the letters that plain values describe; see `from_json`."""
    if not isinstance(plain, list) or not 0 < len(plain) <= MOST_LETTERS:
        raise AlphabetError(f"`letters` is a list of 1 to {MOST_LETTERS}")
    letters: Alphabet = {}
    for at, (name, letter) in enumerate(_letters(plain, peer), start=1):
        if name in letters:
            raise AlphabetError(f"letter {at}: there is a {name!r} already")
        letters[name] = letter
    return letters


def _letters(plain: list[Any], peer: int) -> Iterator[tuple[str, Letter]]:
    for at, each in enumerate(plain, start=1):
        name = each.get("letter") if isinstance(each, dict) else None
        if not isinstance(name, str) or not name.strip():
            raise AlphabetError(f"letter {at}: an object with its name as `letter`")
        if each.get("do") not in ("say", "call"):
            raise AlphabetError(f"letter {at}: `do` is say or call, for nothing else is a letter")
        operation = {"peer": peer} | {key: value for key, value in each.items() if key != "letter"}
        try:
            read = case.from_dict({"version": case.VERSION, "operations": [operation]}).operations[0]
        except CaseError as error:
            raise AlphabetError(f"letter {at}: {error.message.removeprefix('operation 1: ')}") from None
        assert isinstance(read, Say | Call), "others were refused before"
        yield name, read
