"""What came of a campaign as one self-contained page, which fetches nothing."""

from xsocket_tools.fuzzing.report.errors import CannotWriteError, ReportError
from xsocket_tools.fuzzing.report.pages import check_writable, render, write_report

__all__ = [
    "CannotWriteError",
    "ReportError",
    "check_writable",
    "render",
    "write_report",
]
