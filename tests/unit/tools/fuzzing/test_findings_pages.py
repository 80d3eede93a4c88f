"""The pages of `docs/findings`: whole, in step with the list that links to them, right about the engine."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from linux_from_code import LinuxDeviations

from support.findings import (
    CAPTURES,
    CASES,
    FINDINGS,
    INDEX,
    PAGES,
    SCRIPTS,
    deviations_of,
    files_of,
    ways_of,
)
from support.linux_cases import CASES as LINUX_CASES
from support.markdown import local_links, steps
from xsocket_tools.fuzzing.case import Case, Icmp, Say
from xsocket_tools.fuzzing.deviations import LINUX
from xsocket_tools.fuzzing.deviations.linux_habits import LINUX_WAYS
from xsocket_tools.fuzzing.playing import play
from xsocket_tools.fuzzing.replaying import read_file
from xsocket_tools.fuzzing.targets.engine import EngineTarget
from xsocket_tools.scenarios.formatting import formatted
from xsocket_tools.scenarios.outcome import Status
from xsocket_tools.scenarios.reading import read
from xsocket_tools.scenarios.running import run
from xsocket_tools.scenarios.settings import Settings, ip_versions

KINDS = (".json", ".pcapng", ".pkt")
LINKED = {each.finding for each in LINUX if each.finding} | {way.finding for way in LINUX_WAYS if way.finding}


def stem(path: Path) -> str:
    return path.stem


def shown_in(page: Path) -> list[str]:
    """The scripts that a page shows."""
    return re.findall(r"^```\{literalinclude\} (\S+)\n:language: pkt\n```$", page.read_text(), re.MULTILINE)


# Pages


def test_every_page_is_linked_from_the_list_and_every_link_has_its_page() -> None:
    assert sorted(LINKED) == [page.stem for page in PAGES]


def test_the_list_says_where_the_page_is() -> None:
    text = LinuxDeviations.text()
    assert {name for name in LINKED if f"(../findings/{name}.md)" in text} == LINKED


def test_the_index_has_every_page_once() -> None:
    links = [link for link in local_links(INDEX) if "/" not in link]
    assert sorted(links) == [page.name for page in PAGES]


def test_every_file_belongs_to_one_page() -> None:
    offered = Counter(name for page in PAGES for name in files_of(page))
    there = {path.name for path in FINDINGS.iterdir()} - {page.name for page in (*PAGES, INDEX)}
    assert set(offered) == there
    assert set(offered.values()) == {1}


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_a_page_offers_and_shows_what_it_is_about(page: Path) -> None:
    stems = list(dict.fromkeys(Path(name).stem for name in files_of(page)))
    assert stems
    assert sorted(files_of(page)) == sorted(f"{name}{kind}" for name in stems for kind in KINDS)
    assert shown_in(page) == [f"{name}.pkt" for name in stems]
    assert [step.command for step in steps(page)] == [
        command
        for name in stems
        for command in (
            f"xsocket run --on kernel,sim docs/findings/{name}.pkt",
            f"xsocket fuzz replay docs/findings/{name}.json --on kernel,engine",
        )
    ]


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_a_page_says_which_rule_which_function_and_which_kernel(page: Path) -> None:
    text = page.read_text()
    sources = [each.source for each in deviations_of(page.stem)] + [way.source for way in ways_of(page.stem)]
    functions = {function for source in sources for function in source.split(", ")}
    assert [name for name in functions if f"`{name}`" in text]
    assert "Linux 6.18" in text
    assert re.search(r"\]\(https://www\.rfc-editor\.org/rfc/rfc\d+\.html#section-", text)


# What they offer


@pytest.mark.parametrize("script", SCRIPTS, ids=stem)
def test_a_script_is_right_about_the_engine(script: Path) -> None:
    text = script.read_text()
    parsed = read(text, script.name)
    outcomes = [run(parsed, "sim", Settings(ip_version=version)) for version in ip_versions(parsed)]
    assert [each.failure for each in outcomes if each.status is not Status.PASSED] == []
    assert formatted(text) == text
    assert "on kernel: " in text
    assert "on engine: " in text


@pytest.mark.parametrize("file", CASES, ids=stem)
def test_the_engine_plays_the_case_and_breaks_no_rule(file: Path) -> None:
    assert play(read_file(file).case, EngineTarget()).violation is None


@pytest.mark.parametrize("case", LINUX_CASES.values(), ids=list(LINUX_CASES))
def test_the_engine_does_nothing_otherwise(case: Case) -> None:
    assert play(case, EngineTarget()).violation is None


@pytest.mark.parametrize("capture", CAPTURES, ids=stem)
def test_a_capture_has_what_the_peers_said_and_a_comment_at_each_packet(capture: Path) -> None:
    from scapy.utils import PcapNgReader

    with PcapNgReader(str(capture)) as reader:
        packets = list(reader)
    case = read_file(capture.with_suffix(".json")).case
    assert [packet.comment for packet in packets if not packet.comment] == []
    inbound = [packet for packet in packets if packet.direction == 1]
    assert len(inbound) == len([each for each in case.operations if isinstance(each, Say | Icmp)])
    assert len(packets) > len(inbound)
