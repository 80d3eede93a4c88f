"""Pages as tests see them: their code blocks, their links, the sessions they show."""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    + [page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts]
)

_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`(xsocket\s[^`]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """One fenced block: what follows the opening fence, and what is inside.

    Attributes:
        page: Where it is, below the root.
        name: What it is called there: its language and a number, from 1, among those of its language.
    """

    page: str
    name: str
    language: str
    text: str


class Step(NamedTuple):
    """A command of a session, and the lines that are shown under it."""

    command: str
    shown: list[str]


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """Return the fenced blocks of *page* in *language*; in all of them without one."""
    where, counted, found = str(page.relative_to(ROOT)), Counter[str](), []
    for each, text in _FENCE.findall(page.read_text()):
        counted[each] += 1
        found.append(Block(where, f"{each} {counted[each]}", each, text))
    return [block for block in found if language in (None, block.language)]


def steps_of(block: Block) -> list[Step]:
    """Return the commands of a session (```console) or of a list (```sh); other blocks have none."""
    found: list[Step] = []
    for line in block.text.splitlines() if block.language in ("console", "sh") else ():
        if block.language == "sh" or line.startswith("$ "):
            found.append(Step(line.removeprefix("$ "), []))
        else:
            found[-1].shown.append(line)
    return found


def steps(page: Path) -> list[Step]:
    """Return the commands of the sessions of *page*."""
    return [step for block in blocks(page, "console") for step in steps_of(block)]


def local_links(page: Path) -> list[str]:
    """Return where the links of *page* lead inside the repository, code blocks left out."""
    targets = _LINK.findall(_FENCE.sub("", page.read_text()))
    return [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]


def inline_commands(page: Path) -> list[str]:
    """Return the commands `xsocket ...` that stand in sentences of *page*."""
    spans = _SPAN.findall(_FENCE.sub("", page.read_text()))
    return [" ".join(span.split()) for span in spans]
