"""What a script's commands ask for: text in backticks to a list of steps. Pure; the targets carry them out.

Most commands set sysctls, by whatever program. Those steps need no shell, so every target can do them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final, NamedTuple


class SysctlSet(NamedTuple):
    """Set a sysctl.

    Attributes:
        name: With dots, such as ``net.ipv4.tcp_ecn``; with slashes where a part has a dot itself.
        value: As it is read afterwards: numbers in decimal, one blank between several.
        required: Whether it is an error that there is no such sysctl, or that it does not take the value.
    """

    name: str
    value: str
    required: bool = True


class Shell(NamedTuple):
    """Have a shell run *text*, one line or several."""

    text: str


Step = SysctlSet | Shell

PACKETDRILL_DEFAULTS: Final = tuple(
    SysctlSet(f"net.ipv4.{name}", value, required=False)
    for name, value in (
        ("tcp_rmem", "4096 540000 15728640"),
        ("tcp_wmem", "4096 262144 4194304"),
        ("tcp_timestamps", "1"),
        ("tcp_syn_retries", "5"),
        ("tcp_synack_retries", "5"),
        ("tcp_frto", "2"),
        ("tcp_sack", "1"),
        ("tcp_dsack", "1"),
        ("tcp_fack", "0"),
        ("tcp_reordering", "3"),
        ("tcp_slow_start_after_idle", "0"),
        ("tcp_early_retrans", "4"),
        ("tcp_recovery", "1"),
        ("tcp_tso_win_divisor", "3"),
        ("tcp_ecn", "0"),
        ("tcp_pacing_ss_ratio", "200"),
        ("tcp_pacing_ca_ratio", "120"),
        ("tcp_notsent_lowat", "4294967295"),
        ("tcp_fastopen", "459779"),  # 0x70403: both ends, without a cookie too, for every listener
        ("tcp_fastopen_key", "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4"),
        ("tcp_syncookies", "1"),
    )
)
"""What ``defaults.sh`` of packetdrill's tests sets, without the congestion control: a target has its own."""

_DEFAULTS_SCRIPT: Final = "defaults.sh"
_SET_SYSCTLS_SCRIPT: Final = "set_sysctls.py"
_OFFLOAD: Final = re.compile(r"-K \S+( (tso|gso|gro|lro|tx|rx) off)+")
"""Targets leave nothing to their interface in any case: text that comes in several packets is joined."""
_RESTORE_SCRIPT: Final = re.compile(r"sysctl_restore_\S*\.sh")
"""Written by set_sysctls.py to put back what it changed; what a target changes ends with the target."""

_CONTINUED: Final = re.compile(r"\\\n")
_SILENCED: Final = re.compile(r"\s*(?:[12&]?>>?\s*/dev/null|2>&1)(?=\s|;|&|$)")
_SEPARATOR: Final = frozenset({";", "&&"})
_OPERATOR: Final = re.compile(r"[;&|<>()]+")
_EXPANDED: Final = re.compile(r"[$`*?\[\]{}~]")
_KEEPS_SOMETHING: Final = re.compile(
    r"(?:\w+=|(?:if|for|while|until|case|select|function|cd|export|set|unset|trap|umask|ulimit|eval|source|\.|\{)"
    r"(?:\s|$)|\w+\s*\(\))"
)
"""What a line begins with that other lines depend on: all of them have to go to one shell."""
_PROC: Final = "/proc/sys/"
_NUMBER: Final = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|\d+)")


def steps_of(text: str) -> list[Step]:
    """Return what a command asks for, in order; nothing for ``:`` and ``true``.

    Args:
        text: With its backticks or without.
    """
    text = _without_backticks(text)
    lines = [
        line.lstrip() for line in _CONTINUED.sub(" ", text).splitlines()
    ]  # a blank at its end may be escaped
    lines = [line for line in lines if line and not line.startswith("#")]
    if any(_depends_on_others(line) for line in lines):
        return [Shell(text.strip("\n"))]
    steps: list[Step] = []
    for line in lines:
        found = _steps_of_line(line)
        if found is not None:
            steps.extend(found)
        elif steps and isinstance(steps[-1], Shell):
            steps[-1] = Shell(f"{steps[-1].text}\n{line}")
        else:
            steps.append(Shell(line))
    return steps


