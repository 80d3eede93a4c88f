"""Values with units, as people write them on a command line: 30ms, 5%, 10mbit."""

from __future__ import annotations

import re
from math import isfinite
from typing import Final

import click

from xsocket_tools.path.errors import BadElementError
from xsocket_tools.path.which import Which

_NUMBER: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z%]*)", re.ASCII)
SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
BITS: Final = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
"""Per second; decimal, as tc(8) has them."""
SHARES: Final = {"%": 0.01, "": 1.0}


class Quantity(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A number with a unit.

    Args:
        name: What help calls it.
        units: Each unit and what it is worth.
        example: For those who got it wrong.
        most: The largest value.
    """

    def __init__(self, name: str, units: dict[str, float], example: str, most: float = float("inf")) -> None:
        self.name = name
        self._units, self._example, self._most = units, example, most

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it in the base unit."""
        if isinstance(value, float):
            return value
        match = _NUMBER.fullmatch(str(value).strip().lower())
        if match is None or match[2] not in self._units:
            self.fail(f"{value!r} is not a {self.name.lower()}: write it like {self._example}.", param, ctx)
        found = float(match[1]) * self._units[match[2]]
        if not isfinite(found) or found > self._most:
            self.fail(f"{value!r} is too much; write it like {self._example}.", param, ctx)
        return found


DURATION: Final = Quantity("DURATION", SECONDS, "30ms, 1.5s or 2h")
SHARE: Final = Quantity("SHARE", SHARES, "5% or 0.05", most=1.0)
RATE: Final = Quantity("RATE", BITS, "10mbit or 500kbit")


class Bursts(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """Two shares with a comma between: how often a burst begins, and how often it ends."""

    name = "SHARE,SHARE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Return both."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if len(parts) != 2:
            self.fail(f"{value!r} is not two shares: write them like 1%,25%.", param, ctx)
        enter, leave = (SHARE.convert(part, param, ctx) for part in parts)
        return enter, leave


class Segments(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """Which segments, as `Which.spelled` takes them."""

    name = "FLAGS[:NTH]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text as it is, if it says something."""
        try:
            Which.spelled(str(value))
        except BadElementError as error:
            self.fail(f"{error.args[0]}; write it like S.:1 (the first SYN+ACK) or data:1-3.", param, ctx)
        return str(value)
