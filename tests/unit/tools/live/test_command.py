"""`xsocket live` where its page cannot be served."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from xsocket_tools.live.command import live
from xsocket_tools.live.errors import LiveUnavailableError


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xsocket_tools.live.command.find_spec", lambda _: None)
    error = CliRunner().invoke(live).exception
    assert isinstance(error, LiveUnavailableError)
    assert error.message == "the page takes starlette and uvicorn"
    assert "xsocket[live]" in error.remedy
