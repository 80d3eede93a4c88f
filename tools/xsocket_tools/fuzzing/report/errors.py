"""What can go wrong with a report."""

from __future__ import annotations

from xsocket_tools.errors import ToolError


class ReportError(ToolError):
    """Base of the errors about reports."""

    exit_status = 3


class CannotWriteError(ReportError):
    """The report's file cannot be written."""

    remedy = "Name a file in a directory that exists and that you may write to."
