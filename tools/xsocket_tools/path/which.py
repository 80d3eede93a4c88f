"""Which segments are meant: by predicate, or by their flags as tcpdump writes them; all, or only the nth."""

from __future__ import annotations

import re
from collections.abc import Callable, Container

from xsocket.segment import LETTERS
from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.parcel import Parcel, Predicate, Seen

NAMED: dict[str, Predicate] = {
    "any": lambda _: True,
    "data": lambda seen: seen.segment.payload,
}
"""Predicates that have a name instead of flags."""

_LETTERS = frozenset(letter for _, letter in LETTERS) | {"."}
_SPELLED = re.compile(r"([^:]+)(?::(\d+)(?:-(\d+))?)?")


class Which:
    """Chooses segments, and counts those that its predicate holds of.

    Args:
        predicate: Is given each segment as a `Seen`. Or text: flags as tcpdump writes them, such as ``"S."``;
            ``"-"`` for none of them; ``"data"`` for segments with text, ``"any"``.
        nth: Which of those it holds of, counted from 1: a number, or several, such as ``range(1, 4)``; all
            without it.

    Raises:
        BadElementError: It is no predicate, or *nth* is less than 1.
    """

    def __init__(self, predicate: Predicate | str, nth: int | Container[int] | None = None) -> None:
        if isinstance(nth, int) and nth < 1:
            raise BadElementError(f"nth counts from 1, and is not {nth}")
        self._predicate = _by_text(predicate) if isinstance(predicate, str) else predicate
        self._nth: Container[int] | None = (nth,) if isinstance(nth, int) else nth
        self._matched = 0

    @classmethod
    def spelled(cls, text: str) -> Which:
        """Return what ``FLAGS``, ``FLAGS:NTH`` or ``FLAGS:FIRST-LAST`` says, such as ``S.:1``.

        Raises:
            BadElementError: It says nothing of that kind.
        """
        match = _SPELLED.fullmatch(text)
        if match is None:
            raise BadElementError(f"{text!r} is not FLAGS, FLAGS:NTH or FLAGS:FIRST-LAST")
        flags, first, last = match.groups()
        if first is None:
            return cls(flags)
        if int(first) < 1 or int(last or first) < int(first):
            raise BadElementError(f"{text!r} counts segments from 1 upwards")
        return cls(flags, range(int(first), int(last or first) + 1))

    def is_meant(self, now: float, parcel: Parcel) -> bool:
        """Whether *parcel* is one of them; asked once for each, for it counts."""
        seen = parcel.seen(now)
        if seen is None or not self._predicate(seen):
            return False
        self._matched += 1
        return self._nth is None or self._matched in self._nth


def _by_text(text: str) -> Callable[[Seen], object]:
    if text in NAMED:
        return NAMED[text]
    letters = frozenset("" if text == "-" else text)
    if not letters <= _LETTERS or (not letters and text != "-") or len(letters) < len(text.strip("-")):
        allowed = " ".join(sorted(_LETTERS))
        raise BadElementError(
            f"{text!r} is neither flags ({allowed}, or - for none) nor {' nor '.join(NAMED)}"
        )
    return lambda seen: frozenset(seen.segment.letters.strip("-")) == letters
