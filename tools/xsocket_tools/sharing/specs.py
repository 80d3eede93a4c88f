"""Claims as people write them on a command line, and where a server's socket is if nobody says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xsocket import FourTuple, Pattern, XsocketError
from xsocket_netns import registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from xsocket.waiting import Wanted

ANY = "any"
SOCKET_VARIABLE = "XSOCKET_POOL"
HOW_TO_WRITE = (
    'Write a claim as ports ("80,8000-8099"), as fields ("local_port=80 remote=10.0.0.0/24"), as a 4-tuple '
    '("10.0.0.2:80<-10.0.0.1:40000", local end first), or as "any".'
)

_FIELDS = ("local", "local_port", "remote", "remote_port")
_END = r"(?:\[(?P<{0}6>[0-9a-fA-F:.]+)\]|(?P<{0}4>[0-9.]+)):(?P<{0}_port>[0-9]{{1,5}})"
_FOUR_TUPLE = re.compile(rf"{_END.format('local')}\s*<-\s*{_END.format('remote')}")


def parse_claim(text: str) -> Wanted:
    """Return what *text* asks for; see `HOW_TO_WRITE`.

    Raises:
        ValueError: It is none of these; the message says what is wrong.
    """
    stripped = text.strip()
    if stripped == ANY:
        return None
    try:
        if "<-" in stripped:
            return _four_tuple(stripped)
        if "=" in stripped:
            return Pattern(**_fields(stripped))
        return Pattern(local_port=stripped)
    except XsocketError as error:
        raise ValueError(str(error.args[0])) from error


def _four_tuple(text: str) -> FourTuple:
    found = _FOUR_TUPLE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no 4-tuple")
    local, remote = (found[f"{end}6"] or found[f"{end}4"] for end in ("local", "remote"))
    return FourTuple(local, int(found["local_port"]), remote, int(found["remote_port"]))


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in text.split():
        name, equals, value = part.partition("=")
        if not equals or name not in _FIELDS:
            raise ValueError(f"{part!r} is not a field: those are {', '.join(_FIELDS)}")
        if name in fields:
            raise ValueError(f"{name} is there twice")
        fields[name] = value
    return fields


class Claim(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """What to claim, as `parse_claim` reads it."""

    name = "spec"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """Return what is wanted."""
        if not isinstance(value, str):
            return value
        try:
            return parse_claim(value)
        except ValueError as error:
            self.fail(f"{error}. {HOW_TO_WRITE}", param, ctx)


def default_socket() -> Path:
    """Return the path of the server's socket when nobody names one."""
    return registry.runtime_directory() / "pool.sock"


def socket_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--socket``: which pool server."""
    return click.option(
        "--socket",
        "path",
        type=click.Path(path_type=Path),
        envvar=SOCKET_VARIABLE,
        metavar="PATH",
        help=(
            f"The server's socket; else ${SOCKET_VARIABLE}, else pool.sock in Xsocket's runtime directory: "
            "/run/xsocket for root, $XDG_RUNTIME_DIR/xsocket for others, $XSOCKET_RUNTIME_DIR if set."
        ),
    )(function)
