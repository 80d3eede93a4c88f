"""Which processors the programs of a bench run on.

A Python process computes on one at a time. Where it may use two, its threads and the load source move each
other from one to the other, which costs a third of what is measured.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence


def _run_on(_context: click.Context, _option: click.Parameter, number: int | None) -> None:
    if number is not None:
        os.sched_setaffinity(0, {number})


cpu_option = click.option(
    "--cpu",
    type=int,
    callback=_run_on,
    expose_value=False,
    is_eager=True,
    help="Run on this processor alone.",
)
"""For the programs of a bench."""


def apart() -> tuple[Sequence[str], Sequence[str]]:
    """Return the options that keep two programs on a processor of their own; none where there is one."""
    numbers = sorted(os.sched_getaffinity(0))
    if len(numbers) < 2:
        return (), ()
    return ("--cpu", str(numbers[0])), ("--cpu", str(numbers[1]))
