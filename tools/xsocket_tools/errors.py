"""What errors of the tools have in common; the engine and the labs have errors of their own."""

from __future__ import annotations


class ToolError(Exception):
    """Base of the errors about scripts and about mutants.

    Args:
        message: What is wrong, without advice.
        remedy: What to do about it; the class's own remedy when left out.

    Attributes:
        exit_status: What a command ends with that does not catch it.
    """

    remedy: str = "Report this as a bug."
    exit_status: int = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        if remedy is not None:
            self.remedy = remedy

    @property
    def message(self) -> str:
        """What happened, without the remedy."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})"
