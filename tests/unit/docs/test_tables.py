"""Tables of the reference that are made by hand name what there is; those that are generated, all of it."""

from __future__ import annotations

import re

import from_code
import pytest

from support.markdown import ROOT
from xsocket_tools.cli import SUBCOMMANDS
from xsocket_tools.doctor import BEFORE_PRIVILEGES, PRIVILEGES, WITH_PRIVILEGES

COMMANDS = (ROOT / "docs" / "reference" / "command-line.md").read_text()
KERNELS = (ROOT / "docs" / "how-to" / "kernels.md").read_text()
INDEX = (ROOT / "docs" / "index.md").read_text()
CHECKS = (*BEFORE_PRIVILEGES, PRIVILEGES, *WITH_PRIVILEGES)


def test_every_check_of_the_doctor_is_in_its_table() -> None:
    rows = from_code.doctor_checks().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [check.name for check in CHECKS]
    assert all(row.split("|")[3].strip() for row in rows)


def test_what_a_kernel_may_lack_is_explained_and_no_more() -> None:
    table = KERNELS.partition("| without | there is no |")[2].partition("\n\n")[0]
    explained = [row.split("`")[1] for row in table.splitlines() if row.startswith("| `")]
    assert sorted(explained) == sorted(check.name for check in CHECKS if not check.needed)


@pytest.mark.parametrize("row", re.findall(r"^\| (`.+?`) \|", COMMANDS, re.MULTILINE))
def test_commands_with_a_status_of_their_own_exist(row: str) -> None:
    named = [words.split()[0] for words in re.findall(r"`([^`]+)`", row)]
    assert set(named) <= {*SUBCOMMANDS}


def test_every_how_to_has_its_place_on_the_first_page() -> None:
    pages = sorted(path.stem for path in (ROOT / "docs" / "how-to").glob("*.md"))
    assert sorted(re.findall(r"^how-to/([\w-]+)$", INDEX, re.MULTILINE)) == pages
