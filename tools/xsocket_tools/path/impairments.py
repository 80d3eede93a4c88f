"""Elements that hurt without looking into connections: delay, rate, faults by chance, bursts, loss, MTU."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import partial
from random import Random
from typing import Final, Unpack

from xsocket.errors import BadConfigError
from xsocket.simulation.port import ImpairmentFields, Impairments, Port
from xsocket.simulation.timeline import Timeline
from xsocket.wire.codec import TcpPacket
from xsocket.wire.ethernet import HEADER_OCTETS, TAG_OCTETS, Ethernet
from xsocket.wire.icmp import (
    DESTINATION_UNREACHABLE,
    FRAGMENTATION_NEEDED,
    V6_PACKET_TOO_BIG,
    IcmpPacket,
)
from xsocket.wire.ip import MAX_TOTAL_LENGTH, Ipv4, Ipv6
from xsocket_tools.path.element import Middlebox
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.parcel import Parcel, Predicate, Towards
from xsocket_tools.path.which import Which

IPV6_MINIMUM_MTU: Final = 1280
"""RFC 8200 section 5."""
IPV4_MINIMUM_MTU: Final = 68
"""RFC 791 section 3.2."""
IN_FLIGHT: Final = 100_000
"""Frames under way in an `Impair` that was given no other limit."""
_V4_QUOTED: Final = 548
"""Octets of the packet that an error quotes: a message of 576 in all (RFC 1812 section 4.3.2.3)."""
_V6_QUOTED: Final = IPV6_MINIMUM_MTU - 48
"""As much as fits the least MTU of IPv6 (RFC 4443 section 3.2)."""


class Impair:
    """Delay, jitter, rate, loss, duplication, reordering, corruption and marks, as on a `SimulatedLink`.

    It is the same code, driven by another clock: jitter never lets a frame overtake an earlier one, and
    raising one rate leaves the frames that another hits the same.

    Args:
        seed: Of what is left to chance; each direction draws from its own sequence.
        only: The one direction in which it does anything; both without it.
        limit: Frames that may be under way; one more is lost, as from a full queue.
        **fields: Those of `xsocket.simulation.Impairments`, such as ``delay_s=0.03, loss=0.05``.

    Counts, in frames: what `xsocket.wire.faults.FaultCounts` counts, and those that ``overflowed``.

    Raises:
        BadElementError: A value is outside its range.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        only: Towards | None = None,
        limit: int = IN_FLIGHT,
        **fields: Unpack[ImpairmentFields],
    ) -> None:
        if limit < 1:
            raise BadElementError(f"{limit} frames may not be under way")
        self._limit = limit
        self._under_way = self._overflowed = 0
        self._timeline = Timeline()
        self._out: list[Parcel] = []
        impairments = Impairments(**fields)
        try:
            self._ports = {
                towards: Port(
                    self._timeline,
                    MAX_TOTAL_LENGTH + TAG_OCTETS,  # `LimitMtu` is for that
                    impairments,
                    f"{seed} {towards.value}",
                    partial(self._arrive, towards),
                )
                for towards in Towards
                if only in (None, towards)
            }
        except BadConfigError as error:
            raise BadElementError(
                f"{fields} are not impairments: probabilities are 0 to 1, the jitter is at most the delay, "
                "the rate is above 0"
            ) from error

    @property
    def deadline(self) -> float:
        """See `Element.deadline`."""
        return self._timeline.next_at()

    def take(self, now: float, parcel: Parcel) -> Sequence[Parcel]:
        """See `Element.take`."""
        port = self._ports.get(parcel.towards)
        if port is None:
            return (parcel,)
        self._advance(now)
        if self._under_way < self._limit:
            port.transmit(parcel.frame)
        else:
            self._overflowed += 1
        return self.wake(now)

    def wake(self, now: float) -> Sequence[Parcel]:
        """See `Element.wake`."""
        self._advance(now)
        out, self._out = self._out, []
        return out

    def counts(self) -> dict[str, int]:
        """See `Element.counts`."""
        total = {"overflowed": self._overflowed}
        for port in self._ports.values():
            found = port.counts()
            for name, count in {**found.faults._asdict(), "overflowed": found.overflowed}.items():
                total[name] = total.get(name, 0) + count
        return total

    def _advance(self, now: float) -> None:
        timeline = self._timeline
        while timeline.next_at() <= now:
            timeline.step()
        timeline.clock.advance_to(max(now, timeline.now()))

    def _arrive(self, towards: Towards, _: Port, frame: bytes, at: float) -> None:
        self._under_way += 1
        self._timeline.at(at, partial(self._leave, Parcel(towards, frame)))

    def _leave(self, parcel: Parcel) -> None:
        self._under_way -= 1
        self._out.append(parcel)


