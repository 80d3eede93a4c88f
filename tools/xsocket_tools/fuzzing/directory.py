"""The directory of a campaign: how far it is, its corpus, its findings. One process has it at a time.

``campaign.json`` says how far the campaign is and which case of ``corpus/`` shows what; ``findings/`` has a
file for each finding. A file is written beside its place and moved there: it is whole, or as it was.
"""

from __future__ import annotations

import fcntl
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2s
from pathlib import Path
from typing import Any, Final

from xsocket_tools.errors import ToolError
from xsocket_tools.fuzzing.campaign import Plan, Record
from xsocket_tools.fuzzing.case import MOST_OCTETS, Case, CaseError, as_json, from_json
from xsocket_tools.fuzzing.coverage import Triple
from xsocket_tools.fuzzing.findings import Finding, read_all
from xsocket_tools.fuzzing.results import Result

VERSION: Final = 1
"""Of ``campaign.json``."""


class DirectoryError(ToolError):
    """The directory has no campaign, another one, or one that cannot be read."""

    remedy = "Name another directory with --corpus, or leave the option out."
    exit_status = 2


class DirectoryRefusedError(DirectoryError):
    """Another process has it, or it cannot be written."""

    remedy = "Name another directory with --corpus, or let the other campaign end."
    exit_status = 3


class Directory:
    """What a campaign leaves behind; `campaign_directory` gives it to one process alone.

    Args:
        path: Where it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.findings = path / "findings"
        self._corpus = path / "corpus"
        self._campaign = path / "campaign.json"
        self._extra: dict[str, Case] = {}
        self._written: dict[str, Finding] = {}

    @property
    def has_campaign(self) -> bool:
        """Whether a campaign has been here."""
        return self._campaign.exists()

    def read(self) -> Record:
        """Return how far the campaign is.

        Raises:
            DirectoryError: There is none, or it cannot be read.
        """
        if not self.has_campaign:
            raise DirectoryError(f"there is no campaign in {self.path}", remedy="Begin one without --resume.")
        try:
            return self._read(json.loads(self._campaign.read_text(encoding="utf-8")))
        except CaseError as error:
            raise DirectoryError(error.message) from error
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DirectoryError(f"{self._campaign} cannot be read: {error!r}") from error

    def _read(self, plain: dict[str, Any]) -> Record:
        if plain["version"] != VERSION:
            raise ValueError(f"version {plain['version']!r}, and this is for {VERSION}")
        cases = self.corpus()
        findings = tuple(read_all(self.findings))
        self._written = {finding.slug: finding for finding in findings}
        total = Result(
            plain["cases"],
            plain["operations"],
            plain["stalled"],
            findings,
            {Triple(*triple): cases[name] for *triple, name in plain["coverage"]},
            Counter({(where, text): count for where, text, count in plain["rules"]}),
            Counter(plain["allowed"]),
            plain["seconds"],
            plain["unsteady"],
        )
        ours = {name for *_, name in plain["coverage"]}
        self._extra = {name: case for name, case in cases.items() if name not in ours}
        plan = Plan(plain["seed"], plain["target"], plain["command"], plain["shard"])
        return Record(
            plan, tuple((first, end) for first, end in plain["done"]), total, tuple(self._extra.values())
        )

    def corpus(self) -> dict[str, Case]:
        """Return the cases of the corpus by the names of their files.

        Raises:
            CaseError: A file holds none.
        """
        found = {}
        for path in sorted(self._corpus.glob("*.json")):
            found[path.stem] = read_case(path)
        return found

    def added(self) -> tuple[Case, ...]:
        """Return the cases that somebody has put into the corpus for a campaign that is yet to begin.

        Raises:
            CaseError: A file holds none.
        """
        self._extra = self.corpus()
        return tuple(self._extra.values())

    def write(self, record: Record) -> list[Finding]:
        """Write how far the campaign is; return the findings that are new, or have become smaller.

        Raises:
            DirectoryRefusedError: It cannot be written.
        """
        try:
            return self._write(record)
        except OSError as error:
            raise DirectoryRefusedError(f"cannot write to {self.path}: {error.strerror}") from error

    def _write(self, record: Record) -> list[Finding]:
        names = {case: _name(case) for case in record.total.corpus}
        self._corpus.mkdir(exist_ok=True)
        there = {path.stem for path in self._corpus.glob("*.json")}
        for case, name in names.items():
            if name not in there:
                write_whole(self._corpus / f"{name}.json", as_json(case))
        changed = self._write_findings(record.total.findings)
        write_whole(self._campaign, json.dumps(_as_dict(record, names)) + "\n")
        for name in there - set(names.values()) - set(self._extra):
            (self._corpus / f"{name}.json").unlink(missing_ok=True)
        return changed

    def _write_findings(self, findings: tuple[Finding, ...]) -> list[Finding]:
        changed = []
        self.findings.mkdir(exist_ok=True)
        for finding in findings:
            before = self._written.get(finding.slug)
            if finding == before:
                continue
            write_whole(
                self.findings / f"{finding.slug}.json", json.dumps(finding.as_dict(), indent=1) + "\n"
            )
            self._written[finding.slug] = finding
            if before is None or before.case != finding.case:
                changed.append(finding)
        return changed


@contextmanager
def campaign_directory(path: Path) -> Iterator[Directory]:
    """Make the directory *path* if it is not there, and keep it to this process.

    Raises:
        DirectoryRefusedError: Another process has it, or it cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / "lock").open("w")
    except OSError as error:
        raise DirectoryRefusedError(
            f"cannot use {path}: {error.strerror}", remedy="Name a directory that you may write to."
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DirectoryRefusedError(f"another campaign is using {path}") from None
        yield Directory(path)


def read_case(path: Path) -> Case:
    """Return the case in the file *path*.

    Raises:
        CaseError: It cannot be read, or holds none.
    """
    try:
        return from_json(text_of(path))
    except CaseError as error:
        raise CaseError(f"{path}: {error.message}") from None


def text_of(path: Path) -> str:
    """Return what is in the file *path*, which somebody says is a case.

    Raises:
        CaseError: It cannot be read, or is larger than any case.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_OCTETS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(text) > MOST_OCTETS:
        raise CaseError(f"larger than {MOST_OCTETS:,} octets")
    return text


def write_whole(path: Path, text: str) -> None:
    """Write *text* to the file *path*, which then has all of it, or is as it was."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _name(case: Case) -> str:
    return blake2s(as_json(case).encode(), digest_size=8).hexdigest()


def _as_dict(record: Record, names: dict[Case, str]) -> dict[str, Any]:
    plan, total = record.plan, record.total
    return {
        "version": VERSION,
        "seed": plan.seed,
        "target": plan.target,
        "command": plan.command,
        "shard": plan.shard_cases,
        "done": record.done,
        "cases": total.cases,
        "operations": total.operations,
        "stalled": total.stalled,
        "seconds": total.seconds,
        "unsteady": total.unsteady,
        "findings": [finding.slug for finding in total.findings],
        "rules": [[*name, count] for name, count in sorted(total.rules.items())],
        "allowed": dict(sorted(total.allowed.items())),
        "coverage": [[*triple, names[case]] for triple, case in sorted(total.coverage.items())],
    }
