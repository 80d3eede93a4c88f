"""What can go wrong with lessons and stories."""

from __future__ import annotations

from xsocket_tools.errors import ToolError


class TeachingError(ToolError):
    """Base of the errors of lessons and stories."""

    exit_status = 2


class NoSuchLessonError(TeachingError):
    """There is no lesson of that number."""

    remedy = "xsocket lesson list"


class LessonBrokenError(TeachingError):
    """A lesson's folder does not hold what a lesson needs."""

    remedy = "See docs/lessons/index.md for what a lesson consists of."


class NotOnThisStageError(TeachingError):
    """A lesson asks for something that its stage cannot do."""

    remedy = "Run it with --on engine."


class NoMutantError(TeachingError):
    """A lesson's engine is as it is."""

    remedy = "xsocket lesson mutant is for lessons about an engine with a bug."


class PlayFailedError(TeachingError):
    """A play on an engine with a bug came to no end there."""

    remedy = "Try it once more; if it stays, report this as a bug."


class NothingToExplainError(TeachingError):
    """A capture or a script has no segment."""

    remedy = "Give a capture of TCP segments, or a script that sends some."


class CannotWriteLessonError(TeachingError):
    """A lesson or an answer to its exercise cannot be written."""

    remedy = "Name a file that does not exist, in a directory that you may write to."
