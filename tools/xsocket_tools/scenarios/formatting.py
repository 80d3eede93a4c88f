"""Scripts in one layout: canonical spelling, what happens in one column, comments and paragraphs kept.

Pure: text to text. What the text means stays as it is; that is checked, every time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Final, NamedTuple, cast

from lark import Lark, Token, Tree

from xsocket_tools.scenarios.errors import ScriptError
from xsocket_tools.scenarios.meaning import grammar
from xsocket_tools.scenarios.notation import COLUMN, event_text, flag_text, start_text, verdict_text
from xsocket_tools.scenarios.reading import as_written
from xsocket_tools.scenarios.script import Event, Flag, Script, Verdict

LONGEST: Final = 110
"""Columns of a line beyond which a statement that has several lines keeps them."""

_COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_START: Final = frozenset({"TIME", "UNTIL"})
_CHOICES: Final = {"fast_open": "WORD", "fast_open_experimental": "WORD", "md5": "WORD"}
"""Options in which a name means as much as a wildcard, and more to a reader."""


def formatted(source: str, name: str = "<script>") -> str:
    """Return the script *source* in the one layout; what is in it already comes back as it is.

    Args:
        source: Its text.
        name: What to call it in errors.

    Raises:
        ScriptSyntaxError: It is not a script.
    """
    script = as_written(source, name)
    result = _text(_items(source, script))
    if _meaning(as_written(result, name)) != _meaning(script) or _comments(result) != _comments(source):
        raise ScriptError(f"{name}: this script would not be the same after formatting; it is left alone")
    return result


def _meaning(script: Script) -> tuple[object, ...]:
    """Return everything that a script says, wherever it says it."""
    return (
        [flag._replace(line=0) for flag in script.flags],
        [verdict._replace(line=0) for verdict in script.verdicts],
        [replace(event, line=0) for event in script.events],
    )


# Where things stand


class _Item(NamedTuple):
    """A statement, or a comment that stands alone.

    Attributes:
        text: One line or several.
        after_blank: Whether a blank line stands before it.
        comment: What stands behind it; empty for nothing.
    """

    text: str
    after_blank: bool
    comment: str = ""


class _Statement(NamedTuple):
    """Where a statement stands in its source, its end excluded, and its tokens."""

    tree: Tree[Token]
    tokens: Sequence[Token]

    @property
    def start(self) -> int:
        return self.tokens[0].start_pos or 0

    @property
    def end(self) -> int:
        return self.tokens[-1].end_pos or 0


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(grammar(), parser="lalr", keep_all_tokens=True, maybe_placeholders=False)


def _statements(source: str) -> list[_Statement]:
    trees = cast("list[Tree[Token]]", _parser().parse(source).children)
    return [_Statement(tree, list(_tokens(tree))) for tree in trees]


def _tokens(tree: Tree[Token]) -> Iterator[Token]:
    for child in tree.children:
        if isinstance(child, Token):
            yield child
        else:
            yield from _tokens(child)


def _comments(source: str) -> list[str]:
    """Return the words of each comment in order; blanks do not count."""
    ends = [0]
    found = []
    for statement in _statements(source):
        for token in statement.tokens:
            found.append(source[ends[-1] : token.start_pos])
            ends.append(token.end_pos or 0)
    found.append(source[ends[-1] :])
    return [" ".join(match[0].split()) for gap in found for match in _COMMENT.finditer(gap)]


def _items(source: str, script: Script) -> list[_Item]:
    items: list[_Item] = []
    statements = _statements(source)
    texts = _texts(source, script, statements)
    at = 0
    for statement, text in zip(statements, texts, strict=True):
        blank = _take_comments(items, source, at, statement.start)
        items.append(_Item(text, blank))
        at = statement.end
    _take_comments(items, source, at, len(source))
    return [items[0]._replace(after_blank=False), *items[1:]]


def _take_comments(items: list[_Item], source: str, start: int, end: int) -> bool:
    """Add the comments between two statements to *items*; return whether a blank line stands behind them."""
    at = start
    for match in _COMMENT.finditer(source, start, end):
        skipped = source[at : match.start()]
        if items and "\n" not in source[start : match.start()]:
            last = items[-1]
            items[-1] = last._replace(comment=f"{last.comment} {match[0].rstrip()}".lstrip())
        else:
            items.append(_Item(_own_line(source, match), skipped.count("\n") > 1))
        at = match.end()
    return source[at:end].count("\n") > 1


def _own_line(source: str, match: re.Match[str]) -> str:
    """Return a comment moved to the first column, the lines of a long one with it."""
    indent = match.start() - (source.rfind("\n", 0, match.start()) + 1)
    first, *others = match[0].split("\n")
    return "\n".join([first.rstrip(), *(_moved(line, indent).rstrip() for line in others)])


def _moved(line: str, indent: int) -> str:
    blanks = len(line) - len(line.lstrip())
    return line[min(blanks, indent) :]


# How each is spelled


def _texts(source: str, script: Script, statements: Sequence[_Statement]) -> Iterator[str]:
    flags, verdicts, events = iter(script.flags), iter(script.verdicts), iter(script.events)
    values: list[Flag | Verdict | Event] = [
        next(flags)
        if each.tree.data == "flag"
        else next(verdicts)
        if each.tree.data == "verdict"
        else next(events)
        for each in statements
    ]
    for statement, value in zip(statements, values, strict=True):
        yield _spelled(source, statement, value)


def _spelled(source: str, statement: _Statement, value: Flag | Verdict | Event) -> str:
    own = source[statement.start : statement.end]
    gaps = [source[before.end_pos : after.start_pos] for before, after in pairwise(statement.tokens)]
    has_comments = any(gap.strip() for gap in gaps)
    if isinstance(value, Flag):
        return flag_text(value)
    if isinstance(value, Verdict):
        return own if has_comments else verdict_text(value)
    text = event_text(value, COLUMN)
    is_long = "\n" in own and "\n" not in text and len(text) > LONGEST
    if not (has_comments or is_long or _says_more(statement)):
        return text
    first = _first_of_action(statement)
    if any(gap.strip() for gap in gaps[:first]):  # a comment between time and action
        return own
    action = source[statement.tokens[first].start_pos : statement.end]
    return f"{start_text(value).ljust(COLUMN - 1)} {action}" if value.when is not None else action


def _first_of_action(statement: _Statement) -> int:
    """Return the index of the token that the action begins with, behind guard, time and end."""
    times = [at for at, token in enumerate(statement.tokens) if token.type in _START]
    return times[-1] + 1 if times else 0


def _says_more(statement: _Statement) -> bool:
    """Return whether something stands there that the values have no place for; it changes nothing."""
    if any(token.type == "SEQ" and token.endswith("!") for token in statement.tokens):
        return True
    for tree in statement.tree.iter_subtrees():
        named = _CHOICES.get(str(tree.data))
        if tree.data == "unchecked" or any(
            isinstance(child, Token) and child.type == named for child in tree.children
        ):
            return True
    return False


# All together


def _text(items: Sequence[_Item]) -> str:
    lines: list[str] = []
    for _, run in groupby(_numbered(items), key=lambda pair: pair[0]):
        lines += _lines([item for _, item in run])
    return "".join(f"{line}\n" for line in lines)


def _numbered(items: Sequence[_Item]) -> Iterator[tuple[int, _Item]]:
    """Yield each item with the number of its run: lines in a row with a comment behind each."""
    run, in_run = 0, False
    for item in items:
        aligns = bool(item.comment) and "\n" not in item.text + item.comment
        if not (aligns and in_run) or item.after_blank:
            run += 1
        in_run = aligns
        yield run, item


def _lines(run: Sequence[_Item]) -> Iterator[str]:
    width = max(len(item.text) for item in run)
    for item in run:
        if item.after_blank:
            yield ""
        yield f"{item.text.ljust(width)}  {item.comment}" if item.comment else item.text
