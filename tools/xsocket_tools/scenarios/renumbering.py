"""Captured segments in a script's numbers: every initial number 0, timestamps small. Pure; see `space.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from xsocket import Segment
from xsocket.segment import ACK, NOT_ECT, SYN, URG
from xsocket.seqnum import MASK
from xsocket.tcp.options import parse
from xsocket_tools.scenarios.packets import MARK_NAMES, flag_letters, option_specs
from xsocket_tools.scenarios.script import (
    ANYTHING,
    Direction,
    FastOpenSpec,
    IpFields,
    Md5Spec,
    Number,
    OptionSpec,
    SackSpec,
    TcpSpec,
    TimestampsSpec,
    WindowScaleSpec,
)

Windows = Literal["opening", "all", "none"]
"""Which windows of the target a script expects as captured.

``opening``: until text comes in. From then on they depend on how a driver lays packets out in memory.
"""

FIRST_TIMESTAMPS: Final = {Direction.INBOUND: 100, Direction.OUTBOUND: 1_000}
"""The first timestamp of each end, in the script."""
_KNOWN_FLAGS: Final = 0x1FF


@dataclass
class Numbers:
    """Of one end, and how far it has come. Numbers count from its SYN, and are the script's.

    Attributes:
        isn: Its initial sequence number; None before its SYN.
        first_timestamp: As captured; None before.
        timestamp: The last, as captured; None before.
        end: Behind the last octet, or SYN or FIN, that it has sent.
    """

    isn: int | None = None
    first_timestamp: int | None = None
    timestamp: int | None = None
    end: int = 0

    def relative(self, number: int) -> int:
        """Return a number on the wire in the script's."""
        return (number - (self.isn or 0)) & MASK

    def learn(self, segment: Segment) -> None:
        """Notice a segment of this end."""
        if segment.flags & SYN and self.isn is None:
            self.isn = segment.seq
        value = parse(segment.options).ts_val
        if value is not None:
            self.timestamp = value
            self.first_timestamp = value if self.first_timestamp is None else self.first_timestamp


@dataclass
class Renumbering:
    """The way from a connection's numbers to the script's.

    Attributes:
        windows: Which of the target's windows to expect.
        target: The target's numbers.
        remote: The script's own.
        last_has_text: Whether the last packet that came in had text.
        has_text: Whether one had.
    """

    windows: Windows = "opening"
    target: Numbers = field(default_factory=Numbers)
    remote: Numbers = field(default_factory=Numbers)
    last_has_text: bool = False
    has_text: bool = False

    def inbound(self, segment: Segment) -> TcpSpec:
        """Return a packet of the script's."""
        self.remote.learn(segment)
        self.last_has_text = bool(segment.payload)
        self.has_text = self.has_text or self.last_has_text
        return self._spec(Direction.INBOUND, segment)

    def outbound(self, segment: Segment) -> TcpSpec:
        """Return a packet that is expected of the target."""
        self.target.learn(segment)
        spec = self._spec(Direction.OUTBOUND, segment)
        known = self.windows == "all" or (self.windows == "opening" and not self.has_text)
        return spec if known else spec._replace(window=None)

    def _spec(self, direction: Direction, segment: Segment) -> TcpSpec:
        outbound = direction is Direction.OUTBOUND
        sender, other = (self.target, self.remote) if outbound else (self.remote, self.target)
        return TcpSpec(
            direction,
            flag_letters(segment.flags & _KNOWN_FLAGS),
            sender.relative(segment.seq),
            len(segment.payload),
            other.relative(segment.acknowledgment) if segment.flags & ACK else None,
            segment.window,
            segment.urgent if segment.flags & URG else None,
            tuple(self._option(outbound, each) for each in option_specs(segment.options)),
            ip=IpFields(ecn=None if segment.ecn == NOT_ECT else MARK_NAMES[segment.ecn]),
        )

    def _option(self, outbound: bool, option: OptionSpec) -> OptionSpec:
        match option:
            case TimestampsSpec(int(value), int(echo)) if outbound:
                return TimestampsSpec(_timestamp(Direction.OUTBOUND, self.target, value), self._echo(echo))
            case TimestampsSpec(int(value), int(echo)):
                mapped = _timestamp(Direction.OUTBOUND, self.target, echo)
                return TimestampsSpec(_timestamp(Direction.INBOUND, self.remote, value), mapped)
            case SackSpec(blocks):
                of = self.remote if outbound else self.target
                return SackSpec(tuple((of.relative(left), of.relative(right)) for left, right in blocks))
            case FastOpenSpec(bytes(cookie), experimental) if outbound and cookie:
                return FastOpenSpec(None, experimental)
            case WindowScaleSpec() if outbound and self.windows == "none":
                return WindowScaleSpec(ANYTHING)
            case Md5Spec():
                return Md5Spec(None)
            case _:
                return option

    def _echo(self, echo: int) -> Number:
        """Return a timestamp that the target echoes.

        Where the last packet came in without text, the target has to echo that one (RFC 7323 section 4.3).
        If it does not, it sent its segment before it had seen the packet, and the script has them the other
        way round.
        """
        if not self.last_has_text and echo not in (0, self.remote.timestamp):
            return ANYTHING
        return _timestamp(Direction.INBOUND, self.remote, echo)


def _timestamp(direction: Direction, of: Numbers, value: int) -> int:
    """Return a timestamp of an end's clock in small numbers; 0 says that there is none to echo."""
    if value == 0 or of.first_timestamp is None:
        return value
    return (value - of.first_timestamp + FIRST_TIMESTAMPS[direction]) & MASK
