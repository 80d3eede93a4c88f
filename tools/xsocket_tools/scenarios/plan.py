"""What `xsocket run` is to do: the scripts it is given, read, and a list of runs. Nothing runs here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

from xsocket_tools.scenarios.errors import ScriptSyntaxError, ScriptUsageError
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.script import Flag, Script
from xsocket_tools.scenarios.settings import IP_VERSIONS, IpVersion, Settings, ip_versions, with_flags

SUFFIX: Final = ".pkt"

_SAFE: Final = re.compile(r"[^\w.+-]+")
_TOKEN: Final = re.compile(r"\s*(\(|\)|[^\s()]+)")

Matches = Callable[[str], bool]


class Job(NamedTuple):
    """One run of one script.

    Attributes:
        script: The script.
        target: ``sim``, ``wire`` or ``kernel``.
        settings: Of the run, before the script's own flags.
        directory: Where the script lies; its commands run there.
        number: Which repetition it is, from 1; 0 where there is only one.
        capture: Where its packets are to be written; None for nowhere.
    """

    script: Script
    target: str
    settings: Settings
    directory: str = "."
    number: int = 0
    capture: Path | None = None

    @property
    def name(self) -> str:
        """The script's name, and in brackets what tells this run from the script's others."""
        return f"{self.script.name}[{self.label}]"

    @property
    def label(self) -> str:
        """Target, IP version and repetition, such as ``sim-ipv4``."""
        return label_of(self.target, self.settings.ip_version, self.number)


class Reading(NamedTuple):
    """The scripts among what was named.

    Attributes:
        scripts: Those that could be read, by their paths.
        broken: Those that could not, and why.
    """

    scripts: dict[Path, Script]
    broken: dict[Path, ScriptSyntaxError]


def label_of(target: str, version: str, number: int = 0) -> str:
    """Return what tells one run of a script from its others."""
    return f"{target}-{version}-{number}" if number else f"{target}-{version}"


def files_in(paths: Iterable[Path]) -> list[Path]:
    """Return the files that *paths* name: files as they are, directories for the scripts below them, sorted.

    Raises:
        ScriptUsageError: A path leads nowhere, or there is no script in a directory.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob(f"*{SUFFIX}") if each.is_file())
            if not inside:
                raise ScriptUsageError(f"there is no *{SUFFIX} in {path}")
            found |= dict.fromkeys(inside)
        elif path.is_file():
            found[path] = None
        else:
            raise ScriptUsageError(f"{path} does not exist")
    return list(found)


def read_file(path: Path, definitions: Iterable[tuple[str, str]] = ()) -> Script:
    """Return the script in *path*, which is its name.

    Raises:
        ScriptSyntaxError: It is not one.
        OSError: The file cannot be read.
    """
    return read(path.read_text(encoding="utf-8", errors="replace"), str(path), definitions)


def read_all(files: Iterable[Path], definitions: Iterable[tuple[str, str]] = ()) -> Reading:
    """Read every file, also when some are no scripts.

    Raises:
        OSError: A file cannot be read.
    """
    reading = Reading({}, {})
    for path in files:
        try:
            reading.scripts[path] = read_file(path, definitions)
        except ScriptSyntaxError as error:
            reading.broken[path] = error
    return reading


def settings_for(flags: Sequence[Flag], version: IpVersion) -> Settings:
    """Return the settings of a run that *flags* of a command line ask for; an MSS is one of *version*."""
    others = [flag for flag in flags if flag.name != "ip_version"]
    return with_flags(Settings(ip_version=version), others, version=version)


def definitions_in(flags: Iterable[Flag]) -> tuple[tuple[str, str], ...]:
    """Return the names that flags define, and what stands for them."""
    return with_flags(Settings(), [flag for flag in flags if flag.name in ("D", "define")]).definitions


