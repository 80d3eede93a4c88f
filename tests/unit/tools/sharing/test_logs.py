"""The log of a pool server: its lines, and how many there are at most."""

import json
import logging
from collections.abc import Iterator

import pytest

from xsocket_tools.sharing import logs


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logs.log, "disabled", False)  # by whoever has configured logging for other tests
    root = logging.getLogger(logs.NAME)
    before = root.handlers[:], root.level, root.propagate
    yield
    root.handlers[:], root.level, root.propagate = before


def test_a_line_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin("text", "info")
    logs.event(logging.WARNING, "malformed", uid=0, reason='not JSON: "x"', pid=None)
    line = capsys.readouterr().err
    assert line.endswith(' warning malformed uid=0 reason="not JSON: \\"x\\""\n')


def test_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin("json", "info")
    logs.event(logging.INFO, "ready", socket="/run/a b", ports="80")
    told = json.loads(capsys.readouterr().err)
    assert told.pop("time").endswith("+00:00")
    assert told == {"level": "info", "event": "ready", "socket": "/run/a b", "ports": "80"}


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_value_makes_two_lines_of_one(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin(form, "info")
    logs.event(logging.INFO, "malformed", reason="a\nb\x1b[31m\u2028c")
    assert capsys.readouterr().err.count("\n") == 1


def test_what_is_less_than_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin("text", "warning")
    logs.event(logging.INFO, "returned")
    assert capsys.readouterr().err == ""


def record(name: str, second: float) -> logging.LogRecord:
    made = logging.LogRecord("xsocket.serve", logging.WARNING, "", 0, name, None, None)
    made.created = second
    return made


def test_one_event_does_not_fill_the_log() -> None:
    limit = logs.Limit(most=2)
    assert [limit.filter(record("malformed", 1.0)) for _ in range(5)] == [True, True, False, False, False]
    assert limit.filter(record("reset", 1.0))
    again = record("malformed", 2.0)
    assert limit.filter(again)
    assert again.__dict__["values"] == {"kept_back": 3}
