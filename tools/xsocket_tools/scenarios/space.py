"""Script space and live space: a script's small numbers, and those that are on the wire.

The target chooses its initial sequence numbers, its ports and its timestamps; a script writes them as it
likes. Each `Flow`, one connection, learns them from the target's first packet that has them.
"""

from __future__ import annotations

from typing import Final

from xsocket import FourTuple, Segment
from xsocket.segment import ACK, FIN, RST, SYN
from xsocket.seqnum import MASK, distance
from xsocket.wire.ip import Ipv4
from xsocket_tools.scenarios import packets
from xsocket_tools.scenarios.errors import ScriptUsageError
from xsocket_tools.scenarios.notation import option_text
from xsocket_tools.scenarios.outcome import Difference
from xsocket_tools.scenarios.packets import Live
from xsocket_tools.scenarios.script import (
    ANYTHING,
    Direction,
    FastOpenSpec,
    IcmpSpec,
    IpFields,
    Md5Spec,
    Number,
    OptionSpec,
    Ports,
    SackSpec,
    TcpSpec,
    TimestampsSpec,
)
from xsocket_tools.scenarios.settings import FIRST_REMOTE_PORT, Settings

_BARE: Final = IpFields()
_MOST_TEXT: Final = 65_535


class Timestamps:
    """What the target's timestamps are in the script (RFC 7323 section 3), and the other way round."""

    def __init__(self) -> None:
        self._live: dict[int, int] = {}
        self._first: tuple[int, int] | None = None

    def learn(self, script: int, live: int) -> None:
        """Take the pair that an outbound packet shows."""
        self._live[script] = live
        if self._first is None:
            self._first = (script, live)

    def to_live(self, script: int, *, scaled: bool) -> int:
        """Return what an echo of *script* is on the wire.

        Args:
            script: What the script has.
            scaled: Whether one that was not seen is as far from the first as it is in the script.

        Raises:
            ScriptUsageError: The target has sent none that the script calls so.
        """
        if script in self._live:
            return self._live[script]
        if self._first is None or not scaled:
            message = f"the target has sent no timestamp {script} that could be echoed"
            remedy = "Echo one that an outbound packet has, or count from the first: --tcp_ts_ecr_scaled."
            raise ScriptUsageError(message, remedy=remedy)
        first_script, first_live = self._first
        return (first_live + script - first_script) & MASK

    def to_script(self, live: int) -> int:
        """Return how the script would write *live*."""
        if self._first is None:
            return live
        first_script, first_live = self._first
        return (first_script + live - first_live) & MASK


