"""Reads docs/conformance, and the directive ``conformance`` that makes its page.

One file an RFC, one ``[[requirement]]`` for each. What has to hold of them, `tests/architecture` checks.
"""

import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from generated import Generated, address_of, linked, table
from sphinx.application import Sphinx

DIRECTORY = Path(__file__).parents[1] / "conformance"
STATUSES = {
    "met": "the engine does so by default",
    "switched": "the engine does so by `TcpConfig.strict()` or another setting that is named",
    "differs": "the engine does otherwise, or does not do it yet",
    "not applicable": "there is nothing here that it could be asked of, or a permission is not made use of",
}


class Requirement(NamedTuple):
    """One requirement of an RFC.

    Attributes:
        label: What the RFC calls it; where it has no name for it, the section and a number.
        section: Where it stands.
        level: MUST, SHOULD NOT, MAY ..., as the RFC has it; ``rule`` where it has none of these words.
        what: What it asks for, in our own words.
        status: One of `STATUSES`.
        tests: The tests that show it, as ``tests/pair/test_transfer.py::test_name``.
        reason: Why it is not simply met; a remark, where it is.
    """

    label: str
    section: str
    level: str
    what: str
    status: str
    tests: tuple[str, ...] = ()
    reason: str = ""


class Conformance(NamedTuple):
    """What the engine makes of one RFC."""

    rfc: int
    title: str
    requirements: tuple[Requirement, ...]


def read(path: Path) -> Conformance:
    """Return what stands in a file.

    Raises:
        TypeError: An entry lacks something, or has something that no entry has.
        ValueError: It is not TOML.
    """
    found = tomllib.loads(path.read_text())
    entries = [entry | {"tests": tuple(entry.get("tests", ()))} for entry in found.pop("requirement")]
    return Conformance(requirements=tuple(Requirement(**entry) for entry in entries), **found)


def read_all() -> list[Conformance]:
    """Return what stands in every file, RFC 9293 first and then in the order of their numbers."""
    known = [read(path) for path in DIRECTORY.glob("*.toml")]
    return sorted(known, key=lambda each: (each.rfc != 9293, each.rfc))


def conformance() -> str:
    """Return a summary and a section for each RFC, as Markdown."""
    known = read_all()
    head = ("RFC", "Requirements", *(status.capitalize() for status in STATUSES))
    rows = []
    for each in known:
        counts = Counter(requirement.status for requirement in each.requirements)
        numbers = [str(counts[status] or "-") for status in STATUSES]
        rows.append((linked(f"RFC {each.rfc}") + f": {each.title}", str(len(each.requirements)), *numbers))
    return "\n\n".join([table(head, rows), *map(_section, known)])


def _section(rfc: Conformance) -> str:
    head = ("Requirement", "Level", "What it asks for", "Status", "Shown by")
    rows = []
    for each in rfc.requirements:
        label = f"[{each.label}]({address_of(rfc.rfc, each.section)})"
        rows.append((label, each.level, linked(each.what), _status(each), ", ".join(_names(each))))
    return f"## RFC {rfc.rfc}: {rfc.title}\n\n{table(head, rows)}\n"


def _status(requirement: Requirement) -> str:
    reason = f": {linked(requirement.reason)}" if requirement.reason else ""
    return f"**{requirement.status}**{reason}"


def _names(requirement: Requirement) -> Iterator[str]:
    """Yield the names of its tests without their files."""
    for test in requirement.tests:
        yield f"`{test.partition('::')[2]}`"


class ConformancePage(Generated):
    """``{conformance}``."""

    text = staticmethod(conformance)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("conformance", ConformancePage)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
