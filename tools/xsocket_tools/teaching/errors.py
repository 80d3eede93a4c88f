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
