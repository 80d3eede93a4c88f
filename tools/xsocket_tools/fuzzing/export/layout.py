"""How a script is laid out: the comment that it begins with, flags, commands, and events in paragraphs."""

from __future__ import annotations

from textwrap import wrap
from typing import Final, NamedTuple

from xsocket_tools.fuzzing.export.rules import Rules
from xsocket_tools.scenarios.notation import flag_text, verdict_text
from xsocket_tools.scenarios.script import Flag, Verdict

_WIDTH: Final = 108


class Line(NamedTuple):
    """One line of a script, or several of a comment."""

    text: str
    kind: str = ""


def commented(text: str) -> str:
    """Return *text* as a comment, in as many lines as it takes."""
    indent = text[: len(text) - len(text.lstrip())]
    lines = wrap(text.strip(), _WIDTH - len(indent), break_long_words=False, break_on_hyphens=False) or [""]
    return "\n".join(f"// {indent}{line}" for line in lines)


def text_of(
    head: list[str], flags: list[Flag], verdicts: list[Verdict], rules: Rules, lines: list[Line]
) -> str:
    """Return a script's text.

    Args:
        head: The comment that it begins with, a paragraph each.
        flags: Its flags.
        verdicts: What is expected of it on some targets.
        rules: For its commands.
        lines: The rest.
    """
    text = [commented(each) if each else "//" for each in head]
    text += [flag_text(each) for each in flags]
    text += [verdict_text(each) for each in verdicts]
    text += [f"`sysctl -q {name}={_quoted(value)}`" for name, value in rules.sysctls]
    before = ""
    for line in lines:
        kind = line.kind or before
        if (kind != before and "remark" not in (kind, before)) or not before:
            text.append("")
        text.append(line.text)
        before = kind
    return "".join(f"{line}\n" for line in text)


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value
