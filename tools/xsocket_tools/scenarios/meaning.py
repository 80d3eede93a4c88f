"""What each rule of the grammar means: its pieces become the values of `script.py`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, cast

from lark import Lark, Token, Transformer, v_args

from xsocket_tools.scenarios.notation import action_text, ip_text, ports_text
from xsocket_tools.scenarios.script import (
    ANYTHING,
    ENGINE,
    AccEcnSpec,
    Action,
    Apply,
    Array,
    Assign,
    Call,
    Code,
    Command,
    Damage,
    Direction,
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

_WORD_LIMIT: Final = 1 << 32
_ANY: Final = "*"
_NO_FLAGS: Final = "-"
_DOTS: Final = "..."
_FLAG_ORDER: Final = "SFRPUEWA"
_LONGEST_TEXT: Final = 65_535

_TIME: Final = re.compile(r"(\+)?\s*(\d*\.?\d+)(?:\s*~\s*(\+)?\s*(\d*\.?\d+))?")
_SEQ: Final = re.compile(r"(\d+|\*)\s*:\s*(\d+|\*)\s*\(\s*(\d+)\s*\)!?")
_ESCAPES: Final = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"0": b"\0", b"a": b"\a", b"b": b"\b"}


class Mistake(Exception):  # noqa: N818  # told as a ScriptSyntaxError
    """Something that the grammar allows and that makes no sense."""

    def __init__(self, token: Token, problem: str) -> None:
        super().__init__(problem)
        self.line, self.column = token.line or 1, token.column or 1


def grammar() -> str:
    """Return the text of the language's grammar."""
    return files("xsocket_tools.scenarios").joinpath("grammar.lark").read_text()


def parsed(source: str) -> list[object]:
    """Return what stands in a script: flags, verdicts and events, in its order.

    Raises:
        UnexpectedInput: The grammar does not allow it (lark).
        Mistake: The grammar allows it, and it makes no sense.
    """
    return cast("list[object]", _parser().parse(source))


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(grammar(), parser="lalr", transformer=_Meaning(), maybe_placeholders=True)


