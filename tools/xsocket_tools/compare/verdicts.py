"""What was expected of the designs, and whether the figures of this run bear it out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Final, NamedTuple

from xsocket_tools.compare.designs import Design
from xsocket_tools.compare.measurement import Figures
from xsocket_tools.compare.situations import ODD, Situation

WITHIN: Final = 1.5
"""How many times its p99 of even load the pool's may be beside a slow worker."""

Results = Mapping[tuple[Design, Situation], Figures]


class Verdict(NamedTuple):
    """An expectation, and what came of it.

    Attributes:
        expected: What was expected.
        holds: Whether it holds in this run.
        figures: From which that follows.
    """

    expected: str
    holds: bool
    figures: str


def verdicts(results: Results) -> list[Verdict]:
    """Return what can be judged by *results*: each expectation whose designs and situations are there."""
    return [verdict for judge in _JUDGES for verdict in judge(results)]


def _pool_strands_nothing(results: Results) -> Iterator[Verdict]:
    for situation in (Situation.STOPPED, Situation.KILLED):
        figures = results.get((Design.POOL, situation))
        if figures:
            yield Verdict(
                f"{situation.title}: the pool loses or strands no connection that was not taken",
                is_clean(figures),
                _losses(figures),
            )


def _reuseport_strands_its_share(results: Results) -> Iterator[Verdict]:
    for situation in (Situation.STOPPED, Situation.KILLED):
        figures = results.get((Design.REUSEPORT, situation))
        if figures:
            yield Verdict(
                f"{situation.title}: SO_REUSEPORT strands what the hash gave to that worker",
                figures.stranded > 0,
                f"{_losses(figures)}; one worker's share would be {_share(figures)}",
            )


def _slow_worker_slows_no_other(results: Results) -> Iterator[Verdict]:
    even, slow = (results.get((Design.POOL, each)) for each in (Situation.EVEN, Situation.SLOW))
    if not even or not slow:
        return
    expected = f"{Situation.SLOW.title}: the pool's p99 stays within {WITHIN} times that of even load"
    own = f"{slow.shares[ODD]:.2%} of the answers are the slow worker's own"
    yield _within(expected, slow.first_ms.p99, even.first_ms.p99, f"; {own}")
    expected = f"{Situation.SLOW.title}: the p99 of what the others answer does so, too"
    yield _within(expected, slow.others_first_ms.p99, even.others_first_ms.p99)


_JUDGES: Final[tuple[Callable[[Results], Iterator[Verdict]], ...]] = (
    _pool_strands_nothing,
    _reuseport_strands_its_share,
    _slow_worker_slows_no_other,
)


def remarks(results: Results) -> list[str]:
    """Return what else the figures say: of the shared listener, of migration, of what cannot be saved."""
    return [remark for note in _NOTES for remark in note(results)]


def _shared_strands(results: Results) -> Iterator[str]:
    for situation in (Situation.STOPPED, Situation.KILLED):
        figures = results.get((Design.SHARED, situation))
        if figures:
            either = "; it strands nothing either" if is_clean(figures) else ""
            yield f"{Design.SHARED.title}, {situation.title}: {_losses(figures)}{either}"


def _migration(results: Results) -> Iterator[str]:
    for situation in (Situation.STOPPED, Situation.KILLED):
        figures = results.get((Design.MIGRATE, situation))
        if figures:
            yield f"{Design.MIGRATE.title}, {situation.title}: {_losses(figures)}"


def _unbearable(results: Results) -> Iterator[str]:
    """Say where even load was too much, so that nothing follows from the rest."""
    for (design, situation), figures in results.items():
        if situation is Situation.EVEN and figures.lost:
            yield f"{design.title} did not bear even load: {figures.lost} of {figures.requests} lost"


def _late_clients(results: Results) -> Iterator[str]:
    """Say where the clients were not on time, so that the times are the machine's and not a design's."""
    for (design, situation), figures in results.items():
        if figures.is_late:
            late = f"{figures.late_ms.p99:.0f} ms late or more for one request in a hundred"
            yield f"{design.title}, {situation.title}: the clients were {late}; the machine was too busy"


_NOTES: Final[tuple[Callable[[Results], Iterator[str]], ...]] = (
    _shared_strands,
    _migration,
    _unbearable,
    _late_clients,
)


def is_clean(figures: Figures) -> bool:
    """Whether no connection was lost or stranded but those that the stopped or killed worker had taken."""
    return figures.stranded == 0 and figures.lost_unclaimed == 0


def _losses(figures: Figures) -> str:
    lost = f"{figures.lost_unclaimed} that nobody had taken, {figures.lost_taken} that the worker had taken"
    return f"{figures.stranded} stranded; lost: {lost}"


def _share(figures: Figures) -> str:
    return f"{figures.established_meanwhile / len(figures.shares):.0f} of {figures.established_meanwhile}"


def _within(expected: str, slow_ms: float, even_ms: float, more: str = "") -> Verdict:
    """Return whether one duration is at most `WITHIN` times the other; neither is if they never end."""
    shown = f"{_ms(slow_ms)} and {_ms(even_ms)}"
    if not isfinite(slow_ms) or not isfinite(even_ms):
        return Verdict(expected, holds=False, figures=shown + more)
    ratio = slow_ms / even_ms
    return Verdict(expected, ratio <= WITHIN, f"{shown}, {ratio:.2f} times{more}")


def _ms(value: float) -> str:
    return f"{value:,.1f} ms" if isfinite(value) else "never"