class Flow:
    """One connection of a script.

    As in packetdrill, a packet with SYN has each number as it is on the wire, but for the target's own
    initial sequence number; in all others they count from the initial sequence numbers, which are 0.

    Attributes:
        four_tuple: As on the wire, the target's end first; None before any packet.
        timestamps: The target's.
        cookie: The Fast Open cookie that the target gave last; None before.
        is_over: Whether it has been seen to end, or its socket was closed: its next SYN may have another
            initial sequence number.
    """

    def __init__(self) -> None:
        self.four_tuple: FourTuple | None = None
        self.timestamps = Timestamps()
        self.cookie: bytes | None = None
        self._local_isn: int | None = None
        self._written_isn = 0
        self._remote_isn: int | None = None
        self._remote_syn: int | None = None
        self._is_synchronized = False
        self.is_over = False

    def begin(self, four_tuple: FourTuple) -> None:
        """Let the script's connection be *four_tuple* from now on."""
        if self.four_tuple is not None and four_tuple != self.four_tuple:
            self._forget()
        self.four_tuple = four_tuple

    def _forget(self) -> None:
        self._local_isn = self._remote_isn = None
        self._is_synchronized = self.is_over = False
        self.timestamps = Timestamps()

    def learn(self, spec: TcpSpec, segment: Segment) -> None:
        """Learn from a packet of the target's what the script calls *spec*."""
        if segment.flags & SYN and spec.seq is not ANYTHING and (self._local_isn is None or self.is_over):
            self._forget()
            self._local_isn, self._written_isn = segment.seq, spec.seq
        if self._takes_syn(segment):
            self._remote_isn = self._remote_syn
        self._is_synchronized |= segment.flags & (ACK | RST) == ACK
        self._notice_end(segment)
        self._learn_options(spec.options or (), packets.option_specs(segment.options))

    def sends(self, segment: Segment) -> None:
        """Notice a packet of the script's, as it is on the wire.

        Until the target takes one SYN the last one counts; afterwards one that it answers by SYN+ACK, or by
        the reset of a stranger.
        """
        if segment.flags & SYN:
            self._remote_syn = segment.seq
            if not self._is_synchronized:
                self._remote_isn = segment.seq
        self._notice_end(segment)

    def _takes_syn(self, segment: Segment) -> bool:
        """Whether a packet of the target's answers the last SYN of the script's as one that opens."""
        if self._remote_syn is None or segment.ack is None:
            return False
        is_stranger = self.is_over or not self._is_synchronized
        answers = segment.flags & SYN or (is_stranger and segment.flags & RST and segment.seq == 0)
        return bool(answers) and 1 <= distance(self._remote_syn, segment.ack) <= _MOST_TEXT + 1

    def _notice_end(self, segment: Segment) -> None:
        """Notice that a connection ends."""
        if segment.flags & (RST | FIN):
            self.is_over = True

    def _learn_options(self, expected: tuple[OptionSpec, ...], actual: tuple[OptionSpec, ...]) -> None:
        wanted = next((each for each in expected if isinstance(each, TimestampsSpec)), None)
        for option in actual:
            if isinstance(option, TimestampsSpec) and wanted is not None and wanted.value is not ANYTHING:
                assert option.value is not ANYTHING
                self.timestamps.learn(wanted.value, option.value)
            elif isinstance(option, FastOpenSpec) and option.cookie:
                self.cookie = option.cookie

    # Numbers

    def _local_offset(self, *, syn: bool) -> int:
        return (self._local_isn or 0) - (self._written_isn if syn else 0)

    def local_to_live(self, number: int, *, syn: bool = False) -> int:
        """Return a number of the target's octets as it is on the wire."""
        return (number + self._local_offset(syn=syn)) & MASK

    def local_to_script(self, number: int, *, syn: bool = False) -> int:
        """Return a number of the target's octets as the script has it."""
        return (number - self._local_offset(syn=syn)) & MASK

    def remote_to_live(self, number: int, *, syn: bool) -> int:
        """Return a number of the script's octets as it is on the wire."""
        return number if syn else (number + (self._remote_isn or 0)) & MASK

    def remote_to_script(self, number: int, *, syn: bool) -> int:
        """Return a number of the script's octets, in a packet of the target's, as the script has it."""
        return number if syn else (number - (self._remote_isn or 0)) & MASK


