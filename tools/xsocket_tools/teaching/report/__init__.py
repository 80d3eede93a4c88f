"""A story as one self-contained page, which fetches nothing; as HTML for a notebook, or as a picture."""

from xsocket_tools.teaching.report.errors import CannotWriteError, ReportError
from xsocket_tools.teaching.report.pages import (
    check_writable,
    fragment,
    ladder_picture,
    picture_style,
    render,
    states_picture,
    write_report,
)

__all__ = [
    "CannotWriteError",
    "ReportError",
    "check_writable",
    "fragment",
    "ladder_picture",
    "picture_style",
    "render",
    "states_picture",
    "write_report",
]
