"""TCP options: the machine's view of them, and the whole truth for people and tools.

`parse` gives the machine the values it acts on. `decode` gives every option in order, padding and damage
included, and ``encode(decode(raw)) == raw`` for any octets. Both skip as Linux does: an option whose length
is wrong is passed over, one whose length runs past the end ends the list.
"""

from collections.abc import Iterable, Iterator
from math import ceil
from struct import Struct
from typing import Final, NamedTuple, Self

END: Final = 0
NOP: Final = 1
MSS: Final = 2
WINDOW_SCALE: Final = 3
SACK_PERMITTED: Final = 4
SACK: Final = 5
TIMESTAMPS: Final = 8
MD5_SIGNATURE: Final = 19
USER_TIMEOUT: Final = 28
AUTHENTICATION: Final = 29
FAST_OPEN: Final = 34
ACC_ECN: Final = (172, 174)
"""Kinds of the two orders in which its counters can stand (RFC 9768 section 3.2.3)."""
EXPERIMENTAL: Final = 254
FAST_OPEN_MAGIC: Final = b"\xf9\x89"
"""The experiment that Fast Open was before it got a kind of its own (RFC 6994, RFC 7413 section 4.1.1)."""

MAX_OCTETS: Final = 40
"""The data offset counts at most fifteen words, five of which are the fixed header (RFC 9293 section 3.1)."""
DEFAULT_MSS: Final = {4: 536, 6: 1220}
"""What a peer takes that sends no MSS option: RFC 9293 section 3.7.1 (MUST-15)."""
MAX_USER_TIMEOUT: Final = 0x7FFF
"""RFC 5482 section 3.3: the field has 15 bits."""
MAX_SHIFT: Final = 14
"""RFC 7323 section 2.3: a larger shift count is used as this."""

_TWO_WORDS: Final = Struct("!II")
_LINUX_TIMESTAMPS: Final = b"\x01\x01\x08\x0a"
_LINUX_SYN: Final = Struct("!HHIII3sB")
_LINUX_SYN_KINDS: Final = (0x0204, 0x0402080A, b"\x01\x03\x03")


_new = tuple.__new__
"""Makes a NamedTuple without the call through its Python-level constructor: half the time."""


class Parsed(NamedTuple):
    """The values that the machine acts on; None or empty where the peer sent no such option.

    Attributes:
        mss: Largest text the sender of the option takes, octets (RFC 9293 section 3.7.1).
        window_scale: Shift count as sent, not yet capped (RFC 7323 section 2).
        sack_permitted: Whether selective acknowledgment was offered (RFC 2018 section 2).
        ts_val: TSval, milliseconds of the sender's own clock (RFC 7323 section 3).
        ts_ecr: TSecr.
        sack: Left and right edges of the blocks received (RFC 2018 section 3).
        fast_open: The cookie, or the request for one (RFC 7413 section 4.1.1).
        acc_ecn: The counters of octets that came in marked packets (RFC 9768 section 3.2.3).
    """

    mss: int | None = None
    window_scale: int | None = None
    sack_permitted: bool = False
    ts_val: int | None = None
    ts_ecr: int = 0
    sack: tuple[tuple[int, int], ...] = ()
    fast_open: "FastOpen | None" = None
    acc_ecn: "AccEcn | None" = None


NOTHING: Final = Parsed()


def parse(raw: bytes) -> Parsed:
    """Return what the machine acts on; never raises. The last of several options of one kind counts."""
    if not raw:
        return NOTHING
    if len(raw) == 12 and raw[:4] == _LINUX_TIMESTAMPS:
        value, echo = _TWO_WORDS.unpack_from(raw, 4)
        return _new(Parsed, (None, None, False, value, echo, (), None, None))
    if len(raw) == 20:
        first, mss, second, value, echo, third, shift = _LINUX_SYN.unpack(raw)
        if (first, second, third) == _LINUX_SYN_KINDS:
            return _new(Parsed, (mss, shift, True, value, echo, (), None, None))
    return _parse_each(raw)


