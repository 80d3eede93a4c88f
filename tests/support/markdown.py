"""Pages as tests see them: their code blocks, their links, the sessions they show."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + [page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts]
)

_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """One fenced block: what follows the opening fence, and what is inside."""

    language: str
    text: str


class Step(NamedTuple):
    """A command of a session, and the lines that are shown under it."""

    command: str
    shown: list[str]


def blocks(page: Path, language: str) -> list[Block]:
    """Return the fenced blocks of *page* in *language*."""
    found = (Block(*match.groups()) for match in _FENCE.finditer(page.read_text()))
    return [block for block in found if block.language == language]


def steps(page: Path) -> list[Step]:
    """Return the commands of the sessions (```console) of *page*."""
    found: list[Step] = []
    for block in blocks(page, "console"):
        for line in block.text.splitlines():
            if line.startswith("$ "):
                found.append(Step(line.removeprefix("$ "), []))
            else:
                found[-1].shown.append(line)
    return found


def local_links(page: Path) -> list[str]:
    """Return where the links of *page* lead inside the repository, code blocks left out."""
    targets = _LINK.findall(_FENCE.sub("", page.read_text()))
    return [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
