"""The plots of the report: SVG that takes its colours from the page, so that it is right in light and dark.

matplotlib draws in colours that stand for others; in the SVG they become CSS variables.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from xsocket_tools.compare.designs import Design
from xsocket_tools.compare.measurement import first_ms, survival
from xsocket_tools.compare.trial import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK: Final = "#010101"
GRID: Final = "#020202"
COLOURS: Final = {
    Design.SHARED: "#030303",
    Design.REUSEPORT: "#040404",
    Design.MIGRATE: "#050505",
    Design.POOL: "#060606",
}
VARIABLES: Final = {
    INK: "--ink",
    GRID: "--grid",
    **{colour: f"--{design.value}" for design, colour in COLOURS.items()},
}
"""What each colour becomes; the page says what that is."""

_LINES: Final = {Design.SHARED: "--", Design.REUSEPORT: ":", Design.MIGRATE: "-.", Design.POOL: "-"}
_SHORTEST_MS: Final = 0.05
_STYLE: Final[Any] = {  # newer versions have a type of their own for it
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def plot(trials: Sequence[Trial], patience_s: float, *, name: str, title: str, description: str) -> str:
    """Return an SVG element: how long requests waited, and who answered, for trials of one situation.

    Args:
        trials: At least one.
        patience_s: Where the time axis ends, seconds.
        name: Begins each identifier in it, so that several fit on one page.
        title: What it shows, for who cannot see it.
        description: What is to be seen.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(10, 3.6), layout="constrained")
        figure.patch.set_alpha(0)
        waiting, shares = figure.subplots(1, 2, width_ratios=(3, 2))
        _draw_waiting(waiting, trials, patience_s)
        _draw_shares(shares, trials)
        figure.legend(
            *waiting.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False
        )
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _for_page(drawn.getvalue(), name, title, description)


def _draw_waiting(axes: Axes, trials: Sequence[Trial], patience_s: float) -> None:
    most = 1.0
    for trial in trials:
        points = survival([first_ms(sample) for sample in trial.outcome.samples])
        times = [_SHORTEST_MS, *(time for time, _ in points if isfinite(time)), patience_s * 1e3]
        parts = [1.0, *(part for time, part in points if isfinite(time))]
        axes.plot(
            times,
            [*parts, parts[-1]],
            drawstyle="steps-post",
            color=COLOURS[trial.design],
            linestyle=_LINES[trial.design],
            label=trial.design.title,
        )
        most = max(most, len(trial.outcome.samples))
    axes.set(
        xscale="log",
        yscale="log",
        xlim=(_SHORTEST_MS, patience_s * 1e3),
        ylim=(0.7 / most, 1.2),
        xlabel="milliseconds since the SYN",
        ylabel="requests not answered yet",
    )
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:g} %")
    axes.grid(visible=True)


def _draw_shares(axes: Axes, trials: Sequence[Trial]) -> None:
    workers = len(trials[0].figures.shares)
    width = 0.8 / len(trials)
    for place, trial in enumerate(trials):
        at = [worker - 0.4 + (place + 0.5) * width for worker in range(workers)]
        percent = [share * 100 for share in trial.figures.shares]
        axes.bar(at, percent, width * 0.9, color=COLOURS[trial.design])
    axes.axhline(100 / workers, color=INK, linewidth=0.8, linestyle=":")
    axes.set(xlabel="worker", ylabel="% of the answers")
    if workers <= 16:
        axes.set_xticks(range(workers))


def _for_page(drawn: str, name: str, title: str, description: str) -> str:
    """Return the SVG element of a file, with identifiers and colours that suit a page, and its texts."""
    element = drawn[drawn.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'\bid="', f'id="{name}-', element)
    element = re.sub(r'href="#', f'href="#{name}-', element)
    element = re.sub(r"url\(#", f"url(#{name}-", element)
    for colour, variable in VARIABLES.items():
        element = element.replace(colour, f"var({variable})")
    texts = (
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    )
    begin = f'<svg role="img" aria-labelledby="{name}-title {name}-desc"'
    return element.replace("<svg", begin, 1).replace(">", f">{texts}", 1)
