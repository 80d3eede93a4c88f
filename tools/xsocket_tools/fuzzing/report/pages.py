"""The page of a campaign: figures, findings with all that belongs to each, coverage, rules."""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from xsocket_tools.fuzzing.campaign import Record
from xsocket_tools.fuzzing.case import as_dict
from xsocket_tools.fuzzing.deviations import LINUX, Deviation
from xsocket_tools.fuzzing.export import Exported, exported
from xsocket_tools.fuzzing.export.words import operation_text, violation_lines
from xsocket_tools.fuzzing.findings import Finding
from xsocket_tools.fuzzing.opening import opened
from xsocket_tools.fuzzing.playing import play
from xsocket_tools.fuzzing.report.errors import CannotWriteError
from xsocket_tools.fuzzing.report.grids import STATES, grid
from xsocket_tools.fuzzing.report.ladders import Rung, rungs
from xsocket_tools.fuzzing.summary import figures, rate
from xsocket_tools.fuzzing.target import StalledError, Target, TargetError

MOST_IN_FULL: Final = 40
"""How many findings have a ladder and a script in the page. Of the others there is what they are."""
MOST_LINES: Final = 150
"""Of a script in the page."""
_PAGE: Final = Path(__file__).with_name("page.html")
_FILES: Final = {".json": "case", ".pkt": "script", ".pcapng": "capture"}


class Link(NamedTuple):
    """A file beside the page."""

    name: str
    href: str


class Shown(NamedTuple):
    """A finding, as the page has it.

    Attributes:
        finding: It.
        said: What is to be said of its violation, each with its heading.
        operations: The case, an operation a line.
        links: The files that are there.
        replay: The command that plays it again; empty where there is no file to play.
        case: Its case as JSON, where it has no file.
        ladder: What happened; empty where nobody could play it.
        is_shown: Whether it showed itself again.
        script: The script; empty as well.
        gaps: What the script leaves out.
    """

    finding: Finding
    said: list[tuple[str, str]]
    operations: list[str]
    links: list[Link]
    replay: str
    case: str
    ladder: list[Rung]
    is_shown: bool
    script: str
    gaps: tuple[str, ...]


def check_writable(path: Path) -> None:
    """Raise if a report could not be written to *path*; nothing is written yet.

    Raises:
        CannotWriteError: The directory is not there, or may not be written to.
    """
    if not path.parent.is_dir():
        raise CannotWriteError(f"there is no directory {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise CannotWriteError(f"{path} may not be written to")


def write_report(path: Path, record: Record, *, findings: Path | None = None) -> None:
    """Write what came of a campaign to the file *path*.

    Args:
        path: The page.
        record: How far the campaign is. Its findings are played again, where the target can be had.
        findings: Where they lie as files; the directory ``findings`` beside the page without it.

    Raises:
        CannotWriteError: It does not work.
    """
    check_writable(path)
    directory = path.parent / "findings" if findings is None else findings
    page = render(record, directory=directory, beside=path.parent)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CannotWriteError(f"cannot write {path}: {error.strerror}") from error


def render(record: Record, *, directory: Path, beside: Path) -> str:
    """Return what came of a campaign as an HTML document.

    Args:
        record: How far the campaign is.
        directory: Where the findings lie as files, if they do.
        beside: The directory of the page, which links are relative to.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["count"] = lambda number: f"{number:,}"
    template = environment.from_string(_PAGE.read_text(encoding="utf-8"))
    total, found = record.total, figures(record.total)
    return template.render(
        plan=record.plan,
        total=total,
        corpus=len(total.corpus),
        rate=rate(total),
        found=found,
        again=_again(record),
        findings=_findings(record, directory, beside),
        states=STATES,
        grid=grid(total.coverage),
        others=len({(triple.state, triple.event) for triple in total.coverage}) - len(found.covered),
        hit=[(name, count) for name, count in Counter(found.rules).most_common() if count],
        idle=[name for name, count in found.rules.items() if not count],
        allowed=list(_allowed(total.allowed)),
        most_in_full=MOST_IN_FULL,
    )


def _again(record: Record) -> str:
    """Return the command that plays the same cases again."""
    plan = record.plan
    words = ["xsocket", "fuzz", "--on", plan.target, "--seed", str(plan.seed)]
    words += ["--command", plan.command] if plan.command else []
    return shlex.join([*words, "--cases", str(max(1, record.total.cases + record.total.stalled))])


def _allowed(counts: Mapping[str, int]) -> Iterator[tuple[str, int, Deviation | None]]:
    """Yield each deviation that was seen: its name, how often, and what is known of it."""
    known = {each.name: each for each in LINUX}
    for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0])):
        yield name, count, known.get(name)


# Findings


def _findings(record: Record, directory: Path, beside: Path) -> list[Shown]:
    """Return every finding, the first of them played again if their target can be had."""
    findings, plan = record.total.findings, record.plan
    in_full: list[Shown] = []
    if findings:
        with suppress(TargetError), opened(plan.target, plan.command) as target:  # else others have played
            in_full += [_shown(finding, directory, beside, target) for finding in findings[:MOST_IN_FULL]]
    return [*in_full, *(_shown(finding, directory, beside, None) for finding in findings[len(in_full) :])]


def _shown(finding: Finding, directory: Path, beside: Path, target: Target | None) -> Shown:
    links = list(_links(finding, directory, beside))
    file = directory / f"{finding.slug}.json"
    has_file = file.exists()
    replayed = _NOT_REPLAYED if target is None else _replayed(finding, target)
    operations = [operation_text(each) for each in finding.case.operations]
    return Shown(
        finding,
        list(violation_lines(finding.violation)),
        operations[:MOST_LINES],
        links,
        _replay(file, record_target=finding.target) if has_file else "",
        "" if has_file else json.dumps(as_dict(finding.case)),
        replayed.ladder,
        replayed.is_shown,
        _cut(replayed.script.text),
        replayed.script.gaps,
    )


class _Replayed(NamedTuple):
    """What came of playing a finding again; nothing, where nobody did or the target did not answer."""

    ladder: list[Rung]
    is_shown: bool
    script: Exported


_NOT_REPLAYED: Final = _Replayed([], False, Exported("", (), holds=True))


def _replayed(finding: Finding, target: Target) -> _Replayed:
    try:
        played = play(finding.case, target, with_steps=True)
        is_shown = played.violation is not None and played.violation.signature == finding.signature
        return _Replayed(rungs(played), is_shown, exported(played, target))
    except StalledError:
        return _NOT_REPLAYED


def _links(finding: Finding, directory: Path, beside: Path) -> Iterator[Link]:
    for suffix, name in _FILES.items():
        file = directory / f"{finding.slug}{suffix}"
        if file.exists():
            yield Link(name, Path(os.path.relpath(file, beside)).as_posix())


def _replay(file: Path, *, record_target: str) -> str:
    others = [each for each in ("engine", "kernel") if each != record_target]
    targets = [record_target, *others] if record_target != "foreign" else others
    return shlex.join(["xsocket", "fuzz", "replay", str(file), "--on", ",".join(targets)])


def _cut(script: str) -> str:
    lines = script.splitlines()
    if len(lines) <= MOST_LINES:
        return script
    return "\n".join([*lines[:MOST_LINES], f"// and {len(lines) - MOST_LINES} lines more"])
