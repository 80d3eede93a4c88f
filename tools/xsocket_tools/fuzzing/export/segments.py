"""Segments of a played case as a script writes them, with the numbers that `scenarios.space` has in a run."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from xsocket.segment import ACK, RST, SYN, Segment
from xsocket_tools.fuzzing.case import ONLY_IN, Icmp, Say
from xsocket_tools.fuzzing.export.again import LEAST_QUOTED
from xsocket_tools.fuzzing.export.stage import Role, Stage
from xsocket_tools.fuzzing.frames import Heard, read
from xsocket_tools.scenarios import packets
from xsocket_tools.scenarios.errors import ScriptError
from xsocket_tools.scenarios.packets import Live
from xsocket_tools.scenarios.script import (
    ANYTHING,
    UNDAMAGED,
    Damage,
    Direction,
    FastOpenSpec,
    IcmpSpec,
    IpFields,
    OptionSpec,
    RawSpec,
    SackSpec,
    TcpSpec,
    TimestampsSpec,
)
from xsocket_tools.scenarios.space import Flow, Space

_FIRST_TIMESTAMP: Final = 1_000
"""What a script calls the first timestamp of a connection of the target."""
_ETHERNET: Final = 14
_HEADER: Final = Struct("!HHIIHHHH")
_KNOWN_FLAGS: Final = 0x1FF
_MARKS: Final = ("noecn", "ect1", "ect0", "ce")
_EXPEDITED: Final = 0xB8
_TWISTS: Final = {
    "": UNDAMAGED,
    "tos": UNDAMAGED,
    "ttl 1": UNDAMAGED,
    "checksum": Damage(checksum=True),
    "offset 4": Damage(offset=4),
    "offset past the end": Damage(offset=15),
    "ip length long": UNDAMAGED,
    "ip length short": UNDAMAGED,
}
"""Those that the language has words for, with their damage; that of lengths depends on the frame."""

_V4: Final = {
    "net unreachable": ("unreachable", "net_unreachable"),
    "host unreachable": ("unreachable", "host_unreachable"),
    "protocol unreachable": ("unreachable", "protocol_unreachable"),
    "port unreachable": ("unreachable", "port_unreachable"),
    "too big": ("unreachable", "frag_needed"),
    "prohibited": ("unreachable", "packet_filtered"),
    "source quench": ("source_quench", ""),
    "time exceeded": ("time_exceeded", ""),
    "parameter problem": ("parameter_problem", ""),
}
_V6: Final = {
    "net unreachable": ("unreachable", "no_route"),
    "host unreachable": ("unreachable", "address_unreachable"),
    "port unreachable": ("unreachable", "port_unreachable"),
    "too big": ("packet_too_big", ""),
    "prohibited": ("unreachable", "admin_prohibited"),
    "time exceeded": ("time_exceeded", ""),
    "parameter problem": ("parameter_problem", ""),
}


class Inexpressible(NamedTuple):
    """The language has no words for something; why."""

    why: str


class Segments:
    """The connections of a script, and what their numbers are.

    Args:
        stage: Who is there.
        on_kernel: Whether the target is Linux, which reads echoes where RFC 7323 does not.

    Attributes:
        space: As the run of the script has it; it has to be told of calls that open or close.
        lost: Peers with whom the target began anew, without a sign that what was before had ended: nobody
            can write numbers that count from what it began with.
        echoes_unseen: Whether a packet of the script's echoes a timestamp that the target has not sent.
    """

    def __init__(self, stage: Stage, *, on_kernel: bool) -> None:
        self._stage, self._on_kernel = stage, on_kernel
        self.space = Space(stage.settings)
        self.echoes_unseen = False
        self.lost: set[int] = set()

    def _flow(self, role: Role) -> Flow:
        return self.space.named(role.outbound)

    # What peers send

    def said(self, role: Role, say: Say, frame: bytes) -> TcpSpec | Inexpressible:
        """Return the segment that is in *frame*, which *say* was.

        The acknowledgment number of a segment without ACK, which says nothing, is left out.
        """
        twist = say.twist if ONLY_IN.get(say.twist, self._stage.version) == self._stage.version else ""
        if twist and twist not in _TWISTS:
            return Inexpressible(f"a frame with the twist {twist!r}")
        segment = _segment_in(frame, self._stage.version, say.text)
        if segment.flags & ~_KNOWN_FLAGS:
            return Inexpressible("reserved bits of the TCP header")
        if self._on_kernel and not segment.flags & ACK and _echoes(segment):
            return Inexpressible("a timestamp that is echoed without ACK: it is written as it is")
        ip = IpFields(_MARKS[say.ecn] if say.ecn else None)
        if twist == "tos":
            ip = IpFields(tos=_EXPEDITED | say.ecn)
        elif twist == "ttl 1":
            ip = ip._replace(ttl=1)
        flow, syn = self._flow(role), segment.syn
        spec = TcpSpec(
            Direction.INBOUND,
            packets.flag_letters(segment.flags),
            flow.remote_to_script(segment.seq, syn=syn),
            len(segment.payload),
            flow.local_to_script(segment.acknowledgment, syn=syn) if segment.flags & ACK else None,
            segment.window,
            segment.urgent or None,
            self._options(flow, segment),
            role.inbound,
            ip,
        )
        try:
            packet = self.space.packet(spec)
        except ScriptError as error:
            return Inexpressible(error.message)
        heard = read(packets.ETHERNET[self._stage.version] + packet)
        if not isinstance(heard, Heard) or _essence(heard.segment) != _essence(segment):
            return Inexpressible("a segment that the script would make another of")
        return spec._replace(damage=self._damage(twist, segment, frame))

    def _damage(self, twist: str, segment: Segment, frame: bytes) -> Damage:
        if not twist.startswith("ip length"):
            return _TWISTS[twist]
        size = 20 + len(segment.options) + len(segment.payload)
        if self._stage.version == 4:
            return Damage(length=int.from_bytes(frame[16:18]) - 20 - size)
        return Damage(length=int.from_bytes(frame[18:20]) - size)

    def _options(self, flow: Flow, segment: Segment) -> tuple[OptionSpec, ...]:
        specs = packets.option_specs(segment.options)
        try:
            same = packets.option_octets(specs) == segment.options
        except ScriptError:
            same = False
        if not same:
            return (RawSpec(segment.options),)
        echoes = bool(segment.flags & ACK)
        return tuple(self._option(flow, option, echoes=echoes) for option in specs)

    def _option(self, flow: Flow, option: OptionSpec, *, echoes: bool) -> OptionSpec:
        match option:
            case TimestampsSpec(int(value), int(echo)) if echoes and echo:
                return self._echo(flow, value, echo)
            case SackSpec(blocks):
                return SackSpec(
                    tuple((flow.local_to_script(left), flow.local_to_script(right)) for left, right in blocks)
                )
            case FastOpenSpec(bytes(cookie), experimental) if cookie and cookie == flow.cookie:
                return FastOpenSpec(None, experimental)
            case _:
                return option

    def _echo(self, flow: Flow, value: int, echo: int) -> OptionSpec:
        """Return timestamps that echo the target's; as octets, where it has not sent any."""
        name = flow.timestamps.to_script(echo)
        try:
            flow.timestamps.to_live(name, scaled=False)
        except ScriptError:
            try:
                flow.timestamps.to_live(name, scaled=True)
            except ScriptError:
                return RawSpec(b"\x08\x0a" + value.to_bytes(4) + echo.to_bytes(4))
            self.echoes_unseen = True
        return TimestampsSpec(value, name) if name else RawSpec(b"\x08\x0a" + value.to_bytes(4) + bytes(4))

    def error(self, role: Role, icmp: Icmp, frame: bytes) -> IcmpSpec | Inexpressible:
        """Return the ICMP error that is in *frame*."""
        if not role.is_first:
            return Inexpressible("ICMP errors about several connections: such a packet has no ports")
        names = (_V4 if self._stage.version == 4 else _V6).get(icmp.kind)
        if names is None:
            return Inexpressible(f"{icmp.kind} of ICMP for IPv{self._stage.version}")
        if icmp.quoted < LEAST_QUOTED:
            return Inexpressible(f"an ICMP error that quotes {icmp.quoted} octets of TCP")
        headers = 14 + 2 * (20 if self._stage.version == 4 else 40) + 8
        number = int.from_bytes(frame[headers + 4 : headers + 8])
        mtu = icmp.mtu if icmp.kind == "too big" or icmp.mtu else None
        return IcmpSpec(Direction.INBOUND, *names, mtu, None, self._flow(role).local_to_script(number))

    # What the target sends

    def sent(self, role: Role, segment: Segment) -> TcpSpec:
        """Return a segment of the target's."""
        flow = self._flow(role)
        specs = packets.option_specs(segment.options)
        guess = TcpSpec(
            Direction.OUTBOUND,
            packets.flag_letters(segment.flags),
            0 if segment.flags & SYN else flow.local_to_script(segment.seq),
            len(segment.payload),
            options=tuple(_named(flow, option) for option in specs),
            ports=role.outbound,
        )
        four_tuple = self._stage.four_tuple(role)
        ip = packets.ip_header(four_tuple.local_address, four_tuple.remote_address, IpFields())
        actual = self.space.expect(guess, Live(four_tuple, segment, ip))
        assert actual is not None, "each role has a flow of its own"
        seq = actual.seq
        if segment.flags & (RST | ACK) == RST:  # the number that the peer acknowledged, be it 0 on the wire
            seq = flow.local_to_script(segment.seq, syn=segment.syn)
        if segment.syn and seq != 0:  # a run cannot tell that the one before is over
            self.lost.add(role.peer)
            seq = ANYTHING
        return actual._replace(
            seq=seq,
            urgent=segment.urgent or None,
            options=tuple(_expected(option) for option in actual.options or ()),
            ip=IpFields(_MARKS[segment.ecn] if segment.ecn else None),
            payload=None,
        )


