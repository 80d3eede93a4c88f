"""The log of `xsocket serve`: one line an event on standard error, as text or as JSON, and never too many."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

NAME: Final = "xsocket"
MOST_A_SECOND: Final = 20
"""Lines of one event; those beyond are counted instead, for a client can bring them about."""

log = logging.getLogger(f"{NAME}.serve")


def event(level: int, name: str, /, **values: object) -> None:
    """Log the event *name* with *values*; those that are None are left out."""
    if log.isEnabledFor(level):
        told = {key: value for key, value in values.items() if value is not None}
        log.log(level, name, extra={"values": told})


def begin(form: str, level: str) -> None:
    """Write what Xsocket logs to standard error from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    handler.addFilter(Limit())
    root = logging.getLogger(NAME)
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False


class Limit(logging.Filter):
    """Lets a number of lines of one event through each second; the next says how many it kept back."""

    def __init__(self, most: int = MOST_A_SECOND) -> None:
        super().__init__()
        self._most = most
        self._seconds: dict[str, int] = {}
        self._lines: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write *record*."""
        name, second = record.msg, int(record.created)
        if self._seconds.get(name) != second:
            kept_back = self._lines.get(name, 0) - self._most
            if kept_back > 0:
                record.values = {**_values(record), "kept_back": kept_back}
            self._seconds[name], self._lines[name] = second, 0
        self._lines[name] += 1
        return self._lines[name] <= self._most


def _values(record: logging.LogRecord) -> dict[str, Any]:
    values: dict[str, Any] = getattr(record, "values", {})
    return values


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class _Text(logging.Formatter):
    """``2026-01-31T12:00:00.000+00:00 info connected uid=0 pid=17``."""

    def format(self, record: logging.LogRecord) -> str:
        values = "".join(f" {key}={_quoted(value)}" for key, value in _values(record).items())
        line = f"{_time(record)} {record.levelname.lower()} {record.getMessage()}{values}"
        return line if record.exc_info is None else f"{line}\n{self.formatException(record.exc_info)}"


class _Json(logging.Formatter):
    """The same as an object: ``time``, ``level``, ``event``, and the values."""

    def format(self, record: logging.LogRecord) -> str:
        plain = {"time": _time(record), "level": record.levelname.lower(), "event": record.getMessage()}
        plain |= _values(record)
        if record.exc_info is not None:
            plain["exception"] = self.formatException(record.exc_info)
        return json.dumps(plain, default=str)


def _quoted(value: object) -> str:
    text = str(value)
    plain = text.isprintable() and text and not set(text) & set(' "=')
    return text if plain else json.dumps(text)
