"""What directives that write Markdown share: tables, links to sections of RFCs, and the way to nodes."""

import re
from collections.abc import Iterable

from docutils import nodes  # type: ignore[import-untyped]
from sphinx.util.docutils import SphinxDirective

_RFC = re.compile(r"RFC (\d+)(?: (?:section )?(\d+(?:\.\d+)*))?")


class Generated(SphinxDirective):
    """Puts Markdown made by a function where the directive stands."""

    @staticmethod
    def text() -> str:
        """Return the Markdown."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Return the nodes of the Markdown."""
        self.env.note_reread()  # at every build, for no file of docs/ tells that the code has changed
        return self.parse_text_to_nodes(self.text(), allow_section_headings=True)


def linked(text: str) -> str:
    """Return *text* with its RFC sections made links."""

    def link(match: re.Match[str]) -> str:
        number, section = match.groups()
        anchor = f"#section-{section}" if section else ""
        return f"[{match[0]}](https://www.rfc-editor.org/rfc/rfc{number}.html{anchor})"

    return _RFC.sub(link, text)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
