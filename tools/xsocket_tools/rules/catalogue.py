"""The catalogue: every rule with its title and its explanation, read from `texts/`."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

from xsocket_tools.rules.citation import TCP, Citation, citations

_HEADING: Final = re.compile(r"^(#{1,2}) ([^:\n]+): (.+)\n", re.MULTILINE)
_NUMBER: Final = re.compile(r"^(?:rfc ?)?(\d{3,5})(?![.\d])", re.IGNORECASE)
_APPENDIX: Final = re.compile(r"\b(?:appendix )?([a-z])(?=\.\d)", re.IGNORECASE)


class Rule(NamedTuple):
    """One entry.

    Attributes:
        citation: Where it stands.
        title: What it is about, in a few words.
        text: What it asks, why, and what goes wrong without it; paragraphs with an empty line between them.
    """

    citation: Citation
    title: str
    text: str

    @property
    def key(self) -> str:
        """What the engine writes."""
        return self.citation.key


class Catalogue:
    """All rules: RFC 9293 first, then by number of the RFC; within it in the order of its page."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = {rule.citation: rule for rule in rules}
        self._by_words = {rule.key.lower(): rule for rule in self}

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules.values())

    def __len__(self) -> int:
        return len(self._rules)

    def __contains__(self, citation: Citation) -> bool:
        return citation in self._rules

    def explaining(self, text: str) -> tuple[Rule, ...]:
        """Return the entries of a rule as the engine cites it, which may be several sections.

        Raises:
            KeyError: The catalogue lacks one.
        """
        return tuple(self._rules[each] for each in citations(text))

    def find(self, words: str) -> Rule | None:
        """Return the rule that a person means by *words*: ``rfc5961 5.2``, ``9293 3.10.7.4 Fifth``."""
        return self._by_words.get(_as_key(words))

    def near(self, words: str, most: int = 5) -> list[Rule]:
        """Return rules whose keys look like *words*, the likest first."""
        return [self._by_words[key] for key in get_close_matches(_as_key(words), self._by_words, most, 0.5)]

    def parent(self, rule: Rule) -> Rule | None:
        """Return the innermost entry that *rule* is a part of; None for an RFC."""
        return next((self._rules[each] for each in rule.citation.enclosing() if each in self), None)

    def parts(self, rule: Rule) -> list[Rule]:
        """Return every entry that is a part of *rule*, or of a part of it."""
        return [each for each in self if rule.citation in each.citation.enclosing()]


def _as_key(words: str) -> str:
    """Return *words* as the key of a rule would be spelt, in lower case."""
    tidy = " ".join(words.replace("§", " ").split())
    tidy = _NUMBER.sub(r"RFC \1", re.sub(r"\bsections? ", "", tidy, flags=re.IGNORECASE))
    tidy = _APPENDIX.sub(r"appendix \1", tidy).lower()
    return tidy.removeprefix(f"rfc {TCP} ")


@cache
def catalogue() -> Catalogue:
    """Return the catalogue that is shipped."""
    texts = resources.files("xsocket_tools.rules") / "texts"
    pages = [page.read_text(encoding="utf-8") for page in texts.iterdir() if page.name.endswith(".md")]
    by_rfc = sorted((list(rules_in(page)) for page in pages), key=_place)
    return Catalogue(rule for rules in by_rfc for rule in rules)


def _place(rules: list[Rule]) -> tuple[bool, int]:
    number = rules[0].citation.rfc
    return number != TCP, number


def rules_in(page: str) -> Iterator[Rule]:
    """Yield the rules of a page: the RFC under its first heading, a section or part under each other.

    Raises:
        ValueError: A heading does not begin with the RFC's number, or with a section of it.
    """
    headings = list(_HEADING.finditer(page))
    ends = [each.start() for each in headings[1:]] + [len(page)]
    rfc = headings[0][2]
    for heading, end in zip(headings, ends, strict=True):
        place = rfc if heading[1] == "#" else f"{rfc} {heading[2]}"
        cited = citations(place)
        if len(cited) != 1 or (heading[1] == "#" and cited[0].section):
            raise ValueError(f"not one place in an RFC: {heading[0].strip()}")
        yield Rule(cited[0], heading[3].strip(), _paragraphs(page[heading.end() : end]))


def _paragraphs(text: str) -> str:
    """Return *text* with each paragraph on one line."""
    return "\n\n".join(" ".join(each.split()) for each in text.strip().split("\n\n"))
