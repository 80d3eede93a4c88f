"""The page on states is the table in the code."""

from pathlib import Path

import pytest

from support.documents import Shown
from xsocket.state import State
from xsocket.tcp.table import TABLE
from xsocket_tools.statechart import mermaid, page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "states.md"


@pytest.mark.runs("docs/reference/states.md")
def test_the_page_in_docs_is_the_table_in_code(shown: Shown) -> None:
    assert [block.text for block in shown.blocks()] == [mermaid()]
    hint = "run: python -m xsocket_tools.statechart > docs/reference/states.md"
    assert PAGE.read_text() == page(), hint


@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_the_diagram_has_every_state(state: State) -> None:
    assert f'state "{state.value}" as {state.name}' in mermaid()
    assert f" --> {state.name} : " in mermaid()


@pytest.mark.parametrize("pair", TABLE, ids=lambda pair: f"{pair[0].value}, {pair[1].value}")
def test_the_page_has_every_row(pair: tuple[State, object]) -> None:
    move = TABLE[pair]  # type: ignore[index]
    section = PAGE.read_text().split(f"\n## {pair[0].value}\n")[1].split("\n## ")[0]
    assert f"| {pair[1].value} | " in section  # type: ignore[attr-defined]
    assert f"| {move.to.value} | {move.rule} |" in section
