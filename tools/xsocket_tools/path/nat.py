"""A middlebox that lets many addresses appear as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from xsocket.fourtuple import FourTuple, canonical_address
from xsocket.wire.arp import REPLY, REQUEST, ArpPacket
from xsocket.wire.codec import TcpPacket
from xsocket.wire.ethernet import IPV6, Ethernet, build_ethernet
from xsocket.wire.icmp import IcmpPacket
from xsocket.wire.nd import SOLICITATION, NdPacket, build_advertisement, read_nd
from xsocket_tools.path.element import Middlebox
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.parcel import Parcel, Towards
from xsocket_tools.path.quoted import Quoted, read_quoted, with_quoted
from xsocket_tools.path.table import LIMIT, Table, WhenFull

IDLE_S: Final = 7440.0
"""RFC 5382 REQ-5: not less than two hours and four minutes."""
PORTS: Final = range(1024, 65_536)
OUTSIDE: Final = ("10.0.0.254", "fd00::fe")


class _Endpoint(NamedTuple):
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class _Mapping:
    """Which outside endpoint stands for an inside one, and where that is."""

    outside: _Endpoint
    mac: bytes


class Nat(Middlebox):
    """Source NAT for TCP: what is inside appears as one address, each endpoint with a port of its own.

    RFC 5382 says how one ought to behave, and this one does: an inside endpoint has the same outside port
    whomever it talks to (REQ-1), any outside host may answer there (REQ-3), unsolicited SYNs are dropped and
    not reset (REQ-4), idle mappings stay for two hours (REQ-5), and ICMP errors are translated with the
    segments that they quote (RFC 5508 REQ-4). Those with less patience, or fewer ports, can be had by other
    arguments. What is not TCP passes as it is. There is no hairpinning.

    Both ends are on one link, so it answers ARP and neighbour solicitations for its outside addresses.

    Args:
        outside: Its address for either IP version; a version without one is not translated.
        inside: The end that is inside.
        ports: Outside ports, of which each new mapping gets one by chance.
        seed: Of that chance.
        idle_s: How long an unused mapping stays.
        limit: Mappings at most; no more than there are ports.
        when_full: What becomes of one more: its SYN is dropped, or it takes the place of the most idle.

    Counts: segments ``translated``, ICMP ``errors`` translated, ``unsolicited`` segments from outside, those
    ``unknown`` from inside that open nothing, and what its table counts.

    Raises:
        BadElementError: There is no address, two of one version, or no port.
        BadAddressError: An address is not one.
    """

    COUNTED = ("translated", "errors", "unsolicited", "unknown")

    def __init__(
        self,
        outside: Sequence[str] = OUTSIDE,
        *,
        inside: Towards = Towards.LEFT,
        ports: range = PORTS,
        seed: int = 0,
        idle_s: float = IDLE_S,
        limit: int = LIMIT,
        when_full: WhenFull = WhenFull.REFUSE,
    ) -> None:
        super().__init__()
        addresses = [canonical_address(address) for address in outside]
        self._outside = {_version(address): address for address in addresses}
        if not addresses or len(self._outside) < len(addresses):
            raise BadElementError(f"a NAT has one address for either IP version, and not {addresses}")
        if not ports or not 1 <= min(ports) <= max(ports) <= 65_535:
            raise BadElementError(f"{ports} are not ports")
        self._inside, self._ports = inside, ports
        self._random = Random(f"{seed} ports")
        self._mac = b"\x02NAT" + (seed & 0xFFFF).to_bytes(2)
        self._table: Table[_Endpoint, _Mapping] = Table(
            min(limit, len(ports)),
            idle_s,
            when_full,
            lambda _, mapping: self._of_outside.pop(mapping.outside),
        )
        self._of_outside: dict[_Endpoint, _Endpoint] = {}

    def counts(self) -> dict[str, int]:
        """See `Element.counts`."""
        return {**super().counts(), **self._table.counts()}

    # Segments

    def _take_segment(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        if _version(packet.ip.source) not in self._outside:
            return (parcel,)
        if parcel.towards is self._inside:
            return self._take_in(now, parcel, packet)
        return self._take_out(now, parcel, packet)

    def _take_out(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        theirs, their_port, ours, our_port = packet.four_tuple
        mapping = self._table.get(now, _Endpoint(ours, our_port))
        if mapping is None:
            if not packet.segment.syn or packet.segment.ack is not None:
                self._count("unknown")
                return ()
            mapping = self._mapped(now, _Endpoint(ours, our_port), packet.ethernet.source)
            if mapping is None:
                return ()
        self._count("translated")
        address, port = mapping.outside
        changed = packet._replace(
            four_tuple=FourTuple.trusted(theirs, their_port, address, port),
            ip=packet.ip._replace(source=address),
            ethernet=packet.ethernet._replace(source=self._mac),
        )
        return (Parcel(parcel.towards, changed),)

    def _take_in(self, now: float, parcel: Parcel, packet: TcpPacket) -> Sequence[Parcel]:
        address, port, theirs, their_port = packet.four_tuple
        inside, mapping = self._found(now, _Endpoint(address, port))
        if inside is None or mapping is None:
            self._count("unsolicited")
            return ()
        self._count("translated")
        changed = packet._replace(
            four_tuple=FourTuple.trusted(*inside, theirs, their_port),
            ip=packet.ip._replace(destination=inside.address),
            ethernet=packet.ethernet._replace(destination=mapping.mac),
        )
        return (Parcel(parcel.towards, changed),)

    def _found(self, now: float, outside: _Endpoint) -> tuple[_Endpoint | None, _Mapping | None]:
        """Return the inside endpoint that *outside* stands for, and its mapping, which counts as used."""
        self._table.expire(now)
        inside = self._of_outside.get(outside)
        return inside, None if inside is None else self._table.get(now, inside)

    def _mapped(self, now: float, inside: _Endpoint, mac: bytes) -> _Mapping | None:
        """Return a new mapping; None if there is no room for it."""
        # Room first: an evicted mapping gives back its port.
        if not self._table.put(now, inside, _Mapping(inside, mac)):
            return None
        address = self._outside[_version(inside.address)]
        first = self._random.randrange(len(self._ports))
        turns = (self._ports[(first + turn) % len(self._ports)] for turn in range(len(self._ports)))
        outside = next(each for port in turns if (each := _Endpoint(address, port)) not in self._of_outside)
        mapping = _Mapping(outside, mac)
        self._table.put(now, inside, mapping)
        self._of_outside[outside] = inside
        return mapping

    # Errors

    def _take_error(self, now: float, parcel: Parcel, packet: IcmpPacket) -> Sequence[Parcel]:
        quoted = read_quoted(packet)
        if quoted is None or _version(packet.ip.source) not in self._outside:
            return (parcel,)
        changed = (
            self._error_in(now, packet, quoted)
            if parcel.towards is self._inside
            else self._error_out(now, packet, quoted)
        )
        if changed is None:
            return (parcel,)
        self._count("errors")
        return (Parcel(parcel.towards, changed),)

    def _error_in(self, now: float, packet: IcmpPacket, quoted: Quoted) -> IcmpPacket | None:
        """Return an error from outside about a segment that went out."""
        ours, our_port, theirs, their_port = quoted.four_tuple
        inside, mapping = self._found(now, _Endpoint(ours, our_port))
        if inside is None or mapping is None:
            return None
        original = FourTuple.trusted(*inside, theirs, their_port)
        return with_quoted(packet, quoted._replace(four_tuple=original))._replace(
            ip=packet.ip._replace(destination=inside.address),
            ethernet=packet.ethernet._replace(destination=mapping.mac),
        )

    def _error_out(self, now: float, packet: IcmpPacket, quoted: Quoted) -> IcmpPacket | None:
        """Return an error from inside about a segment that came in."""
        theirs, their_port, ours, our_port = quoted.four_tuple
        mapping = self._table.get(now, _Endpoint(ours, our_port))
        if mapping is None:
            return None
        original = FourTuple.trusted(theirs, their_port, *mapping.outside)
        return with_quoted(packet, quoted._replace(four_tuple=original))._replace(
            ip=packet.ip._replace(source=mapping.outside.address),
            ethernet=packet.ethernet._replace(source=self._mac),
        )

    # Neighbours

    def _take_other(self, now: float, parcel: Parcel) -> Sequence[Parcel]:
        del now
        packet = parcel.packet
        answer: ArpPacket | bytes | None = None
        if isinstance(packet, ArpPacket) and packet.operation == REQUEST:
            answer = self._arp_answer(packet)
        elif isinstance(packet, IcmpPacket) and packet.type == SOLICITATION:
            answer = self._nd_answer(packet)
        return (parcel,) if answer is None else (Parcel(parcel.towards.opposite, answer),)

    def _arp_answer(self, asked: ArpPacket) -> ArpPacket | None:
        if asked.target_address != self._outside.get(4):
            return None
        back = Ethernet(asked.ethernet.source, self._mac, asked.ethernet.tag)
        return ArpPacket(back, REPLY, self._mac, asked.target_address, asked.sender_mac, asked.sender_address)

    def _nd_answer(self, packet: IcmpPacket) -> bytes | None:
        asked = read_nd(packet)
        if not isinstance(asked, NdPacket) or asked.is_probe or asked.target != self._outside.get(6):
            return None
        advertisement = build_advertisement(self._mac, asked.target, asked.source, solicited=True)
        back = Ethernet(packet.ethernet.source, self._mac, packet.ethernet.tag)
        return build_ethernet(back, IPV6) + advertisement


def _version(address: str) -> int:
    return 6 if ":" in address else 4