@v_args(inline=True)
class _Meaning(Transformer[Token, Any]):
    """What each rule of the grammar makes; named after the rules."""

    def start(self, *parts: object) -> list[object]:
        return list(parts)

    def flag(self, token: Token) -> Flag:
        name, equals, value = token.lstrip("-").partition("=")
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        return Flag(name, value if equals else None, token.line or 0)

    def untimed(self, token: Token) -> Event:
        return Event(None, Command(str(token)), token.line or 0)

    def event(self, targets: frozenset[str] | None, time: Token, action: Action | Token) -> Event:
        when = _when(time)
        if isinstance(action, Token):
            action = Command(str(action)) if action.type == "COMMAND" else Code(_code(action))
        outbound = (
            isinstance(action, TcpSpec | IcmpSpec | OtherPacket) and action.direction is Direction.OUTBOUND
        )
        if when.kind in (Kind.ANY, Kind.ABSOLUTE_RANGE, Kind.RELATIVE_RANGE) and not outbound:
            raise Mistake(time, "only an outbound packet may come at any time, or in a range of times")
        return Event(when, action, time.line or 0, targets or frozenset())

    def verdict(self, targets: frozenset[str], kind: Token, reason: Token) -> Verdict:
        text = unescaped(reason[1:-1]).decode(errors="replace")
        return Verdict(targets, "xfail" if kind == "xfail" else "skip", text, kind.line or 0)

    def guard(self, *names: Token) -> frozenset[str]:
        return frozenset().union(*(ENGINE if name == "engine" else {str(name)} for name in names))

    # Packets

    def tcp(
        self,
        direction: Token,
        ip: IpFields | None,
        ports: Ports | None,
        flags: Token,
        seq: Token,
        ack: Number | None,
        window: Number | None,
        urgent: int | None,
        options: tuple[OptionSpec, ...] | Dots | None,
        payload: bytes | None,
        *rest: Any,  # noqa: ANN401  # what several rules made
    ) -> TcpSpec | OtherPacket:
        inbound = direction == "<"
        *damages, mutation = rest
        start, length = _numbers(seq)
        if payload is not None and len(payload) != length:
            raise Mistake(seq, f"the payload has {len(payload)} octets, and the numbers say {length}")
        spec = TcpSpec(
            Direction(str(direction)),
            _flags(flags),
            start,
            length,
            ack,
            window,
            urgent,
            None if isinstance(options, Dots) else options or (),
            ports,
            ip or IpFields(),
            payload,
            _damage(damages),
        )
        if mutation is not None:
            what = "TCP in UDP" if mutation.type == "IN_UDP" else "packets made to fuzz"
            return OtherPacket(spec.direction, what, f"{_without_direction(spec)} {mutation}")
        if inbound:
            _check_inbound(spec, direction, seq)
        elif damages:
            raise Mistake(direction, "only an inbound packet can be bad on purpose")
        return spec

    def icmp(
        self,
        direction: Token,
        ip: IpFields | None,
        before: tuple[int, int] | str | None,
        kind: Token,
        code: Token | None,
        mtu: int | None,
        echo_id: int | None,
        behind: tuple[int, int] | str | None,
    ) -> IcmpSpec | OtherPacket:
        quoted = behind or before
        seq, length = quoted if isinstance(quoted, tuple) else (None, 0)
        spec = IcmpSpec(
            Direction(str(direction)), str(kind), str(code or ""), mtu, echo_id, seq, length, ip or IpFields()
        )
        if isinstance(quoted, str):
            text = f"{_without_direction(spec)} {quoted}"
            return OtherPacket(spec.direction, "ICMP about UDP or raw packets", text)
        return spec

    def udp(self, direction: Token, ip: IpFields | None, ports: Ports | None, length: Token) -> OtherPacket:
        parts = (ip_text(ip or IpFields()), "udp", ports_text(ports), f"({length})")
        return OtherPacket(Direction(str(direction)), "UDP", " ".join(part for part in parts if part))

    def tunnelled(self, direction: Token, tunnel: Token) -> OtherPacket:
        return OtherPacket(
            Direction(str(direction)), f"{tunnel.split()[0].rstrip(':')} in front of a packet", str(tunnel)
        )

    def ip_fields(self, *fields: tuple[str, Any]) -> IpFields:
        return IpFields(**dict(fields))

    def ecn(self, token: Token) -> tuple[str, str]:
        return "ecn", str(token)

    def tos(self, token: Token) -> tuple[str, int]:
        return "tos", _ranged(token, 0xFF)

    def ttl(self, token: Token) -> tuple[str, int]:
        return "ttl", _ranged(token, 0xFF)

    def flow_label(self, token: Token) -> tuple[str, int]:
        return "flow_label", _ranged(token, 0xFFFFF)

    def ports(self, source: Token, destination: Token) -> Ports:
        return Ports(_ranged(source, 0xFFFF, 1), _ranged(destination, 0xFFFF, 1))

    def number(self, token: Token) -> Number:
        return _number(token, _WORD_LIMIT - 1)

    def short(self, token: Token) -> Number:
        return _number(token, 0xFFFF)

    def octet(self, token: Token) -> Number:
        return _number(token, 0xFF)

    def ack(self, number: Number) -> Number:
        return number

    def window(self, number: Number) -> Number:
        return number

    def urgent(self, token: Token) -> int:
        return _ranged(token, 0xFFFF)

    def payload(self, token: Token) -> bytes:
        return unescaped(token[1:-1])

    def damage(self, bad: Token) -> tuple[str, int | None]:
        what, *numbers = bad.split()
        return what, int(numbers[0]) if numbers else None

    # Options

    def options(self, *items: OptionSpec | Dots | Token | None) -> tuple[OptionSpec, ...] | Dots:
        if any(isinstance(item, Token | Dots) for item in items):
            return Dots()
        return _tuple(items)

    def unchecked(self) -> Dots:
        return Dots()

    def nop(self) -> NopSpec:
        return NopSpec()

    def eol(self) -> EndSpec:
        return EndSpec()

    def mss(self, value: Number) -> MssSpec:
        return MssSpec(value)

    def wscale(self, shift: Number) -> WindowScaleSpec:
        return WindowScaleSpec(shift)

    def sack_permitted(self) -> SackPermittedSpec:
        return SackPermittedSpec()

    def sack(self, *blocks: Token) -> SackSpec:
        return SackSpec(tuple(_edges(block) for block in blocks))

    def timestamps(self, value: Number, echo: Number) -> TimestampsSpec:
        return TimestampsSpec(value, echo)

    def fast_open(self, cookie: Token | None) -> FastOpenSpec:
        return FastOpenSpec(_blob_or_any(cookie))

    def fast_open_experimental(self, cookie: Token | None) -> FastOpenSpec:
        return FastOpenSpec(_blob_or_any(cookie), experimental=True)

    def md5(self, digest: Token | None) -> Md5Spec:
        octets = _blob_or_any(digest) if digest is not None else None
        if octets is not None and len(octets) != 16:
            assert digest is not None
            raise Mistake(digest, f"an MD5 digest has 16 octets, not {len(octets)}")
        return Md5Spec(octets)

    def counter(self, name: Token, value: Number) -> tuple[str, Number]:
        return str(name), value

    def accurate_ecn(self, *counters: tuple[str, Number]) -> AccEcnSpec:
        return AccEcnSpec(counters)

    def experimental(self, experiment: Token, data: Token | None) -> ExperimentalSpec:
        return ExperimentalSpec(int(experiment, 16), b"" if data is None else _blob(data))

    def raw(self, token: Token) -> RawSpec:
        return RawSpec(_blob(token))

    # ICMP

    def mtu(self, token: Token) -> int:
        return _ranged(token, _WORD_LIMIT - 1)

    def echo_id(self, token: Token) -> int:
        return _ranged(token, 0xFFFF)

    def quoted_tcp(self, token: Token) -> tuple[int, int]:
        start, length = _numbers(token)
        if start is ANYTHING:
            raise Mistake(token, "what an ICMP error quotes has a number")
        return start, length

    def quoted_udp(self, length: Token) -> str:
        return f"[udp ({length})]"

    def quoted_raw(self, length: Token) -> str:
        return f"[raw ({length})]"

    # System calls

    def call(
        self,
        until: Token | None,
        name: Token,
        *rest: Any,  # noqa: ANN401  # what several rules made
    ) -> Call:
        *arguments, result, errno, note = rest
        return Call(
            str(name),
            _tuple(arguments),
            result,
            "" if errno is None else errno,
            None if until is None else _microseconds(until[len("...") :].lstrip(" \t+")),
            "" if note is None else str(note)[1:-1],
        )

    def errno(self, token: Token) -> str:
        return str(token)

    def assign(self, target: Expression, value: Expression) -> Assign:
        return Assign(target, value)

    def either(self, *parts: Expression) -> Either:
        return Either(parts)

    def integer(self, token: Token) -> Integer:
        return Integer(int(token, 0) if "x" in token else int(token), str(token))

    def word(self, token: Token) -> Word:
        return Word(str(token))

    def text(self, *parts: Token | None) -> Text:
        *strings, dots = parts
        return Text(b"".join(unescaped(each[1:-1]) for each in strings if each is not None), dots is not None)

    def dots(self, _: Token) -> Dots:
        return Dots()

    def array(self, *items: Expression | None) -> Array:
        return Array(_tuple(items))

    def struct(self, *items: Expression | None) -> Struct:
        return Struct(_tuple(items))

    def apply(self, name: Token, *arguments: Expression | None) -> Apply:
        return Apply(str(name), _tuple(arguments))

    def named(self, token: Token) -> Command:
        return Command(str(token))

    # Checks

    def state(self, ports: Ports | None, name: Token) -> StateCheck:
        known = name.upper().replace("-", "_")
        if known not in _STATES:
            raise Mistake(name, f"{name} is not a state; they are {', '.join(_STATES)}")
        return StateCheck(known, ports)

    def pool(self, comparison: Token, count: Token) -> PoolCheck:
        return PoolCheck(str(comparison), int(count))

    def silence(self) -> Silence:
        return Silence()


