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


def test_commands_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", "".join(block.text for block in blocks(README, "sh"))))
    assert named == {"demo", "test"}
    assert named <= targets


def test_the_program_has_twenty_five_lines_at_most() -> None:
    (program,) = blocks(README, "python")
    assert len(program.text.splitlines()) <= 25


def test_contributing_fits_on_one_screen() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 50
