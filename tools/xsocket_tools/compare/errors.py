"""What can go wrong with a comparison, apart from what it finds."""

from __future__ import annotations

from xsocket.errors import to_install
from xsocket_tools.errors import ToolError


class CompareError(ToolError):
    """Base of the errors about comparisons."""


class NotThatManyError(CompareError):
    """The load that was asked for cannot be made."""

    remedy = "Ask for more requests, or for a smaller crowd."


class ProcessFailedError(CompareError):
    """A process of the comparison did not start, or did not do what it was for."""

    remedy = "Run `xsocket doctor`; it says what this machine allows and how to allow more."


class ReportUnavailableError(CompareError):
    """What the report is made with is not installed."""

    remedy = to_install("report")


class CannotWriteError(CompareError):
    """The report's file cannot be written."""

    remedy = "Name a file in a directory that exists and that you may write to."