_STATES: Final = (
    "CLOSED",
    "SYN_SENT",
    "SYN_RECEIVED",
    "ESTABLISHED",
    "FIN_WAIT_1",
    "FIN_WAIT_2",
    "CLOSE_WAIT",
    "CLOSING",
    "LAST_ACK",
    "TIME_WAIT",
)


def _when(token: Token) -> When:
    if token == _ANY:
        return When(Kind.ANY)
    match = _TIME.fullmatch(token)
    assert match is not None, f"the grammar lets {token!r} through as a time"
    plus, start, second_plus, end = match.groups()
    at_us = _microseconds(start)
    if end is None:
        return When(Kind.RELATIVE if plus else Kind.ABSOLUTE, at_us)
    until_us = _microseconds(end)
    if bool(plus) != bool(second_plus):
        raise Mistake(token, "both ends of a range of times have a plus, or neither has")
    if until_us < at_us:
        raise Mistake(token, "the range of times is backwards")
    return When(Kind.RELATIVE_RANGE if plus else Kind.ABSOLUTE_RANGE, at_us, until_us)


def _without_direction(spec: TcpSpec | IcmpSpec) -> str:
    return action_text(spec).removeprefix(f"{spec.direction.value} ")


def _code(token: Token) -> str:
    return str(token)[2:-2]