def plain_value(value: str) -> str:
    """Return the value of a sysctl as the kernel shows it: numbers in decimal, one blank between several."""
    return " ".join(_decimal(word) for word in value.split())


def _without_backticks(text: str) -> str:
    quoted = text.strip()
    return quoted[1:-1] if len(quoted) > 1 and quoted[0] == quoted[-1] == "`" else text


def _depends_on_others(line: str) -> bool:
    """Return whether a shell has to read other lines with this one: a loop, an assignment, an open quote."""
    if "<<" in line or _KEEPS_SOMETHING.match(line):
        return True
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return True
    return False


def _steps_of_line(line: str) -> list[SysctlSet] | None:
    """Return the steps of a line that needs no shell, None for one that does."""
    if _RESTORE_SCRIPT.fullmatch(PurePosixPath(line.rstrip()).name):
        return []
    words = _words(_SILENCED.sub("", line))
    if words is None:
        return None
    steps: list[SysctlSet] = []
    for command in _commands(words):
        found = _steps_of_command(command)
        if found is None:
            return None
        steps.extend(found)
    return steps


def _words(line: str) -> list[str] | None:
    """Return the words and operators of a line; None where a shell would make something else of them."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=";&|<>()")
    reader.whitespace_split = True
    words = list(reader)
    return None if any(_EXPANDED.search(word) for word in words) else words


def _commands(words: Sequence[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in (*words, ";"):
        if word in _SEPARATOR:
            if command:
                yield command
            command = []
        else:
            command.append(word)


def _steps_of_command(words: list[str]) -> list[SysctlSet] | None:
    program, arguments = PurePosixPath(words[0]).name, words[1:]
    if program == "echo":
        return _echoed(arguments)
    if any(_OPERATOR.fullmatch(word) for word in arguments):
        return None
    if program in (":", "true"):
        return []
    if program == _DEFAULTS_SCRIPT:
        return list(PACKETDRILL_DEFAULTS)
    if program == _SET_SYSCTLS_SCRIPT:
        return _assigned(arguments, required=True)
    if program == "ethtool" and _OFFLOAD.fullmatch(" ".join(arguments)):
        return []
    return _sysctl(arguments) if program == "sysctl" else None


def _sysctl(arguments: list[str]) -> list[SysctlSet] | None:
    """Return what ``sysctl -q -w NAME=VALUE ...`` sets; None where it does something else."""
    options = "".join(word[1:] for word in arguments if word.startswith("-"))
    if not set(options) <= set("eqw"):
        return None
    settings = [word for word in arguments if not word.startswith("-")]
    return _assigned(settings, required="e" not in options)


def _assigned(arguments: list[str], *, required: bool) -> list[SysctlSet] | None:
    pairs = [word.partition("=") for word in arguments]
    if not pairs or not all(equals for _, equals, _ in pairs):
        return None
    return [SysctlSet(_name(name), plain_value(value), required) for name, _, value in pairs]


def _echoed(words: list[str]) -> list[SysctlSet] | None:
    """Return what ``echo VALUE > /proc/sys/...`` sets; None where it does something else."""
    words = words[1:] if words[:1] == ["-n"] else words
    if len(words) < 3 or words[-2] not in (">", ">>") or not words[-1].startswith(f"{_PROC}net/"):
        return None
    value = words[:-2]
    if any(_OPERATOR.fullmatch(word) for word in value):
        return None
    return [SysctlSet(_name(words[-1]), plain_value(" ".join(value)))]


def _name(text: str) -> str:
    """Return a sysctl's name, given as a path or with slashes or dots, as `SysctlSet` has it."""
    name = text.removeprefix(_PROC)
    return name if "." in name else name.replace("/", ".")


def _decimal(word: str) -> str:
    """Return a number as the kernel reads it, in its decimal form; any other word as it is."""
    if not _NUMBER.fullmatch(word):
        return word
    digits = word.lstrip("+-")
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
    try:
        return f"{'-' if word[0] == '-' else ''}{int(digits, base)}"
    except ValueError:  # 09: no octal number
        return word
