"""A directive that writes what Linux does otherwise from the list that allows it: ``linux-deviations``."""

from collections.abc import Iterator
from typing import Final

from generated import Generated, linked
from sphinx.application import Sphinx

from xsocket_tools.fuzzing.deviations import Then
from xsocket_tools.fuzzing.deviations.linux import LINUX_PARTS
from xsocket_tools.fuzzing.deviations.linux_habits import LINUX_WAYS

AFTERWARDS: Final = {
    Then.GOES_ON: "the connection goes on, and is judged further",
    Then.GONE: "the connection is gone",
    Then.UNKNOWN: "no more is said of the connection",
    Then.LOST: "no more is said of the case",
}


class LinuxDeviations(Generated):
    """Writes what Linux does otherwise, with rule, reason and source."""

    @staticmethod
    def text() -> str:
        """Return the Markdown."""
        return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for title, part in LINUX_PARTS.items():
        yield f"## {title}\n"
        for each in part:
            yield f"### {each.name[0].upper()}{each.name[1:]}\n"
            yield f"{linked(each.reason)}\n"
            departs = f"Departs from {linked(each.rule)}; seen in {_functions(each.source)}."
            yield f"{departs} Afterwards {AFTERWARDS[each.then]}.{_page(each.finding)}\n"
    yield "## Habits\n"
    yield "Ways that change how all that follows has to be read; the oracle follows them.\n"
    for way in LINUX_WAYS:
        yield f"### {way.habit.value[0].upper()}{way.habit.value[1:]}\n"
        yield f"{linked(way.reason)}\n"
        yield f"Departs from {linked(way.rule)}; seen in {_functions(way.source)}.{_page(way.finding)}\n"


def _page(finding: str) -> str:
    return f" [A finding](../findings/{finding}.md) shows it." if finding else ""


def _functions(source: str) -> str:
    return ", ".join(f"`{name}`" for name in source.split(", "))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("linux-deviations", LinuxDeviations)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
