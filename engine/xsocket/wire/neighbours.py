"""Who is on the link: answers for our own addresses, finds the stations of others, and echoes pings.

ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861) in one table. Pure: `now` is an argument, frames go
in and come out, `deadline` says when to call back. No sockets, threads or clocks.

An entry is made only when we look for an address, or when a station on one of our networks asks for one of
ours: so nobody fills the table by talking. What exists is updated as the RFCs say. The life of an entry:

    INCOMPLETE --answer--> REACHABLE --30 s--> STALE --used--> DELAY --5 s--> PROBE --answer--> REACHABLE
        |                                        |                              |
        3 requests, 1 s apart, no answer         60 s unused                    3 unicast probes, no answer:
        gone

Frames keep flowing to the last known station in STALE, DELAY and PROBE.
"""

from collections import Counter, deque
from collections.abc import Iterable
from enum import Enum
from ipaddress import IPv6Network, ip_address
from math import inf
from typing import Final, NamedTuple

from xsocket.errors import BadAddressError
from xsocket.fourtuple import canonical_address
from xsocket.reasons import DropReason
from xsocket.wire.address import (
    IPV4_MAPPED,
    LOOPBACK_V6,
    REMEMBERED,
    Interface,
    address_octets,
    parse_interfaces,
)
from xsocket.wire.arp import NO_MAC, REPLY, REQUEST, ArpPacket, build_arp
from xsocket.wire.ethernet import BROADCAST, IPV4, IPV6, Ethernet, build_ethernet, multicast_mac
from xsocket.wire.icmp import ECHO_REPLY, V6_ECHO_REPLY, IcmpPacket, build_icmp_message
from xsocket.wire.ip import Ipv4, Ipv6
from xsocket.wire.nd import (
    ALL_NODES,
    NdPacket,
    build_advertisement,
    build_solicitation,
    solicited_node,
)

ANNOUNCEMENTS: Final = 2
"""ANNOUNCE_NUM of RFC 5227 section 1.1."""
ANNOUNCE_INTERVAL_S: Final = 2.0
DEFEND_INTERVAL_S: Final = 10.0
LINK_LOCAL: Final = IPv6Network("fe80::/10")
"""RFC 4291 section 2.4."""
LIMITED_BROADCAST: Final = b"\xff" * 4


class NeighbourPolicy(NamedTuple):
    """How long things last and how many there may be.

    Attributes:
        attempts: Requests before an address counts as unreachable (MAX_MULTICAST_SOLICIT,
            MAX_UNICAST_SOLICIT).
        retransmit_s: Between two requests (RETRANS_TIMER).
        reachable_s: How long an answer is believed (REACHABLE_TIME; Linux base_reachable_time).
        delay_s: How long a stale entry is used before it is probed (DELAY_FIRST_PROBE_TIME).
        stale_s: How long an unused stale entry is kept (Linux gc_stale_time).
        capacity: Entries at most; half of them at most are still being looked for, so that a flood of made-up
            sources cannot shut out stations that ask for us.
        waiting_per_address: Frames at most that wait for one address; the newest are kept.
        waiting_in_all: Frames at most that wait.
    """

    attempts: int = 3
    retransmit_s: float = 1.0
    reachable_s: float = 30.0
    delay_s: float = 5.0
    stale_s: float = 60.0
    capacity: int = 1024
    waiting_per_address: int = 256
    waiting_in_all: int = 4096


class NeighbourState(Enum):
    """RFC 4861 section 7.3.2; GONE is an entry that has left the table."""

    INCOMPLETE = "being looked for"
    REACHABLE = "confirmed not long ago"
    STALE = "not confirmed for a while and not needed either"
    DELAY = "used while stale; about to be probed"
    PROBE = "being probed by unicast"
    GONE = "no longer in the table"

    __hash__ = object.__hash__


_ASKED: Final = (NeighbourState.INCOMPLETE, NeighbourState.PROBE)


