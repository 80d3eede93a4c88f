"""What a script consists of, as values: events with their times, and everything that can happen in one.

The words are packetdrill's; what is not in its language is marked as an extension. Nothing here knows how a
script is written down (`grammar.lark`, `reading.py`), nor what runs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, NamedTuple


class Kind(Enum):
    """How an event says when it happens."""

    ABSOLUTE = "absolute"
    RELATIVE = "relative"
    ANY = "any"
    ABSOLUTE_RANGE = "absolute range"
    RELATIVE_RANGE = "relative range"


class When(NamedTuple):
    """The time of an event.

    Attributes:
        kind: What the numbers count from: the start of the script, or the event before.
        at_us: Microseconds; 0 where any time will do.
        until_us: The end of a range; None where there is none.
    """

    kind: Kind
    at_us: int = 0
    until_us: int | None = None


class Anything(Enum):
    """The wildcard ``*`` in place of a number: whatever stands there is right. An extension."""

    ANYTHING = "*"

    def __repr__(self) -> str:
        return "ANYTHING"


ANYTHING: Final = Anything.ANYTHING
Number = int | Literal[Anything.ANYTHING]


# Packets


class Direction(Enum):
    """Whose packet it is: ``<`` comes from the script, ``>`` is expected of the target."""

    INBOUND = "<"
    OUTBOUND = ">"


class Ports(NamedTuple):
    """Source and destination port of a packet, as they stand in the script."""

    source: int
    destination: int


class IpFields(NamedTuple):
    """What a script says of a packet's IP header; None where it says nothing.

    Attributes:
        ecn: ``noecn``, ``ect0``, ``ect1``, ``ce``, or ``ect01`` for either of the two.
        tos: The whole octet.
        ttl: Time to live, or hop limit.
        flow_label: Of IPv6.
    """

    ecn: str | None = None
    tos: int | None = None
    ttl: int | None = None
    flow_label: int | None = None


class MssSpec(NamedTuple):
    """``mss 1460``: the largest text its sender takes, octets (RFC 9293 section 3.7.1)."""

    value: Number


class WindowScaleSpec(NamedTuple):
    """``wscale 7``: the shift count (RFC 7323 section 2.2)."""

    shift: Number


class SackPermittedSpec(NamedTuple):
    """``sackOK`` (RFC 2018 section 2)."""


class SackSpec(NamedTuple):
    """``sack 1001:2001 3001:4001``: the edges of each block (RFC 2018 section 3)."""

    blocks: tuple[tuple[int, int], ...]


class TimestampsSpec(NamedTuple):
    """``TS val 100 ecr 200`` (RFC 7323 section 3.2)."""

    value: Number
    echo: Number


class NopSpec(NamedTuple):
    """``nop``."""


class EndSpec(NamedTuple):
    """``eol``, with the zeroes that follow it."""


class FastOpenSpec(NamedTuple):
    """``FO`` and ``FOEXP``, with a cookie or none (RFC 7413 section 4.1.1); None for any cookie."""

    cookie: bytes | None
    experimental: bool = False


class Md5Spec(NamedTuple):
    """``md5``, with a digest of sixteen octets (RFC 2385 section 3.0); None for any, or the right one."""

    digest: bytes | None


class AccEcnSpec(NamedTuple):
    """``ECN e1b 1 ceb 0 e0b 1``: counters of octets in marked packets (RFC 9768 section 3.2.3), in order."""

    counters: tuple[tuple[str, Number], ...]


class ExperimentalSpec(NamedTuple):
    """``exp 0xf989 0102``: an option of kind 254 with its experiment's number and data (RFC 6994)."""

    experiment: int
    data: bytes


class RawSpec(NamedTuple):
    """``raw 1e02``: octets as they are, from the kind on, whole or broken. An extension."""

    octets: bytes


OptionSpec = (
    MssSpec
    | WindowScaleSpec
    | SackPermittedSpec
    | SackSpec
    | TimestampsSpec
    | NopSpec
    | EndSpec
    | FastOpenSpec
    | Md5Spec
    | AccEcnSpec
    | ExperimentalSpec
    | RawSpec
)


class Damage(NamedTuple):
    """What is wrong with an inbound packet on purpose: an extension. None, or False, for what is right.

    Attributes:
        checksum: Whether the TCP checksum is wrong.
        length: What the IP header gives as length beyond the truth, octets (negative: short of it).
        offset: What the data offset says, words.
    """

    checksum: bool = False
    length: int | None = None
    offset: int | None = None


UNDAMAGED: Final = Damage()


class TcpSpec(NamedTuple):
    """A TCP segment, in or out.

    Attributes:
        direction: Whose it is.
        flags: Letters in the order of ``SFRPUEWA``, and a dot for ACK.
        seq: Of the first octet, in the script's numbers.
        length: Octets of text.
        ack: The acknowledgment number; None where the script names none.
        window: As it stands in the header; None where the script does not say.
        urgent: The urgent pointer; None where the script does not say.
        options: None for ``<...>``: whatever they are.
        ports: An extension to name one of several connections; None for the script's first.
        ip: The IP header.
        payload: The text itself, an extension; None where only its length matters.
        damage: An extension.
    """

    direction: Direction
    flags: str
    seq: Number
    length: int
    ack: Number | None = None
    window: Number | None = None
    urgent: int | None = None
    options: tuple[OptionSpec, ...] | None = ()
    ports: Ports | None = None
    ip: IpFields = IpFields()
    payload: bytes | None = None
    damage: Damage = UNDAMAGED


