"""What was found in Linux, as `docs/findings` has it: pages, with cases, scripts and captures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from support.markdown import ROOT
from xsocket_tools.fuzzing.deviations import LINUX, Deviation
from xsocket_tools.fuzzing.deviations.linux_habits import LINUX_WAYS
from xsocket_tools.fuzzing.deviations.mechanism import Way

FINDINGS: Final = ROOT / "docs" / "findings"
INDEX: Final = FINDINGS / "index.md"
PAGES: Final = sorted(page for page in FINDINGS.glob("*.md") if page != INDEX)
CASES: Final = sorted(FINDINGS.glob("*.json"))
SCRIPTS: Final = sorted(FINDINGS.glob("*.pkt"))
CAPTURES: Final = sorted(FINDINGS.glob("*.pcapng"))

_DOWNLOAD: Final = re.compile(r"\{download\}`[^<`]*<([^>`]+)>`")


def files_of(page: Path) -> list[str]:
    """Return the names of the files that a page offers for download."""
    return _DOWNLOAD.findall(page.read_text())


def page_of(file: Path) -> str:
    """Return the name of the page that offers a file."""
    (name,) = [page.stem for page in PAGES if file.name in files_of(page)]
    return name


def deviations_of(page: str) -> list[Deviation]:
    """Return the deviations that a page is about."""
    return [each for each in LINUX if each.finding == page]


def ways_of(page: str) -> list[Way]:
    """Return the habits that a page is about."""
    return [way for way in LINUX_WAYS if way.finding == page]
