"""`SimulatedLink`: a switch with a wire to each host, on which frames go wrong by chance or by script."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from functools import partial
from operator import add
from typing import TYPE_CHECKING, Final, TypeVar, Unpack

from xsocket.errors import BadAddressError, BadConfigError
from xsocket.fourtuple import FourTuple
from xsocket.reasons import DropReason
from xsocket.segment import Segment
from xsocket.simulation.box import Box, Driver, Leaving
from xsocket.simulation.port import ImpairmentFields, Impairments, LinkCounts, Port
from xsocket.simulation.script import Alter, Drop, Hold, Predicate, Script, Sent
from xsocket.simulation.timeline import Timeline
from xsocket.wire.codec import TcpPacket, decode, encode, encode_segment
from xsocket.wire.ethernet import IPV4, IPV6, Ethernet, build_ethernet, is_group
from xsocket.wire.faults import FaultCounts

if TYPE_CHECKING:
    from xsocket.simulation.host import SimulatedHost

AnyScript = TypeVar("AnyScript", bound=Script)
STRANGER: Final = b"\x02\xff\xff\xff\xff\xff"
"""Station address of what `SimulatedLink.inject` sends."""


class SimulatedLink:
    """Two or more hosts on one link. Made by `Simulation.link`.

    Each host has a wire of its own to a switch that knows who is where, forwards at once, and drops what is
    for nobody. The impairments are those of the frames a host sends, on its wire; behind the switch nothing
    happens to them. So with two hosts a link is a cable with two directions.

    Scripted faults come before the others, and are asked about TCP segments only, in the order in which they
    were made; a segment that one of them drops or holds is not shown to those behind it.

    Attributes:
        mtu: The largest IP packet it carries, octets.
    """

    def __init__(
        self,
        timeline: Timeline,
        hosts: Iterable[SimulatedHost],
        mtu: int,
        impairments: Impairments,
        seed: str,
    ) -> None:
        self.mtu: Final = mtu
        self._timeline = timeline
        self._ports: dict[bytes, Port] = {}
        self._port_of: dict[SimulatedHost, Port] = {}
        self._scripts: list[Script] = []
        self._box: Driver | None = None
        for host in hosts:
            port = Port(timeline, mtu, impairments, f"{seed} {host.name}", self._forward)
            port.arrive = host.join(mtu, partial(self._send, host, port))
            self._ports[host.mac] = self._port_of[host] = port

    @property
    def hosts(self) -> tuple[SimulatedHost, ...]:
        """The hosts on it, in the order in which they were named."""
        return tuple(self._port_of)

    # By chance

    def impair(self, sender: SimulatedHost | None = None, **changes: Unpack[ImpairmentFields]) -> None:
        """Change impairments from now on; what is under way is not touched.

        Args:
            sender: Whose frames; those of every host if not given.
            **changes: Fields of `Impairments`; the others stay as they are.

        Raises:
            BadConfigError: A value is outside its range, or *sender* is not on this link.
        """
        for port in self._ports_of(sender):
            port.impair(port.impairments._replace(**changes))

    def counts(self, sender: SimulatedHost | None = None) -> LinkCounts:
        """Return what became of the frames of *sender*, or of all hosts together, so far."""
        total = LinkCounts()
        for port in self._ports_of(sender):
            more = port.counts()
            faults = FaultCounts(*map(add, total.faults, more.faults))
            total = LinkCounts._make([*map(add, total[:-1], more[:-1]), faults])
        return total

    def _ports_of(self, sender: SimulatedHost | None) -> list[Port]:
        if sender is None:
            return list(self._port_of.values())
        if sender not in self._port_of:
            raise BadConfigError(f"{sender} is not on this link")
        return [self._port_of[sender]]

    # By script

    def drop(self, predicate: Predicate, nth: int | Container[int] | None = None) -> Script:
        """Lose the segments of which *predicate* holds.

        Args:
            predicate: Is given each TCP segment that a host sends, as a `Sent`.
            nth: Which of those it holds of, counted from 1: a number, or several, such as ``range(1, 4)``;
                all without it.
        """
        return self._add(Drop(predicate, nth))

    def hold(
        self,
        predicate: Predicate,
        nth: int | Container[int] | None = None,
        *,
        for_s: float | None = None,
        until: Predicate | None = None,
    ) -> Hold:
        """Keep back the segments of which *predicate* holds.

        Args:
            predicate: See `drop`.
            nth: See `drop`.
            for_s: How many virtual seconds.
            until: A predicate, too: the first later segment of which it holds lets the held ones go, behind
                itself. Without *for_s* and *until* they wait for `Hold.release`.
        """
        return self._add(Hold(predicate, nth, self._timeline, for_s, until))

    def alter(
        self,
        predicate: Predicate,
        nth: int | Container[int] | None = None,
        *,
        with_: Callable[[Segment], Segment],
    ) -> Script:
        """Change the segments of which *predicate* holds, on their way; their checksums will be right.

        Args:
            predicate: See `drop`.
            nth: See `drop`.
            with_: Returns the segment to take the place of the one it is given, such as
                ``lambda segment: segment._replace(window=0)``.
        """
        return self._add(Alter(predicate, nth, with_))

    def inject(self, four_tuple: FourTuple, segment: Segment) -> None:
        """Let a segment reach a host at once that no host sent: somebody forged it.

        Args:
            four_tuple: The connection as the pretended sender names it: the receiver's end is the remote one.
            segment: What it holds.

        Raises:
            BadAddressError: No host on this link has the remote address.
        """
        for host, port in self._port_of.items():
            if host.has_address(four_tuple.remote_address):
                ethernet = Ethernet(host.mac, STRANGER)
                prefix = build_ethernet(ethernet, IPV4 if four_tuple.family == 4 else IPV6)
                port.deliver(encode_segment(prefix, four_tuple, segment), self._timeline.now())
                return
        raise BadAddressError(f"no host on this link has the address {four_tuple.remote_address}")

    def insert(self, box: Box) -> None:
        """Let every frame pass *box*, behind the wire of its sender; there is one box at most.

        Args:
            box: Stands between the host that was named first and the second one.

        Raises:
            BadConfigError: The link has not two hosts, or it has a box already.
        """
        if len(self._ports) != 2 or self._box is not None:
            raise BadConfigError("a box stands between two hosts, and alone")
        self._box = Driver(self._timeline, box, self._leave_box)

    def _add(self, script: AnyScript) -> AnyScript:
        self._scripts.append(script)
        return script

    # The way of a frame

    def _send(self, sender: SimulatedHost, port: Port, frames: list[bytes]) -> None:
        port.sent += len(frames)
        for frame in frames:
            packet = decode(frame) if self._scripts else DropReason.TCP_TOO_SHORT
            if isinstance(packet, TcpPacket):
                self._apply_scripts(sender, port, frame, packet)
            else:
                port.transmit(frame)

    def _apply_scripts(self, sender: SimulatedHost, port: Port, frame: bytes, packet: TcpPacket) -> None:
        self._scripts = [script for script in self._scripts if not script.is_over]
        unasked = list(self._scripts)
        left: TcpPacket | None = packet
        sent = Sent(self._timeline.now(), sender, packet.four_tuple.reversed, packet.segment, frame)
        for script in self._scripts:
            if script.applies_to(sent):
                unasked.remove(script)
                left = script.act(packet, port.transmit)
                if left is None:
                    port.scripted += 1
                    break
                packet, frame = left, encode(left)
                sent = sent._replace(segment=packet.segment, frame=frame)
        if left is not None:
            port.transmit(frame)
        for script in unasked:
            script.passed(sent)

    def _forward(self, port: Port, frame: bytes, at: float) -> None:
        if self._box is not None:
            first, _ = self._ports.values()
            self._timeline.at(at, partial(self._box.take, port is first, frame))
            return
        destination = frame[:6]
        target = self._ports.get(destination)
        if target is not None and target is not port:
            target.deliver(frame, at)
        elif is_group(destination):
            for other in self._ports.values():
                if other is not port:
                    other.deliver(frame, at)
        else:
            port.astray += 1

    def _leave_box(self, leaving: Leaving) -> None:
        first, second = self._ports.values()
        (second if leaving.to_second else first).deliver(leaving.frame, self._timeline.now())

    def __repr__(self) -> str:
        return f"<xsocket.SimulatedLink between {', '.join(host.name for host in self._port_of)}>"
