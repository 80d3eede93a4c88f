"""The page on simulations: its programs run, in order, and print what it shows."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from support.markdown import ROOT

PAGE = ROOT / "docs" / "how-to" / "simulate.md"


def test_the_programs_of_the_page_print_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown, printed = [], []
    for language, text in re.findall(r"^```(python|text)\n(.*?)^```$", PAGE.read_text(), re.M | re.S):
        if language == "text":
            shown.append(text)
            continue
        with contextlib.redirect_stdout(io.StringIO()) as screen:
            exec(compile(text, str(PAGE), "exec"), names)  # noqa: S102  # the page is ours
        if screen.getvalue():
            printed.append(screen.getvalue())
    assert printed == shown
    assert (tmp_path / "client.pcapng").stat().st_size > 0