class LoseBursts(Middlebox):
    """Losses that come in bursts, as where radio fades and queues overflow: the model of Gilbert and Elliott.

    A direction is either good, and loses nothing, or bad, and loses everything. Before each frame it may turn
    from one to the other. The share that is lost is ``enter / (enter + leave)`` in the long run, and a burst
    has ``1 / leave`` frames on average.

    Args:
        enter: Probability that a good direction turns bad.
        leave: Probability that a bad one turns good.
        seed: Of the two sequences, one for each direction.
        only: The one direction in which it loses anything; both without it.

    Counts: ``dropped`` frames in ``bursts``.

    Raises:
        BadElementError: A probability is not within 0 to 1, or *leave* is 0.
    """

    COUNTED = ("dropped", "bursts")

    def __init__(self, enter: float, leave: float, *, seed: int = 0, only: Towards | None = None) -> None:
        super().__init__()
        if not (0 <= enter <= 1 and 0 < leave <= 1):
            raise BadElementError(f"bursts begin with {enter} and end with {leave}: probabilities, 0 to 1")
        self._enter, self._leave = enter, leave
        chosen = [towards for towards in Towards if only in (None, towards)]
        self._random = {towards: Random(f"{seed} bursts {towards.value}") for towards in chosen}
        self._bad = dict.fromkeys(chosen, False)

    def take(self, now: float, parcel: Parcel) -> Sequence[Parcel]:
        """See `Element.take`."""
        del now
        towards = parcel.towards
        if towards not in self._random:
            return (parcel,)
        drawn = self._random[towards].random()
        if self._bad[towards]:
            self._bad[towards] = drawn >= self._leave
        elif drawn < self._enter:
            self._bad[towards] = True
            self._count("bursts")
        if not self._bad[towards]:
            return (parcel,)
        self._count("dropped")
        return ()


class Lose(Middlebox):
    """Loses the TCP segments that are chosen, and no others: "the first SYN+ACK".

    Args:
        which: See `Which`: a predicate, or flags such as ``"S."``.
        nth: See `Which`.

    Counts: ``dropped`` segments.
    """

    COUNTED = ("dropped",)

    def __init__(self, which: Which | Predicate | str, nth: int | Container[int] | None = None) -> None:
        super().__init__()
        self._which = which if isinstance(which, Which) else Which(which, nth)

    def _take_segment(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        del packet
        if not self._which.is_meant(now, parcel):
            return (parcel,)
        self._count("dropped")
        return ()


class LimitMtu(Middlebox):
    """A hop that carries smaller packets than the ends believe, such as a tunnel or a line with PPPoE.

    A good one says so: "fragmentation needed" (RFC 1191 section 4) or "packet too big" (RFC 4443 section
    3.2). Many say nothing, or their word is filtered, and the path is a black hole for large packets (RFC
    2923 section 2.1; RFC 4821 gets around it). It never fragments: TCP forbids it nearly everywhere. It has
    no address, so the errors come from the packet's destination.

    Args:
        octets: The largest IP packet it carries, at least 68; IPv6 asks for 1,280.
        silent: Whether it keeps quiet.

    Counts: ``dropped`` packets, and how often it ``told`` the sender.

    Raises:
        BadElementError: *octets* is less than 68.
    """

    COUNTED = ("dropped", "told")

    def __init__(self, octets: int, *, silent: bool = False) -> None:
        super().__init__()
        if octets < IPV4_MINIMUM_MTU:
            raise BadElementError(f"an MTU of {octets} octets; the least is {IPV4_MINIMUM_MTU}")
        self._octets, self._silent = octets, silent

    def take(self, now: float, parcel: Parcel) -> Sequence[Parcel]:
        """See `Element.take`."""
        del now
        frame = parcel.frame
        header = HEADER_OCTETS + (TAG_OCTETS if frame[12:14] == b"\x81\x00" else 0)
        if len(frame) - header <= self._octets:
            return (parcel,)
        self._count("dropped")
        packet = parcel.tcp
        if self._silent or packet is None:
            return ()
        self._count("told")
        return (Parcel(parcel.towards.opposite, self._complaint(packet, frame[header:])),)

    def _complaint(self, packet: TcpPacket, octets: bytes) -> IcmpPacket:
        ethernet = packet.ethernet
        back = Ethernet(ethernet.source, ethernet.destination, ethernet.tag)
        ip = packet.ip
        if isinstance(ip, Ipv4):
            body = self._octets.to_bytes(4) + octets[:_V4_QUOTED]
            answer = Ipv4(ip.destination, ip.source, flags=0)
            return IcmpPacket(back, answer, DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED, body)
        body = self._octets.to_bytes(4) + octets[:_V6_QUOTED]
        return IcmpPacket(back, Ipv6(ip.destination, ip.source), V6_PACKET_TOO_BIG, 0, body)
