"""The library of scenarios: what each script says of itself, and that together they leave no row out."""

import re
from pathlib import Path

import pytest

from support.markdown import ROOT
from xsocket.state import State, Trigger
from xsocket.tcp import transition
from xsocket.tcp.table import TABLE, Move
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.running import run
from xsocket_tools.scenarios.settings import Settings, ip_versions

LIBRARY = ROOT / "tests" / "scenarios"
SCRIPTS = sorted(LIBRARY.rglob("*.pkt"))
Row = tuple[State, Trigger]

OUT_OF_REACH = {
    (State.LISTEN, Trigger.WRONG_ACK),  # the stack answers: nothing that listens has a TCB
    (State.LISTEN, Trigger.CLOSE),
    (State.LISTEN, Trigger.ABORT),
    (State.TIME_WAIT, Trigger.RST_IN_WINDOW),  # its window is never open any more
    (State.SYN_RECEIVED, Trigger.EVICTED),  # a policy for which Linux has no sysctl, and scripts no word
}
"""Rows that no script can reach."""


def opening(script: Path) -> str:
    """Return the comments before a script's first event; flags may stand among them."""
    lines = script.read_text().splitlines()
    first = next(at for at, line in enumerate(lines) if re.match(r"\s*(on \w+: )?[0-9]", line))
    return " ".join(line.lstrip("/ ") for line in lines[:first] if line.startswith("//"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_script_opens_with_its_rule_and_what_is_to_be_learnt(script: Path) -> None:
    text = opening(script)
    assert script.parent.name == "pool" or re.search(r"RFC \d{3,4}", text)
    assert len(text.split()) >= 10


class Recorder(dict[Row, Move]):
    """A transition table that notes which rows are looked up."""

    def __init__(self) -> None:
        super().__init__(TABLE)
        self.used: set[Row] = set()

    def __getitem__(self, row: Row) -> Move:
        self.used.add(row)
        return super().__getitem__(row)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    table = Recorder()
    monkeypatch.setattr(transition, "TABLE", table)
    return table


def test_every_row_of_the_transition_table_is_taken_by_some_script(recorder: Recorder) -> None:
    for path in SCRIPTS:
        script = read(path.read_text(), str(path))
        run(script, "sim", Settings(ip_version=ip_versions(script)[0]), directory=str(path.parent))
    missing = TABLE.keys() - recorder.used - OUT_OF_REACH
    assert sorted((state.value, trigger.value) for state, trigger in missing) == []