def _parse_each(raw: bytes) -> Parsed:
    mss = scale = ts_val = None
    fast_open: FastOpen | None = None
    acc_ecn: AccEcn | None = None
    permitted, ts_ecr = False, 0
    blocks: tuple[tuple[int, int], ...] = ()
    for kind, data in _walk(raw):
        size = len(data)
        if kind == MSS and size == 2:
            mss = int.from_bytes(data, "big") or mss  # as in Linux, zero says nothing
        elif kind == WINDOW_SCALE and size == 1:
            scale = data[0]
        elif kind == SACK_PERMITTED and size == 0:
            permitted = True
        elif kind == TIMESTAMPS and size == 8:
            ts_val, ts_ecr = _TWO_WORDS.unpack(data)
        elif kind == SACK and size % 8 == 0 and size:
            blocks = tuple(_TWO_WORDS.iter_unpack(data))
        elif kind == FAST_OPEN:
            fast_open = _fast_open(data, False, fast_open)
        elif kind == EXPERIMENTAL and data[:2] == FAST_OPEN_MAGIC:
            fast_open = _fast_open(data[2:], True, fast_open)
        elif kind in ACC_ECN:
            acc_ecn = _acc_ecn(kind, data)
    return Parsed(mss, scale, permitted, ts_val, ts_ecr, blocks, fast_open, acc_ecn)


def _is_cookie(size: int) -> bool:
    # RFC 7413 section 4.1.1: none, or 4 to 16 octets, an even number.
    return size == 0 or (4 <= size <= 16 and size % 2 == 0)


def _fast_open(cookie: bytes, experimental: bool, before: "FastOpen | None") -> "FastOpen | None":
    """Like Linux: of an odd length it is as if it were not there; of a wrong even one it is no cookie."""
    if len(cookie) % 2:
        return before
    return FastOpen(cookie, experimental) if _is_cookie(len(cookie)) else None


