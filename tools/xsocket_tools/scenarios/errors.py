"""What can be wrong with a script or a run of one, apart from what the target did."""

from __future__ import annotations

from typing import Final

from xsocket_tools.errors import ToolError

BROKEN_STATUS: Final = 3
"""Exit status for a script that cannot be read."""
UNSUPPORTED_STATUS: Final = 4
"""Exit status for one that has something in it that a target cannot do."""


class ScriptError(ToolError):
    """Base of the errors about scripts."""


class ScriptSyntaxError(ScriptError):
    """A script is not written as the language has it.

    Attributes:
        name: The script.
        line: Counted from 1.
        column: Counted from 1.
        expected: What could have stood there, in words; empty where that is not known.
        text: The line.
    """

    remedy = "docs/reference/script-language.md has the language; correct the script."
    exit_status = BROKEN_STATUS

    def __init__(
        self,
        name: str,
        line: int,
        column: int,
        problem: str,
        *,
        text: str = "",
        expected: tuple[str, ...] = (),
    ) -> None:
        self.name, self.line, self.column, self.expected, self.text = name, line, column, expected, text
        shown = f"\n    {text}\n    {_under(text, column)}^" if text else ""
        wanted = f"; expected {_listed(expected)}" if expected else ""
        super().__init__(f"{name}:{line}:{column}: {problem}{wanted}{shown}")


class UnsupportedError(ScriptError):
    """A script has something in it that is part of the language and that a target cannot do.

    Attributes:
        construct: What, by name.
        line: Where; 0 where that is to be filled in by who runs it.
    """

    remedy = "Run the script on another target, or leave it out: `on TARGET: skip` says so in the script."
    exit_status = UNSUPPORTED_STATUS

    def __init__(self, construct: str, line: int = 0) -> None:
        self.construct, self.line = construct, line
        super().__init__(f"unsupported: {construct}")


class ScriptUsageError(ScriptError):
    """A flag or an argument of a run makes no sense."""

    remedy = "See `xsocket run --help`."
    exit_status = 2


class CommandError(ScriptError):
    """A command of a script failed."""

    remedy = "Run it by hand; commands run in the directory of their script."


def _under(text: str, column: int) -> str:
    """Return the blanks that bring a mark below *column*; tabs stay tabs, however wide."""
    return "".join("\t" if letter == "\t" else " " for letter in text[: column - 1])


def _listed(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
