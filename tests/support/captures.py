"""Captures made by hand: two ends that count for themselves."""

from __future__ import annotations

from typing import Final

from xsocket import FourTuple, Segment
from xsocket.segment import ACK, FIN, PSH, SYN
from xsocket.tcp.options import for_syn, padded
from xsocket.wire.codec import encode_segment
from xsocket.wire.icmp import DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED, build_icmp_message
from xsocket.wire.ip import Ipv4
from xsocket_tools.scenarios.conversations import Captured, End

CLIENT: Final = End("10.0.0.1", 40_000)
SERVER: Final = End("10.0.0.2", 80)
MASK: Final = 0xFFFF_FFFF
SYN_OPTIONS: Final = for_syn(1460, 7, sack_permitted=True, timestamps=None)


class Wire:
    """One connection. Numbers are given relative to the SYN, and counted on where they are not given.

    Args:
        at_ms: When it begins.
        ends: Client and server.
    """

    client_isn: Final = 0xFFFF_FFF0  # it wraps
    server_isn: Final = 5_000

    def __init__(self, at_ms: float = 0, ends: tuple[End, End] = (CLIENT, SERVER)) -> None:
        self.captured: list[Captured] = []
        self.client_next = self.server_next = 0
        self._at_us = round(at_ms * 1000)
        self._client, self._server = ends

    def after(self, ms: float) -> Wire:
        """Let time pass."""
        self._at_us += round(ms * 1000)
        return self

    def client(
        self,
        flags: int,
        length: int = 0,
        *,
        seq: int | None = None,
        ack: int | None = None,
        window: int = 500,
        options: bytes = b"",
        ecn: int = 0,
    ) -> None:
        """Have the client send a segment."""
        start = self.client_next if seq is None else seq
        segment = Segment(
            (self.client_isn + start) & MASK,
            (self.server_isn + (self.server_next if ack is None else ack)) & MASK if flags & ACK else 0,
            flags, window, padded(options), bytes(length), 0, ecn,
        )  # fmt: skip
        self.client_next = max(self.client_next, start + segment.length)
        self._add(self._client, self._server, segment)

    def server(
        self,
        flags: int,
        length: int = 0,
        *,
        seq: int | None = None,
        absolute_seq: int | None = None,
        ack: int | None = None,
        window: int = 500,
        options: bytes = b"",
        ecn: int = 0,
    ) -> None:
        """Have the server send a segment; *absolute_seq* is its number on the wire."""
        start = self.server_next if seq is None else seq
        segment = Segment(
            (self.server_isn + start) & MASK if absolute_seq is None else absolute_seq,
            (self.client_isn + (self.client_next if ack is None else ack)) & MASK if flags & ACK else 0,
            flags, window, padded(options), bytes(length), 0, ecn,
        )  # fmt: skip
        self.server_next = max(self.server_next, start + segment.length)
        self._add(self._server, self._client, segment)

    def error_to_server(self, *, mtu: int) -> None:
        """Have a router say that the server's last packet was too long."""
        body = mtu.to_bytes(4) + self.captured[-1].octets[:28]
        packet = build_icmp_message(
            Ipv4("10.9.9.9", self._server.address), DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED, body
        )
        self.captured.append(Captured(self._at_us, packet))

    def _add(self, source: End, destination: End, segment: Segment) -> None:
        packet = encode_segment(b"", FourTuple(*source, *destination), segment)
        self.captured.append(Captured(self._at_us, packet))


def opened(*, at_ms: float = 0) -> Wire:
    """Return a connection, established."""
    wire = Wire(at_ms)
    wire.client(SYN, options=SYN_OPTIONS, window=64_240)
    wire.server(SYN | ACK, options=SYN_OPTIONS, window=65_160)
    wire.client(ACK)
    return wire


def closed(wire: Wire) -> Wire:
    """The client ends first."""
    wire.client(FIN | ACK)
    wire.server(FIN | ACK)
    wire.client(ACK)
    return wire


def exchange() -> Wire:
    """Return a whole connection: a question, an answer, the client ends it."""
    wire = opened(at_ms=1_000)
    wire.after(50).client(PSH | ACK, 100)
    wire.server(ACK)
    wire.after(30).server(PSH | ACK, 10)
    wire.after(40).client(ACK)
    return closed(wire.after(100))