def _acc_ecn(kind: int, data: bytes) -> "AccEcn":
    """As many whole counters as there are, three at most; the rest is padding (RFC 9768 section 3.2.3)."""
    end = min(len(data) // 3, 3) * 3
    counters = tuple(int.from_bytes(data[at : at + 3]) for at in range(0, end, 3))
    return AccEcn(ACC_ECN.index(kind), counters, data[end:])


_BROKEN: Final = -1


def _walk(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and data of every option; END and `_BROKEN` come last and carry all that follows."""
    at, end = 0, len(raw)
    while at < end:
        kind = raw[at]
        if kind == END:
            yield END, raw[at + 1 :]
            return
        if kind == NOP:
            yield NOP, b""
            at += 1
            continue
        size = raw[at + 1] if at + 1 < end else 0
        if size < 2 or at + size > end:
            yield _BROKEN, raw[at:]
            return
        yield kind, raw[at + 2 : at + size]
        at += size


class End(NamedTuple):
    """End of option list, with whatever stands after it (zeroes, if the sender is well behaved)."""

    padding: bytes = b""


class Nop(NamedTuple):
    """No-operation."""


class MaximumSegmentSize(NamedTuple):
    """RFC 9293 section 3.7.1; octets, 0 to 65,535."""

    value: int


class WindowScale(NamedTuple):
    """RFC 7323 section 2.2; shift count, 0 to 255 as sent."""

    shift: int


class SackPermitted(NamedTuple):
    """RFC 2018 section 2."""


class Sack(NamedTuple):
    """RFC 2018 section 3; left and right edges of each block."""

    blocks: tuple[tuple[int, int], ...]


class Timestamps(NamedTuple):
    """RFC 7323 section 3.2; 32-bit numbers."""

    value: int
    echo: int


class Md5Signature(NamedTuple):
    """RFC 2385 section 3.0; sixteen octets."""

    digest: bytes


class UserTimeout(NamedTuple):
    """RFC 5482 section 3.3; 0 to 32,767 seconds, or minutes if the granularity bit is set."""

    value: int
    minutes: bool = False

    @property
    def seconds(self) -> int:
        """How long that is."""
        return self.value * 60 if self.minutes else self.value

    @classmethod
    def of(cls, seconds: float) -> Self:
        """Return the shortest that is no shorter than *seconds*, and never zero; the longest if none is."""
        value = max(1, ceil(seconds))
        if value <= MAX_USER_TIMEOUT:
            return cls(value)
        return cls(min(MAX_USER_TIMEOUT, ceil(value / 60)), minutes=True)


class Authentication(NamedTuple):
    """RFC 5925 section 2.2; the KeyIDs, 0 to 255, and a MAC as long as its algorithm has it."""

    key_id: int
    rnext_key_id: int
    mac: bytes


class FastOpen(NamedTuple):
    """RFC 7413 section 4.1.1; an empty cookie asks for one. The experimental one has kind 254."""

    cookie: bytes = b""
    experimental: bool = False


class AccEcn(NamedTuple):
    """RFC 9768 section 3.2.3: how many octets came in packets of each mark, the low 24 bits.

    Attributes:
        order: 0 for ECT(0), CE, ECT(1); 1 for ECT(1), CE, ECT(0).
        counters: The first none to three of them.
        padding: What stands behind them; nothing, if the sender is well behaved.
    """

    order: int
    counters: tuple[int, ...] = ()
    padding: bytes = b""


class Unknown(NamedTuple):
    """An option of another kind, or of a known kind with a length that is wrong for it."""

    kind: int
    data: bytes


class Malformed(NamedTuple):
    """The rest of the list, from an option whose length is below two or runs past the end."""

    raw: bytes


Option = (
    End
    | Nop
    | MaximumSegmentSize
    | WindowScale
    | SackPermitted
    | Sack
    | Timestamps
    | Md5Signature
    | UserTimeout
    | Authentication
    | FastOpen
    | AccEcn
    | Unknown
    | Malformed
)


def decode(raw: bytes) -> tuple[Option, ...]:
    """Return every option in order; never raises, and `encode` gives *raw* back."""
    return tuple(_decode_one(kind, data) for kind, data in _walk(raw))


def _decode_one(kind: int, data: bytes) -> Option:
    match kind, len(data):
        case 0, _:
            return End(data)
        case 1, _:
            return Nop()
        case -1, _:
            return Malformed(data)
        case 2, 2:
            return MaximumSegmentSize(int.from_bytes(data, "big"))
        case 3, 1:
            return WindowScale(data[0])
        case 4, 0:
            return SackPermitted()
        case 5, size if size and size % 8 == 0:
            return Sack(tuple(_TWO_WORDS.iter_unpack(data)))
        case 8, 8:
            return Timestamps(*_TWO_WORDS.unpack(data))
        case 19, 16:
            return Md5Signature(data)
        case 28, 2:
            return _user_timeout(data)
        case 29, size if size >= 2:
            return Authentication(data[0], data[1], data[2:])
        case 34, size if _is_cookie(size):
            return FastOpen(data)
        case 254, size if data[:2] == FAST_OPEN_MAGIC and _is_cookie(size - 2):
            return FastOpen(data[2:], experimental=True)
        case 172 | 174, _:
            return _acc_ecn(kind, data)
        case _:
            return Unknown(kind, data)


def encode(options: Iterable[Option]) -> bytes:
    """Return *options* in order, as octets; nothing is added, so see `padded` before sending them."""
    return b"".join(_encode_one(option) for option in options)


def _encode_one(option: Option) -> bytes:
    match option:
        case End(padding):
            return b"\x00" + padding
        case Nop():
            return b"\x01"
        case MaximumSegmentSize(value):
            return b"\x02\x04" + value.to_bytes(2, "big")
        case WindowScale(shift):
            return bytes((WINDOW_SCALE, 3, shift))
        case SackPermitted():
            return b"\x04\x02"
        case Sack(blocks):
            return bytes((SACK, 2 + 8 * len(blocks))) + b"".join(_TWO_WORDS.pack(*block) for block in blocks)
        case Timestamps(value, echo):
            return b"\x08\x0a" + _TWO_WORDS.pack(value, echo)
        case Md5Signature(digest):
            return bytes((MD5_SIGNATURE, 2 + len(digest))) + digest
        case UserTimeout(value, minutes):
            return bytes((USER_TIMEOUT, 4)) + (minutes << 15 | value).to_bytes(2)
        case Authentication(key_id, rnext_key_id, mac):
            return bytes((AUTHENTICATION, 4 + len(mac), key_id, rnext_key_id)) + mac
        case FastOpen(cookie, False):
            return bytes((FAST_OPEN, 2 + len(cookie))) + cookie
        case FastOpen(cookie):
            return bytes((EXPERIMENTAL, 4 + len(cookie))) + FAST_OPEN_MAGIC + cookie
        case AccEcn(order, counters, padding):
            data = b"".join(each.to_bytes(3) for each in counters) + padding
            return bytes((ACC_ECN[order], 2 + len(data))) + data
        case Unknown(kind, data):
            return bytes((kind, 2 + len(data))) + data
        case Malformed(raw):
            return raw


def _user_timeout(data: bytes) -> UserTimeout:
    field = int.from_bytes(data)
    return UserTimeout(field & MAX_USER_TIMEOUT, minutes=field > MAX_USER_TIMEOUT)


def user_timeout(raw: bytes) -> UserTimeout | None:
    """Return the user timeout option, the last of several; not in `parse`, since hardly a segment has it."""
    found = None
    for kind, data in _walk(raw):
        if kind == USER_TIMEOUT and len(data) == 2:
            found = _user_timeout(data)
    return found


def signatures(raw: bytes) -> list[tuple[int, int, bytes]]:
    """Return kind, offset and data of every option that authenticates the segment, in order."""
    found, at = [], 0
    for kind, data in _walk(raw):
        if kind in (MD5_SIGNATURE, AUTHENTICATION):
            found.append((kind, at, data))
        at += 1 if kind == NOP else 2 + len(data)
    return found


def padded(raw: bytes) -> bytes:
    """Return *raw* filled with zeroes to a multiple of four octets, as the header wants it."""
    return raw + bytes(-len(raw) % 4)


def for_syn(mss: int, shift: int | None, sack_permitted: bool, timestamps: tuple[int, int] | None) -> bytes:
    """Return the options of a SYN or SYN+ACK, in the order in which Linux sends them.

    Args:
        mss: The largest text we take, octets.
        shift: Our window scale, None to leave the option out.
        sack_permitted: Whether to offer selective acknowledgment.
        timestamps: TSval and TSecr, None to leave the option out.
    """
    if timestamps is not None and sack_permitted and shift is not None:
        first, second, third = _LINUX_SYN_KINDS
        return _LINUX_SYN.pack(first, mss, second, *timestamps, third, shift)
    parts = [b"\x02\x04", mss.to_bytes(2, "big")]
    if timestamps is not None:
        parts.append(b"\x04\x02\x08\x0a" if sack_permitted else _LINUX_TIMESTAMPS)
        parts.append(_TWO_WORDS.pack(*timestamps))
    elif sack_permitted:
        parts.append(b"\x01\x01\x04\x02")
    if shift is not None:
        parts.append(bytes((NOP, WINDOW_SCALE, 3, shift)))
    return b"".join(parts)


def filled_up(option: FastOpen | AccEcn | UserTimeout) -> bytes:
    """Return the option as it follows those of `for_syn` and `for_segment`: filled up with NOPs."""
    raw = _encode_one(option)
    return raw + bytes((NOP,)) * (-len(raw) % 4)


def for_segment(timestamps: tuple[int, int] | None, blocks: tuple[tuple[int, int], ...] = ()) -> bytes:
    """Return the options of a segment without SYN: timestamps, then as many SACK blocks as fit."""
    raw = _LINUX_TIMESTAMPS + _TWO_WORDS.pack(*timestamps) if timestamps is not None else b""
    if blocks:
        room = (MAX_OCTETS - len(raw) - 4) // 8
        chosen = blocks[:room]
        raw += bytes((NOP, NOP, SACK, 2 + 8 * len(chosen))) + b"".join(
            _TWO_WORDS.pack(*each) for each in chosen
        )
    return raw
