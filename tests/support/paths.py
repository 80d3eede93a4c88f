"""Parcels for tests of paths: a client on the left, a server on the right, frames as kernels send them."""

from typing import Final

from xsocket.fourtuple import FourTuple
from xsocket.segment import ACK, LETTERS, Segment
from xsocket.wire.codec import decode, encode_segment
from xsocket.wire.ethernet import IPV4, IPV6, Ethernet, build_ethernet
from xsocket.wire.icmp import IcmpPacket
from xsocket_tools.path.element import Element
from xsocket_tools.path.parcel import Parcel, Towards

LEFT, RIGHT = Towards.LEFT, Towards.RIGHT
CLIENT_MAC: Final = bytes.fromhex("020000000100")
SERVER_MAC: Final = bytes.fromhex("020000000200")
KEY: Final = FourTuple("10.0.0.1", 40_000, "10.0.0.2", 80)
"""The connection as its client, the left end, names it."""
KEY_6: Final = FourTuple("fd00::1", 40_000, "fd00::2", 80)
BITS: Final = {letter: bit for bit, letter in LETTERS} | {".": ACK}


def segment(
    letters: str,
    seq: int = 0,
    ack: int = 0,
    *,
    options: bytes = b"",
    payload: bytes = b"",
    window: int = 1000,
) -> Segment:
    """Return a segment whose flags are *letters*, as tcpdump writes them."""
    flags = sum(BITS[letter] for letter in letters)
    return Segment(seq, ack, flags, window, options, payload)


def framed(towards: Towards, held: Segment, key: FourTuple = KEY) -> bytes:
    """Return the frame in which the client (or, to the left, the server) sends *held*."""
    macs = (SERVER_MAC, CLIENT_MAC) if towards is RIGHT else (CLIENT_MAC, SERVER_MAC)
    prefix = build_ethernet(Ethernet(*macs), IPV4 if key.family == 4 else IPV6)
    return encode_segment(prefix, key if towards is RIGHT else key.reversed, held)


def right(held: Segment, key: FourTuple = KEY) -> Parcel:
    """Return *held* on its way from the client to the server."""
    return Parcel(RIGHT, framed(RIGHT, held, key))


def left(held: Segment, key: FourTuple = KEY) -> Parcel:
    """Return *held* on its way from the server to the client."""
    return Parcel(LEFT, framed(LEFT, held, key))


def through(element: Element, parcel: Parcel, now: float = 0.0) -> Segment:
    """Return the segment of the one parcel that leaves *element*, the same way, whole and undamaged."""
    (out,) = element.take(now, parcel)
    assert out.towards is parcel.towards
    return held_by(out)


def held_by(parcel: Parcel) -> Segment:
    """Return the segment in the frame of *parcel*, whose checksums are verified."""
    packet = Parcel(parcel.towards, parcel.frame).tcp
    assert packet is not None, parcel
    return packet.segment


def key_of(parcel: Parcel) -> FourTuple:
    """Return the connection in the frame of *parcel* as its sender names it."""
    packet = Parcel(parcel.towards, parcel.frame).tcp
    assert packet is not None, parcel
    return packet.four_tuple.reversed


def error_in(parcel: Parcel) -> IcmpPacket:
    """Return the ICMP error in the frame of *parcel*, whose checksums are verified."""
    packet = decode(parcel.frame)
    assert isinstance(packet, IcmpPacket), parcel
    assert packet.is_error
    return packet
