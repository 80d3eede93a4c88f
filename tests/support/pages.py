"""HTML pages as tests see them: their elements, and what a reader reads."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Final

VOID: Final = ("meta", "br", "hr", "input")
"""Elements that nothing closes."""


class Elements(HTMLParser):
    """Collects elements with their attributes, and complains of what is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of that name."""
        return [attributes for name, attributes in self.found if name == tag]


def text_of(page: str) -> str:
    """Return what a reader sees, with one blank between words."""
    body = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())
