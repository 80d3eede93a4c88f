"""Pages about simulations: their programs run, in order, and print what they show."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from support.markdown import ROOT

HOW_TO = ROOT / "docs" / "how-to"


@pytest.mark.parametrize(
    ("page", "written"),
    [("simulate.md", ["client.pcapng"]), ("authenticate.md", []), ("fast-open.md", []), ("ecn.md", [])],
    ids=["simulate", "keys", "Fast Open", "ECN"],
)
def test_the_programs_of_the_page_print_what_it_shows(
    page: str, written: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = (HOW_TO / page).read_text()
    names: dict[str, Any] = {}
    shown, printed = [], []
    for language, text in re.findall(r"^```(python|text)\n(.*?)^```$", source, re.M | re.S):
        if language == "text":
            shown.append(text)
            continue
        with contextlib.redirect_stdout(io.StringIO()) as screen:
            exec(compile(text, page, "exec"), names)  # noqa: S102  # the page is ours
        if screen.getvalue():
            printed.append(screen.getvalue())
    assert printed == shown
    assert [path.name for path in tmp_path.iterdir() if path.stat().st_size] == written
