"""A directive that writes what Linux does otherwise from the list that allows it: ``linux-deviations``."""

from collections.abc import Iterator
from typing import Final

from generated import Generated, linked
from sphinx.application import Sphinx

from xsocket_tools.fuzzing.deviations import LINUX_HABITS, Then
from xsocket_tools.fuzzing.deviations.linux_data import DATA
from xsocket_tools.fuzzing.deviations.linux_ending import ENDING
from xsocket_tools.fuzzing.deviations.linux_opening import OPENING

PARTS: Final = {
    "Opening": OPENING,
    "Segments, text and numbers": DATA,
    "Closing": ENDING,
}
AFTERWARDS: Final = {
    Then.GOES_ON: "the connection goes on, and is judged further",
    Then.GONE: "the connection is gone",
    Then.LOST: "the connection is lost from sight until it begins anew",
    Then.UNKNOWN: "no more is said of the case",
}


class LinuxDeviations(Generated):
    """Writes what Linux does otherwise, with rule, reason and source."""

    @staticmethod
    def text() -> str:
        """Return the Markdown."""
        return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for title, part in PARTS.items():
        yield f"## {title}\n"
        for each in part:
            functions = ", ".join(f"`{name}`" for name in each.source.split(", "))
            yield f"### {each.name[0].upper()}{each.name[1:]}\n"
            yield f"{linked(each.reason)}\n"
            departs = f"Departs from {linked(each.rule)}; seen in {functions}."
            yield f"{departs} Afterwards {AFTERWARDS[each.then]}.\n"
    yield "## Habits\n"
    yield "Ways that change how all that follows has to be read; the oracle follows them.\n"
    for habit in sorted(LINUX_HABITS, key=lambda each: each.name):
        yield f"- {linked(habit.value)}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("linux-deviations", LinuxDeviations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
