"""Middleboxes that meddle with TCP options: some take them away, some make the MSS smaller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from xsocket.segment import Segment
from xsocket.tcp.options import (
    ACC_ECN,
    AUTHENTICATION,
    END,
    FAST_OPEN,
    MD5_SIGNATURE,
    MSS,
    NOP,
    SACK,
    SACK_PERMITTED,
    TIMESTAMPS,
    USER_TIMEOUT,
    WINDOW_SCALE,
    FastOpen,
    Malformed,
    MaximumSegmentSize,
    Option,
    decode,
    encode,
    padded,
)
from xsocket.wire.codec import TcpPacket
from xsocket_tools.path.element import Middlebox
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.parcel import Parcel, Towards

NAMES: Final[dict[str, tuple[int, ...]]] = {
    "mss": (MSS,),
    "wscale": (WINDOW_SCALE,),
    "sack": (SACK_PERMITTED, SACK),
    "timestamps": (TIMESTAMPS,),
    "md5": (MD5_SIGNATURE,),
    "user-timeout": (USER_TIMEOUT,),
    "ao": (AUTHENTICATION,),
    "fastopen": (FAST_OPEN,),
    "accecn": ACC_ECN,
    "all": tuple(kind for kind in range(256) if kind not in (END, NOP)),
}
"""What options may be called, and their kinds. ``fastopen`` is the experimental one, too."""


class StripOptions(Middlebox):
    """Takes options away from every segment, SYN or not.

    Firewalls do that let through only what was known when they were made, and "normalizers" that want
    nothing unusual. A TCP passes over options that it does not know (RFC 9293 section 3.1, MUST-6), and what
    changes a connection is negotiated on its SYNs (RFC 7323 section 1.3, RFC 2018 section 2), so it lives on.
    A signature (``md5``, ``ao``) covers more than its own octets, and no longer fits once others are gone.

    Args:
        *kinds: Names, see `NAMES`, or the numbers of kinds.
        remove: Whether the header gets shorter; else NOPs take the option's place, as in most boxes.
        only: The one direction in which it does so; both without it. If a SYN+ACK loses what its SYN kept,
            one end takes for agreed on what the other one never heard of.

    Counts: options ``stripped``, and the ``segments`` that had some.

    Raises:
        BadElementError: There is no option of that name or kind, or none was named.
    """

    COUNTED = ("stripped", "segments")

    def __init__(self, *kinds: str | int, remove: bool = False, only: Towards | None = None) -> None:
        super().__init__()
        if not kinds:
            raise BadElementError("no option was named that is to be stripped")
        self._kinds = frozenset(number for kind in kinds for number in _numbers(kind))
        self._remove, self._only = remove, only

    def _take_segment(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        del now
        if self._only not in (None, parcel.towards):
            return (parcel,)
        segment = packet.segment
        options = decode(segment.options)
        unwanted = [self._is_unwanted(option) for option in options]
        if not any(unwanted):
            return (parcel,)
        self._count("segments")
        self._counter["stripped"] += sum(unwanted)
        left = self._left(zip(options, unwanted, strict=True))
        return (parcel.with_segment(segment._replace(options=padded(left))),)

    def _is_unwanted(self, option: Option) -> bool:
        if isinstance(option, Malformed):
            return False  # whoever cannot read it does not know its kind
        if isinstance(option, FastOpen):
            return FAST_OPEN in self._kinds
        return encode((option,))[0] in self._kinds

    def _left(self, options: Iterable[tuple[Option, bool]]) -> bytes:
        parts = []
        for option, is_unwanted in options:
            octets = encode((option,))
            if is_unwanted:
                octets = b"" if self._remove else bytes((NOP,)) * len(octets)
            parts.append(octets)
        return b"".join(parts)


def _numbers(kind: str | int) -> tuple[int, ...]:
    if isinstance(kind, int):
        if kind not in NAMES["all"]:
            raise BadElementError(f"{kind} is not the kind of an option that can be stripped: 2 to 255")
        return (kind,)
    if kind not in NAMES:
        raise BadElementError(f"there is no option {kind!r}; there are {', '.join(NAMES)}")
    return NAMES[kind]


class ClampMss(Middlebox):
    """Lowers the MSS that SYNs announce, in both directions, to what fits a line behind it.

    Routers for PPPoE and tunnels do, because "packet too big" gets lost so often (RFC 2923 section 2.1). The
    option says what its sender takes (RFC 9293 section 3.7.1, RFC 6691 section 2), which the box cannot know.
    A SYN without the option is left as it is.

    Args:
        octets: The largest that is let through.

    Counts: SYNs ``clamped``.

    Raises:
        BadElementError: It is not 1 to 65,535.
    """

    COUNTED = ("clamped",)

    def __init__(self, octets: int) -> None:
        super().__init__()
        if not 1 <= octets <= 65_535:
            raise BadElementError(f"an MSS of {octets} octets; it is 1 to 65,535")
        self._octets = octets

    def _take_segment(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        del now
        segment = packet.segment
        clamped = self._clamped(segment) if segment.syn else segment
        if clamped is segment:
            return (parcel,)
        self._count("clamped")
        return (parcel.with_segment(clamped),)

    def _clamped(self, segment: Segment) -> Segment:
        options = decode(segment.options)
        lowered = tuple(
            MaximumSegmentSize(min(option.value, self._octets))
            if isinstance(option, MaximumSegmentSize)
            else option
            for option in options
        )
        return segment if lowered == options else segment._replace(options=encode(lowered))
