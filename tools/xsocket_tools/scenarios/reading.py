"""Text to `Script`, or an error that names what is wrong. The grammar is in `grammar.lark`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from lark import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken

from xsocket_tools.scenarios.errors import ScriptSyntaxError
from xsocket_tools.scenarios.meaning import Mistake, parsed, unescaped
from xsocket_tools.scenarios.script import (
    Action,
    Apply,
    Array,
    Assign,
    Call,
    Command,
    Either,
    Event,
    Expression,
    Flag,
    IcmpSpec,
    Integer,
    Kind,
    Script,
    Struct,
    Text,
    Verdict,
    Word,
)


def read(source: str, name: str = "<script>", definitions: Iterable[tuple[str, str]] = ()) -> Script:
    """Return the script that *source* is.

    Args:
        source: Its text.
        name: What to call it in errors and reports.
        definitions: Names and what stands for them, as ``-D`` gives them; those of the script itself count
            where both define a name.

    Raises:
        ScriptSyntaxError: It is not one.
    """
    return _with_definitions(as_written(source, name), definitions)


def as_written(source: str, name: str = "<script>") -> Script:
    """Return the script that *source* is, with names where definitions are to be put in.

    Raises:
        ScriptSyntaxError: It is not one.
    """
    try:
        parts = parsed(source)
    except UnexpectedToken as error:
        expected = _in_words(error.accepts or error.expected)
        if error.token.type == "$END":
            raise _at_the_end(name, source, expected) from None
        problem = f"unexpected {_shortened(error.token)}"
        raise _error(name, source, error.line, error.column, problem, expected) from None
    except UnexpectedCharacters as error:
        problem = f"unexpected {_shortened(source[error.pos_in_stream :])}"
        expected = _in_words(error.allowed or ())
        raise _error(name, source, error.line, error.column, problem, expected) from None
    except UnexpectedEOF as error:
        raise _at_the_end(name, source, _in_words(error.expected)) from None
    except Mistake as mistake:
        raise _error(name, source, mistake.line, mistake.column, str(mistake)) from None
    return _assembled(name, source, parts)


def _assembled(name: str, source: str, parts: list[object]) -> Script:
    flags = tuple(part for part in parts if isinstance(part, Flag))
    verdicts = tuple(part for part in parts if isinstance(part, Verdict))
    events = tuple(part for part in parts if isinstance(part, Event))
    timed = [at for at, event in enumerate(events) if event.when is not None]
    if not timed:
        raise _error(name, source, 1, 1, "there is no event in this script")
    for at, event in enumerate(events):
        if event.when is None and timed[0] < at < timed[-1]:
            raise _error(name, source, event.line, 1, "a command between events needs a time")
    _check_order(name, source, events)
    return Script(name, source, flags, verdicts, events)


def _check_order(name: str, source: str, events: tuple[Event, ...]) -> None:
    """Refuse absolute times that go back; only the run can tell of the others."""
    latest = 0
    for event in events:
        when = event.when
        if when is None or when.kind not in (Kind.ABSOLUTE, Kind.ABSOLUTE_RANGE):
            latest = 0 if when is not None else latest
            continue
        if when.at_us < latest:
            raise _error(name, source, event.line, 1, "time goes backwards")
        latest = when.at_us


# Errors


def _error(
    name: str, source: str, line: int, column: int, problem: str, expected: tuple[str, ...] = ()
) -> ScriptSyntaxError:
    lines = source.split("\n")
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    return ScriptSyntaxError(name, line, column, problem, text=text, expected=expected)


def _at_the_end(name: str, source: str, expected: tuple[str, ...]) -> ScriptSyntaxError:
    lines = source.rstrip().split("\n")
    return _error(name, source, len(lines), len(lines[-1]) + 1, "the script ends too soon", expected)


def _shortened(text: str) -> str:
    word = re.match(r"\s*(\w+|\S)", text)
    return repr(word[1] if word else text[:1])


_NAMES: Final = {
    "TIME": "a time such as +0.1",
    "FLAG": "a flag such as --mss=1000",
    "COMMAND": "a command in backticks",
    "CODE": "code in %{ }%",
    "DIRECTION": "< or >",
    "FLAGS": "TCP flags such as S. or P.",
    "SEQ": "sequence numbers such as 1:1001(1000)",
    "INTEGER": "a number",
    "HEX": "a number such as 0x10",
    "WORD": "a name",
    "STRING": "a string",
    "ELLIPSIS": "...",
    "UNTIL": "the end of a blocking call such as ...0.2",
    "ANY": "*",
    "BLOCK": "edges such as 1:1001",
    "BLOB": "octets in hexadecimal",
    "COUNTER": "e0b, ceb or e1b",
    "MARK": "ect0, ect1, ce, noecn or ect01",
    "NOTE": "a note in parentheses",
    "MUTATION": "{",
    "TUNNEL": "a tunnel's header",
    "TARGET": "sim, wire, kernel or engine",
    "VERDICT": "xfail or skip",
    "BAD": "checksum, length or offset",
    "COMPARISON": "a comparison such as ==",
    "LPAR": "(",
    "RPAR": ")",
    "LSQB": "[",
    "RSQB": "]",
    "LBRACE": "{",
    "RBRACE": "}",
    "LESSTHAN": "<",
    "MORETHAN": ">",
    "EQUAL": "=",
    "VBAR": "|",
    "COMMA": ",",
    "COLON": ":",
    "$END": "the end of the script",
}
_EXTENSIONS: Final = frozenset(
    {"BAD", "ON", "STATE", "POOL", "SILENCE", "RAW", "MUTATION", "TUNNEL", "IN_UDP"}
)
"""What an error does not offer: it would hide what was meant."""


def _in_words(terminals: Iterable[str]) -> tuple[str, ...]:
    named = {
        _NAMES.get(each, each.lower().replace("sackok", "sackOK"))
        for each in terminals
        if each not in _EXTENSIONS
    }
    return tuple(sorted(named, key=lambda word: (word.isalpha(), word)))


# Definitions


def _with_definitions(script: Script, given: Iterable[tuple[str, str]]) -> Script:
    """Put what names stand for in their place; a name that stands for a command is a command."""
    known = dict(given)
    for flag in script.flags:
        if flag.name in ("define", "D"):
            symbol, _, value = (flag.value or "").partition("=")
            known[symbol] = value
    events = tuple(replace(event, action=_defined(event, known, script)) for event in script.events)
    return replace(script, events=events)


def _defined(event: Event, known: dict[str, str], script: Script) -> Action:
    action = event.action
    if isinstance(action, Command) and not action.text.startswith("`"):
        value = known.get(action.text, "")
        if value[:1] != "`":
            problem = f"{action.text} is neither a call nor defined as a command"
            raise _error(script.name, script.source, event.line, 1, problem)
        return Command(value)
    if known and isinstance(action, IcmpSpec):
        return action._replace(code=known.get(action.code, action.code))
    if known and isinstance(action, Call):
        arguments = tuple(_replaced(each, known) for each in action.arguments)
        return action._replace(arguments=arguments, result=_replaced(action.result, known))
    return action


def _replaced(expression: Expression, known: dict[str, str]) -> Expression:
    match expression:
        case Word(name) if name in known:
            return _value_of(known[name])
        case Either(parts):
            return Either(tuple(_replaced(each, known) for each in parts))
        case Array(items):
            return Array(tuple(_replaced(each, known) for each in items))
        case Struct(items):
            return Struct(tuple(_replaced(each, known) for each in items))
        case Apply(name, arguments):
            return Apply(name, tuple(_replaced(each, known) for each in arguments))
        case Assign(target, value):
            return Assign(target, _replaced(value, known))
        case _:
            return expression


def _value_of(text: str) -> Expression:
    if text[:1] == '"':
        return Text(unescaped(text[1:-1]))
    if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", text):
        return Integer(int(text, 0), text)
    return Word(text)
