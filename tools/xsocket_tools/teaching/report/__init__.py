"""A story as one self-contained page, which fetches nothing; or as a piece of HTML for a notebook."""

from xsocket_tools.teaching.report.errors import CannotWriteError, ReportError
from xsocket_tools.teaching.report.pages import check_writable, fragment, render, write_report

__all__ = [
    "CannotWriteError",
    "ReportError",
    "check_writable",
    "fragment",
    "render",
    "write_report",
]
