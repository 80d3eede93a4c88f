"""What pages show that takes no namespaces is so: their programs and commands run, in order."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from support.documents import Shown, follow
from support.markdown import ROOT


class Page(NamedTuple):
    """What is particular about a page.

    Attributes:
        written: The files that there are afterwards, and that have something in them.
        more: What is added to its commands, so that they take less time.
    """

    written: tuple[str, ...] = ()
    more: dict[str, str] = {}  # noqa: RUF012  # nobody changes it


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: empty, but for what pages take from the repository."""
    for name in ("docs", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            Page(written=("client.pcapng",)), id="simulate", marks=pytest.mark.runs("docs/how-to/simulate.md")
        ),
        pytest.param(Page(), id="keys", marks=pytest.mark.runs("docs/how-to/authenticate.md")),
        pytest.param(Page(), id="Fast Open", marks=pytest.mark.runs("docs/how-to/fast-open.md")),
        pytest.param(Page(), id="ECN", marks=pytest.mark.runs("docs/how-to/ecn.md")),
        pytest.param(Page(), id="explain", marks=pytest.mark.runs("docs/how-to/explain.md")),
        pytest.param(
            Page(
                more={
                    "xsocket explore": "--losses 0 --depth 6",
                    "xsocket explore --scope simultaneous --scope crash --losses 1": "--depth 6",
                }
            ),
            id="explore",
            marks=pytest.mark.runs("docs/how-to/explore.md", "console", "python"),
        ),
    ],
)
def test_a_page_shows_what_happens(page: Page, shown: Shown, place: Path) -> None:
    follow(shown.blocks(), more=page.more)
    there = {path.name for path in place.iterdir() if path.stat().st_size} - {"docs", "tests"}
    assert there == {*page.written}


@pytest.mark.runs("docs/how-to/mutants.md", "console")
def test_bugs_are_looked_for_as_the_page_says(shown: Shown, place: Path) -> None:
    """With the two bugs that it names, and a script for each."""
    mutants = ("mark_is_echoed_for_ever.toml", "reset_anywhere_in_the_window_counts.toml")
    scripts = (
        "rfc3168-ecn/mark_is_echoed_until_cwr.pkt",
        "rfc9293-3.10.7.4-acceptability/window_reaches_across_zero.pkt",
    )
    (place / "tests").unlink()
    for kind, names in (("mutants", mutants), ("scenarios", scripts)):
        for name in names:
            path = place / "tests" / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text((ROOT / "tests" / kind / name).read_text())
    one = "reset_anywhere_in_the_window_counts"
    follow(
        shown.blocks(),
        more={
            "xsocket mutants --json -j 2 --mutants tests/mutants --scenarios tests/scenarios": one,
            "xsocket mutants --with fuzz": f"--seed 2 {one}",
        },
    )
