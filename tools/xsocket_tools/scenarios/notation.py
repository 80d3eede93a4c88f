"""Values of `script.py` to the language's text, in one spelling: what `fmt` writes and failure reports show.

Reading the text gives the values back. They have to be such as `reading.py` makes; others have no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from xsocket_tools.scenarios.script import (
    ANYTHING,
    ENGINE,
    TARGETS,
    AccEcnSpec,
    Action,
    Apply,
    Array,
    Assign,
    Call,
    Code,
    Command,
    Damage,
    Dots,
    Either,
    EndSpec,
    Event,
    ExperimentalSpec,
    Expression,
    FastOpenSpec,
    Flag,
    IcmpSpec,
    Integer,
    IpFields,
    Kind,
    Md5Spec,
    MssSpec,
    NopSpec,
    Number,
    OptionSpec,
    OtherPacket,
    PoolCheck,
    Ports,
    RawSpec,
    SackPermittedSpec,
    SackSpec,
    Script,
    Silence,
    StateCheck,
    Struct,
    TcpSpec,
    Text,
    TimestampsSpec,
    Verdict,
    When,
    WindowScaleSpec,
    Word,
)

COLUMN: Final = 8
"""Where what happens begins, after the time; one blank further where the time is longer."""

_MODULUS: Final = 1 << 32
_PLAIN_VALUE: Final = re.compile(r'(\w+=)?("[^"\n]*"|`[^`]*`|[^\s"`]+)?')
_LETTERS: Final = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\t": r"\t", "\r": r"\r"}


def script_text(script: Script) -> str:
    """Return a whole script: flags, verdicts, events, each on a line of its own; no comments."""
    lines = [flag_text(flag) for flag in script.flags]
    lines += [verdict_text(verdict) for verdict in script.verdicts]
    lines += [event_text(event, COLUMN) for event in script.events]
    return "".join(f"{line}\n" for line in lines)


def flag_text(flag: Flag) -> str:
    """Return a flag of the script: ``--mss=1000``, ``-v``."""
    name = f"-{flag.name}" if len(flag.name) == 1 else f"--{flag.name}"
    if flag.value is None:
        return name
    is_quoted = len(flag.value) > 1 and flag.value[0] == flag.value[-1] == '"'
    if is_quoted or not _PLAIN_VALUE.fullmatch(flag.value):
        return f'{name}="{flag.value}"'
    return f"{name}={flag.value}"


def verdict_text(verdict: Verdict) -> str:
    """Return what is expected of the script on some targets: ``on kernel: xfail "reason"``."""
    return f"{guard_text(verdict.targets)} {verdict.kind} {string_text(verdict.reason.encode())}"


def event_text(event: Event, column: int = 0) -> str:
    """Return an event: guard, time and what happens, which begins at *column* if there is room."""
    action = event.action
    if event.when is None:
        return action_text(action)
    if isinstance(action, Call):
        action = action._replace(until_us=None)
    return f"{start_text(event).ljust(column - 1)} {action_text(action)}"


def start_text(event: Event) -> str:
    """Return what stands in front of what happens: the guard, the time, the end of a call that blocks."""
    if event.when is None:
        return ""
    guard = f"{guard_text(event.targets)} " if event.targets else ""
    until_us = event.action.until_us if isinstance(event.action, Call) else None
    return guard + time_text(event.when) + _until(until_us)


def guard_text(targets: frozenset[str]) -> str:
    """Return the guard of what is for some targets only: ``on kernel:``."""
    names = ["engine"] if targets >= ENGINE else []
    names += [name for name in TARGETS if name in targets and not (names and name in ENGINE)]
    return f"on {', '.join(names)}:"


def time_text(when: When) -> str:
    """Return a time in seconds, to the microsecond: ``0.1``, ``+0.1``, ``+0.1~+0.2``, ``*``."""
    if when.kind is Kind.ANY:
        return "*"
    plus = "+" if when.kind in (Kind.RELATIVE, Kind.RELATIVE_RANGE) else ""
    start = plus + seconds_text(when.at_us)
    return start if when.until_us is None else f"{start}~{plus}{seconds_text(when.until_us)}"


def seconds_text(microseconds: int) -> str:
    """Return a number of microseconds as one of seconds, no longer than it has to be."""
    whole, fraction = divmod(microseconds, 1_000_000)
    return f"{whole}.{fraction:06}".rstrip("0").rstrip(".")


def action_text(action: Action) -> str:
    """Return what happens in an event."""
    match action:
        case TcpSpec():
            return _tcp(action)
        case IcmpSpec():
            return _icmp(action)
        case OtherPacket(direction, _, text):
            return f"{direction.value} {text}"
        case Call():
            return call_text(action)
        case Command(text):
            return text
        case Code(text):
            return f"%{{{text}}}%"
        case StateCheck(state, ports):
            return _joined("state", ports_text(ports), state)
        case PoolCheck(operator, number):
            return f"pool {operator} {number}"
        case Silence():
            return "silence"


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


# Packets


def _tcp(spec: TcpSpec) -> str:
    return _joined(
        spec.direction.value,
        ip_text(spec.ip),
        ports_text(spec.ports),
        spec.flags or "-",
        numbers_text(spec.seq, spec.length),
        "" if spec.ack is None else f"ack {number_text(spec.ack)}",
        "" if spec.window is None else f"win {number_text(spec.window)}",
        "" if spec.urgent is None else f"urg {spec.urgent}",
        "" if spec.options == () else options_text(spec.options),
        "" if spec.payload is None else string_text(spec.payload),
        damage_text(spec.damage),
    )


def _icmp(spec: IcmpSpec) -> str:
    return _joined(
        spec.direction.value,
        ip_text(spec.ip),
        "icmp",
        spec.type,
        spec.code,
        "" if spec.mtu is None else f"mtu {spec.mtu}",
        "" if spec.echo_id is None else f"id {spec.echo_id}",
        "" if spec.seq is None else f"[{numbers_text(spec.seq, spec.length)}]",
    )


def ip_text(ip: IpFields) -> str:
    """Return what is said of the IP header: ``[ect0]``, ``[tos 0x10, flowlabel 0x1]``; empty for nothing."""
    fields = [
        ip.ecn or "",
        "" if ip.tos is None else f"tos {ip.tos:#x}",
        "" if ip.ttl is None else f"ttl {ip.ttl}",
        "" if ip.flow_label is None else f"flowlabel {ip.flow_label:#x}",
    ]
    given = ", ".join(field for field in fields if field)
    return f"[{given}]" if given else ""


def ports_text(ports: Ports | None) -> str:
    """Return ``1234 > 80``; empty where none are named."""
    return "" if ports is None else f"{ports.source} > {ports.destination}"


def numbers_text(seq: Number, length: int) -> str:
    """Return sequence numbers and length: ``1:1001(1000)``."""
    if seq is ANYTHING:
        return f"*:*({length})"
    return f"{seq}:{(seq + length) % _MODULUS}({length})"


def number_text(number: Number) -> str:
    """Return a number, or the star that stands for any."""
    return "*" if number is ANYTHING else str(number)


def options_text(options: Iterable[OptionSpec] | None) -> str:
    """Return TCP options in angle brackets: ``<mss 1460,nop,wscale 7>``; ``<...>`` for whatever they are."""
    return "<...>" if options is None else f"<{','.join(option_text(option) for option in options)}>"


def option_text(option: OptionSpec) -> str:
    """Return one TCP option."""
    match option:
        case NopSpec():
            return "nop"
        case EndSpec():
            return "eol"
        case MssSpec(value):
            return f"mss {number_text(value)}"
        case WindowScaleSpec(shift):
            return f"wscale {number_text(shift)}"
        case SackPermittedSpec():
            return "sackOK"
        case SackSpec(blocks):
            return _joined("sack", *(f"{left}:{right}" for left, right in blocks))
        case TimestampsSpec(value, echo):
            return f"TS val {number_text(value)} ecr {number_text(echo)}"
        case FastOpenSpec(cookie, experimental):
            name = "FOEXP" if experimental else "FO"
            return f"{name} *" if cookie is None else _joined(name, cookie.hex())
        case Md5Spec(digest):
            return _joined("md5", (digest or b"").hex())
        case AccEcnSpec(counters):
            return _joined("ECN", *(f"{name} {number_text(value)}" for name, value in counters))
        case ExperimentalSpec(experiment, data):
            return _joined("exp", f"{experiment:#06x}", data.hex())
        case RawSpec(octets):
            return f"raw {octets.hex()}"


def damage_text(damage: Damage) -> str:
    """Return what is wrong with a packet on purpose: ``bad checksum``; empty for nothing."""
    return _joined(
        "bad checksum" if damage.checksum else "",
        "" if damage.length is None else f"bad length {damage.length}",
        "" if damage.offset is None else f"bad offset {damage.offset}",
    )


# System calls


def call_text(call: Call) -> str:
    """Return a system call; the end of one that blocks stands in front: ``...0.2 connect(3) = 0``."""
    return _joined(
        _until(call.until_us),
        f"{call.name}({_listed(call.arguments)})",
        "=",
        expression_text(call.result),
        call.errno,
        f"({call.note})" if call.note else "",
    )


def _until(until_us: int | None) -> str:
    return "" if until_us is None else f"...{seconds_text(until_us)}"


def expression_text(expression: Expression) -> str:
    """Return an argument or a result."""
    match expression:
        case Word(name):
            return name
        case Integer(_, text):
            return text
        case Text(value, cut):
            return string_text(value) + ("..." if cut else "")
        case Dots():
            return "..."
        case Either(parts):
            return "|".join(expression_text(part) for part in parts)
        case Array(items):
            return f"[{_listed(items)}]"
        case Struct(items):
            return f"{{{_listed(items)}}}"
        case Apply(name, arguments):
            return f"{name}({_listed(arguments)})"
        case Assign(target, value):
            return f"{expression_text(target)}={expression_text(value)}"


def _listed(items: Iterable[Expression]) -> str:
    return ", ".join(expression_text(item) for item in items)


def string_text(octets: bytes) -> str:
    """Return octets as a string in quotes: what is text of UTF-8 as it is, everything else escaped."""
    return f'"{"".join(_letter(each) for each in octets.decode(errors="surrogateescape"))}"'


def _letter(letter: str) -> str:
    if letter in _LETTERS:
        return _LETTERS[letter]
    if letter.isprintable():
        return letter
    return "".join(f"\\x{octet:02x}" for octet in letter.encode(errors="surrogateescape"))
