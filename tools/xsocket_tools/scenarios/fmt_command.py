"""`xsocket fmt`: bring scripts into the one layout, or say which are not in it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from difflib import unified_diff
from pathlib import Path

import click

from xsocket_tools.scenarios.errors import ScriptUsageError
from xsocket_tools.scenarios.formatting import formatted

STANDARD_INPUT = "-"


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@click.option(
    "--check", is_flag=True, help="Write nothing; exit with 1 if a script would change, and name it."
)
@click.option("--diff", "show_diff", is_flag=True, help="Write nothing; show what would change.")
def fmt(paths: tuple[str, ...], check: bool, show_diff: bool) -> int:
    """Format scenario scripts in place: each PATH, and every *.pkt in a PATH that is a directory.

    A PATH of - stands for standard input; the result goes to standard output. Spelling and columns change,
    meaning, comments and paragraphs do not. A script that cannot be read is an error: so --check is also the
    way to read a script without running it.
    """
    changed = 0
    for name in _scripts(paths):
        source = _read(name)
        result = formatted(source, name)
        changed += result != source
        if show_diff:
            _show_difference(name, source, result)
        if check and result != source:
            click.echo(f"would change {name}", err=show_diff)
        if not (check or show_diff):
            _write(name, source, result)
    return int(check and changed > 0)


def _scripts(paths: Iterable[str]) -> Iterator[str]:
    for each in paths:
        path = Path(each)
        if each == STANDARD_INPUT or not path.is_dir():
            yield each
            continue
        found = sorted(path.rglob("*.pkt"))
        if not found:
            raise ScriptUsageError(
                f"there is no *.pkt in {each}", remedy="Name another directory, or a file."
            )
        yield from map(str, found)


def _read(name: str) -> str:
    if name == STANDARD_INPUT:
        return sys.stdin.read()
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise ScriptUsageError(f"cannot read {name}: {error.strerror}", remedy="Check the path.") from error
    except UnicodeDecodeError as error:
        raise ScriptUsageError(
            f"{name} is not text in UTF-8", remedy="Convert it, or escape octets."
        ) from error


def _write(name: str, source: str, result: str) -> None:
    if name == STANDARD_INPUT:
        click.echo(result, nl=False)
    elif result != source:
        try:
            Path(name).write_text(result, encoding="utf-8")
        except OSError as error:
            raise ScriptUsageError(
                f"cannot write {name}: {error.strerror}", remedy="Check the path."
            ) from error
        click.echo(f"formatted {name}")


def _show_difference(name: str, source: str, result: str) -> None:
    lines = unified_diff(source.splitlines(), result.splitlines(), name, name, lineterm="")
    for line in lines:
        click.echo(line)
