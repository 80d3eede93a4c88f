"""Middleboxes that end connections: one that forgets them, and one that forges resets."""

from __future__ import annotations

from collections.abc import Container, Sequence
from enum import Enum

from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, RST
from xsocket.seqnum import add
from xsocket.tcp.output import reset_for
from xsocket.wire.codec import TcpPacket
from xsocket_tools.path.element import Middlebox
from xsocket_tools.path.parcel import Parcel, Predicate, Towards, conversation
from xsocket_tools.path.table import LIMIT, Table, WhenFull
from xsocket_tools.path.which import Which


class Stranger(Enum):
    """What a firewall does with a segment of no connection that it knows."""

    DROP = "drop"
    RESET = "reset"


class ForgetfulFirewall(Middlebox):
    """Knows the connections whose SYN it saw, and forgets the idle ones: their segments are strangers then.

    Stateful firewalls and load balancers do, often after a few minutes, though RFC 5382 (REQ-5) asks of NATs
    that they wait 2 hours and 4 minutes, so that keep-alive comes in time (RFC 9293 section 3.8.4), and RFC
    2979 wants a firewall not to break what follows the protocol. Where strangers are dropped, the ends hang
    until their user timeout; where they are reset, one end hears at once, the other when it next sends.

    Args:
        idle_s: How long a connection may be silent.
        strangers: What becomes of segments without a connection. A reset is never answered.
        opens: From which end connections may be opened, such as ``Towards.RIGHT`` for those that are opened
            towards the right; from both without it. A SYN the other way is a stranger.
        limit: Connections that it knows at most.
        when_full: What becomes of one more: its SYN is dropped, or it takes the place of the most idle.

    Counts: connections ``opened``, ``strangers``, what its table counts.

    Raises:
        BadElementError: The limit or the time is not positive.
    """

    COUNTED = ("opened", "strangers")

    def __init__(
        self,
        idle_s: float,
        *,
        strangers: Stranger = Stranger.DROP,
        opens: Towards | None = None,
        limit: int = LIMIT,
        when_full: WhenFull = WhenFull.EVICT,
    ) -> None:
        super().__init__()
        self._strangers, self._opens = strangers, opens
        self._table: Table[FourTuple, bool] = Table(limit, idle_s, when_full)

    def counts(self) -> dict[str, int]:
        """See `Element.counts`."""
        return {**super().counts(), **self._table.counts()}

    def _take_segment(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        key, segment = conversation(parcel.towards, packet), packet.segment
        if self._table.get(now, key):
            if segment.rst:
                self._table.discard(key)
            return (parcel,)
        if segment.syn and segment.ack is None and not segment.rst and self._opens in (None, parcel.towards):
            if not self._table.put(now, key, True):
                return ()
            self._count("opened")
            return (parcel,)
        self._count("strangers")
        if self._strangers is Stranger.DROP or segment.rst:
            return ()
        return (parcel.answered_by(reset_for(segment)),)


class InjectReset(Middlebox):
    """Forges resets when a segment passes, so that each end believes the other has had enough.

    Boxes do to forbid what they do not like, from file sharing to words (RFC 3360 is about why that harms).
    They see the sequence numbers, so the resets are exact and RFC 5961 section 3 does not help.

    Args:
        which: See `Which`: a predicate, or flags such as ``"S."``.
        nth: See `Which`; the first without it.
        to: The end that gets one; both without it.
        swallow: Whether the segment itself is lost.

    Counts: the resets ``forged``.
    """

    COUNTED = ("forged",)

    def __init__(
        self,
        which: Which | Predicate | str,
        nth: int | Container[int] | None = 1,
        *,
        to: Towards | None = None,
        swallow: bool = False,
    ) -> None:
        super().__init__()
        self._which = which if isinstance(which, Which) else Which(which, nth)
        self._to, self._swallow = to, swallow

    def _take_segment(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        if not self._which.is_meant(now, parcel):
            return (parcel,)
        segment = packet.segment
        out = [] if self._swallow else [parcel]
        if self._to in (None, parcel.towards):
            after = segment._replace(
                seq=segment.seq if self._swallow else add(segment.seq, segment.length),
                flags=RST | segment.flags & ACK,
                window=0,
                options=b"",
                payload=b"",
                urgent=0,
            )
            out.append(parcel.with_segment(after))
            self._count("forged")
        if self._to in (None, parcel.towards.opposite):
            out.append(parcel.answered_by(reset_for(segment)))
            self._count("forged")
        return out
