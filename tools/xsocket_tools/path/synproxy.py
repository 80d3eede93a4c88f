"""A middlebox that completes handshakes for a server, and bothers it only with clients that exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import inf
from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, RST, SYN, Segment
from xsocket.seqnum import add
from xsocket.tcp.options import MAX_SHIFT, for_syn, parse
from xsocket.wire.codec import TcpPacket
from xsocket_tools.path.element import Middlebox
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.parcel import Parcel, Towards, conversation
from xsocket_tools.path.sequence import acknowledging, with_blocks_moved
from xsocket_tools.path.table import LIMIT, Table, WhenFull

PENDING_S: Final = 63.0
"""How long a handshake may take: as long as Linux sends SYNs again (tcp_syn_retries = 5)."""
SPLICED_S: Final = 7440.0
"""How long a connection may be silent, as `xsocket_tools.path.nat.IDLE_S`."""
FIRST_TIMEOUT_S: Final = 1.0
TRIES: Final = 5
MSS: Final = {4: 1460, 6: 1440}


@dataclass(slots=True)
class _Opening:
    """A handshake under way: with the client, then, once *acknowledged*, with the server."""

    syn: Segment
    our_iss: int
    parcel: Parcel
    acknowledged: Segment | None = None
    tries: int = 0


@dataclass(frozen=True, slots=True)
class _Splice:
    """An open connection.

    Attributes:
        offset: How far the server's numbers are ahead of ours.
        our_shift: Of windows, as the client was told.
        server_shift: Of the server's windows; None if it takes the client's unscaled, and sends such.
        client_shift: Of the client's windows.
        third: What completed the server's handshake.
    """

    offset: int
    our_shift: int
    server_shift: int | None
    client_shift: int
    third: Segment


class SynProxy(Middlebox):
    """Answers SYNs itself, opens a connection to the server for clients that acknowledge, and splices both.

    Firewalls do, to keep SYN floods from servers (RFC 4987 section 3.8); so does Linux with SYNPROXY. What a
    client is told cannot depend on the server, which was not asked yet: MSS and window scale are configured,
    timestamps are not offered, and a client believes it is connected before it is. Until the server has
    answered the window is zero. From then on the server's sequence numbers, SACK blocks about them, and
    windows are translated.

    Args:
        towards: Where the servers are.
        seed: Of the sequence numbers that clients get.
        mss: What they are told; what Ethernet carries without it.
        shift: The window scale that they are told.
        pending: Handshakes under way at most; one more takes the place of the oldest.
        limit: Open connections at most; one more is reset.
        idle_s: How long one may be silent before it is forgotten.

    Counts: SYNs ``answered``, connections ``spliced`` and ``failed``, segments ``ignored`` that do not
    fit the handshake; what its tables of handshakes (``pending``) and of connections count.

    Raises:
        BadElementError: A value is outside its range.
    """

    COUNTED = ("answered", "spliced", "failed", "ignored")

    def __init__(
        self,
        *,
        towards: Towards = Towards.RIGHT,
        seed: int = 0,
        mss: int | None = None,
        shift: int = 7,
        pending: int = LIMIT,
        limit: int = LIMIT,
        idle_s: float = SPLICED_S,
    ) -> None:
        super().__init__()
        if not 0 <= shift <= MAX_SHIFT or (mss is not None and not 1 <= mss <= 65_535):
            raise BadElementError(f"a window scale is 0 to {MAX_SHIFT}, an MSS 1 to 65,535: {shift}, {mss}")
        self._towards, self._seed, self._mss, self._shift = towards, seed, mss, shift
        self._pending: Table[FourTuple, _Opening] = Table(
            pending, PENDING_S, WhenFull.EVICT, lambda key, _: self._timers.pop(key, None)
        )
        self._spliced: Table[FourTuple, _Splice] = Table(limit, idle_s, WhenFull.REFUSE)
        self._timers: dict[FourTuple, float] = {}  # when the server gets the SYN again

    def counts(self) -> dict[str, int]:
        """See `Element.counts`."""
        pending = {f"pending {name}": count for name, count in self._pending.counts().items()}
        return {**super().counts(), **pending, **self._spliced.counts()}

    @property
    def deadline(self) -> float:
        """See `Element.deadline`."""
        return min(self._timers.values(), default=inf)

    def wake(self, now: float) -> Sequence[Parcel]:
        """Send SYNs to servers again that did not answer; give up in the end."""
        self._pending.expire(now)
        due = [key for key, instant in self._timers.items() if instant <= now]
        return [self._try_again(now, key) for key in due]

    def _try_again(self, now: float, key: FourTuple) -> Parcel:
        opening = self._pending.get(now, key)
        assert opening is not None, "a timer ends with its handshake"
        if opening.tries < TRIES:
            return self._syn_to_server(now, key, opening)
        return self._failure(key, opening)

    def _take_segment(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        key, segment = conversation(parcel.towards, packet), packet.segment
        from_client = parcel.towards is self._towards
        splice = self._spliced.get(now, key)
        opens = from_client and segment.syn and segment.ack is None and not segment.rst
        if splice is not None and opens and add(segment.seq, 1) != splice.third.seq:
            self._spliced.discard(key)  # the client has forgotten the connection, and opens another
            splice = None
        if splice is not None:
            return self._carry(key, splice, parcel, segment)
        if opens:
            return self._answer(now, key, parcel, segment)
        opening = self._pending.get(now, key)
        if opening is None:
            return (parcel,)
        if from_client:
            return self._client_says(now, key, opening, parcel, segment)
        return self._server_says(now, key, opening, parcel, segment)

    # The client's handshake

    def _answer(self, now: float, key: FourTuple, parcel: Parcel, syn: Segment) -> Sequence[Parcel]:
        known = self._pending.get(now, key)
        if known is None or known.syn.seq != syn.seq:
            digest = blake2b(f"{self._seed} {key} {syn.seq}".encode(), digest_size=4).digest()
            known = _Opening(syn._replace(payload=b""), int.from_bytes(digest), parcel)
            self._pending.put(now, key, known)
        if known.acknowledged is not None:
            return ()
        self._count("answered")
        offered = parse(syn.options)
        options = for_syn(
            self._mss or MSS[key.family],
            None if offered.window_scale is None else self._shift,
            offered.sack_permitted,
            None,
        )
        answer = Segment(known.our_iss, add(syn.seq, 1), SYN | ACK, 0, options)
        return (parcel.answered_by(answer),)

    def _client_says(
        self, now: float, key: FourTuple, opening: _Opening, parcel: Parcel, segment: Segment
    ) -> Sequence[Parcel]:
        if segment.rst:
            self._forget(key)
            return () if opening.acknowledged is None else (parcel,)
        if segment.ack != add(opening.our_iss, 1) or opening.acknowledged is not None:
            self._count("ignored")
            return ()
        opening.acknowledged, opening.parcel = segment, parcel
        return (self._syn_to_server(now, key, opening),)

    def _syn_to_server(self, now: float, key: FourTuple, opening: _Opening) -> Parcel:
        """Return the client's SYN without timestamps, which we did not accept; set the timer."""
        self._timers[key] = now + FIRST_TIMEOUT_S * 2**opening.tries
        opening.tries += 1
        offered = parse(opening.syn.options)
        mss = offered.mss if offered.mss is not None else self._mss or MSS[key.family]
        options = for_syn(mss, offered.window_scale, offered.sack_permitted, None)
        return opening.parcel.with_segment(opening.syn._replace(options=options))

    # The server's

    def _server_says(
        self, now: float, key: FourTuple, opening: _Opening, parcel: Parcel, segment: Segment
    ) -> Sequence[Parcel]:
        if opening.acknowledged is None or segment.ack != add(opening.syn.seq, 1):
            self._count("ignored")
            return ()
        if segment.rst:
            return (self._failure(key, opening),)
        if not segment.syn:
            self._count("ignored")
            return ()
        self._forget(key)
        splice = self._splice(opening, opening.acknowledged, segment)
        if not self._spliced.put(now, key, splice):
            to_server = Segment(splice.third.seq, 0, RST)
            return (self._failure(key, opening), parcel.answered_by(to_server))
        self._count("spliced")
        window = _rescaled(segment.window, 0, splice.our_shift)
        opened = Segment(add(opening.our_iss, 1), splice.third.seq, ACK, window)
        return (parcel.answered_by(splice.third), parcel.with_segment(opened))

    def _splice(self, opening: _Opening, acknowledged: Segment, syn_ack: Segment) -> _Splice:
        client_shift = parse(opening.syn.options).window_scale
        server_shift = None if client_shift is None else parse(syn_ack.options).window_scale
        our_shift = 0 if client_shift is None else self._shift
        client_shift = min(client_shift or 0, MAX_SHIFT)
        window = acknowledged.window
        if server_shift is None:
            window = _rescaled(window, client_shift, 0)
        third = Segment(syn_ack.acknowledgment, add(syn_ack.seq, 1), ACK, window)
        return _Splice(add(syn_ack.seq, -opening.our_iss), our_shift, server_shift, client_shift, third)

    def _failure(self, key: FourTuple, opening: _Opening) -> Parcel:
        """Return the reset for a client that believes it is connected; forget it."""
        self._forget(key)
        self._count("failed")
        reset = Segment(add(opening.our_iss, 1), add(opening.syn.seq, 1), RST | ACK)
        return opening.parcel.answered_by(reset)

    def _forget(self, key: FourTuple) -> None:
        self._pending.discard(key)
        self._timers.pop(key, None)

    # What is open

    def _carry(self, key: FourTuple, splice: _Splice, parcel: Parcel, segment: Segment) -> Sequence[Parcel]:
        if segment.rst:
            self._spliced.discard(key)
        if parcel.towards is self._towards:
            changed = with_blocks_moved(acknowledging(segment, splice.offset), splice.offset)
            if splice.server_shift is None:
                changed = changed._replace(window=_rescaled(segment.window, splice.client_shift, 0))
            return (parcel.with_segment(changed),)
        if segment.syn and not segment.rst:  # our acknowledgment of its SYN+ACK got lost
            return (parcel.answered_by(splice.third),)
        window = _rescaled(segment.window, min(splice.server_shift or 0, MAX_SHIFT), splice.our_shift)
        return (parcel.with_segment(segment._replace(seq=add(segment.seq, -splice.offset), window=window)),)


def _rescaled(window: int, from_shift: int, to_shift: int) -> int:
    """Return a window field under another window scale; zero stays the only one that says zero."""
    return min(max((window << from_shift) >> to_shift, min(window, 1)), 65_535)
