"""Citations: sections of RFCs as the engine writes them, ``3.10.7.4 fifth`` or ``RFC 5961 5.2``."""

import re
from typing import Final, NamedTuple

from xsocket.config import Rule as FieldRule
from xsocket.reasons import DropReason

TCP: Final = 9293
"""The RFC of a section that stands alone."""

_ORDINAL: Final = "first|second|third|fourth|fifth|sixth|seventh|eighth"
_CITATION: Final = re.compile(
    r"(?:RFC (?P<rfc>\d+))?"
    r"(?: ?(?:section )?(?P<section>(?:appendix [A-Z]|\d+)(?:\.\d+)*))?"
    rf"(?: ?(?P<part>(?:{_ORDINAL})(?:, \d\))?|figure \d+|step \d+(?:\.\d+)*|R\d))?"
    r"(?: \([^)]*\))?"
)
_BETWEEN: Final = re.compile(r", (?!\d\))")  # "second, 3)" is one part


class Citation(NamedTuple):
    """A place in an RFC; without a section, the whole of it.

    Attributes:
        rfc: Its number.
        section: Such as ``3.10.7.4`` or ``appendix A.2``; empty for the whole RFC.
        part: Of the section, where that has numbered parts: ``fifth``, ``figure 7``; else empty.
    """

    rfc: int
    section: str = ""
    part: str = ""

    @property
    def key(self) -> str:
        """What the engine writes: without the number where that is `TCP`."""
        number = "" if self.rfc == TCP and self.section else f"RFC {self.rfc}"
        return " ".join(filter(None, (number, self.section, self.part)))

    @property
    def url(self) -> str:
        """Where the RFC Editor has it."""
        section = self.section.replace("appendix ", "appendix-")
        anchor = section if section.startswith("appendix") else f"section-{section}"
        page = f"https://www.rfc-editor.org/rfc/rfc{self.rfc}.html"
        return f"{page}#{anchor}" if section else page

    def enclosing(self) -> list["Citation"]:
        """Return what it is a part of, innermost first, and the whole RFC last."""
        outer = []
        part, section = self.part, self.section
        while part or section:
            if part:
                part = part.rpartition(", ")[0]
            else:
                section = section.rpartition(".")[0]
            outer.append(Citation(self.rfc, section, part))
        return outer


def citations(text: str) -> tuple[Citation, ...]:
    """Return the citations that *text* consists of, in order; none where it is anything else.

    What a citation leaves out, it has from the one before: ``3.10.7.4 first, fourth`` is two parts of one.
    """
    found: list[Citation] = []
    rfc, section = TCP, ""
    for piece in _BETWEEN.split(text):
        match = _CITATION.fullmatch(piece)
        if match is None or not any(match.group("rfc", "section", "part")):
            return ()
        if match["rfc"]:
            rfc, section = int(match["rfc"]), ""
        section = match["section"] or section
        found.append(Citation(rfc, section, match["part"] or ""))
    return tuple(found)


def cited_by_reason(reason: DropReason) -> tuple[Citation, ...]:
    """Return what a drop reason cites: all that stands before its colon, if that is of an RFC."""
    head = reason.value.partition(": ")[0]
    return citations(head) if head.startswith("RFC ") else ()


def cited_by_field(rule: FieldRule) -> tuple[Citation, ...]:
    """Return what a field of `TcpConfig` cites; nothing for a limit that no RFC has."""
    return citations(f"RFC {rule.rfc}") if rule.rfc else ()
