"""The page on file formats has every file, and every entry that the code writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import fields_from_code
import pytest
from click.testing import CliRunner

from support.markdown import ROOT
from xsocket.trace import Event
from xsocket_tools.cli import main
from xsocket_tools.learning.machine import load
from xsocket_tools.teaching.story import Step, Story

PAGE: Final = (ROOT / "docs" / "reference" / "file-formats.md").read_text()
SCENARIO: Final = ROOT / "tests" / "scenarios" / "rfc9293-3.5-handshake" / "passive_open.pkt"


def section(title: str) -> str:
    """Return what stands under a heading."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def names_in(title: str) -> set[str]:
    """Return what a section has in code."""
    return set(re.findall(r"`([\w.*/]+)`", section(title)))


def xsocket(*words: str) -> Any:  # noqa: ANN401  # what a command prints
    result = CliRunner().invoke(main, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_format_in_the_table_has_its_section() -> None:
    headings = {line.removeprefix("## ") for line in PAGE.splitlines() if line.startswith("## ")}
    linked = set(re.findall(r"^\| \[[^]]+\]\(#([\w-]+)\)", PAGE, re.MULTILINE))
    assert linked == {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_a_campaign_has_the_files_and_the_entries_that_stand_there(tmp_path: Path) -> None:
    xsocket("fuzz", "--cases", "20", "--corpus", str(tmp_path / "found"))
    known = names_in("A campaign")
    assert {path.name for path in (tmp_path / "found").iterdir()} <= {
        name.partition("/")[0] for name in known
    }
    assert json.loads((tmp_path / "found" / "campaign.json").read_text()).keys() <= known


def test_a_machine_has_the_entries_that_stand_there() -> None:
    path = ROOT / "tools" / "xsocket_tools" / "learning" / "models" / "linux-6.18-server-basic.json"
    assert json.loads(path.read_text()).keys() <= names_in("Machines")
    assert load("linux-6.18-server-basic").initial == "LISTEN"


def test_results_have_the_entries_that_stand_there() -> None:
    results = json.loads(xsocket("run", "--json", str(SCENARIO)))
    known = names_in("Results of scenarios")
    assert results.keys() <= known
    assert {"script", "target", "ip_version", "status"} <= results["outcomes"][0].keys() & known


def test_a_story_has_the_entries_that_stand_there() -> None:
    (run,) = json.loads(xsocket("lesson", "run", "1", "--json"))["runs"]
    assert run.keys() <= names_in("Stories")
    # `connections` of a story, and of a step all but the octets of its frame
    assert run["story"].keys() == {*Story._fields} - {"four_tuples"}
    assert run["story"]["steps"][0].keys() == {*Step._fields} - {"frame"}


@pytest.mark.parametrize("name", re.findall(r"^```\{fields\} (\S+)$", PAGE, re.MULTILINE))
def test_a_table_of_fields_has_a_row_for_each(name: str) -> None:
    rows = fields_from_code.fields_of(name).splitlines()[2:]
    assert len(rows) > 2
    assert all(re.fullmatch(r"\| `\w+` \| .+ \|", row) for row in rows)


def test_a_class_that_says_nothing_of_a_field_has_no_table() -> None:
    with pytest.raises(ValueError, match="says nothing of wanted, timeout"):
        fields_from_code.fields_of("xsocket.sharing.protocol.Claim")


def test_lines_of_a_trace_are_what_a_trace_gives() -> None:
    listened, received = map(json.loads, fields_from_code.trace_lines().splitlines())
    assert (listened["before"], listened["after"]) == ("CLOSED", "LISTEN")
    assert (received["trigger"], received["rule"]) == ("SYN", "3.10.7.2 third")
    assert received.keys() - {"tcb"} <= {*Event._fields}


def test_messages_of_a_pool_are_objects_with_who_asks_and_who_answers() -> None:
    lines = fields_from_code.pool_messages().splitlines()
    for speaker, message in (line.split(maxsplit=1) for line in lines):
        assert ("ask" in json.loads(message)) == (speaker == "client")
    assert {json.loads(line.split(maxsplit=1)[1]).get("ask") for line in lines} >= {
        *("claim", "withdraw", "acknowledge", "list", "statistics", "watch")
    }
