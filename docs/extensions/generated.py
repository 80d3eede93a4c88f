"""What directives that write Markdown have in common: tables, links to RFCs, and the directive itself."""

import inspect
import re
from abc import abstractmethod
from collections.abc import Iterable

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.util.docutils import SphinxDirective

_RFC = re.compile(r"RFC (\d+)(?: (?:section )?(\d+(?:\.\d+)*))?")


def linked(text: str) -> str:
    """Return *text* with its RFC sections made links."""
    return _RFC.sub(lambda match: f"[{match[0]}]({address_of(match[1], match[2])})", text)


def address_of(rfc: int | str, section: str | None = None) -> str:
    """Return where an RFC, or a section of it, can be read."""
    anchor = f"#section-{section}" if section else ""
    return f"https://www.rfc-editor.org/rfc/rfc{rfc}.html{anchor}"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def attributes_of(kind: type) -> dict[str, str]:
    """Return what the docstring of a class says of its attributes, as Markdown."""
    _, _, section = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for names, text in re.findall(r"^    ([\w, ]+): (.*(?:\n {8}.*)*)", section, re.MULTILINE):
        plain = " ".join(text.split()).replace("``", "`")
        found.update(dict.fromkeys(names.split(", "), re.sub(r"\*(\w+)\*", r"`\1`", plain)))
    return found


class Generated(SphinxDirective):
    """Puts Markdown made by a function where the directive stands."""

    @staticmethod
    @abstractmethod
    def text() -> str:
        """Return the Markdown."""

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the Markdown."""
        self.env.note_reread()  # at every build, for no file of docs/ tells that its source has changed
        return self.parse_text_to_nodes(self.text(), allow_section_headings=True)