def _named(flow: Flow, option: OptionSpec) -> OptionSpec:
    """Return an option of the target's with a name for its timestamp, as far from the first as it is."""
    if not isinstance(option, TimestampsSpec) or not isinstance(option.value, int):
        return option
    name = flow.timestamps.to_script(option.value)
    return option._replace(value=_FIRST_TIMESTAMP if name == option.value else name)


def _echoes(segment: Segment) -> bool:
    specs = packets.option_specs(segment.options)
    return any(isinstance(each, TimestampsSpec) and each.echo != 0 for each in specs)


def _expected(option: OptionSpec) -> OptionSpec:
    if isinstance(option, FastOpenSpec) and option.cookie:
        return option._replace(cookie=None)
    return option


def _segment_in(frame: bytes, version: int, text: int) -> Segment:
    """Return the segment of a frame with headers of the usual lengths, whatever else is wrong with it."""
    ip = frame[_ETHERNET:]
    tcp = ip[20 if version == 4 else 40 :]
    _, _, seq, ack, offset, window, _, urgent = _HEADER.unpack_from(tcp)
    end = max(_HEADER.size, len(tcp) - text)
    ecn = ip[1] & 3 if version == 4 else ip[1] >> 4 & 3
    return Segment(seq, ack, offset & 0xFFF, window, tcp[_HEADER.size : end], tcp[end:], urgent, ecn)


def _essence(segment: Segment) -> tuple[object, ...]:
    """Return what segments that mean the same have in common: not the text, no number that says nothing."""
    return (*segment._replace(acknowledgment=segment.ack or 0, payload=b""), len(segment.payload))