def versions_for(script: Script, asked: Sequence[IpVersion], flags: Sequence[Flag]) -> tuple[IpVersion, ...]:
    """Return the IP versions to run *script* with.

    Args:
        script: Has its own.
        asked: Those of the command line, which count instead where there are any.
        flags: One may name a version as well; and addresses rule out versions that nobody asked for.

    Raises:
        ScriptUsageError: A flag has no version, or no address.
    """
    named = [flag for flag in flags if flag.name == "ip_version"]
    if asked or named:
        wanted = [*asked, *(with_flags(Settings(), [flag]).ip_version for flag in named)]
        return tuple(version for version in IP_VERSIONS if version in wanted)
    families = {_version_of(flag) for flag in flags if flag.name in ("local_ip", "remote_ip")}
    own = ip_versions(script)
    return tuple(each for each in own if not families or Settings(ip_version=each).version in families)


def _version_of(flag: Flag) -> int:
    try:
        return ip_address((flag.value or "").partition("/")[0]).version
    except ValueError as error:
        raise ScriptUsageError(f"--{flag.name}={flag.value}: {error}") from None


def jobs_for(
    scripts: dict[Path, Script],
    targets: Sequence[str],
    *,
    versions: Sequence[IpVersion] = (),
    flags: Sequence[Flag] = (),
    repeat: int = 1,
    selection: Matches = lambda _: True,
    captures: Path | None = None,
) -> list[Job]:
    """Return the runs in the order in which they are reported: by script, target, IP version and repetition.

    Args:
        scripts: By their paths.
        targets: Where each of them runs.
        versions: IP versions; those of each script where there are none.
        flags: Of the command line.
        repeat: How often.
        selection: Tells by a run's name whether it is wanted.
        captures: The directory for captures; None for none.

    Raises:
        ScriptUsageError: A flag makes no sense.
        UnsupportedError: A flag asks for something that nothing here does.
    """
    numbers = range(1, repeat + 1) if repeat > 1 else (0,)
    jobs = [
        Job(script, target, settings, directory, number)
        for path, script in scripts.items()
        for directory in [str(path.parent)]
        for target in targets
        for version in versions_for(script, versions, flags)
        for settings in [settings_for(flags, version)]
        for number in numbers
    ]
    chosen = [job for job in jobs if selection(job.name)]
    if captures is None:
        return chosen
    return [job._replace(capture=captures / capture_name(job.script.name, job.label)) for job in chosen]


def capture_name(script: str, label: str) -> str:
    """Return a name for the capture of a run that no other run has: of its script's path and its label."""
    path = Path(script)
    inside = path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path
    parts = [part for part in inside.with_suffix("").parts if part not in ("/", "..")]
    return f"{_SAFE.sub('_', '__'.join(parts))}.{label}.pcapng"


def selection_of(expression: str) -> Matches:
    """Return what tells whether a name is wanted.

    Args:
        expression: Parts of names, with ``and``, ``or``, ``not`` and parentheses; the case does not matter.
            Empty for everything.

    Raises:
        ScriptUsageError: It is not an expression.
    """
    tokens = _TOKEN.findall(expression)
    if not tokens:
        return lambda _: True
    return _Expression(expression, tokens).whole()


class _Expression:
    """Reads an expression by recursive descent: `or` binds less than `and`, and that less than `not`."""

    def __init__(self, text: str, tokens: list[str]) -> None:
        self._text = text
        self._tokens = tokens

    def whole(self) -> Matches:
        matches = self._either()
        if self._tokens:
            raise self._error(f"unexpected {self._tokens[0]}")
        return matches

    def _either(self) -> Matches:
        choices = [self._both()]
        while self._take("or"):
            choices.append(self._both())
        return lambda name: any(matches(name) for matches in choices)

    def _both(self) -> Matches:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return lambda name: all(matches(name) for matches in parts)

    def _one(self) -> Matches:
        if self._take("not"):
            inner = self._one()
            return lambda name: not inner(name)
        if self._take("("):
            matches = self._either()
            if not self._take(")"):
                raise self._error("a parenthesis is not closed")
            return matches
        if not self._tokens or self._tokens[0] in ("and", "or", ")"):
            raise self._error("a part of a name is missing")
        part = self._tokens.pop(0).lower()
        return lambda name: part in name.lower()

    def _take(self, token: str) -> bool:
        if self._tokens[:1] != [token]:
            return False
        self._tokens.pop(0)
        return True

    def _error(self, problem: str) -> ScriptUsageError:
        return ScriptUsageError(
            f"-k {self._text!r}: {problem}", remedy="Write it like -k 'fin and not ipv6'."
        )