class _Entry:
    """What is known of one on-link address."""

    __slots__ = ("address", "attempts", "due", "is_permanent", "mac", "prefix", "state", "waiting")

    def __init__(self, address: str) -> None:
        self.address = address
        self.mac: bytes | None = None
        self.prefix: bytes | None = None
        self.state = NeighbourState.INCOMPLETE
        self.is_permanent = False
        self.due = 0.0
        self.attempts = 0
        self.waiting: deque[bytes] = deque()


class Neighbours:
    """The neighbour table of one interface.

    Args:
        mac: Our station address.
        addresses: Our own, with prefix lengths, such as ``10.0.0.2/24``: they say what is on the link.
        gateways: At most one for each family; it must be on the link.
        mtu: The largest IP packet the link carries, in octets.
        silent: Those of our own for which another host on this station answers, the kernel. We look for
            others from them, and tell nobody of them.
        policy: Times and bounds.

    Raises:
        BadAddressError: An address is not one, or a gateway is not on the link.
    """

    def __init__(
        self,
        mac: bytes,
        addresses: Iterable[str],
        gateways: Iterable[str] = (),
        *,
        mtu: int = 1500,
        silent: Iterable[str] = (),
        policy: NeighbourPolicy | None = None,
    ) -> None:
        self._mac = mac
        self._mtu = mtu
        self._policy = policy or NeighbourPolicy()
        self._interfaces: list[Interface] = parse_interfaces(addresses)
        self._own = {str(interface.ip) for interface in self._interfaces}
        self._told = self._own - set(silent)
        # As octets and numbers, by length: a flood asks about a new address with every frame.
        self._networks = {size: self._networks_of(size) for size in (4, 16)}
        self._no_stations = self._read_no_stations()
        self._gateways = self._read_gateways(gateways)
        self._entries: dict[str, _Entry] = {}
        self._via: dict[str, _Entry] = {}
        self._looked_for = 0
        self._waiting = 0
        self._announcements_left = 0
        self._announce_at = 0.0
        self._defended_at: dict[str, float] = {}
        self._unreachable: list[str] = []
        self._deadline: float | None = None
        self.drops: Counter[DropReason] = Counter()

    def _networks_of(self, size: int) -> list[tuple[int, int]]:
        """Return networks and masks of what is on the link, of addresses with *size* octets."""
        networks = [each.network for each in self._interfaces if each.max_prefixlen == 8 * size]
        if networks and size == 16:
            networks.append(LINK_LOCAL)
        return [(int(network.network_address), int(network.netmask)) for network in networks]

    def _read_no_stations(self) -> set[bytes]:
        """Return the addresses on our networks, and everywhere, that are not those of one other station."""
        return (
            {bytes(4), bytes(16), LIMITED_BROADCAST}
            | {interface.ip.packed for interface in self._interfaces}
            | {
                interface.network.broadcast_address.packed
                for interface in self._interfaces
                if interface.version == 4 and interface.network.prefixlen < 31  # RFC 3021: /31 has none
            }
        )

    def _read_gateways(self, gateways: Iterable[str]) -> dict[int, str]:
        found: dict[int, str] = {}
        for text in gateways:
            address = canonical_address(text)
            octets = address_octets(address)
            if not self._on_link(octets) or address in self._own:
                raise BadAddressError(f"the gateway {address} is not on a network of ours")
            found[len(octets)] = address
        return found

    # What the runtime calls

    @property
    def deadline(self) -> float | None:
        """When to call `timers_fired` next, in the seconds of `now`; there may be nothing to do then."""
        return self._deadline

    def start(self, now: float) -> list[bytes]:
        """Return the frames that announce our addresses (RFC 5227 section 2.3, RFC 4861 section 7.2.6)."""
        self._announcements_left = ANNOUNCEMENTS
        return self._announce_all(now)

    def add_permanent(self, now: float, address: str, mac: bytes) -> list[bytes]:
        """Know *mac* for the station of *address* for good: nobody is asked, and nothing else is believed.

        Returns:
            The frames that waited for it.

        Raises:
            BadAddressError: *address* is not on the link.
        """
        if self.next_hop(address) != address:
            raise BadAddressError(f"{address} is not on the link")
        entry = self._entries.get(address)
        if entry is None:
            entry = self._entries[address] = _Entry(address)
            self._looked_for += 1
        frames = self._learn(now, entry, mac, confirmed=True)
        entry.due, entry.is_permanent = inf, True
        return frames

    def frame_for(self, now: float, address: str) -> bytes | None:
        """Return what stands before an IP packet to *address*, or None while that is not known; O(1).

        After None, hand the packet to `enqueue`.
        """
        entry = self._via.get(address)
        if entry is not None and entry.state is NeighbourState.REACHABLE:
            return entry.prefix
        if entry is None or entry.state is NeighbourState.GONE:
            entry = self._find(address)
            if entry is None:
                return None
        if entry.state is NeighbourState.STALE:
            self._move(entry, NeighbourState.DELAY, now + self._policy.delay_s)
        return entry.prefix

    def enqueue(self, now: float, address: str, packet: bytes) -> list[bytes]:
        """Send the IP *packet* to *address* as soon as its station is known.

        Returns:
            The frames to send now: the packet, or a request for the station's address, or nothing.
        """
        prefix = self.frame_for(now, address)
        if prefix is not None:
            return [prefix + packet]
        hop = self.next_hop(address)
        if hop is None:
            self.drops[DropReason.NO_ROUTE] += 1
            return []
        entry = self._entries.get(hop)
        requests: list[bytes] = []
        if entry is None:
            if self._looked_for >= self._policy.capacity // 2 or not self._make_room():
                self.drops[DropReason.NEIGHBOUR_TABLE_FULL] += 1
                return []
            entry = self._entries[hop] = _Entry(hop)
            self._looked_for += 1
            requests.append(self._ask(now, entry))
        self._wait(entry, packet)
        return requests

    def receive(self, now: float, packet: ArpPacket | NdPacket | IcmpPacket) -> list[bytes]:
        """Return the frames to send in answer to *packet*, which `Ingress.classify` found to be for us."""
        if isinstance(packet, ArpPacket):
            return self._receive_arp(now, packet)
        if isinstance(packet, NdPacket):
            return self._receive_nd(now, packet)
        return self._receive_icmp(now, packet)

    def timers_fired(self, now: float) -> list[bytes]:
        """Return the frames that are due at *now*: repeated requests, probes, announcements."""
        if self._deadline is None or now < self._deadline:
            return []
        frames: list[bytes] = []
        if self._announcements_left and now >= self._announce_at:
            frames += self._announce_all(now)
        for entry in [entry for entry in self._entries.values() if entry.due <= now]:
            frames += self._timer_fired(now, entry)
        self._deadline = min((entry.due for entry in self._entries.values()), default=None)
        if self._announcements_left:
            self._wake_at(self._announce_at)
        return frames

    def take_unreachable(self) -> list[str]:
        """Return the next hops given up since the last call, so that who waits for them can be told."""
        found, self._unreachable = self._unreachable, []
        return found

    def next_hop(self, address: str) -> str | None:
        """Return *address* itself if it is on the link, else its family's gateway; None without a route."""
        octets = address_octets(address)
        if octets in self._no_stations or _is_never_a_host(octets):
            return None
        if self._on_link(octets):
            return address
        return self._gateways.get(len(octets))

    def source_for(self, address: str) -> str | None:
        """Return our address to use towards *address*: one on its network, else the first of its family."""
        family = _family(address)
        ours = [interface for interface in self._interfaces if interface.version == family]
        parsed = ip_address(address)
        holding = [interface for interface in ours if parsed in interface.network]
        best = max(holding, key=lambda interface: interface.network.prefixlen, default=None)
        if best is None:
            best = next(iter(ours), None)
        return None if best is None else str(best.ip)

    def state_of(self, address: str) -> NeighbourState | None:
        """Return the state of an on-link address's entry; None without one."""
        entry = self._entries.get(address)
        return None if entry is None else entry.state

    def __len__(self) -> int:
        return len(self._entries)

    # The table

    def _on_link(self, octets: bytes) -> bool:
        number = int.from_bytes(octets)
        for network, mask in self._networks[len(octets)]:  # noqa: SIM110  # any() takes twice as long
            if number & mask == network:
                return True
        return False

    def _find(self, address: str) -> _Entry | None:
        """Look up the next hop's entry and remember it for *address*."""
        entry = self._entries.get(address)
        if entry is None:
            hop = self.next_hop(address)
            entry = None if hop is None else self._entries.get(hop)
        if entry is not None:
            if len(self._via) >= REMEMBERED:
                self._via.clear()
            self._via[address] = entry
        return entry

    def _move(self, entry: _Entry, state: NeighbourState, due: float) -> None:
        """Change the state; the only place that does."""
        self._looked_for -= entry.state is NeighbourState.INCOMPLETE
        entry.state, entry.due = state, due
        self._wake_at(due)

    def _wake_at(self, instant: float) -> None:
        if self._deadline is None or instant < self._deadline:
            self._deadline = instant

    def _remove(self, entry: _Entry, reason: DropReason) -> None:
        self.drops[reason] += len(entry.waiting)
        self._waiting -= len(entry.waiting)
        entry.waiting.clear()
        self._move(entry, NeighbourState.GONE, entry.due)
        self._via.pop(entry.address, None)
        del self._entries[entry.address]

    def _make_room(self) -> bool:
        """Make sure that one more fits, by dropping the oldest stale entry; False when all are in use."""
        if len(self._entries) < self._policy.capacity:
            return True
        stale = (entry for entry in self._entries.values() if entry.state is NeighbourState.STALE)
        victim = next(stale, None)
        if victim is None:
            return False
        self._remove(victim, DropReason.NEIGHBOUR_TABLE_FULL)
        return True

    def _wait(self, entry: _Entry, packet: bytes) -> None:
        """Queue *packet*; the oldest gives way, at least the newest is kept (RFC 1122 section 2.3.2.2)."""
        policy = self._policy
        if len(entry.waiting) >= policy.waiting_per_address or self._waiting >= policy.waiting_in_all:
            self.drops[DropReason.NEIGHBOUR_QUEUE_FULL] += 1
            if not entry.waiting:
                return
            entry.waiting.popleft()
            self._waiting -= 1
        entry.waiting.append(packet)
        self._waiting += 1

    def _learn(self, now: float, entry: _Entry, mac: bytes, *, confirmed: bool) -> list[bytes]:
        """Take *mac* for the entry's station; return the frames that waited for it."""
        if entry.is_permanent:
            return []
        if confirmed:
            self._move(entry, NeighbourState.REACHABLE, now + self._policy.reachable_s)
        elif mac != entry.mac:
            self._move(entry, NeighbourState.STALE, now + self._policy.stale_s)
        if mac != entry.mac:
            entry.mac = mac
            ethertype = IPV6 if ":" in entry.address else IPV4
            entry.prefix = build_ethernet(Ethernet(mac, self._mac), ethertype)
        if not entry.waiting:
            return []
        assert entry.prefix is not None
        frames = [entry.prefix + packet for packet in entry.waiting]
        self._waiting -= len(frames)
        entry.waiting.clear()
        if entry.state is NeighbourState.STALE:
            self._move(entry, NeighbourState.DELAY, now + self._policy.delay_s)
        return frames

    def _learn_from_request(self, now: float, address: str, mac: bytes) -> list[bytes]:
        """Somebody on the link asked for one of our addresses, so will hear from us soon."""
        entry = self._entries.get(address)
        if entry is None:
            if self.next_hop(address) != address:
                return []
            if not self._make_room():
                self.drops[DropReason.NEIGHBOUR_TABLE_FULL] += 1
                return []
            entry = self._entries[address] = _Entry(address)
            self._looked_for += 1
        return self._learn(now, entry, mac, confirmed=False)

    # Asking

    def _ask(self, now: float, entry: _Entry) -> bytes:
        """Return the next request for the entry's station: to everybody, or to where it was last seen."""
        entry.attempts += 1
        entry.due = now + self._policy.retransmit_s
        self._wake_at(entry.due)
        source = self.source_for(entry.address)
        assert source is not None, "an address without a source of its family has no route"
        if ":" in entry.address:
            return self._solicitation(source, entry)
        destination = BROADCAST if entry.mac is None else entry.mac
        return self._arp(REQUEST, source, NO_MAC, entry.address, destination)

    def _solicitation(self, source: str, entry: _Entry) -> bytes:
        group = solicited_node(entry.address)
        destination = group if entry.mac is None else entry.address
        mac = multicast_mac(address_octets(group)) if entry.mac is None else entry.mac
        packet = build_solicitation(self._mac, source, destination, entry.address)
        return build_ethernet(Ethernet(mac, self._mac), IPV6) + packet

    def _arp(self, operation: int, sender: str, target_mac: bytes, target: str, destination: bytes) -> bytes:
        ethernet = Ethernet(destination, self._mac)
        return build_arp(ArpPacket(ethernet, operation, self._mac, sender, target_mac, target))

    def _timer_fired(self, now: float, entry: _Entry) -> list[bytes]:
        policy = self._policy
        if entry.state is NeighbourState.REACHABLE:
            self._move(entry, NeighbourState.STALE, now + policy.stale_s)
            return []
        if entry.state is NeighbourState.STALE:
            self._remove(entry, DropReason.NEIGHBOUR_UNREACHABLE)
            return []
        if entry.state is NeighbourState.DELAY:
            entry.attempts = 0
            self._move(entry, NeighbourState.PROBE, now)
        if entry.attempts < policy.attempts:
            return [self._ask(now, entry)]
        if entry.state is NeighbourState.INCOMPLETE:
            self._unreachable.append(entry.address)
            del self._unreachable[: -policy.capacity]
        self._remove(entry, DropReason.NEIGHBOUR_UNREACHABLE)
        return []

    # Telling

    def _announce_all(self, now: float) -> list[bytes]:
        self._announcements_left -= 1
        self._announce_at = now + ANNOUNCE_INTERVAL_S
        if self._announcements_left:
            self._wake_at(self._announce_at)
        return [
            self._announcement(str(interface.ip))
            for interface in self._interfaces
            if str(interface.ip) in self._told
        ]

    def _announcement(self, address: str) -> bytes:
        if ":" in address:
            return self._advertisement(
                address, ALL_NODES, multicast_mac(address_octets(ALL_NODES)), solicited=False
            )
        return self._arp(REQUEST, address, NO_MAC, address, BROADCAST)

    def _advertisement(self, target: str, destination: str, mac: bytes, *, solicited: bool) -> bytes:
        packet = build_advertisement(self._mac, target, destination, solicited=solicited)
        return build_ethernet(Ethernet(mac, self._mac), IPV6) + packet

    def _defend(self, now: float, address: str) -> list[bytes]:
        """Another station claims *address*: claim it back, but not in a duel (RFC 5227 section 2.4 (b))."""
        self.drops[DropReason.ADDRESS_CONFLICT] += 1
        if address not in self._told:
            return []
        if now - self._defended_at.get(address, -DEFEND_INTERVAL_S) < DEFEND_INTERVAL_S:
            return []
        self._defended_at[address] = now
        return [self._announcement(address)]

    # Hearing

    def _receive_arp(self, now: float, packet: ArpPacket) -> list[bytes]:
        sender, mac = packet.sender_address, packet.sender_mac
        if sender in self._own:
            return self._defend(now, sender) if mac != self._mac else []
        is_request_for_us = packet.operation == REQUEST and packet.target_address in self._own
        entry = self._entries.get(sender)
        frames: list[bytes] = []
        if entry is not None:  # RFC 826: the merge step comes before asking what the packet wants
            answers_us = packet.operation == REPLY and packet.target_address in self._own
            frames = self._learn(now, entry, mac, confirmed=answers_us and entry.state in _ASKED)
        elif is_request_for_us and not packet.is_probe:
            frames = self._learn_from_request(now, sender, mac)
        if is_request_for_us and packet.target_address in self._told:
            frames.append(self._arp(REPLY, packet.target_address, mac, sender, mac))
        return frames

    def _receive_nd(self, now: float, packet: NdPacket) -> list[bytes]:
        if packet.is_solicitation:
            return self._receive_solicitation(now, packet)
        if packet.target in self._own:
            return self._defend(now, packet.target) if packet.mac not in (None, self._mac) else []
        return self._receive_advertisement(now, packet)

    def _receive_solicitation(self, now: float, packet: NdPacket) -> list[bytes]:
        """RFC 4861 sections 7.2.3 and 7.2.4."""
        told = packet.target in self._told
        if packet.is_probe:
            if packet.ethernet.source == self._mac or not told:
                return []
            group = multicast_mac(address_octets(ALL_NODES))
            return [self._advertisement(packet.target, ALL_NODES, group, solicited=False)]
        frames: list[bytes] = []
        if packet.mac is not None:
            frames = self._learn_from_request(now, packet.source, packet.mac)
        if not told:
            return frames
        # Without the option (allowed in a unicast probe) the frame itself says where the asker is.
        mac = packet.mac or packet.ethernet.source
        return [*frames, self._advertisement(packet.target, packet.source, mac, solicited=True)]

    def _receive_advertisement(self, now: float, packet: NdPacket) -> list[bytes]:
        """RFC 4861 section 7.2.5."""
        entry = self._entries.get(packet.target)
        if entry is None:
            self.drops[DropReason.NEIGHBOUR_UNSOLICITED] += 1
            return []
        mac = packet.mac or entry.mac
        if mac is None:
            self.drops[DropReason.ND_MALFORMED] += 1  # the first answer must say where
            return []
        if entry.mac is not None and mac != entry.mac and not packet.override:
            if entry.state is NeighbourState.REACHABLE:
                self._move(entry, NeighbourState.STALE, now + self._policy.stale_s)
            return []
        return self._learn(now, entry, mac, confirmed=packet.solicited and entry.state in _ASKED)

    def _receive_icmp(self, now: float, packet: IcmpPacket) -> list[bytes]:
        """Answer an echo request (RFC 1122 section 3.2.2.6, RFC 4443 section 4.2); all else is for others."""
        if not packet.is_echo_request or packet.ip.destination not in self._told:
            return []
        ip = packet.ip
        reply: Ipv4 | Ipv6
        if isinstance(ip, Ipv4):
            reply, kind, headers = Ipv4(ip.destination, ip.source, tos=ip.tos), ECHO_REPLY, 24
        else:
            reply = Ipv6(ip.destination, ip.source, traffic_class=ip.traffic_class)
            kind, headers = V6_ECHO_REPLY, 44
        if headers + len(packet.body) > self._mtu:
            self.drops[DropReason.ICMP_TOO_BIG] += 1
            return []
        return self.enqueue(now, ip.source, build_icmp_message(reply, kind, 0, packet.body))


def _family(address: str) -> int:
    return 6 if ":" in address else 4


def _is_never_a_host(octets: bytes) -> bool:
    """Whether no host on any wire has the address: a group, this host or loopback (RFC 1122 3.2.1.3)."""
    first = octets[0]
    if len(octets) == 4:
        return first in (0, 127) or 224 <= first < 240
    return first == 0xFF or octets == LOOPBACK_V6 or octets.startswith(IPV4_MAPPED)