class IcmpSpec(NamedTuple):
    """An ICMP error, in or out.

    Attributes:
        direction: Whose it is.
        type: ``unreachable``, ``packet_too_big``, ``time_exceeded`` and the like.
        code: ``host_unreachable``, ``frag_needed`` and the like; empty where there is none.
        mtu: The next hop's, octets; None without one.
        echo_id: Of an echo message; None without one.
        seq, length: Of the segment it quotes, in the script's numbers; None where none is named.
        ip: The IP header.
    """

    direction: Direction
    type: str
    code: str = ""
    mtu: int | None = None
    echo_id: int | None = None
    seq: int | None = None
    length: int = 0
    ip: IpFields = IpFields()


class OtherPacket(NamedTuple):
    """A packet that the language has and nothing here runs: UDP, GRE, MPLS, IP in IP, packets made to fuzz.

    Attributes:
        direction: Whose it is.
        what: Its kind, in a word.
        text: As the script has it, for writing it again.
    """

    direction: Direction
    what: str
    text: str


# Expressions, as system calls have them


class Word(NamedTuple):
    """A name, such as ``SOCK_STREAM``."""

    name: str


class Integer(NamedTuple):
    """A number; *text* is how the script writes it."""

    value: int
    text: str


class Text(NamedTuple):
    """A string; *cut* when dots follow it, for one of which only the start matters."""

    value: bytes
    cut: bool = False


class Dots(NamedTuple):
    """``...``: whatever suits."""


class Either(NamedTuple):
    """Flags joined by ``|``."""

    parts: tuple[Expression, ...]


class Array(NamedTuple):
    """``[ ... ]``."""

    items: tuple[Expression, ...]


class Struct(NamedTuple):
    """``{ ... }``: named fields, or values one after the other."""

    items: tuple[Expression, ...]


class Apply(NamedTuple):
    """A function of the language or a field with its length: ``htons(80)``, ``msg_iov(1)``."""

    name: str
    arguments: tuple[Expression, ...]


class Assign(NamedTuple):
    """``name = value`` in a structure or an array."""

    target: Expression
    value: Expression


Expression = Word | Integer | Text | Dots | Either | Array | Struct | Apply | Assign


# What can happen


class Call(NamedTuple):
    """A system call.

    Attributes:
        name: Such as ``connect``.
        arguments: In order.
        result: What it is to return.
        errno: The name of the error it is to fail with; empty where it is to succeed.
        until_us: When a blocking call is to return, by the kind of the event's time; None for at once.
        note: The words that follow in parentheses.
    """

    name: str
    arguments: tuple[Expression, ...]
    result: Expression
    errno: str = ""
    until_us: int | None = None
    note: str = ""


class Command(NamedTuple):
    """A command for the shell, in backticks."""

    text: str


class Code(NamedTuple):
    """Python, in ``%{ }%``, that sees the fields of TCP_INFO as ``tcpi_...``."""

    text: str


class StateCheck(NamedTuple):
    """``state ESTABLISHED``: the connection's state (RFC 9293 section 3.3.2). An extension.

    Attributes:
        state: Its name with underscores; ``CLOSED`` where no connection is to be.
        ports: Local and remote port; None for the script's first connection.
    """

    state: str
    ports: Ports | None = None


class PoolCheck(NamedTuple):
    """``pool == 1``: how many connections are established and unclaimed. An extension."""

    operator: str
    number: int


class Silence(NamedTuple):
    """``silence``: nothing has come out that no event expected. An extension."""


Action = TcpSpec | IcmpSpec | OtherPacket | Call | Command | Code | StateCheck | PoolCheck | Silence


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a script.

    Attributes:
        when: Its time; None for commands before the first and after the last event.
        action: What happens.
        line: Where it stands, counted from 1.
        targets: The targets that it is for; empty for all. An extension.
    """

    when: When | None
    action: Action
    line: int
    targets: frozenset[str] = frozenset()


class Verdict(NamedTuple):
    """``on kernel: xfail "reason"``: what is expected of a script on some targets. An extension.

    Attributes:
        targets: Which.
        kind: ``xfail`` for one that has to fail, ``skip`` for one that is not to be run.
        reason: Why, in words.
        line: Where it stands.
    """

    targets: frozenset[str]
    kind: Literal["xfail", "skip"]
    reason: str
    line: int


class Flag(NamedTuple):
    """A flag of the script's own: ``--mss=1000``; *value* is None for one without."""

    name: str
    value: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Script:
    """A script, read.

    Attributes:
        name: What to call it in reports: its path, as it was given.
        source: Its text.
        flags: In order.
        verdicts: In order.
        events: In order; commands before the first time and after the last have none.
    """

    name: str
    source: str
    flags: tuple[Flag, ...]
    verdicts: tuple[Verdict, ...]
    events: tuple[Event, ...]

    def line(self, number: int) -> str:
        """Return the text of a line, counted from 1; empty where there is none."""
        lines = self.source.split("\n")
        return lines[number - 1] if 0 < number <= len(lines) else ""


TARGETS: Final = ("sim", "wire", "kernel")
"""Where a script runs: the engine in virtual time, the engine on a link, Linux."""
ENGINE: Final = frozenset({"sim", "wire"})
