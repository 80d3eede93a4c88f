"""`Image`: all that a kernel socket needs to know to carry a connection on. Pure."""

from typing import Final, NamedTuple

from xsocket.config import TcpConfig
from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, FIN, PSH, Segment
from xsocket.seqnum import add, distance
from xsocket.state import State
from xsocket.tcp.handover import first_unread
from xsocket.tcp.options import for_segment
from xsocket.tcp.tcb import Tcb

TIMESTAMP_OCTETS: Final = 12
"""What the timestamp option takes of each segment, padding included (RFC 7323 appendix A)."""


class Image(NamedTuple):
    """A connection at one moment, by the RFC's names; see `Tcb` for each.

    Attributes:
        four_tuple: Which connection it is.
        snd_una: The number of the first octet of *in_flight*.
        in_flight: Text sent and not acknowledged.
        unsent: Text behind it that was never sent.
        rcv_nxt: The number after *unread*; a FIN that came is not counted.
        unread: Text received in order that nobody has read.
        missed: What the peer has sent beyond that, as segments of the peer: text past a gap, and its FIN.
        snd_wnd, max_snd_wnd, snd_wl1: The peer's window.
        rcv_wnd: Octets from *rcv_nxt* to the edge that was advertised.
        mss: The most text that goes in a segment without options.
        scales: Our shift count for the peer's window and that for ours; None without window scale.
        sack: Whether SACK was agreed on.
        tsval: Our timestamp now; None without timestamps.
        config: The rules; some have a socket option.
    """

    four_tuple: FourTuple
    snd_una: int
    in_flight: bytes
    unsent: bytes
    rcv_nxt: int
    unread: bytes
    missed: tuple[Segment, ...]
    snd_wnd: int
    max_snd_wnd: int
    snd_wl1: int
    rcv_wnd: int
    mss: int
    scales: tuple[int, int] | None
    sack: bool
    tsval: int | None
    config: TcpConfig


def image_of(tcb: Tcb, now: float) -> Image:
    """Return what *tcb* is at *now*; it must be in ESTABLISHED or CLOSE-WAIT, without a FIN of ours."""
    finished = tcb.state is State.CLOSE_WAIT
    rcv_nxt = add(first_unread(tcb), tcb.unread)
    sending, receiving = tcb.sending, tcb.receiving
    in_flight = tcb.flight
    return Image(
        four_tuple=tcb.four_tuple,
        snd_una=tcb.snd_una,
        in_flight=b"" if sending is None else sending.peek(tcb.snd_una, in_flight),
        unsent=b"" if sending is None else sending.peek(tcb.snd_nxt, tcb.unsent),
        rcv_nxt=rcv_nxt,
        unread=b"" if receiving is None else receiving.peek(tcb.unread),
        missed=_missed(tcb, now, rcv_nxt if finished else tcb.fin_at),
        snd_wnd=tcb.snd_wnd,
        max_snd_wnd=tcb.max_snd_wnd,
        snd_wl1=tcb.snd_wl1,
        rcv_wnd=distance(rcv_nxt, tcb.rcv_adv),
        mss=tcb.snd_mss + (TIMESTAMP_OCTETS if tcb.timestamps else 0),
        scales=(tcb.snd_wscale, tcb.rcv_wscale) if tcb.scaled else None,
        sack=tcb.sack,
        tsval=tcb.timestamp(now) if tcb.timestamps else None,
        config=tcb.config,
    )


def _missed(tcb: Tcb, now: float, fin_at: int | None) -> tuple[Segment, ...]:
    """Return segments such as the peer would send again."""
    held = () if tcb.receiving is None else tcb.receiving.held()
    if not held and fin_at is None:
        return ()

    def segment(seq: int, flags: int, text: bytes = b"") -> Segment:
        return Segment(seq, tcb.snd_una, flags, tcb.snd_wnd >> tcb.snd_wscale, options, text)

    options = for_segment((tcb.ts_recent, tcb.timestamp(now))) if tcb.timestamps else b""
    segments = [segment(seq, ACK | PSH, text) for seq, text in held]
    if fin_at is not None:
        segments.append(segment(fin_at, ACK | FIN))
    return tuple(segments)
