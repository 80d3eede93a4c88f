"""What can go wrong with `xsocket live`."""

from __future__ import annotations

from xsocket.errors import to_install
from xsocket_tools.errors import ToolError


class LiveError(ToolError):
    """Base of the errors about the page."""


class LiveUnavailableError(LiveError):
    """What the page is served with is not installed."""

    remedy = to_install("live")


class PortInUseError(LiveError):
    """The page cannot be served at the port."""

    remedy = "Name another --port, or none: any that is free is taken then."


class ServingError(LiveError):
    """The server of the page ended by itself."""


class CannotDoError(LiveError):
    """What a button asks for is not possible as things stand; the page says so."""

    remedy = "Look at the page again: things may have moved on."
