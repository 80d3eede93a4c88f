"""TCP options of cases: tokens to octets, and octets to what a receiver has to make of them.

Written from the RFCs and without `xsocket.tcp.options`, whose bugs it has to tell.
"""

from __future__ import annotations

import re
from functools import lru_cache
from struct import pack, unpack_from
from typing import Final, NamedTuple, Protocol

MOST_OCTETS: Final = 40
PEER_CLOCK: Final = 0xFFFF_E000
"""Where the timestamps of the peers begin, so that they pass the seam of the circle within ten seconds."""

_STATIC: Final = {
    "nop": b"\x01",
    "eol": b"\x00",
    "sackok": b"\x04\x02",
    "tfo": b"\x22\x02",
    "tfo wrong": b"\x22\x0aWRONGWRO",
}
_NUMBERED: Final = {
    "mss": (b"\x02\x04", ">H", 65_535),
    "wscale": (b"\x03\x03", ">B", 255),
    "uto": (b"\x1c\x04", ">H", 65_535),
}
_STAMPS: Final = {
    "ts": (0, 0),
    "ts same": (None, 0),
    "ts old": (-1, 0),
    "ts older": (-(1 << 30), 0),
    "ts far": (1 << 30, 0),
    "ts ahead": (5_000, 0),
    "ts zero echo": (0, None),
    "ts wrong echo": (0, 1 << 20),
}
"""What is added to TSval and TSecr; None for the TSval sent last, and for a TSecr of zero.

``old`` is one before the newest that was ever sent.
"""
_COOKIES: Final = ("tfo cookie", "tfo other")
TOKENS: Final = (
    *_STATIC,
    *(f"{name} N" for name in _NUMBERED),
    *_STAMPS,
    *_COOKIES,
    "sack A-B",
    "raw HEX",
)
"""``N`` is a number; ``sack A-B`` a block of the target's text, as octets from the oldest in flight."""


class Numbers(Protocol):
    """What a peer knows that its options depend on."""

    ts_sent: int | None
    """Its newest TSval; None before the first."""
    ts_heard: int
    """The newest TSval of the target; 0 before any."""
    target_una: int
    """The oldest number of the target that the peer has not acknowledged."""
    cookie: bytes
    """The Fast Open cookie that the target gave; empty for none."""
    other_cookie: bytes
    """The one that it gave another address."""


def is_token(text: object) -> bool:
    """Whether *text* is one of `TOKENS`."""
    if not isinstance(text, str):
        return False
    if text in _STATIC or text in _STAMPS or text in _COOKIES:
        return True
    if re.fullmatch(r"raw ([0-9a-f]{2}){1,40}", text) or re.fullmatch(r"sack \d{1,6}-\d{1,6}", text):
        return True
    found = re.fullmatch(r"(mss|wscale|uto) (\d{1,5})", text)
    return found is not None and int(found[2]) <= _NUMBERED[found[1]][2]


def encode(tokens: tuple[str, ...], numbers: Numbers, now: float) -> bytes:
    """Return the options that *tokens* stand for, in whole words; what is beyond ten of them is cut off."""
    if not tokens:
        return b""
    raw = b"".join(_static(token) or _dynamic(token, numbers, now) for token in tokens)[:MOST_OCTETS]
    return raw + bytes(-len(raw) % 4)


@lru_cache(maxsize=4096)
def _static(token: str) -> bytes:
    name, _, argument = token.partition(" ")
    if name == "raw":
        return bytes.fromhex(argument)
    if name in _NUMBERED:
        head, form, _ = _NUMBERED[name]
        return head + pack(form, int(argument))
    return _STATIC.get(token, b"")


def _dynamic(token: str, numbers: Numbers, now: float) -> bytes:
    if token in _STAMPS:
        return _timestamps(token, numbers, now)
    if token in _COOKIES:
        cookie = numbers.cookie if token == _COOKIES[0] else numbers.other_cookie
        return pack("BB", 34, 2 + len(cookie)) + cookie
    left, _, right = token.removeprefix("sack ").partition("-")
    edges = ((numbers.target_una + int(edge)) & 0xFFFF_FFFF for edge in (left, right))
    return b"\x05\x0a" + pack(">II", *edges)


def _timestamps(token: str, numbers: Numbers, now: float) -> bytes:
    of_value, of_echo = _STAMPS[token]
    clock = (PEER_CLOCK + int(now * 1000)) & 0xFFFF_FFFF
    newest = clock if numbers.ts_sent is None else numbers.ts_sent
    if of_value is None:
        value = newest
    elif of_value < 0:
        value = (newest + of_value) & 0xFFFF_FFFF
    else:
        value = (clock + of_value) & 0xFFFF_FFFF
    if numbers.ts_sent is None or 0 < (value - numbers.ts_sent) & 0xFFFF_FFFF < 1 << 29:
        numbers.ts_sent = value
    echo = 0 if of_echo is None else (numbers.ts_heard + of_echo) & 0xFFFF_FFFF
    return b"\x08\x0a" + pack(">II", value, echo)


class Options(NamedTuple):
    """What a receiver reads in the options of a segment; None or empty for what is not there.

    Attributes:
        mss: RFC 9293 section 3.7.1. Zero says nothing.
        shift: RFC 7323 section 2.2, as sent.
        sack_ok: RFC 2018 section 2.
        ts: TSval and TSecr, RFC 7323 section 3.2.
        sack: Blocks, RFC 2018 section 3.
        cookie: RFC 7413 section 4.1.1; empty for a request.
    """

    mss: int | None = None
    shift: int | None = None
    sack_ok: bool = False
    ts: tuple[int, int] | None = None
    sack: tuple[tuple[int, int], ...] = ()
    cookie: bytes | None = None


NONE: Final = Options()


@lru_cache(maxsize=8192)
def read(raw: bytes) -> Options:
    """Return what *raw* says.

    An option of a wrong length is as if it were not there (RFC 9293 section 3.1, MUST-6, MUST-7). One whose
    length runs past the end, or is below two, ends the list: nobody knows where the next begins.
    """
    if not raw:
        return NONE
    found = dict.fromkeys(Options._fields)
    at = 0
    while at < len(raw) and raw[at] != 0:
        if raw[at] == 1:
            at += 1
            continue
        size = raw[at + 1] if at + 1 < len(raw) else 0
        if size < 2 or at + size > len(raw):
            break
        _note(raw[at], raw[at + 2 : at + size], found)
        at += size
    return Options(
        found["mss"],
        found["shift"],
        bool(found["sack_ok"]),
        found["ts"],
        found["sack"] or (),
        found["cookie"],
    )


def _note(kind: int, data: bytes, found: dict[str, object]) -> None:
    size = len(data)
    if kind == 2 and size == 2:
        found["mss"] = unpack_from(">H", data)[0] or found["mss"]
    elif kind == 3 and size == 1:
        found["shift"] = data[0]
    elif kind == 4 and size == 0:
        found["sack_ok"] = True
    elif kind == 8 and size == 8:
        found["ts"] = unpack_from(">II", data)
    elif kind == 5 and size and size % 8 == 0:
        found["sack"] = tuple(unpack_from(">II", data, at) for at in range(0, size, 8))
    elif kind == 34 and size % 2 == 0:
        found["cookie"] = data if size == 0 or 4 <= size <= 16 else None
