"""The options of `xsocket lab up` that are about the path between two hosts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

import click

from xsocket_tools.path.settings import Settings
from xsocket_tools.path.stripping import NAMES
from xsocket_tools.path.units import DURATION, RATE, SHARE, Bursts, Segments

_OPTIONS: Final = (
    click.option("--delay", type=DURATION, default=0.0, help="How long each frame takes, one way: 30ms."),
    click.option("--jitter", type=DURATION, default=0.0, help="How far the delay varies, at random: 5ms."),
    click.option("--rate", type=RATE, help="Bits per second, each way: 10mbit."),
    click.option("--loss", type=SHARE, default=0.0, help="Share of frames that are lost: 5%."),
    click.option("--burst-loss", type=Bursts(), help="Share that begins a burst, and that ends one: 1%,25%."),
    click.option("--lose", type=Segments(), multiple=True, help="Lose the chosen segments: S.:1."),
    click.option("--duplicate", type=SHARE, default=0.0, help="Share of frames that arrive twice."),
    click.option("--reorder", type=SHARE, default=0.0, help="Share that changes places with the next."),
    click.option("--corrupt", type=SHARE, default=0.0, help="Share in which a bit is turned."),
    click.option("--mtu", type=int, help="Largest IP packet in the middle, octets; the ends do not know."),
    click.option("--black-hole", is_flag=True, help="With --mtu: say nothing of what is too large."),
    click.option(
        "--strip", multiple=True, type=click.Choice(list(NAMES)), help="Take TCP options away, by name."
    ),
    click.option("--clamp-mss", type=int, help="Lower the MSS of SYNs to so many octets."),
    click.option("--nat", is_flag=True, help="Let the first host appear as 10.0.0.254 and fd00::fe."),
    click.option("--rewrite-sequence", is_flag=True, help="Move the sequence numbers."),
    click.option("--syn-proxy", is_flag=True, help="Complete handshakes for the second host."),
    click.option("--forget-after", type=DURATION, help="Drop segments of connections idle for so long: 60s."),
    click.option("--reset-strangers", is_flag=True, help="With --forget-after: reset them."),
    click.option(
        "--inject-reset", type=Segments(), multiple=True, help="Reset both ends at the chosen segments: S.:1."
    ),
    click.option("--seed", type=int, default=0, help="Of all that is random.", show_default=True),
)


def path_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a path to a command; `settings_of` makes `Settings` of what it is called with."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def settings_of(given: Mapping[str, Any]) -> Settings:
    """Return the settings among the parameters *given* to a command with `path_options`."""
    return Settings(**{each.name: given[each.name] for each in fields(Settings)})


def described(context: click.Context) -> list[str]:
    """Return the path options that were given to the command of *context*, as they would be typed."""
    words = []
    for each in fields(Settings):
        if context.get_parameter_source(each.name) is not click.core.ParameterSource.COMMANDLINE:
            continue
        flag, value = f"--{each.name.replace('_', '-')}", context.params[each.name]
        if value is True:
            words.append(flag)
        else:
            words += [f"{flag} {one}" for one in _typed(each.name, value)]
    return words


def _typed(name: str, value: Any) -> list[str]:  # noqa: ANN401 - whatever an option holds
    if name in ("delay", "jitter", "forget_after"):
        return [f"{value:g}s" if value >= 1 else f"{value * 1e3:g}ms"]
    if name == "rate":
        return [f"{value / 1e6:g}mbit"]
    if name == "burst_loss":
        return [",".join(f"{share:.6g}" for share in value)]
    if isinstance(value, tuple):
        return [str(one) for one in value]
    if isinstance(value, float):
        return [f"{value * 100:.6g}%"]
    return [str(value)]
