"""A comparison as one self-contained page: tables, verdicts and plots, which fetches nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from xsocket_tools.compare.errors import CannotWriteError, ReportUnavailableError
from xsocket_tools.compare.result import Result
from xsocket_tools.compare.tables import milliseconds, percentages, ratio
from xsocket_tools.compare.trial import Trial

NEEDED: Final = ("matplotlib",)
_PAGE: Final = Path(__file__).with_name("page.html")


def check_writable(path: Path) -> None:
    """Raise if a report could not be written to *path*; nothing is written yet.

    Raises:
        ReportUnavailableError: A library is missing.
        CannotWriteError: The directory is not there, or may not be written to.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ReportUnavailableError(f"a report takes {' and '.join(missing)}")
    if not path.parent.is_dir():
        raise CannotWriteError(f"there is no directory {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise CannotWriteError(f"{path} may not be written to")


def write(result: Result, path: Path) -> None:
    """Write *result* to the file *path*.

    Raises:
        CannotWriteError: It does not work.
    """
    page = render(result)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CannotWriteError(f"cannot write {path}: {error.strerror}") from error


def render(result: Result) -> str:
    """Return *result* as an HTML document."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["ms"] = milliseconds
    environment.filters["ratio"] = ratio
    environment.filters["shares"] = percentages
    environment.filters["percent"] = lambda value: f"{value * 100:.1f}"
    template = environment.from_string(_PAGE.read_text(encoding="utf-8"))
    return template.render(result=result, situations=list(_situations(result)))


def _situations(result: Result) -> Iterator[dict[str, Any]]:
    """Yield what the page has of each situation: its trials and the plot of them."""
    from markupsafe import Markup

    from xsocket_tools.compare.plots import plot

    for situation, group in groupby(result.trials, lambda trial: trial.situation):
        trials = list(group)
        svg = plot(
            trials,
            result.parameters.patience_s,
            name=f"plot-{situation.value}",
            title=f"{situation.title}: how long requests waited, and which worker answered",
            description=described(trials),
        )
        yield {"situation": situation, "trials": trials, "svg": Markup(svg)}  # noqa: S704  # it is our own


def described(trials: Sequence[Trial]) -> str:
    """Return in words what the plot of *trials* shows."""
    return " ".join(
        f"{trial.design.title}: half of the requests were answered within"
        f" {milliseconds(trial.figures.first_ms.p50)} ms, 99 of 100 within"
        f" {milliseconds(trial.figures.first_ms.p99)} ms, {trial.figures.lost} never;"
        f" the workers' shares go from {min(trial.figures.shares):.1%} to {max(trial.figures.shares):.1%}."
        for trial in trials
    ).replace("within never ms", "never")
