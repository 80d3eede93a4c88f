"""The README: its links lead somewhere, its commands exist, its program is short."""

import re

import pytest

from support.markdown import PAGES, ROOT, blocks, local_links

README = ROOT / "README.md"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_to_files(name: str) -> None:
    page = ROOT / name
    assert page in PAGES
    assert [link for link in local_links(page) if not (ROOT / link).exists()] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("README.md", {"demo", "test"}),
        ("CONTRIBUTING.md", {"check", "test"}),
        ("docs/tutorial/first-handshake.md", {"demo"}),
    ],
)
def test_commands_are_targets_of_the_makefile(name: str, expected: set[str]) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = "".join(block.text for block in blocks(ROOT / name, "sh"))
    named = set(re.findall(r"\bmake ([a-z]+)\b", shown))
    assert named == expected
    assert named <= targets
    assert [
        path for path in re.findall(r"^\.\S+/\S+", shown, re.MULTILINE) if not (ROOT / path).exists()
    ] == []


def test_the_program_has_twenty_five_lines_at_most() -> None:
    (program,) = blocks(README, "python")
    assert len(program.text.splitlines()) <= 25


def test_contributing_fits_on_one_screen() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 50
