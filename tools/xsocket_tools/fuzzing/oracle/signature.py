"""Signatures of segments (RFC 2385, RFC 5925), for which Linux looks before anything else.

Source: ``tcp_do_parse_auth_options`` of a kernel with CONFIG_TCP_MD5SIG and without CONFIG_TCP_AO.
"""

from __future__ import annotations

from enum import Enum

_END, _NOP, _MD5, _AO = 0, 1, 19, 29
_MD5_SIZE, _LEAST_AO = 18, 5
"""Fewer octets than the first cannot hold a signature, and are not looked at."""


class Search(Enum):
    """What a search for signatures finds."""

    NOTHING = "none"
    AO = "one of RFC 5925"
    MD5 = "one of RFC 2385"
    WRONG = "a length that cannot be, or two signatures"

    __hash__ = object.__hash__


def searched(raw: bytes) -> Search:
    """Search the options *raw*."""
    at, found = 0, Search.NOTHING
    while len(raw) - at >= _MD5_SIZE:
        kind = raw[at]
        if kind == _END:
            break
        if kind == _NOP:
            at += 1
            continue
        size = raw[at + 1]
        if size < 2 or at + size > len(raw):
            return Search.WRONG
        if kind in (_MD5, _AO):
            fits = size == _MD5_SIZE if kind == _MD5 else size >= _LEAST_AO
            if not fits or found is not Search.NOTHING:
                return Search.WRONG
            found = Search.MD5 if kind == _MD5 else Search.AO
        at += size
    return found


def is_refused(raw: bytes, *, is_half_open: bool = False) -> bool:
    """Whether a segment with these options is dropped by who has agreed on no signature.

    One of RFC 5925 is nothing to this kernel, but to a connection that is half-open (``tcp_inbound_hash``).
    """
    found = searched(raw)
    return found in (Search.MD5, Search.WRONG) or (found is Search.AO and is_half_open)


def has_no_reset(raw: bytes, version: int) -> bool:
    """Whether no reset answers a segment with these options, for the reset would have to be signed, too.

    One of RFC 5925 matters in ``tcp_v4_send_reset``, and not in ``tcp_v6_send_reset``.
    """
    found = searched(raw)
    return found in (Search.MD5, Search.WRONG) or (found is Search.AO and version == 4)