class Space:
    """The connections of one run, and the way between their two kinds of numbers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._flows: dict[tuple[int, int] | None, Flow] = {None: Flow()}
        self._retired: set[FourTuple] = set()

    @property
    def first(self) -> Flow:
        """The connection that packets without ports belong to."""
        return self._flows[None]

    def flow(self, local_port: int, remote_port: int) -> Flow:
        """Return the connection that the script gives these ports."""
        return self._flows.setdefault((local_port, remote_port), Flow())

    def named(self, ports: Ports | None) -> Flow:
        """Return the connection of a check: local, then remote port."""
        return self.first if ports is None else self.flow(ports.source, ports.destination)

    def _of(self, spec: TcpSpec) -> Flow:
        if spec.ports is None:
            return self.first
        source, destination = spec.ports
        inbound = spec.direction is Direction.INBOUND
        return self.flow(destination, source) if inbound else self.flow(source, destination)

    def close(self) -> None:
        """Notice that the script closes a socket: its next connection may take the place of the first."""
        self.first.is_over = True

    def open(self) -> None:
        """Notice that the script opens a connection: what is still to come of an old one is no event's."""
        first = self.first
        if first.is_over and first.four_tuple is not None:
            self._retired.add(first.four_tuple)
            self._flows[None] = Flow()

    def is_retired(self, live: Live) -> bool:
        """Whether a packet belongs to a connection that another has taken the place of.

        A SYN does not: it opens the next connection of the same name.
        """
        opens = live.segment.flags & (SYN | ACK) == SYN
        return live.four_tuple in self._retired and not opens and live.four_tuple not in self.four_tuples()

    def four_tuples(self) -> list[FourTuple]:
        """Return every connection there is, as on the wire."""
        return [flow.four_tuple for flow in self._flows.values() if flow.four_tuple is not None]

    # Inbound

    def packet(self, spec: TcpSpec) -> bytes:
        """Return the IP packet that an inbound segment is."""
        flow = self._of(spec)
        if flow.four_tuple is None:
            flow.begin(self._fresh(spec.ports))
        assert flow.four_tuple is not None
        assert spec.seq is not ANYTHING
        assert spec.ack is not ANYTHING
        assert spec.window is not ANYTHING
        echoes = "." in spec.flags  # else the field means nothing (RFC 7323 section 3.2)
        options = tuple(self._inbound_option(flow, option, echoes=echoes) for option in spec.options or ())
        ack, syn = 0 if spec.ack is None else spec.ack, "S" in spec.flags
        segment = Segment(
            seq=flow.remote_to_live(spec.seq, syn=syn),
            acknowledgment=flow.local_to_live(ack, syn=syn) if "." in spec.flags else ack,
            flags=packets.flag_bits(spec.flags),
            window=spec.window or 0,
            options=packets.option_octets(options),
            payload=packets.text_of(spec),
            urgent=spec.urgent or 0,
            ecn=packets.mark_of(spec.ip),
        )
        flow.sends(segment)
        key = flow.four_tuple
        ip = packets.ip_header(key.remote_address, key.local_address, spec.ip)
        return packets.build(Live(key, segment, ip), spec.damage)

    def _fresh(self, ports: Ports | None) -> FourTuple:
        """Return a new connection that the script opens."""
        local_port = self._settings.bind_port if ports is None else ports.destination
        remote_port = FIRST_REMOTE_PORT + len(self._retired) if ports is None else ports.source
        return FourTuple(self._settings.local, local_port, self._settings.remote, remote_port)

    def _inbound_option(self, flow: Flow, option: OptionSpec, *, echoes: bool) -> OptionSpec:
        match option:
            case TimestampsSpec(value, echo) if echoes and echo is not ANYTHING and echo:
                scaled = self._settings.tcp_ts_ecr_scaled
                return TimestampsSpec(value, flow.timestamps.to_live(echo, scaled=scaled))
            case SackSpec(blocks):
                return SackSpec(
                    tuple((flow.local_to_live(left), flow.local_to_live(right)) for left, right in blocks)
                )
            case FastOpenSpec(None, experimental):
                return FastOpenSpec(flow.cookie or b"", experimental)
            case _:
                return option

    def icmp(self, spec: IcmpSpec) -> bytes:
        """Return the IP packet that an inbound ICMP error is."""
        flow = self.first
        key = flow.four_tuple or self._fresh(None)
        return packets.build_icmp(spec, key, flow.local_to_live(spec.seq or 0))

    # Outbound

    def expect(self, spec: TcpSpec, live: Live) -> TcpSpec | None:
        """Take a packet of the target's for what the script calls *spec*; return it in the script's numbers.

        Returns:
            None if it belongs to another connection than *spec* does.
        """
        flow = self._of(spec)
        opens = live.segment.flags & (SYN | ACK) == SYN
        if flow.four_tuple != live.four_tuple:
            known = live.four_tuple in self.four_tuples()
            if flow.four_tuple is not None and not (opens and not known and spec.ports is None):
                return None
            flow.begin(live.four_tuple)
        flow.learn(spec, live.segment)
        return self._as_spec(flow, live, spec.ports)

    def describe(self, live: Live) -> TcpSpec:
        """Return a packet of the target's in the script's numbers, as far as it is known there."""
        for ports, flow in self._flows.items():
            if flow.four_tuple == live.four_tuple:
                return self._as_spec(flow, live, None if ports is None else Ports(*ports))
        unknown = Ports(live.four_tuple.local_port, live.four_tuple.remote_port)
        return self._as_spec(Flow(), live, unknown)

    def _as_spec(self, flow: Flow, live: Live, ports: Ports | None) -> TcpSpec:
        segment, ip, syn = live.segment, live.ip, live.segment.syn
        absolute = segment.seq == 0 and segment.flags & RST  # a reset for a stranger (RFC 9293 section 3.5.2)
        tos, ttl = (ip.tos, ip.ttl) if isinstance(ip, Ipv4) else (ip.traffic_class, ip.hop_limit)
        label = None if isinstance(ip, Ipv4) else ip.flow_label
        return TcpSpec(
            Direction.OUTBOUND,
            packets.flag_letters(segment.flags),
            0 if absolute else flow.local_to_script(segment.seq, syn=syn),
            len(segment.payload),
            None if segment.ack is None else flow.remote_to_script(segment.ack, syn=syn),
            segment.window,
            segment.urgent,
            tuple(self._outbound_option(flow, option) for option in packets.option_specs(segment.options)),
            ports,
            IpFields(packets.MARK_NAMES[segment.ecn], tos, ttl, label),
            segment.payload,
        )

    def _outbound_option(self, flow: Flow, option: OptionSpec) -> OptionSpec:
        match option:
            case TimestampsSpec(value, _) if value is not ANYTHING:
                return option._replace(value=flow.timestamps.to_script(value))
            case SackSpec(blocks):
                edges = [[flow.remote_to_script(edge, syn=False) for edge in block] for block in blocks]
                return SackSpec(tuple((left, right) for left, right in edges))
            case _:
                return option

    # Comparing

    def differences(self, expected: TcpSpec, actual: TcpSpec) -> tuple[Difference, ...]:
        """Return the fields in which a packet is not as the script has it, in the order of the script."""
        found = [
            *_ip_differences(expected.ip, actual.ip),
            *_field("flags", expected.flags or "-", actual.flags or "-"),
            *_field("seq", expected.seq, actual.seq),
            *_field("length", expected.length, actual.length),
            *_field("ack", expected.ack, actual.ack, checked="." in expected.flags),
            *_field("win", expected.window, actual.window, checked=expected.window is not None),
            *_field("urg", expected.urgent, actual.urgent, checked=expected.urgent is not None),
        ]
        if expected.options is not None:
            found += self._option_differences(expected.options, actual.options or ())
        if expected.payload is not None:
            found += _field("payload", expected.payload, actual.payload)
        return tuple(found)

    def _option_differences(
        self, expected: tuple[OptionSpec, ...], actual: tuple[OptionSpec, ...]
    ) -> list[Difference]:
        if [type(each) for each in expected] != [type(each) for each in actual]:
            return [
                Difference(
                    "options", ",".join(map(option_text, expected)), ",".join(map(option_text, actual))
                )
            ]
        return [
            Difference(option_text(wanted).partition(" ")[0], option_text(wanted), option_text(found))
            for wanted, found in zip(expected, actual, strict=True)
            if not self._is_option(wanted, found)
        ]

    def _is_option(self, wanted: OptionSpec, found: OptionSpec) -> bool:
        match wanted, found:
            case FastOpenSpec(None, experimental), FastOpenSpec(_, same):
                return experimental is same
            case Md5Spec(None), Md5Spec():
                return True
            case TimestampsSpec(value, echo), TimestampsSpec(found_value, found_echo):
                return _is_number(echo, found_echo) and (
                    not self._settings.tcp_ts_tick_usecs or self._is_tick(value, found_value)
                )
            case _:
                return all(map(_is_value, wanted, found))

    def _is_tick(self, wanted: Number, found: Number) -> bool:
        """Whether two timestamps are at most a tick apart."""
        if wanted is ANYTHING or found is ANYTHING:
            return True
        return (found - wanted + 1) & MASK <= 2


def _is_number(wanted: object, found: object) -> bool:
    return wanted is ANYTHING or wanted == found


def _is_value(wanted: object, found: object) -> bool:
    """Whether a field is as wanted: counters have wildcards within."""
    if isinstance(wanted, tuple) and isinstance(found, tuple):
        return len(wanted) == len(found) and all(map(_is_value, wanted, found))
    return _is_number(wanted, found)


def _field(name: str, expected: object, actual: object, *, checked: bool = True) -> list[Difference]:
    if not checked or _is_number(expected, actual):
        return []
    return [Difference(name, _shown(expected), _shown(actual))]


def _shown(value: object) -> str:
    return "none" if value is None else str(value)


def _ip_differences(expected: IpFields, actual: IpFields) -> list[Difference]:
    if expected == _BARE:
        return []
    found: list[Difference] = []
    if expected.ecn == "ect01":
        found += [] if actual.ecn in ("ect0", "ect1") else [Difference("ecn", "ect01", str(actual.ecn))]
    elif expected.ecn is not None:
        found += _field("ecn", expected.ecn, actual.ecn)
    for name in ("tos", "ttl", "flow_label"):
        wanted = getattr(expected, name)
        if wanted is not None:
            found += _field(name, wanted, getattr(actual, name))
    return found