def _numbers(token: Token) -> tuple[Number, int]:
    match = _SEQ.fullmatch(token)
    assert match is not None, f"the grammar lets {token!r} through as sequence numbers"
    start, end, length = match.groups()
    count = int(length)
    if count > _LONGEST_TEXT:
        raise Mistake(token, f"a segment holds {_LONGEST_TEXT} octets at most")
    if start == "*":
        return ANYTHING, count
    first = int(start)
    if first >= _WORD_LIMIT:
        raise Mistake(token, "a sequence number has 32 bits")
    if end != "*" and int(end) not in (first + count, (first + count) % _WORD_LIMIT):
        raise Mistake(token, f"{start} and {length} octets make {first + count}, not {end}")
    return first, count


def _edges(token: Token) -> tuple[int, int]:
    left, right = (int(part) for part in token.split(":"))
    if max(left, right) >= _WORD_LIMIT:
        raise Mistake(token, "a sequence number has 32 bits")
    return left, right


def _flags(token: Token) -> str:
    """Return the flags in one order; digits are the three bits of the accurate feedback (RFC 9768)."""
    if token == _NO_FLAGS:
        return ""
    letters = {letter for letter in token if letter in _FLAG_ORDER}
    for digit in token:
        if digit.isdigit():
            value = int(digit)
            letters |= {letter for bit, letter in ((4, "A"), (2, "W"), (1, "E")) if value & bit}
    if len([letter for letter in token if letter in _FLAG_ORDER]) > len(set(token) & set(_FLAG_ORDER)):
        raise Mistake(token, "a flag stands there twice")
    return "".join(letter for letter in _FLAG_ORDER if letter in letters) + ("." if "." in token else "")


def _damage(damages: list[tuple[str, int | None]]) -> Damage:
    given = dict(damages)
    return Damage(
        checksum="checksum" in given,
        length=(given["length"] if given["length"] is not None else 4) if "length" in given else None,
        offset=(given["offset"] if given["offset"] is not None else 15) if "offset" in given else None,
    )


def _check_inbound(spec: TcpSpec, direction: Token, seq: Token) -> None:
    """Refuse what cannot be sent because it is not said, or not one thing."""
    if spec.options is None:
        raise Mistake(direction, "<...> stands for the options of outbound packets only")
    numbers = [spec.seq, spec.ack, spec.window]
    for option in spec.options:
        numbers += [value for value in option if isinstance(value, int) or value is ANYTHING]
    if ANYTHING in numbers or spec.ip.ecn == "ect01":
        raise Mistake(seq, "an inbound packet needs values, and a wildcard has none")
    if spec.window is None and "R" not in spec.flags:
        raise Mistake(seq, "an inbound packet needs its window: win 1000")


def _ranged(token: Token, most: int, least: int = 0) -> int:
    value = int(token, 0) if "x" in token else int(token)
    if not least <= value <= most:
        raise Mistake(token, f"{token} is outside {least} to {most}")
    return value


def _number(token: Token, most: int) -> Number:
    return ANYTHING if token in (_ANY, _DOTS) else _ranged(token, most)


def _blob(token: Token) -> bytes:
    digits = token[2:] if token[:2] == "0x" else str(token)
    if len(digits) % 2:
        raise Mistake(token, "octets have two digits each")
    return bytes.fromhex(digits)


def _blob_or_any(token: Token | None) -> bytes | None:
    """Return octets; None for a wildcard, and for a name, which stands for whatever the target has."""
    if token is None:
        return b""
    return None if token == _ANY or token.type == "WORD" else _blob(token)


def _microseconds(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole or 0) * 1_000_000 + int(fraction[:6].ljust(6, "0"))


def _tuple(items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(item for item in items if item is not None)


def unescaped(text: str) -> bytes:
    """Return the octets of a string with escapes as C has them."""
    return _ESCAPES.sub(_escape, text.encode())


def _escape(match: re.Match[bytes]) -> bytes:
    body = match[1]
    if body[:1] == b"x" and len(body) == 3:
        return bytes((int(body[1:], 16),))
    if body.isdigit():
        return bytes((int(body, 8) & 0xFF,))
    return _LETTERS.get(body, body)
