"""What can go wrong with learning, and with comparing what was learned."""

from __future__ import annotations

from collections.abc import Sequence

from xsocket.errors import to_install
from xsocket_tools.errors import ToolError


class LearningError(ToolError):
    """Base of the errors about learning state machines."""


class LearningUnavailableError(LearningError):
    """What learns is not installed."""

    remedy = to_install("learn")


class AlphabetError(LearningError):
    """An alphabet cannot be read, or asks for what there is not."""

    remedy = "docs/how-to/learn.md says what a file of letters holds."
    exit_status = 2


class MachineError(LearningError):
    """The file of a machine cannot be read, or two machines have nothing in common."""

    remedy = "Write one with `xsocket learn --output FILE.json`, or name a stored one."
    exit_status = 2


class CannotWriteError(LearningError):
    """A file with a machine cannot be written."""

    remedy = "Name a directory that exists, or a file in one, that you may write to."


class TooManyStatesError(LearningError):
    """There are more states than anybody could read."""

    remedy = "Take letters that do not count: no text that stays unread, nothing that is only ever added to."


class NonDeterminismError(LearningError):
    """A target answered the same letters in two ways.

    Args:
        word: The letters.
        first: Its answers, one for each letter.
        second: Its answers another time.
    """

    remedy = (
        "Try again when the machine has less to do; if it stays, something else than the letters decides."
    )

    def __init__(self, word: Sequence[str], first: Sequence[str], second: Sequence[str]) -> None:
        super().__init__(f"two answers to the same {len(word)} letters: {', '.join(word)}")
        self.word, self.first, self.second = tuple(word), tuple(first), tuple(second)

    def as_dict(self) -> dict[str, object]:
        """Return plain values that JSON can hold."""
        return {"word": list(self.word), "first": list(self.first), "second": list(self.second)}
