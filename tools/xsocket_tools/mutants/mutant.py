"""What a mutant is: one bug, as lines of the engine with others in their place. Nothing runs here."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from xsocket_tools.errors import ToolError

SUFFIX: Final = ".toml"
_FIELDS: Final = ("file", "rule", "what", "before", "after")
_OPTIONAL: Final = ("beyond_scripts",)


class MutantError(ToolError):
    """Mutants cannot be read, put into the engine or tried."""

    remedy = "docs/how-to/mutants.md says what a mutant has to have; correct the file."
    exit_status = 3


class Mutant(NamedTuple):
    """One bug.

    Attributes:
        name: The name of its file, without the suffix.
        file: What it changes, such as ``xsocket/tcp/guards.py``: a path from where the package lies.
        rule: The rule that it breaks, such as ``RFC 9293 3.10.7.4 second``.
        what: What it does wrong, in one sentence.
        before: The source as it is right; there is one such place in *file*.
        after: What the mutant has in its place.
        beyond_scripts: Why no scenario script can show it; empty where one can.
    """

    name: str
    file: str
    rule: str
    what: str
    before: str
    after: str
    beyond_scripts: str = ""


def read_all(directory: Path, names: Sequence[str] = ()) -> list[Mutant]:
    """Return the mutants in *directory* by their names.

    Args:
        directory: Has one TOML file for each.
        names: Those that are wanted; all of them where there are none.

    Raises:
        MutantError: There is no such directory, none of that name, or a file is no mutant.
    """
    known = {path.stem: path for path in sorted(directory.glob(f"*{SUFFIX}"))}
    if not known:
        raise MutantError(
            f"there is no mutant in {directory}",
            remedy="Name the directory: --mutants DIR; the engine's own are in tests/mutants of its sources.",
        )
    for name in names:
        if name not in known:
            raise MutantError(f"there is no mutant {name} in {directory}", remedy=f"ls {directory} has them.")
    return [read(path) for stem, path in known.items() if not names or stem in names]


def read(path: Path) -> Mutant:
    """Return the mutant in the file *path*.

    Raises:
        MutantError: It is no TOML, or something is missing, too much, or not text.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise MutantError(f"{path}: {error}") from None
    missing = [name for name in _FIELDS if name not in found]
    if missing:
        raise MutantError(f"{path}: {', '.join(missing)} is missing")
    unknown = [name for name in found if name not in (*_FIELDS, *_OPTIONAL)]
    if unknown:
        raise MutantError(f"{path}: a mutant has no {', '.join(unknown)}")
    empty = [
        name for name in found if not isinstance(found[name], str) or not (found[name] or name == "after")
    ]
    if empty:
        raise MutantError(f"{path}: {', '.join(empty)} has to be text")
    return Mutant(path.stem, **found)


def mutated(mutant: Mutant, package: Path) -> str:
    """Return the source of the file that *mutant* changes, changed.

    Args:
        mutant: The bug.
        package: The directory of the package, such as ``.../xsocket``; nothing in it is changed.

    Raises:
        MutantError: There is no such file or place, there are several such places, or what comes out is no
            Python or the same as before.
    """
    path = package.parent / mutant.file
    if Path(mutant.file).parts[0] != package.name or ".." in Path(mutant.file).parts or not path.is_file():
        raise MutantError(f"{mutant.name}: there is no file {mutant.file} in the package {package.name}")
    source = path.read_text(encoding="utf-8")
    places = source.count(mutant.before)
    if places != 1:
        raise MutantError(
            f"{mutant.name}: `before` occurs {places} times in {mutant.file}, not once",
            remedy="Copy the lines from the source again, with as many around them as it takes.",
        )
    changed = source.replace(mutant.before, mutant.after)
    if changed == source:
        raise MutantError(f"{mutant.name}: `after` is the same as `before`")
    try:
        compile(changed, mutant.file, "exec")
    except SyntaxError as error:
        raise MutantError(f"{mutant.name}: no Python comes out: {error.msg}, line {error.lineno}") from None
    return changed
